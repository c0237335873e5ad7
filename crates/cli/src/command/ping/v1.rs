//! Checks whether a registry supports the v1 API.

use std::fmt;

use longshore::{Client, EscapedText, RegistryName, Result};
use longshore_legacy::v1::{ApiVersion, Registry, api_version};
use serde::Serialize;

use crate::output::Report;

/// The API version to check.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Api {
    #[value(name = "1")]
    V1,
    #[value(name = "2")]
    V2,
    Auto,
}

/// The result of a ping to a v1 registry.
#[derive(Serialize)]
pub(super) struct Answer {
    registry: String,
    version: Option<String>,
    standalone: bool,
    api: String,
}

impl Api {
    /// Pings the v1 API of a registry. Returns `None` if v2 was requested or detected.
    pub(super) async fn ping(
        self,
        client: &Client,
        registry: &RegistryName,
    ) -> Result<Option<Answer>> {
        let version = match self {
            Self::V1 => ApiVersion::V1,
            Self::Auto => api_version(client, registry).await?,
            Self::V2 => ApiVersion::V2,
        };
        if version != ApiVersion::V1 {
            return Ok(None);
        }
        let ping = Registry::new(client, registry).ping().await?;
        Ok(Some(Answer {
            registry: registry.to_string(),
            version: ping.version,
            standalone: ping.standalone,
            api: version.to_string(),
        }))
    }
}

impl Report for Answer {
    fn text(&self, to: &mut dyn fmt::Write) -> fmt::Result {
        let version = self.version.as_deref().unwrap_or("no version stated");
        let kind = if self.standalone { "standalone" } else { "behind an index" };
        writeln!(to, "{} answers to API v1 ({}), {kind}", self.registry, EscapedText(version))
    }
}
