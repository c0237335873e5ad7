//! Who to be at a registry, and how that is known.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use http::HeaderValue;
use tokio::time::Instant;
use zeroize::Zeroizing;

use super::Secret;

/// Who to be at a registry, and how that is known.
///
/// Two are equal if they prove the same and come from the same source, whenever they expire.
#[derive(Clone, Debug)]
pub struct Credential {
    proof: Proof,
    source: String,
    leave: Leave,
    expires: Option<Instant>,
}

/// How far a credential may go unencrypted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Leave {
    /// Nowhere: it was not made for exactly this host and port, but for a pattern, for a host on any
    /// port, or for all registries; or it was made for `https://`.
    #[default]
    Nowhere,
    /// Within this machine: it was made for exactly this host and port.
    ThisMachine,
    /// Anywhere: whoever made it said so.
    Anywhere,
}

/// What proves it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Proof {
    Nothing,
    Login(Login),
    /// An OAuth2 refresh token, and the user it came with.
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

/// What a [`Credential`] consists of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum CredentialKind {
    /// Nothing: nobody in particular.
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
    /// Nobody. `reason` is a clause that says why, such as "no entry in config.json".
    #[must_use]
    pub fn anonymous(reason: impl fmt::Display) -> Self {
        Self {
            proof: Proof::Nothing,
            source: format!("anonymous ({reason})"),
            leave: Leave::Nowhere,
            expires: None,
        }
    }

    /// A user with a password. `source` says where it is from, and becomes part of errors:
    /// "credentials from `source`".
    #[must_use]
    pub fn login(user: impl Into<String>, password: Secret, source: impl fmt::Display) -> Self {
        Self::from(Proof::Login(Login { user: user.into(), password }), source)
    }

    /// A refresh token for the registry's token service.
    ///
    /// - `user`: who it was given to; where that is not known, any name, or none.
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

    /// A token that the registry takes as it is: `Authorization: Bearer <token>`.
    #[must_use]
    pub fn registry_token(token: Secret, source: impl fmt::Display) -> Self {
        Self::from(Proof::Token(token), source)
    }

    /// The whole value of an `Authorization` header, such as `Basic dTpw`.
    ///
    /// It takes the place of Basic at the registry and at its token service; a `Bearer` value goes to
    /// the registry alone.
    #[must_use]
    pub fn authorization(value: Secret, source: impl fmt::Display) -> Self {
        Self::from(Proof::Authorization(value), source)
    }

    /// What a request's own `Authorization` header says.
    pub(crate) fn of_header(header: &HeaderValue) -> Self {
        let value = header.to_str().unwrap_or_default();
        Self::authorization(Secret::new(value), "the request")
    }

    /// The same, which may be sent to this registry unencrypted, or to whoever shows any certificate.
    ///
    /// Files say it by an entry under `http://host`, which is for that very registry, be it on this
    /// machine or not: it is what logging in there over plain HTTP writes. TLS is still used where the
    /// settings have it.
    ///
    /// The other way to ask for that is to set the registry's scheme to
    /// [`Scheme::Http`](crate::Scheme::Http). Within this machine (`localhost` and loopback addresses,
    /// reached without a proxy) an entry for exactly that host and port needs neither.
    #[must_use]
    pub fn over_plain_http(self) -> Self {
        self.with_leave(Leave::Anywhere)
    }

    /// The same, which may go this far unencrypted, if it might not go farther already.
    pub(crate) fn with_leave(mut self, leave: Leave) -> Self {
        self.leave = self.leave.max(leave);
        self
    }

    /// The same, which expires this long from now. Without it, a credential does not say how long it
    /// is good for.
    ///
    /// A client asks the store again before it uses an expired one. It also asks again after a 403,
    /// or the refusal of a token service, if the credential has expired or the store gave it more than
    /// 10 minutes ago; the request is sent once more if the store then has another one.
    ///
    /// For stores that know it: the passwords of AWS ECR are good for 12 hours, for example.
    #[must_use]
    pub fn expires_in(mut self, lifetime: Duration) -> Self {
        self.expires = Instant::now().checked_add(lifetime);
        self
    }

    /// Whether it has expired at this time.
    pub(crate) fn is_expired(&self, at: Instant) -> bool {
        self.expires.is_some_and(|expires| expires <= at)
    }

    /// What it consists of.
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

    /// User name and password, if it is these.
    #[must_use]
    pub fn as_login(&self) -> Option<&Login> {
        match &self.proof {
            Proof::Login(login) => Some(login),
            _ => None,
        }
    }

    /// The user, where one is known.
    #[must_use]
    pub fn user(&self) -> Option<&str> {
        match &self.proof {
            Proof::Login(login) | Proof::Identity(login) => Some(login.user.as_str()),
            _ => None,
        }
        .filter(|user| !user.is_empty())
    }

    /// Where it is from, as one clause that holds no secret.
    #[must_use]
    pub fn source(&self) -> &str {
        &self.source
    }

    /// Whether it is nobody's.
    #[must_use]
    pub fn is_anonymous(&self) -> bool {
        self.proof == Proof::Nothing
    }

    /// How far it may go unencrypted, whatever the registry's settings.
    pub(crate) fn leave(&self) -> Leave {
        self.leave
    }

    /// The identity token, with its user.
    pub(crate) fn identity(&self) -> Option<&Login> {
        match &self.proof {
            Proof::Identity(identity) => Some(identity),
            _ => None,
        }
    }

    /// What goes to the registry as it is, whatever the registry asks for.
    pub(crate) fn bearer(&self) -> Option<HeaderValue> {
        match &self.proof {
            Proof::Token(token) => sensitive(format!("Bearer {}", token.expose())),
            Proof::Authorization(value) if is_bearer(value.expose()) => {
                sensitive(value.expose().to_owned())
            }
            _ => None,
        }
    }

    /// The header of Basic authentication, or what was given in its place.
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

    /// What must never show, in the forms in which a server may send it back.
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

    /// What makes two equal. A token for a credential stays good when only the time is another.
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
    /// The header of Basic authentication.
    pub(crate) fn basic(&self) -> Option<HeaderValue> {
        let pair = Secret::new(format!("{}:{}", self.user, self.password.expose()));
        sensitive(format!("Basic {}", BASE64.encode(pair.expose())))
    }
}

/// A header that is not shown.
fn sensitive(value: String) -> Option<HeaderValue> {
    let value = Secret::new(value);
    let mut header = HeaderValue::from_str(value.expose()).ok()?;
    header.set_sensitive(true);
    Some(header)
}

/// The password in the value of Basic authentication.
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
