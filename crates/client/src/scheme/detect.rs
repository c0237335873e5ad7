//! Detects the scheme of a registry by sending it requests.
//!
//! Owns the rule for the order of attempts ([`step`]). The result is settings; `host` keeps them.

use std::sync::Arc;
use std::time::Duration;

use http::{Request, Uri};
use longshore_core::{Error, RegistryName, Result};

use super::Scheme;
use crate::config::{Config, Limits, RegistrySettings, Verification};
use crate::transport::failure::Failure;
use crate::transport::{Body, Transport, TransportErrorKind};

/// The transports for probing a registry. None of them follows redirects: a reply from elsewhere
/// is no evidence about the registry.
pub(crate) struct Probe<'a> {
    /// Checks certificates according to the settings.
    pub(crate) checked: &'a dyn Transport,
    /// Accepts any certificate of the registry.
    pub(crate) unchecked: &'a dyn Transport,
    /// The registry's root over TLS.
    pub(crate) secure: Uri,
    /// The registry's root over plain HTTP.
    pub(crate) plain: Uri,
}

impl Probe<'_> {
    /// Finds the best way to reach the registry, and returns the settings for it.
    ///
    /// # Errors
    /// The failure of the first attempt, if no permitted way leads to a registry.
    pub(crate) async fn detect(
        &self,
        registry: &RegistryName,
        config: &Config,
    ) -> Result<RegistrySettings> {
        let (own, settings) = (config.own(registry), config.of(registry));
        let may = May {
            take_any_certificate: settings.verification.is_none(),
            be_plain: !settings.says_tls,
            change_port: registry.port().is_none(),
        };
        let (mut way, mut first) = (Way::Checked, None);
        loop {
            let (heard, error) = self.try_way(way).await;
            first = first.or(error);
            match step(way, heard, may) {
                Step::Try(next) => way = next,
                Step::Settle => break,
                Step::Fail => return Err(first.unwrap_or_else(|| not_a_registry(&self.secure))),
            }
        }
        let (scheme, verification) = match way {
            Way::Checked => (Scheme::Https, own.verification()),
            Way::Unchecked => {
                tracing::warn!("accepting the invalid certificate of {registry}");
                (Scheme::Https, Some(Verification::Skip))
            }
            Way::Plain => {
                tracing::warn!("using plain HTTP with {registry}");
                (Scheme::Http, own.verification())
            }
        };
        let fallback = way != Way::Checked;
        Ok(RegistrySettings { scheme: Some(scheme), verification, fallback, ..own })
    }

    async fn try_way(&self, way: Way) -> (Heard, Option<Error>) {
        let (transport, root) = match way {
            Way::Checked => (self.checked, &self.secure),
            Way::Unchecked => (self.unchecked, &self.secure),
            Way::Plain => (self.checked, &self.plain),
        };
        match transport.send(get(root)).await {
            Ok(reply) => {
                let status = reply.status().as_u16();
                reply.into_body().drain().await;
                match status {
                    200 | 401 => (Heard::Registry, None),
                    _ => (Heard::Another, None),
                }
            }
            Err(error) => {
                let error = error.into_error();
                (Heard::Nothing(Failure::of(&error)), Some(error))
            }
        }
    }
}

/// Checks whether a registry on this machine speaks TLS, as configured certificates suggest,
/// regardless of its own certificate. `root` is its root over TLS.
pub(crate) async fn speaks_tls(root: &Uri, limits: &Limits, transport: &dyn Transport) -> bool {
    let mut request = get(root);
    let limits = Limits { connect: LOCAL_WAIT, ..limits.clone() };
    request.extensions_mut().insert(Arc::new(limits));
    match transport.send(request).await {
        Ok(reply) => {
            reply.into_body().drain().await;
            true
        }
        Err(error) => {
            let fault = error.fault();
            is_tls(fault, Failure::of(&error.into_error()))
        }
    }
}

fn get(uri: &Uri) -> Request<Body> {
    let mut request = Request::new(Body::Empty);
    *request.uri_mut() = uri.clone();
    request
}

/// Returns true if a server that failed over TLS speaks it anyway: it refused the handshake, or its
/// connection was established and broke.
fn is_tls(fault: TransportErrorKind, failure: Failure) -> bool {
    fault == TransportErrorKind::Lost || matches!(failure, Failure::Certificate | Failure::Tls)
}

