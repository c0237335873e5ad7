//! The blocking client against the embedded registry, which has its own runtime.

use std::io::{BufRead as _, Read, Write as _};
use std::net::TcpListener;
use std::sync::mpsc;
use std::thread;

use bytes::Bytes;
use longshore::{
    BlobBody, Client, Copier, Descriptor, ErrorKind, FileBody, Layout, ListOptions, MediaType,
    Memory, Pack, Pushed, RawManifest, RawRequest, Source as _, Tag, TagOrDigest, UntagMethod,
    blocking,
};
use longshore_registry::{Registry, RegistryBuilder};
use longshore_testkit::script::{Exchange, Script};
use tokio::sync::oneshot;

use crate::{blob, blob_path, embedded, place, quick};

#[test]
fn listings_tags_and_media_types_work_without_async() {
    let served = Served::start(Registry::builder().memory());
    let client = Client::builder().build_blocking();
    let place = format!("{}/a/b", served.address).parse().unwrap();
    let repository = client.repository(&place);
    let tag = |text: &str| Tag::parse(text).unwrap();
    let one =
        repository.push_pack(Pack::artifact("a/b".parse().unwrap()), Some(&tag("v1"))).unwrap();
    repository.add_tags(&tag("v1").into(), &[tag("v2"), tag("v3")]).unwrap();
    assert_eq!(repository.tags_for_digest(&one.digest).unwrap(), [tag("v1"), tag("v2"), tag("v3")]);
    let mut options = ListOptions::default();
    options.after = Some(tag("v1"));
    options.page_size = std::num::NonZeroUsize::new(1);
    assert_eq!(repository.tags_with(options).all().unwrap(), [tag("v2"), tag("v3")]);
    assert_eq!(client.namespaces(place.registry()).unwrap().names(), ["a"]);
    let catalog = client.cached_catalog(place.registry());
    assert_eq!(catalog.all().unwrap().len(), 1);

    let (by_tag, oci) = (TagOrDigest::from(tag("v1")), [MediaType::OCI_MANIFEST]);
    assert_eq!(repository.manifest_as(&by_tag, &oci).unwrap().digest(), &one.digest);
    assert_eq!(repository.resolve_as(&by_tag, &oci).unwrap().digest, one.digest);
    let e = repository.manifest_as(&by_tag, &[MediaType::DOCKER_LIST]).unwrap_err();
    assert!(matches!(e.kind(), ErrorKind::Unsupported | ErrorKind::NotFound), "{e}");
    let deleted = repository.delete_with_tags(&by_tag).unwrap();
    assert_eq!(deleted.tags, [tag("v1"), tag("v2"), tag("v3")]);
    assert_eq!(repository.tags(None).count(), 0);
}

/// A registry on its own thread. The registry stops when this value is dropped.
pub(crate) struct Served {
    address: std::net::SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<thread::JoinHandle<()>>,
}

impl Served {
    fn start(registry: RegistryBuilder) -> Self {
        let (sender, address) = mpsc::channel();
        let (stop, stopped) = oneshot::channel::<()>();
        let serve = async move {
            let (address, running) = embedded::start(registry).await;
            sender.send(address).unwrap();
            drop(stopped.await);
            drop(running);
        };
        let thread = thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.unwrap().block_on(serve);
        });
        Self { address: address.recv().unwrap(), stop: Some(stop), thread: Some(thread) }
    }

    pub(crate) fn memory() -> Self {
        Self::start(Registry::builder().memory())
    }

    pub(crate) fn repository(&self, name: &str) -> blocking::RemoteRepository {
        let client = quick().build_blocking();
        client.repository(&format!("{}/{name}", self.address).parse().unwrap())
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        drop(self.stop.take());
        drop(self.thread.take().map(thread::JoinHandle::join));
    }
}

fn tag(text: &str) -> Tag {
    text.parse().unwrap()
}

