use std::fmt;

use async_trait::async_trait;
use longshore_core::Digest;
use subtle::ConstantTimeEq as _;

use super::basic;
use super::{Access, Need, Resource, Right, Verdict};

/// Users with passwords and rights, by HTTP Basic authentication.
///
/// Everyone else is refused. Passwords are not stored in plain text.
///
/// Source: RFC 7617.
#[derive(Clone, Default)]
pub struct Users {
    users: Vec<User>,
}

#[derive(Clone)]
struct User {
    name: String,
    /// The digest of `name:password`: comparing digests takes the same time for all passwords.
    sum: Digest,
    rights: Rights,
}

/// The rights of a user, in every repository.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Rights {
    /// May read.
    pub pull: bool,
    /// May write.
    pub push: bool,
    /// May delete.
    pub delete: bool,
}

impl Rights {
    /// Read access.
    pub const PULL: Self = Self { pull: true, push: false, delete: false };
    /// Read and write access.
    pub const PUSH: Self = Self { pull: true, push: true, delete: false };
    /// Read, write and delete access.
    pub const ALL: Self = Self { pull: true, push: true, delete: true };

    /// Returns true if these rights include `right`.
    #[must_use]
    pub const fn has(self, right: Right) -> bool {
        match right {
            Right::Pull => self.pull,
            Right::Push => self.push,
            Right::Delete => self.delete,
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
    pub fn user(mut self, name: &str, password: &str, rights: Rights) -> Self {
        self.users.push(User { name: name.to_owned(), sum: sum(name, password), rights });
        self
    }

    /// Returns the rights of the user in this `Authorization` header; `None` for an unknown user.
    pub(super) fn rights(&self, authorization: Option<&str>) -> Option<Rights> {
        let offered = basic::offered(authorization)?;
        let offered = sum(&offered.name, &offered.password);
        // Always compares with all users, so that the time does not reveal which names exist.
        self.users.iter().fold(None, |found, user| {
            let matches = offered.as_str().as_bytes().ct_eq(user.sum.as_str().as_bytes()).into();
            if matches { Some(user.rights) } else { found }
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
    async fn judge(&self, authorization: Option<&str>, need: &Need<'_>) -> Verdict {
        match self.rights(authorization) {
            None => Verdict::Challenged(basic::challenge()),
            Some(_) if need.on == Resource::Base => Verdict::Granted,
            Some(rights) if rights.has(need.right) => Verdict::Granted,
            Some(_) => Verdict::Denied,
        }
    }

    fn user_name(&self, authorization: Option<&str>) -> Option<String> {
        basic::offered(authorization).map(|offered| offered.name)
    }
}

fn sum(name: &str, password: &str) -> Digest {
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
    async fn each_right_is_granted_to_those_who_have_it_and_nobody_else() {
        let users = Users::new()
            .user("reader", "r", Rights::PULL)
            .user("writer", "w:w", Rights::PUSH)
            .user("owner", "o", Rights::ALL);
        let need = |right| Need { right, on: Resource::AllRepositories };
        for (user, password, rights) in [
            ("reader", "r", [true, false, false]),
            ("writer", "w:w", [true, true, false]),
            ("owner", "o", [true, true, true]),
        ] {
            for (right, granted) in
                [Right::Pull, Right::Push, Right::Delete].into_iter().zip(rights)
            {
                let verdict = users.judge(Some(&basic(user, password)), &need(right)).await;
                let expected = if granted { Verdict::Granted } else { Verdict::Denied };
                assert_eq!(verdict, expected, "{user} {right:?}");
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
            let verdict = users.judge(authorization.as_deref(), &need(Right::Pull)).await;
            assert!(matches!(verdict, Verdict::Challenged(_)));
        }
        assert!(!format!("{users:?}").contains("sha256"));
    }
}
