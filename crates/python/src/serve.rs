//! The embedded registry.

use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use longshore::{Error, ErrorKind, Result};
use longshore_registry::{Permissions, Registry, Users};
use pyo3::prelude::*;
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use crate::operation::{Operation, none};

/// A registry that runs in this process.
#[pyclass(frozen, module = "longshore._core")]
#[derive(Debug)]
pub(crate) struct Server {
    name: String,
    running: Mutex<Option<Running>>,
}

#[derive(Debug)]
struct Running {
    stop: oneshot::Sender<()>,
    server: JoinHandle<Result<()>>,
}

#[pymethods]
impl Server {
    /// The address, which is the registry's name in references.
    #[getter]
    fn name(&self) -> &str {
        &self.name
    }

    /// Stops the registry, and waits up to 10 s for its requests.
    fn stop(&self) -> PyResult<Operation> {
        let running = self.running.lock().unwrap_or_else(PoisonError::into_inner).take();
        let stop = async move {
            let Some(Running { stop, server }) = running else { return Ok(()) };
            drop(stop);
            server.await.map_err(|e| Error::new(ErrorKind::Canceled).with_source(e))?
        };
        Operation::start(stop, none)
    }
}

/// Starts a registry in memory, or in the folder `root`.
#[pyfunction]
#[pyo3(signature = (root, listen, public_url, users))]
pub(crate) fn serve(
    root: Option<PathBuf>,
    listen: String,
    public_url: Option<String>,
    users: Vec<(String, String)>,
) -> PyResult<Operation> {
    let start = async move {
        let at = |e| Error::new(ErrorKind::Io).at(&listen).with_source(e);
        let listener = TcpListener::bind(&listen).await.map_err(at)?;
        let name = listener.local_addr().map_err(at)?.to_string();
        let mut builder = Registry::builder();
        if let Some(root) = root {
            builder = builder.disk(root);
        }
        if let Some(url) = public_url {
            builder = builder.public_url(url);
        }
        if !users.is_empty() {
            let add = |all: Users, (name, password): &(String, String)| {
                all.user(name, password, Permissions::ALL)
            };
            builder = builder.access(users.iter().fold(Users::new(), add));
        }
        let registry = builder.build()?;
        let (stop, stopped) = oneshot::channel::<()>();
        let shutdown = async { drop(stopped.await) };
        let server = tokio::spawn(longshore_registry::serve(listener, registry, shutdown));
        Ok(Server { name, running: Mutex::new(Some(Running { stop, server })) })
    };
    Operation::start(start, |py, server| Ok(Bound::new(py, server)?.into_any()))
}
