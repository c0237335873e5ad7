//! Docker schema 1. The digest of a signed manifest covers its payload, but not its signatures.

use longshore_core::Digest;
use longshore_testkit::fixture::schema1::{DIGEST, LAYER, SIGNED};

use crate::harness::{Manifest, on_each_storage};

const SIGNED_TYPE: &str = "application/vnd.docker.distribution.manifest.v1+prettyjws";

fn signed() -> Manifest {
    Manifest { media_type: SIGNED_TYPE, json: SIGNED.to_owned() }
}

#[tokio::test]
async fn a_signed_schema_1_manifest_has_the_digest_of_its_payload() {
    on_each_storage(async |client| {
        client.push_blob("foo/bar", LAYER).await;
        let put = client.put_manifest("foo/bar", "t1", &signed()).await.expect(201);
        assert_eq!(put.header("docker-content-digest"), DIGEST);
        assert_eq!(put.location(), format!("/v2/foo/bar/manifests/{DIGEST}"));
        for selector in ["t1", DIGEST] {
            let path = format!("/v2/foo/bar/manifests/{selector}");
            for reply in [client.get(&path).await, client.head(&path).await] {
                let reply = reply.expect(200);
                assert_eq!(reply.header("docker-content-digest"), DIGEST);
                assert_eq!(reply.header("content-type"), SIGNED_TYPE);
                assert_eq!(reply.header("content-length"), SIGNED.len().to_string());
            }
            assert_eq!(client.get(&path).await.body, SIGNED);
        }
        let of_bytes = Digest::sha256(SIGNED.as_bytes());
        let path = format!("/v2/foo/bar/manifests/{of_bytes}");
        client.get(&path).await.expect_error(404, "MANIFEST_UNKNOWN");
        client.delete(&format!("/v2/foo/bar/manifests/{DIGEST}")).await.expect(202);
        client.get("/v2/foo/bar/manifests/t1").await.expect_error(404, "MANIFEST_UNKNOWN");
    })
    .await;
}

#[tokio::test]
async fn a_schema_1_manifest_can_be_pushed_by_the_digest_of_its_payload_or_bytes() {
    on_each_storage(async |client| {
        let of_bytes = Digest::sha256(SIGNED.as_bytes());
        for digest in [DIGEST, of_bytes.as_str()] {
            let put = client.put_manifest("foo/bar", digest, &signed()).await.expect(201);
            assert_eq!(put.header("docker-content-digest"), digest);
        }
        let mut altered = signed();
        altered.json = SIGNED.replace("foo/bar", "foo/baz");
        let put = client.put_manifest("foo/bar", DIGEST, &altered).await;
        put.expect_error(400, "DIGEST_INVALID");
    })
    .await;
}
