//! Pushing, pulling and deleting blobs and manifests, as in the official conformance suite.

use http::Method;
use longshore_core::{Algorithm, Digest};

use crate::harness::{Client, IMAGE, Manifest, on_each_storage};

const NAME: &str = "conformance/repo";
/// 3,000 bytes: three chunks, the last one short.
const SIZE: usize = 3000;

#[tokio::test]
async fn the_base_endpoint_accepts_only_get_and_head() {
    on_each_storage(async |client| {
        let reply = client.get("/v2/").await.expect(200);
        assert_eq!(reply.header("docker-distribution-api-version"), "registry/2.0");
        assert_eq!(reply.body, "{}");
        client.head("/v2/").await.expect(200);
        client.get("/v2").await.expect(200);
        client.get("/v1/_ping").await.expect_error(404, "UNSUPPORTED");
        let posted = client.post("/v2/").await.expect_error(405, "UNSUPPORTED");
        assert_eq!(posted.header("allow"), "GET, HEAD");
    })
    .await;
}

/// A way to push a blob.
#[derive(Clone, Copy, Debug)]
enum Way {
    /// The whole blob with the POST.
    Post,
    /// A POST, then the whole blob with the PUT.
    Put,
    /// Streamed by one PATCH, without length or range.
    Stream,
    /// In chunks, then a PUT without a body.
    Chunks,
    /// In chunks, the last one with the PUT.
    LastChunkPut,
}

/// Pushes a blob in each way and an empty blob with a PUT, with each algorithm.
#[tokio::test]
async fn blobs_can_be_pushed_in_every_way_and_pulled() {
    on_each_storage(async |client| {
        for algorithm in Algorithm::ALL {
            for (way, size) in [
                (Way::Post, SIZE),
                (Way::Put, SIZE),
                (Way::Stream, SIZE),
                (Way::Chunks, SIZE),
                (Way::LastChunkPut, SIZE),
                (Way::Put, 0),
            ] {
                let seed = way as usize * 31 + algorithm.encoded_length();
                let content: Vec<u8> = (0..size).map(|i| (i * 7 + seed) as u8).collect();
                let digest = algorithm.digest(&content);
                let blob = push_by(client, way, algorithm, &digest, &content).await;
                assert_eq!(blob, format!("/v2/{NAME}/blobs/{digest}"));
                check_blob(client, &blob, &digest, &content).await;
                client.delete(&blob).await.expect(202);
                client.head(&blob).await.expect(404);
                client.delete(&blob).await.expect_error(404, "BLOB_UNKNOWN");
            }
        }
    })
    .await;
}

async fn push_by(
    client: &Client,
    way: Way,
    algorithm: Algorithm,
    digest: &Digest,
    content: &[u8],
) -> String {
    let uploads = format!("/v2/{NAME}/blobs/uploads/");
    let all = content.to_vec();
    let begin = match way {
        Way::Post => {
            let path = format!("{uploads}?digest={digest}");
            return client.request(Method::POST, &path, &[], all).await.expect(201).location();
        }
        // The client may omit the algorithm and send only the digest.
        Way::Put => uploads,
        _ if algorithm == Algorithm::Sha256 => uploads,
        _ => format!("{uploads}?digest-algorithm={}", algorithm.name()),
    };
    let location = client.post(&begin).await.expect(202).location();
    let put = match way {
        Way::Post | Way::Put => client.put(&location, digest, all).await,
        Way::Stream => {
            let streamed = stream(client, &location, all).await.expect(202);
            assert_eq!(streamed.header("range"), format!("0-{}", SIZE - 1));
            client.put(&streamed.location(), digest, "").await
        }
        Way::Chunks => {
            let location = chunks(client, location, content, &[0, 1024, 2048, SIZE]).await;
            client.put(&location, digest, "").await
        }
        Way::LastChunkPut => {
            let location = chunks(client, location, content, &[0, 1024, 2048]).await;
            let path = format!("{location}?digest={digest}");
            let range = format!("2048-{}", SIZE - 1);
            let last = content[2048..].to_vec();
            client.request(Method::PUT, &path, &[("content-range", &range)], last).await
        }
    };
    let put = put.expect(201);
    assert_eq!(put.header("docker-content-digest"), digest.as_str());
    put.location()
}

