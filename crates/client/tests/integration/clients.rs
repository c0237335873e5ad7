//! Clients for tests. The tests that compare longshore with earlier clients use these clients too.

use std::time::Duration;

use longshore::{
    Client, ClientBuilder, Credential, MemoryCredentials, RegistryName, RemoteRepository,
    Repository, RetryPolicy, Secret,
};
use longshore_testkit::script::Script;

/// Returns the builder of a client whose waits are short enough for a test.
pub(crate) fn quick() -> ClientBuilder {
    let mut retry = RetryPolicy::default();
    retry.initial_backoff = Duration::from_millis(1);
    retry.max_backoff = Duration::from_millis(5);
    Client::builder().retry(retry)
}

/// Returns a user and password for a server, with permission to send them over plain HTTP.
pub(crate) fn login(registry: RegistryName, user: &str, password: &str) -> MemoryCredentials {
    let credential = Credential::login(user, Secret::new(password), "the caller");
    MemoryCredentials::new().with_credential(registry, credential.over_plain_http())
}

/// Returns the repository `a/b` at a scripted server.
pub(crate) fn place(server: &Script) -> Repository {
    format!("{}/a/b", server.address()).parse().unwrap()
}

pub(crate) fn remote(server: &Script) -> RemoteRepository {
    quick().build().repository(&place(server))
}
