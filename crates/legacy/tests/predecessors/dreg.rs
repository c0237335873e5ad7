//! Compares dreg-client with longshore.

use super::*;

use longshore::{
    Credential, Delete as _, Descriptor, Digest, History, ImageConfig, Index, Manifest, MediaType,
    MemoryCredentials, Platform, Secret, select_image,
};
use longshore_testkit::fixture::schema1;
use serde_json::json;

/// Starts Python and sets two variables: `client` is a dreg-client client, and `registry` is its
/// registry.
fn dreg(place: &Place) -> Predecessor {
    dreg_with(place, "")
}

fn dreg_with(place: &Place, arguments: &str) -> Predecessor {
    let mut dreg = Predecessor::start(&[]);
    dreg.run("from dreg_client import *; from requests import HTTPError");
    dreg.run(&format!("host = '{}'", place.address));
    dreg.run(&format!("client = Client.build_with_session(f'http://{{host}}/v2/', {arguments})"));
    dreg.run("registry = Registry(client)");
    dreg
}

async fn config(
    place: &Place,
    name: &str,
    manifest: &longshore::RawManifest,
) -> (Descriptor, ImageConfig) {
    let Manifest::Image(image) = manifest.parse().unwrap() else {
        panic!("not an image");
    };
    let blob = place.at(name).blob(&image.config).await.unwrap();
    let config = serde_json::from_slice(&blob.bytes(1 << 20).await.unwrap()).unwrap();
    (image.config.clone(), config)
}

#[tokio::test(flavor = "multi_thread")]
async fn dreg_and_longshore_list_the_same_repositories() {
    let place = Place::open().await;
    let mut dreg = dreg(&place);
    assert_eq!(dreg.gives("client.check_status()"), true);
    place.client.ping(&place.registry()).await.unwrap();

    let ours = place.repositories().await;
    assert_texts(&dreg.gives("client.catalog()['repositories']"), &ours);
    assert_texts(&dreg.gives("list(registry.repositories())"), &ours);
    assert_texts(&dreg.gives("sorted(registry.namespaces())"), &["library", "team"]);
    assert_texts(&dreg.gives("list(registry.repositories('team'))"), &ours[1..]);
    // dreg lists names without a slash under `library` but requests them without `library`.
    assert_texts(&dreg.gives("list(registry.repositories('library'))"), &["plain"]);
    assert_texts(&dreg.gives("registry.repository('plain').tags()"), &place.tags("plain").await);
    let raised = dreg.raises("registry.repositories('none')");
    assert_eq!(raised.short(), ("KeyError", None));
}

#[tokio::test(flavor = "multi_thread")]
async fn dreg_and_longshore_list_the_same_tags() {
    let place = Place::open().await;
    let mut dreg = dreg(&place);
    dreg.run("repository = registry.repository('team/app')");
    assert_eq!(dreg.gives("repository.name"), "team/app");
    assert_texts(&dreg.gives("repository.tags()"), &place.tags("team/app").await);

    // dreg caches the listing until `refresh` is called.
    place.at("team/app").delete_tag(&tag("v2")).await.unwrap();
    assert_texts(&dreg.gives("repository.tags()"), &["v1", "v2"]);
    dreg.run("repository.refresh()");
    assert_texts(&dreg.gives("repository.tags()"), &place.tags("team/app").await);

    let raised = dreg.raises("registry.repository('no/where').tags()");
    let ours = place.at("no/where").tags(None).all().await.unwrap_err();
    same_failure(&raised, "HTTPError", Some(404), &ours, ErrorKind::NotFound);
}

