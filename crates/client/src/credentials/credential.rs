//! A credential for a registry, and where it comes from.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use http::HeaderValue;
use tokio::time::Instant;
use zeroize::Zeroizing;

use super::Secret;

/// A credential for a registry, and where it comes from.
///
/// The time of expiry does not count when two are compared.
#[derive(Clone, Debug)]
pub struct Credential {
    proof: Proof,
    source: String,
    leave: Leave,
    expires: Option<Instant>,
}

/// How far a credential may be sent unencrypted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Leave {
    /// Nowhere: it was not stored for exactly this host and port, but for a pattern, a host on any
    /// port, or all registries; or it was stored for `https://`.
    #[default]
    Nowhere,
    /// Within this machine: it was stored for exactly this host and port.
    ThisMachine,
    /// Anywhere: the caller or the entry says so.
    Anywhere,
}

/// The content of a credential.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Proof {
    Nothing,
    Login(Login),
    /// An OAuth2 refresh token and its user.
    Identity(Login),
    Token(Secret),
    Authorization(Secret),
}

/// A user name and password.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Login {
    /// The user.
    pub user: String,
    /// The password, or a token in its place.
    pub password: Secret,
}

/// The kind of a [`Credential`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum CredentialKind {
    /// No credential: requests are anonymous.
    Anonymous,
    /// A user name and a password.
    Login,
    /// An identity token: exchanged for access at the token service, as an OAuth2 refresh token.
    IdentityToken,
    /// A registry token: sent to the registry as it is.
    RegistryToken,
    /// The value of an `Authorization` header.
    Authorization,
}

impl Credential {
    /// Makes an anonymous credential. `reason` is a clause, such as "no entry in config.json".
    #[must_use]
    pub fn anonymous(reason: impl fmt::Display) -> Self {
        Self {
            proof: Proof::Nothing,
            source: format!("anonymous ({reason})"),
            leave: Leave::Nowhere,
            expires: None,
        }
    }

    /// Takes a user name and a password. `source` says where they come from, and is part of errors:
    /// "credentials from `source`".
    #[must_use]
    pub fn login(user: impl Into<String>, password: Secret, source: impl fmt::Display) -> Self {
        Self::from(Proof::Login(Login { user: user.into(), password }), source)
    }

    /// Takes a refresh token for the registry's token service.
    ///
    /// - `user`: the user that it was issued to; any name, or none, if that is unknown.
    ///
    /// Source: Docker Registry v2, "Authenticate with OAuth2".
    #[must_use]
    pub fn identity_token(
        user: impl Into<String>,
        token: Secret,
        source: impl fmt::Display,
    ) -> Self {
        Self::from(Proof::Identity(Login { user: user.into(), password: token }), source)
    }

    /// Takes a token that is sent to the registry as it is: `Authorization: Bearer <token>`.
    #[must_use]
    pub fn registry_token(token: Secret, source: impl fmt::Display) -> Self {
        Self::from(Proof::Token(token), source)
    }

    /// Takes the whole value of an `Authorization` header, such as `Basic dTpw`.
    ///
    /// It replaces Basic at the registry and at its token service. A `Bearer` value goes to the
    /// registry only.
    #[must_use]
    pub fn authorization(value: Secret, source: impl fmt::Display) -> Self {
        Self::from(Proof::Authorization(value), source)
    }

    /// Takes a request's own `Authorization` header.
    pub(crate) fn from_header(header: &HeaderValue) -> Self {
        let value = header.to_str().unwrap_or_default();
        Self::authorization(Secret::new(value), "the request")
    }

    /// Permits sending it to this registry unencrypted, or to a server with any certificate.
    ///
    /// In files, an entry under `http://host` says the same for exactly that registry, on this
    /// machine or not. Logging in over plain HTTP writes such an entry. TLS is still used where the
    /// settings say so.
    ///
    /// The other way is to set the registry's scheme to [`Scheme::Http`](crate::Scheme::Http).
    /// Within this machine (`localhost` and loopback addresses, reached without a proxy) an entry
    /// for exactly that host and port needs neither.
    #[must_use]
    pub fn over_plain_http(self) -> Self {
        self.with_leave(Leave::Anywhere)
    }

