//! Authenticates requests. This is the outermost layer of the transport.
//!
//! Sends credentials only to the registry's own origin and to its token service. Stores each
//! registry's authentication method, so that later requests are authenticated without a new
//! challenge. The sources of credentials are in `credentials`. [`Access`] states the scopes that a
//! request needs.

mod authenticator;
mod challenge;
mod explain;
mod method;
mod policy;
mod scope;
mod secret_policy;
mod token;
mod token_cache;
mod token_request;
mod token_service;

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use http::header::AUTHORIZATION;
use http::{HeaderValue, Request, Response, StatusCode, Uri};
use longshore_core::{RegistryName, Result};

use self::authenticator::Authenticator;
pub(crate) use self::challenge::{Challenge, KnownChallenge};
pub(crate) use self::explain::Question;
pub use self::explain::{AuthReport, CredentialLookup};
use self::method::Method;
pub(crate) use self::policy::Policies;
pub use self::policy::{Authentication, BasicAuth, InitialAuth, TokenService};
pub use self::scope::Scope;
pub(crate) use self::scope::Scopes;
pub(crate) use self::secret_policy::Danger;
pub use self::token::Token;
use self::token_cache::Preset;
use crate::bounded::BoundedCache;
use crate::capabilities::CapabilityCache;
use crate::config::Config;
use crate::credentials::{Credential, CredentialStore, Secret};
use crate::origin::Origin;
use crate::reply::{Identity, Secrets};
use crate::transport::redirect::FinalUri;
use crate::transport::{Body, Transport, TransportError, replay};

/// The access that a request needs, stored in the request's extensions. A request without an
/// `Access` is sent unchanged.
#[derive(Clone, Debug)]
pub(crate) struct Access {
    /// The registry whose credentials are used.
    pub(crate) registry: RegistryName,
    /// The registry's root URL. Credentials are sent only to the origin of this URL.
    pub(crate) root: Uri,
    /// True if the registry's certificate is verified, so that nobody else can write its replies.
    pub(crate) is_verified: bool,
    /// The danger of sending secrets to the registry, if there is one.
    pub(crate) danger: Option<Danger>,
    /// The scopes that the request's token must cover.
    pub(crate) scopes: Scopes,
}

/// The settings and credentials of a client.
#[derive(Clone, Debug)]
pub(crate) struct Setup {
    pub(crate) config: Arc<Config>,
    pub(crate) credentials: Arc<dyn CredentialStore>,
    pub(crate) policies: Policies,
    pub(crate) presets: Vec<PresetToken>,
    /// What earlier requests have shown about registries, such as their challenges.
    pub(crate) known: Arc<CapabilityCache>,
}

/// A token that the caller presets for a registry, for one scope or for all scopes.
#[derive(Clone, Debug)]
pub(crate) struct PresetToken {
    pub(crate) registry: RegistryName,
    pub(crate) scope: Option<Scope>,
    pub(crate) token: Secret,
}

/// The layer that adds credentials to requests, and handles a 401 or 403 once per request.
pub(crate) struct Auth {
    inner: Arc<dyn Transport>,
    setup: Setup,
    authenticators: BoundedCache<RegistryName, Arc<Authenticator>>,
}

impl Auth {
    pub(crate) fn new(inner: Arc<dyn Transport>, setup: Setup) -> Self {
        Self { inner, setup, authenticators: BoundedCache::default() }
    }

    fn authenticator(&self, registry: &RegistryName) -> Arc<Authenticator> {
        let new = || Arc::new(self.new_authenticator(registry));
        self.authenticators.get_or_insert_with(registry.clone(), new)
    }

    /// Makes an authenticator without any learned state.
    fn new_authenticator(&self, registry: &RegistryName) -> Authenticator {
        let own = self.setup.presets.iter().filter(|preset| preset.registry == *registry);
        let presets = own.filter_map(|preset| {
            let scopes = preset.scope.clone().map(|scope| Scopes::new([scope]));
            let header = token::header(&preset.token)?;
            Some(Preset { scopes, header, accepted: false, refused: false })
        });
        let settings = self.setup.policies.of(registry).clone();
        Authenticator::new(Arc::clone(&self.inner), &self.setup, settings, presets.collect())
    }

    /// Handles a 401: renews the refused authorization, and sends the request again if its body can
    /// be replayed.
    ///
    /// If there is no newer authorization, sends the refused authorization once more if the
    /// registry had accepted it before. Registries, and proxies in front of them, sometimes refuse
    /// a valid password.
    async fn answer(
        &self,
        authenticator: &Authenticator,
        access: &Access,
        refused: Refused,
        sent: &mut Vec<HeaderValue>,
    ) -> Result<Response<Body>, TransportError> {
        let Refused { header, was_accepted, reply, again } = refused;
        let was_accepted = authenticator.forget(header.as_ref()) || was_accepted;
        let challenged = match authenticator.learn(access, reply.headers()).await {
            // The 401 may come from a proxy, whose challenge does not describe the registry.
            Err(_) if was_accepted && authenticator.method() == Some(Method::Basic) => {
                Scopes::default()
            }
            challenged => challenged?,
        };
        // A streamed body cannot be sent again. The caller gets the 401.
        let Some(again) = again else { return Ok(reply) };
        let renewed = authenticator.authorization(access, &challenged).await?;
        let preset =
            || header.clone().filter(|header| was_accepted && authenticator.is_preset(header));
        let renewed = renewed.or_else(preset);
        let before = header.filter(|_| !was_accepted);
        self.send_again(authenticator, again, reply, before, renewed, sent).await
    }

