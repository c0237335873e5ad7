//! Users of a password file.
//!
//! Owns the checks of passwords and the cache of their results. Checks run on blocking threads, and
//! their number is limited. `file` parses the text of a password file. The embedding program reads
//! the file, and calls [`Htpasswd::replace`] when it changes.

mod file;

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use longshore_core::{Digest, Result, run_blocking};
use tokio::sync::Semaphore;

use self::file::Entries;
use super::basic::{self, Offered};
use super::{Access, AccessRequest, Decision};
use crate::random;

/// The users of an `htpasswd` file, authenticated with HTTP Basic. Each user has full access, and
/// everyone else has none. Clones share everything.
///
/// Accepts bcrypt hashes only. A check takes milliseconds to seconds, depending on the cost of the
/// hash, so checks use at most half of the processors, rounded up. A correct password is cached for
/// 5 minutes and not checked again in this time, unless its user's hash changes. The cache has at
/// most 4,096 entries. It contains keyed hashes instead of passwords, and the key exists only in
/// this process.
///
/// Source: RFC 7617; Apache httpd, "Password Formats".
#[derive(Clone)]
pub struct Htpasswd(Arc<Inner>);

struct Inner {
    entries: RwLock<Arc<Entries>>,
    /// Cache keys of correct passwords, and the time at which each expires.
    known: Mutex<HashMap<Digest, Instant>>,
    key: String,
    /// Limits the number of checks that wait or run.
    waiting: Arc<Semaphore>,
    checking: Arc<Semaphore>,
}

/// The result of a check.
enum Checked {
    Correct,
    Wrong,
    /// Too many checks are waiting, or the check could not run.
    Busy,
}

impl Htpasswd {
    /// Parses the text of a file: lines of `name:hash`.
    ///
    /// # Errors
    /// [`Invalid`](longshore_core::ErrorKind::Invalid), with the line, if a line has another format
    /// or an unsupported hash, or if a name occurs twice; `Invalid` if there are no users;
    /// [`Io`](longshore_core::ErrorKind::Io) if the system's random source fails.
    pub fn parse(text: &str) -> Result<Self> {
        let processors = std::thread::available_parallelism().map_or(1, usize::from);
        let checking = processors.div_ceil(2);
        Ok(Self(Arc::new(Inner {
            entries: RwLock::new(Arc::new(Entries::parse(text)?)),
            known: Mutex::default(),
            key: random::hex()?,
            waiting: Arc::new(Semaphore::new(checking + WAITING_LIMIT)),
            checking: Arc::new(Semaphore::new(checking)),
        })))
    }

    /// Replaces the users. The change takes effect with the next request.
    ///
    /// # Errors
    /// [`Invalid`](longshore_core::ErrorKind::Invalid) as for [`parse`](Self::parse). The previous
    /// users then stay in effect.
    pub fn replace(&self, text: &str) -> Result<()> {
        let entries = Arc::new(Entries::parse(text)?);
        *self.0.entries.write().unwrap_or_else(PoisonError::into_inner) = entries;
        Ok(())
    }

    fn entries(&self) -> Arc<Entries> {
        Arc::clone(&self.0.entries.read().unwrap_or_else(PoisonError::into_inner))
    }

    async fn check(&self, offered: Offered) -> Checked {
        let entries = self.entries();
        let (hash, is_user) = entries.hash(&offered.name);
        let cache_key = self.0.cache_key(hash, &offered.password);
        if is_user && self.0.is_known(&cache_key) {
            return Checked::Correct;
        }
        let Ok(_waiting) = Arc::clone(&self.0.waiting).try_acquire_owned() else {
            return Checked::Busy;
        };
        let Ok(permit) = Arc::clone(&self.0.checking).acquire_owned().await else {
            return Checked::Busy;
        };
        // Another request may have checked the same password in the meantime.
        if is_user && self.0.is_known(&cache_key) {
            return Checked::Correct;
        }
        let (hash, password) = (hash.to_owned(), offered.password);
        let checked = run_blocking(move || {
            // Keep the permit until the check is done, even if the request is canceled.
            let _permit = permit;
            Ok(bcrypt::verify(password, &hash).unwrap_or(false))
        });
        match checked.await {
            Ok(true) if is_user => {
                self.0.remember(cache_key);
                Checked::Correct
            }
            Ok(_) => Checked::Wrong,
            Err(_) => Checked::Busy,
        }
    }
}

impl Inner {
    /// Returns the cache key of a password. The key changes with the user's hash.
    fn cache_key(&self, hash: &str, password: &str) -> Digest {
        Digest::sha256(format!("{}:{hash}:{password}", self.key).as_bytes())
    }

    fn is_known(&self, cache_key: &Digest) -> bool {
        self.known().get(cache_key).is_some_and(|until| *until > Instant::now())
    }

    fn remember(&self, cache_key: Digest) {
        let mut known = self.known();
        let now = Instant::now();
        known.retain(|_, until| *until > now);
        if known.len() < KNOWN_LIMIT {
            known.insert(cache_key, now + KNOWN_TIME);
        }
    }

