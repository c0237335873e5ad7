//! Authenticates requests to one registry: learns the registry's authentication method, gets
//! credentials from the store, and requests tokens.
//!
//! [`TokenCache`] stores the results. [`Auth`](super::Auth) decides when a request is sent again.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use http::{HeaderMap, HeaderValue, Method as HttpMethod, Request, StatusCode};
use longshore_core::{Error, ErrorKind, Result};
use tokio::time::Instant;

use super::challenge::Challenge;
use super::method::{Method, Service, choose, requires_catalog_scope};
use super::policy::{Authentication, BasicAuth, InitialAuth};
use super::scope::Scopes;
use super::token::Token;
use super::token_cache::{Preset, TokenCache};
use super::token_service::{self, TokenRequest};
use super::{Access, Setup};
use crate::capabilities::CapabilityCache;
use crate::config::Config;
use crate::credentials::{Credential, CredentialStore, InsecureUse, Secret};
use crate::origin::Origin;
use crate::transport::{Body, Transport, TransportError};

/// The authentication state of one registry, and the means to renew it.
pub(crate) struct Authenticator {
    transport: Arc<dyn Transport>,
    store: Arc<dyn CredentialStore>,
    config: Arc<Config>,
    known: Arc<CapabilityCache>,
    settings: Authentication,
    cache: Mutex<TokenCache>,
    /// The lock that allows one lookup in the store at a time, because the store may prompt the
    /// user.
    lookup_lock: tokio::sync::Mutex<()>,
}

impl Authenticator {
    pub(crate) fn new(
        transport: Arc<dyn Transport>,
        setup: &Setup,
        settings: Authentication,
        presets: Vec<Preset>,
    ) -> Self {
        Self {
            transport,
            store: Arc::clone(&setup.credentials),
            config: Arc::clone(&setup.config),
            known: Arc::clone(&setup.known),
            settings,
            cache: Mutex::new(TokenCache::new(presets)),
            lookup_lock: tokio::sync::Mutex::default(),
        }
    }

    /// Returns the clause that describes a request's identity in errors.
    pub(crate) fn identity(&self, access: &Access) -> String {
        if self.preset(access, &access.scopes).is_some() {
            return "a token from the caller".to_owned();
        }
        let cache = self.cache();
        let source = cache.source(&access.scopes.repository());
        source.unwrap_or("anonymous (the registry requested no credentials)").to_owned()
    }

    /// Returns the cached secrets, which must not appear in errors.
    pub(crate) fn secrets(&self) -> Vec<Secret> {
        self.cache().secrets()
    }

    /// Returns the registry's authentication method, if known.
    pub(crate) fn method(&self) -> Option<Method> {
        self.cache().method.clone()
    }

    /// Returns the `Authorization` header for a request, or `None` for an anonymous request.
    ///
    /// If the registry uses a token service, requests a token unless a cached token covers the
    /// scopes. `challenged` holds the scopes that the registry's challenge named.
    pub(crate) async fn authorization(
        &self,
        access: &Access,
        challenged: &Scopes,
    ) -> Result<Option<HeaderValue>, TransportError> {
        let wanted = access.scopes.and(challenged);
        if let Some(preset) = self.preset(access, &wanted) {
            return Ok(Some(preset));
        }
        let method = match self.method() {
            Some(method) => method,
            None => match self.initial_method(access).await? {
                Some(method) => method,
                None => return Ok(None),
            },
        };
        let credential = self.credential(access).await?;
        let refusal = match self.header(access, &method, &credential, &wanted).await {
            Ok(header) => return Ok(header),
            Err(refusal) => refusal,
        };
        // The registry may have changed its token service. Its next challenge names the new one.
        if self.forget_remembered(access, &method) {
            tracing::debug!(error = %refusal.into_error(), "forgot the challenge of an earlier client");
            return Ok(None);
        }
        if self.may_have_expired(&credential, &refusal) {
            let newer = self.credential(access).await?;
            if newer != credential {
                return self.header(access, &method, &newer, &wanted).await;
            }
        }
        Err(refusal)
    }