#[tokio::test(flavor = "multi_thread")]
async fn dreg_and_longshore_get_the_same_manifests() {
    let place = Place::open().await;
    let mut dreg = dreg(&place);
    for (name, class) in [("team/app", "Manifest"), ("team/list", "ManifestList")] {
        let ours = place.at(name).manifest(&tag("v1").into()).await.unwrap();
        dreg.run(&format!("repository = registry.repository('{name}')"));
        dreg.run("manifest = repository.get_manifest('v1')");
        assert_eq!(dreg.gives("type(manifest).__name__"), class);
        assert_eq!(dreg.gives("manifest.digest"), ours.digest().as_str());
        assert_eq!(dreg.gives("manifest.content_length"), ours.bytes().len());
        assert_eq!(dreg.gives("manifest.short_digest"), ours.digest().short());
        assert_eq!(dreg.gives("repository.check_manifest('v1')"), ours.digest().as_str());
        let by_digest = format!("repository.get_manifest('{}').digest", ours.digest());
        assert_eq!(dreg.gives(&by_digest), ours.digest().as_str());
    }
    assert_eq!(dreg.gives("repository.check_manifest('missing')"), Value::Null);
    let raised = dreg.raises("repository.get_manifest('missing')");
    let ours = place.at("team/list").manifest(&tag("missing").into()).await.unwrap_err();
    same_failure(&raised, "HTTPError", Some(404), &ours, ErrorKind::NotFound);

    // Defect of dreg: it sends no `Accept` header, but rejects the OCI types that it receives.
    let raised = dreg.raises("registry.repository('team/sub/oci').get_manifest('v1')");
    assert!(raised.is("UnusableManifestResponseError"), "{raised:?}");
    let ours = place.at("team/sub/oci").manifest(&tag("v1").into()).await.unwrap();
    assert_eq!(*ours.media_type(), MediaType::OCI_INDEX);
}

#[tokio::test(flavor = "multi_thread")]
async fn dreg_and_longshore_list_the_same_platforms_and_images() {
    let place = Place::open().await;
    let mut dreg = dreg(&place);
    dreg.run("image = registry.repository('team/list').get_image('v1')");
    let list = place.at("team/list").manifest(&tag("v1").into()).await.unwrap();
    let index: Index = serde_json::from_slice(list.bytes()).unwrap();
    let platforms = index.manifests.iter().map(|entry| entry.platform.clone().unwrap());
    let platforms: Vec<Platform> = platforms.collect();
    let names: Vec<String> = platforms.iter().map(ToString::to_string).collect();
    assert_texts(&dreg.gives("sorted(str(p) for p in image.platforms)"), &names);

    for platform in &platforms {
        let ours = select_image(&*place.at("team/list"), list.clone(), platform).await.unwrap();
        let (_, config) = config(&place, "team/list", &ours).await;
        dreg.run(&format!("one = image.get_platform_image(Platform.from_name('{platform}'))"));
        let by_name = format!("image.fetch_manifest_by_platform_name('{platform}').digest");
        assert_eq!(dreg.gives(&by_name), ours.digest().as_str());
        assert_eq!(dreg.gives("one.digest"), ours.digest().as_str());
        assert_eq!(dreg.gives("one.platform_name"), config.platform.to_string());
        assert_eq!(dreg.gives("one.config.created_at"), json!(config.created));
        let diff_ids: Vec<&str> = config.rootfs.diff_ids.iter().map(Digest::as_str).collect();
        assert_eq!(diff_ids.len(), 2);
        let Manifest::Image(image) = ours.parse().unwrap() else { panic!("not an image") };
        let size: u64 = image.layers.iter().map(|layer| layer.size).sum();
        assert_eq!(dreg.gives("one.image_size"), size);
    }
    assert_eq!(dreg.gives("len(list(image.get_platform_images()))"), platforms.len());

    let raised = dreg.raises("image.get_platform_image(Platform.from_name('linux/arm/v7'))");
    assert!(raised.is("UnavailableImagePlatformError"), "{raised:?}");
    let missing = Platform::parse("linux/arm/v7").unwrap();
    let e = select_image(&*place.at("team/list"), list, &missing).await.unwrap_err();
    assert_eq!(e.kind(), ErrorKind::NotFound);
    assert!(dreg.raises("Platform.from_name('linux')").is("InvalidPlatformNameError"));
    Platform::parse("linux").unwrap_err();
}

