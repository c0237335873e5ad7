use std::collections::HashMap;
use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use longshore_core::RepositoryName;
use serde_json::json;

use super::basic;
use super::users::{Permissions, Users};
use super::{Access, AccessRequest, Action, Decision, EndpointReply, Resource};
use crate::query::Query;
use crate::random;

/// A policy under which users exchange their password for a short-lived token at `/token`, as at
/// public registries.
///
/// A token is random and valid only in this process. It grants the requested access, limited to the
/// permissions of its user.
///
/// Source: distribution's "Token Authentication Specification".
pub struct Tokens {
    users: Users,
    anonymous: Permissions,
    realm: String,
    lifetime: Duration,
    issued: Mutex<HashMap<String, Token>>,
}

struct Token {
    user: Option<String>,
    scopes: Vec<Scope>,
    expires: Instant,
}

/// Access to one repository or to the catalog, as granted by a token.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Scope {
    /// `None` for the catalog.
    repository: Option<RepositoryName>,
    permissions: Permissions,
}

impl Tokens {
    /// Creates a policy that issues tokens to these users.
    ///
    /// - `realm`: the URL at which clients reach `/token`, such as `http://127.0.0.1:5000/token`.
    #[must_use]
    pub fn new(users: Users, realm: impl Into<String>) -> Self {
        Self {
            users,
            anonymous: Permissions::default(),
            realm: realm.into(),
            lifetime: LIFETIME,
            issued: Mutex::default(),
        }
    }

    /// Sets the permissions of anonymous clients. By default, they have none.
    #[must_use]
    pub fn anonymous(mut self, permissions: Permissions) -> Self {
        self.anonymous = permissions;
        self
    }

    /// Sets the lifetime of tokens. The default is 5 minutes.
    #[must_use]
    pub fn lifetime(mut self, lifetime: Duration) -> Self {
        self.lifetime = lifetime;
        self
    }

    fn issued(&self) -> MutexGuard<'_, HashMap<String, Token>> {
        self.issued.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn issue(&self, query: &str, user: Option<String>, permissions: Permissions) -> EndpointReply {
        let scopes = Query::parse(query).map(|query| {
            let scopes = query.all("scope").flat_map(|scopes| scopes.split(' '));
            scopes.filter_map(|scope| Scope::parse(scope, permissions)).collect()
        });
        let (scopes, token) = match (scopes, random::hex()) {
            (Ok(scopes), Ok(token)) => (scopes, token),
            (Err(e), _) => return EndpointReply::Refused(e.to_string()),
            (_, Err(e)) => return EndpointReply::Refused(e.to_string()),
        };
        let now = Instant::now();
        let mut issued = self.issued();
        issued.retain(|_, token| token.expires > now);
        // At the limit, remove the oldest token. Its client will be challenged and request a new
        // token.
        if issued.len() >= ISSUED_LIMIT
            && let Some(oldest) = issued.iter().min_by_key(|(_, token)| token.expires)
        {
            let oldest = oldest.0.clone();
            issued.remove(&oldest);
        }
        let expires = now + self.lifetime;
        issued.insert(token.clone(), Token { user, scopes, expires });
        EndpointReply::Document(json!({ "token": token, "expires_in": self.lifetime.as_secs() }))
    }

    fn challenge(&self, request: &AccessRequest<'_>, error: Option<&str>) -> Decision {
        let mut challenge = format!(r#"Bearer realm="{}",service="longshore""#, self.realm);
        match request.resource {
            Resource::Repository(name) => {
                let actions = actions(request.action);
                challenge += &format!(r#",scope="repository:{name}:{actions}""#);
            }
            Resource::Catalog => challenge += r#",scope="registry:catalog:*""#,
            Resource::Base | Resource::AllRepositories => {}
        }
        if let Some(error) = error {
            challenge += &format!(r#",error="{error}""#);
        }
        Decision::Challenged(challenge)
    }
}

#[async_trait]
impl Access for Tokens {
    async fn authorize(
        &self,
        authorization: Option<&str>,
        request: &AccessRequest<'_>,
    ) -> Decision {
        let Some(offered) = authorization.and_then(bearer) else {
            return self.challenge(request, None);
        };
        let issued = self.issued();
        // The lookup is by hash, so its time reveals no part of the token.
        let token = issued.get(offered);
        let Some(token) = token.filter(|token| token.expires > Instant::now()) else {
            return self.challenge(request, Some("invalid_token"));
        };
        if request.resource == Resource::Base
            || token.scopes.iter().any(|scope| scope.covers(request))
        {
            return Decision::Granted;
        }
        self.challenge(request, Some("insufficient_scope"))
    }

    fn user_name(&self, authorization: Option<&str>) -> Option<String> {
        self.issued().get(authorization.and_then(bearer)?)?.user.clone()
    }

    fn endpoint(
        &self,
        path: &str,
        query: &str,
        authorization: Option<&str>,
    ) -> Option<EndpointReply> {
        if path != "/token" {
            return None;
        }
        let permissions = match authorization {
            None => Some(self.anonymous),
            some => self.users.permissions(some),
        };
        Some(match permissions {
            Some(permissions) => {
                self.issue(query, self.users.user_name(authorization), permissions)
            }
            None => EndpointReply::Challenged(basic::challenge()),
        })
    }
}

impl fmt::Debug for Tokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Tokens({:?}, {})", self.users, self.realm)
    }
}

impl Scope {
    /// Parses `repository:<name>:<actions>` or `registry:catalog:*`. Limits the scope to
    /// `permissions`.
    fn parse(text: &str, permissions: Permissions) -> Option<Self> {
        let (kind, rest) = text.split_once(':')?;
        let (name, actions) = rest.rsplit_once(':')?;
        let repository = match (kind, name) {
            ("registry", "catalog") => None,
            ("repository", name) => Some(RepositoryName::parse(name).ok()?),
            _ => return None,
        };
        let asks = |action| actions.split(',').any(|a| a == action || a == "*");
        let permissions = Permissions {
            pull: permissions.pull && asks("pull"),
            push: permissions.push && asks("push"),
            delete: permissions.delete && asks("delete"),
        };
        Some(Self { repository, permissions })
    }

