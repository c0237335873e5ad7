//! All kinds of credentials, their use at registries and token services, and their settings.

mod expiry;
mod identity_token;
mod settings;
mod store;

use longshore::{
    Authentication, BlobBody, ClientBuilder, Credential, Delete as _, ErrorKind, InitialAuth,
    MemoryCredentials, Netrc, Proxies, RegistryName, RegistryPattern, RegistrySettings,
    RemoteRepository, Repository, Result, Scheme, Secret, Source as _, Target as _,
};
use longshore_testkit::script::{Exchange, Script};

use crate::{blob, elsewhere, login, place, quick};

const BASIC: &str = "Basic dXNlcm5hbWU6cGFzc3dvcmQ=";
const PULL: &str = "/token?service=reg&scope=repository%3Aa%2Fb%3Apull";

fn name(server: &Script) -> RegistryName {
    place(server).registry().clone()
}

fn user(server: &Script) -> MemoryCredentials {
    login(name(server), "username", "password")
}

fn store_with(server: &Script, credential: Credential) -> MemoryCredentials {
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
    Exchange::new("GET", "/v2/a/b/tags/list")
}

fn listed() -> &'static str {
    "{\"tags\":[]}"
}

fn bearer(server: &Script) -> String {
    bearer_at(&server.url("/token"))
}

fn bearer_at(realm: &str) -> String {
    format!("Bearer realm=\"{realm}\",service=\"reg\",scope=\"repository:a/b:pull\"")
}

fn challenged(server: &Script) -> Exchange {
    tags().without("authorization").answer(401).header("www-authenticate", bearer(server))
}

async fn list(repository: &RemoteRepository) -> Result<usize> {
    Ok(repository.tags(None).all().await?.len())
}

#[tokio::test]
async fn trap_01_anonymous_requests_have_no_authorization() {
    let server = Script::start().await;
    server.expect(Exchange::new("GET", "/v2/").without("authorization"));
    server.expect(tags().without("authorization").body(listed()));
    server.expect(
        tags().without("authorization").answer(401).header("www-authenticate", "Basic realm=\"r\""),
    );
    let client = quick().build();
    client.check_credentials(&name(&server)).await.unwrap();
    let repository = client.repository(&place(&server));
    assert_eq!(list(&repository).await.unwrap(), 0);
    let e = list(&repository).await.unwrap_err();
    assert_eq!(e.kind(), ErrorKind::Unauthorized);
    server.finish();
}

#[tokio::test]
async fn trap_02_basic_does_not_replace_bearer() {
    let server = Script::start().await;
    let both = format!("Basic realm=\"r\", {}", bearer(&server));
    let opening = tags().with("authorization", BASIC);
    server.expect(opening.answer(401).header("www-authenticate", both));
    server
        .expect(Exchange::new("GET", PULL).with("authorization", BASIC).body("{\"token\":\"t\"}"));
    for _ in 0..3 {
        server.expect(tags().with("authorization", "Bearer t").body(listed()));
    }
    let first = settings(|s| s.opening = InitialAuth::Basic);
    let repository = at(&server, with(&server, first));
    for _ in 0..3 {
        list(&repository).await.unwrap();
    }
    server.finish();
}

#[tokio::test]
async fn trap_03_each_operation_requests_the_scope_that_it_needs() {
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
    // The registry determines which scope a deletion requires.
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

    let form = longshore::UploadMethod::Chunked(std::num::NonZeroU64::new(3).unwrap());
    let repository = at(&server, quick().credentials(user(&server)).upload_method(form));
    let body = BlobBody::from(bytes::Bytes::from_static(b"hello"));
    repository.push_blob(&descriptor, body).await.unwrap();
    repository.delete_blob(&descriptor.digest).await.unwrap();
    let source: Repository = format!("{}/c/d", server.address()).parse().unwrap();
    repository.push_blob(&descriptor, BlobBody::mount(source)).await.unwrap();
    server.finish();
}

