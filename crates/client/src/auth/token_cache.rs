//! The state of authentication at one registry: its method, the credentials and the tokens.
//!
//! Credentials and tokens are kept by value and up to a limit, so that a client with changing
//! passwords does not grow over months.

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

/// The state of authentication at one registry.
pub(super) struct TokenCache {
    pub(super) method: Option<Method>,
    /// Until then, Basic replaces a token service that failed.
    pub(super) basic_until: Option<Instant>,
    /// Whether the registry was asked how to authenticate after a 403 to an anonymous request.
    pub(super) probed: bool,
    pub(super) presets: Vec<Preset>,
    /// The credential for each repository, and for the registry itself.
    repositories: BoundedMap<Option<RepositoryName>, Arc<Credential>>,
    /// Every credential that the store gave, including refused ones: errors must not show them.
    credentials: BoundedMap<Arc<Credential>, Use>,
    grants: BoundedMap<GrantKey, Grant>,
}

/// A token's owner, and the scopes of the requests. The token may be for more.
pub(super) type GrantKey = (Arc<Credential>, Scopes);

/// The state of one credential.
struct Use {
    /// When the store last gave it.
    given: Instant,
    /// The header that it makes for the registry.
    header: Option<HeaderValue>,
    /// The refresh token that the service gave in place of the credential.
    refresh: Option<Secret>,
    /// Whether the registry accepted it, and has not refused it since. The same below.
    taken: bool,
}

/// The current token for one purpose.
#[derive(Default)]
struct Grant {
    /// Allows one request to the token service at a time.
    gate: Arc<tokio::sync::Mutex<()>>,
    /// The scopes last asked for. Kept when the token is gone.
    asked: Scopes,
    /// `None` after it was refused or has expired.
    token: Option<Held>,
}

/// A token and its state.
struct Held {
    header: HeaderValue,
    expires: Instant,
    taken: bool,
}

/// A token that the caller gave, for one scope or for all.
#[derive(Clone)]
pub(crate) struct Preset {
    pub(crate) scopes: Option<Scopes>,
    pub(crate) header: HeaderValue,
    pub(crate) taken: bool,
    /// Whether it was refused, and not accepted since. It is then sent only as a last resort.
    pub(crate) refused: bool,
}

impl TokenCache {
    pub(super) fn new(presets: Vec<Preset>) -> Self {
        Self {
            method: None,
            basic_until: None,
            probed: false,
            presets,
            repositories: BoundedMap::new(LIMIT),
            credentials: BoundedMap::new(LIMIT),
            grants: BoundedMap::new(LIMIT),
        }
    }

    /// Returns the credential for a repository, unless it was refused or is about to expire.
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

    /// Returns where the credential for a repository comes from.
    pub(super) fn source(&self, repository: &Option<RepositoryName>) -> Option<&str> {
        self.repositories.peek(repository).map(|credential| credential.source())
    }

    /// Keeps the credential that the store gave for a repository.
    pub(super) fn keep(
        &mut self,
        repository: Option<RepositoryName>,
        credential: &Arc<Credential>,
    ) {
        self.repositories.insert(repository, Arc::clone(credential));
        let given = Instant::now();
        if let Some(known) = self.credentials.get(credential) {
            known.given = given;
            return;
        }
        let header = credential.bearer().or_else(|| credential.basic());
        let new = Use { given, header, refresh: None, taken: false };
        if let Some(dropped) = self.credentials.insert(Arc::clone(credential), new) {
            self.drop_credential(&dropped);
            self.grants.retain(|(owner, _), _| *owner != dropped);
        }
    }

    /// Drops a credential everywhere it is used, so that the store is asked again.
    pub(super) fn drop_credential(&mut self, credential: &Arc<Credential>) {
        self.repositories.retain(|_, used| used != credential);
    }

    /// Whether another credential may help after this header was denied: the repository already has
    /// another one, or this one may have expired and is dropped.
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

    /// Whether a credential has expired, or states no expiry and is old enough to have expired.
    pub(super) fn may_have_expired(&self, credential: &Arc<Credential>) -> bool {
        let now = Instant::now();
        let given = self.credentials.peek(credential).map(|known| known.given);
        let is_old = given.is_none_or(|given| now - given >= MAY_HAVE_EXPIRED);
        is_old || credential.is_expired(now)
    }

    /// Finds the credential that a header was made from, or that its token was issued for.
    fn owner(&self, header: &HeaderValue) -> Option<Arc<Credential>> {
        let own =
            self.credentials.iter().filter(|(_, known)| known.header.as_ref() == Some(header));
        let of_token = |(key, grant): (&'_ GrantKey, &'_ Grant)| {
            let is_its = grant.token.as_ref().is_some_and(|token| token.header == *header);
            is_its.then(|| Arc::clone(&key.0))
        };
        let mut own = own.map(|(credential, _)| Arc::clone(credential));
        own.next().or_else(|| self.grants.iter().find_map(of_token))
    }

    /// Returns the refresh token that the service gave in place of a credential.
    pub(super) fn refresh(&self, credential: &Arc<Credential>) -> Option<Secret> {
        self.credentials.peek(credential)?.refresh.clone()
    }