/// 2 s for a connection within this machine: a server that waits for the end of a line, which TLS
/// does not send, must not delay the client longer.
const LOCAL_WAIT: Duration = Duration::from_secs(2);

fn not_a_registry(root: &Uri) -> Error {
    crate::transport::protocol_error(root, "no registry answers there".to_owned())
}

/// A way to reach a registry, best first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    /// TLS, with the certificate checked according to the settings.
    Checked,
    /// TLS with any certificate.
    Unchecked,
    /// Plain HTTP.
    Plain,
}

/// The result of trying one way.
#[derive(Clone, Copy, Debug)]
enum Heard {
    /// A reply that a registry would give.
    Registry,
    /// Any other reply.
    Another,
    /// No reply.
    Nothing(Failure),
}

/// The fallbacks that the settings allow.
#[derive(Clone, Copy, Debug)]
struct May {
    take_any_certificate: bool,
    be_plain: bool,
    change_port: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    Try(Way),
    Settle,
    Fail,
}

/// Decides the next step. A server that speaks TLS is never tried over plain HTTP.
fn step(way: Way, heard: Heard, may: May) -> Step {
    match (way, heard) {
        (_, Heard::Registry) | (Way::Checked, Heard::Another) => Step::Settle,
        (Way::Checked, Heard::Nothing(Failure::Certificate)) if may.take_any_certificate => {
            Step::Try(Way::Unchecked)
        }
        (Way::Checked, Heard::Nothing(Failure::NotTls | Failure::Closed)) if may.be_plain => {
            Step::Try(Way::Plain)
        }
        (Way::Checked, Heard::Nothing(Failure::Refused)) if may.be_plain && may.change_port => {
            Step::Try(Way::Plain)
        }
        _ => Step::Fail,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: May = May { take_any_certificate: true, be_plain: true, change_port: true };

    #[test]
    fn each_step_down_has_its_one_reason() {
        use Failure::{Certificate, Closed, NotTls, Other, Refused};
        use Heard::{Another, Nothing, Registry};
        use Way::{Checked, Plain, Unchecked};
        let port = May { change_port: false, ..ALL };
        let full = May { take_any_certificate: false, be_plain: false, change_port: true };
        for (way, heard, may, expected) in [
            (Checked, Registry, ALL, Step::Settle),
            (Checked, Another, ALL, Step::Settle),
            (Checked, Nothing(Certificate), ALL, Step::Try(Unchecked)),
            (Checked, Nothing(Certificate), full, Step::Fail),
            (Checked, Nothing(NotTls), port, Step::Try(Plain)),
            (Checked, Nothing(Closed), port, Step::Try(Plain)),
            (Checked, Nothing(NotTls), full, Step::Fail),
            (Checked, Nothing(Refused), ALL, Step::Try(Plain)),
            (Checked, Nothing(Refused), port, Step::Fail),
            (Checked, Nothing(Other), ALL, Step::Fail),
            (Unchecked, Registry, ALL, Step::Settle),
            // A server with an invalid certificate that answers 404 or 500.
            (Unchecked, Another, ALL, Step::Fail),
            (Unchecked, Nothing(NotTls), ALL, Step::Fail),
            (Plain, Registry, ALL, Step::Settle),
            (Plain, Another, ALL, Step::Fail),
            (Plain, Nothing(Other), ALL, Step::Fail),
        ] {
            assert_eq!(step(way, heard, may), expected, "{way:?} {heard:?} {may:?}");
        }
    }

    #[test]
    fn one_that_refuses_or_breaks_off_in_tls_speaks_it() {
        for (fault, failure, expected) in [
            (TransportErrorKind::Final, Failure::Certificate, true),
            (TransportErrorKind::NotSent, Failure::Tls, true),
            (TransportErrorKind::Lost, Failure::Closed, true),
            (TransportErrorKind::Final, Failure::NotTls, false),
            (TransportErrorKind::NotSent, Failure::Closed, false),
            (TransportErrorKind::NotSent, Failure::Refused, false),
            (TransportErrorKind::TimedOut, Failure::Other, false),
        ] {
            assert_eq!(is_tls(fault, failure), expected, "{fault:?} {failure:?}");
        }
    }
}