fn by_tag(text: &str) -> TagOrDigest {
    tag(text).into()
}

fn artifact(content: &'static str) -> Pack {
    Pack::artifact("text/plain".parse().unwrap()).file("file", content)
}

#[test]
fn manifests_tags_and_referrers_work_without_async() {
    let served = Served::memory();
    let repository = served.repository("a/b");
    let made = repository.push_pack(artifact("x"), Some(&tag("v1"))).unwrap();
    let manifest = repository.manifest(&by_tag("v1")).unwrap();
    assert_eq!(manifest.digest(), &made.digest);
    assert_eq!(repository.resolve(&by_tag("v1")).unwrap().digest, made.digest);
    repository.push_manifest(&manifest, Some(&tag("v2"))).unwrap();
    assert_eq!(repository.tags(None).all().unwrap(), [tag("v1"), tag("v2")]);
    assert_eq!(repository.tags(Some(&tag("v1"))).all().unwrap(), [tag("v2")]);
    let referrer = artifact("signature").subject(made.clone());
    let referrer = repository.push_pack(referrer, None).unwrap();
    let found = repository.listed_referrers(&made.digest).unwrap();
    assert_eq!(found.unwrap().all().unwrap().len(), 1);
    let found = repository.referrers(&made.digest, None).all().unwrap();
    assert_eq!(found.iter().map(|d| &d.digest).collect::<Vec<_>>(), [&referrer.digest]);
    assert_eq!(repository.untag(&tag("v2")).unwrap(), UntagMethod::Direct);
    repository.delete_tag(&tag("v1")).unwrap();
    repository.delete_manifest(&made.digest).unwrap();
    let gone = repository.resolve(&made.digest.into()).unwrap_err();
    assert_eq!(gone.kind(), ErrorKind::NotFound);
    assert_eq!(repository.origin().unwrap().to_string(), repository.name());
}

#[test]
fn blobs_are_read_and_written_through_readers() {
    let served = Served::memory();
    let repository = served.repository("a/b");
    let content: Vec<u8> = (0..1_000_000_u32).map(|n| (n % 251) as u8).collect();
    let descriptor = blob(&content);
    let reader = std::io::Cursor::new(content.clone());
    repository.push_blob(&descriptor, blocking::body(reader)).unwrap();
    assert_eq!(repository.blob_size(&descriptor.digest).unwrap(), Some(1_000_000));
    let mut read = Vec::new();
    repository.blob(&descriptor).unwrap().read_to_end(&mut read).unwrap();
    assert!(read == content);
    assert!(repository.blob(&descriptor).unwrap().bytes(1_000_000).unwrap() == content);
    let too_large = repository.blob(&descriptor).unwrap().bytes(999_999).unwrap_err();
    assert_eq!(too_large.kind(), ErrorKind::TooLarge);
    let mut part = Vec::new();
    repository.blob_range(&descriptor, 7..999).unwrap().read_to_end(&mut part).unwrap();
    assert!(part == content[7..999]);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("blob");
    repository.blob_to_file(&descriptor, &path).unwrap();
    assert!(std::fs::read(&path).unwrap() == content);
    let other = served.repository("c");
    let file = FileBody::new(&path, MediaType::OCTET_STREAM);
    assert_eq!(other.push_file(&file).unwrap(), (descriptor.clone(), Pushed::Sent));
    let third = served.repository("d");
    let mount = BlobBody::mount(other.origin().unwrap().clone());
    assert_eq!(third.push_blob(&descriptor, mount).unwrap(), Pushed::Mounted);
    // Copy from one repository to another through this process.
    let fourth = served.repository("e");
    let between = third.blob(&descriptor).unwrap();
    fourth.push_blob(&descriptor, blocking::body(between)).unwrap();
    fourth.delete_blob(&descriptor.digest).unwrap();
    let gone = fourth.describe_blob(&descriptor.digest).unwrap_err();
    assert_eq!(gone.kind(), ErrorKind::NotFound);
}