    /// Permits sending it this far unencrypted, unless it may already go farther.
    pub(crate) fn with_leave(mut self, leave: Leave) -> Self {
        self.leave = self.leave.max(leave);
        self
    }

    /// Sets the time of expiry, counted from now. Default: unknown.
    ///
    /// A client asks the store again before it uses an expired credential. It also asks again after
    /// a 403, or the refusal of a token service, if the credential has expired or the store gave it
    /// more than 10 minutes ago; the request is sent once more if the store then has another one.
    ///
    /// For stores that know it. The passwords of AWS ECR, for example, are valid for 12 hours.
    #[must_use]
    pub fn expires_in(mut self, lifetime: Duration) -> Self {
        self.expires = Instant::now().checked_add(lifetime);
        self
    }

    /// Whether it has expired at this time.
    pub(crate) fn is_expired(&self, at: Instant) -> bool {
        self.expires.is_some_and(|expires| expires <= at)
    }

    /// Returns its kind.
    #[must_use]
    pub fn kind(&self) -> CredentialKind {
        match &self.proof {
            Proof::Nothing => CredentialKind::Anonymous,
            Proof::Login(_) => CredentialKind::Login,
            Proof::Identity(_) => CredentialKind::IdentityToken,
            Proof::Token(_) => CredentialKind::RegistryToken,
            Proof::Authorization(_) => CredentialKind::Authorization,
        }
    }

    /// Returns user name and password, if it consists of these.
    #[must_use]
    pub fn as_login(&self) -> Option<&Login> {
        match &self.proof {
            Proof::Login(login) => Some(login),
            _ => None,
        }
    }

    /// Returns the user, if one is known.
    #[must_use]
    pub fn user(&self) -> Option<&str> {
        match &self.proof {
            Proof::Login(login) | Proof::Identity(login) => Some(login.user.as_str()),
            _ => None,
        }
        .filter(|user| !user.is_empty())
    }

    /// Returns its source, as one clause without secrets.
    #[must_use]
    pub fn source(&self) -> &str {
        &self.source
    }

    /// Whether it is anonymous.
    #[must_use]
    pub fn is_anonymous(&self) -> bool {
        self.proof == Proof::Nothing
    }

    /// Returns how far it may be sent unencrypted, whatever the registry's settings.
    pub(crate) fn leave(&self) -> Leave {
        self.leave
    }

    /// Returns the identity token with its user.
    pub(crate) fn identity(&self) -> Option<&Login> {
        match &self.proof {
            Proof::Identity(identity) => Some(identity),
            _ => None,
        }
    }

    /// Makes the header that is sent to the registry whatever its challenge.
    pub(crate) fn bearer(&self) -> Option<HeaderValue> {
        match &self.proof {
            Proof::Token(token) => sensitive(format!("Bearer {}", token.expose())),
            Proof::Authorization(value) if is_bearer(value.expose()) => {
                sensitive(value.expose().to_owned())
            }
            _ => None,
        }
    }

    /// Makes the header of Basic authentication, or returns the one given in its place.
    ///
    /// Source: RFC 7617, section 2.
    pub(crate) fn basic(&self) -> Option<HeaderValue> {
        match &self.proof {
            Proof::Login(login) => login.basic(),
            Proof::Authorization(value) if !is_bearer(value.expose()) => {
                sensitive(value.expose().to_owned())
            }
            _ => None,
        }
    }