#[tokio::test(flavor = "multi_thread")]
async fn dreg_wraps_a_single_image_in_a_list_with_an_invalid_digest() {
    let place = Place::open().await;
    let mut dreg = dreg(&place);
    dreg.run("image = registry.repository('team/app').get_image('v1')");
    let ours = place.at("team/app").manifest(&tag("v1").into()).await.unwrap();
    assert_texts(&dreg.gives("[str(p) for p in image.platforms]"), &["linux/amd64"]);
    let listed = dreg.gives("[entry.digest for entry in image.manifest_list.manifests]");
    assert_texts(&listed, &[ours.digest().as_str()]);
    // Defect of dreg-client: the list that it creates has a digest without an algorithm.
    let made_up = dreg.gives("image.manifest_list.digest");
    Digest::parse(made_up.as_str().unwrap()).unwrap_err();
}

#[tokio::test(flavor = "multi_thread")]
async fn dreg_and_longshore_read_the_same_config_and_history() {
    let place = Place::open().await;
    let mut dreg = dreg(&place);
    let ours = place.at("team/app").manifest(&tag("v1").into()).await.unwrap();
    let (descriptor, config) = config(&place, "team/app", &ours).await;
    dreg.run(&format!(
        "config = client.get_image_config_blob('team/app', '{}')",
        descriptor.digest
    ));
    assert_eq!(dreg.gives("config.digest"), descriptor.digest.as_str());
    assert_eq!(dreg.gives("config.content_length"), descriptor.size);
    assert_eq!(dreg.gives("config.platform_name"), config.platform.to_string());
    assert_eq!(dreg.gives("len(config.history)"), config.history.len());
    let kept = config.history.iter().filter(|step| !step.empty_layer).count();
    assert_eq!(dreg.gives("len(list(config.non_empty_history))"), kept);
    let created_by: Vec<_> = config.history.iter().filter_map(|s| s.created_by.clone()).collect();
    assert_texts(&dreg.gives("[step.created_by for step in config.history]"), &created_by);
}

