//! Long waits are reported to users once each. Short waits are not reported.
//!
//! The clock is paused. It advances only while all tasks wait, so these tests take no real time.

use std::net::IpAddr;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use longshore::{
    Client, ClientBuilder, ErrorKind, RegistrySettings, Repository, Resolver, Result, Scheme,
    Source as _, Tag, Target as _,
};
use longshore_testkit::script::{Exchange, Script};
use longshore_testkit::wait_log::WaitLog;
use tokio::net::TcpListener;

use crate::{blob, blob_path, place, quick, remote};

/// A server that accepts connections, but does not read requests or send replies.
struct Silent(TcpListener);

impl Silent {
    async fn start() -> Self {
        Self(TcpListener::bind("127.0.0.1:0").await.unwrap())
    }

    fn address(&self) -> String {
        self.0.local_addr().unwrap().to_string()
    }

    fn place(&self) -> Repository {
        format!("{}/a/b", self.address()).parse().unwrap()
    }
}

async fn resolve(client: &Client, repository: &Repository) -> Result<()> {
    let tag = Tag::parse("v1").unwrap();
    client.repository(repository).resolve(&tag.into()).await.map(drop)
}

/// Returns a HEAD request for a manifest, and its reply.
fn head() -> Exchange {
    let digest = blob(b"{}").digest;
    Exchange::new("HEAD", "/v2/a/b/manifests/v1")
        .body("{}")
        .header("content-type", "application/vnd.oci.image.manifest.v1+json")
        .header("docker-content-digest", digest.as_str())
}

#[tokio::test(start_paused = true)]
async fn a_wait_for_a_reply_is_reported_once_per_attempt() {
    let (reported, silent) = (WaitLog::listen(), Silent::start().await);
    let error = resolve(&quick().build(), &silent.place()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Timeout);
    let line = format!("waiting for {}: no answer for 5 s (gives up after 60 s)", silent.address());
    assert_eq!(reported.take(), [line.clone(), line]);
}

#[tokio::test(start_paused = true)]
async fn a_wait_for_the_rest_of_a_body_is_reported() {
    let (reported, server) = (WaitLog::listen(), Script::start().await);
    let (content, half) = ("0123456789", 4);
    let descriptor = blob(content.as_bytes());
    server.expect(Exchange::new("GET", blob_path(&descriptor)).body(content).stall(half));
    server.expect(
        Exchange::new("GET", blob_path(&descriptor))
            .with("range", "bytes=4-9")
            .answer(206)
            .header("content-range", "bytes 4-9/10")
            .body(&content[half..]),
    );
    let read = remote(&server).blob(&descriptor).await.unwrap();
    assert_eq!(read.bytes(99).await.unwrap(), content);
    let host = server.address();
    assert_eq!(
        reported.take(),
        [format!("waiting for {host}: no more data for 5 s (gives up after 30 s)")]
    );
    server.finish();
}

#[tokio::test(start_paused = true)]
async fn a_wait_for_the_server_to_read_is_reported() {
    let (reported, silent) = (WaitLog::listen(), Silent::start().await);
    let repository = quick().build().repository(&silent.place());
    for (size, what) in [(32 << 20, "the server accepts no more data"), (10, "no answer")] {
        let content = Bytes::from(vec![0; size]);
        let error = repository.post_blob(&blob(&content), content.into()).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Timeout);
        let host = silent.address();
        let line = format!("waiting for {host}: {what} for 5 s (gives up after 60 s)");
        assert_eq!(reported.take(), [line]);
    }
}

#[tokio::test(start_paused = true)]
async fn a_wait_for_a_connection_is_reported() {
    let (reported, silent) = (WaitLog::listen(), Silent::start().await);
    let mut tls = RegistrySettings::default();
    tls.scheme = Some(Scheme::Https);
    let error = resolve(&quick().default_settings(tls).build(), &silent.place()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Timeout);
    let host = silent.address();
    let line = format!("waiting for {host}: no connection for 5 s (gives up after 30 s)");
    let all = reported.take();
    assert!(!all.is_empty() && all.iter().all(|reported| *reported == line), "{all:?}");
}