    /// Returns the secrets in it, in all forms in which a server may echo them.
    pub(crate) fn secrets(&self) -> Vec<Secret> {
        let (secret, header) = match &self.proof {
            Proof::Nothing => return Vec::new(),
            Proof::Login(login) | Proof::Identity(login) => (&login.password, login.basic()),
            Proof::Token(token) => (token, None),
            Proof::Authorization(value) => (value, None),
        };
        let mut secrets = vec![secret.clone()];
        let encoded = header.as_ref().and_then(|header| header.to_str().ok());
        secrets.extend(encoded.map(|text| Secret::new(text.trim_start_matches("Basic "))));
        if let Some((scheme, value)) = secret.expose().split_once(' ') {
            secrets.push(Secret::new(value));
            if scheme.eq_ignore_ascii_case("basic") {
                secrets.extend(password_in(value));
            }
        }
        secrets
    }

    fn from(proof: Proof, source: impl fmt::Display) -> Self {
        let source = format!("credentials from {source}");
        Self { proof, source, leave: Leave::Nowhere, expires: None }
    }

    /// The parts that are compared. Tokens stay with a credential that is renewed unchanged.
    fn essence(&self) -> impl Eq + Hash + '_ {
        (&self.proof, &self.source, self.leave)
    }
}

impl PartialEq for Credential {
    fn eq(&self, other: &Self) -> bool {
        self.essence() == other.essence()
    }
}

impl Eq for Credential {}

impl Hash for Credential {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.essence().hash(state);
    }
}

impl Login {
    /// Makes the header of Basic authentication.
    pub(crate) fn basic(&self) -> Option<HeaderValue> {
        let pair = Secret::new(format!("{}:{}", self.user, self.password.expose()));
        sensitive(format!("Basic {}", BASE64.encode(pair.expose())))
    }
}

/// Makes a header that `Debug` hides.
fn sensitive(value: String) -> Option<HeaderValue> {
    let value = Secret::new(value);
    let mut header = HeaderValue::from_str(value.expose()).ok()?;
    header.set_sensitive(true);
    Some(header)
}

/// Decodes the password in a value of Basic authentication.
fn password_in(value: &str) -> Option<Secret> {
    let pair = Zeroizing::new(BASE64.decode(value.trim()).ok()?);
    let (_, password) = std::str::from_utf8(&pair).ok()?.split_once(':')?;
    Some(Secret::new(password))
}

fn is_bearer(value: &str) -> bool {
    value.split(' ').next().is_some_and(|scheme| scheme.eq_ignore_ascii_case("bearer"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(header: Option<HeaderValue>) -> Option<String> {
        header.map(|header| header.to_str().unwrap().to_owned())
    }

    #[test]
    fn a_basic_header_has_the_password_among_its_secrets() {
        for value in ["Basic dXNlcjpzM2M6cmV0", "basic dXNlcjpzM2M6cmV0"] {
            let secrets = Credential::authorization(Secret::new(value), "x").secrets();
            let secrets: Vec<_> = secrets.iter().map(Secret::expose).collect();
            assert_eq!(secrets, [value, "dXNlcjpzM2M6cmV0", "s3c:ret"]);
        }
        let secrets = Credential::authorization(Secret::new("Basic ?"), "x").secrets();
        assert_eq!(secrets.len(), 2);
    }

    #[test]
    fn each_kind_goes_into_the_header_in_its_own_way() {
        let secret = || Secret::new("password");
        for (credential, basic, bearer) in [
            (Credential::anonymous("x"), None, None),
            (
                Credential::login("username", secret(), "x"),
                Some("Basic dXNlcm5hbWU6cGFzc3dvcmQ="),
                None,
            ),
            (Credential::identity_token("username", secret(), "x"), None, None),
            (Credential::registry_token(secret(), "x"), None, Some("Bearer password")),
            (Credential::authorization(Secret::new("Basic dTpw"), "x"), Some("Basic dTpw"), None),
            (Credential::authorization(Secret::new("bearer t"), "x"), None, Some("bearer t")),
            // What no header can hold is as good as none.
            (Credential::authorization(Secret::new("a\nb"), "x"), None, None),
        ] {
            assert_eq!(header(credential.basic()).as_deref(), basic, "{credential:?}");
            assert_eq!(header(credential.bearer()).as_deref(), bearer, "{credential:?}");
            assert!(!format!("{credential:?}").contains("\"password\""));
        }
    }
}
