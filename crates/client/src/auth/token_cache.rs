//! The authentication state of one registry: the method, the credentials and the tokens.
//!
//! Credentials are compared by value, and the numbers of credentials and tokens are limited. Memory
//! use therefore stays bounded even if passwords change often.

use std::sync::Arc;
use std::time::Duration;

use http::HeaderValue;
use longshore_core::RepositoryName;
use tokio::time::Instant;

use super::method::Method;
use super::scope::Scopes;
use super::token::{self, Token};
use crate::bounded::BoundedMap;
use crate::credentials::{Credential, Secret};

/// The authentication state of one registry.
pub(super) struct TokenCache {
    pub(super) method: Option<Method>,
    /// True if an earlier client learned the method, and the registry has not confirmed it.
    pub(super) is_remembered: bool,
    /// Basic replaces a failed token service until this time.
    pub(super) basic_until: Option<Instant>,
    /// True after the first probe for a challenge, or after the first 403 to an anonymous request.
    /// The registry is then not probed again.
    pub(super) probed: bool,
    pub(super) presets: Vec<Preset>,
    /// The credential for each repository, and for the registry itself.
    repositories: BoundedMap<Option<RepositoryName>, Arc<Credential>>,
    /// The credentials that the store returned, including refused credentials. Errors must not show
    /// their secrets.
    credentials: BoundedMap<Arc<Credential>, Use>,
    grants: BoundedMap<GrantKey, Grant>,
}

/// A credential, and the scopes that a request needs. The token for this key may cover more scopes.
pub(super) type GrantKey = (Arc<Credential>, Scopes);

/// The state of one credential.
struct Use {
    /// The time at which the store last returned the credential.
    returned_at: Instant,
    /// The header made from the credential for the registry.
    header: Option<HeaderValue>,
    /// The refresh token that the token service issued to replace the credential.
    refresh: Option<Secret>,
    /// True if the registry accepted the header and has not refused it since. Fields named
    /// `accepted` in other types have the same meaning.
    accepted: bool,
}

/// The current token for one [`GrantKey`].
#[derive(Default)]
struct Grant {
    /// The lock that allows one request to the token service at a time.
    gate: Arc<tokio::sync::Mutex<()>>,
    /// The scopes of the last token request. They are kept after the token is dropped.
    requested: Scopes,
    /// The token. `None` before the first token, and after the token was refused or has expired.
    token: Option<CachedToken>,
}

/// A token and its state.
struct CachedToken {
    header: HeaderValue,
    expires: Instant,
    accepted: bool,
}

/// A token that the caller preset, for one scope or for all scopes.
#[derive(Clone)]
pub(crate) struct Preset {
    pub(crate) scopes: Option<Scopes>,
    pub(crate) header: HeaderValue,
    pub(crate) accepted: bool,
    /// True if the registry refused the token and has not accepted it since. Such a token is sent
    /// only as a last resort.
    pub(crate) refused: bool,
}

impl TokenCache {
    pub(super) fn new(presets: Vec<Preset>) -> Self {
        Self {
            method: None,
            is_remembered: false,
            basic_until: None,
            probed: false,
            presets,
            repositories: BoundedMap::new(LIMIT),
            credentials: BoundedMap::new(LIMIT),
            grants: BoundedMap::new(LIMIT),
        }
    }

    /// Returns the cached credential for a repository, unless it is about to expire.
    pub(super) fn credential(
        &mut self,
        repository: &Option<RepositoryName>,
    ) -> Option<Arc<Credential>> {
        let found = Arc::clone(self.repositories.get(repository)?);
        if found.is_expired(Instant::now() + EARLY) {
            self.drop_credential(&found);
            return None;
        }
        self.credentials.get(&found);
        Some(found)
    }

    /// Returns the source of the credential for a repository.
    pub(super) fn source(&self, repository: &Option<RepositoryName>) -> Option<&str> {
        self.repositories.peek(repository).map(|credential| credential.source())
    }

