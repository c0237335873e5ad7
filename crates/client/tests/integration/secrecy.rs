//! Secrets are sent only where the registry's settings or the credentials themselves permit it.
//! Replies, the network and the settings of other registries do not change this.

use longshore::http::header::AUTHORIZATION;
use longshore::http::{HeaderValue, Method};
use longshore::{
    Authentication, BasicAuth, ClientBuilder, Credential, Error, ErrorKind, HostAddresses,
    InitialAuth, MemoryCredentials, RawRequest, RegistryName, RegistrySettings, RegistryUrl,
    Result, Scheme, Secret, Source as _, Verification,
};
use longshore_testkit::script::{Exchange, Script};
use longshore_testkit::tls::{Authority, Front};

use crate::{login, place, quick};

/// `user:s3cret`.
const BASIC: &str = "Basic dXNlcjpzM2NyZXQ=";
const CHALLENGE: &str = "Basic realm=\"r\"";

fn detect() -> RegistrySettings {
    let mut settings = RegistrySettings::default();
    settings.scheme = Some(Scheme::Detect);
    settings
}

fn root() -> Exchange {
    Exchange::new("GET", "/v2/").without("authorization")
}

fn tags() -> Exchange {
    Exchange::new("GET", "/v2/a/b/tags/list")
}

fn refusal() -> Exchange {
    refusal_with(CHALLENGE.to_owned())
}

fn refusal_with(challenge: String) -> Exchange {
    tags().without("authorization").answer(401).header("www-authenticate", challenge)
}

fn repeating(secret: &str) -> String {
    format!("{{\"errors\":[{{\"code\":\"UNAUTHORIZED\",\"message\":\"no good: {secret}\"}}]}}")
}

async fn list(client: ClientBuilder, registry: &RegistryName) -> Result<()> {
    let repository = format!("{registry}/a/b").parse().unwrap();
    client.build().repository(&repository).tags(None).all().await.map(drop)
}

fn error_chain(error: &Error) -> String {
    let shown = format!("{error} {error:?}");
    assert!(!shown.contains("s3cret"), "{shown}");
    shown
}

/// Starts a registry with a certificate of an unknown authority.
async fn unverified() -> (Script, Front, RegistryName) {
    let server = Script::start().await;
    let front = Front::start(&Authority::new().for_loopback(), server.address()).await;
    let name = front.address().to_string().parse().unwrap();
    (server, front, name)
}

#[tokio::test]
async fn a_certificate_accepted_by_detection_does_not_permit_credentials() {
    let (server, _front, name) = unverified().await;
    let user = MemoryCredentials::new().with(name.clone(), "user", Secret::new("s3cret"));
    let detecting = || quick().default_settings(detect());
    server.expect(root());
    server.expect(refusal());
    let e = list(detecting().credentials(user.clone()), &name).await.unwrap_err();
    assert_eq!(e.kind(), ErrorKind::Unauthorized);
    let shown = error_chain(&e);
    assert!(shown.contains(&format!("--skip-tls-verify {name}")), "{shown}");

    // Detection does not permit sending a preset token either.
    server.expect(root());
    server.expect(refusal());
    let token = detecting().token(name.clone(), None, Secret::new("s3cret"));
    let shown = error_chain(&list(token, &name).await.unwrap_err());
    assert!(shown.contains("--skip-tls-verify"), "{shown}");

    // `explain_auth` does not send the credentials either.
    server.expect(root());
    server.expect(Exchange::new("GET", "/v2/").answer(401).header("www-authenticate", CHALLENGE));
    server.expect(Exchange::new("GET", "/v2/a/b/tags/list?n=1").without("authorization"));
    let repository = format!("{name}/a/b").parse().unwrap();
    let client = detecting().credentials(user.clone()).build();
    let report = client.explain_auth(&repository, &[]).await.unwrap();
    assert!(report.credential.source().contains("--skip-tls-verify"), "{report:?}");
    server.finish();
}

#[tokio::test]
async fn skipped_verification_or_permitted_plain_http_allows_credentials_with_any_certificate() {
    let (server, _front, name) = unverified().await;
    let user = MemoryCredentials::new().with(name.clone(), "user", Secret::new("s3cret"));
    let mut skip = detect();
    skip.verification = Some(Verification::Skip);
    let mut https = skip.clone();
    https.scheme = Some(Scheme::Https);
    let open = login(name.clone(), "user", "s3cret");
    for (client, allowed) in [
        (quick().default_settings(skip.clone()).credentials(user.clone()), true),
        (quick().settings(name.clone(), skip).credentials(user.clone()), true),
        (quick().settings(name.clone(), https).credentials(user), false),
        (quick().default_settings(detect()).credentials(open), true),
    ] {
        if allowed {
            server.expect(root());
        }
        server.expect(refusal());
        server.expect(tags().with("authorization", BASIC).body("{\"tags\":[]}"));
        list(client, &name).await.unwrap();
    }
    server.finish();
}

