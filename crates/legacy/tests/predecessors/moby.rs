//! Compares moby-distribution with longshore.

use super::*;

use longshore::{Append, DockerArchive, DockerArchiveWriter};
use longshore::{
    BlobBody, Copier, Delete as _, Descriptor, Image, Manifest, MediaType, Pushed, Target as _,
};
use longshore_testkit::fixture::{Layer, layer_tar};
use serde_json::json;

/// Starts Python and sets `client` to a moby-distribution client.
fn moby(place: &Place, arguments: &str) -> Predecessor {
    let mut moby = Predecessor::start(&[]);
    moby.run("from moby_distribution import *; import io, json; from pathlib import Path");
    moby.run(&format!("host = '{}'", place.address));
    moby.run(&format!("client = DockerRegistryV2Client(f'http://{{host}}', {arguments})"));
    moby.run("at = dict(client=client)");
    moby
}

fn descriptor(content: &[u8]) -> Descriptor {
    Descriptor::from_bytes(MediaType::OCTET_STREAM, content)
}

#[tokio::test(flavor = "multi_thread")]
async fn moby_and_longshore_ping_a_registry_over_plain_http() {
    let place = Place::open().await;
    let mut moby = moby(&place, "");
    assert_eq!(moby.gives("client.ping()"), true);
    place.client.ping(&place.registry()).await.unwrap();
    // moby detects plain HTTP. longshore detects plain HTTP on request, and uses plain HTTP for
    // loopback by default.
    moby.run("found = DockerRegistryV2Client.from_api_endpoint(APIEndpoint(url=host))");
    assert_eq!(moby.gives("found.api_base_url"), format!("http://{}", place.address));
    assert_eq!(moby.gives("found.ping()"), true);
}

#[tokio::test(flavor = "multi_thread")]
async fn moby_and_longshore_list_the_same_tags_with_the_same_digests() {
    let place = Place::open().await;
    let mut moby = moby(&place, "");
    moby.run("tags = Tags('team/app', **at)");
    assert_texts(&moby.gives("tags.list()"), &place.tags("team/app").await);
    let ours = place.at("team/app").resolve(&tag("v1").into()).await.unwrap();
    moby.run("theirs = tags.get('v1')");
    assert_eq!(moby.gives("theirs.digest"), ours.digest.as_str());
    assert_eq!(moby.gives("theirs.size"), ours.size);
    assert_eq!(moby.gives("theirs.mediaType"), ours.media_type.as_str());
    assert_eq!(moby.gives("tags.get('missing')"), Value::Null);

    let raised = moby.raises("Tags('no/where', **at).list()");
    let e = place.at("no/where").tags(None).all().await.unwrap_err();
    same_failure(&raised, "ResourceNotFound", None, &e, ErrorKind::NotFound);
}

