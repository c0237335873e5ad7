//! Credentials of every kind, how they are used at registries and token services, and settings.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use async_trait::async_trait;
use longshore::{
    Authentication, BasicUse, BlobBody, Client, ClientBuilder, Credential, CredentialStore,
    Delete as _, ErrorKind, MemoryCredentials, Opening, RegistryName, RegistryPattern,
    RegistrySettings, RemoteRepository, Repository, RepositoryName, Result, Scheme, Scope, Secret,
    Source as _, Target as _, TokenService,
};
use longshore_testkit::script::{Exchange, Script};

use crate::{blob, login, place, quick};

const BASIC: &str = "Basic dXNlcm5hbWU6cGFzc3dvcmQ=";
const PULL: &str = "/token?service=reg&scope=repository%3Aa%2Fb%3Apull";

fn name(server: &Script) -> RegistryName {
    place(server).registry().clone()
}

fn user(server: &Script) -> MemoryCredentials {
    login(name(server), "username", "password")
}

fn given(server: &Script, credential: Credential) -> MemoryCredentials {
    MemoryCredentials::new().with_credential(name(server), credential.over_plain_http())
}

fn with(server: &Script, settings: Authentication) -> ClientBuilder {
    quick().credentials(user(server)).authentication(name(server), settings)
}

fn settings(change: impl FnOnce(&mut Authentication)) -> Authentication {
    let mut settings = Authentication::default();
    change(&mut settings);
    settings
}

fn at(server: &Script, builder: ClientBuilder) -> RemoteRepository {
    builder.build().repository(&place(server))
}

fn tags() -> Exchange {
    Exchange::new("GET", "/v2/a/b/tags/list?n=1000")
}

fn listed() -> &'static str {
    "{\"tags\":[]}"
}

fn bearer(server: &Script) -> String {
    format!(
        "Bearer realm=\"{}\",service=\"reg\",scope=\"repository:a/b:pull\"",
        server.url("/token")
    )
}

fn challenged(server: &Script) -> Exchange {
    tags().without("authorization").answer(401).header("www-authenticate", bearer(server))
}

async fn list(repository: &RemoteRepository) -> Result<usize> {
    Ok(repository.tags(None).all().await?.len())
}

#[tokio::test]
async fn trap_01_nobody_sends_no_authorization() {
    let server = Script::start().await;
    server.expect(Exchange::new("GET", "/v2/").without("authorization"));
    server.expect(tags().without("authorization").body(listed()));
    server.expect(
        tags().without("authorization").answer(401).header("www-authenticate", "Basic realm=\"r\""),
    );
    let client = quick().build();
    client.authenticate(&name(&server)).await.unwrap();
    let repository = client.repository(&place(&server));
    assert_eq!(list(&repository).await.unwrap(), 0);
    let e = list(&repository).await.unwrap_err();
    assert_eq!(e.kind(), ErrorKind::Unauthorized);
    server.finish();
}

#[tokio::test]
async fn trap_02_basic_does_not_take_the_place_of_bearer() {
    let server = Script::start().await;
    let both = format!("Basic realm=\"r\", {}", bearer(&server));
    let opening = tags().with("authorization", BASIC);
    server.expect(opening.answer(401).header("www-authenticate", both));
    server
        .expect(Exchange::new("GET", PULL).with("authorization", BASIC).body("{\"token\":\"t\"}"));
    for _ in 0..3 {
        server.expect(tags().with("authorization", "Bearer t").body(listed()));
    }
    let first = settings(|s| s.opening = Opening::Basic);
    let repository = at(&server, with(&server, first));
    for _ in 0..3 {
        list(&repository).await.unwrap();
    }
    server.finish();
}

