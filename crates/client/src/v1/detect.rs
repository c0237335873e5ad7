use std::fmt;

use longshore_core::Result;

use crate::exchange::Exchange;
use crate::ping::ping;

/// Which API a registry speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ApiVersion {
    /// Docker's Registry API v1: [`Client::v1`](crate::Client::v1).
    V1,
    /// Docker's Registry API v2, which the OCI distribution specification goes on with:
    /// [`Client::repository`](crate::Client::repository).
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

/// Asks for the root of v2. Not found means v1, and that alone: a registry that wants credentials, or
/// is out of order, must not be taken for an old one.
pub(crate) async fn detect(exchange: &Exchange) -> Result<ApiVersion> {
    match ping(exchange).await {
        Ok(_) => Ok(ApiVersion::V2),
        Err(e) => match e.status() {
            Some(404) => Ok(ApiVersion::V1),
            Some(401) => Ok(ApiVersion::V2),
            _ => Err(e),
        },
    }
}