#[test]
fn a_client_lists_and_pings_a_registry() {
    let served = Served::memory();
    for name in ["a", "b/c", "d"] {
        served.repository(name).push_pack(artifact("x"), None).unwrap();
    }
    let client = quick().page_size(std::num::NonZeroUsize::new(2).unwrap()).build_blocking();
    let registry = served.address.to_string().parse().unwrap();
    client.ping(&registry).unwrap();
    let found = client.detect(&registry).unwrap();
    assert_eq!((found.scheme, found.fallback), (Some(longshore::Scheme::Http), true));
    client.check_credentials(&registry).unwrap();
    let names: Vec<_> = client.catalog(&registry).map(|name| name.unwrap().to_string()).collect();
    assert_eq!(names, ["a", "b/c", "d"]);
    let pages: Vec<_> = client.catalog(&registry).pages().map(|p| p.unwrap().items.len()).collect();
    assert_eq!(pages, [2, 1]);
}

#[test]
fn listings_can_start_after_a_name_and_be_cached() {
    let served = Served::memory();
    for name in ["team/a", "team/b", "other"] {
        served.repository(name).push_pack(artifact("x"), Some(&tag("v1"))).unwrap();
    }
    let client = quick().build_blocking().with_limits(longshore::Limits::default());
    let registry = served.address.to_string().parse().unwrap();
    let mut options = ListOptions::default();
    options.after = Some("team/a".parse().unwrap());
    assert_eq!(client.catalog_with(&registry, options).all().unwrap()[0].as_str(), "team/b");
    let catalog = client.cached_catalog(&registry);
    assert_eq!(catalog.all().unwrap().len(), 3);
    let repository = served.repository("other");
    let tags = repository.cached_tags();
    assert_eq!(tags.all().unwrap()[..], [tag("v1")]);
    repository.add_tags(&by_tag("v1"), &[tag("v2")]).unwrap();
    assert_eq!(tags.all().unwrap().len(), 1, "the listing is cached");
    assert_eq!(tags.refresh().unwrap().len(), 2);
}

#[test]
fn the_reply_to_a_custom_request_is_a_reader() {
    let served = Served::memory();
    let client = quick().build_blocking();
    let registry = served.address.to_string().parse().unwrap();
    let request = |target: &str| {
        let request = RawRequest::new(http::Method::GET, target);
        client.request(&registry, request).unwrap()
    };
    let reply = request("/v2/_catalog");
    assert_eq!(reply.status(), 200);
    assert!(reply.headers().contains_key("content-type"));
    assert_eq!(reply.uri().path(), "/v2/_catalog");
    let mut text = String::new();
    reply.into_reader().read_to_string(&mut text).unwrap();
    assert!(text.contains("repositories"), "{text}");
    assert_eq!(request("/v2/a/manifests/v1").into_error().kind(), ErrorKind::NotFound);
    assert!(!request("/v2/_catalog").bytes(1000).unwrap().is_empty());
}

