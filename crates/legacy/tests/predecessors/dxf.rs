//! Compares python-dxf with longshore.

use super::*;

use longshore::{
    Authentication, BlobBody, Credential, Delete as _, Descriptor, Digest, Manifest, MediaType,
    MemoryCredentials, Pushed, RawManifest, Secret, Target as _, Verification,
};
use longshore_testkit::fixture::schema1;
use longshore_testkit::script::{Exchange, Script};
use serde_json::json;

/// Starts Python and sets `dxf` to a python-dxf client for one repository.
fn dxf(place: &Place, repository: &str) -> Predecessor {
    let mut dxf = Predecessor::start(&[]);
    dxf.run("from dxf import DXF, DXFBase, hash_bytes, hash_file; from dxf import exceptions");
    dxf.run("from requests.exceptions import HTTPError");
    dxf.run(&format!("host = '{}'", place.address));
    dxf.run(&format!("dxf = DXF(host, '{repository}', insecure=True)"));
    dxf
}

fn descriptor(content: &[u8]) -> Descriptor {
    Descriptor::from_bytes(MediaType::OCTET_STREAM, content)
}

async fn read(place: &Place, name: &str, descriptor: &Descriptor) -> String {
    let blob = place.at(name).blob(descriptor).await.unwrap();
    text(&blob.bytes(1 << 20).await.unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn dxf_and_longshore_list_the_same_repositories_and_aliases() {
    let place = Place::open().await;
    let mut dxf = dxf(&place, "team/app");
    assert_eq!(dxf.gives("dxf.api_version_check()[0]"), "{}");
    let ours = place.repositories().await;
    assert_texts(&dxf.gives("dxf.list_repos()"), &ours);
    assert_texts(&dxf.gives("list(dxf.list_repos(batch_size=1, iterate=True))"), &ours);
    let ours = place.tags("team/app").await;
    assert_texts(&dxf.gives("dxf.list_aliases()"), &ours);
    assert_texts(&dxf.gives("list(dxf.list_aliases(batch_size=1, iterate=True))"), &ours);
}

#[tokio::test(flavor = "multi_thread")]
async fn dxf_and_longshore_pull_each_others_blobs() {
    let place = Place::open().await;
    let mut dxf = dxf(&place, "files");
    dxf.run("open('file', 'wb').write(b'from a file')");
    dxf.run("said = []; progress = lambda digest, chunk, total: said.append((len(chunk), total))");
    let file = descriptor(b"from a file");
    assert_eq!(dxf.gives("dxf.push_blob('file', progress)"), file.digest.as_str());
    assert_eq!(dxf.gives("said"), json!([[0, 11], [11, 11]]));
    assert_eq!(dxf.gives("hash_file('file')"), file.digest.as_str());
    assert_eq!(read(&place, "files", &file).await, "from a file");

    let stream = descriptor(b"from a stream");
    let push =
        "dxf.push_blob(data=iter([b'from a ', b'stream']), digest=hash_bytes(b'from a stream'))";
    assert_eq!(dxf.gives(push), stream.digest.as_str());
    assert_eq!(read(&place, "files", &stream).await, "from a stream");

    let ours = descriptor(b"from longshore");
    place
        .at("files")
        .push_blob(&ours, BlobBody::from(bytes::Bytes::from("from longshore")))
        .await
        .unwrap();
    let pull = format!("b''.join(dxf.pull_blob('{}', chunk_size=3))", ours.digest);
    assert_eq!(dxf.gives(&pull), "from longshore");
    let size = format!("dxf.blob_size('{}')", ours.digest);
    assert_eq!(json!(place.at("files").blob_size(&ours.digest).await.unwrap()), dxf.gives(&size));

    dxf.run(&format!("dxf.del_blob('{}')", ours.digest));
    for expression in [pull, size, format!("dxf.del_blob('{}')", ours.digest)] {
        assert_eq!(dxf.raises(&expression).short(), ("HTTPError", Some(404)), "{expression}");
    }
    let e = place.at("files").blob(&ours).await.unwrap_err();
    assert_eq!(e.kind(), ErrorKind::NotFound);
    let e = place.at("files").delete_blob(&ours.digest).await.unwrap_err();
    assert_eq!(e.kind(), ErrorKind::NotFound);
}

#[tokio::test(flavor = "multi_thread")]
async fn dxf_and_longshore_mount_the_same_blob() {
    let place = Place::open().await;
    let mut dxf = dxf(&place, "theirs");
    let blob = &docker_image(1, "amd64").blobs[0].0;
    let mount = format!("dxf.mount_blob('team/app', '{}')", blob.digest);
    assert_eq!(dxf.gives(&mount), blob.digest.as_str());
    let from = place.at("team/app").repository().clone();
    let pushed = place.at("ours").push_blob(blob, BlobBody::mount(from.clone())).await;
    assert_eq!(pushed.unwrap(), Pushed::Mounted);

    // A declined mount is an error in both clients.
    let none = descriptor(b"none");
    let raised = dxf.raises(&format!("dxf.mount_blob('team/app', '{}')", none.digest));
    assert!(raised.is("DXFMountFailed"), "{raised:?}");
    let declined = place.at("ours").push_blob(&none, BlobBody::mount(from)).await.unwrap_err();
    assert_eq!(declined.kind(), ErrorKind::Unsupported);
}

#[tokio::test(flavor = "multi_thread")]
async fn dxf_sets_an_alias_of_blobs_that_longshore_reads() {
    let place = Place::open().await;
    let mut dxf = dxf(&place, "files");
    dxf.run("open('a', 'wb').write(b'a'); open('b', 'wb').write(b'b')");
    dxf.run("digests = [dxf.push_blob('a'), dxf.push_blob('b')]; text = dxf.set_alias('both', *digests)");
    assert_eq!(dxf.gives("text"), place.manifest("files", "both").await);
    let ours = place.at("files").manifest(&tag("both").into()).await.unwrap();
    let Manifest::Image(image) = ours.parse().unwrap() else { panic!("not an image") };
    let layers: Vec<&str> = image.layers.iter().map(|layer| layer.digest.as_str()).collect();
    assert_texts(&dxf.gives("dxf.get_alias('both')"), &layers);
    assert_texts(&dxf.gives("dxf.get_alias(manifest=text)"), &layers);
    let sizes = json!(image.layers.iter().map(|l| json!([l.digest, l.size])).collect::<Vec<_>>());
    assert_eq!(dxf.gives("dxf.get_alias('both', sizes=True)"), sizes);
    // dxf also reads manifests that longshore pushes.
    place.at("files").push_manifest(&ours, Some(&tag("ours"))).await.unwrap();
    assert_texts(&dxf.gives("dxf.get_alias('ours')"), &layers);
    assert_eq!(dxf.gives("dxf.get_digest('ours')"), image.config.digest.as_str());
}

#[tokio::test(flavor = "multi_thread")]
async fn dxf_and_longshore_read_every_kind_of_manifest() {
    let place = Place::open().await;
    for name in ["team/app", "team/list", "team/sub/oci"] {
        let mut dxf = dxf(&place, name);
        let ours = place.at(name).manifest(&tag("v1").into()).await.unwrap();
        assert_eq!(dxf.gives("dxf.get_manifest_and_response('v1')[0]"), text(ours.bytes()));
        assert_eq!(dxf.gives("dxf.head_manifest_and_response('v1')[0]"), ours.digest().as_str());
        // A push with another tag keeps the bytes.
        dxf.run("dxf.set_manifest('again', dxf.get_manifest_and_response('v1')[0])");
        assert_eq!(place.digest(name, "again").await, ours.digest().as_str());

        let Manifest::Index(index) = ours.parse().unwrap() else {
            assert_eq!(dxf.gives("dxf.get_manifest('v1')"), text(ours.bytes()));
            continue;
        };
        let by_platform = dxf.gives("dxf.get_manifest('v1')");
        assert_eq!(by_platform.as_object().unwrap().len(), index.manifests.len());
        for entry in &index.manifests {
            let platform = entry.platform.as_ref().unwrap().to_string();
            let selector = entry.digest.clone().into();
            let one = place.at(name).manifest(&selector).await.unwrap();
            assert_eq!(by_platform[&platform], text(one.bytes()));
            let Manifest::Image(image) = one.parse().unwrap() else { panic!("not an image") };
            let config = dxf.gives(&format!("dxf.get_digest('v1', platform='{platform}')"));
            assert_eq!(config, image.config.digest.as_str());
        }
        let raised = dxf.raises("dxf.get_manifest('v1', platform='foo/bar')");
        assert!(raised.is("DXFPlatformDataNotFound"), "{raised:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn dxf_deletes_all_tags_of_a_manifest_and_longshore_only_one() {
    let place = Place::open().await;
    let mut dxf = dxf(&place, "team/app");
    place.at("team/app").delete_tag(&tag("v2")).await.unwrap();
    assert_eq!(place.tags("team/app").await, ["v1"]);
    dxf.run("dxf.set_manifest('v2', dxf.get_manifest('v1')); layers = dxf.del_alias('v1')");
    assert_eq!(dxf.gives("len(layers)"), 2);
    assert_eq!(place.tags("team/app").await, [""; 0], "v2 is removed with v1");

    assert_eq!(dxf.raises("dxf.del_alias('v1')").short(), ("HTTPError", Some(404)));
    let e = place.at("team/app").delete_tag(&tag("v1")).await.unwrap_err();
    assert_eq!(e.kind(), ErrorKind::NotFound);
}

#[tokio::test(flavor = "multi_thread")]
async fn dxf_refuses_to_send_a_password_over_plain_http() {
    let place = Place::basic().await;
    let mut dxf = dxf(&place, "team/app");
    let raised = dxf.raises("dxf.list_aliases()");
    assert_eq!(raised.classes[0], "DXFUnauthorizedError");
    let anonymous = quick().build().repository(place.at("team/app").repository());
    let e = anonymous.tags(None).all().await.unwrap_err();
    assert_eq!(e.kind(), ErrorKind::Unauthorized);

    let raised = dxf.raises("dxf.authenticate('user', 's3cret')");
    assert!(raised.is("DXFAuthInsecureError"), "{raised:?}");
    // longshore sends the password, because this credential permits plain HTTP.
    assert_eq!(place.tags("team/app").await, ["v1", "v2"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn dxf_authenticates_over_tls_with_a_password_or_a_token() {
    for place in [Place::basic_over_tls().await, Place::bearer_over_tls().await] {
        let mut dxf = dxf(&place, "team/app");
        std::fs::write(dxf.home().join("ca.pem"), place.certificate()).unwrap();
        dxf.run("knock = lambda word: (lambda dxf, reply: dxf.authenticate('user', word, response=reply))");
        dxf.run("by = lambda auth: DXF(host, 'team/app', auth, tlsverify='ca.pem')");
        dxf.run("dxf = by(knock('s3cret'))");
        assert_texts(&dxf.gives("dxf.list_aliases()"), &place.tags("team/app").await);
        dxf.run("open('file', 'wb').write(b'pushed'); digest = dxf.push_blob('file')");
        assert_eq!(read(&place, "team/app", &descriptor(b"pushed")).await, "pushed");
        dxf.run("raw = lambda dxf, reply: dxf.authenticate(response=reply, authorization='Basic dXNlcjpzM2NyZXQ=')");
        assert_texts(&dxf.gives("by(raw).list_aliases()"), &["v1", "v2"]);

        let raised = dxf.raises("by(knock('wrong')).list_aliases()");
        assert!(raised.is("DXFUnauthorizedError"), "{raised:?}");
        let store = login(place.registry(), USER, "wrong");
        let settings = trusting(place.certificate());
        let ours = quick().default_settings(settings).credentials(store).build();
        let ours = ours.repository(place.at("team/app").repository());
        let e = ours.tags(None).all().await.unwrap_err();
        assert_eq!(e.kind(), ErrorKind::Unauthorized);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn dxf_and_longshore_check_the_certificate() {
    let place = Place::over_tls(|registry, _| registry).await;
    let mut dxf = dxf(&place, "team/app");
    let raised = dxf.raises("DXF(host, 'team/app').list_aliases()");
    assert!(raised.is("SSLError"), "{raised:?}");
    let mut settings = RegistrySettings::default();
    settings.scheme = Some(Scheme::Https);
    let ours = quick().default_settings(settings.clone()).build();
    let e = ours.repository(place.at("team/app").repository()).tags(None).all().await.unwrap_err();
    assert_eq!(e.kind(), ErrorKind::Transport);

    assert_texts(
        &dxf.gives("DXF(host, 'team/app', tlsverify=False).list_aliases()"),
        &["v1", "v2"],
    );
    settings.verification = Some(Verification::Skip);
    let ours = quick().default_settings(settings).build();
    let tags = ours.repository(place.at("team/app").repository()).tags(None).all().await;
    assert_eq!(tags.unwrap().len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn dxf_shares_a_session_and_a_token_that_longshore_can_use() {
    let place = Place::bearer_over_tls().await;
    let mut dxf = dxf(&place, "team/app");
    std::fs::write(dxf.home().join("ca.pem"), place.certificate()).unwrap();
    let tags = place.tags("team/app").await;
    // One session serves several repositories, like every client of longshore.
    dxf.run("knock = lambda dxf, reply: dxf.authenticate('user', 's3cret', response=reply)");
    dxf.run(
        "with DXFBase(host, knock, tlsverify='ca.pem') as base:\n    \
             repositories = base.list_repos()\n    \
             tags = DXF.from_base(base, 'team/app').list_aliases()",
    );
    assert_texts(&dxf.gives("repositories"), &place.repositories().await);
    assert_texts(&dxf.gives("tags"), &tags);

    // One client gets a token for explicit actions. A second client and longshore use this token.
    dxf.run("first, second = [DXF(host, 'team/app', tlsverify='ca.pem') for _ in range(2)]");
    dxf.run("second.token = first.authenticate('user', 's3cret', actions=['pull'])");
    assert_texts(&dxf.gives("second.list_aliases()"), &tags);
    let token = dxf.gives("first.token");
    let credential = Credential::registry_token(Secret::new(token.as_str().unwrap()), "dxf");
    let store = MemoryCredentials::new().with_credential(place.registry(), credential);
    let ours = quick().default_settings(trusting(place.certificate())).credentials(store).build();
    let ours = ours.repository(place.at("team/app").repository());
    assert_eq!(ours.tags(None).all().await.unwrap().len(), tags.len());
    let e = ours.delete_tag(&tag("v1")).await.unwrap_err();
    let raised = dxf.raises("second.del_alias('v1')");
    assert!(raised.is("DXFUnauthorizedError"), "{raised:?}");
    assert!(matches!(e.kind(), ErrorKind::Unauthorized | ErrorKind::Denied), "{e:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn dxf_and_longshore_get_tokens_from_a_configured_host() {
    let (authority, server) = (Authority::new(), Script::start().await);
    let front = Front::start(&authority.for_loopback(), server.address()).await;
    let address = front.address();
    let tags = |query: &str| Exchange::new("GET", format!("/v2/team/app/tags/list{query}"));
    let challenge = "Bearer realm=\"https://127.0.0.1:1/token?a=b\",service=\"reg\",\
                     scope=\"repository:team/app:pull\"";
    let listed = |query: &str| {
        server.expect(tags(query).answer(401).header("www-authenticate", challenge));
        let token = "/token?a=b&service=reg&scope=repository%3Ateam%2Fapp%3Apull";
        let basic = "Basic dXNlcjpzM2NyZXQ=";
        let token = Exchange::new("GET", token).with("authorization", basic);
        server.expect(token.body("{\"access_token\":\"t\",\"token\":\"\"}"));
        server.expect(tags(query).with("authorization", "Bearer t").body("{\"tags\":[\"v1\"]}"));
    };
    listed("");
    let mut dxf = Predecessor::start(&[]);
    std::fs::write(dxf.home().join("ca.pem"), authority.certificate()).unwrap();
    dxf.run("from dxf import DXF");
    dxf.run("knock = lambda dxf, reply: dxf.authenticate('user', 's3cret', response=reply)");
    let of =
        format!("DXF('{address}', 'team/app', knock, auth_host='{address}', tlsverify='ca.pem')");
    assert_texts(&dxf.gives(&format!("{of}.list_aliases()")), &["v1"]);

    listed("");
    let name: RegistryName = address.to_string().parse().unwrap();
    let mut authentication = Authentication::default();
    authentication.token_host = Some(name.clone());
    let store = MemoryCredentials::new()
        .with_credential(name.clone(), Credential::login(USER, Secret::new(PASSWORD), "the test"));
    let ours = quick().default_settings(trusting(&authority.certificate())).credentials(store);
    let ours = ours.authentication(name, authentication).build();
    let ours = ours.repository(&format!("{address}/team/app").parse().unwrap());
    assert_eq!(ours.tags(None).all().await.unwrap(), [tag("v1")]);
    server.finish();
}

#[tokio::test(flavor = "multi_thread")]
async fn dxf_skips_existing_blobs_and_makes_a_manifest_that_longshore_pushes() {
    let place = Place::open().await;
    let mut dxf = dxf(&place, "files");
    dxf.run("open('a', 'wb').write(b'a'); said = []");
    dxf.run("tell = lambda *words: said.append(words)");
    dxf.run("digest = dxf.push_blob('a', tell); first = len(said)");
    dxf.run("dxf.push_blob('a', tell); second = len(said) - first");
    assert_eq!((dxf.gives("first > 0"), dxf.gives("second")), (json!(true), json!(0)));
    dxf.run("dxf.push_blob('a', tell, check_exists=False)");
    assert_eq!(dxf.gives("len(said)"), dxf.gives("first * 2"));
    dxf.run("said.clear(); dxf.push_blob(data=iter([b'x', b'yz']), digest=hash_bytes(b'xyz'), progress=tell)");
    assert_eq!(dxf.gives("[len(words[1]) for words in said]"), json!([1, 2]));
    assert_eq!(read(&place, "files", &descriptor(b"xyz")).await, "xyz");
    dxf.run("chunks, size = dxf.pull_blob(digest, size=True)");
    assert_eq!(dxf.gives("[b''.join(chunks), size]"), json!(["a", 1]));

    let made = dxf.gives("dxf.make_manifest(digest)");
    let made = bytes::Bytes::from(made.as_str().unwrap().to_owned());
    let made = RawManifest::from_bytes(made, None).unwrap();
    place.at("files").push_manifest(&made, Some(&tag("ours"))).await.unwrap();
    assert_eq!(dxf.gives("dxf.set_alias('theirs', digest)"), text(made.bytes()));
    assert_eq!(place.digest("files", "theirs").await, place.digest("files", "ours").await);
    assert_eq!(
        dxf.gives("dxf.get_digest(manifest=dxf.make_manifest(digest))"),
        dxf.gives("digest")
    );

    // Defect of dxf: it reports signed schema 1 as damaged, because the digest of such a manifest
    // covers only the payload.
    schema1::push(&*place.at("old/app"), &schema1::image(), &tag("v1")).await;
    dxf.run("old = DXF(host, 'old/app', insecure=True)");
    let raised = dxf.raises("old.get_alias('v1')");
    assert!(raised.is("DXFDigestMismatchError"), "{raised:?}");
    let ours = place.at("old/app").manifest(&tag("v1").into()).await.unwrap();
    assert!(matches!(ours.parse().unwrap(), Manifest::Schema1(_)));
}

#[tokio::test(flavor = "multi_thread")]
async fn dxf_and_longshore_delete_a_list_but_not_its_images() {
    let place = Place::open().await;
    let mut dxf = dxf(&place, "team/list");
    let list = place.at("team/list").manifest(&tag("v1").into()).await.unwrap();
    let Manifest::Index(index) = list.parse().unwrap() else { panic!("not an index") };
    let images = index
        .manifests
        .iter()
        .map(|entry| (entry.platform.as_ref().unwrap().to_string(), json!(entry.digest.as_str())));
    let images: serde_json::Map<_, _> = images.collect();
    let layers = dxf.gives("dxf.get_alias('v1')");
    assert_eq!(layers.as_object().unwrap().len(), images.len());
    assert_eq!(dxf.gives("dxf.get_alias('v1', platform='linux/arm64')"), layers["linux/arm64"]);

    assert_eq!(dxf.gives("dxf.del_alias('v1')"), Value::Object(images));
    place.at("team/list").push_manifest(&list, Some(&tag("v1"))).await.unwrap();
    place.at("team/list").delete_manifest(list.digest()).await.unwrap();
    for entry in &index.manifests {
        let selector = entry.digest.clone().into();
        place.at("team/list").manifest(&selector).await.unwrap();
    }
}

#[test]
fn dxf_and_longshore_compute_the_same_digests() {
    let mut dxf = Predecessor::start(&[]);
    dxf.run("from dxf import hash_bytes, split_digest");
    for content in ["abc", "def", ""] {
        let theirs = dxf.gives(&format!("hash_bytes(b'{content}')"));
        assert_eq!(theirs, Digest::sha256(content.as_bytes()).as_str());
    }
    let ours = Digest::sha256(b"abc");
    let split = dxf.gives(&format!("split_digest('{ours}')"));
    assert_texts(&split, &[ours.algorithm_name(), ours.encoded()]);
    assert!(dxf.raises("split_digest('nothing')").is("ValueError"));
    Digest::parse("nothing").unwrap_err();
}

#[test]
fn dxf_adds_library_to_a_name_in_more_cases_than_longshore() {
    let mut dxf = Predecessor::start(&[]);
    dxf.run("from dxf import DXF");
    for (host, name, theirs, ours) in [
        ("docker.io", "busybox", "library/busybox/", "library/busybox"),
        ("docker.io", "team/app", "team/app/", "team/app"),
        ("r.example", "busybox", "busybox/", "busybox"),
        // Defect of dxf: it compares only the end of the host name.
        ("mydocker.io", "busybox", "library/busybox/", "busybox"),
    ] {
        assert_eq!(dxf.gives(&format!("DXF('{host}', '{name}')._repo_path")), theirs);
        let reference = longshore::Reference::familiar(&format!("{host}/{name}")).unwrap();
        assert_eq!(reference.repository().name().as_str(), ours, "{host}");
    }
}