#[tokio::test]
async fn trap_03_each_request_asks_for_the_scope_it_needs() {
    let server = Script::start().await;
    let descriptor = blob(b"hello");
    let token = |scopes: &str, token: &str| {
        let target = format!("/token?service=reg&{scopes}");
        let body = format!("{{\"token\":\"{token}\",\"expires_in\":300}}");
        Exchange::new("GET", target).body(body)
    };
    let push = "scope=repository%3Aa%2Fb%3Apull%2Cpush";
    let begin = Exchange::new("POST", "/v2/a/b/blobs/uploads/");
    server.expect(begin.clone().answer(401).header("www-authenticate", bearer(&server)));
    server.expect(token(push, "push"));
    let pushed = |exchange: Exchange| exchange.with("authorization", "Bearer push");
    server.expect(pushed(begin).answer(202).header("location", "/v2/u/1"));
    let patch = Exchange::new("PATCH", "/v2/u/1").sending("hel");
    server.expect(pushed(patch).answer(202).header("location", "/v2/u/2").header("range", "0-2"));
    let patch = Exchange::new("PATCH", "/v2/u/2").sending("lo");
    server.expect(pushed(patch).answer(202).header("location", "/v2/u/3").header("range", "0-4"));
    let put = format!("/v2/u/3?digest={}", descriptor.digest);
    server.expect(pushed(Exchange::new("PUT", put)).answer(201));
    // What a deletion takes is for the registry to say.
    let delete = Exchange::new("DELETE", format!("/v2/a/b/blobs/{}", descriptor.digest));
    let wants = bearer(&server).replace(":pull", ":delete");
    server.expect(pushed(delete.clone()).answer(401).header("www-authenticate", wants));
    server.expect(token("scope=repository%3Aa%2Fb%3Apull%2Cpush%2Cdelete", "delete"));
    server.expect(delete.with("authorization", "Bearer delete").answer(202));
    let mount = format!(
        "/v2/a/b/blobs/uploads/?mount={}&from=c%2Fd",
        descriptor.digest.as_str().replace(':', "%3A")
    );
    server.expect(token(&format!("{push}&scope=repository%3Ac%2Fd%3Apull"), "mount"));
    let mount = Exchange::new("POST", mount).with("authorization", "Bearer mount");
    server.expect(mount.answer(201));

    let form = longshore::UploadForm::Chunks(std::num::NonZeroU64::new(3).unwrap());
    let repository = at(&server, quick().credentials(user(&server)).upload_form(form));
    let body = BlobBody::from(bytes::Bytes::from_static(b"hello"));
    repository.push_blob(&descriptor, body).await.unwrap();
    repository.delete_blob(&descriptor.digest).await.unwrap();
    let source: Repository = format!("{}/c/d", server.address()).parse().unwrap();
    repository.mount_blob(&descriptor, &source).await.unwrap();
    server.finish();
}

#[tokio::test]
async fn trap_06_tokens_of_every_shape_are_taken() {
    // Neither service nor scope in the challenge, the wrong content type, and one field or the other.
    for body in [
        "{\"token\":\"t\",\"expires_in\":300}",
        "{\"access_token\":\"t\",\"expires_in\":300}",
        "{\"token\":\"t\",\"access_token\":\"t\",\"issued_at\":\"1970-01-01T00:00:00Z\"}",
    ] {
        let server = Script::start().await;
        let challenge = format!("Bearer realm=\"{}\"", server.url("/token"));
        server.expect(tags().answer(401).header("www-authenticate", &challenge));
        let token = Exchange::new("GET", "/token?scope=repository%3Aa%2Fb%3Apull");
        server.expect(token.header("content-type", "text/plain").body(body));
        let with_token = tags().with("authorization", "Bearer t");
        server.expect(with_token.header("content-type", "text/plain").body("{\"tags\":null}"));
        // Another repository: another token, asked for up front.
        let token = Exchange::new("GET", "/token?scope=repository%3Ac%3Apull");
        server.expect(token.body("{\"token\":\"c\"}"));
        let other = Exchange::new("GET", "/v2/c/tags/list?n=1000");
        server.expect(other.with("authorization", "Bearer c").body(listed()));
        let client = quick().credentials(user(&server)).build();
        assert_eq!(list(&client.repository(&place(&server))).await.unwrap(), 0);
        let other = format!("{}/c", server.address()).parse().unwrap();
        list(&client.repository(&other)).await.unwrap();
        server.finish();
    }
}