/// Sends the content between consecutive offsets, each part as a chunk. Returns the location of the
/// upload.
async fn chunks(
    client: &Client,
    mut location: String,
    content: &[u8],
    offsets: &[usize],
) -> String {
    for bounds in offsets.windows(2) {
        let (start, end) = (bounds[0], bounds[1]);
        let chunk = content[start..end].to_vec();
        let range = format!("{start}-{}", end - 1);
        let sent = chunk_to(client, &location, &range, chunk).await.expect(202);
        assert_eq!(sent.header("range"), format!("0-{}", end - 1));
        location = sent.location();
    }
    location
}

async fn stream(client: &Client, location: &str, content: Vec<u8>) -> crate::harness::Reply {
    let chunks: Vec<_> = content
        .chunks(100)
        .map(|chunk| Ok::<_, std::io::Error>(http_body::Frame::data(chunk.to_vec().into())))
        .collect::<Vec<Result<http_body::Frame<bytes::Bytes>, _>>>();
    let body = http_body_util::StreamBody::new(futures_util::stream::iter(chunks));
    let request = http::Request::patch(location).body(body).unwrap();
    client.send(request).await
}

pub(crate) async fn chunk_to(
    client: &Client,
    location: &str,
    range: &str,
    chunk: Vec<u8>,
) -> crate::harness::Reply {
    let headers = [("content-range", range), ("content-type", "application/octet-stream")];
    client.request(Method::PATCH, location, &headers, chunk).await
}

async fn check_blob(client: &Client, path: &str, digest: &Digest, content: &[u8]) {
    let got = client.get(path).await.expect(200);
    assert_eq!(got.body, content);
    let headed = client.head(path).await.expect(200);
    assert!(headed.body.is_empty());
    for reply in [&got, &headed] {
        assert_eq!(reply.header("docker-content-digest"), digest.as_str());
        assert_eq!(reply.header("content-length"), content.len().to_string());
        assert_eq!(reply.header("accept-ranges"), "bytes");
        assert_eq!(reply.header("content-type"), "application/octet-stream");
    }
    let known = [("if-none-match", got.header("etag"))];
    client.request(Method::GET, path, &known, "").await.expect(304);
}

#[tokio::test]
async fn a_range_of_a_blob_can_be_pulled() {
    on_each_storage(async |client| {
        let content: Vec<u8> = (0..2048).map(|i| (i % 251) as u8).collect();
        let digest = client.push_blob(NAME, &content).await;
        let path = format!("/v2/{NAME}/blobs/{digest}");
        for (range, start, end) in [
            ("bytes=500-1499", 500, 1500),
            ("bytes=500-", 500, 2048),
            ("bytes=-500", 1548, 2048),
            ("bytes=2000-5000", 2000, 2048),
            ("bytes=0-0", 0, 1),
        ] {
            let got = client.request(Method::GET, &path, &[("range", range)], "").await;
            let got = got.expect(206);
            assert_eq!(got.body, content[start..end], "{range}");
            assert_eq!(got.header("content-length"), (end - start).to_string());
            let covered = format!("bytes {start}-{}/2048", end - 1);
            assert_eq!(got.header("content-range"), covered);
        }
        for range in ["bytes=500-0", "bytes=5000-10000", "bytes=-0"] {
            let got = client.request(Method::GET, &path, &[("range", range)], "").await;
            assert_eq!(got.expect(416).header("content-range"), "bytes */2048");
        }
        for range in ["chars=1-2", "bytes=0-1,5-6", "nonsense"] {
            let got = client.request(Method::GET, &path, &[("range", range)], "").await;
            assert_eq!(got.expect(200).body, content);
        }
        let stale = [("range", "bytes=5-"), ("if-range", "\"other\"")];
        client.request(Method::GET, &path, &stale, "").await.expect(200);
        let same = format!("\"{digest}\"");
        let fresh = [("range", "bytes=5-"), ("if-range", same.as_str())];
        client.request(Method::GET, &path, &fresh, "").await.expect(206);
    })
    .await;
}

