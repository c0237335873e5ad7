//! Identity and refresh tokens, exchanged at the token service.

use longshore::{Credential, ErrorKind, MemoryCredentials, Secret};
use longshore_testkit::script::{Exchange, Script};

use super::{BASIC, PULL, at, challenged, list, listed, settings, store_with, tags, with};
use crate::quick;

const REFRESH: &str = "grant_type=refresh_token&refresh_token=s3cret%2Ftoken&client_id=longshore\
    &service=reg&scope=repository%3Aa%2Fb%3Apull";

fn identity(server: &Script) -> MemoryCredentials {
    store_with(server, Credential::identity_token("", Secret::new("s3cret/token"), "x"))
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
    // The token is about to expire. The service issued another refresh token for the next request.
    let renewed = REFRESH.replace("s3cret%2Ftoken", "next");
    server.expect(post.sending(renewed).body("{\"access_token\":\"t2\",\"expires_in\":300}"));
    server.expect(tags().with("authorization", "Bearer t2").body(listed()));
    let repository = at(&server, quick().credentials(identity(&server)));
    list(&repository).await.unwrap();
    list(&repository).await.unwrap();
    server.finish();
}

#[tokio::test]
async fn a_service_without_oauth2_receives_a_get_request() {
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
async fn a_refused_identity_token_is_not_sent_again_with_get() {
    let server = Script::start().await;
    server.expect(challenged(&server));
    let error = "{\"errors\":[{\"code\":\"DENIED\",\"message\":\"bad token s3cret/token\"}]}";
    server.expect(Exchange::new("POST", "/token").answer(401).body(error));
    let e = list(&at(&server, quick().credentials(identity(&server)))).await.unwrap_err();
    assert_eq!(e.kind(), ErrorKind::Unauthorized);
    let shown = format!("{e} {e:?}");
    assert!(shown.contains("bad token …") && !shown.contains("s3cret"), "{shown}");
    server.finish();
}

#[tokio::test]
async fn a_password_is_exchanged_for_a_refresh_token_if_configured() {
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

    // A service without OAuth2 receives a GET request instead.
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
async fn a_form_with_a_secret_is_not_redirected_to_another_origin() {
    let (server, other) = (Script::start().await, Script::start().await);
    server.expect(challenged(&server));
    let post = Exchange::new("POST", "/token").answer(307);
    server.expect(post.header("location", other.url("/token")));
    let e = list(&at(&server, quick().credentials(identity(&server)))).await.unwrap_err();
    assert!(format!("{e:?}").contains("leads to another origin"), "{e:?}");
    server.finish();
    other.finish();
}
