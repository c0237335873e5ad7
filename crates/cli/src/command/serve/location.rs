//! Options for `Location` headers.

use clap::Args;
use longshore_registry::RegistryBuilder;

/// The base of `Location` headers. The default is built from the scheme of the connection and the
/// host of the request.
#[derive(Debug, Args)]
pub(super) struct LocationOptions {
    /// Start every `Location` with this URL of the registry.
    ///
    /// By default, `Location` has the host of the request and the scheme of the connection.
    #[arg(long, value_name = "URL")]
    public_url: Option<String>,
    /// Read the host and scheme from `Forwarded`, `X-Forwarded-Host` and `X-Forwarded-Proto`.
    ///
    /// Use this option only behind a proxy that sets these headers and that clients cannot bypass.
    #[arg(long, conflicts_with = "public_url")]
    trust_proxy: bool,
    /// Send every `Location` as a path, which works behind every proxy that keeps the path.
    ///
    /// Some old clients cannot follow a path (docker-registry-client-async, moby-distribution).
    #[arg(long, conflicts_with_all = ["public_url", "trust_proxy"])]
    relative_locations: bool,
}

impl LocationOptions {
    /// Returns true if the options suggest a TLS proxy: a trusted proxy, or an https public URL.
    pub(super) fn are_behind_tls(&self) -> bool {
        self.trust_proxy || self.public_url.as_ref().is_some_and(|url| url.starts_with("https://"))
    }

    /// Applies these options to a registry builder.
    pub(super) fn apply(self, builder: RegistryBuilder) -> RegistryBuilder {
        match self {
            Self { public_url: Some(url), .. } => builder.public_url(url),
            Self { trust_proxy: true, .. } => builder.trust_proxy(),
            Self { relative_locations: true, .. } => builder.relative_locations(),
            _ => builder,
        }
    }
}