    /// Returns the header made from a credential, or from a token obtained with that credential.
    async fn header(
        &self,
        access: &Access,
        method: &Method,
        credential: &Arc<Credential>,
        wanted: &Scopes,
    ) -> Result<Option<HeaderValue>, TransportError> {
        if let Some(bearer) = credential.bearer() {
            return Ok(Some(bearer));
        }
        match method {
            Method::Basic if self.settings.basic == BasicAuth::Never => Ok(None),
            Method::Basic => Ok(credential.basic()),
            Method::Bearer(service) => self.token(access, service, credential, wanted).await,
        }
    }

    /// Returns true if a token service may have refused a credential because the credential has
    /// expired.
    fn may_have_expired(&self, credential: &Arc<Credential>, refusal: &TransportError) -> bool {
        let refused = matches!(refusal.kind(), ErrorKind::Unauthorized | ErrorKind::Denied);
        refused && self.cache().may_have_expired(credential)
    }

    /// Learns the registry's authentication method from a 401. Returns the scopes that the
    /// challenge names.
    pub(crate) async fn learn(&self, access: &Access, headers: &HeaderMap) -> Result<Scopes> {
        let unusable = |clause: &str| {
            Error::new(ErrorKind::Unauthorized).detail(clause.to_owned()).with_status(401)
        };
        let challenges = Challenge::all(headers).map_err(unusable)?;
        self.credential(access).await?;
        // Google's registries answer some requests with a 401 that has no challenge. Ignore such
        // replies.
        if challenges.is_empty() {
            return Ok(Scopes::default());
        }
        let (method, scopes) = choose(&challenges, &access.root, &self.settings)
            .map_err(|clause| unusable(&clause))?;
        let mut cache = self.cache();
        if let (Some(Method::Bearer(before)), Method::Bearer(now)) = (&cache.method, &method)
            && Origin::of(&before.realm) != Origin::of(&now.realm)
            && !cache.is_remembered
        {
            return Err(unusable("the registry now names a different token service"));
        }
        (cache.method, cache.is_remembered) = (Some(method), false);
        drop(cache);
        let challenge = Challenge::remember(&challenges, access.is_verified);
        self.known.update(&access.registry, |known| known.capabilities.challenge = challenge);
        Ok(scopes)
    }

    /// Begins to use the method that an earlier client learned, if it is still usable, and returns it.
    fn use_remembered(&self, access: &Access) -> Option<Method> {
        let known = self.known.of(&access.registry).capabilities.challenge;
        let known = known.filter(|known| known.is_usable(access.is_verified))?;
        let challenges = Challenge::remembered(known);
        let (method, _) = choose(&challenges, &access.root, &self.settings).ok()?;
        let mut cache = self.cache();
        (cache.method, cache.is_remembered) = (Some(method.clone()), true);
        Some(method)
    }

    /// Drops a method that failed, if an earlier client learned it and this client has not confirmed
    /// it. Returns true if the request may succeed without the method: also if another request
    /// dropped or replaced the method in the meantime.
    fn forget_remembered(&self, access: &Access, failed: &Method) -> bool {
        let mut cache = self.cache();
        if !std::mem::take(&mut cache.is_remembered) {
            return cache.method.as_ref() != Some(failed);
        }
        cache.method = None;
        drop(cache);
        self.known.update(&access.registry, |known| known.capabilities.challenge = None);
        true
    }

    /// Sends `GET /v2/`, and learns the authentication method if the reply is a 401.
    pub(crate) async fn probe(&self, access: &Access) -> Result<(), TransportError> {
        self.cache().probed = true;
        let mut request = Request::new(Body::Empty);
        *request.method_mut() = HttpMethod::GET;
        *request.uri_mut() = access.root.clone();
        let reply = self.transport.send(request).await?;
        if reply.status() == StatusCode::UNAUTHORIZED {
            self.learn(access, reply.headers()).await?;
        }
        reply.into_body().drain().await;
        Ok(())
    }

    /// Returns true if a 403 to an anonymous request may mean that credentials are missing. At most
    /// one call returns true.
    pub(crate) fn may_probe(&self) -> bool {
        let mut cache = self.cache();
        let may = cache.method.is_none() && !cache.probed;
        cache.probed = true;
        may
    }

