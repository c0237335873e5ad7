//! Uploads that fail or are canceled, and the locations of uploads.

use std::time::Duration;

use http::Method;
use longshore_core::{Digest, ErrorKind};
use longshore_registry::{Registry, RegistryBuilder, RegistryLimits};

use crate::conformance::chunk_to;
use crate::harness::{Client, on_each_storage, on_each_storage_with};

#[tokio::test]
async fn chunks_out_of_order_are_refused() {
    on_each_storage(async |client| {
        let location = client.begin("a").await;
        let status = async || {
            let got = client.get(&location).await.expect(204);
            assert_eq!(got.location(), location);
            assert!(location.ends_with(got.header("docker-upload-uuid")));
            got.header("range").to_owned()
        };
        // The first chunk must start at zero.
        let refused = chunk_to(client, &location, "5-9", b"56789".to_vec()).await;
        refused.expect_error(416, "BLOB_UPLOAD_INVALID");
        chunk_to(client, &location, "0-4", b"01234".to_vec()).await.expect(202);
        for (range, chunk) in [("0-4", "01234"), ("3-7", "34567"), ("6-9", "6789")] {
            let refused = chunk_to(client, &location, range, chunk.into()).await;
            let refused = refused.expect_error(416, "BLOB_UPLOAD_INVALID");
            assert_eq!(refused.header("range"), "0-4", "{range}");
            assert_eq!(status().await, "0-4");
        }
        // The last chunk must be in order, too.
        let digest = Digest::sha256(b"0123456789");
        let path = format!("{location}?digest={digest}");
        let put = client.request(Method::PUT, &path, &[("content-range", "6-9")], "6789").await;
        put.expect_error(416, "BLOB_UPLOAD_INVALID");
        assert_eq!(status().await, "0-4");
        let put = client.request(Method::PUT, &path, &[("content-range", "5-9")], "56789").await;
        put.expect(201);
        client.get(&location).await.expect_error(404, "BLOB_UPLOAD_UNKNOWN");
        client.put(&location, &digest, "").await.expect_error(404, "BLOB_UPLOAD_UNKNOWN");
    })
    .await;
}

#[tokio::test]
async fn locations_start_with_the_address_of_the_request_or_the_public_url() {
    let location = async |builder: RegistryBuilder, headers: &[(&str, &str)]| {
        let client = Client::new(builder);
        let begun = client.request(Method::POST, "/v2/a/blobs/uploads/", headers, "").await;
        begun.expect(202).header("location").to_owned()
    };
    let host = [("host", "registry.test:5000"), ("x-forwarded-proto", "https")];
    let public = || Registry::builder().public_url("http://public.test/");
    for (builder, headers, start) in [
        (Registry::builder(), &host[..], "http://registry.test:5000/v2/a/"),
        (Registry::builder().trust_proxy(), &host, "https://registry.test:5000/v2/a/"),
        (Registry::builder().relative_locations(), &host, "/v2/a/"),
        (Registry::builder(), &[], "/v2/a/"),
        (Registry::builder(), &[("host", "a\"b")], "/v2/a/"),
        (public(), &host, "http://public.test/v2/a/"),
        (public().trust_proxy(), &[], "http://public.test/v2/a/"),
    ] {
        let location = location(builder, headers).await;
        assert!(location.starts_with(start), "{location}");
    }
    for bad in ["", "registry.test", "/v2", "http://", "http://a?b"] {
        let e = Registry::builder().public_url(bad).build().unwrap_err();
        assert_eq!(e.kind(), ErrorKind::Invalid, "{bad}");
    }
}

#[tokio::test]
async fn the_range_of_a_chunk_must_be_valid_and_match_its_body() {
    on_each_storage(async |client| {
        let location = client.begin("a").await;
        chunk_to(client, &location, "0-4", b"01234".to_vec()).await.expect(202);
        for range in ["9-5", "-1-3", "0-18446744073709551616", "bytes=0-3", "bytes 5-9/10", ""] {
            let refused = chunk_to(client, &location, range, b"56789".to_vec()).await;
            refused.expect_error(400, "BLOB_UPLOAD_INVALID");
        }
        let refused = chunk_to(client, &location, "5-8", b"56789".to_vec()).await;
        refused.expect_error(400, "SIZE_INVALID");
        // Without a declared length, only the body reveals the mismatch.
        for body in ["56789more", "567"] {
            let stream = futures_util::stream::iter([Ok::<_, std::io::Error>(
                http_body::Frame::data(bytes::Bytes::from_static(body.as_bytes())),
            )]);
            let request = http::Request::patch(&location)
                .header("content-range", "5-9")
                .body(http_body_util::StreamBody::new(stream))
                .unwrap();
            client.send(request).await.expect_error(400, "SIZE_INVALID");
            assert_eq!(client.get(&location).await.header("range"), "0-4");
        }
        let digest = Digest::sha256(b"01234");
        client.put(&location, &digest, "").await.expect(201);
    })
    .await;
}

