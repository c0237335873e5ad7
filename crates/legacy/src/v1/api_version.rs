use std::fmt;

use longshore::{Client, RegistryName, Result};

/// The API version of a registry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ApiVersion {
    /// Docker's Registry API v1. Use [`Registry`](super::Registry).
    V1,
    /// Docker's Registry API v2, continued by the OCI distribution specification. Use
    /// [`Client::repository`].
    V2,
}

impl fmt::Display for ApiVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::V1 => "1",
            Self::V2 => "2",
        })
    }
}

/// Detects the API version of a registry.
///
/// Sends `GET /v2/`. Success and unauthorized (401) mean v2. Only not found (404) means v1: a
/// registry that fails in another way may still support v2.
///
/// # Errors
/// The errors of [`Client::ping`], except not found (404) and unauthorized (401).
pub async fn api_version(client: &Client, registry: &RegistryName) -> Result<ApiVersion> {
    match client.ping(registry).await {
        Ok(_) => Ok(ApiVersion::V2),
        Err(e) => match e.status() {
            Some(404) => Ok(ApiVersion::V1),
            Some(401) => Ok(ApiVersion::V2),
            _ => Err(e),
        },
    }
}