#[tokio::test]
async fn an_accepted_certificate_is_not_accepted_for_another_registrys_token_service() {
    let (service, _front, name) = unverified().await;
    let server = Script::start().await;
    service.expect(root());
    let found = quick().build().detect(&name).await.unwrap();
    for (settings, allowed) in [(detect(), true), (found, false)] {
        let client = quick()
            .settings(name.clone(), settings)
            .credentials(login(place(&server).registry().clone(), "user", "s3cret"))
            .build();
        if allowed {
            service.expect(root());
        }
        service.expect(root());
        client.ping(&name).await.unwrap();
        let realm = format!("Bearer realm=\"https://{name}/token\"");
        server.expect(tags().answer(401).header("www-authenticate", realm));
        let e = client.repository(&place(&server)).tags(None).all().await.unwrap_err();
        assert!(e.hint().is_some_and(|hint| hint.contains("root certificate")), "{e:?}");
    }
    server.finish();
    service.finish();
}

#[tokio::test]
async fn detected_settings_do_not_permit_credentials_in_another_client() {
    let (tls, _front, unverified) = unverified().await;
    let plain = Script::start().await;
    // The name does not show that the registry is on this machine.
    let away = format!("r.example:{}", plain.address().port());
    let at: HostAddresses = format!("{away}:127.0.0.1").parse().unwrap();
    let away: RegistryName = away.parse().unwrap();
    let base = || quick().host_addresses(at.clone());
    for (server, name, hint) in
        [(&tls, &unverified, "--skip-tls-verify"), (&plain, &away, "--plain-http")]
    {
        server.expect(root());
        let settings = base().build().detect(name).await.unwrap();
        assert!(settings.fallback);
        let user = MemoryCredentials::new().with(name.clone(), "user", Secret::new("s3cret"));
        server.expect(refusal());
        let client = base().settings(name.clone(), settings.clone()).credentials(user);
        let shown = error_chain(&list(client, name).await.unwrap_err());
        assert!(shown.contains(&format!("{hint} {name}")), "{shown}");
        // The second client does not repeat the detection.
        server.expect(root());
        let again = base().settings(name.clone(), settings.clone()).build().detect(name).await;
        assert_eq!(again.unwrap(), settings);
    }
    tls.finish();
    plain.finish();
}

#[tokio::test]
async fn clearing_the_fallback_flag_permits_credentials() {
    let (server, _front, name) = unverified().await;
    server.expect(root());
    let found = quick().build().detect(&name).await.unwrap();
    let request = RawRequest::new(Method::GET, "/v2/x")
        .header(AUTHORIZATION, HeaderValue::from_static(BASIC));
    let client = quick().settings(name.clone(), found.clone()).build();
    let e = client.request(&name, request).await.unwrap_err();
    assert_eq!(e.kind(), ErrorKind::Unauthorized);

    let mut chosen = found;
    chosen.fallback = false;
    let user = MemoryCredentials::new().with(name.clone(), "user", Secret::new("s3cret"));
    server.expect(refusal());
    server.expect(tags().with("authorization", BASIC).body("{\"tags\":[]}"));
    list(quick().settings(name.clone(), chosen).credentials(user), &name).await.unwrap();
    server.finish();
}

#[tokio::test]
async fn a_detected_registry_may_issue_its_own_anonymous_tokens() {
    let (server, _front, name) = unverified().await;
    let challenge = format!("Bearer realm=\"https://{name}/token\",service=\"s\"");
    server.expect(root());
    server.expect(refusal_with(challenge));
    let token = "/token?service=s&scope=repository%3Aa%2Fb%3Apull";
    server.expect(Exchange::new("GET", token).without("authorization").body("{\"token\":\"t\"}"));
    server.expect(tags().with("authorization", "Bearer t").body("{\"tags\":[]}"));
    list(quick().default_settings(detect()), &name).await.unwrap();
    server.finish();
}

