use std::fmt;

use async_trait::async_trait;
use longshore_core::Digest;
use subtle::ConstantTimeEq as _;

use super::basic;
use super::{Access, AccessRequest, Action, Decision, Resource};

/// Users with passwords and permissions, authenticated with HTTP Basic.
///
/// Refuses anonymous requests. Stores digests instead of plain passwords.
///
/// Source: RFC 7617.
#[derive(Clone, Default)]
pub struct Users {
    users: Vec<User>,
}

#[derive(Clone)]
struct User {
    name: String,
    /// The digest of `name:password`. Comparing digests takes the same time for every password.
    digest: Digest,
    permissions: Permissions,
}

/// The permissions of a user, in every repository.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Permissions {
    /// May read.
    pub pull: bool,
    /// May write.
    pub push: bool,
    /// May delete.
    pub delete: bool,
}

impl Permissions {
    /// Read access.
    pub const PULL: Self = Self { pull: true, push: false, delete: false };
    /// Read and write access.
    pub const PUSH: Self = Self { pull: true, push: true, delete: false };
    /// Read, write and delete access.
    pub const ALL: Self = Self { pull: true, push: true, delete: true };

    /// Returns true if these permissions include `action`.
    #[must_use]
    pub const fn allows(self, action: Action) -> bool {
        match action {
            Action::Pull => self.pull,
            Action::Push => self.push,
            Action::Delete => self.delete,
        }
    }
}

impl Users {
    /// Returns an empty set of users.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a user.
    #[must_use]
    pub fn user(mut self, name: &str, password: &str, permissions: Permissions) -> Self {
        self.users.push(User {
            name: name.to_owned(),
            digest: digest(name, password),
            permissions,
        });
        self
    }

    /// Returns the permissions of the user in this `Authorization` header, or `None` if the header
    /// is missing or has a wrong name or password.
    pub(super) fn permissions(&self, authorization: Option<&str>) -> Option<Permissions> {
        let offered = basic::offered(authorization)?;
        let offered = digest(&offered.name, &offered.password);
        // Always compare with all users, so that the time does not reveal which names exist.
        self.users.iter().fold(None, |found, user| {
            let matches = offered.as_str().as_bytes().ct_eq(user.digest.as_str().as_bytes()).into();
            if matches { Some(user.permissions) } else { found }
        })
    }
}

impl fmt::Debug for Users {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = self.users.iter().map(|user| &user.name);
        f.debug_list().entries(names).finish()
    }
}

#[async_trait]
impl Access for Users {
    async fn authorize(
        &self,
        authorization: Option<&str>,
        request: &AccessRequest<'_>,
    ) -> Decision {
        match self.permissions(authorization) {
            None => Decision::Challenged(basic::challenge()),
            Some(_) if request.resource == Resource::Base => Decision::Granted,
            Some(permissions) if permissions.allows(request.action) => Decision::Granted,
            Some(_) => Decision::Denied,
        }
    }

    fn user_name(&self, authorization: Option<&str>) -> Option<String> {
        basic::offered(authorization).map(|offered| offered.name)
    }
}

fn digest(name: &str, password: &str) -> Digest {
    Digest::sha256(format!("{name}:{password}").as_bytes())
}

#[cfg(test)]
mod tests {
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;

    use super::*;

    fn basic(user: &str, password: &str) -> String {
        format!("Basic {}", STANDARD.encode(format!("{user}:{password}")))
    }

    #[tokio::test]
    async fn users_can_do_only_what_their_permissions_allow() {
        let users = Users::new()
            .user("reader", "r", Permissions::PULL)
            .user("writer", "w:w", Permissions::PUSH)
            .user("owner", "o", Permissions::ALL);
        let request = |action| AccessRequest { action, resource: Resource::AllRepositories };
        for (user, password, permissions) in [
            ("reader", "r", [true, false, false]),
            ("writer", "w:w", [true, true, false]),
            ("owner", "o", [true, true, true]),
        ] {
            for (action, granted) in
                [Action::Pull, Action::Push, Action::Delete].into_iter().zip(permissions)
            {
                let decision =
                    users.authorize(Some(&basic(user, password)), &request(action)).await;
                let expected = if granted { Decision::Granted } else { Decision::Denied };
                assert_eq!(decision, expected, "{user} {action:?}");
            }
        }
        let wrong = [
            None,
            Some(basic("reader", "w")),
            Some(basic("nobody", "r")),
            Some("Basic !!!".to_owned()),
            Some("Basic".to_owned()),
            Some("Bearer cmVhZGVyOnI=".to_owned()),
        ];
        for authorization in wrong {
            let decision = users.authorize(authorization.as_deref(), &request(Action::Pull)).await;
            assert!(matches!(decision, Decision::Challenged(_)));
        }
        assert!(!format!("{users:?}").contains("sha256"));
    }
}