    fn covers(&self, request: &AccessRequest<'_>) -> bool {
        let is_covered = match request.resource {
            Resource::Repository(name) => self.repository.as_ref() == Some(name),
            Resource::Catalog => self.repository.is_none(),
            // No scope covers all repositories.
            Resource::AllRepositories | Resource::Base => false,
        };
        is_covered && self.permissions.allows(request.action)
    }
}

fn actions(action: Action) -> &'static str {
    match action {
        Action::Pull => "pull",
        Action::Push => "pull,push",
        Action::Delete => "delete",
    }
}

fn bearer(authorization: &str) -> Option<&str> {
    let (scheme, token) = authorization.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

/// 10,000 tokens, no matter how many tokens clients request: a few MiB with the usual scopes.
const ISSUED_LIMIT: usize = 10_000;
/// 5 minutes: the usual lifetime at public registries.
const LIFETIME: Duration = Duration::from_secs(300);

#[cfg(test)]
mod tests {
    use base64::Engine as _;

    use super::*;

    fn tokens() -> Tokens {
        let users = Users::new().user("ann", "pw", Permissions::PUSH);
        Tokens::new(users, "http://127.0.0.1:1/token").anonymous(Permissions::PULL)
    }

    fn issue(tokens: &Tokens, query: &str, authorization: Option<&str>) -> String {
        match tokens.endpoint("/token", query, authorization) {
            Some(EndpointReply::Document(document)) => {
                format!("Bearer {}", document["token"].as_str().unwrap())
            }
            other => panic!("{other:?}"),
        }
    }

    async fn authorize(tokens: &Tokens, token: &str, name: &str, action: Action) -> Decision {
        let name = RepositoryName::parse(name).unwrap();
        let resource = Resource::Repository(&name);
        tokens.authorize(Some(token), &AccessRequest { action, resource }).await
    }

    #[tokio::test]
    async fn tokens_beyond_the_limit_replace_the_oldest() {
        let tokens = tokens();
        let mut issued =
            (0..=ISSUED_LIMIT).map(|_| issue(&tokens, "scope=repository:c:pull", None));
        let (oldest, second) = (issued.next().unwrap(), issued.next().unwrap());
        issued.for_each(drop);
        assert_eq!(tokens.issued().len(), ISSUED_LIMIT);
        assert_ne!(authorize(&tokens, &oldest, "c", Action::Pull).await, Decision::Granted);
        assert_eq!(authorize(&tokens, &second, "c", Action::Pull).await, Decision::Granted);
    }

    #[tokio::test]
    async fn a_token_grants_the_requested_access_within_the_permissions_of_its_user() {
        let tokens = tokens();
        let ann = base64::engine::general_purpose::STANDARD.encode("ann:pw");
        let ann = format!("Basic {ann}");
        let scope = "scope=repository:a/b:pull,push&scope=repository:c:pull";
        let token = issue(&tokens, scope, Some(&ann));
        for (name, action, granted) in [
            ("a/b", Action::Pull, true),
            ("a/b", Action::Push, true),
            ("a/b", Action::Delete, false),
            ("c", Action::Pull, true),
            ("c", Action::Push, false),
            ("d", Action::Pull, false),
        ] {
            let decision = authorize(&tokens, &token, name, action).await;
            assert_eq!(decision == Decision::Granted, granted, "{name} {action:?}");
        }
        assert_eq!(tokens.user_name(Some(&token)).as_deref(), Some("ann"));
        let anonymous = issue(&tokens, scope, None);
        assert_eq!(authorize(&tokens, &anonymous, "a/b", Action::Pull).await, Decision::Granted);
        assert_eq!(tokens.user_name(Some(&anonymous)), None);
        assert_ne!(authorize(&tokens, &anonymous, "a/b", Action::Push).await, Decision::Granted);
        assert!(matches!(
            tokens.endpoint("/token", scope, Some("Basic eDp5")),
            Some(EndpointReply::Challenged(_))
        ));
    }

    #[tokio::test]
    async fn the_challenge_names_the_realm_and_the_scope() {
        let name = RepositoryName::parse("a/b").unwrap();
        let resource = Resource::Repository(&name);
        let action = Action::Push;
        let Decision::Challenged(challenge) =
            tokens().authorize(None, &AccessRequest { action, resource }).await
        else {
            panic!("the request was granted");
        };
        assert_eq!(
            challenge,
            r#"Bearer realm="http://127.0.0.1:1/token",service="longshore",scope="repository:a/b:pull,push""#
        );
    }

    #[tokio::test]
    async fn an_expired_token_is_refused() {
        let tokens = tokens().lifetime(Duration::ZERO);
        let token = issue(&tokens, "scope=repository:a:pull", None);
        assert_ne!(authorize(&tokens, &token, "a", Action::Pull).await, Decision::Granted);
    }
}
