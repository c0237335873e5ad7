//! Detects the scheme of a registry by sending requests to it.
//!
//! [`step`] decides the order of attempts. The results are settings, which `host` stores.

use std::sync::Arc;
use std::time::Duration;

use http::{Request, Uri};
use longshore_core::{Error, RegistryName, Result};

use super::Scheme;
use crate::config::{Config, Limits, RegistrySettings, Verification};
use crate::transport::failure::Failure;
use crate::transport::{Body, Transport, TransportErrorKind};

/// The transports for probing a registry. They do not follow redirects, because a reply from
/// another server is not evidence about the registry.
pub(crate) struct Probe<'a> {
    /// Verifies certificates according to the settings.
    pub(crate) checked: &'a dyn Transport,
    /// Accepts any certificate of the registry.
    pub(crate) unchecked: &'a dyn Transport,
    /// The registry's root over TLS.
    pub(crate) secure: Uri,
    /// The registry's root over plain HTTP.
    pub(crate) plain: Uri,
}

impl Probe<'_> {
    /// Finds the best way to reach the registry, and returns the settings for this way.
    ///
    /// # Errors
    /// The failure of the first attempt, if no permitted way reaches a registry.
    pub(crate) async fn detect(
        &self,
        registry: &RegistryName,
        config: &Config,
    ) -> Result<RegistrySettings> {
        let (own, settings) = (config.own(registry), config.of(registry));
        let allowed = Allowed {
            any_certificate: settings.verification.is_none(),
            plain: !settings.says_tls,
            change_port: registry.port().is_none(),
        };
        let (mut way, mut first) = (Way::Checked, None);
        loop {
            let (answer, error) = self.try_way(way).await;
            first = first.or(error);
            match step(way, answer, allowed) {
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

    async fn try_way(&self, way: Way) -> (Answer, Option<Error>) {
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
                    200 | 401 => (Answer::Registry, None),
                    _ => (Answer::Another, None),
                }
            }
            Err(error) => {
                let error = error.into_error();
                (Answer::Nothing(Failure::of(&error)), Some(error))
            }
        }
    }
}

/// Returns true if a registry on this machine speaks TLS, as [`Rule::Local`](super::Rule::Local)
/// requires. The registry's own certificate does not matter. `root` is the registry's root over
/// TLS.
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

/// Returns true if a failed request shows that the server speaks TLS: the client or the server
/// refused the handshake, or the connection broke after the handshake.
fn is_tls(fault: TransportErrorKind, failure: Failure) -> bool {
    fault == TransportErrorKind::Lost || matches!(failure, Failure::Certificate | Failure::Tls)
}

/// 2 s for a connection within this machine. A server without TLS may wait for the end of a line,
/// which a TLS client does not send. Such a server must not delay the client for long.
const LOCAL_WAIT: Duration = Duration::from_secs(2);

fn not_a_registry(root: &Uri) -> Error {
    crate::transport::protocol_error(root, "no registry found at this URL".to_owned())
}

/// The ways to reach a registry, best first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    /// TLS, with the certificate verified according to the settings.
    Checked,
    /// TLS with any certificate.
    Unchecked,
    /// Plain HTTP.
    Plain,
}

/// The result of trying one way.
#[derive(Clone, Copy, Debug)]
enum Answer {
    /// A reply that a registry sends: 200 or 401.
    Registry,
    /// Any other reply.
    Another,
    /// No reply.
    Nothing(Failure),
}

/// The fallbacks that the settings allow.
#[derive(Clone, Copy, Debug)]
struct Allowed {
    any_certificate: bool,
    plain: bool,
    change_port: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    Try(Way),
    Settle,
    Fail,
}

/// Decides the next step. Plain HTTP is tried only if the server did not speak TLS, closed the
/// connection, or refused TLS's default port.
fn step(way: Way, answer: Answer, allowed: Allowed) -> Step {
    match (way, answer) {
        (_, Answer::Registry) | (Way::Checked, Answer::Another) => Step::Settle,
        (Way::Checked, Answer::Nothing(Failure::Certificate)) if allowed.any_certificate => {
            Step::Try(Way::Unchecked)
        }
        (Way::Checked, Answer::Nothing(Failure::NotTls | Failure::Closed)) if allowed.plain => {
            Step::Try(Way::Plain)
        }
        (Way::Checked, Answer::Nothing(Failure::Refused))
            if allowed.plain && allowed.change_port =>
        {
            Step::Try(Way::Plain)
        }
        _ => Step::Fail,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: Allowed = Allowed { any_certificate: true, plain: true, change_port: true };

    #[test]
    fn each_fallback_is_tried_only_after_its_own_failures() {
        use Answer::{Another, Nothing, Registry};
        use Failure::{Certificate, Closed, NotTls, Other, Refused};
        use Way::{Checked, Plain, Unchecked};
        let port = Allowed { change_port: false, ..ALL };
        let full = Allowed { any_certificate: false, plain: false, change_port: true };
        for (way, answer, allowed, expected) in [
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
            // A server with an invalid certificate that answers 404 or 500 is not a registry.
            (Unchecked, Another, ALL, Step::Fail),
            (Unchecked, Nothing(NotTls), ALL, Step::Fail),
            (Plain, Registry, ALL, Step::Settle),
            (Plain, Another, ALL, Step::Fail),
            (Plain, Nothing(Other), ALL, Step::Fail),
        ] {
            assert_eq!(step(way, answer, allowed), expected, "{way:?} {answer:?} {allowed:?}");
        }
    }

    #[test]
    fn a_refused_handshake_or_a_broken_tls_connection_proves_tls() {
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