#[tokio::test]
async fn a_blob_with_wrong_content_is_refused_and_its_upload_is_removed() {
    on_each_storage(async |client| {
        let digest = Digest::sha256(b"right");
        let blob = format!("/v2/a/blobs/{digest}");
        let location = client.begin("a").await;
        client.put(&location, &digest, "wrong").await.expect_error(400, "DIGEST_INVALID");
        client.get(&location).await.expect(404);
        client.head(&blob).await.expect(404);

        let path = format!("/v2/a/blobs/uploads/?digest={digest}");
        let posted = client.request(Method::POST, &path, &[], "wrong").await;
        posted.expect_error(400, "DIGEST_INVALID");

        let location = client.begin("a").await;
        chunk_to(client, &location, "0-4", b"wrong".to_vec()).await.expect(202);
        client.put(&location, &digest, "").await.expect_error(400, "DIGEST_INVALID");
        client.head(&blob).await.expect(404);

        let location = client.begin("a").await;
        for query in [
            String::new(),
            "?digest=".into(),
            "?digest=sha256:short".into(),
            "?digest=md5:d41d8cd98f00b204e9800998ecf8427e".into(),
            format!("?digest={digest}&digest={digest}"),
        ] {
            let path = format!("{location}{query}");
            let put = client.request(Method::PUT, &path, &[], "right").await;
            put.expect_error(400, "DIGEST_INVALID");
        }
        client.put(&location, &digest, "right").await.expect(201);
        client.head(&blob).await.expect(200);
    })
    .await;
}

#[tokio::test]
async fn an_upload_can_be_canceled() {
    on_each_storage(async |client| {
        let location = client.begin("a").await;
        chunk_to(client, &location, "0-4", b"01234".to_vec()).await.expect(202);
        let canceled = client.delete(&location).await.expect(204);
        assert!(canceled.body.is_empty());
        client.delete(&location).await.expect_error(404, "BLOB_UPLOAD_UNKNOWN");
        client.get(&location).await.expect(404);
        // An upload belongs to its repository.
        let location = client.begin("a").await;
        let elsewhere = location.replace("/v2/a/", "/v2/b/");
        client.get(&elsewhere).await.expect_error(404, "BLOB_UPLOAD_UNKNOWN");
        client.delete(&elsewhere).await.expect(404);
        client.delete(&location).await.expect(204);
    })
    .await;
}

#[tokio::test]
async fn the_bytes_received_before_an_interruption_are_kept() {
    on_each_storage(async |client| {
        let location = client.begin("a").await;
        let chunks = [
            Ok(http_body::Frame::data(bytes::Bytes::from_static(b"01234"))),
            Err(std::io::Error::from(std::io::ErrorKind::ConnectionReset)),
        ];
        let body = http_body_util::StreamBody::new(futures_util::stream::iter(chunks));
        let request = http::Request::patch(&location).body(body).unwrap();
        client.send(request).await.expect_error(400, "BLOB_UPLOAD_INVALID");
        assert_eq!(client.get(&location).await.expect(204).header("range"), "0-4");
        let digest = Digest::sha256(b"0123456789");
        client.put(&location, &digest, "56789").await.expect(201);
    })
    .await;
}

#[tokio::test]
async fn uploads_beyond_the_size_limit_or_idle_time_are_removed() {
    let set_up = |builder: RegistryBuilder| {
        let mut limits = RegistryLimits::default();
        limits.blob_size = 8;
        limits.upload_idle = Duration::ZERO;
        builder.limits(limits)
    };
    on_each_storage_with(set_up, async |client| {
        let location = client.begin("a").await;
        chunk_to(client, &location, "0-4", b"01234".to_vec()).await.expect(202);
        let refused = chunk_to(client, &location, "5-9", b"56789".to_vec()).await;
        refused.expect_error(413, "SIZE_INVALID");
        client.get(&location).await.expect(404);

        let location = client.begin("a").await;
        chunk_to(client, &location, "0-4", b"01234".to_vec()).await.expect(202);
        assert_eq!(client.registry.expire_uploads().await.unwrap(), 1);
        client.get(&location).await.expect_error(404, "BLOB_UPLOAD_UNKNOWN");
    })
    .await;
}
