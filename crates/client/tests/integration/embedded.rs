//! Runs the store test suite on remote repositories at the embedded registry.

use longshore::{Client, RemoteRepository};
use longshore_registry::{Registry, RegistryBuilder, TestRegistry};
use longshore_testkit::delete_suite;
use longshore_testkit::suite::Fresh;

use std::net::SocketAddr;

/// Starts a registry on a free port. The registry runs until the returned value is dropped.
pub(crate) async fn start(registry: RegistryBuilder) -> (SocketAddr, TestRegistry) {
    let registry = TestRegistry::start_with(|_| registry).await.unwrap();
    (registry.address(), registry)
}

fn repository(client: &Client, address: SocketAddr) -> RemoteRepository {
    client.repository(&format!("{address}/a/b").parse().unwrap())
}

delete_suite!(memory, async || {
    let (address, stop) = start(Registry::builder().memory()).await;
    Fresh::keeping(repository(&Client::new(), address), stop)
});

delete_suite!(disk, async || {
    let folder = tempfile::tempdir().unwrap();
    let (address, stop) = start(Registry::builder().disk(folder.path())).await;
    Fresh::keeping(repository(&Client::new(), address), (stop, folder))
});

delete_suite!(in_chunks, async || {
    let (address, stop) = start(Registry::builder().memory()).await;
    let form = longshore::UploadMethod::Chunked(std::num::NonZeroU64::new(1000).unwrap());
    let client = Client::builder().upload_method(form).build();
    Fresh::keeping(repository(&client, address), stop)
});
