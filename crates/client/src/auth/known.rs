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
pub(super) struct Known {
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
}

/// A token, and what was asked of the service.
#[derive(Clone)]
pub(super) struct Grant {
    pub(super) asked: Scopes,
    /// Gone once it was refused; what was asked is still worth knowing.
    pub(super) header: Option<HeaderValue>,
    pub(super) expires: Instant,
}

/// A token that the caller gave, for one scope or for everything.
#[derive(Clone)]
pub(crate) struct Preset {
    pub(crate) scopes: Option<Scopes>,
    pub(crate) header: HeaderValue,
}

impl Known {
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

    /// Drops what was refused: a token, or the credentials, which the store is asked for again.
    pub(super) fn forget(&mut self, refused: &HeaderValue) {
        for grant in self.grants.values_mut() {
            if grant.header.as_ref() == Some(refused) {
                grant.header = None;
            }
        }
        self.presets.retain(|preset| preset.header != *refused);
        let Self { who, identities, basic_until, .. } = self;
        let mut was_credential = false;
        who.retain(|_, index| {
            let credential = identities.get(*index).map(|identity| &identity.credential);
            let sent = credential.is_some_and(|credential| {
                credential.basic().as_ref() == Some(refused)
                    || credential.bearer().as_ref() == Some(refused)
            });
            was_credential |= sent;
            !sent
        });
        if was_credential {
            *basic_until = None;
        }
    }
}

/// 5 s: a token that is about to expire would do so on its way. Less than any real lifetime.
const EARLY: Duration = Duration::from_secs(5);