    /// Caches the credential that the store returned for a repository.
    pub(super) fn keep(
        &mut self,
        repository: Option<RepositoryName>,
        credential: &Arc<Credential>,
    ) {
        self.repositories.insert(repository, Arc::clone(credential));
        let returned_at = Instant::now();
        if let Some(usage) = self.credentials.get(credential) {
            usage.returned_at = returned_at;
            return;
        }
        let header = credential.bearer().or_else(|| credential.basic());
        let new = Use { returned_at, header, refresh: None, accepted: false };
        if let Some(dropped) = self.credentials.insert(Arc::clone(credential), new) {
            self.drop_credential(&dropped);
            self.grants.retain(|(owner, _), _| *owner != dropped);
        }
    }

    /// Drops a credential for all repositories, so that the store is queried again.
    pub(super) fn drop_credential(&mut self, credential: &Arc<Credential>) {
        self.repositories.retain(|_, used| used != credential);
    }

    /// Returns true if another credential may help after this header was denied. The repository may
    /// already have another credential. Otherwise, the denied credential is dropped if it may have
    /// expired.
    pub(super) fn may_renew(
        &mut self,
        repository: &Option<RepositoryName>,
        denied: &HeaderValue,
    ) -> bool {
        let Some(owner) = self.owner(denied) else { return false };
        if self.repositories.peek(repository) != Some(&owner) {
            return true;
        }
        let may_have_expired = self.may_have_expired(&owner);
        if may_have_expired {
            self.drop_credential(&owner);
        }
        may_have_expired
    }

    /// Returns true if a credential has expired, or if the store returned it so long ago that it
    /// may have expired.
    pub(super) fn may_have_expired(&self, credential: &Arc<Credential>) -> bool {
        let now = Instant::now();
        let returned_at = self.credentials.peek(credential).map(|usage| usage.returned_at);
        let is_old = returned_at.is_none_or(|returned_at| now - returned_at >= MAY_HAVE_EXPIRED);
        is_old || credential.is_expired(now)
    }

    /// Returns the credential that a header was made from, or that the header's token was issued
    /// for.
    fn owner(&self, header: &HeaderValue) -> Option<Arc<Credential>> {
        let own =
            self.credentials.iter().filter(|(_, usage)| usage.header.as_ref() == Some(header));
        let of_token = |(key, grant): (&'_ GrantKey, &'_ Grant)| {
            let is_its = grant.token.as_ref().is_some_and(|token| token.header == *header);
            is_its.then(|| Arc::clone(&key.0))
        };
        let mut own = own.map(|(credential, _)| Arc::clone(credential));
        own.next().or_else(|| self.grants.iter().find_map(of_token))
    }

    /// Returns the refresh token that the token service issued to replace a credential.
    pub(super) fn refresh(&self, credential: &Arc<Credential>) -> Option<Secret> {
        self.credentials.peek(credential)?.refresh.clone()
    }

    /// Returns the lock to hold during a token request, so that one request serves all waiting
    /// callers.
    pub(super) fn gate(&mut self, key: &GrantKey) -> Arc<tokio::sync::Mutex<()>> {
        if let Some(grant) = self.grants.get(key) {
            return Arc::clone(&grant.gate);
        }
        let grant = Grant::default();
        let gate = Arc::clone(&grant.gate);
        self.grants.insert(key.clone(), grant);
        gate
    }

    /// Returns the header of a token that covers the scopes and is not about to expire.
    pub(super) fn token(
        &mut self,
        owner: &Arc<Credential>,
        wanted: &Scopes,
    ) -> Option<HeaderValue> {
        self.drop_expired();
        let covers = |key: &GrantKey, grant: &Grant| {
            grant.token.is_some() && key.0 == *owner && grant.requested.cover(wanted)
        };
        let key = self.grants.iter().find(|(key, grant)| covers(key, grant))?.0.clone();
        Some(self.grants.get(&key)?.token.as_ref()?.header.clone())
    }

    /// Returns the scopes last requested for this key.
    pub(super) fn requested_scopes(&self, key: &GrantKey) -> Scopes {
        self.grants.peek(key).map(|grant| grant.requested.clone()).unwrap_or_default()
    }

