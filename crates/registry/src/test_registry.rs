//! A registry for tests. One call starts it, and dropping it stops it.

use std::net::{Ipv4Addr, SocketAddr};

use longshore_core::{Error, ErrorKind, Result};
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use crate::registry::{Registry, RegistryBuilder};
use crate::serve::serve;

/// A registry for tests, on a free loopback port.
///
/// It runs as a task of the runtime that started it, and serves plain HTTP.
///
/// ```
/// use longshore_registry::TestRegistry;
///
/// # tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(async {
/// let registry = TestRegistry::start().await?;
/// println!("push to {}/my/image:v1", registry.address());
/// # Ok::<(), longshore_core::Error>(())
/// # })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Cancellation
/// Dropping this value stops the registry: the registry accepts no more connections, and requests
/// in progress may finish. [`stop`](Self::stop) also waits up to 10 s for these requests.
#[derive(Debug)]
pub struct TestRegistry {
    address: SocketAddr,
    registry: Registry,
    stop: oneshot::Sender<()>,
    server: JoinHandle<Result<()>>,
}

impl TestRegistry {
    /// Starts an empty registry in memory to which everyone has full access.
    ///
    /// # Errors
    /// [`Io`](ErrorKind::Io) if there is no free port.
    pub async fn start() -> Result<Self> {
        Self::start_with(|_| Registry::builder()).await
    }

    /// Starts a registry with custom settings, which may depend on its address.
    ///
    /// # Errors
    /// [`Io`](ErrorKind::Io) if there is no free port; the errors of [`RegistryBuilder::build`].
    pub async fn start_with(builder: impl FnOnce(SocketAddr) -> RegistryBuilder) -> Result<Self> {
        let at = |e| Error::new(ErrorKind::Io).at("127.0.0.1:0").with_source(e);
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.map_err(at)?;
        let address = listener.local_addr().map_err(at)?;
        let registry = builder(address).build()?;
        let (stop, stopped) = oneshot::channel();
        let shutdown = async { drop(stopped.await) };
        let server = tokio::spawn(serve(listener, registry.clone(), shutdown));
        Ok(Self { address, registry, stop, server })
    }

    /// Returns the address, which also serves as the registry's name in references.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Returns the registry, to read or write its repositories without HTTP.
    #[must_use]
    pub fn registry(&self) -> &Registry {
        &self.registry
    }

    /// Stops the registry and waits up to 10 s for requests in progress.
    ///
    /// # Errors
    /// The error that ended the server earlier.
    pub async fn stop(self) -> Result<()> {
        drop(self.stop);
        let at = |e| Error::new(ErrorKind::Io).at(self.address).with_source(e);
        self.server.await.map_err(at)?
    }
}
