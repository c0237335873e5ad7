//! Who to be at a registry.
//!
//! Owns [`Credential`], [`Secret`] and the stores they come from. Sends nothing: `auth` asks a store
//! when a registry wants to know.

mod docker_config;
mod memory;
mod secret;

use std::fmt;

use async_trait::async_trait;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use http::HeaderValue;
use longshore_core::{RegistryName, Result};

pub use docker_config::DockerConfig;
pub use memory::MemoryCredentials;
pub use secret::Secret;

/// Where credentials come from.
#[async_trait]
pub trait CredentialStore: fmt::Debug + Send + Sync {
    /// Who to be at this registry. Asked once a registry and client.
    ///
    /// # Errors
    /// Whatever keeps the store from telling. That it knows nothing is
    /// [`Credential::anonymous`], no error.
    async fn get(&self, registry: &RegistryName) -> Result<Credential>;
}

/// Who to be at a registry, and how that is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Credential {
    login: Option<Login>,
    source: String,
}

/// A user name and password.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Login {
    /// The user.
    pub user: String,
    /// The password, or a token in its place.
    pub password: Secret,
}

impl Credential {
    /// Nobody. `reason` is a clause that says why, such as "no entry in config.json".
    #[must_use]
    pub fn anonymous(reason: impl fmt::Display) -> Self {
        Self { login: None, source: format!("anonymous ({reason})") }
    }

    /// A user with a password. `source` says where it is from, and becomes part of errors:
    /// "credentials from `source`".
    #[must_use]
    pub fn login(user: impl Into<String>, password: Secret, source: impl fmt::Display) -> Self {
        let login = Login { user: user.into(), password };
        Self { login: Some(login), source: format!("credentials from {source}") }
    }

    /// User name and password, unless it is nobody's.
    #[must_use]
    pub fn as_login(&self) -> Option<&Login> {
        self.login.as_ref()
    }

    /// Where it is from, as one clause that holds no secret.
    #[must_use]
    pub fn source(&self) -> &str {
        &self.source
    }

    /// The header of Basic authentication; `None` for nobody.
    ///
    /// Source: RFC 7617, section 2.
    pub(crate) fn basic(&self) -> Option<HeaderValue> {
        let Login { user, password } = self.login.as_ref()?;
        let pair = Secret::new(format!("{user}:{}", password.expose()));
        let encoded = Secret::new(format!("Basic {}", BASE64.encode(pair.expose())));
        let mut header = HeaderValue::from_str(encoded.expose()).ok()?;
        header.set_sensitive(true);
        Some(header)
    }
}