    /// Handles a 403 if other credentials may help. The credentials that were sent may have
    /// expired: ECR then answers 403. Some registries also answer an anonymous request with a 403
    /// instead of a challenge.
    async fn answer_denial(
        &self,
        authenticator: &Authenticator,
        access: &Access,
        refused: Refused,
        sent: &mut Vec<HeaderValue>,
    ) -> Result<Response<Body>, TransportError> {
        let Refused { header, reply, again, .. } = refused;
        let may_help = match &header {
            Some(header) => authenticator.may_renew(access, header),
            None => again.is_some() && authenticator.may_probe(),
        };
        // A streamed body cannot be sent again. The next request uses the newer credential.
        let Some(again) = again.filter(|_| may_help) else { return Ok(reply) };
        if header.is_none() {
            // Another anonymous request would get the same reply.
            if !authenticator.credential(access).await.is_ok_and(|found| !found.is_anonymous()) {
                return Ok(reply);
            }
            authenticator.probe(access).await?;
        }
        let renewed = authenticator.authorization(access, &Scopes::default()).await?;
        self.send_again(authenticator, again, reply, header, renewed, sent).await
    }

    /// Sends a request once more if `now` holds an authorization other than `before`.
    async fn send_again(
        &self,
        authenticator: &Authenticator,
        mut again: Request<Body>,
        reply: Response<Body>,
        before: Option<HeaderValue>,
        now: Option<HeaderValue>,
        sent: &mut Vec<HeaderValue>,
    ) -> Result<Response<Body>, TransportError> {
        if now.is_none() || now == before {
            return Ok(reply);
        }
        reply.into_body().drain().await;
        sent.extend(now.clone());
        authorize(&mut again, now.clone());
        let reply = self.inner.send(again).await?;
        record_acceptance(authenticator, now.as_ref(), &reply);
        Ok(reply)
    }
}

/// A request that was refused.
struct Refused {
    header: Option<HeaderValue>,
    /// True if the registry had accepted the header before this request was sent. Recorded per
    /// request, because the first of several concurrent refusals clears the authenticator's record.
    was_accepted: bool,
    reply: Response<Body>,
    again: Option<Request<Body>>,
}

#[async_trait]
impl Transport for Auth {
    async fn send(&self, mut request: Request<Body>) -> Result<Response<Body>, TransportError> {
        let access = request.extensions().get::<Access>().cloned();
        let own = |access: &Access, uri: &Uri| Origin::of(&access.root) == Origin::of(uri);
        let Some(access) = access.filter(|access| own(access, request.uri())) else {
            return self.inner.send(request).await;
        };
        let authenticator = self.authenticator(&access.registry);
        let header = authenticator.authorization(&access, &Scopes::default()).await?;
        let again = replay(&request);
        // A refused authorization is dropped from the cache, but must still be redacted in the
        // error.
        let mut sent: Vec<_> = header.iter().cloned().collect();
        let was_accepted = header.as_ref().is_some_and(|header| authenticator.has_accepted(header));
        authorize(&mut request, header.clone());
        let mut reply = self.inner.send(request).await?;
        record_acceptance(&authenticator, header.as_ref(), &reply);
        // A storage server behind a redirect must not get the registry's credentials.
        if reply.extensions().get::<FinalUri>().is_none_or(|uri| own(&access, &uri.0)) {
            let status = reply.status();
            let refused = Refused { header, was_accepted, reply, again };
            reply = match status {
                StatusCode::UNAUTHORIZED => {
                    self.answer(&authenticator, &access, refused, &mut sent).await?
                }
                StatusCode::FORBIDDEN => {
                    self.answer_denial(&authenticator, &access, refused, &mut sent).await?
                }
                _ => refused.reply,
            };
        }
        if reply.status().is_client_error() {
            let identity = authenticator.identity(&access);
            let secrets = Secrets::new(move || {
                let sent = sent.iter().flat_map(|header| Credential::from_header(header).secrets());
                sent.chain(authenticator.secrets()).collect()
            });
            reply.extensions_mut().insert(Identity { description: identity, secrets });
        }
        Ok(reply)
    }
}

impl fmt::Debug for Auth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Auth({:?}, {:?})", self.setup.credentials, self.inner)
    }
}

/// Records that the registry accepted an authorization. A 404 counts as acceptance: in a first
/// push, every check for a blob gets a 404.
fn record_acceptance(
    authenticator: &Authenticator,
    sent: Option<&HeaderValue>,
    reply: &Response<Body>,
) {
    let accepted = reply.status().is_success() || reply.status() == StatusCode::NOT_FOUND;
    if let Some(sent) = sent.filter(|_| accepted) {
        authenticator.record_accepted(sent);
    }
}

fn authorize(request: &mut Request<Body>, header: Option<HeaderValue>) {
    if let Some(header) = header {
        request.headers_mut().insert(AUTHORIZATION, header);
    }
}
