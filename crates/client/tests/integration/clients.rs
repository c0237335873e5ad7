//! Clients that tests use, also those that compare longshore with earlier clients.

use std::time::Duration;

use longshore::{
    Client, ClientBuilder, Credential, MemoryCredentials, RegistryName, RemoteRepository,
    Repository, RetryPolicy, Secret,
};
use longshore_testkit::script::Script;

/// A client that waits for nothing longer than a test can.
pub(crate) fn quick() -> ClientBuilder {
    let mut retry = RetryPolicy::default();
    retry.initial_backoff = Duration::from_millis(1);
    retry.max_backoff = Duration::from_millis(5);
    Client::builder().retry(retry)
}

/// A user with a password at a server that speaks plain HTTP, and who means it.
pub(crate) fn login(registry: RegistryName, user: &str, password: &str) -> MemoryCredentials {
    let credential = Credential::login(user, Secret::new(password), "the caller");
    MemoryCredentials::new().with_credential(registry, credential.over_plain_http())
}

/// The repository `a/b` at a scripted server.
pub(crate) fn place(server: &Script) -> Repository {
    format!("{}/a/b", server.address()).parse().unwrap()
}

pub(crate) fn remote(server: &Script) -> RemoteRepository {
    quick().build().repository(&place(server))
}