    /// Returns the lock under which a token is asked for, so that one request serves all who wait.
    pub(super) fn gate(&mut self, key: &GrantKey) -> Arc<tokio::sync::Mutex<()>> {
        if let Some(grant) = self.grants.get(key) {
            return Arc::clone(&grant.gate);
        }
        let grant = Grant::default();
        let gate = Arc::clone(&grant.gate);
        self.grants.insert(key.clone(), grant);
        gate
    }

    /// Finds a token that covers the scopes and is not about to expire.
    pub(super) fn token(
        &mut self,
        owner: &Arc<Credential>,
        wanted: &Scopes,
    ) -> Option<HeaderValue> {
        self.drop_expired();
        let covers = |key: &GrantKey, grant: &Grant| {
            grant.token.is_some() && key.0 == *owner && grant.asked.cover(wanted)
        };
        let key = self.grants.iter().find(|(key, grant)| covers(key, grant))?.0.clone();
        Some(self.grants.get(&key)?.token.as_ref()?.header.clone())
    }

    /// Returns the scopes last asked for, for this purpose.
    pub(super) fn asked(&self, key: &GrantKey) -> Scopes {
        self.grants.peek(key).map(|grant| grant.asked.clone()).unwrap_or_default()
    }

    /// Keeps the token that the service gave for these scopes at this time.
    pub(super) fn keep_token(&mut self, key: GrantKey, asked: Scopes, token: &Token, at: Instant) {
        self.drop_expired();
        if let (Some(refresh), Some(credential)) =
            (token.refresh.clone(), self.credentials.get(&key.0))
        {
            credential.refresh = Some(refresh);
        }
        let held = token.header().map(|header| Held {
            header,
            expires: at + token.lifetime,
            taken: false,
        });
        let gate = self.gate(&key);
        self.grants.insert(key, Grant { gate, asked, token: held });
    }

    /// Drops every token that has expired or is about to.
    fn drop_expired(&mut self) {
        let soon = Instant::now() + EARLY;
        self.grants.values_mut().for_each(|grant| {
            grant.token.take_if(|token| token.expires <= soon);
        });
    }

    /// Returns all secrets that must not show in errors.
    pub(super) fn secrets(&self) -> Vec<Secret> {
        let credentials = self.credentials.iter().flat_map(|(credential, _)| credential.secrets());
        let refresh = self.credentials.iter().filter_map(|(_, known)| known.refresh.clone());
        let tokens = self.grants.iter().filter_map(|(_, grant)| grant.token.as_ref());
        let headers = tokens.map(|token| &token.header);
        let headers = headers.chain(self.presets.iter().map(|preset| &preset.header));
        credentials.chain(refresh).chain(headers.filter_map(token::from_header)).collect()
    }

    /// Records that the registry accepted this header.
    pub(super) fn take(&mut self, header: &HeaderValue) {
        self.marks(header).for_each(|taken| *taken = true);
        let presets = self.presets.iter_mut().filter(|preset| preset.header == *header);
        presets.for_each(|preset| preset.refused = false);
    }

    /// Finds every record of whether this header was accepted.
    pub(super) fn marks(&mut self, header: &HeaderValue) -> impl Iterator<Item = &mut bool> {
        let Self { credentials, grants, presets, .. } = self;
        let credentials = credentials.values_mut().filter(|c| c.header.as_ref() == Some(header));
        let tokens = grants.values_mut().filter_map(|grant| grant.token.as_mut());
        let tokens = tokens.filter(|token| token.header == *header);
        let presets = presets.iter_mut().filter(|preset| preset.header == *header);
        let own = credentials.map(|credential| &mut credential.taken);
        own.chain(tokens.map(|token| &mut token.taken)).chain(presets.map(|p| &mut p.taken))
    }

    /// Drops a refused token, or refused credentials, which the store is asked for again. Returns
    /// whether the registry had accepted it before.
    pub(super) fn forget(&mut self, refused: &HeaderValue) -> bool {
        let was_taken = self.marks(refused).fold(false, |was, taken| was | std::mem::take(taken));
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
        was_taken
    }
}

/// 5 s: a token or credential that expires sooner might expire in transit. Less than any real
/// lifetime.
const EARLY: Duration = Duration::from_secs(5);

/// 10 min: no cloud's credentials live for less (AWS: 15 min). A store that asks a person or runs a
/// program is asked no more often after denials.
const MAY_HAVE_EXPIRED: Duration = Duration::from_secs(600);

/// 1024 repositories, credentials and tokens are kept for each registry. A token has a few KiB.
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
    fn passwords_that_change_do_not_fill_the_cache() {
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
        assert_eq!(cache.credential(&repository(0)), None, "it goes with the credential");
        let shown = texts(&cache);
        assert!(shown.contains(&format!("password-{}", 3 * LIMIT)));
        assert!(!shown.contains(&"password-1".to_owned()));
    }

    #[test]
    fn what_is_used_stays_however_many_repositories_there_are() {
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
    async fn an_expired_token_is_dropped_and_what_was_asked_is_kept() {
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
        assert_eq!(cache.asked(&(user, pull(0))), pull(0));
    }
}