#[tokio::test]
async fn json_is_read_whatever_it_is_called() {
    let server = Script::start().await;
    server.expect(tags().header("content-type", "text/html").body("{\"tags\":[\"v1\"]}"));
    let catalog = Exchange::new("GET", "/v2/_catalog?n=1000");
    server.expect(catalog.header("content-type", "text/plain").body("{\"repositories\":[\"a\"]}"));
    let client = quick().build();
    assert_eq!(list(&client.repository(&place(&server))).await.unwrap(), 1);
    assert_eq!(client.catalog(&name(&server)).all().await.unwrap().len(), 1);
    server.finish();
}

#[tokio::test]
async fn trap_23_basic_over_http_to_localhost_takes_an_explicit_word() {
    let server = Script::start().await;
    let basic = || tags().without("authorization").answer(401);
    let basic = || basic().header("www-authenticate", "Basic realm=\"r\"");
    let unasked =
        || MemoryCredentials::new().with(name(&server), "username", Secret::new("password"));
    // That it is this machine is not enough, nor that all registries are plain.
    let mut plain = RegistrySettings::default();
    plain.scheme = Some(Scheme::Http);
    for builder in [quick(), quick().default_settings(plain.clone())] {
        server.expect(basic());
        let e = list(&at(&server, builder.credentials(unasked()))).await.unwrap_err();
        assert_eq!(e.kind(), ErrorKind::Unauthorized);
        assert!(e.to_string().contains("not sent over plain HTTP unless that is asked for"), "{e}");
    }
    // Nor does a token service get them.
    server.expect(challenged(&server));
    server.expect(Exchange::new("GET", PULL).without("authorization").answer(401));
    list(&at(&server, quick().credentials(unasked()))).await.unwrap_err();
    // The word: the registry's own scheme, or the credential itself.
    for builder in [
        quick().credentials(unasked()).settings(name(&server), plain),
        quick().credentials(user(&server)),
    ] {
        server.expect(basic());
        server.expect(tags().with("authorization", BASIC).body(listed()));
        list(&at(&server, builder)).await.unwrap();
    }
    server.finish();
}

#[tokio::test]
async fn basic_goes_first_where_that_is_asked_for() {
    let server = Script::start().await;
    for _ in 0..2 {
        server.expect(tags().with("authorization", BASIC).body(listed()));
    }
    let repository = at(&server, with(&server, settings(|s| s.opening = Opening::Basic)));
    list(&repository).await.unwrap();
    list(&repository).await.unwrap();
    // Nobody still sends nothing.
    server.expect(tags().without("authorization").body(listed()));
    let nobody = quick().default_authentication(settings(|s| s.opening = Opening::Basic));
    list(&at(&server, nobody)).await.unwrap();
    server.finish();
}

#[tokio::test]
async fn basic_is_never_sent_where_it_is_turned_off() {
    let server = Script::start().await;
    let never = || settings(|s| s.basic = BasicUse::Never);
    server.expect(tags().answer(401).header("www-authenticate", "Basic realm=\"r\""));
    let e = list(&at(&server, with(&server, never()))).await.unwrap_err();
    assert!(e.to_string().contains("basic only, which is turned off"), "{e}");
    // Nor in place of a token service that fails.
    let both = format!("{}, Basic realm=\"r\"", bearer(&server));
    server.expect(tags().answer(401).header("www-authenticate", both));
    server.expect(Exchange::new("GET", PULL).answer(404));
    list(&at(&server, with(&server, never()))).await.unwrap_err();
    server.finish();
}