#[tokio::test]
async fn a_blob_can_be_mounted_from_another_repository() {
    on_each_storage(async |client| {
        let digest = client.push_blob(NAME, b"shared").await;
        let uploads = "/v2/other/blobs/uploads/";
        let blob = format!("/v2/other/blobs/{digest}");
        for path in
            [format!("{uploads}?mount={digest}&from={NAME}"), format!("{uploads}?mount={digest}")]
        {
            let mounted = client.post(&path).await.expect(201);
            assert_eq!(mounted.location(), blob);
            assert_eq!(mounted.header("docker-content-digest"), digest.as_str());
            assert_eq!(client.get(&blob).await.expect(200).body, "shared");
            // Deleting the mounted blob does not delete the blob in the source repository.
            client.delete(&blob).await.expect(202);
            client.head(&blob).await.expect(404);
            client.head(&format!("/v2/{NAME}/blobs/{digest}")).await.expect(200);
        }
        // A mount of a missing blob begins an upload instead.
        let absent = Digest::sha256(b"absent");
        for path in [
            format!("{uploads}?mount={absent}&from={NAME}"),
            format!("{uploads}?mount={digest}&from=missing/repository"),
            format!("{uploads}?mount={absent}"),
        ] {
            let location = client.post(&path).await.expect(202).location();
            client.put(&location, &absent, "absent").await.expect(201);
            client.delete(&format!("/v2/other/blobs/{absent}")).await.expect(202);
        }
    })
    .await;
}

#[tokio::test]
async fn manifests_can_be_pushed_and_pulled_by_tag_and_digest() {
    on_each_storage(async |client| {
        let image = client.push_image(NAME, "v1", b"layer").await;
        let digest = image.digest();
        for selector in ["v1", digest.as_str()] {
            let path = format!("/v2/{NAME}/manifests/{selector}");
            let got = client.get(&path).await.expect(200);
            assert_eq!(got.body, image.json);
            let headed = client.head(&path).await.expect(200);
            assert!(headed.body.is_empty());
            for reply in [&got, &headed] {
                assert_eq!(reply.header("content-type"), IMAGE);
                assert_eq!(reply.header("docker-content-digest"), digest.as_str());
                assert_eq!(reply.header("content-length"), image.json.len().to_string());
            }
        }
        let index = Manifest::index(&[&image]);
        let put = client.put_manifest(NAME, "multi", &index).await.expect(201);
        assert_eq!(put.header("docker-content-digest"), index.digest().as_str());
        let pulled = client.get(&put.location()).await.expect(200);
        assert_eq!(pulled.body, index.json);

        // The same manifest exists once for each algorithm. Each response uses the algorithm of its
        // request.
        for algorithm in Algorithm::ALL {
            let digest = image.digest_by(algorithm);
            let put = client.put_manifest(NAME, digest.as_str(), &image).await.expect(201);
            assert_eq!(put.header("docker-content-digest"), digest.as_str());
            let got = client.get(&put.location()).await.expect(200);
            assert_eq!(got.header("docker-content-digest"), digest.as_str());
            assert_eq!(got.body, image.json);
        }
    })
    .await;
}

#[tokio::test]
async fn tag_parameters_set_several_tags_with_one_push() {
    on_each_storage(async |client| {
        let image = client.push_image(NAME, "v1", b"layer").await;
        for algorithm in [Algorithm::Sha256, Algorithm::Sha512] {
            let digest = image.digest_by(algorithm);
            let wanted: Vec<_> = (0..12).map(|i| format!("{}.{i}", algorithm.name())).collect();
            let tags: Vec<_> = wanted.iter().map(|tag| format!("tag={tag}")).collect();
            let selector = format!("{digest}?{}", tags.join("&"));
            let put = client.put_manifest(NAME, &selector, &image).await.expect(201);
            let set: Vec<_> = put.headers.get_all("oci-tag").iter().collect();
            assert_eq!(set, wanted.iter().map(String::as_str).collect::<Vec<_>>());
            for tag in &wanted {
                let got = client.get(&format!("/v2/{NAME}/manifests/{tag}")).await.expect(200);
                assert_eq!(got.header("docker-content-digest"), digest.as_str());
            }
        }
        let selector = format!("{}?tag=ok&tag=.bad", image.digest());
        let put = client.put_manifest(NAME, &selector, &image).await;
        put.expect_error(400, "TAG_INVALID");
        client.get(&format!("/v2/{NAME}/manifests/ok")).await.expect(404);
    })
    .await;
}

