//! What a registry speaks: settled by its settings, or found out by asking it.
//!
//! Owns the rule of the steps down ([`step`]) and the memory of what was found. Every request to a
//! registry passes here first, through `exchange`.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use http::{Request, Uri};
use longshore_core::{Error, RegistryName, Result};
use tokio::sync::OnceCell;

use super::Rule;
use crate::config::{Config, Limits, Verification};
use crate::origin::Origin;
use crate::transport::failure::Failure;
use crate::transport::trial::{Accepted, AnyCertificate};
use crate::transport::{Body, Fault, Transport};

/// How a registry is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Reached {
    pub(crate) https: bool,
    pub(crate) verification: Verification,
    /// Whether it was found out.
    pub(crate) detected: bool,
    /// Whether its certificate is not valid, and was taken because nobody said that it must be.
    pub(crate) unverified: bool,
}

impl Reached {
    /// Whether it was found out to be less than TLS with a certificate that is checked: no leave to
    /// send secrets.
    pub(crate) fn is_step_down(self) -> bool {
        self.detected && (!self.https || self.unverified)
    }
}

/// Finds out how registries are reached, once each.
#[derive(Debug)]
pub(crate) struct Detector {
    transport: Arc<dyn Transport>,
    /// The same without further attempts.
    once: Arc<dyn Transport>,
    config: Arc<Config>,
    accepted: Accepted,
    known: Mutex<HashMap<RegistryName, Arc<OnceCell<Reached>>>>,
}

impl Detector {
    /// `transport` follows no redirects: an answer from elsewhere says nothing of the registry.
    pub(crate) fn new(
        transport: Arc<dyn Transport>,
        once: Arc<dyn Transport>,
        config: Arc<Config>,
        accepted: Accepted,
    ) -> Self {
        Self { transport, once, config, accepted, known: Mutex::default() }
    }

    /// How a registry is reached; `root` is its root URL.
    ///
    /// # Errors
    /// What the first attempt failed with, where nothing that may be tried leads to a registry.
    pub(crate) async fn reach(&self, registry: &RegistryName, root: &Uri) -> Result<Reached> {
        let settings = self.config.of(registry);
        let verification = settings.verification.unwrap_or_default();
        let set = |https| Reached { https, verification, detected: false, unverified: false };
        let cell = || {
            let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(known.entry(registry.clone()).or_default())
        };
        match settings.rule {
            Rule::Plain => Ok(set(false)),
            Rule::Tls => Ok(set(true)),
            Rule::Ask => cell().get_or_try_init(|| self.ask(registry, root)).await.copied(),
            Rule::Local => {
                let ask = async || {
                    let has_certificates =
                        settings.has_certificates() || self.config.folders.has(registry);
                    set(has_certificates && self.speaks_tls(root).await)
                };
                Ok(*cell().get_or_init(ask).await)
            }
        }
    }

    /// Whether the other end speaks TLS, as its certificates suggest, whatever its own certificate.
    async fn speaks_tls(&self, root: &Uri) -> bool {
        let mut request = Request::new(Body::Empty);
        *request.uri_mut() = with_scheme(root, true);
        let limits = Limits { connect: LOCAL_WAIT, ..(*self.config.limits).clone() };
        request.extensions_mut().insert(Arc::new(limits));
        match self.once.send(request).await {
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

    /// The settings of the client.
    pub(crate) fn config(&self) -> &Config {
        &self.config
    }

    async fn ask(&self, registry: &RegistryName, root: &Uri) -> Result<Reached> {
        let settings = self.config.of(registry);
        let may = May {
            take_any_certificate: settings.verification.is_none(),
            be_plain: !settings.says_tls,
            change_port: registry.port().is_none(),
        };
        let (mut way, mut first) = (Way::Checked, None);
        loop {
            let (heard, error) = self.try_way(way, root).await;
            first = first.or(error);
            match step(way, heard, may) {
                Step::Try(next) => way = next,
                Step::Settle => break,
                Step::Fail => return Err(first.unwrap_or_else(|| not_a_registry(root))),
            }
        }
        match way {
            Way::Checked => {}
            Way::Unchecked => {
                tracing::warn!("accepting the invalid certificate of {registry}");
                if let Some(origin) = Origin::of(root) {
                    self.accepted.add(origin);
                }
            }
            Way::Plain => tracing::warn!("using plain HTTP with {registry}"),
        }
        let verification = match way {
            Way::Unchecked => Verification::Skip,
            Way::Checked | Way::Plain => settings.verification.unwrap_or_default(),
        };
        Ok(Reached {
            https: way != Way::Plain,
            verification,
            detected: true,
            unverified: way == Way::Unchecked,
        })
    }

    async fn try_way(&self, way: Way, root: &Uri) -> (Heard, Option<Error>) {
        let mut request = Request::new(Body::Empty);
        *request.uri_mut() = match way {
            Way::Plain => with_scheme(root, false),
            Way::Checked | Way::Unchecked => with_scheme(root, true),
        };
        if way == Way::Unchecked {
            request.extensions_mut().insert(AnyCertificate);
        }
        match self.transport.send(request).await {
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

/// Whether one that could not be asked in TLS speaks it: it refused what it saw, or its connection
/// was there and broke.
fn is_tls(fault: Fault, failure: Failure) -> bool {
    fault == Fault::Lost || matches!(failure, Failure::Certificate | Failure::Tls)
}

/// 2 s for a connection within this machine: one that waits for the end of a line, which TLS does not
/// send, must not take longer.
const LOCAL_WAIT: Duration = Duration::from_secs(2);

/// The same URL over TLS or not; its port stays, written out or implied.
pub(crate) fn with_scheme(uri: &Uri, https: bool) -> Uri {
    let mut parts = uri.clone().into_parts();
    parts.scheme = Some(if https { http::uri::Scheme::HTTPS } else { http::uri::Scheme::HTTP });
    Uri::from_parts(parts).unwrap_or_else(|_| uri.clone())
}

fn not_a_registry(root: &Uri) -> Error {
    crate::transport::protocol_error(root, "no registry answers there".to_owned())
}

/// A way to reach a registry, from the best down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    /// TLS, the certificate checked as the settings have it.
    Checked,
    /// TLS with any certificate.
    Unchecked,
    /// Plain HTTP.
    Plain,
}

/// What came of trying one.
#[derive(Clone, Copy, Debug)]
enum Heard {
    /// An answer that a registry gives.
    Registry,
    /// Another answer.
    Another,
    /// None.
    Nothing(Failure),
}

/// What the settings leave open.
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

/// Decides how to go on. One who speaks TLS is never asked in plain HTTP.
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
            (Fault::Final, Failure::Certificate, true),
            (Fault::NotSent, Failure::Tls, true),
            (Fault::Lost, Failure::Closed, true),
            (Fault::Final, Failure::NotTls, false),
            (Fault::NotSent, Failure::Closed, false),
            (Fault::NotSent, Failure::Refused, false),
            (Fault::TimedOut, Failure::Other, false),
        ] {
            assert_eq!(is_tls(fault, failure), expected, "{fault:?} {failure:?}");
        }
    }

    #[test]
    fn the_scheme_alone_is_changed() {
        for (url, plain) in [
            ("https://[::1]:5000/p/v2/", "http://[::1]:5000/p/v2/"),
            ("https://r.example/v2/?a=%2F", "http://r.example/v2/?a=%2F"),
        ] {
            assert_eq!(with_scheme(&url.parse().unwrap(), false), plain);
        }
    }
}