#[tokio::test(flavor = "multi_thread")]
async fn dreg_and_longshore_get_and_delete_the_same_blobs_and_manifests() {
    let place = Place::open().await;
    let mut dreg = dreg(&place);
    dreg.run("repository = registry.repository('plain')");
    let image = docker_image(3, "amd64");
    let (layer, content) = &image.blobs[1];
    let got = dreg.gives(&format!("repository.get_blob('{}').content", layer.digest));
    let ours = place.at("plain").blob(layer).await.unwrap().bytes(1 << 20).await.unwrap();
    assert_eq!((got, ours.clone()), (Value::from(text(&ours)), content.clone()));

    dreg.run(&format!("manifest, blob = '{}', '{}'", image.root.digest(), layer.digest));
    assert_eq!(dreg.gives("repository.delete_manifest(manifest).status_code"), 202);
    assert_eq!(dreg.gives("repository.delete_blob(blob).status_code"), 202);
    for (expression, e) in [
        (
            "repository.delete_manifest(manifest)",
            place.at("plain").delete_manifest(image.root.digest()).await,
        ),
        ("repository.delete_blob(blob)", place.at("plain").delete_blob(&layer.digest).await),
        ("repository.get_blob(blob)", place.at("plain").blob(layer).await.map(drop)),
    ] {
        let raised = dreg.raises(expression);
        same_failure(&raised, "HTTPError", Some(404), &e.unwrap_err(), ErrorKind::NotFound);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn dreg_authenticates_with_a_password_or_a_token() {
    let basic = Place::basic().await;
    let mut known = dreg_with(&basic, "auth=('user', 's3cret')");
    assert_texts(&known.gives("client.catalog()['repositories']"), &basic.repositories().await);

    // dreg needs the token service as an argument. longshore reads it from the challenge.
    let bearer = Place::bearer().await;
    let mut dreg = dreg(&bearer);
    dreg.run("service = lambda auth: DockerTokenAuthService.build_with_session(f'http://{host}/token', 'longshore', auth=auth)");
    dreg.run("of = lambda auth: Client.build_with_session(f'http://{host}/v2/', auth_service=service(auth))");
    let theirs = dreg.gives("of(('user', 's3cret')).check_manifest('team/app', 'v1')");
    assert_eq!(theirs, bearer.digest("team/app", "v1").await);

    let anonymous = |place: &Place| quick().build().repository(place.at("team/app").repository());
    let e = anonymous(&basic).tags(None).all().await.unwrap_err();
    let raised = dreg_with(&basic, "").raises("client.get_repository_tags('team/app')");
    same_failure(&raised, "HTTPError", Some(401), &e, ErrorKind::Unauthorized);
    let wrong = dreg.raises("of(('user', 'wrong')).check_manifest('team/app', 'v1')");
    assert!(wrong.is("AuthServiceFailure"), "{wrong:?}");
    let e = anonymous(&bearer).tags(None).all().await.unwrap_err();
    assert_eq!(e.kind(), ErrorKind::Unauthorized, "{e:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn dreg_refuses_schema_1_and_longshore_reads_it_as_an_image() {
    let place = Place::open().await;
    let ours = schema1::image();
    schema1::push(&*place.at("old/app"), &ours, &tag("v1")).await;
    let mut dreg = dreg(&place);
    dreg.run("repository = registry.repository('old/app')");
    let raised = dreg.raises("repository.get_image('v1')");
    assert!(raised.is("LegacyImageRequestError"), "{raised:?}");

    for legacy in
        ["repository.get_image('v1', raise_on_legacy=False)", "repository.get_manifest('v1')"]
    {
        dreg.run(&format!("legacy = {legacy}"));
        assert_eq!(dreg.gives("type(legacy).__name__"), "LegacyManifest");
        assert_eq!(dreg.gives("legacy.digest"), ours.digest().as_str());
        assert_eq!(dreg.gives("legacy.content_type"), ours.media_type().as_str());
        assert_eq!(dreg.gives("legacy.content_length"), ours.bytes().len());
        let content: Value = serde_json::from_slice(ours.bytes()).unwrap();
        assert_eq!(dreg.gives("legacy.content"), content);
    }
    // longshore reads schema 1 as an image, with the platform that the document states.
    let manifest = place.at("old/app").manifest(&tag("v1").into()).await.unwrap();
    assert!(matches!(manifest.parse().unwrap(), Manifest::Schema1(_)));
    let platform = Platform::parse("linux/arm64").unwrap();
    let chosen = select_image(&*place.at("old/app"), manifest, &platform).await.unwrap();
    assert_eq!(chosen.digest(), ours.digest());
}

#[tokio::test(flavor = "multi_thread")]
async fn dreg_and_longshore_fetch_the_same_manifest_by_platform_and_by_digest() {
    let place = Place::open().await;
    let mut dreg = dreg(&place);
    dreg.run("image = registry.repository('team/list').get_image('v1')");
    let list = place.at("team/list").manifest(&tag("v1").into()).await.unwrap();
    let index: Index = serde_json::from_slice(list.bytes()).unwrap();
    let theirs = dreg.gives("{i.platform_name: i.digest for i in image.get_platform_images()}");
    for entry in &index.manifests {
        let platform = entry.platform.as_ref().unwrap();
        let ours = select_image(&*place.at("team/list"), list.clone(), platform).await.unwrap();
        assert_eq!(theirs[&platform.to_string()], ours.digest().as_str());
        for call in [
            format!("fetch_manifest_by_platform(Platform.from_name('{platform}'))"),
            format!("fetch_manifest_by_platform_name('{platform}')"),
            format!("fetch_manifest_by_digest('{}')", entry.digest),
        ] {
            assert_eq!(dreg.gives(&format!("image.{call}.digest")), ours.digest().as_str());
        }
    }
    // dreg does not accept an index as an image. longshore returns the index.
    let raised = dreg.raises(&format!("image.fetch_manifest_by_digest('{}')", list.digest()));
    assert!(raised.is("UnexpectedImageManifestError"), "{raised:?}");
    assert!(matches!(list.parse().unwrap(), Manifest::Index(_)));
}

#[tokio::test(flavor = "multi_thread")]
async fn dreg_always_caches_listings_and_longshore_only_on_request() {
    let place = Place::open().await;
    let mut dreg = dreg(&place);
    dreg.run("registry = Registry.build_with_manual_client(f'http://{host}/v2/')");
    let kept = place.client.cached_catalog(&place.registry());
    let before = place.repositories().await;
    assert_texts(&dreg.gives("list(registry.repositories())"), &before);
    assert_eq!(texts(&kept.all().await.unwrap()), before);
    docker_image(5, "amd64").push(&*place.at("zone/new"), Some(&tag("v1"))).await;
    assert_texts(&dreg.gives("list(registry.repositories())"), &before);
    assert_eq!(texts(&kept.all().await.unwrap()), before);
    let after = place.repositories().await;
    assert_ne!(after, before, "a client without a cache lists the new repository");
    dreg.run("registry.refresh()");
    assert_texts(&dreg.gives("list(registry.repositories())"), &after);
    assert_eq!(texts(&kept.refresh().await.unwrap()), after);
    assert_eq!(texts(&kept.all().await.unwrap()), after);
    assert_texts(&dreg.gives("registry.repository('new', 'zone').tags()"), &["v1"]);

    let raised = dreg.raises("registry.repository('zone/new', 'zone')");
    assert_eq!(raised.short(), ("ValueError", None));
    let twice = "Client.build_with_session('http://a/v2/', auth=('a', 'b'), auth_service=object())";
    assert_eq!(dreg.raises(twice).short(), ("ValueError", None));
}

fn texts(names: &[longshore::RepositoryName]) -> Vec<String> {
    names.iter().map(ToString::to_string).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn dreg_gets_a_token_that_longshore_can_use() {
    let place = Place::bearer().await;
    let mut dreg = dreg(&place);
    dreg.run("service = DockerTokenAuthService.build_with_session(f'http://{host}/token', 'longshore', auth=('user', 's3cret'))");
    dreg.run("token = service.request_token('repository:team/app:*')");
    let token = dreg.gives("token");
    // dreg requests one token per scope, and reuses the token until it expires.
    assert_eq!(dreg.gives("service.request_token('repository:team/app:*')"), token);
    assert_ne!(dreg.gives("service.request_token('registry:catalog:*')"), token);
    let token = Secret::new(token.as_str().unwrap());
    let credential = Credential::registry_token(token, "dreg").over_plain_http();
    let store = MemoryCredentials::new().with_credential(place.registry(), credential);
    let ours = quick().credentials(store).build().repository(place.at("team/app").repository());
    assert_eq!(ours.tags(None).all().await.unwrap().len(), 2);
}

#[test]
fn dreg_and_longshore_extract_the_same_instructions_from_a_history() {
    let mut dreg = Predecessor::start(&[]);
    dreg.run("from dreg_client.manifest import ImageHistoryItem");
    for written in [
        "/bin/sh -c #(nop) ADD file:abc in / ",
        "/bin/sh -c #(nop)  CMD [\"bash\"]",
        "RUN /bin/sh -c apt-get update # buildkit",
        "/bin/sh -c apt-get update",
        "COPY a b # buildkit",
        "RUN |1 A=b /bin/sh -c echo hi # buildkit",
        "",
    ] {
        let mut ours = History::default();
        ours.created_by = Some(written.to_owned());
        let item = format!("ImageHistoryItem('', {}, False, '')", json!(written));
        let theirs = dreg.gives(&format!("{item}.clean_created_by"));
        assert_eq!(theirs, json!(ours.instruction()), "{written}");
    }
}
