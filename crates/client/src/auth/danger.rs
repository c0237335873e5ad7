//! Why a secret is not sent to a registry. Pure.

use longshore_core::RegistryName;

/// What would happen to a secret on its way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Danger {
    /// Everybody in between can read it.
    Plain,
    /// Whoever is in between may be who it is sent to: the certificate is not valid, and was accepted
    /// by [`Scheme::Detect`](crate::Scheme::Detect) alone.
    Unverified,
}

impl Danger {
    /// That something is held back, and what to do about it, in a clause.
    pub(crate) fn clause(self, withheld: &str, registry: &RegistryName) -> String {
        match self {
            Self::Plain => format!(
                "{withheld} are not sent over plain HTTP unless that is asked for: log in there \
                 anew, or set its scheme to http (--plain-http {registry})"
            ),
            Self::Unverified => format!(
                "{withheld} are not sent past a certificate that is not valid unless that is asked \
                 for: trust its authority (--ca-file), or skip its verification \
                 (--skip-tls-verify {registry})"
            ),
        }
    }
}
