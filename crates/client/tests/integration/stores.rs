//! Properties of types that callers rely on.

use longshore::{Client, Delete, RemoteRepository, Secret, Target};

#[test]
fn a_client_can_be_shared_between_threads_and_a_repository_is_a_store() {
    fn shared<T: Clone + Send + Sync + 'static>() {}
    fn store<T: Delete + Target>() {}
    shared::<Client>();
    shared::<RemoteRepository>();
    store::<RemoteRepository>();
}

#[test]
fn debug_output_shows_no_secrets() {
    let credentials = longshore::MemoryCredentials::new().with(
        "r.example".parse().unwrap(),
        "user",
        Secret::new("hunter2"),
    );
    let client = Client::builder().credentials(credentials).build();
    let repository = client.repository(&"r.example/a".parse().unwrap());
    assert!(!format!("{client:?} {repository:?}").contains("hunter2"));
}
