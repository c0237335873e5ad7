//! Compares docker-registry-client-async, by the user crashvb, with longshore.

use super::*;

use bytes::Bytes;
use longshore::http::Method;
use longshore::{
    BlobBody, BlobStream, Delete as _, Descriptor, Digest, MediaType, Pushed, RawRequest,
    Reference, Target as _,
};
use serde_json::json;

/// The exception that docker-registry-client-async raises for an error status.
pub(super) const HTTP: &str = "ClientResponseError";

/// Starts Python and sets two variables: `client` is a docker-registry-client-async client, and
/// `image` is the name of an image in the registry.
pub(super) fn crashvb(place: &Place, image: &str) -> Predecessor {
    crashvb_with(place, image, "")
}

pub(super) fn crashvb_with(place: &Place, image: &str, arguments: &str) -> Predecessor {
    let mut crashvb = Predecessor::start(&[("DRCA_DEFAULT_PROTOCOL", "http")]);
    crashvb.run("from docker_registry_client_async import *; import re; from pathlib import Path");
    crashvb.run(&format!("client = DockerRegistryClientAsync({arguments})"));
    crashvb.run(&format!("image = ImageName.parse('{}/{image}')", place.address));
    crashvb
}

fn descriptor(content: &[u8]) -> Descriptor {
    Descriptor::from_bytes(MediaType::OCTET_STREAM, content)
}

#[tokio::test(flavor = "multi_thread")]
async fn crashvb_and_longshore_list_the_same_repositories() {
    let place = Place::open().await;
    let mut crashvb = crashvb(&place, "team/app:v1");

    assert_eq!(crashvb.gives("(await client.get_version(image)).result"), true);
    place.client.ping(&place.registry()).await.unwrap();

    let all = crashvb.gives("(await client.get_catalog(image)).catalog");
    assert_texts(&all["repositories"], &place.repositories().await);
    let page = crashvb.gives("(await client.get_catalog(image, n=2, last='plain')).catalog");
    assert_texts(&page["repositories"], &place.repositories().await[1..3]);
}

#[tokio::test(flavor = "multi_thread")]
async fn crashvb_and_longshore_list_the_same_tags() {
    let place = Place::open().await;
    let mut crashvb = crashvb(&place, "team/app:v1");
    let ours = place.tags("team/app").await;

    let theirs = crashvb.gives("(await client.get_tags(image)).tags");
    assert_eq!(theirs["name"], "team/app");
    assert_texts(&theirs["tags"], &ours);
    assert_texts(
        &crashvb.gives("(await client.get_tags(image, last='v1')).tags")["tags"],
        &ours[1..],
    );

    let as_names = crashvb.gives("(await client.get_tag_list(image)).tags");
    let repository = place.at("team/app").repository().clone();
    let reference = |tag: &String| Reference::new(repository.clone()).with_tag(super::tag(tag));
    let ours: Vec<String> = ours.iter().map(|tag| reference(tag).to_string()).collect();
    assert_texts(&as_names, &ours);
}