    /// Stores a token that the service issued for these scopes at this time.
    pub(super) fn keep_token(
        &mut self,
        key: GrantKey,
        requested: Scopes,
        token: &Token,
        at: Instant,
    ) {
        self.drop_expired();
        if let (Some(refresh), Some(credential)) =
            (token.refresh.clone(), self.credentials.get(&key.0))
        {
            credential.refresh = Some(refresh);
        }
        let cached = token.header().map(|header| CachedToken {
            header,
            expires: at + token.lifetime,
            accepted: false,
        });
        let gate = self.gate(&key);
        self.grants.insert(key, Grant { gate, requested, token: cached });
    }

    /// Drops every token that has expired or is about to expire.
    fn drop_expired(&mut self) {
        let soon = Instant::now() + EARLY;
        self.grants.values_mut().for_each(|grant| {
            grant.token.take_if(|token| token.expires <= soon);
        });
    }

    /// Returns the cached secrets, which must not appear in errors.
    pub(super) fn secrets(&self) -> Vec<Secret> {
        let credentials = self.credentials.iter().flat_map(|(credential, _)| credential.secrets());
        let refresh = self.credentials.iter().filter_map(|(_, usage)| usage.refresh.clone());
        let tokens = self.grants.iter().filter_map(|(_, grant)| grant.token.as_ref());
        let headers = tokens.map(|token| &token.header);
        let headers = headers.chain(self.presets.iter().map(|preset| &preset.header));
        credentials.chain(refresh).chain(headers.filter_map(token::from_header)).collect()
    }

    /// Records that the registry accepted this header.
    pub(super) fn record_accepted(&mut self, header: &HeaderValue) {
        self.accepted_flags(header).for_each(|accepted| *accepted = true);
        let presets = self.presets.iter_mut().filter(|preset| preset.header == *header);
        presets.for_each(|preset| preset.refused = false);
    }

    /// Returns the `accepted` flags of this header.
    pub(super) fn accepted_flags(
        &mut self,
        header: &HeaderValue,
    ) -> impl Iterator<Item = &mut bool> {
        let Self { credentials, grants, presets, .. } = self;
        let credentials = credentials.values_mut().filter(|c| c.header.as_ref() == Some(header));
        let tokens = grants.values_mut().filter_map(|grant| grant.token.as_mut());
        let tokens = tokens.filter(|token| token.header == *header);
        let presets = presets.iter_mut().filter(|preset| preset.header == *header);
        let own = credentials.map(|credential| &mut credential.accepted);
        own.chain(tokens.map(|token| &mut token.accepted)).chain(presets.map(|p| &mut p.accepted))
    }

    /// Drops the token or the credential that a refused header was made from. The next request then
    /// gets a new token, or queries the store again. A preset token is kept, and marked as refused.
    /// Returns true if the registry had accepted the header before.
    pub(super) fn forget(&mut self, refused: &HeaderValue) -> bool {
        let was_accepted = self
            .accepted_flags(refused)
            .fold(false, |was, accepted| was | std::mem::take(accepted));
        self.grants.values_mut().for_each(|grant| {
            grant.token.take_if(|token| token.header == *refused);
        });
        let presets = self.presets.iter_mut().filter(|preset| preset.header == *refused);
        presets.for_each(|preset| preset.refused = true);
        let Self { repositories, credentials, basic_until, .. } = self;
        let sends = |credential: &Arc<Credential>| {
            credentials.peek(credential).is_some_and(|c| c.header.as_ref() == Some(refused))
        };
        if repositories.iter().any(|(_, credential)| sends(credential)) {
            repositories.retain(|_, credential| !sends(credential));
            *basic_until = None;
        }
        was_accepted
    }
}

/// 5 s: a token or credential that expires sooner might expire in transit. Real lifetimes are
/// longer.
const EARLY: Duration = Duration::from_secs(5);

/// 10 minutes: cloud credentials are valid for longer (AWS: at least 15 minutes). This value also
/// limits how often denials query a store that prompts the user or runs a program.
const MAY_HAVE_EXPIRED: Duration = Duration::from_secs(600);