#[tokio::test]
async fn tags_and_manifests_can_be_deleted() {
    on_each_storage(async |client| {
        let image = client.push_image(NAME, "v1", b"layer").await;
        client.put_manifest(NAME, "v2", &image).await.expect(201);
        client.put_manifest(NAME, "v3", &image).await.expect(201);
        let at = |selector: &str| format!("/v2/{NAME}/manifests/{selector}");
        client.delete(&at("v1")).await.expect(202);
        client.head(&at("v1")).await.expect(404);
        client.delete(&at("v1")).await.expect_error(404, "MANIFEST_UNKNOWN");
        client.get(&at("v2")).await.expect(200);
        let digest = image.digest();
        client.delete(&at(digest.as_str())).await.expect(202);
        for selector in ["v2", "v3", digest.as_str()] {
            client.head(&at(selector)).await.expect(404);
            client.get(&at(selector)).await.expect_error(404, "MANIFEST_UNKNOWN");
        }
        client.delete(&at(digest.as_str())).await.expect_error(404, "MANIFEST_UNKNOWN");
        let tags = client.get(&format!("/v2/{NAME}/tags/list")).await.expect(200);
        assert_eq!(tags.json()["tags"], serde_json::json!([]));
        client.get("/v2/missing/manifests/v1").await.expect_error(404, "NAME_UNKNOWN");
        client.delete("/v2/missing/manifests/v1").await.expect(404);
    })
    .await;
}

#[tokio::test]
async fn manifests_with_foreign_layers_unknown_types_or_unknown_fields_are_accepted() {
    on_each_storage(async |client| {
        client.push_blob(NAME, b"{}").await;
        let digest = Digest::sha256(b"never pushed");
        let config = crate::harness::descriptor("application/vnd.oci.empty.v1+json", b"{}");
        let foreign = format!(
            r#"{{"schemaVersion":2,"mediaType":"{IMAGE}","config":{config},"layers":[{{"mediaType":
                "application/vnd.oci.image.layer.nondistributable.v1.tar","digest":"{digest}","size":7}}]}}"#
        );
        let schema1 = r#"{"schemaVersion":1,"name":"x","tag":"y","architecture":"amd64",
            "fsLayers":[{"blobSum":"sha256:a3ed95caeb02ffe68cdd9fd84406680ae93d633cb16422d00e8a7c22955b46d4"}],
            "history":[{"v1Compatibility":"{}"}]}"#;
        for (media_type, json) in [
            (IMAGE, foreign),
            ("application/vnd.docker.distribution.manifest.v1+prettyjws", schema1.to_owned()),
            ("application/vnd.example+json", r#"{ "free" : "form" }"#.to_owned()),
            (IMAGE, Manifest::image_with(&[], r#","x":{"y":[1.50]},"annotations":{"k":"v"}"#).json),
        ] {
            let manifest = Manifest { media_type, json };
            client.put_manifest(NAME, "any", &manifest).await.expect(201);
            let got = client.get(&format!("/v2/{NAME}/manifests/any")).await.expect(200);
            assert_eq!(got.header("content-type"), media_type);
            assert_eq!(got.body, manifest.json);
        }
    })
    .await;
}

#[tokio::test]
async fn an_index_may_list_blobs() {
    on_each_storage(async |client| {
        client.push_blob("a", b"layer").await;
        let layer = crate::harness::descriptor("application/x", b"layer");
        let json = format!(r#"{{"schemaVersion":2,"manifests":[{layer}]}}"#);
        let index = Manifest { media_type: crate::harness::INDEX, json };
        client.put_manifest("a", "cache", &index).await.expect(201);
        // An entry with the media type of a manifest must be a manifest.
        let layer = crate::harness::descriptor(IMAGE, b"layer");
        let json = format!(r#"{{"schemaVersion":2,"manifests":[{layer}]}}"#);
        let index = Manifest { media_type: crate::harness::INDEX, json };
        let put = client.put_manifest("a", "cache", &index).await;
        put.expect_error(404, "MANIFEST_BLOB_UNKNOWN");
    })
    .await;
}

#[tokio::test]
async fn manifests_of_up_to_four_mebibytes_are_accepted() {
    on_each_storage(async |client| {
        client.push_blob(NAME, b"{}").await;
        let annotations: Vec<_> =
            (0..390).map(|i| format!(r#""k{i}":"{}""#, "x".repeat(10_000))).collect();
        let more = format!(r#","annotations":{{{}}}"#, annotations.join(","));
        let large = Manifest::image_with(&[], &more);
        client.put_manifest(NAME, "large", &large).await.expect(201);
        let got = client.get(&format!("/v2/{NAME}/manifests/large")).await;
        assert_eq!(got.expect(200).body, large.json);

        let pad = (4 << 20) + 1 - Manifest::image_with(&[], r#","pad":"""#).json.len();
        let more = format!(r#","pad":"{}""#, "x".repeat(pad));
        let larger = Manifest::image_with(&[], &more);
        assert_eq!(larger.json.len(), (4 << 20) + 1);
        let put = client.put_manifest(NAME, "larger", &larger).await;
        put.expect_error(413, "MANIFEST_INVALID");
    })
    .await;
}