#[tokio::test(flavor = "multi_thread")]
async fn crashvb_and_longshore_get_the_same_manifests_by_tag_and_by_digest() {
    let place = Place::open().await;
    let mut crashvb = crashvb(&place, "team/app:v1");
    for (name, reference) in [("team/app", "v1"), ("team/list", "v1"), ("team/sub/oci", "v1")] {
        let selector = TagOrDigest::parse(reference).unwrap();
        let ours = place.at(name).manifest(&selector).await.unwrap();
        for reference in [format!(":{reference}"), format!("@{}", ours.digest())] {
            let image = format!("{}/{name}{reference}", place.address);
            crashvb.run(&format!("image = ImageName.parse('{image}')"));
            crashvb.run("manifest = (await client.get_manifest(image)).manifest");
            assert_eq!(crashvb.gives("manifest.get_bytes()"), text(ours.bytes()), "{image}");
            assert_eq!(crashvb.gives("manifest.get_digest()"), ours.digest().as_str());
            assert_eq!(crashvb.gives("manifest.get_media_type()"), ours.media_type().as_str());
            let head = crashvb.gives("(await client.head_manifest(image)).digest");
            assert_eq!(head, ours.digest().as_str());
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn crashvb_saves_a_manifest_to_a_file_and_pushes_it_from_the_file() {
    let place = Place::open().await;
    let mut crashvb = crashvb(&place, "team/app:v1");
    let ours = place.at("team/app").manifest(&tag("v1").into()).await.unwrap();

    crashvb.run("file = open('manifest', 'w+b')");
    crashvb.run("got = await client.get_manifest_to_disk(image, file, file_is_async=False)");
    assert_eq!(crashvb.gives("got.digest"), ours.digest().as_str());
    assert_eq!(crashvb.gives("got.size"), ours.bytes().len());
    assert_eq!(std::fs::read(crashvb.home().join("manifest")).unwrap(), *ours.bytes());

    crashvb.run("again = image.clone().set_tag('from-file')");
    let put = format!(
        "(await client.put_manifest_from_disk(again, file, file_is_async=False, media_type='{}')).digest",
        ours.media_type()
    );
    assert_eq!(crashvb.gives(&put), ours.digest().as_str());
    place.at("team/app").push_manifest(&ours, Some(&tag("ours"))).await.unwrap();
    assert_eq!(place.digest("team/app", "from-file").await, place.digest("team/app", "ours").await);
}

#[tokio::test(flavor = "multi_thread")]
async fn crashvb_puts_a_manifest_and_deletes_it_by_digest() {
    let place = Place::open().await;
    let mut crashvb = crashvb(&place, "team/app:v1");
    crashvb.run("manifest = (await client.get_manifest(image)).manifest");
    let put = "(await client.put_manifest(image.clone().set_tag('theirs'), manifest)).digest";
    assert_eq!(crashvb.gives(put), place.digest("team/app", "v1").await);
    assert_eq!(place.manifest("team/app", "theirs").await, crashvb.gives("manifest.get_bytes()"));

    // For a missing manifest, a delete returns false in crashvb and an error in longshore.
    crashvb.run("image.set_digest(manifest.get_digest())");
    let delete = "(await client.delete_manifest(image)).result";
    assert_eq!(crashvb.gives(delete), true);
    assert_eq!(crashvb.gives(delete), false);
    let digest = Digest::parse(crashvb.gives("image.digest").as_str().unwrap()).unwrap();
    let e = place.at("team/app").delete_manifest(&digest).await.unwrap_err();
    assert_eq!(e.kind(), ErrorKind::NotFound);
    assert_eq!(place.tags("team/app").await, [""; 0], "all tags of the manifest are removed");

    // Defect of docker-registry-client-async: without a digest, it requests `/manifests/None`.
    assert_eq!(
        crashvb.gives("(await client.delete_manifest(image.set_digest(None))).result"),
        false
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn crashvb_and_longshore_get_the_same_blobs() {
    let place = Place::open().await;
    let mut crashvb = crashvb(&place, "team/app:v1");
    for (descriptor, content) in docker_image(1, "amd64").blobs {
        let digest = format!("FormattedSHA256.parse('{}')", descriptor.digest);
        let ours = place.at("team/app").blob(&descriptor).await.unwrap();
        let ours = ours.bytes(content.len()).await.unwrap();
        assert_eq!(
            crashvb.gives(&format!("(await client.get_blob(image, {digest})).blob")),
            text(&ours)
        );

        crashvb.run("file = open('blob', 'w+b')");
        crashvb.run(&format!(
            "got = await client.get_blob_to_disk(image, {digest}, file, file_is_async=False)"
        ));
        assert_eq!(crashvb.gives("got.digest"), descriptor.digest.as_str());
        assert_eq!(
            crashvb.gives("got.size"),
            json!(place.at("team/app").blob_size(&descriptor.digest).await.unwrap())
        );
        assert_eq!(std::fs::read(crashvb.home().join("blob")).unwrap(), ours);

        let head = crashvb.gives(&format!("(await client.head_blob(image, {digest})).digest"));
        assert_eq!(head, descriptor.digest.as_str());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn crashvb_and_longshore_read_each_others_uploads() {
    let place = Place::open().await;
    let mut crashvb = crashvb(&place, "team/app:v1");
    let content = Bytes::from_static(b"0123456789");
    let descriptor = descriptor(&content);
    crashvb.run("content, digest = b'0123456789', FormattedSHA256.calculate(b'0123456789')");
    assert_eq!(crashvb.gives("digest"), descriptor.digest.as_str());

    let begin = "location = (await client.post_blob(image)).location";
    let next = "location = reply.location";

    crashvb.run(begin);
    for (offset, range) in [(0, "0-4"), (5, "0-9")] {
        let patch = format!(
            "reply = await client.patch_blob_upload(location, content[{offset}:{offset}+5], offset={offset})"
        );
        crashvb.run(&patch);
        assert_eq!(crashvb.gives("reply.range"), range);
        crashvb.run(next);
    }
    assert_eq!(crashvb.gives("(await client.get_blob_upload(location)).range"), "0-9");
    assert_eq!(
        crashvb.gives("(await client.put_blob_upload(location, digest)).digest"),
        descriptor.digest.as_str()
    );
    let read = place.at("team/app").blob(&descriptor).await.unwrap().bytes(10).await.unwrap();
    assert_eq!(read, content);

    // longshore takes the same steps in another repository.
    let other = place.at("team/ours");
    let mut upload = other.begin_upload().await.unwrap();
    for range in [0..5, 5..10] {
        let piece = content.slice(range);
        upload.append(stream(piece), 5).await.unwrap();
    }
    assert_eq!(upload.status().await.unwrap(), Some(10));
    upload.finish(&descriptor.digest).await.unwrap();
    crashvb.run("image.set_image('team/ours')");
    assert_eq!(crashvb.gives("(await client.get_blob(image, digest)).blob"), "0123456789");
}

fn stream(piece: Bytes) -> BlobStream {
    BlobStream::new(futures_util::stream::iter([Ok(piece)]))
}

#[tokio::test(flavor = "multi_thread")]
async fn crashvb_streams_a_file_and_cancels_an_upload() {
    let place = Place::open().await;
    let mut crashvb = crashvb(&place, "team/app:v1");
    let begin = "location = (await client.post_blob(image)).location";
    crashvb.run("open('blob', 'wb').write(b'streamed'); file = open('blob', 'rb')");
    crashvb.run(begin);
    crashvb.run(
        "reply = await client.patch_blob_upload_from_disk(location, file, file_is_async=False)",
    );
    crashvb.run("location = reply.location");
    crashvb.run("done = await client.put_blob_upload(location, reply.digest)");
    let streamed = descriptor(b"streamed");
    assert_eq!(crashvb.gives("done.digest"), streamed.digest.as_str());

    crashvb.run("open('other', 'wb').write(b'in the PUT'); file = open('other', 'rb')");
    crashvb.run(begin);
    crashvb.run("digest = FormattedSHA256.calculate(b'in the PUT')");
    crashvb.run(
        "done = await client.put_blob_upload_from_disk(location, digest, file, file_is_async=False)",
    );
    let whole = descriptor(b"in the PUT");
    for descriptor in [&streamed, &whole] {
        let ours = place.at("team/app").blob_size(&descriptor.digest).await.unwrap();
        assert_eq!(ours, Some(descriptor.size));
    }
    // longshore pushes a file without an explicit upload session.
    let file = crashvb.home().join("other");
    place.at("ours").push_blob(&whole, BlobBody::file(file)).await.unwrap();

    crashvb.run(begin);
    assert_eq!(crashvb.gives("(await client.delete_blob_upload(location)).result"), true);
    assert_eq!(crashvb.gives("(await client.delete_blob_upload(location)).result"), false);
    place.at("team/app").begin_upload().await.unwrap().cancel().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn crashvb_misreads_a_relative_location_that_longshore_resolves() {
    let place = Place::with_relative_locations().await;
    let mut crashvb = crashvb(&place, "team/app:v1");
    crashvb.run("location = (await client.post_blob(image)).location");
    assert!(crashvb.gives("location").as_str().unwrap().starts_with("/v2/"));
    // crashvb reads the path as a scheme, and uses its default registry as the host.
    let raised = crashvb.raises("await client.get_blob_upload(location)");
    assert!(raised.is("ClientError"), "{raised:?}");
    let mut upload = place.at("team/app").begin_upload().await.unwrap();
    upload.status().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn crashvb_mounts_a_blob_but_cannot_parse_the_reply() {
    let place = Place::open().await;
    let mut crashvb = crashvb(&place, "target:v1");
    let blob = &docker_image(1, "amd64").blobs[0].0;
    crashvb.run(&format!("source = ImageName.parse('{}/team/app')", place.address));
    crashvb.run(&format!("digest = FormattedSHA256.parse('{}')", blob.digest));
    // crashvb adds `library/` to every name without a slash, even at private registries.
    assert_eq!(crashvb.gives("image.resolve_image()"), "library/target");

    // Defect of crashvb: it requires a `Range` header, which a 201 does not have.
    let raised = crashvb.raises("await client.post_blob(image, digest=digest, source=source)");
    assert_eq!(raised.short(), ("KeyError", None));
    assert_eq!(
        crashvb.gives("(await client.head_blob(image, digest)).result"),
        true,
        "the blob is mounted"
    );

    let team_app = place.at("team/app").repository().clone();
    let pushed = place.at("target").push_blob(blob, BlobBody::mount(team_app)).await.unwrap();
    assert_eq!(pushed, Pushed::Mounted);
}

#[tokio::test(flavor = "multi_thread")]
async fn crashvb_and_longshore_fail_for_the_same_reasons() {
    let place = Place::open().await;
    let mut crashvb = crashvb(&place, "team/app:missing");
    let app = place.at("team/app");

    let raised = crashvb.raises("await client.get_manifest(image)");
    let ours = app.manifest(&tag("missing").into()).await.unwrap_err();
    same_failure(&raised, HTTP, Some(404), &ours, ErrorKind::NotFound);

    let raised = crashvb.raises("await client.get_blob(image, FormattedSHA256.calculate(b'none'))");
    let ours = app.blob(&descriptor(b"none")).await.unwrap_err();
    same_failure(&raised, HTTP, Some(404), &ours, ErrorKind::NotFound);

    crashvb.run("manifest = Manifest(b'{\"schemaVersion\": 2}', media_type=None)");
    let raised = crashvb.raises("await client.put_manifest(image, manifest)");
    assert_eq!(raised.short(), (HTTP, Some(400)));

    crashvb.run("nowhere = image.clone().set_image('no/where')");
    let raised = crashvb.raises("await client.get_tags(nowhere)");
    let ours = place.at("no/where").tags(None).all().await.unwrap_err();
    same_failure(&raised, HTTP, Some(404), &ours, ErrorKind::NotFound);

    // In crashvb, a HEAD of a missing item is not an error. The same applies to `blob_size` of
    // longshore.
    assert_eq!(crashvb.gives("(await client.head_manifest(image)).result"), false);
    let none = "(await client.head_blob(image, FormattedSHA256.calculate(b'none'))).result";
    assert_eq!(crashvb.gives(none), false);
    assert_eq!(app.blob_size(&Digest::sha256(b"none")).await.unwrap(), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn crashvb_uploads_a_blob_in_one_or_two_requests() {
    let place = Place::open().await;
    let mut crashvb = crashvb(&place, "team/app:v1");
    let two = descriptor(b"in two requests");
    crashvb.run("location = (await client.post_blob(image)).location");
    crashvb.run("digest = FormattedSHA256.calculate(b'in two requests')");
    let put = "(await client.put_blob_upload(location, digest, data=b'in two requests')).digest";
    assert_eq!(crashvb.gives(put), two.digest.as_str());

    // Defect of crashvb: it requires a `Range` header, which this reply also lacks. The blob is
    // stored.
    let one = descriptor(b"in one request");
    crashvb.run("digest = FormattedSHA256.calculate(b'in one request')");
    let raised =
        crashvb.raises("await client.post_blob(image, data=b'in one request', digest=digest)");
    assert_eq!(raised.short(), ("KeyError", None));
    for descriptor in [&one, &two] {
        let size = place.at("team/app").blob_size(&descriptor.digest).await.unwrap();
        assert_eq!(size, Some(descriptor.size));
    }
    let content = stream(Bytes::from_static(b"in one request"));
    let rest = place.at("team/ours").post_blob(&one, content).await.unwrap();
    assert!(rest.is_none(), "nothing is left to send");
    crashvb.run("image.set_image('team/ours')");
    assert_eq!(crashvb.gives("(await client.get_blob(image, digest)).blob"), "in one request");
}

#[tokio::test(flavor = "multi_thread")]
async fn crashvb_raw_calls_and_longshore_requests_return_the_same_replies() {
    let place = Place::open().await;
    let mut crashvb = crashvb(&place, "team/app:v1");
    let none = Digest::sha256(b"none");
    crashvb.run("digest = FormattedSHA256.calculate(b'none')");
    crashvb.run("missing = image.clone().set_tag('missing')");
    for (call, method, path, status) in [
        ("_get_version(image)", Method::HEAD, "", 200),
        ("_get_catalog(image)", Method::GET, "_catalog", 200),
        ("_get_tags(image)", Method::GET, "team/app/tags/list", 200),
        ("_get_manifest(image)", Method::GET, "team/app/manifests/v1", 200),
        ("_get_manifest(missing)", Method::GET, "team/app/manifests/missing", 404),
        ("_head_manifest(missing)", Method::HEAD, "team/app/manifests/missing", 404),
        ("_get_blob(image, digest)", Method::GET, &format!("team/app/blobs/{none}"), 404),
        ("_head_blob(image, digest)", Method::HEAD, &format!("team/app/blobs/{none}"), 404),
        ("_delete_blob(image, digest)", Method::DELETE, &format!("team/app/blobs/{none}"), 404),
    ] {
        crashvb.run(&format!("reply = await client.{call}"));
        assert_eq!(crashvb.gives("reply.status"), status, "{call}");
        let request = RawRequest::new(method, format!("/v2/{path}"));
        let ours = place.client.request(&place.registry(), request).await.unwrap();
        assert_eq!(ours.status.as_u16(), status, "{path}");
        for header in ["content-type", "docker-content-digest"] {
            let ours = ours.headers.get(header).map(|value| value.to_str().unwrap());
            assert_eq!(crashvb.gives(&format!("reply.headers.get('{header}')")), json!(ours));
        }
        let body = ours.bytes(1 << 20).await.unwrap();
        assert_eq!(crashvb.gives("await reply.read()"), text(&body), "{call}");
    }
}
