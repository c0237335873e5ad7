//! How one registry is reached.

use super::PathPrefix;
use crate::certificate::{ClientCertificate, RootCertificates};
use crate::scheme::Scheme;

/// How one registry is reached. What is `None` is taken from the default for all registries.
///
/// The settings are independent: none implies another, except that a registry with certificates or
/// verification set is not plain by [`Scheme::Auto`], [`ByName`](Scheme::ByName) or
/// [`Detect`](Scheme::Detect).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct RegistrySettings {
    /// Whether to use TLS. Without any setting: [`Scheme::Auto`].
    pub scheme: Option<Scheme>,
    /// The path before `/v2/`, from a [`RegistryUrl`](crate::RegistryUrl). Without any setting: none.
    pub prefix: Option<PathPrefix>,
    /// Certificates of authorities to trust in addition to the system's.
    pub root_certificates: Option<RootCertificates>,
    /// The certificate to show if the server asks for one.
    pub client_certificate: Option<ClientCertificate>,
    /// Whether the server's certificate is checked. Without any setting: [`Verification::Full`].
    pub verification: Option<Verification>,
}

/// What is checked of a server's certificate.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Verification {
    /// That it is valid, for this host, and signed by a trusted authority.
    #[default]
    Full,
    /// Nothing: whoever is in between can read and change everything, credentials included.
    Skip,
}
