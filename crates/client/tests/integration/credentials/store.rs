//! Custom credential stores, and the separation of credentials and tokens of different users.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use futures_util::stream;
use longshore::{
    BlobStream, Body, Client, Credential, CredentialStore, ErrorKind, MemoryCredentials,
    RegistryName, RegistryPattern, RepositoryName, Result, Secret, Transport, TransportError,
};
use longshore_testkit::script::{Exchange, Script};

use super::{BASIC, PULL, at, challenged, list, listed, tags};
use crate::quick;

/// A store that returns a different user for each organisation, and a different password for each
/// call.
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
async fn a_store_receives_the_repository_and_is_queried_again_after_a_refusal() {
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

/// A store that counts its lookups.
#[derive(Clone, Debug, Default)]
struct Counting(Arc<AtomicU32>);

#[async_trait]
impl CredentialStore for Counting {
    async fn get(&self, _: &RegistryName, _: Option<&RepositoryName>) -> Result<Credential> {
        let number = self.0.fetch_add(1, Ordering::Relaxed);
        Ok(Credential::login(format!("user{number}"), Secret::new("password"), "a test"))
    }
}

/// A registry that requires a user and password, and accepts any values.
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

/// A store that returns these credentials one after the other, and then repeats the last one.
/// Counts its lookups.
#[derive(Clone, Debug)]
struct Rotating(Arc<[Credential]>, Arc<AtomicU32>);

impl Rotating {
    fn new(credentials: impl IntoIterator<Item = Credential>) -> Self {
        let local = credentials.into_iter().map(Credential::over_plain_http);
        Self(local.collect(), Arc::default())
    }

    fn lookups(&self) -> u32 {
        self.1.load(Ordering::Relaxed)
    }
}

#[async_trait]
impl CredentialStore for Rotating {
    async fn get(&self, _: &RegistryName, _: Option<&RepositoryName>) -> Result<Credential> {
        let number = self.1.fetch_add(1, Ordering::Relaxed) as usize;
        Ok(self.0[number.min(self.0.len() - 1)].clone())
    }
}

fn password(password: &str) -> Credential {
    Credential::login("u", Secret::new(password), "a test")
}

const OLD: &str = "Basic dTpvbGQ=";
const NEW: &str = "Basic dTpuZXc=";

/// Advances the client's clock, and then resumes it for the requests and replies of the server.
async fn advance(time: Duration) {
    tokio::time::pause();
    tokio::time::advance(time).await;
    tokio::time::resume();
}

fn basic_challenge() -> Exchange {
    tags().without("authorization").answer(401).header("www-authenticate", "Basic realm=\"r\"")
}

#[tokio::test]
async fn an_expired_credential_is_replaced_before_it_is_used() {
    let server = Script::start().await;
    server.expect(basic_challenge());
    server.expect(tags().with("authorization", OLD).body(listed()));
    server.expect(tags().with("authorization", OLD).body(listed()));
    server.expect(tags().with("authorization", NEW).body(listed()));
    server.expect(tags().with("authorization", NEW).body(listed()));
    let twelve_hours = Duration::from_secs(12 * 60 * 60);
    let store = Rotating::new([password("old").expires_in(twelve_hours), password("new")]);
    let repository = at(&server, quick().credentials(store.clone()));
    list(&repository).await.unwrap();
    advance(twelve_hours - Duration::from_secs(10)).await;
    list(&repository).await.unwrap();
    assert_eq!(store.lookups(), 1);
    // The password would expire while the request is sent.
    advance(Duration::from_secs(6)).await;
    list(&repository).await.unwrap();
    advance(twelve_hours).await;
    list(&repository).await.unwrap();
    assert_eq!(store.lookups(), 2, "the new credential has no expiry");
    server.finish();
}

#[tokio::test]
async fn cached_tokens_are_kept_if_a_credential_is_renewed_unchanged() {
    let server = Script::start().await;
    server.expect(challenged(&server));
    let token = Exchange::new("GET", PULL).with("authorization", OLD);
    server.expect(token.body("{\"token\":\"t\",\"expires_in\":3600}"));
    server.expect(tags().with("authorization", "Bearer t").body(listed()));
    server.expect(tags().with("authorization", "Bearer t").body(listed()));
    let minute = Duration::from_secs(60);
    let store = Rotating::new([
        password("old").expires_in(minute),
        password("old").expires_in(60 * minute),
    ]);
    let repository = at(&server, quick().credentials(store.clone()));
    list(&repository).await.unwrap();
    advance(minute).await;
    list(&repository).await.unwrap();
    assert_eq!(store.lookups(), 2);
    server.finish();
}

#[tokio::test]
async fn a_request_is_sent_again_after_a_403_if_the_store_has_a_newer_credential() {
    let server = Script::start().await;
    server.expect(basic_challenge());
    server.expect(tags().with("authorization", OLD).body(listed()));
    // The credential is fresh from the store, so a 403 is final.
    server.expect(tags().with("authorization", OLD).answer(403));
    // ECR answers a request with an expired password with 403.
    server.expect(tags().with("authorization", OLD).answer(403));
    server.expect(tags().with("authorization", NEW).body(listed()));
    // The store has no newer credential, so the request is not sent again.
    server.expect(tags().with("authorization", NEW).answer(403));
    // The store was queried recently, so it is not queried again.
    server.expect(tags().with("authorization", NEW).answer(403));
    let store = Rotating::new([password("old"), password("new")]);
    let repository = at(&server, quick().credentials(store.clone()));
    let denied = async || list(&repository).await.unwrap_err().kind() == ErrorKind::Denied;
    list(&repository).await.unwrap();
    assert!(denied().await);
    assert_eq!(store.lookups(), 1);
    advance(Duration::from_secs(601)).await;
    list(&repository).await.unwrap();
    assert_eq!(store.lookups(), 2);
    advance(Duration::from_secs(601)).await;
    assert!(denied().await);
    assert_eq!(store.lookups(), 3);
    assert!(denied().await);
    assert_eq!(store.lookups(), 3);
    server.finish();
}

#[tokio::test]
async fn after_a_403_a_token_is_requested_with_a_newer_credential() {
    let server = Script::start().await;
    server.expect(challenged(&server));
    let token = |basic: &str, token: &str| {
        let body = format!("{{\"token\":\"{token}\",\"expires_in\":3600}}");
        Exchange::new("GET", PULL).with("authorization", basic).body(body)
    };
    server.expect(token(OLD, "t1"));
    server.expect(tags().with("authorization", "Bearer t1").body(listed()));
    server.expect(tags().with("authorization", "Bearer t1").answer(403));
    server.expect(token(NEW, "t2"));
    server.expect(tags().with("authorization", "Bearer t2").body(listed()));
    let store = Rotating::new([password("old"), password("new")]);
    let repository = at(&server, quick().credentials(store));
    list(&repository).await.unwrap();
    advance(Duration::from_secs(601)).await;
    list(&repository).await.unwrap();
    server.finish();
}

#[tokio::test]
async fn a_newer_credential_is_sent_after_a_token_service_refuses_an_old_one() {
    let server = Script::start().await;
    let token = |basic: &str| Exchange::new("GET", PULL).with("authorization", basic);
    let good = |token: &str| format!("{{\"token\":\"{token}\",\"expires_in\":60}}");
    server.expect(challenged(&server));
    server.expect(token(OLD).body(good("t1")));
    server.expect(tags().with("authorization", "Bearer t1").body(listed()));
    server.expect(token(OLD).answer(401));
    server.expect(token(NEW).body(good("t2")));
    server.expect(tags().with("authorization", "Bearer t2").body(listed()));
    // The first refusal is final because the store has no newer credential, and the second because
    // the store has just returned this credential.
    server.expect(token(NEW).answer(401));
    server.expect(token(NEW).answer(401));
    let store = Rotating::new([password("old"), password("new")]);
    let repository = at(&server, quick().credentials(store.clone()));
    let refused = async || list(&repository).await.unwrap_err().kind() == ErrorKind::Unauthorized;
    list(&repository).await.unwrap();
    advance(Duration::from_secs(601)).await;
    list(&repository).await.unwrap();
    assert_eq!(store.lookups(), 2);
    advance(Duration::from_secs(601)).await;
    assert!(refused().await);
    assert!(refused().await);
    server.finish();
}

#[tokio::test]
async fn after_a_403_to_a_stream_only_the_next_request_has_the_newer_credential() {
    let server = Script::start().await;
    let begin = || Exchange::new("POST", "/v2/a/b/blobs/uploads/");
    let challenge = "Basic realm=\"r\"";
    server.expect(begin().answer(401).header("www-authenticate", challenge));
    server.expect(begin().with("authorization", OLD).answer(202).header("location", "/v2/u/1"));
    let append = Exchange::new("PATCH", "/v2/u/1").with("authorization", OLD).sending("hello");
    server.expect(append.answer(403));
    server.expect(tags().with("authorization", NEW).body(listed()));
    let store = Rotating::new([password("old"), password("new")]);
    let repository = at(&server, quick().credentials(store));
    let mut upload = repository.begin_upload().await.unwrap();
    advance(Duration::from_secs(601)).await;
    let stream = BlobStream::new(stream::iter([Ok("hello".into())]));
    let e = upload.append(stream, 5).await.unwrap_err();
    assert_eq!(e.kind(), ErrorKind::Denied);
    list(&repository).await.unwrap();
    server.finish();
}

#[tokio::test]
async fn a_client_drops_the_credentials_of_the_least_recently_used_repositories() {
    let store = Counting::default();
    let client = Client::builder().transport(AnyUser).credentials(store.clone()).build();
    let lookups_after_use = async |number: u32| {
        let repository = format!("r.example/a/{number}").parse().unwrap();
        list(&client.repository(&repository)).await.unwrap();
        store.0.load(Ordering::Relaxed)
    };
    for number in 0..1024 {
        assert_eq!(lookups_after_use(number).await, number + 1);
    }
    assert_eq!(lookups_after_use(0).await, 1024, "the credential is cached");
    assert_eq!(lookups_after_use(1024).await, 1025);
    assert_eq!(lookups_after_use(0).await, 1025, "the credential was used recently");
    assert_eq!(lookups_after_use(1).await, 1026, "the credential was dropped");
}

#[tokio::test]
async fn credentials_for_a_matching_pattern_are_used() {
    let server = Script::start().await;
    server.expect(tags().answer(401).header("www-authenticate", "Basic realm=\"r\""));
    server.expect(tags().with("authorization", BASIC).body(listed()));
    let user = Credential::login("username", Secret::new("password"), "a pattern");
    let store = MemoryCredentials::new()
        .with_pattern(RegistryPattern::regex(r"127\.0\.0\.1:\d+").unwrap(), user.over_plain_http());
    list(&at(&server, quick().credentials(store))).await.unwrap();
    server.finish();
}