    /// Drops the token or the credential that a refused header was made from. The next request then
    /// gets a new token, or queries the store again. Returns true if the registry had accepted the
    /// header before.
    pub(crate) fn forget(&self, refused: Option<&HeaderValue>) -> bool {
        refused.is_some_and(|refused| self.cache().forget(refused))
    }

    /// Returns true if another credential may help after this header was denied. See
    /// [`TokenCache::may_renew`].
    pub(crate) fn may_renew(&self, access: &Access, denied: &HeaderValue) -> bool {
        self.cache().may_renew(&access.scopes.repository(), denied)
    }

    /// Returns true if this header holds a token that the caller preset.
    pub(crate) fn is_preset(&self, header: &HeaderValue) -> bool {
        self.cache().presets.iter().any(|preset| preset.header == *header)
    }

    /// Returns true if the registry accepted this header and has not refused it since.
    pub(crate) fn has_accepted(&self, header: &HeaderValue) -> bool {
        self.cache().accepted_flags(header).any(|accepted| *accepted)
    }

    /// Records that the registry accepted this header.
    pub(crate) fn record_accepted(&self, header: &HeaderValue) {
        self.cache().record_accepted(header);
    }

    /// Returns the credential for a repository, or an anonymous credential if the repository's
    /// credential must not be sent to this registry.
    pub(crate) async fn credential(&self, access: &Access) -> Result<Arc<Credential>> {
        let repository = access.scopes.repository();
        if let Some(found) = self.cache().credential(&repository) {
            return Ok(found);
        }
        let _one_at_a_time = self.lookup_lock.lock().await;
        if let Some(found) = self.cache().credential(&repository) {
            return Ok(found);
        }
        let found = self.store.get(&access.registry, repository.as_ref()).await?;
        let found = Arc::new(self.withhold_if_unsafe(access, found));
        self.cache().keep(repository, &found);
        Ok(found)
    }

    /// Returns the credential if it may be sent to the registry. Otherwise, returns an anonymous
    /// credential whose source gives the reason.
    fn withhold_if_unsafe(&self, access: &Access, found: Credential) -> Credential {
        let Some(danger) = access.danger.filter(|d| !d.is_accepted(found.insecure_use())) else {
            return found;
        };
        let source = match found.is_anonymous() {
            true if self.cache().presets.iter().all(|preset| preset.refused) => return found,
            true => "tokens from the caller",
            false => found.source(),
        };
        Credential::anonymous(danger.clause(source, &access.registry))
    }

    fn preset(&self, access: &Access, wanted: &Scopes) -> Option<HeaderValue> {
        let cache = self.cache();
        let covers = |preset: &&Preset| preset.scopes.as_ref().is_none_or(|s| s.cover(wanted));
        // The caller preset the token for exactly this registry, so the token may be sent over
        // plain HTTP within this machine.
        let may_send =
            access.danger.is_none_or(|danger| danger.is_accepted(InsecureUse::ThisMachine));
        let mut presets = cache.presets.iter().filter(|preset| may_send && !preset.refused);
        let preset = presets.find(covers)?;
        Some(preset.header.clone())
    }

    /// Returns the credential if it may be sent to the token service that the registry names.
    /// Otherwise, returns an anonymous credential. A service that the caller configured always gets
    /// the credential.
    fn for_service(
        &self,
        access: &Access,
        service: &Service,
        credential: &Arc<Credential>,
    ) -> Arc<Credential> {
        let danger = access.danger.filter(|_| self.settings.token_service.is_none());
        let danger = danger.and_then(|danger| danger.at_service(&service.realm, &self.config));
        match danger.filter(|danger| !danger.is_accepted(credential.insecure_use())) {
            Some(danger) if !credential.is_anonymous() => {
                let host = service.realm.host().unwrap_or_default();
                let withheld = format!("{}, requested by {host},", credential.source());
                let clause = danger.clause(&withheld, &access.registry);
                Arc::new(Credential::anonymous(clause))
            }
            _ => Arc::clone(credential),
        }
    }