#[tokio::test]
async fn a_registry_can_be_probed_before_the_first_request() {
    let server = Script::start().await;
    let challenge = format!("Bearer realm=\"{}\",service=\"reg\"", server.url("/token"));
    let root = Exchange::new("GET", "/v2/").without("authorization");
    server.expect(root.answer(401).header("www-authenticate", challenge));
    server
        .expect(Exchange::new("GET", PULL).with("authorization", BASIC).body("{\"token\":\"t\"}"));
    server.expect(tags().with("authorization", "Bearer t").body(listed()));
    let probing = settings(|s| s.opening = Opening::Probe);
    list(&at(&server, with(&server, probing))).await.unwrap();
    server.finish();
}

#[tokio::test]
async fn a_token_service_can_be_set_by_hand() {
    let server = Script::start().await;
    let service = || TokenService::new(&server.url("/mine?x=1"), Some("me")).unwrap();
    let token = Exchange::new("GET", "/mine?x=1&service=me&scope=repository%3Aa%2Fb%3Apull");
    server.expect(token.with("authorization", BASIC).body("{\"token\":\"t\"}"));
    server.expect(tags().with("authorization", "Bearer t").body(listed()));
    let set = settings(|s| s.token_service = Some(service()));
    list(&at(&server, with(&server, set))).await.unwrap();

    // With a user of its own.
    let url = server.url("/mine").replace("http://", "http://own:pw@");
    let own = TokenService::new(&url, None).unwrap();
    let token = Exchange::new("GET", "/mine?scope=repository%3Aa%2Fb%3Apull");
    server.expect(token.with("authorization", "Basic b3duOnB3").body("{\"token\":\"t\"}"));
    server.expect(tags().with("authorization", "Bearer t").body(listed()));
    list(&at(&server, with(&server, settings(|s| s.token_service = Some(own))))).await.unwrap();
    server.finish();
}

#[tokio::test]
async fn the_host_of_a_token_service_can_be_set_by_hand() {
    let (server, other) = (Script::start().await, Script::start().await);
    let challenge = "Bearer realm=\"http://127.0.0.1:1/token\",service=\"reg\"";
    server.expect(tags().answer(401).header("www-authenticate", challenge));
    other.expect(Exchange::new("GET", PULL).with("authorization", BASIC).body("{\"token\":\"t\"}"));
    server.expect(tags().with("authorization", "Bearer t").body(listed()));
    let set = settings(|s| s.token_host = Some(name(&other)));
    list(&at(&server, with(&server, set))).await.unwrap();
    server.finish();
    other.finish();
}

#[tokio::test]
async fn a_preset_token_is_sent_first_until_it_is_refused() {
    let server = Script::start().await;
    let plain = |builder: ClientBuilder| {
        let mut plain = RegistrySettings::default();
        plain.scheme = Some(Scheme::Http);
        builder.settings(name(&server), plain)
    };
    let pull = Scope::repository(place(&server).name(), &["pull"]);
    server.expect(tags().with("authorization", "Bearer mine").body(listed()));
    server.expect(
        tags()
            .with("authorization", "Bearer mine")
            .answer(401)
            .header("www-authenticate", bearer(&server)),
    );
    server.expect(Exchange::new("GET", PULL).body("{\"token\":\"t\"}"));
    server.expect(tags().with("authorization", "Bearer t").body(listed()));
    let preset = quick().token(name(&server), Some(pull.clone()), Secret::new("mine"));
    let repository = at(&server, plain(preset));
    list(&repository).await.unwrap();
    list(&repository).await.unwrap();
    // For another repository than it is for, it is none.
    server.expect(Exchange::new("GET", "/v2/c/tags/list?n=1000").without("authorization"));
    let preset = quick().token(name(&server), Some(pull), Secret::new("mine"));
    let other = format!("{}/c", server.address()).parse().unwrap();
    list(&plain(preset).build().repository(&other)).await.unwrap_err();
    // Without a scope, it is for everything there; unencrypted, only if that is asked for.
    server.expect(tags().with("authorization", "Bearer all").body(listed()));
    let all = || quick().token(name(&server), None, Secret::new("all"));
    list(&at(&server, plain(all()))).await.unwrap();
    server.expect(tags().without("authorization").body(listed()));
    list(&at(&server, all())).await.unwrap();
    server.finish();
}