#[test]
fn requests_of_an_upload_accept_readers() {
    let served = Served::memory();
    let repository = served.repository("a");
    let descriptor = blob(b"0123456789");
    let mut upload = repository.begin_upload().unwrap();
    upload.append(&b"0123"[..], 4).unwrap();
    assert_eq!(upload.append_reader(&b"45"[..]).unwrap(), 2);
    assert_eq!(upload.status().unwrap(), Some(6));
    let mut upload = repository.resume_upload(&upload.location()).unwrap();
    assert_eq!((upload.offset(), upload.min_chunk_size()), (6, None));
    upload.finish_with(&descriptor.digest, &b"6789"[..], 4).unwrap();
    assert_eq!(repository.describe_blob(&descriptor.digest).unwrap(), descriptor);
    let content = Bytes::from_static(b"0123456789");
    assert_eq!(repository.ensure_blob(&descriptor, content).unwrap(), Pushed::Sent);
    let mut whole = repository.begin_upload().unwrap();
    whole.finish_with_reader(&descriptor.digest, &b"0123456789"[..]).unwrap();
    repository.begin_upload().unwrap().cancel().unwrap();
    let mut rest = repository.begin_upload().unwrap();
    rest.append_reader(&b"0123456789"[..]).unwrap();
    rest.finish(&descriptor.digest).unwrap();
    let other = served.repository("b");
    // The blob exists afterwards, whether or not the registry accepts a single request.
    if let Some(mut session) = other.post_blob(&descriptor, &b"0123456789"[..]).unwrap() {
        session.finish_with(&descriptor.digest, &b"0123456789"[..], 10).unwrap();
    }
    assert_eq!(other.blob_size(&descriptor.digest).unwrap(), Some(10));
    let third = served.repository("c").with_limits(longshore::Limits::default());
    let pushed = third.push_reader(&b"0123456789"[..], Some(&descriptor.digest)).unwrap();
    assert_eq!((pushed, third.repository().name().as_str()), (descriptor.clone(), "c"));
    let wrong = third.push_reader(&b"other"[..], Some(&descriptor.digest)).unwrap_err();
    assert_eq!(wrong.kind(), ErrorKind::DigestMismatch);
    let fourth = served.repository("d");
    let copier = blocking::Copier::from(Copier::new(third.shared(), fourth.shared()));
    assert_eq!(copier.copy_blob(&descriptor).unwrap().blobs_mounted, 1);
}

#[test]
fn a_manifest_is_saved_to_a_file_and_pushed_again_unchanged() {
    let served = Served::memory();
    let repository = served.repository("a");
    repository.push_pack(artifact("x"), Some(&tag("v1"))).unwrap();
    let manifest = repository.manifest(&by_tag("v1")).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("manifest.json");
    longshore::blob_file::replace_now(&path, manifest.bytes()).unwrap();
    let bytes = longshore::blob_file::read(&path, longshore::MANIFEST_LIMIT).unwrap();
    let read = RawManifest::from_bytes(bytes, None).unwrap();
    assert_eq!((read.digest(), read.media_type()), (manifest.digest(), manifest.media_type()));
    repository.push_manifest(&read, Some(&tag("v2"))).unwrap();
    assert_eq!(repository.manifest(&by_tag("v2")).unwrap().bytes(), manifest.bytes());
}

#[test]
fn a_listing_requests_a_page_only_when_it_has_no_items_left() {
    let server = blocking::wait(async { Ok(Script::start().await) }).unwrap();
    let listed = |names: &str| format!("{{\"name\":\"a/b\",\"tags\":[{names}]}}");
    server.expect(
        Exchange::new("GET", "/v2/a/b/tags/list")
            .header("link", "</v2/a/b/tags/list?n=1000&last=b>; rel=\"next\"")
            .body(listed("\"a\",\"b\"")),
    );
    let repository = quick().build_blocking().repository(&place(&server));
    let mut tags = repository.tags(None);
    assert_eq!(tags.next().unwrap().unwrap(), tag("a"));
    assert_eq!(tags.next().unwrap().unwrap(), tag("b"));
    // A request for the second page in advance would have failed, because the server had no reply
    // for it.
    server.expect(
        Exchange::new("GET", "/v2/a/b/tags/list?n=1000&last=b").answer(403).body(listed("")),
    );
    assert_eq!(tags.next().unwrap().unwrap_err().kind(), ErrorKind::Denied);
    assert!(tags.next().is_none());
    server.finish();
}