    fn known(&self) -> MutexGuard<'_, HashMap<Digest, Instant>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl Access for Htpasswd {
    async fn authorize(&self, authorization: Option<&str>, _: &AccessRequest<'_>) -> Decision {
        let Some(offered) = basic::offered(authorization) else {
            return Decision::Challenged(basic::challenge());
        };
        match self.check(offered).await {
            Checked::Correct => Decision::Granted,
            Checked::Wrong => Decision::Challenged(basic::challenge()),
            Checked::Busy => Decision::Later(BUSY_TIME),
        }
    }

    fn user_name(&self, authorization: Option<&str>) -> Option<String> {
        basic::offered(authorization).map(|offered| offered.name)
    }
}

impl fmt::Debug for Htpasswd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.entries().names()).finish()
    }
}

/// Parses a password file into names and hashes, for the fuzz targets.
#[cfg(fuzzing)]
pub(crate) fn entries(text: &str) -> Result<Vec<(String, String)>> {
    let entries = Entries::parse(text)?;
    let pair = |name: &str| (name.to_owned(), entries.hash(name).0.to_owned());
    Ok(entries.names().map(pair).collect())
}

/// 5 minutes: most pushes of many layers need only one check.
const KNOWN_TIME: Duration = Duration::from_secs(300);
/// 4,096 users, less than 1 MB. The passwords of further users are checked on each request.
const KNOWN_LIMIT: usize = 4_096;
/// 64 waiting checks: three seconds of work for one processor at cost 10.
const WAITING_LIMIT: usize = 64;
const BUSY_TIME: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests {
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;
    use futures_util::FutureExt as _;

    use super::*;
    use crate::access::{Action, Resource};

    /// The hash of `secret`, at the lowest cost.
    const SECRET: &str = "$2y$04$wQ.d8FTkNda2B6LZaNaXU.wm8ZgVA1pcVdxS2I5NzLwyHYTOjVHEi";
    /// The hash of `other`.
    const OTHER: &str = "$2y$04$I4fZufhxQ9naNcJDQQoZuOHBTilPdG61wRSBmmNI36n38nA/C3Bv2";

    async fn authorize(users: &Htpasswd, name: &str, password: &str) -> Decision {
        let authorization = format!("Basic {}", STANDARD.encode(format!("{name}:{password}")));
        let request = AccessRequest { action: Action::Pull, resource: Resource::Base };
        users.authorize(Some(&authorization), &request).await
    }

    fn refused() -> Decision {
        Decision::Challenged(basic::challenge())
    }

    #[tokio::test]
    async fn a_password_is_accepted_only_for_its_user() {
        let users = Htpasswd::parse(&format!("ann:{SECRET}\nbob:{OTHER}")).unwrap();
        for (name, password, decision) in [
            ("ann", "secret", Decision::Granted),
            ("bob", "other", Decision::Granted),
            ("ann", "other", refused()),
            ("bob", "secret", refused()),
            ("ann", "", refused()),
            // The first user's hash is used for unknown users.
            ("carl", "secret", refused()),
            ("carl", "secret", refused()),
        ] {
            assert_eq!(authorize(&users, name, password).await, decision, "{name}:{password}");
        }
        assert!(!format!("{users:?}").contains("$2y$"));
    }

    #[tokio::test]
    async fn a_correct_password_is_cached_until_its_hash_changes() {
        let users = Htpasswd::parse(&format!("ann:{SECRET}")).unwrap();
        assert_eq!(authorize(&users, "ann", "secret").await, Decision::Granted);
        // While all permits are taken, only cached passwords can be accepted.
        let all = u32::try_from(users.0.checking.available_permits()).unwrap();
        let permits = Arc::clone(&users.0.checking).acquire_many_owned(all).await.unwrap();
        assert_eq!(authorize(&users, "ann", "secret").now_or_never(), Some(Decision::Granted));
        assert_eq!(authorize(&users, "ann", "wrong").now_or_never(), None);

        users.replace(&format!("bob:{SECRET}")).unwrap();
        assert_eq!(authorize(&users, "ann", "secret").now_or_never(), None);
        users.replace(&format!("ann:{OTHER}")).unwrap();
        assert_eq!(authorize(&users, "ann", "secret").now_or_never(), None);
        drop(permits);
        assert_eq!(authorize(&users, "ann", "secret").await, refused());
        assert_eq!(authorize(&users, "ann", "other").await, Decision::Granted);

        users.replace("ann:nonsense").unwrap_err();
        assert_eq!(authorize(&users, "ann", "other").await, Decision::Granted);
    }

    #[tokio::test]
    async fn beyond_the_waiting_limit_only_cached_passwords_are_accepted() {
        let users = Htpasswd::parse(&format!("ann:{SECRET}")).unwrap();
        assert_eq!(authorize(&users, "ann", "secret").await, Decision::Granted);
        let all = u32::try_from(users.0.waiting.available_permits()).unwrap();
        let _waiting = Arc::clone(&users.0.waiting).acquire_many_owned(all).await.unwrap();
        assert_eq!(authorize(&users, "ann", "wrong").await, Decision::Later(BUSY_TIME));
        assert_eq!(authorize(&users, "ann", "secret").await, Decision::Granted);
    }
}