#[tokio::test]
async fn registry_tokens_and_raw_headers_answer_a_challenge() {
    for (credential, challenge_with_token, sent) in [
        (Credential::registry_token(Secret::new("mine"), "x"), true, "Bearer mine"),
        (Credential::registry_token(Secret::new("mine"), "x"), false, "Bearer mine"),
        (Credential::authorization(Secret::new("Bearer raw"), "x"), true, "Bearer raw"),
        (Credential::authorization(Secret::new("Basic cmF3Og=="), "x"), false, "Basic cmF3Og=="),
    ] {
        let server = Script::start().await;
        let challenge =
            if challenge_with_token { bearer(&server) } else { "Basic realm=\"r\"".to_owned() };
        server.expect(tags().answer(401).header("www-authenticate", challenge));
        server.expect(tags().with("authorization", sent).body(listed()));
        list(&at(&server, quick().credentials(given(&server, credential)))).await.unwrap();
        server.finish();
    }
    // A raw value that is no bearer goes to the token service.
    let server = Script::start().await;
    server.expect(challenged(&server));
    let token = Exchange::new("GET", PULL).with("authorization", "Basic cmF3Og==");
    server.expect(token.body("{\"token\":\"t\"}"));
    server.expect(tags().with("authorization", "Bearer t").body(listed()));
    let raw = Credential::authorization(Secret::new("Basic cmF3Og=="), "x");
    list(&at(&server, quick().credentials(given(&server, raw)))).await.unwrap();
    server.finish();
}

const REFRESH: &str = "grant_type=refresh_token&refresh_token=s3cret%2Ftoken&client_id=longshore\
    &service=reg&scope=repository%3Aa%2Fb%3Apull";

fn identity(server: &Script) -> MemoryCredentials {
    given(server, Credential::identity_token("", Secret::new("s3cret/token"), "x"))
}

#[tokio::test]
async fn an_identity_token_is_exchanged_by_post_and_renewed() {
    let server = Script::start().await;
    server.expect(challenged(&server));
    let post = Exchange::new("POST", "/token").without("authorization");
    let form = "application/x-www-form-urlencoded";
    let answer = "{\"access_token\":\"t1\",\"expires_in\":1,\"refresh_token\":\"next\"}";
    server.expect(post.clone().with("content-type", form).sending(REFRESH).body(answer));
    server.expect(tags().with("authorization", "Bearer t1").body(listed()));
    // The token is about to expire; the service gave another refresh token for the next one.
    let renewed = REFRESH.replace("s3cret%2Ftoken", "next");
    server.expect(post.sending(renewed).body("{\"access_token\":\"t2\",\"expires_in\":300}"));
    server.expect(tags().with("authorization", "Bearer t2").body(listed()));
    let repository = at(&server, quick().credentials(identity(&server)));
    list(&repository).await.unwrap();
    list(&repository).await.unwrap();
    server.finish();
}

#[tokio::test]
async fn a_service_without_oauth2_is_asked_by_get() {
    for status in [404, 405] {
        let server = Script::start().await;
        server.expect(challenged(&server));
        server.expect(Exchange::new("POST", "/token").sending(REFRESH).answer(status));
        // `<token>:s3cret/token`
        let basic = "Basic PHRva2VuPjpzM2NyZXQvdG9rZW4=";
        let get = Exchange::new("GET", PULL).with("authorization", basic);
        server.expect(get.body("{\"token\":\"t\"}"));
        server.expect(tags().with("authorization", "Bearer t").body(listed()));
        list(&at(&server, quick().credentials(identity(&server)))).await.unwrap();
        server.finish();
    }
}