/// A resolver that returns this machine's address after a delay.
#[derive(Debug)]
struct Slow(Duration);

#[async_trait]
impl Resolver for Slow {
    async fn resolve(&self, _: &str) -> Result<Vec<IpAddr>> {
        tokio::time::sleep(self.0).await;
        Ok(vec!["127.0.0.1".parse().unwrap()])
    }
}

#[tokio::test(start_paused = true)]
async fn a_wait_for_name_resolution_is_reported() {
    let (reported, server) = (WaitLog::listen(), Script::start().await);
    let repository = format!("r.example:{}/a/b", server.address().port()).parse().unwrap();
    let mut plain = RegistrySettings::default();
    plain.scheme = Some(Scheme::Http);
    let slow = |seconds| {
        let resolver = Slow(Duration::from_secs(seconds));
        quick().default_settings(plain.clone()).resolver(resolver).build()
    };
    server.expect(head());
    resolve(&slow(4), &repository).await.unwrap();
    assert!(reported.take().is_empty());
    server.expect(head());
    resolve(&slow(7), &repository).await.unwrap();
    let host = format!("r.example:{}", server.address().port());
    assert_eq!(
        reported.take(),
        [format!("waiting for the address of {host}: no answer for 5 s (gives up after 30 s)")]
    );
    server.finish();
}

#[tokio::test(start_paused = true)]
async fn a_wait_that_a_registry_requests_is_reported_with_its_reason() {
    let (reported, server) = (WaitLog::listen(), Script::start().await);
    let client: ClientBuilder = quick();
    let client = client.build();
    for (seconds, reports) in [("4", 0), ("20", 1)] {
        server.expect(head().answer(429).header("retry-after", seconds));
        server.expect(head());
        resolve(&client, &place(&server)).await.unwrap();
        let line = format!(
            "{} requests a wait of 20 s (429 Too Many Requests), then the request is sent again",
            server.address()
        );
        assert_eq!(reported.take(), vec![line; reports], "{seconds} s");
    }
    server.finish();
}

#[tokio::test(start_paused = true)]
async fn a_wait_during_an_upload_is_reported() {
    let (reported, server) = (WaitLog::listen(), Script::start().await);
    let content = Bytes::from_static(b"0123456789");
    let descriptor = blob(&content);
    let put = || Exchange::new("PUT", format!("/v2/u/1?digest={}", descriptor.digest));
    server.expect(
        Exchange::new("POST", "/v2/a/b/blobs/uploads/").answer(202).header("location", "/v2/u/1"),
    );
    server.expect(put().answer(503).header("retry-after", "20"));
    server.expect(Exchange::new("GET", "/v2/u/1").answer(204).header("range", "0-3"));
    server.expect(put().sending(&content[4..]).answer(201));
    remote(&server).push_blob(&descriptor, content.clone().into()).await.unwrap();
    let line = format!(
        "{} requests a wait of 20 s (503 Service Unavailable), then the upload continues",
        server.address()
    );
    assert_eq!(reported.take(), [line]);
    server.finish();
}

#[tokio::test(start_paused = true)]
async fn a_wait_for_a_token_service_names_the_service() {
    let (reported, server, silent) =
        (WaitLog::listen(), Script::start().await, Silent::start().await);
    let challenge = format!("Bearer realm=\"http://{}/token\"", silent.address());
    server.expect(head().answer(401).header("www-authenticate", challenge));
    let error = resolve(&quick().build(), &place(&server)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Timeout);
    let line = format!("waiting for {}: no answer for 5 s (gives up after 60 s)", silent.address());
    let all = reported.take();
    assert!(!all.is_empty() && all.iter().all(|reported| *reported == line), "{all:?}");
    server.finish();
}
