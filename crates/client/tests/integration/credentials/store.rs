//! Stores of the caller's own, and whose credentials and tokens are used for what.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use async_trait::async_trait;
use longshore::{
    Body, Client, Credential, CredentialStore, MemoryCredentials, RegistryName, RegistryPattern,
    RepositoryName, Result, Secret, Transport, TransportError,
};
use longshore_testkit::script::{Exchange, Script};

use super::{BASIC, at, list, listed, tags};
use crate::quick;

/// Gives each organisation its own user, and another password each time.
#[derive(Debug, Default)]
struct Vault(AtomicU32);

#[async_trait]
impl CredentialStore for Vault {
    async fn get(
        &self,
        _: &RegistryName,
        repository: Option<&RepositoryName>,
    ) -> Result<Credential> {
        let user = repository.and_then(|name| name.components().next()).unwrap_or("nobody");
        let number = self.0.fetch_add(1, Ordering::Relaxed);
        let password = Secret::new(format!("p{number}"));
        Ok(Credential::login(user, password, "the vault").over_plain_http())
    }
}

#[tokio::test]
async fn a_store_sees_the_repository_and_is_asked_again_when_it_was_refused() {
    let server = Script::start().await;
    let challenge = "Basic realm=\"r\"";
    let one = || Exchange::new("GET", "/v2/one/a/tags/list");
    let two = || Exchange::new("GET", "/v2/two/a/tags/list");
    server.expect(one().answer(401).header("www-authenticate", challenge));
    server.expect(one().with("authorization", "Basic b25lOnAw").body(listed()));
    server.expect(two().with("authorization", "Basic dHdvOnAx").body(listed()));
    let refused = one().with("authorization", "Basic b25lOnAw").answer(401);
    server.expect(refused.header("www-authenticate", challenge));
    server.expect(one().with("authorization", "Basic b25lOnAy").body(listed()));
    let client = quick().credentials(Vault::default()).build();
    for path in ["one/a", "two/a", "one/a"] {
        let repository = format!("{}/{path}", server.address()).parse().unwrap();
        list(&client.repository(&repository)).await.unwrap();
    }
    server.finish();
}

#[tokio::test]
async fn tokens_of_one_user_are_not_used_for_another() {
    let server = Script::start().await;
    let challenge = format!("Bearer realm=\"{}\"", server.url("/token"));
    let credentials = ["one", "two"].into_iter().fold(MemoryCredentials::new(), |store, org| {
        let key: longshore::CredentialKey =
            format!("http://{}/{org}", server.address()).parse().unwrap();
        store.with_credential(key, Credential::login(org, Secret::new("p"), "x"))
    });
    let list_of = |org: &str| Exchange::new("GET", format!("/v2/{org}/a/tags/list"));
    let token_of = |org: &str, basic: &str| {
        let target = format!("/token?scope=repository%3A{org}%2Fa%3Apull");
        let answer = format!("{{\"token\":\"{org}\",\"expires_in\":300}}");
        Exchange::new("GET", target).with("authorization", basic).body(answer)
    };
    server.expect(list_of("one").answer(401).header("www-authenticate", challenge));
    server.expect(token_of("one", "Basic b25lOnA="));
    server.expect(list_of("one").with("authorization", "Bearer one").body(listed()));
    server.expect(token_of("two", "Basic dHdvOnA="));
    server.expect(list_of("two").with("authorization", "Bearer two").body(listed()));
    let client = quick().credentials(credentials).build();
    for org in ["one", "two"] {
        let repository = format!("{}/{org}/a", server.address()).parse().unwrap();
        list(&client.repository(&repository)).await.unwrap();
    }
    server.finish();
}

/// Counts how often it is asked.
#[derive(Clone, Debug, Default)]
struct Counting(Arc<AtomicU32>);

#[async_trait]
impl CredentialStore for Counting {
    async fn get(&self, _: &RegistryName, _: Option<&RepositoryName>) -> Result<Credential> {
        let number = self.0.fetch_add(1, Ordering::Relaxed);
        Ok(Credential::login(format!("user{number}"), Secret::new("password"), "a test"))
    }
}

/// A registry that wants a user and a password, whoever it is.
#[derive(Debug)]
struct AnyUser;

#[async_trait]
impl Transport for AnyUser {
    async fn send(
        &self,
        request: http::Request<Body>,
    ) -> Result<http::Response<Body>, TransportError> {
        let mut reply = http::Response::new(Body::Bytes(listed().into()));
        if !request.headers().contains_key("authorization") {
            *reply.status_mut() = http::StatusCode::UNAUTHORIZED;
            let challenge = http::HeaderValue::from_static("Basic realm=\"r\"");
            reply.headers_mut().insert("www-authenticate", challenge);
        }
        Ok(reply)
    }
}

#[tokio::test]
async fn a_client_forgets_the_repositories_that_it_used_least_recently() {
    let store = Counting::default();
    let client = Client::builder().transport(AnyUser).credentials(store.clone()).build();
    let ask = async |number: u32| {
        let repository = format!("r.example/a/{number}").parse().unwrap();
        list(&client.repository(&repository)).await.unwrap();
        store.0.load(Ordering::Relaxed)
    };
    for number in 0..1024 {
        assert_eq!(ask(number).await, number + 1);
    }
    assert_eq!(ask(0).await, 1024, "it is remembered");
    assert_eq!(ask(1024).await, 1025);
    assert_eq!(ask(0).await, 1025, "it was used since");
    assert_eq!(ask(1).await, 1026, "it had to go");
}

#[tokio::test]
async fn credentials_by_pattern_are_used() {
    let server = Script::start().await;
    server.expect(tags().answer(401).header("www-authenticate", "Basic realm=\"r\""));
    server.expect(tags().with("authorization", BASIC).body(listed()));
    let user = Credential::login("username", Secret::new("password"), "a pattern");
    let store = MemoryCredentials::new()
        .with_pattern(RegistryPattern::regex(r"127\.0\.0\.1:\d+").unwrap(), user.over_plain_http());
    list(&at(&server, quick().credentials(store))).await.unwrap();
    server.finish();
}