#[tokio::test]
async fn a_refused_identity_token_is_not_tried_otherwise() {
    let server = Script::start().await;
    server.expect(challenged(&server));
    let said = "{\"errors\":[{\"code\":\"DENIED\",\"message\":\"bad token s3cret/token\"}]}";
    server.expect(Exchange::new("POST", "/token").answer(401).body(said));
    let e = list(&at(&server, quick().credentials(identity(&server)))).await.unwrap_err();
    assert_eq!(e.kind(), ErrorKind::Unauthorized);
    let shown = format!("{e} {e:?}");
    assert!(shown.contains("bad token …") && !shown.contains("s3cret"), "{shown}");
    server.finish();
}

#[tokio::test]
async fn a_password_is_exchanged_for_a_refresh_token_where_that_is_asked_for() {
    let server = Script::start().await;
    server.expect(challenged(&server));
    let form = "grant_type=password&username=username&password=password&client_id=me\
        &service=reg&scope=repository%3Aa%2Fb%3Apull&access_type=offline";
    let answer = "{\"access_token\":\"t1\",\"refresh_token\":\"r\",\"expires_in\":1}";
    server.expect(Exchange::new("POST", "/token").sending(form).body(answer));
    server.expect(tags().with("authorization", "Bearer t1").body(listed()));
    let form = "grant_type=refresh_token&refresh_token=r&client_id=me\
        &service=reg&scope=repository%3Aa%2Fb%3Apull&access_type=offline";
    let answer = "{\"access_token\":\"t2\",\"expires_in\":300}";
    server.expect(Exchange::new("POST", "/token").sending(form).body(answer));
    server.expect(tags().with("authorization", "Bearer t2").body(listed()));
    let offline = settings(|s| {
        s.offline_token = true;
        s.client_id = Some("me".to_owned());
    });
    let repository = at(&server, with(&server, offline.clone()));
    list(&repository).await.unwrap();
    list(&repository).await.unwrap();

    // A service that knows no OAuth2 is asked in the older way.
    server.expect(challenged(&server));
    server.expect(Exchange::new("POST", "/token").answer(405));
    let get = format!("{PULL}&client_id=me&offline_token=true");
    let get = Exchange::new("GET", get).with("authorization", BASIC);
    server.expect(get.body("{\"token\":\"t\"}"));
    server.expect(tags().with("authorization", "Bearer t").body(listed()));
    list(&at(&server, with(&server, offline))).await.unwrap();
    server.finish();
}

#[tokio::test]
async fn a_form_with_a_secret_is_not_redirected_elsewhere() {
    let (server, other) = (Script::start().await, Script::start().await);
    server.expect(challenged(&server));
    let post = Exchange::new("POST", "/token").answer(307);
    server.expect(post.header("location", other.url("/token")));
    let e = list(&at(&server, quick().credentials(identity(&server)))).await.unwrap_err();
    assert!(format!("{e:?}").contains("leads elsewhere"), "{e:?}");
    server.finish();
    other.finish();
}

#[tokio::test]
async fn a_403_to_nobody_is_answered_by_asking_how_to_authenticate() {
    let server = Script::start().await;
    server.expect(tags().without("authorization").answer(403));
    let root = Exchange::new("GET", "/v2/").without("authorization");
    server.expect(root.answer(401).header("www-authenticate", "Basic realm=\"r\""));
    server.expect(tags().with("authorization", BASIC).body(listed()));
    // With credentials, a 403 is the last word.
    server.expect(tags().with("authorization", BASIC).answer(403));
    let repository = at(&server, quick().credentials(user(&server)));
    list(&repository).await.unwrap();
    let e = list(&repository).await.unwrap_err();
    assert_eq!(e.kind(), ErrorKind::Denied);
    server.finish();
}