#[tokio::test]
async fn detected_settings_that_are_changed_to_https_check_the_certificate() {
    let (server, _front, name) = unverified().await;
    // Detection fell back to plain HTTP, and the registry has since added TLS.
    let mut settings = RegistrySettings::default();
    (settings.scheme, settings.fallback) = (Some(Scheme::Https), true);
    for verification in [None, Some(Verification::Full)] {
        settings.verification = verification;
        let mut every = RegistrySettings::default();
        every.verification = verification.map(|_| Verification::Skip);
        let client = quick().default_settings(every).settings(name.clone(), settings.clone());
        let e = client.build().ping(&name).await.unwrap_err();
        assert!(e.hint().is_some_and(|hint| hint.contains("root certificate")), "{e:?}");
    }
    server.finish();
}

#[tokio::test]
async fn a_custom_authorization_is_not_sent_after_a_fallback_of_detection() {
    let (tls, _front, unverified) = unverified().await;
    let plain = Script::start().await;
    for (server, name, hint) in [
        (&tls, unverified, "--skip-tls-verify"),
        (&plain, place(&plain).registry().clone(), "--plain-http"),
    ] {
        server.expect(root());
        let client = quick().default_settings(detect()).build();
        let request = RawRequest::new(Method::GET, "/v2/x")
            .header(AUTHORIZATION, HeaderValue::from_static(BASIC));
        let e = client.request(&name, request).await.unwrap_err();
        assert_eq!(e.kind(), ErrorKind::Unauthorized);
        assert!(e.hint().is_some_and(|shown| shown.contains(hint)), "{e:?}");
    }
    tls.finish();
    plain.finish();
}

#[tokio::test]
async fn errors_do_not_show_a_refused_token_that_the_registry_echoes() {
    let server = Script::start().await;
    let name = place(&server).registry().clone();
    let mut plain = RegistrySettings::default();
    plain.scheme = Some(Scheme::Http);
    let client = quick().settings(name.clone(), plain).token(
        name.clone(),
        None,
        Secret::new("s3cret-token"),
    );
    let refused = tags().with("authorization", "Bearer s3cret-token").answer(401);
    server.expect(refused.header("www-authenticate", CHALLENGE).body(repeating("s3cret-token")));
    let shown = error_chain(&list(client, &name).await.unwrap_err());
    assert!(shown.contains("no good: …"), "{shown}");

    // The secret in a custom request is not shown either.
    let own = RawRequest::new(Method::GET, "/v2/x")
        .header(AUTHORIZATION, HeaderValue::from_static("Bearer s3cret-own"));
    assert!(!format!("{own:?}").contains("s3cret"), "{own:?}");
    server.expect(Exchange::new("GET", "/v2/x").answer(401).body(repeating("s3cret-own")));
    let reply = quick().build().request(&name, own).await.unwrap();
    let shown = error_chain(&reply.into_error().await);
    assert!(shown.contains("no good: …"), "{shown}");
    server.finish();
}

#[tokio::test]
async fn basic_is_not_sent_first_if_it_is_turned_off() {
    let server = Script::start().await;
    let name = place(&server).registry().clone();
    let mut settings = Authentication::default();
    (settings.opening, settings.basic) = (InitialAuth::Basic, BasicAuth::Never);
    let client = || quick().authentication(name.clone(), settings.clone());
    server.expect(refusal());
    let user = login(name.clone(), "user", "s3cret");
    let e = list(client().credentials(user), &name).await.unwrap_err();
    assert!(error_chain(&e).contains("turned off"), "{e:?}");
    // A registry token is not a password and is sent.
    let token = Credential::registry_token(Secret::new("t"), "x").over_plain_http();
    let token = MemoryCredentials::new().with_credential(name.clone(), token);
    server.expect(tags().with("authorization", "Bearer t").body("{\"tags\":[]}"));
    list(client().credentials(token), &name).await.unwrap();
    server.finish();
}

#[tokio::test]
async fn a_path_with_any_query_stays_below_the_base_url() {
    let server = Script::start().await;
    let url: RegistryUrl = server.url("/team").parse().unwrap();
    let client = quick().settings(url.registry().clone(), url.settings()).build();
    server.expect(Exchange::new("GET", "/team/v2/x?to=https://r.example/"));
    let send = |target: &str| client.request(url.registry(), RawRequest::new(Method::GET, target));
    send("/v2/x?to=https://r.example/").await.unwrap();
    for bad in ["//evil.example/x?://", "/../x?a=://", "x://y", "https://evil.example/"] {
        assert_eq!(send(bad).await.unwrap_err().kind(), ErrorKind::Invalid, "{bad}");
    }
    server.finish();
}
