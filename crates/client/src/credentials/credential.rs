//! A credential for a registry, and its source.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use http::HeaderValue;
use tokio::time::Instant;
use zeroize::Zeroizing;

use super::Secret;

/// A credential for a registry, and its source.
///
/// Comparisons ignore the time of expiry.
#[derive(Clone, Debug)]
pub struct Credential {
    proof: Proof,
    source: String,
    insecure_use: InsecureUse,
    expires: Option<Instant>,
}

/// The places where a credential may be sent insecurely: unencrypted, or to a server whose
/// certificate is not trusted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum InsecureUse {
    /// Nowhere: the credential was stored for a pattern, for a host on any port, for all
    /// registries, or under a key with `https://`.
    #[default]
    Nowhere,
    /// Within this machine: the credential was stored for exactly this host and port.
    ThisMachine,
    /// Anywhere: the caller or the entry explicitly permits insecure use.
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
    /// The password, or a token used as a password.
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
    /// An identity token: an OAuth2 refresh token, which is sent to the token service to get an
    /// access token.
    IdentityToken,
    /// A registry token, which is sent to the registry unchanged.
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
            insecure_use: InsecureUse::Nowhere,
            expires: None,
        }
    }

    /// Makes a credential from a user name and a password.
    ///
    /// - `source`: the origin of the credential, shown in errors as "credentials from `source`".
    #[must_use]
    pub fn login(user: impl Into<String>, password: Secret, source: impl fmt::Display) -> Self {
        Self::from(Proof::Login(Login { user: user.into(), password }), source)
    }

    /// Makes a credential from a refresh token for the registry's token service.
    ///
    /// - `user`: the user to whom the token was issued. Empty if the user is unknown.
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

    /// Makes a credential from a token that is sent to the registry unchanged: `Authorization:
    /// Bearer <token>`.
    #[must_use]
    pub fn registry_token(token: Secret, source: impl fmt::Display) -> Self {
        Self::from(Proof::Token(token), source)
    }

    /// Makes a credential from the whole value of an `Authorization` header, such as `Basic dTpw`.
    ///
    /// A `Bearer` value is sent only to the registry. Any other value is sent in place of Basic
    /// authentication, to the registry and to its token service.
    #[must_use]
    pub fn authorization(value: Secret, source: impl fmt::Display) -> Self {
        Self::from(Proof::Authorization(value), source)
    }

    /// Makes a credential from the `Authorization` header of a request.
    pub(crate) fn from_header(header: &HeaderValue) -> Self {
        let value = header.to_str().unwrap_or_default();
        Self::authorization(Secret::new(value), "the request")
    }

    /// Permits sending the credential unencrypted, or to a server with an untrusted certificate.
    ///
    /// In a file, an entry under `http://host` permits the same for exactly that registry, on any
    /// machine. A login over plain HTTP writes such an entry. TLS is still used if the settings
    /// require TLS.
    ///
    /// Alternatively, set the registry's scheme to [`Scheme::Http`](crate::Scheme::Http). An entry
    /// for exactly one host and port, without `https://`, needs no such permission within this
    /// machine (`localhost` and loopback addresses, reached without a proxy).
    #[must_use]
    pub fn over_plain_http(self) -> Self {
        self.with_insecure_use(InsecureUse::Anywhere)
    }

    /// Permits an insecure use, unless the credential already permits more.
    pub(crate) fn with_insecure_use(mut self, insecure_use: InsecureUse) -> Self {
        self.insecure_use = self.insecure_use.max(insecure_use);
        self
    }

    /// Sets the time of expiry, counted from now. Default: unknown.
    ///
    /// A client queries the store again before it uses an expired credential. After a 403, or a
    /// refusal by a token service, the client also queries the store again if the credential has
    /// expired, or if the store returned it at least 10 minutes ago. If the store then returns
    /// another credential, the request is sent once more, unless its body can be read only once.
    ///
    /// Stores that know the expiry should set it. The passwords of AWS ECR, for example, are valid
    /// for 12 hours.
    #[must_use]
    pub fn expires_in(mut self, lifetime: Duration) -> Self {
        self.expires = Instant::now().checked_add(lifetime);
        self
    }

    /// Returns true if the credential has expired at the time `at`.
    pub(crate) fn is_expired(&self, at: Instant) -> bool {
        self.expires.is_some_and(|expires| expires <= at)
    }

    /// Returns the kind of the credential.
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

    /// Returns the user name and password, if the credential is a login.
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

    /// Returns the source of the credential, as one clause without secrets.
    #[must_use]
    pub fn source(&self) -> &str {
        &self.source
    }

    /// Returns true if the credential is anonymous.
    #[must_use]
    pub fn is_anonymous(&self) -> bool {
        self.proof == Proof::Nothing
    }

    /// Returns the insecure use that the credential permits, independently of the registry's
    /// settings.
    pub(crate) fn insecure_use(&self) -> InsecureUse {
        self.insecure_use
    }

    /// Returns the identity token and its user, if the credential is an identity token.
    pub(crate) fn identity(&self) -> Option<&Login> {
        match &self.proof {
            Proof::Identity(identity) => Some(identity),
            _ => None,
        }
    }

    /// Makes the `Bearer` header, which is sent to the registry independently of its challenge.
    pub(crate) fn bearer(&self) -> Option<HeaderValue> {
        match &self.proof {
            Proof::Token(token) => sensitive(format!("Bearer {}", token.expose())),
            Proof::Authorization(value) if is_bearer(value.expose()) => {
                sensitive(value.expose().to_owned())
            }
            _ => None,
        }
    }

    /// Makes the header of Basic authentication. Returns a whole header value unchanged, unless its
    /// scheme is Bearer.
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

    /// Returns the credential's secrets, both as plain text and as encoded in headers, because a
    /// server may echo either form.
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
        Self { proof, source, insecure_use: InsecureUse::Nowhere, expires: None }
    }

    /// Returns the fields for comparisons. The expiry is excluded, so that cached tokens remain
    /// usable after the credential is renewed unchanged.
    fn compared_fields(&self) -> impl Eq + Hash + '_ {
        (&self.proof, &self.source, self.insecure_use)
    }
}

impl PartialEq for Credential {
    fn eq(&self, other: &Self) -> bool {
        self.compared_fields() == other.compared_fields()
    }
}

impl Eq for Credential {}

impl Hash for Credential {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.compared_fields().hash(state);
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

/// Decodes the password in the header value of Basic authentication.
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
    fn the_secrets_of_a_basic_header_include_the_password() {
        for value in ["Basic dXNlcjpzM2M6cmV0", "basic dXNlcjpzM2M6cmV0"] {
            let secrets = Credential::authorization(Secret::new(value), "x").secrets();
            let secrets: Vec<_> = secrets.iter().map(Secret::expose).collect();
            assert_eq!(secrets, [value, "dXNlcjpzM2M6cmV0", "s3c:ret"]);
        }
        let secrets = Credential::authorization(Secret::new("Basic ?"), "x").secrets();
        assert_eq!(secrets.len(), 2);
    }

    #[test]
    fn each_kind_makes_its_own_headers() {
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
            // A value that is not valid in a header makes no header.
            (Credential::authorization(Secret::new("a\nb"), "x"), None, None),
        ] {
            assert_eq!(header(credential.basic()).as_deref(), basic, "{credential:?}");
            assert_eq!(header(credential.bearer()).as_deref(), bearer, "{credential:?}");
            assert!(!format!("{credential:?}").contains("\"password\""));
        }
    }
}
