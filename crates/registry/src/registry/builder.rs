//! How a registry is set up.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;

use longshore_core::{Error, ErrorKind, Result};

use super::{Inner, Registry};
use crate::access::{Access, Open, Rights};
use crate::answered::{Answered, Observer};
use crate::backend::{Backend, Disk, MemoryBackend};
use crate::budget::Budget;
use crate::limits::Limits;
use crate::location::Locations;

/// Sets up a [`Registry`].
pub struct Builder {
    storage: Storage,
    access: Arc<dyn Access>,
    limits: Limits,
    offered: Rights,
    allows_missing: bool,
    public_url: Option<String>,
    observer: Option<Observer>,
    locations: Locations,
}

#[derive(Debug)]
enum Storage {
    Memory,
    Disk(PathBuf),
    Backend(Arc<dyn Backend>),
}

impl fmt::Debug for Builder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Builder({:?}, {:?}, {:?})", self.storage, self.access, self.limits)
    }
}

impl Builder {
    /// A registry in memory that everyone may use.
    pub(super) fn new() -> Self {
        Self {
            storage: Storage::Memory,
            access: Arc::new(Open),
            limits: Limits::default(),
            offered: Rights::ALL,
            allows_missing: false,
            public_url: None,
            observer: None,
            locations: Locations::FromRequest { trust_proxy: false },
        }
    }

    /// Keeps repositories in memory, gone with the process.
    #[must_use]
    pub fn memory(mut self) -> Self {
        self.storage = Storage::Memory;
        self
    }

    /// Keeps repositories in this folder; see [`Disk`].
    #[must_use]
    pub fn disk(mut self, root: impl Into<PathBuf>) -> Self {
        self.storage = Storage::Disk(root.into());
        self
    }

    /// Keeps repositories where this says.
    #[must_use]
    pub fn backend(mut self, backend: Arc<dyn Backend>) -> Self {
        self.storage = Storage::Backend(backend);
        self
    }

    /// Asks this policy who may do what; without one, everyone may everything.
    #[must_use]
    pub fn access(mut self, access: impl Access + 'static) -> Self {
        self.access = Arc::new(access);
        self
    }

    /// Sets how much to take from clients.
    #[must_use]
    pub fn limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// Refuses to remove anything: tags, manifests and blobs alike.
    #[must_use]
    pub fn without_deletes(mut self) -> Self {
        self.offered.delete = false;
        self
    }

    /// Refuses to change anything: every request but `GET` and `HEAD` is answered with 405.
    #[must_use]
    pub fn read_only(mut self) -> Self {
        self.offered = Rights::PULL;
        self
    }

    /// Takes manifests whose blobs or manifests are not here, such as an index of which one platform
    /// was mirrored. What is here must still have the size that the manifest says.
    ///
    /// Source: distribution-spec main, "Pushing Manifests" (sparse indexes).
    #[must_use]
    pub fn allow_missing(mut self) -> Self {
        self.allows_missing = true;
        self
    }

    /// Starts every `Location` with this URL: `https://registry.example`, where clients reach the
    /// registry.
    ///
    /// Without one, a `Location` is made of the request's host and scheme: the scheme is the
    /// [`Scheme`](http::uri::Scheme) among the request's extensions, where [`serve`](crate::serve)
    /// puts it, else that of the request's target, else `http`.
    #[must_use]
    pub fn public_url(mut self, url: impl Into<String>) -> Self {
        self.public_url = Some(url.into());
        self
    }

    /// Tells of each request when it is over: for a log or metrics of one's own.
    #[must_use]
    pub fn on_answered(mut self, observer: impl Fn(&Answered) + Send + Sync + 'static) -> Self {
        self.observer = Some(Arc::new(observer));
        self
    }

    /// Believes what `Forwarded`, `X-Forwarded-Proto` and `X-Forwarded-Host` say about host and scheme.
    ///
    /// Only for a registry that nobody reaches but through a proxy that sets them.
    #[must_use]
    pub fn trust_proxy(mut self) -> Self {
        self.locations = Locations::FromRequest { trust_proxy: true };
        self
    }

    /// Sends every `Location` as a path, which is right behind every proxy.
    ///
    /// Some old clients cannot follow one (docker-registry-client-async 1.0.3, moby-distribution
    /// 0.8.2).
    #[must_use]
    pub fn relative_locations(mut self) -> Self {
        self.locations = Locations::Relative;
        self
    }

    /// Makes the registry. Blocks while a folder is opened.
    ///
    /// # Errors
    /// As [`Disk::open`]; [`Invalid`](ErrorKind::Invalid) if the public URL is none;
    /// [`Unsupported`](ErrorKind::Unsupported) for a [`Limits::total_size`] with a backend of one's
    /// own.
    pub fn build(self) -> Result<Registry> {
        let locations = match &self.public_url {
            Some(url) => Locations::under(url)?,
            None => self.locations,
        };
        let backend: Arc<dyn Backend> = match self.storage {
            Storage::Memory => {
                Arc::new(MemoryBackend::limited(self.limits.total_size.unwrap_or(u64::MAX)))
            }
            Storage::Disk(root) => match self.limits.total_size {
                Some(bytes) => Arc::new(Disk::open_limited(root, bytes)?),
                None => Arc::new(Disk::open(root)?),
            },
            Storage::Backend(_) if self.limits.total_size.is_some() => {
                let problem = "set the limit on total content when you create the backend";
                return Err(Error::new(ErrorKind::Unsupported).detail(problem));
            }
            Storage::Backend(backend) => backend,
        };
        Ok(Registry(Arc::new(Inner {
            backend,
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
