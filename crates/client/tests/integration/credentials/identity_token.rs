//! Identity and refresh tokens, exchanged at the token service.

use longshore::{Credential, ErrorKind, MemoryCredentials, Secret};
use longshore_testkit::script::{Exchange, Script};

use super::{BASIC, PULL, at, challenged, given, list, listed, settings, tags, with};
use crate::quick;

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