#[tokio::test]
async fn basic_in_place_of_a_failing_token_service_is_not_for_ever() {
    let server = Script::start().await;
    let both = format!("{}, Basic realm=\"r\"", bearer(&server));
    server.expect(tags().answer(401).header("www-authenticate", &both));
    server.expect(Exchange::new("GET", PULL).answer(404));
    server.expect(tags().with("authorization", BASIC).body(listed()));
    server.expect(tags().with("authorization", BASIC).body(listed()));
    // Basic is refused: the token service, which works again, is asked again.
    let refused = tags().with("authorization", BASIC).answer(401);
    server.expect(refused.header("www-authenticate", &both));
    server.expect(Exchange::new("GET", PULL).body("{\"token\":\"t\",\"expires_in\":300}"));
    server.expect(tags().with("authorization", "Bearer t").body(listed()));
    server.expect(tags().with("authorization", "Bearer t").body(listed()));
    let repository = at(&server, quick().credentials(user(&server)));
    for _ in 0..4 {
        list(&repository).await.unwrap();
    }
    server.finish();
}

#[tokio::test]
async fn a_secret_that_a_server_repeats_is_not_shown() {
    let server = Script::start().await;
    let refused = "{\"errors\":[{\"code\":\"X\",\"message\":\"no user username:password (dXNlcm5hbWU6cGFzc3dvcmQ=)\"}]}";
    let basic = || tags().answer(401).header("www-authenticate", "Basic realm=\"r\"");
    server.expect(basic());
    server.expect(basic().body(refused));
    let e = list(&at(&server, quick().credentials(user(&server)))).await.unwrap_err();
    let shown = format!("{e} {e:?}");
    assert!(shown.contains("no user username:… (…)"), "{shown}");
    assert!(!shown.contains("dXNlcm5hbWU6cGFzc3dvcmQ="), "{shown}");
    server.finish();
}

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
    let one = || Exchange::new("GET", "/v2/one/a/tags/list?n=1000");
    let two = || Exchange::new("GET", "/v2/two/a/tags/list?n=1000");
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
    let list_of = |org: &str| Exchange::new("GET", format!("/v2/{org}/a/tags/list?n=1000"));
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

#[tokio::test(start_paused = true)]
async fn a_token_is_used_until_shortly_before_it_expires() {
    // dreg keeps a token for max(expires_in - 5, 55) seconds, and so a short one past its end; here its
    // real end counts. From 60 seconds on, both are the same.
    for (validity, kept, renewed) in
        [(60, 54, 55), (61, 55, 56), (90, 84, 85), (30, 24, 25), (6, 0, 1)]
    {
        let tokens = Arc::new(AtomicU32::new(0));
        let registry = FakeRegistry { validity, tokens: Arc::clone(&tokens) };
        let client = Client::builder().transport(registry).build();
        let repository = client.repository(&"r.example/a".parse().unwrap());
        list(&repository).await.unwrap();
        tokio::time::advance(std::time::Duration::from_secs(kept)).await;
        list(&repository).await.unwrap();
        assert_eq!(tokens.load(Ordering::Relaxed), 1, "{validity} after {kept} s");
        tokio::time::advance(std::time::Duration::from_secs(renewed - kept)).await;
        list(&repository).await.unwrap();
        assert_eq!(tokens.load(Ordering::Relaxed), 2, "{validity} after {renewed} s");
    }
}

/// A registry without a network: time can be set under it.
#[derive(Debug)]
struct FakeRegistry {
    validity: u64,
    tokens: Arc<AtomicU32>,
}

#[async_trait]
impl longshore::Transport for FakeRegistry {
    async fn send(
        &self,
        request: http::Request<longshore::Body>,
    ) -> Result<http::Response<longshore::Body>, longshore::TransportError> {
        let answer = |body: String| http::Response::new(longshore::Body::Bytes(body.into()));
        if request.uri().path() == "/token" {
            self.tokens.fetch_add(1, Ordering::Relaxed);
            return Ok(answer(format!("{{\"token\":\"t\",\"expires_in\":{}}}", self.validity)));
        }
        if request.headers().contains_key("authorization") {
            return Ok(answer(listed().to_owned()));
        }
        let mut reply = answer(String::new());
        *reply.status_mut() = http::StatusCode::UNAUTHORIZED;
        let challenge = "Bearer realm=\"https://r.example/token\"".parse().unwrap();
        reply.headers_mut().insert("www-authenticate", challenge);
        Ok(reply)
    }
}