#[test]
fn wrong_content_is_an_error_before_the_end_of_the_reader() {
    let server = blocking::wait(async { Ok(Script::start().await) }).unwrap();
    let descriptor = blob(b"0123456789");
    for _ in 0..2 {
        server.expect(Exchange::new("GET", blob_path(&descriptor)).body("012345678X"));
    }
    let repository = quick().build_blocking().repository(&place(&server));
    let mut reader = repository.blob(&descriptor).unwrap();
    let mut content = Vec::new();
    let error = reader.read_to_end(&mut content).unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::InvalidData);
    let inner = error.downcast::<longshore::Error>().unwrap();
    assert_eq!(inner.kind(), ErrorKind::DigestMismatch);
    assert!(reader.read(&mut [0]).is_err() && reader.fill_buf().is_err(), "no end is returned");
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("blob");
    let error = repository.blob_to_file(&descriptor, &path).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::DigestMismatch);
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    server.finish();
}

#[test]
fn dropping_a_reader_closes_its_connection() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let server = thread::spawn(move || {
        let (mut connection, _) = listener.accept().unwrap();
        assert!(connection.read(&mut [0; 4096]).unwrap() > 0);
        connection.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 1000000000\r\n\r\n").unwrap();
        // The client closes or resets the connection, possibly before all bytes are sent.
        connection.write_all(&[0; 1 << 20]).ok();
        assert!(matches!(connection.read(&mut [0]), Ok(0) | Err(_)));
    });
    let mut descriptor = blob(b"");
    descriptor.size = 1_000_000_000;
    let place = format!("{address}/a/b").parse().unwrap();
    let mut reader = quick().build_blocking().repository(&place).blob(&descriptor).unwrap();
    assert!(!reader.fill_buf().unwrap().is_empty());
    drop(reader);
    server.join().unwrap();
}

#[test]
fn a_push_returns_the_error_of_its_reader() {
    struct Broken;
    impl Read for Broken {
        fn read(&mut self, _: &mut [u8]) -> std::io::Result<usize> {
            Err(std::io::Error::other("out of paper"))
        }
    }
    let store = blocking::Store::new(Memory::new());
    let error = store.push_blob(&blob(b"abc"), blocking::body(Broken)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Io);
    let cause = std::error::Error::source(&error).unwrap();
    assert_eq!(cause.to_string(), "out of paper");
}

#[test]
fn the_blocking_store_wraps_every_store_and_supports_copies() {
    let served = Served::memory();
    let folder = tempfile::tempdir().unwrap();
    let layout = blocking::Store::<Layout>::create(folder.path()).unwrap();
    let made = layout.push_pack(artifact("x"), Some(&tag("v1"))).unwrap();
    let remote = served.repository("a");
    let copier = blocking::Copier::from(Copier::new(layout.shared(), remote.shared()));
    copier.copy(&by_tag("v1"), Some(&tag("v1"))).unwrap();
    assert_eq!(remote.resolve(&by_tag("v1")).unwrap().digest, made.digest);
    let memory = blocking::Store::new(Memory::new());
    let back = blocking::Copier::from(Copier::new(remote.shared(), memory.shared()));
    assert!(back.copy_tags(vec![tag("v1")]).unwrap().iter().all(|outcome| outcome.result.is_ok()));
    let any: std::sync::Arc<dyn longshore::Delete> = memory.shared();
    let any = blocking::Store::from(any);
    assert_eq!(any.untag(&tag("v1")).unwrap(), UntagMethod::Direct);
    assert_eq!(any.tags(None).count(), 0);
}

#[tokio::test]
async fn blocking_calls_work_within_another_runtime() {
    let served = Served::memory();
    let repository = served.repository("a");
    let content = Bytes::from_static(b"within");
    let descriptor = Descriptor::from_bytes(MediaType::OCTET_STREAM, &content);
    repository.push_blob(&descriptor, content).unwrap();
    assert_eq!(repository.blob(&descriptor).unwrap().bytes(100).unwrap(), "within");
    // A blocking client can also be used as an async client.
    assert_eq!(repository.shared().blob_size(&descriptor.digest).await.unwrap(), Some(6));
    assert!(blocking::Client::from(Client::new()).ping(&"127.0.0.1:1".parse().unwrap()).is_err());
}