/// The maximum number of repositories, of credentials and of tokens per registry. A token is a few
/// KiB in size.
const LIMIT: usize = 1024;

#[cfg(test)]
mod tests {
    use super::*;

    fn credential(number: usize) -> Arc<Credential> {
        Arc::new(Credential::login("user", Secret::new(format!("password-{number}")), "a test"))
    }

    fn repository(number: usize) -> Option<RepositoryName> {
        Some(format!("a/{number}").parse().unwrap())
    }

    fn pull(number: usize) -> Scopes {
        Scopes::parse(&format!("repository:a/{number}:pull"))
    }

    fn token(number: usize, seconds: u64) -> Token {
        let body = format!("{{\"token\":\"token-{number}\",\"expires_in\":{seconds}}}");
        token::parse(body.as_bytes()).unwrap()
    }

    fn texts(cache: &TokenCache) -> Vec<String> {
        cache.secrets().iter().map(|secret| secret.expose().to_owned()).collect()
    }

    #[test]
    fn the_cache_stays_bounded_while_passwords_change() {
        let mut cache = TokenCache::new(Vec::new());
        cache.keep(repository(0), &credential(0));
        for number in 1..=3 * LIMIT {
            let credential = credential(number);
            cache.keep(repository(1), &credential);
            cache.keep_token(
                (Arc::clone(&credential), pull(1)),
                pull(1),
                &token(1, 300),
                Instant::now(),
            );
            assert!(cache.token(&credential, &pull(1)).is_some());
            assert!(!cache.forget(&credential.basic().unwrap()));
        }
        assert_eq!(cache.credentials.iter().count(), LIMIT);
        assert_eq!(cache.grants.iter().count(), LIMIT);
        assert_eq!(
            cache.credential(&repository(0)),
            None,
            "the entry is dropped with its credential"
        );
        let shown = texts(&cache);
        assert!(shown.contains(&format!("password-{}", 3 * LIMIT)));
        assert!(!shown.contains(&"password-1".to_owned()));
    }

    #[test]
    fn entries_in_use_stay_cached_with_any_number_of_repositories() {
        let mut cache = TokenCache::new(Vec::new());
        let user = credential(0);
        for number in 0..3 * LIMIT {
            cache.keep(repository(number), &user);
            cache.keep_token(
                (Arc::clone(&user), pull(number)),
                pull(number),
                &token(number, 300),
                Instant::now(),
            );
            assert!(cache.token(&user, &pull(0)).is_some());
            assert!(cache.credential(&repository(0)).is_some());
        }
        assert_eq!(cache.repositories.iter().count(), LIMIT);
        assert_eq!(cache.grants.iter().count(), LIMIT);
        assert_eq!(cache.token(&user, &pull(1)), None);
    }

    #[test]
    fn equal_credentials_share_their_tokens() {
        let mut cache = TokenCache::new(Vec::new());
        cache.keep(repository(0), &credential(7));
        cache.keep(repository(1), &credential(7));
        assert_eq!(cache.credentials.iter().count(), 1);
        cache.keep_token((credential(7), pull(0)), pull(0), &token(0, 300), Instant::now());
        assert!(cache.token(&credential(7), &pull(0)).is_some());
        assert_eq!(cache.token(&credential(8), &pull(0)), None);
    }

    #[tokio::test(start_paused = true)]
    async fn an_expired_token_is_dropped_but_its_requested_scopes_are_kept() {
        let mut cache = TokenCache::new(Vec::new());
        let user = credential(0);
        for (number, seconds) in [(0, 60), (1, 300)] {
            cache.keep_token(
                (Arc::clone(&user), pull(number)),
                pull(number),
                &token(number, seconds),
                Instant::now(),
            );
        }
        assert_eq!(texts(&cache).len(), 2);
        tokio::time::advance(Duration::from_secs(56)).await;
        assert!(cache.token(&user, &pull(1)).is_some());
        assert_eq!(texts(&cache), ["token-1"]);
        assert_eq!(cache.requested_scopes(&(user, pull(0))), pull(0));
    }
}
