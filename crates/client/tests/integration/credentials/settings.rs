//! Settings of authentication: the first request, token services, and preset tokens.

use longshore::{
    BasicAuth, ClientBuilder, InitialAuth, RegistrySettings, Scheme, Scope, Secret, TokenService,
};
use longshore_testkit::script::{Exchange, Script};

use super::{BASIC, PULL, at, bearer, list, listed, name, settings, tags, with};
use crate::{elsewhere, place, quick};

#[tokio::test]
async fn basic_is_sent_with_the_first_request_if_configured() {
    let server = Script::start().await;
    for _ in 0..2 {
        server.expect(tags().with("authorization", BASIC).body(listed()));
    }
    let repository = at(&server, with(&server, settings(|s| s.opening = InitialAuth::Basic)));
    list(&repository).await.unwrap();
    list(&repository).await.unwrap();
    // Without credentials, no header is sent.
    server.expect(tags().without("authorization").body(listed()));
    let anonymous = quick().default_authentication(settings(|s| s.opening = InitialAuth::Basic));
    list(&at(&server, anonymous)).await.unwrap();
    server.finish();
}

#[tokio::test]
async fn basic_is_never_sent_if_it_is_turned_off() {
    let server = Script::start().await;
    let never = || settings(|s| s.basic = BasicAuth::Never);
    server.expect(tags().answer(401).header("www-authenticate", "Basic realm=\"r\""));
    let e = list(&at(&server, with(&server, never()))).await.unwrap_err();
    assert!(e.to_string().contains("only basic, which is turned off"), "{e}");
    // Basic does not replace a failed token service either.
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
    let probing = settings(|s| s.opening = InitialAuth::Probe);
    list(&at(&server, with(&server, probing))).await.unwrap();
    server.finish();
}

#[tokio::test]
async fn a_token_service_can_be_configured() {
    let server = Script::start().await;
    let service = || TokenService::new(&server.url("/mine?x=1"), Some("me")).unwrap();
    let token = Exchange::new("GET", "/mine?x=1&service=me&scope=repository%3Aa%2Fb%3Apull");
    server.expect(token.with("authorization", BASIC).body("{\"token\":\"t\"}"));
    server.expect(tags().with("authorization", "Bearer t").body(listed()));
    let set = settings(|s| s.token_service = Some(service()));
    list(&at(&server, with(&server, set))).await.unwrap();

    // The URL contains another user.
    let url = server.url("/mine").replace("http://", "http://own:pw@");
    let own = TokenService::new(&url, None).unwrap();
    let token = Exchange::new("GET", "/mine?scope=repository%3Aa%2Fb%3Apull");
    server.expect(token.with("authorization", "Basic b3duOnB3").body("{\"token\":\"t\"}"));
    server.expect(tags().with("authorization", "Bearer t").body(listed()));
    list(&at(&server, with(&server, settings(|s| s.token_service = Some(own))))).await.unwrap();
    server.finish();
}

#[tokio::test]
async fn the_host_of_a_token_service_can_be_configured() {
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
    // The token is not sent for another repository.
    server.expect(Exchange::new("GET", "/v2/c/tags/list").without("authorization"));
    let preset = quick().token(name(&server), Some(pull), Secret::new("mine"));
    let other = format!("{}/c", server.address()).parse().unwrap();
    list(&plain(preset).build().repository(&other)).await.unwrap_err();
    // Without a scope, the token is sent for all requests to the registry. It is sent unencrypted
    // only if that is permitted.
    server.expect(tags().with("authorization", "Bearer all").body(listed()));
    let all = || quick().token(name(&server), None, Secret::new("all"));
    list(&at(&server, plain(all()))).await.unwrap();
    let (client, there) = elsewhere(&server);
    server.expect(tags().without("authorization").body(listed()));
    let client = client.token(there.registry().clone(), None, Secret::new("all"));
    list(&client.build().repository(&there)).await.unwrap();
    // Within this machine, a token for exactly this registry may be sent unencrypted.
    server.expect(tags().with("authorization", "Bearer all").body(listed()));
    list(&at(&server, all())).await.unwrap();
    server.finish();
}
