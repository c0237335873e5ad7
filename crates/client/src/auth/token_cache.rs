//! What is kept of one registry: how it authenticates, who one is there, and the tokens it gave.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use http::HeaderValue;
use longshore_core::RepositoryName;
use tokio::time::Instant;

use super::method::Method;
use super::scope::Scopes;
use super::token;
use crate::credentials::{Credential, Secret};

/// What is known of a registry so far.
#[derive(Default)]
pub(super) struct TokenCache {
    pub(super) method: Option<Method>,
    /// Until when Basic takes the place of a token service that failed.
    pub(super) basic_until: Option<Instant>,
    /// Whether it was asked how to authenticate after a 403 to nobody.
    pub(super) probed: bool,
    /// Everybody that one is there; tokens belong to one of them.
    pub(super) identities: Vec<Identity>,
    /// As whom each repository is asked for, and the registry itself.
    pub(super) who: HashMap<Option<RepositoryName>, usize>,
    /// By identity and what requests want; the grant may be for more.
    pub(super) grants: HashMap<(usize, Scopes), Grant>,
    /// One request for a token at a time, for each of what is wanted.
    pub(super) gates: HashMap<(usize, Scopes), Arc<tokio::sync::Mutex<()>>>,
    pub(super) presets: Vec<Preset>,
}

/// Somebody that one is.
#[derive(Clone)]
pub(super) struct Identity {
    pub(super) credential: Arc<Credential>,
    /// The refresh token that the service gave in place of the credential.
    pub(super) refresh: Option<Secret>,
    /// Whether the registry has taken it, and not refused it since; so too below.
    pub(super) taken: bool,
}

/// A token, and what was asked of the service.
#[derive(Clone)]
pub(super) struct Grant {
    pub(super) asked: Scopes,
    /// Gone once it was refused; what was asked is still worth knowing.
    pub(super) header: Option<HeaderValue>,
    pub(super) expires: Instant,
    pub(super) taken: bool,
}

/// A token that the caller gave, for one scope or for everything.
#[derive(Clone)]
pub(crate) struct Preset {
    pub(crate) scopes: Option<Scopes>,
    pub(crate) header: HeaderValue,
    pub(crate) taken: bool,
    /// Refused, and not taken since: it is not sent of itself any more.
    pub(crate) refused: bool,
}

impl Identity {
    /// Whether this is what it sends to the registry.
    fn sends(&self, header: &HeaderValue) -> bool {
        let Self { credential, .. } = self;
        credential.basic().as_ref() == Some(header) || credential.bearer().as_ref() == Some(header)
    }
}

impl TokenCache {
    /// A token that covers what is wanted, and does not expire on its way.
    pub(super) fn current(&self, index: usize, wanted: &Scopes) -> Option<HeaderValue> {
        let now = Instant::now();
        let good = |grant: &Grant| grant.expires > now + EARLY && grant.asked.cover(wanted);
        let own = self.grants.iter().filter(|((owner, _), grant)| *owner == index && good(grant));
        own.filter_map(|(_, grant)| grant.header.clone()).next()
    }

    /// What must not show in errors.
    pub(super) fn secrets(&self) -> Vec<Secret> {
        let credentials = self.identities.iter().flat_map(|i| i.credential.secrets());
        let refresh = self.identities.iter().filter_map(|i| i.refresh.clone());
        let grants = self.grants.values().filter_map(|grant| grant.header.as_ref());
        let headers = grants.chain(self.presets.iter().map(|preset| &preset.header));
        credentials.chain(refresh).chain(headers.filter_map(token::of_header)).collect()
    }

    /// Keeps that the registry took this.
    pub(super) fn take(&mut self, header: &HeaderValue) {
        self.marks(header).for_each(|taken| *taken = true);
        let presets = self.presets.iter_mut().filter(|preset| preset.header == *header);
        presets.for_each(|preset| preset.refused = false);
    }

    /// Where it is kept whether this was taken.
    pub(super) fn marks(&mut self, header: &HeaderValue) -> impl Iterator<Item = &mut bool> {
        let Self { identities, grants, presets, .. } = self;
        let identities = identities.iter_mut().filter(|identity| identity.sends(header));
        let grants = grants.values_mut().filter(|grant| grant.header.as_ref() == Some(header));
        let presets = presets.iter_mut().filter(|preset| preset.header == *header);
        let own = identities.map(|identity| &mut identity.taken);
        own.chain(grants.map(|g| &mut g.taken)).chain(presets.map(|preset| &mut preset.taken))
    }

    /// Drops what was refused: a token, or the credentials, which the store is asked for again. Says
    /// whether the registry had taken it before.
    pub(super) fn forget(&mut self, refused: &HeaderValue) -> bool {
        let was_taken = self.marks(refused).fold(false, |was, taken| was | std::mem::take(taken));
        for grant in self.grants.values_mut() {
            if grant.header.as_ref() == Some(refused) {
                grant.header = None;
            }
        }
        let presets = self.presets.iter_mut().filter(|preset| preset.header == *refused);
        presets.for_each(|preset| preset.refused = true);
        let Self { who, identities, basic_until, .. } = self;
        let mut was_credential = false;
        who.retain(|_, index| {
            let sent = identities.get(*index).is_some_and(|identity| identity.sends(refused));
            was_credential |= sent;
            !sent
        });
        if was_credential {
            *basic_until = None;
        }
        was_taken
    }
}

/// 5 s: a token that is about to expire would do so on its way. Less than any real lifetime.
const EARLY: Duration = Duration::from_secs(5);
