//! Builds a registry.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;

use longshore_core::Result;

use super::{Inner, Registry};
use crate::access::{Access, Open, Permissions};
use crate::answered::{Answered, Observer};
use crate::budget::Budget;
use crate::limits::RegistryLimits;
use crate::location::Locations;
use crate::repositories::Repositories;
use crate::storage::{DiskStorage, MemoryStorage, Storage};

/// Builds a [`Registry`].
pub struct RegistryBuilder {
    place: Place,
    access: Arc<dyn Access>,
    limits: RegistryLimits,
    offered: Permissions,
    allows_missing: bool,
    public_url: Option<String>,
    observer: Option<Observer>,
    locations: Locations,
}

/// The storage of the repositories.
#[derive(Debug)]
enum Place {
    Memory,
    Disk(PathBuf),
    Storage(Arc<dyn Storage>),
}

impl fmt::Debug for RegistryBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RegistryBuilder({:?}, {:?}, {:?})", self.place, self.access, self.limits)
    }
}

impl RegistryBuilder {
    /// Creates a builder for a registry in memory to which everyone has full access.
    pub(super) fn new() -> Self {
        Self {
            place: Place::Memory,
            access: Arc::new(Open),
            limits: RegistryLimits::default(),
            offered: Permissions::ALL,
            allows_missing: false,
            public_url: None,
            observer: None,
            locations: Locations::FromRequest { trust_proxy: false },
        }
    }

    /// Stores repositories in memory, until the registry is dropped.
    #[must_use]
    pub fn memory(mut self) -> Self {
        self.place = Place::Memory;
        self
    }

    /// Stores repositories in this folder, as described at [`DiskStorage`].
    #[must_use]
    pub fn disk(mut self, root: impl Into<PathBuf>) -> Self {
        self.place = Place::Disk(root.into());
        self
    }

    /// Uses this storage for the repositories.
    #[must_use]
    pub fn storage(mut self, storage: Arc<dyn Storage>) -> Self {
        self.place = Place::Storage(storage);
        self
    }

    /// Sets the access policy. By default, everyone has full access.
    #[must_use]
    pub fn access(mut self, access: impl Access + 'static) -> Self {
        self.access = Arc::new(access);
        self
    }

    /// Sets the limits for clients.
    #[must_use]
    pub fn limits(mut self, limits: RegistryLimits) -> Self {
        self.limits = limits;
        self
    }

    /// Refuses all deletions: tags, manifests and blobs.
    #[must_use]
    pub fn without_deletes(mut self) -> Self {
        self.offered.delete = false;
        self
    }

    /// Refuses all changes: requests that push or delete, and all requests to uploads, are answered
    /// with 405.
    #[must_use]
    pub fn read_only(mut self) -> Self {
        self.offered = Permissions::PULL;
        self
    }

    /// Accepts manifests that reference missing content, such as an index of which only one
    /// platform was mirrored. Existing content must still have the size that the manifest declares.
    ///
    /// Source: distribution-spec main, "Pushing Manifests" (sparse indexes).
    #[must_use]
    pub fn allow_missing(mut self) -> Self {
        self.allows_missing = true;
        self
    }

    /// Starts every `Location` within the registry with this URL, such as
    /// `https://registry.example`. Clients must be able to reach the registry at this URL.
    ///
    /// By default, a `Location` is built from the host and scheme of the request. The scheme is the
    /// [`Scheme`](http::uri::Scheme) that [`serve`](crate::serve) adds to the extensions of the
    /// request, or else the scheme of the request's target, or else `http`.
    #[must_use]
    pub fn public_url(mut self, url: impl Into<String>) -> Self {
        self.public_url = Some(url.into());
        self
    }

    /// Calls an observer for each finished request, for custom logs or metrics.
    #[must_use]
    pub fn on_answered(mut self, observer: impl Fn(&Answered) + Send + Sync + 'static) -> Self {
        self.observer = Some(Arc::new(observer));
        self
    }

    /// Trusts the headers `Forwarded`, `X-Forwarded-Proto` and `X-Forwarded-Host` to determine host
    /// and scheme.
    ///
    /// Use this setting only if every request comes through a proxy that sets these headers.
    #[must_use]
    pub fn trust_proxy(mut self) -> Self {
        self.locations = Locations::FromRequest { trust_proxy: true };
        self
    }

    /// Sends every `Location` within the registry as a path, which works behind every proxy that
    /// does not change paths.
    ///
    /// Some old clients cannot follow a path (docker-registry-client-async 1.0.3, moby-distribution
    /// 0.8.2).
    #[must_use]
    pub fn relative_locations(mut self) -> Self {
        self.locations = Locations::Relative;
        self
    }

    /// Builds the registry. Blocks while the folder of [`disk`](Self::disk) is opened.
    ///
    /// # Errors
    /// Same as [`DiskStorage::open`]; [`Invalid`](longshore_core::ErrorKind::Invalid) if the public
    /// URL is invalid; [`Unsupported`](longshore_core::ErrorKind::Unsupported) if
    /// [`RegistryLimits::total_size`] is set and the storage does not report its size.
    pub fn build(self) -> Result<Registry> {
        let locations = match &self.public_url {
            Some(url) => Locations::under(url)?,
            None => self.locations,
        };
        let (storage, limit): (Arc<dyn Storage>, _) = match self.place {
            // Counting content in memory is cheap, so count it even without a limit.
            Place::Memory => {
                (Arc::new(MemoryStorage::new()), Some(self.limits.total_size.unwrap_or(u64::MAX)))
            }
            Place::Disk(root) => (Arc::new(DiskStorage::open(root)?), self.limits.total_size),
            Place::Storage(storage) => (storage, self.limits.total_size),
        };
        let repositories = match limit {
            Some(bytes) => Repositories::limited(storage, bytes)?,
            None => Repositories::new(storage),
        };
        Ok(Registry(Arc::new(Inner {
            repositories,
            access: self.access,
            budget: Budget::new(&self.limits),
            limits: self.limits,
            offered: self.offered,
            allows_missing: self.allows_missing,
            locations,
            observer: self.observer,
            connections: AtomicUsize::new(0),
        })))
    }
}