    /// Determines the method to use before the first challenge, according to the settings.
    async fn initial_method(&self, access: &Access) -> Result<Option<Method>, TransportError> {
        if let Some(service) = &self.settings.token_service {
            let method = Method::Bearer(Service::configured(service));
            self.cache().method = Some(method.clone());
            return Ok(Some(method));
        }
        match self.settings.opening {
            InitialAuth::Anonymous => Ok(self.use_remembered(access)),
            InitialAuth::Basic => Ok(Some(Method::Basic)),
            InitialAuth::Probe if self.cache().probed => Ok(None),
            InitialAuth::Probe => {
                self.probe(access).await?;
                Ok(self.method())
            }
        }
    }

    /// Returns the header of a cached or new token for the scopes. Returns the Basic header instead
    /// if the token service fails, or has failed recently, and the registry also offers Basic.
    async fn token(
        &self,
        access: &Access,
        service: &Service,
        credential: &Arc<Credential>,
        wanted: &Scopes,
    ) -> Result<Option<HeaderValue>, TransportError> {
        let key = (Arc::clone(credential), access.scopes.clone());
        let gate = self.cache().gate(&key);
        let _one_at_a_time = gate.lock().await;
        let basic = credential.basic().filter(|_| service.basic_too);
        let now = Instant::now();
        {
            let mut cache = self.cache();
            if let Some(header) = cache.token(credential, wanted) {
                return Ok(Some(header));
            }
            if let (Some(basic), Some(until)) = (&basic, cache.basic_until)
                && until > now
            {
                return Ok(Some(basic.clone()));
            }
        }
        let (requested, refresh) = {
            let cache = self.cache();
            (cache.requested_scopes(&key).and(wanted), cache.refresh(credential))
        };
        match self.fetch(access, service, credential, refresh, &requested).await {
            Ok(token) => {
                let header = token.header();
                self.cache().keep_token(key, requested, &token, now);
                Ok(header)
            }
            Err(error) => {
                self.cache().drop_credential(credential);
                let Some(basic) = basic else { return Err(error) };
                tracing::debug!(error = %error.into_error(), "falling back to Basic");
                let mut cache = self.cache();
                cache.keep(access.scopes.repository(), credential);
                cache.basic_until = Some(Instant::now() + FALL_BACK);
                Ok(Some(basic))
            }
        }
    }

    /// Requests a new token for a repository from the token service.
    pub(crate) async fn fetch_token(
        &self,
        access: &Access,
        service: &Service,
        wanted: &Scopes,
    ) -> Result<Token, TransportError> {
        let credential = self.credential(access).await?;
        self.fetch(access, service, &credential, None, wanted).await
    }

    async fn fetch(
        &self,
        access: &Access,
        service: &Service,
        own: &Arc<Credential>,
        refresh: Option<Secret>,
        wanted: &Scopes,
    ) -> Result<Token, TransportError> {
        let allowed = self.for_service(access, service, own);
        let credential = match (&service.login, &refresh) {
            (Some(login), _) => Arc::new(Credential::login(
                login.user.as_str(),
                login.password.clone(),
                "the URL of the token service",
            )),
            (None, Some(refresh)) => {
                let (user, source) = (own.user().unwrap_or_default(), "the token service");
                Arc::new(Credential::identity_token(user, refresh.clone(), source))
            }
            (None, None) => Arc::clone(&allowed),
        };
        let wanted = match wanted.is_empty() && requires_catalog_scope(&access.registry) {
            true => Scopes::new([super::Scope::catalog()]),
            false => wanted.clone(),
        };
        let request = TokenRequest { service, scopes: &wanted, credential: &credential };
        let fetched = token_service::fetch(&*self.transport, request, &self.settings).await;
        match fetched {
            // The refresh token may have expired. Try the credentials that it replaced.
            Err(_) if refresh.is_some() && service.login.is_none() => {
                let request = TokenRequest { credential: &allowed, ..request };
                token_service::fetch(&*self.transport, request, &self.settings).await
            }
            fetched => fetched,
        }
    }

    fn cache(&self) -> MutexGuard<'_, TokenCache> {
        self.cache.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// 5 minutes: the time for which Basic replaces a token service that failed.
const FALL_BACK: Duration = Duration::from_secs(300);
