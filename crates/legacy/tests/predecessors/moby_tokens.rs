//! Compares moby-distribution with longshore: authenticators and tokens.

use super::*;

use longshore::{Authentication, BasicAuth, Credential, MemoryCredentials, Secret};
use longshore_testkit::script::{Exchange, Script};

/// Starts Python and sets `client` to a moby-distribution client with this class of authenticators.
fn moby(address: SocketAddr, class: &str) -> Predecessor {
    let mut moby = Predecessor::start(&[]);
    moby.run("from moby_distribution import *; from moby_distribution.registry.auth import *");
    moby.run(
        "class Given(BaseAuthentication):\n    \
             def authenticate(self, username=None, password=None, *, timeout=None):\n        \
                 return BasicAuthAuthorizationProvider('user', 's3cret')",
    );
    let arguments = format!("'user', 's3cret', authenticator_class={class}");
    moby.run(&format!("client = DockerRegistryV2Client('http://{address}', {arguments})"));
    moby.run("tags = Tags('team/app', client=client)");
    moby
}

#[tokio::test(flavor = "multi_thread")]
async fn moby_uses_one_authenticator_and_longshore_can_be_limited_to_tokens() {
    let (basic, bearer) = (Place::basic().await, Place::bearer().await);
    for (place, class, expected) in [
        (&basic, "HTTPBasicAuthentication", Ok(())),
        (&basic, "Given", Ok(())),
        (&basic, "DockerRegistryTokenAuthentication", Err("AssertionError")),
        (&bearer, "DockerRegistryTokenAuthentication", Ok(())),
        // A password is not a token.
        (&bearer, "HTTPBasicAuthentication", Err("PermissionDeny")),
    ] {
        let mut moby = moby(place.address, class);
        match expected {
            Ok(()) => assert_texts(&moby.gives("tags.list()"), &place.tags("team/app").await),
            Err(raised) => assert!(moby.raises("tags.list()").is(raised), "{class}"),
        }
    }
    // longshore follows the challenge. An option turns passwords off.
    for (place, let_in) in [(&basic, false), (&bearer, true)] {
        let mut never = Authentication::default();
        never.basic = BasicAuth::Never;
        let store = login(place.registry(), USER, PASSWORD);
        let ours = quick().credentials(store).default_authentication(never).build();
        let ours = ours.repository(place.at("team/app").repository()).tags(None).all().await;
        assert_eq!(ours.is_ok(), let_in, "{ours:?}");
    }
    // An authenticator with fixed credentials corresponds to a credential in longshore.
    let given = Credential::login(USER, Secret::new(PASSWORD), "Given").over_plain_http();
    let store = MemoryCredentials::new().with_credential(basic.registry(), given);
    let ours = quick().credentials(store).build().repository(basic.at("team/app").repository());
    assert_eq!(ours.tags(None).all().await.unwrap(), [tag("v1"), tag("v2")]);
}

#[tokio::test(flavor = "multi_thread")]
async fn moby_requires_the_token_field_and_longshore_also_accepts_access_token() {
    let server = Script::start().await;
    let realm = server.url("/token");
    let challenge =
        format!("Bearer realm=\"{realm}\",service=\"reg\",scope=\"repository:a/b:pull\"");
    let scope = "service=reg&scope=repository%3Aa%2Fb%3Apull";
    // The reply, the token or the exception of moby-distribution, and the token of longshore.
    for (body, theirs, ours) in [
        ("{\"token\":\"a\"}", Ok("a"), Some("a")),
        ("{\"token\":\"a\",\"access_token\":\"b\"}", Ok("a"), Some("a")),
        ("{\"token\":\"\",\"access_token\":\"b\"}", Ok("b"), Some("b")),
        // Defect of moby-distribution: it requires `token`, but Azure sends only `access_token`.
        ("{\"access_token\":\"b\"}", Err("ValidationError"), Some("b")),
        ("{\"token\":\"\"}", Err("ValueError"), None),
    ] {
        let expect = |query: &str, token_query: &str, token: Option<&str>| {
            let tags = || Exchange::new("GET", format!("/v2/a/b/tags/list{query}"));
            server.expect(tags().answer(401).header("www-authenticate", &*challenge));
            server.expect(Exchange::new("GET", format!("/token?{scope}{token_query}")).body(body));
            if let Some(token) = token {
                let tags = tags().with("authorization", format!("Bearer {token}"));
                server.expect(tags.body("{\"tags\":[\"v1\"]}"));
            }
        };
        expect("", "&client_id=anonymous&offline_token=True", theirs.ok());
        let mut moby = Predecessor::start(&[]);
        moby.run("from moby_distribution import *");
        let client = format!("DockerRegistryV2Client('http://{}')", server.address());
        let list = format!("Tags('a/b', client={client}).list()");
        match theirs {
            Ok(_) => assert_texts(&moby.gives(&list), &["v1"]),
            Err(class) => assert!(moby.raises(&list).is(class), "{body}"),
        }
        expect("", "", ours);
        let listed = remote(&server).tags(None).all().await;
        assert_eq!(listed.is_ok(), ours.is_some(), "{body}: {listed:?}");
    }
    server.finish();
}
