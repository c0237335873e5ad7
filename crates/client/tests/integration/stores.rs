//! What does not depend on requests: that the types are what callers need them to be.

use longshore::{Client, Delete, RemoteRepository, Secret, Target};

#[test]
fn the_client_is_shared_between_threads_and_a_repository_is_a_store() {
    fn shared<T: Clone + Send + Sync + 'static>() {}
    fn store<T: Delete + Target>() {}
    shared::<Client>();
    shared::<RemoteRepository>();
    store::<RemoteRepository>();
}

#[test]
fn no_secret_is_shown() {
    let credentials = longshore::MemoryCredentials::new().with(
        "r.example".parse().unwrap(),
        "user",
        Secret::new("hunter2"),
    );
    let client = Client::builder().credentials(credentials).build();
    let repository = client.repository(&"r.example/a".parse().unwrap());
    assert!(!format!("{client:?} {repository:?}").contains("hunter2"));
}