#[tokio::test(flavor = "multi_thread")]
async fn moby_and_longshore_read_the_same_manifest_but_moby_rewrites_it() {
    let place = Place::open().await;
    let mut moby = moby(&place, "");
    moby.run("manifest = ManifestRef('team/app', 'v1', **at).get()");
    let ours = place.at("team/app").manifest(&tag("v1").into()).await.unwrap();
    let Manifest::Image(image) = ours.parse().unwrap() else { panic!("not an image") };
    assert_eq!(moby.gives("manifest.config.digest"), image.config.digest.as_str());
    let layers: Vec<&str> = image.layers.iter().map(|layer| layer.digest.as_str()).collect();
    assert_texts(&moby.gives("[layer.digest for layer in manifest.layers]"), &layers);

    // Defect of moby-distribution: it writes the parsed manifest, so the digest changes.
    moby.run("ManifestRef('team/app', 'theirs', **at).put(manifest)");
    assert_ne!(place.digest("team/app", "theirs").await, ours.digest().as_str());
    place.at("team/app").push_manifest(&ours, Some(&tag("ours"))).await.unwrap();
    assert_eq!(place.digest("team/app", "ours").await, ours.digest().as_str());

    let raised = moby.raises("ManifestRef('team/app', 'missing', **at).get()");
    let e = place.at("team/app").manifest(&tag("missing").into()).await.unwrap_err();
    same_failure(&raised, "ResourceNotFound", None, &e, ErrorKind::NotFound);
    // Defects of moby-distribution: it supports no indexes, and only three media types.
    assert!(moby.raises("ManifestRef('team/list', 'v1', **at).get()").is("ValidationError"));
    assert!(
        moby.raises("ManifestRef('team/list', 'v1', **at).get('a/b')").is("UnSupportMediaType")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn moby_untag_removes_all_tags_of_a_manifest() {
    let place = Place::open().await;
    let mut moby = moby(&place, "");
    assert_eq!(moby.gives("Tags('team/app', **at).untag('v1')"), true);
    assert_eq!(place.tags("team/app").await, [""; 0], "v2 is removed with v1");
    let delete = "ManifestRef('team/app', 'v1', **at).delete(";
    let e = place.at("team/app").delete_tag(&tag("v1")).await.unwrap_err();
    let raised = moby.raises(&format!("{delete})"));
    same_failure(&raised, "ResourceNotFound", None, &e, ErrorKind::NotFound);
    assert_eq!(moby.gives(&format!("{delete}raise_not_found=False)")), false);
}

#[tokio::test(flavor = "multi_thread")]
async fn moby_and_longshore_read_each_others_blobs() {
    let place = Place::open().await;
    let mut moby = moby(&place, "");
    for (call, content) in [("upload", "in chunks"), ("upload_at_one_time", "at one time")] {
        let ours = descriptor(content.as_bytes());
        moby.run(&format!("stat = Blob('files', fileobj=io.BytesIO(b'{content}'), **at).{call}()"));
        assert_eq!(moby.gives("stat.digest"), ours.digest.as_str());
        assert_eq!(moby.gives("stat.size"), ours.size);
        let read = place.at("files").blob(&ours).await.unwrap().bytes(64).await.unwrap();
        assert_eq!(read, content);
    }
    let ours = descriptor(b"");
    place.at("files").push_blob(&ours, BlobBody::from(bytes::Bytes::new())).await.unwrap();
    moby.run("empty = Blob('files', fileobj=io.BytesIO(b''), **at).upload()");
    assert_eq!(moby.gives("empty.digest"), ours.digest.as_str());

    let ours = descriptor(b"from longshore");
    let body = BlobBody::from(bytes::Bytes::from_static(b"from longshore"));
    place.at("files").push_blob(&ours, body).await.unwrap();
    moby.run(&format!("blob = Blob('files', '{}', fileobj=io.BytesIO(), **at)", ours.digest));
    moby.run("blob.download()");
    assert_eq!(moby.gives("blob.fileobj.getvalue()"), "from longshore");
    assert_eq!(moby.gives("blob.stat().size"), ours.size);

    assert_eq!(moby.gives("blob.delete()"), true);
    for call in ["download", "stat", "delete"] {
        assert!(moby.raises(&format!("blob.{call}()")).is("ResourceNotFound"), "{call}");
    }
    let e = place.at("files").delete_blob(&ours.digest).await.unwrap_err();
    assert_eq!(e.kind(), ErrorKind::NotFound);
}

#[tokio::test(flavor = "multi_thread")]
async fn moby_cannot_upload_to_relative_locations_and_longshore_can() {
    let place = Place::with_relative_locations().await;
    let mut moby = moby(&place, "");
    let raised = moby.raises("Blob('files', fileobj=io.BytesIO(b'chunk'), **at).upload()");
    assert!(raised.is("MissingSchema") || raised.is("RequestException"), "{raised:?}");
    let ours = descriptor(b"chunk");
    place.at("files").push_blob(&ours, BlobBody::from(bytes::Bytes::from("chunk"))).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn moby_and_longshore_mount_the_same_blob() {
    let place = Place::open().await;
    let mut moby = moby(&place, "");
    let blob = &docker_image(1, "amd64").blobs[0].0;
    let mount = format!("Blob('theirs', '{}', **at).mount_from('team/app').digest", blob.digest);
    assert_eq!(moby.gives(&mount), blob.digest.as_str());
    let from = place.at("team/app").repository().clone();
    let pushed = place.at("ours").push_blob(blob, BlobBody::mount(from.clone())).await;
    assert_eq!(pushed.unwrap(), Pushed::Mounted);
}

#[tokio::test(flavor = "multi_thread")]
async fn moby_and_longshore_copy_an_image_to_another_repository() {
    let place = Place::open().await;
    let mut moby = moby(&place, "");
    moby.run("image = ImageRef.from_image('team/app', 'v1', 'theirs', 'v1', **at); image.push()");
    let copier = Copier::new(place.at("team/app"), place.at("ours"));
    copier.copy(&tag("v1").into(), Some(&tag("v1"))).await.unwrap();

    let mut images = Vec::new();
    for name in ["ours", "theirs"] {
        assert_eq!(place.tags(name).await, ["v1"]);
        let manifest = place.at(name).manifest(&tag("v1").into()).await.unwrap();
        let Manifest::Image(image) = manifest.parse().unwrap() else { panic!("not an image") };
        let layers: Vec<_> = image.layers.iter().map(|layer| layer.digest.clone()).collect();
        images.push((image.config.digest.clone(), layers));
    }
    assert_eq!(images[0], images[1]);
    // Only longshore keeps the digest of the manifest.
    assert_eq!(place.digest("ours", "v1").await, place.digest("team/app", "v1").await);
    assert_ne!(place.digest("theirs", "v1").await, place.digest("team/app", "v1").await);
}

#[tokio::test(flavor = "multi_thread")]
async fn moby_and_longshore_append_the_same_layer() {
    let place = Place::open().await;
    let mut moby = moby(&place, "");
    let layer = Layer::gzip(&layer_tar(&[("append/content", b"__flag__\n")]));
    let file = moby.home().join("layer.tar.gz");
    std::fs::write(&file, &layer.content).unwrap();
    moby.run("image = ImageRef.from_image('team/app', 'v1', to_reference='theirs', **at)");
    moby.run("image.add_layer(LayerRef(local_path=Path('layer.tar.gz'))); image.push()");
    let append = Append::new().file(&file).await.unwrap();
    let app = place.at("team/app");
    let (source, target) = (Arc::clone(&app) as _, Arc::clone(&app) as _);
    append.push(source, &tag("v1").into(), target, Some(&tag("ours"))).await.unwrap();

    for tag in ["theirs", "ours"] {
        let manifest = app.manifest(&super::tag(tag).into()).await.unwrap();
        let image = Image::read(&*app, manifest).await.unwrap();
        let top = image.layers().last().unwrap();
        assert_eq!(image.layers().count(), 3, "{tag}");
        assert_eq!(top.descriptor.digest, layer.descriptor.digest, "{tag}");
        assert_eq!(top.diff_id, Some(&layer.diff_id), "{tag}");
        // Defect of moby: it drops unknown fields of a config, here the type of the rootfs.
        let config: Value = serde_json::from_slice(image.config_bytes()).unwrap();
        assert_eq!(config["rootfs"]["type"].is_string(), tag == "ours");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn moby_and_longshore_load_each_others_archives() {
    let place = Place::open().await;
    let mut moby = moby(&place, "");
    let app = place.at("team/app");
    let expected = app.manifest(&tag("v1").into()).await.unwrap();
    let expected = Image::read(&*app, expected).await.unwrap();

    moby.run("ImageRef.from_image('team/app', 'v1', **at).save('theirs.tar')");
    let archive = DockerArchive::open(moby.home().join("theirs.tar")).await.unwrap();
    let copier = Copier::new(Arc::new(archive.clone()), place.at("from/theirs"));
    copier.copy(&archive.only_image().unwrap(), Some(&tag("v1"))).await.unwrap();

    let ours = moby.home().join("ours.tar");
    let repository = app.repository().clone();
    let writer = Arc::new(DockerArchiveWriter::create(&ours, Some(repository)).await.unwrap());
    let copier = Copier::new(Arc::clone(&app) as _, Arc::clone(&writer) as _);
    copier.copy(&tag("v1").into(), Some(&tag("v1"))).await.unwrap();
    writer.finish().await.unwrap();
    moby.run("Path('work').mkdir()");
    moby.run(
        "ImageRef.from_tarball(Path('work'), Path('ours.tar'), 'from/ours', 'v1', **at).push()",
    );

    // Archives store uncompressed layers. The config, and therefore the image ID, stays the same.
    for name in ["from/theirs", "from/ours"] {
        let manifest = place.at(name).manifest(&tag("v1").into()).await.unwrap();
        let image = Image::read(&*place.at(name), manifest).await.unwrap();
        assert_eq!(image.id(), expected.id(), "{name}");
        assert_eq!(image.layers().count(), 2, "{name}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn moby_and_longshore_read_the_same_config() {
    let place = Place::open().await;
    let mut moby = moby(&place, "");
    moby.run("image = ImageRef.from_image('team/app', 'v1', **at)");
    let (config, content) = docker_image(1, "amd64").blobs.remove(0);
    assert_eq!(config.size, content.len() as u64);
    // longshore reads the image from the registry, not from the fixture.
    let app = place.at("team/app");
    let manifest = app.manifest(&tag("v1").into()).await.unwrap();
    let image = Image::read(&*app, manifest).await.unwrap();
    let ours = image.config();
    let read = app.blob(&config).await.unwrap().bytes(1 << 20).await.unwrap();
    assert_eq!(read, content);
    assert_eq!(moby.gives("image.image_json_str"), text(&read));
    moby.run("config = image.image_json");
    assert_eq!(moby.gives("config.rootfs.diff_ids"), json!(ours.rootfs.diff_ids));
    // moby's times have a precision of microseconds.
    assert_eq!(moby.gives("config.created"), "2021-08-28 01:35:59.758616+00:00");
    assert_eq!(ours.created.as_deref(), Some("2021-08-28T01:35:59.758616391Z"));
    assert_eq!(moby.gives("config.architecture"), ours.platform.architecture);
    assert_eq!(moby.gives("config.os"), ours.platform.os);
    let steps: Vec<_> = ours.history.iter().map(|step| json!(step.created_by)).collect();
    assert_eq!(moby.gives("[step.created_by for step in config.history]"), json!(steps));
}

#[tokio::test(flavor = "multi_thread")]
async fn moby_authenticates_with_a_password_or_a_token() {
    for place in [Place::basic().await, Place::bearer().await] {
        let mut known = moby(&place, "'user', 's3cret'");
        assert_texts(&known.gives("Tags('team/app', **at).list()"), &place.tags("team/app").await);
        // The same client object requests a new token for each repository.
        assert_texts(&known.gives("Tags('plain', **at).list()"), &place.tags("plain").await);

        let mut wrong = moby(&place, "'user', 'wrong'");
        let raised = wrong.raises("Tags('team/app', **at).list()");
        assert!(raised.is("PermissionDeny") || raised.is("AuthFailed"), "{raised:?}");
        let store = login(place.registry(), USER, "wrong");
        let ours = quick().credentials(store).build().repository(place.at("team/app").repository());
        let e = ours.tags(None).all().await.unwrap_err();
        assert_eq!(e.kind(), ErrorKind::Unauthorized);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn moby_and_longshore_read_the_same_docker_and_oci_manifests() {
    let place = Place::open().await;
    let layer = Layer::gzip(&layer_tar(&[("a", b"content")]));
    let oci = fixture::Image::new("linux/amd64".parse().unwrap()).layer(layer).build();
    oci.push(&*place.at("team/oci"), Some(&tag("v1"))).await;
    let mut moby = moby(&place, "");
    moby.run("docker, oci = ManifestSchema2.content_type(), OCIManifestSchema1.content_type()");
    for (name, form) in [("team/app", "docker"), ("team/oci", "oci")] {
        let ours = place.at(name).resolve(&tag("v1").into()).await.unwrap();
        for reference in ["v1", ours.digest.as_str()] {
            let manifest = format!("ManifestRef('{name}', '{reference}', **at)");
            moby.run(&format!("found = {manifest}.get_metadata({form})"));
            assert_eq!(moby.gives("found.digest"), ours.digest.as_str());
            assert_eq!(moby.gives("found.size"), ours.size);
            assert_eq!(moby.gives("found.mediaType"), ours.media_type.as_str());
            moby.run(&format!("manifest = {manifest}.get({form})"));
        }
        let manifest = place.at(name).manifest(&tag("v1").into()).await.unwrap();
        let Manifest::Image(image) = manifest.parse().unwrap() else { panic!("not an image") };
        assert_eq!(moby.gives("manifest.config.digest"), image.config.digest.as_str());
        // When moby pushes the manifest again, the image stays the same but the bytes change.
        moby.run(&format!("ManifestRef('{name}', 'theirs', **at).put(manifest)"));
        let theirs = place.at(name).manifest(&tag("theirs").into()).await.unwrap();
        assert_eq!(theirs.media_type(), manifest.media_type());
        let Manifest::Image(put) = theirs.parse().unwrap() else { panic!("not an image") };
        assert_eq!(put.config.digest, image.config.digest);
        assert_eq!(put.layers.len(), image.layers.len());
    }
    // Defect of moby: it refuses unknown media types, such as the media type of zstd layers.
    fixture::Image::small(3).build().push(&*place.at("team/zstd"), Some(&tag("v1"))).await;
    assert!(moby.raises("ManifestRef('team/zstd', 'v1', **at).get(oci)").is("ValidationError"));
    let ours = place.at("team/zstd").manifest(&tag("v1").into()).await.unwrap();
    assert!(matches!(ours.parse().unwrap(), Manifest::Image(_)));
    let missing = "ManifestRef('team/app', 'missing', **at).get_metadata()";
    assert_eq!(moby.gives(missing), Value::Null);
}

#[tokio::test(flavor = "multi_thread")]
async fn moby_and_longshore_send_blobs_that_cannot_be_mounted() {
    let place = Place::open().await;
    let mut moby = moby(&place, "");
    let blob = descriptor(b"at hand");
    let from = place.at("team/app").repository().clone();
    // The blob is missing in the registry, and no local file is given. moby-distribution fails with
    // not found. longshore reports that the mount was declined.
    moby.run(&format!("digest = '{}'", blob.digest));
    let raised = moby.raises("Blob('theirs', digest, **at).mount_from('team/app')");
    assert!(raised.is("ResourceNotFound"), "{raised:?}");
    let declined = place.at("ours").push_blob(&blob, BlobBody::mount(from)).await.unwrap_err();
    assert_eq!(declined.kind(), ErrorKind::Unsupported);

    moby.run("open('blob', 'wb').write(b'at hand')");
    moby.run("sent = Blob('theirs', digest, local_path='blob', **at).mount_from('team/app')");
    assert_eq!(moby.gives("sent.digest"), blob.digest.as_str());
    let file = BlobBody::file(moby.home().join("blob"));
    place.at("ours").push_blob(&blob, file).await.unwrap();
    for name in ["theirs", "ours"] {
        assert_eq!(place.at(name).blob_size(&blob.digest).await.unwrap(), Some(blob.size));
    }

    moby.run("Blob('ours', digest, local_path='back', **at).download()");
    assert_eq!(std::fs::read(moby.home().join("back")).unwrap(), b"at hand");
    // In moby, missing or contradictory arguments are errors. The types of longshore prevent such
    // arguments.
    moby.run("both = dict(local_path='blob', fileobj=io.BytesIO(b''))");
    for (call, class) in [
        ("Blob('theirs', **at).stat()", "RuntimeError"),
        ("Blob('theirs', **at).upload_at_one_time()", "ValueError"),
        ("Blob('theirs', **both, **at).upload_at_one_time()", "ValueError"),
    ] {
        assert!(moby.raises(call).is(class), "{call}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn moby_and_longshore_append_a_layer_of_another_repository() {
    let place = Place::open().await;
    let mut moby = moby(&place, "");
    let (layer, _) = docker_image(3, "amd64").blobs.remove(2);
    moby.run("image = ImageRef.from_image('team/app', 'v1', to_reference='theirs', **at)");
    moby.run(&format!(
        "image.add_layer(LayerRef(repo='plain', digest='{}', size={}, exists=True)); image.push()",
        layer.digest, layer.size
    ));
    let append = Append::new().blob(place.at("plain"), &layer.digest).await.unwrap();
    let app = place.at("team/app");
    let (source, target) = (Arc::clone(&app) as _, Arc::clone(&app) as _);
    append.push(source, &tag("v1").into(), target, Some(&tag("ours"))).await.unwrap();
    let mut tops = Vec::new();
    for tag in ["theirs", "ours"] {
        let manifest = app.manifest(&super::tag(tag).into()).await.unwrap();
        let image = Image::read(&*app, manifest).await.unwrap();
        assert_eq!(image.layers().count(), 3, "{tag}");
        let top = image.layers().last().unwrap();
        tops.push((top.descriptor.digest.clone(), top.diff_id.cloned()));
    }
    assert_eq!(tops[0], tops[1]);
}

#[tokio::test(flavor = "multi_thread")]
async fn moby_has_a_global_default_client() {
    let place = Place::basic().await;
    let mut moby = moby(&place, "'user', 's3cret'");
    moby.run("from moby_distribution.registry.client import set_default_client");
    moby.run("set_default_client(client)");
    assert_texts(&moby.gives("Tags('team/app').list()"), &place.tags("team/app").await);
    // moby's ping needs credentials. longshore's ping succeeds without credentials.
    moby.run("anonymous = DockerRegistryV2Client(f'http://{host}')");
    assert_eq!(moby.gives("anonymous.ping()"), false);
    let anonymous = quick().build();
    anonymous.ping(&place.registry()).await.unwrap();
    let e = anonymous.check_credentials(&place.registry()).await.unwrap_err();
    assert_eq!(e.kind(), ErrorKind::Unauthorized);
}

#[test]
fn moby_and_longshore_parse_names_alike() {
    let mut moby = Predecessor::start(&[]);
    moby.run("from moby_distribution.registry.utils import parse_image");
    for name in [
        "python",
        "python:latest",
        "docker.io/python:latest",
        "localhost:5000/python",
        "localhost/a/b:t",
        "user/python:1",
        "quay.io/a/b/c:t",
    ] {
        let theirs = moby.gives(&format!("list(parse_image('{name}', 'docker.io'))"));
        let ours = longshore::Reference::familiar(name).unwrap();
        assert_eq!(theirs[0], ours.registry().as_str(), "{name}");
        assert_eq!(theirs[1], ours.repository().name().as_str(), "{name}");
        assert_eq!(theirs[2], json!(ours.tag().map(ToString::to_string)), "{name}");
    }
    // Defect of moby-distribution: it does not parse digests, but reads a digest as a tag.
    let digest = longshore::Digest::sha256(b"");
    let name = format!("quay.io/a/b@{digest}");
    let theirs = moby.gives(&format!("list(parse_image('{name}', 'docker.io'))"));
    assert_eq!((&theirs[1], &theirs[2]), (&json!("a/b@sha256"), &json!(digest.encoded())));
    assert_eq!(longshore::Reference::familiar(&name).unwrap().digest(), Some(&digest));
}
