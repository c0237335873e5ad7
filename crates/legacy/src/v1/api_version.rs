use std::fmt;

use longshore::{Client, RegistryName, Result};

/// Which API a registry speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ApiVersion {
    /// Docker's Registry API v1: [`Registry`](super::Registry).
    V1,
    /// Docker's Registry API v2, which the OCI distribution specification goes on with:
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

/// Asks which API a registry speaks. Whoever knows it already need not ask.
///
/// Sends `GET /v2/`. Not found (404), and that alone, means v1: a registry that wants credentials, or
/// is out of order, must not be taken for an old one. Success and 401 mean v2.
///
/// # Errors
/// Those of [`Client::ping`]: no other answer says which API it is.
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
