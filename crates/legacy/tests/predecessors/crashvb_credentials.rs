//! Compares docker-registry-client-async with longshore: credentials and tokens.

use super::crashvb::{HTTP, crashvb_with};
use super::*;

use longshore::{Authentication, BasicAuth, Credential, DockerConfig, MemoryCredentials, Secret};
use serde_json::json;

#[tokio::test(flavor = "multi_thread")]
async fn crashvb_and_longshore_read_the_same_credentials() {
    for place in [Place::basic().await, Place::bearer().await] {
        let mut crashvb =
            crashvb_with(&place, "team/app:v1", "credentials_store=Path('config.json')");
        let file = crashvb.home().join("config.json");
        // Both clients read the key as the same host. In longshore, the key also permits plain
        // HTTP.
        let key = format!("http://{}", place.address);
        let auths = json!({"auths": {key: {"auth": "dXNlcjpzM2NyZXQ="}}});
        std::fs::write(&file, auths.to_string()).unwrap();
        assert_eq!(
            crashvb.gives("(await client.get_manifest(image)).manifest.get_bytes()"),
            place.manifest("team/app", "v1").await
        );
        let config = DockerConfig::load_from(&file).unwrap();
        let ours = quick().credentials(config).build();
        ours.check_credentials(&place.registry()).await.unwrap();

        // Credentials in memory, chosen by a pattern.
        crashvb.run("client = DockerRegistryClientAsync(credentials_store=Path('none'))");
        let raised = crashvb.raises("await client.get_manifest(image)");
        let anonymous = quick().build().repository(place.at("team/app").repository());
        let e = anonymous.manifest(&tag("v1").into()).await.unwrap_err();
        same_failure(&raised, HTTP, Some(401), &e, ErrorKind::Unauthorized);
        crashvb.run("client = DockerRegistryClientAsync(credentials_store=Path('none'))");
        crashvb.run("by = re.compile(r'^127\\..*$')");
        crashvb.run("await client.add_credentials(credentials='dXNlcjpzM2NyZXQ=', endpoint=by)");
        assert_eq!(crashvb.gives("(await client.head_manifest(image)).result"), true);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn crashvb_and_longshore_accept_a_preset_token() {
    let place = Place::bearer().await;
    let mut crashvb = crashvb_with(&place, "team/app:v1", "credentials_store=Path('none')");
    // A token that the registry issued to a known user.
    crashvb.run("import requests");
    let ask = format!(
        "requests.get('http://{}/token', params=dict(scope='repository:team/app:pull'), \
         auth=('user', 's3cret')).json()['token']",
        place.address
    );
    let token = crashvb.gives(&ask);
    let token = token.as_str().unwrap();
    crashvb.run(&format!(
        "await client.add_token(endpoint='{}', scope='repository:team/app:pull', token='{token}')",
        place.address
    ));
    assert_texts(
        &crashvb.gives("(await client.get_tags(image)).tags['tags']"),
        &place.tags("team/app").await,
    );
    let credential = Credential::registry_token(Secret::new(token), "add_token").over_plain_http();
    let store = MemoryCredentials::new().with_credential(place.registry(), credential);
    let ours = quick().credentials(store).build().repository(place.at("team/app").repository());
    assert_eq!(ours.tags(None).all().await.unwrap().len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn crashvb_and_longshore_send_no_password_if_basic_is_off() {
    for (place, let_in) in [(Place::basic().await, false), (Place::bearer().await, true)] {
        let arguments = "credentials_store=Path('none'), fallback_basic_auth=False";
        let mut crashvb = crashvb_with(&place, "team/app:v1", arguments);
        crashvb.run(&format!(
            "await client.add_credentials(credentials='dXNlcjpzM2NyZXQ=', endpoint='{}')",
            place.address
        ));
        let mut never = Authentication::default();
        never.basic = BasicAuth::Never;
        let store = login(place.registry(), USER, PASSWORD);
        let ours = quick().credentials(store).default_authentication(never).build();
        let ours = ours.repository(place.at("team/app").repository()).tags(None).all().await;
        let theirs = "(await client.get_tags(image)).tags['tags']";
        if let_in {
            assert_texts(&crashvb.gives(theirs), &place.tags("team/app").await);
            assert_eq!(ours.unwrap(), [tag("v1"), tag("v2")]);
        } else {
            let (raised, e) = (crashvb.raises(theirs), ours.unwrap_err());
            same_failure(&raised, HTTP, Some(401), &e, ErrorKind::Unauthorized);
        }
    }
}