#[tokio::test]
async fn trap_06_every_form_of_token_reply_is_accepted() {
    // The challenge has no service and no scope, the content type is wrong, and the token is in one
    // of two fields.
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
        // Another repository needs another token, which is fetched before the first request.
        let token = Exchange::new("GET", "/token?scope=repository%3Ac%3Apull");
        server.expect(token.body("{\"token\":\"c\"}"));
        let other = Exchange::new("GET", "/v2/c/tags/list");
        server.expect(other.with("authorization", "Bearer c").body(listed()));
        let client = quick().credentials(user(&server)).build();
        assert_eq!(list(&client.repository(&place(&server))).await.unwrap(), 0);
        let other = format!("{}/c", server.address()).parse().unwrap();
        list(&client.repository(&other)).await.unwrap();
        server.finish();
    }
}

#[tokio::test]
async fn json_with_another_content_type_is_parsed() {
    let server = Script::start().await;
    server.expect(tags().header("content-type", "text/html").body("{\"tags\":[\"v1\"]}"));
    let catalog = Exchange::new("GET", "/v2/_catalog");
    server.expect(catalog.header("content-type", "text/plain").body("{\"repositories\":[\"a\"]}"));
    let client = quick().build();
    assert_eq!(list(&client.repository(&place(&server))).await.unwrap(), 1);
    assert_eq!(client.catalog(&name(&server)).all().await.unwrap().len(), 1);
    server.finish();
}

#[tokio::test]
async fn trap_23_basic_over_plain_http_requires_permission_except_on_this_machine() {
    let server = Script::start().await;
    let basic = || tags().without("authorization").answer(401);
    let basic = || basic().header("www-authenticate", "Basic realm=\"r\"");
    let (_, there) = elsewhere(&server);
    let client = || elsewhere(&server).0;
    let without_permission = |registry: &RegistryName| {
        MemoryCredentials::new().with(registry.clone(), "username", Secret::new("password"))
    };
    // The default scheme http is not sufficient.
    server.expect(basic());
    let withheld = || client().credentials(without_permission(there.registry()));
    let e = list(&withheld().build().repository(&there)).await.unwrap_err();
    assert_eq!(e.kind(), ErrorKind::Unauthorized);
    assert!(e.to_string().contains("not sent over plain HTTP unless you allow it"), "{e}");
    // The token service does not receive the credentials either.
    let challenge = bearer_at(&format!("http://{}/token", there.registry()));
    server.expect(tags().answer(401).header("www-authenticate", challenge));
    server.expect(Exchange::new("GET", PULL).without("authorization").answer(401));
    list(&withheld().build().repository(&there)).await.unwrap_err();
    // Permission comes from the registry's own scheme, or from the credential itself.
    let mut plain = RegistrySettings::default();
    plain.scheme = Some(Scheme::Http);
    for client in [
        withheld().settings(there.registry().clone(), plain),
        client().credentials(login(there.registry().clone(), "username", "password")),
    ] {
        server.expect(basic());
        server.expect(tags().with("authorization", BASIC).body(listed()));
        list(&client.build().repository(&there)).await.unwrap();
    }
    // Within this machine, an entry for exactly this registry is sufficient.
    server.expect(basic());
    server.expect(tags().with("authorization", BASIC).body(listed()));
    list(&at(&server, quick().credentials(without_permission(&name(&server))))).await.unwrap();
    server.finish();
}

#[tokio::test]
async fn on_this_machine_only_an_entry_for_the_exact_address_is_sent_over_plain_http() {
    let server = Script::start().await;
    let basic = || tags().without("authorization").answer(401);
    let basic = || basic().header("www-authenticate", "Basic realm=\"r\"");
    let user = || Credential::login("username", Secret::new("password"), "a file");
    let netrc = tempfile::NamedTempFile::new().unwrap();
    let pattern = RegistryPattern::glob("127.0.0.1:*").unwrap();
    let machine = format!("machine {} login username password password", name(&server).host());
    std::fs::write(netrc.path(), machine).unwrap();
    for client in [
        quick().credentials(MemoryCredentials::new().with_pattern(pattern, user())),
        quick().credentials(Netrc::from_file(netrc.path())),
    ] {
        server.expect(basic());
        let e = list(&at(&server, client)).await.unwrap_err();
        let exactly = format!("unless they are stored for exactly {}", name(&server));
        assert!(e.to_string().contains(&exactly), "{e}");
    }
    let machine = format!("machine {} login username password password", name(&server));
    std::fs::write(netrc.path(), machine).unwrap();
    server.expect(basic());
    server.expect(tags().with("authorization", BASIC).body(listed()));
    list(&at(&server, quick().credentials(Netrc::from_file(netrc.path())))).await.unwrap();
    // A connection through a proxy does not stay within this machine.
    let proxy = format!("http://{}", server.address()).parse().unwrap();
    let memory = MemoryCredentials::new().with_credential(name(&server), user());
    let proxied = quick().credentials(memory).proxies(Proxies::all(proxy));
    let url = format!("http://{}/v2/a/b/tags/list", name(&server));
    let through = Exchange::new("GET", url).without("authorization").answer(401);
    server.expect(through.header("www-authenticate", "Basic realm=\"r\""));
    let e = list(&at(&server, proxied)).await.unwrap_err();
    assert!(e.to_string().contains("unless you allow it"), "{e}");
    server.finish();
}

