//! Why a secret is not sent to a registry. Pure, and the one rule of it.

use longshore_core::RegistryName;

use crate::scheme::detect::Reached;

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
    /// What would happen to a secret; `None` where it is safe.
    pub(crate) fn to(reached: Reached) -> Option<Self> {
        match (reached.https, reached.unverified) {
            (false, _) => Some(Self::Plain),
            (true, true) => Some(Self::Unverified),
            (true, false) => None,
        }
    }

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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Verification;

    #[test]
    fn a_secret_is_safe_behind_a_certificate_that_was_checked_or_need_not_be() {
        for (https, unverified, danger) in [
            (true, false, None),
            (true, true, Some(Danger::Unverified)),
            (false, false, Some(Danger::Plain)),
            (false, true, Some(Danger::Plain)),
        ] {
            let verification = Verification::Skip;
            let reached = Reached { https, verification, detected: true, unverified };
            assert_eq!(Danger::to(reached), danger, "{reached:?}");
        }
    }
}
