//! Determines, once and before the first request, how a client reaches each registry.
//!
//! Owns the stack of transports that requests pass. This is the only place that turns settings or
//! the results of detection into a URL. Detection returns its results as settings.

use std::fmt;
use std::sync::Arc;

use http::Uri;
use longshore_core::{Error, ErrorKind, RegistryName, Result};
use tokio::sync::OnceCell;

use crate::auth::{Access, Auth, Danger, Scopes, Setup};
use crate::bounded::BoundedCache;
use crate::config::{Config, RegistrySettings, Resolved, Verification};
use crate::endpoint::Endpoint;
use crate::origin::Origin;
use crate::scheme::Rule;
use crate::scheme::detect::{Probe, speaks_tls};
use crate::transport::Transport;
use crate::transport::limit::Limit;
use crate::transport::log::Log;
use crate::transport::observe::{Observe, Recorder};
use crate::transport::redirect::Redirect;
use crate::transport::retry::Retry;
use crate::transport::wire::Wire;

/// A registry whose scheme and URL are known.
pub(crate) struct Host {
    registry: RegistryName,
    pub(crate) auth: Arc<Auth>,
    pub(crate) endpoint: Endpoint,
    pub(crate) https: bool,
    pub(crate) verification: Verification,
    /// True if scheme and verification were detected.
    pub(crate) detected: bool,
    /// True if the scheme or verification is a fallback of detection.
    pub(crate) fallback: bool,
    /// True if others on the network path can read the traffic, because it is sent over plain HTTP.
    pub(crate) exposed: bool,
    /// The danger of sending secrets to the registry, if any.
    pub(crate) danger: Option<Danger>,
}

impl Host {
    /// Returns the access that a request for these scopes needs.
    pub(crate) fn access(&self, scopes: Scopes) -> Access {
        let (registry, root) = (self.registry.clone(), self.endpoint.root());
        let is_verified = self.https && self.verification == Verification::Full;
        Access { registry, root, is_verified, danger: self.danger, scopes }
    }
}

/// The registries of a client.
pub(crate) struct Hosts {
    setup: Setup,
    /// The caller's transport, which replaces the built-in transport.
    transport: Option<Arc<dyn Transport>>,
    recorder: Arc<Recorder>,
    wire: Arc<dyn Transport>,
    auth: Arc<Auth>,
    settled: BoundedCache<RegistryName, Arc<OnceCell<Arc<Host>>>>,
}

impl Hosts {
    pub(crate) fn new(
        setup: Setup,
        transport: Option<Arc<dyn Transport>>,
        recorder: Recorder,
    ) -> Self {
        let recorder = Arc::new(recorder);
        let wire = wire(&setup.config, transport.as_ref(), None, &recorder);
        let auth = stack(&setup, Arc::clone(&wire), &recorder);
        Self { setup, transport, recorder, wire, auth, settled: BoundedCache::default() }
    }

    /// Returns the statistics and the observer of the client.
    pub(crate) fn recorder(&self) -> &Recorder {
        &self.recorder
    }

    /// Returns the settings of the client.
    pub(crate) fn config(&self) -> &Config {
        &self.setup.config
    }

    /// Returns a registry. If the settings do not determine how to reach it, detects this on first
    /// use.
    pub(crate) async fn get(&self, registry: &RegistryName) -> Result<Arc<Host>> {
        let cell = self.settled.get_or_insert_with(registry.clone(), Arc::default);
        cell.get_or_try_init(|| self.determine(registry)).await.cloned()
    }

    /// Detects how to reach a registry.
    pub(crate) async fn detect(&self, registry: &RegistryName) -> Result<RegistrySettings> {
        let config = self.config();
        let root = |https| Ok::<_, Error>(endpoint(registry, https, &config.of(registry))?.root());
        let retried = |wire| {
            let recorder = Arc::clone(&self.recorder);
            Retry::new(wire, config.retry.clone(), Arc::default(), recorder)
        };
        let (secure, plain) = (root(true)?, root(false)?);
        let probe = Probe {
            checked: &retried(Arc::clone(&self.wire)),
            unchecked: &retried(self.accepting_wire(&secure)),
            secure,
            plain,
        };
        probe.detect(registry, config).await
    }

    async fn determine(&self, registry: &RegistryName) -> Result<Arc<Host>> {
        let config = self.config();
        let mut settings = config.of(registry);
        let detected = settings.rule == Rule::Detect;
        if detected {
            settings = config.resolve(registry, &self.detect(registry).await?);
        }
        let https = match settings.rule {
            Rule::Plain => false,
            Rule::Tls | Rule::Detect => true,
            Rule::Local => {
                let root = endpoint(registry, true, &settings)?.root();
                (settings.has_certificates() || config.folders.has(registry))
                    && speaks_tls(&root, &config.limits, &*self.wire).await
            }
        };
        let endpoint = endpoint(registry, https, &settings)?;
        let (auth, verification) = match https && settings.fallback {
            true => (self.accepting_stack(&endpoint.root()), Verification::Skip),
            false => (Arc::clone(&self.auth), settings.verification.unwrap_or_default()),
        };
        let danger = Danger::to(https, settings.fallback, config.stays_here(registry));
        Ok(Arc::new(Host {
            registry: registry.clone(),
            auth,
            endpoint,
            https,
            verification,
            detected: detected || settings.fallback,
            fallback: settings.fallback,
            exposed: danger == Some(Danger::Plain),
            danger: danger.filter(|_| !config.asks_for_plain_http(registry)),
        }))
    }

    /// Returns a wire that accepts any certificate at one registry's origin. Only requests to that
    /// registry use the wire. For requests of other registries to the same address, the settings
    /// decide which certificates are valid.
    fn accepting_wire(&self, root: &Uri) -> Arc<dyn Transport> {
        wire(&self.setup.config, self.transport.as_ref(), Origin::of(root), &self.recorder)
    }

    /// Returns the layers around such a wire.
    fn accepting_stack(&self, root: &Uri) -> Arc<Auth> {
        stack(&self.setup, self.accepting_wire(root), &self.recorder)
    }
}

impl fmt::Debug for Hosts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.auth.fmt(f)
    }
}

fn endpoint(registry: &RegistryName, https: bool, settings: &Resolved) -> Result<Endpoint> {
    Endpoint::new(registry, https, &settings.prefix).ok_or_else(|| {
        Error::new(ErrorKind::Invalid).at(registry).detail("it is not a valid host name")
    })
}

fn wire(
    config: &Arc<Config>,
    own: Option<&Arc<dyn Transport>>,
    accepted: Option<Origin>,
    recorder: &Arc<Recorder>,
) -> Arc<dyn Transport> {
    let wire = match own {
        Some(own) => Arc::clone(own),
        None => Arc::new(Wire::new(Arc::clone(config), accepted)),
    };
    Arc::new(Log::new(Arc::new(Observe::new(wire, Arc::clone(recorder)))))
}

/// Returns the layers around a wire, up to authentication.
fn stack(setup: &Setup, wire: Arc<dyn Transport>, recorder: &Arc<Recorder>) -> Arc<Auth> {
    let redirect = Arc::new(Redirect::new(wire));
    let places = setup.config.limits.requests_per_host;
    let pauses = Arc::default();
    let limit = Limit::new(redirect, places, Arc::clone(&pauses), Arc::clone(recorder));
    let policy = setup.config.retry.clone();
    let retried = Retry::new(Arc::new(limit), policy, pauses, Arc::clone(recorder));
    let retried = Arc::new(retried);
    Arc::new(Auth::new(retried, setup.clone()))
}