#[tokio::test]
async fn only_a_token_service_on_this_machine_gets_the_password_over_plain_http() {
    let server = Script::start().await;
    let user = MemoryCredentials::new().with(name(&server), "username", Secret::new("password"));
    server.expect(challenged(&server));
    let token = || Exchange::new("GET", PULL);
    server.expect(token().with("authorization", BASIC).body("{\"token\":\"t\"}"));
    server.expect(tags().with("authorization", "Bearer t").body(listed()));
    let (client, there) = elsewhere(&server);
    let client = client.credentials(user).build();
    list(&client.repository(&place(&server))).await.unwrap();

    let challenge = bearer_at(&format!("http://{}/token", there.registry()));
    server.expect(tags().answer(401).header("www-authenticate", challenge));
    server.expect(token().without("authorization").answer(401));
    let client = elsewhere(&server).0.credentials(MemoryCredentials::new().with(
        name(&server),
        "username",
        Secret::new("password"),
    ));
    let e = list(&client.build().repository(&place(&server))).await.unwrap_err();
    let message = e.to_string();
    assert!(message.contains("requested by r.example, are not sent over plain HTTP"), "{message}");
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
        list(&at(&server, quick().credentials(store_with(&server, credential)))).await.unwrap();
        server.finish();
    }
    // A raw header value other than Bearer is sent to the token service.
    let server = Script::start().await;
    server.expect(challenged(&server));
    let token = Exchange::new("GET", PULL).with("authorization", "Basic cmF3Og==");
    server.expect(token.body("{\"token\":\"t\"}"));
    server.expect(tags().with("authorization", "Bearer t").body(listed()));
    let raw = Credential::authorization(Secret::new("Basic cmF3Og=="), "x");
    list(&at(&server, quick().credentials(store_with(&server, raw)))).await.unwrap();
    server.finish();
}

#[tokio::test]
async fn after_a_403_to_an_anonymous_request_the_client_probes_for_a_challenge() {
    let server = Script::start().await;
    server.expect(tags().without("authorization").answer(403));
    let root = Exchange::new("GET", "/v2/").without("authorization");
    server.expect(root.answer(401).header("www-authenticate", "Basic realm=\"r\""));
    server.expect(tags().with("authorization", BASIC).body(listed()));
    // With credentials, a 403 is final.
    server.expect(tags().with("authorization", BASIC).answer(403));
    let repository = at(&server, quick().credentials(user(&server)));
    list(&repository).await.unwrap();
    let e = list(&repository).await.unwrap_err();
    assert_eq!(e.kind(), ErrorKind::Denied);
    server.finish();
}

#[tokio::test]
async fn basic_replaces_a_failing_token_service_only_temporarily() {
    let server = Script::start().await;
    let both = format!("{}, Basic realm=\"r\"", bearer(&server));
    server.expect(tags().answer(401).header("www-authenticate", &both));
    server.expect(Exchange::new("GET", PULL).answer(404));
    server.expect(tags().with("authorization", BASIC).body(listed()));
    server.expect(tags().with("authorization", BASIC).body(listed()));
    // The registry refuses Basic. The token service works again and is used.
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
async fn errors_do_not_show_a_secret_that_the_server_echoes() {
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
