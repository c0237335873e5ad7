//! Tests layers that are decompressed while they are read.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures_util::StreamExt as _;
use longshore_core::{
    BlobReader, BlobStream, Descriptor, Digest, ErrorKind, MediaType, Memory, Source as _,
    Target as _,
};
use longshore_image::{Compression, UnpackLimits, measure_layer, unpack};
use longshore_testkit::fixture::{Layer, layer_tar};

async fn open(layer: &Layer) -> BlobReader {
    let store = Memory::new();
    store.push_blob(&layer.descriptor, layer.content.clone().into()).await.unwrap();
    store.blob(&layer.descriptor).await.unwrap()
}

/// Returns a tar of several chunks.
fn tar() -> Vec<u8> {
    layer_tar(&[("random", &longshore_testkit::random::bytes(1, 3 << 20)), ("small", b"x")])
}

#[tokio::test]
async fn every_compression_unpacks_to_the_same_verified_tar() {
    let tar = tar();
    for layer in [Layer::plain(&tar), Layer::gzip(&tar), Layer::zstd(&tar)] {
        let diff_id = Some(layer.diff_id.clone());
        let stream = unpack(open(&layer).await, diff_id, UnpackLimits::default()).unwrap();
        assert!(stream.bytes(8 << 20).await.unwrap() == tar);
        let measured = measure_layer(open(&layer).await, UnpackLimits::default()).await.unwrap();
        assert_eq!((measured.size, &measured.diff_id), (tar.len() as u64, &layer.diff_id));
        let plain = layer.descriptor.media_type.is_plain_layer();
        assert_eq!(measured.compression == Compression::None, plain);
    }
}

#[tokio::test]
async fn the_last_chunk_is_withheld_if_the_diff_id_does_not_match() {
    let tar = tar();
    let layer = Layer::gzip(&tar);
    let wrong = Some(Digest::sha256(b"another"));
    let mut stream = unpack(open(&layer).await, wrong, UnpackLimits::default()).unwrap();
    let mut received = 0;
    let error = loop {
        match stream.next().await.unwrap() {
            Ok(chunk) => received += chunk.len(),
            Err(e) => break e,
        }
    };
    assert_eq!(error.kind(), ErrorKind::DigestMismatch);
    assert!(received > 0 && received < tar.len(), "{received}");
}

#[tokio::test]
async fn a_damaged_or_too_large_layer_is_never_returned_completely() {
    let layer = Layer::gzip(&layer_tar(&[("a", b"a")]));
    let other = Descriptor::from_bytes(layer.descriptor.media_type.clone(), b"other");
    let content = layer.content.clone();
    let chunks = BlobStream::new(futures_util::stream::iter([Ok(content)]));
    let mut descriptor = layer.descriptor.clone();
    descriptor.digest = other.digest;
    let reader = BlobReader::new(descriptor, chunks);
    let stream = unpack(reader.unwrap(), None, UnpackLimits::default()).unwrap();
    assert_eq!(stream.bytes(1 << 20).await.unwrap_err().kind(), ErrorKind::DigestMismatch);

    let mut limits = UnpackLimits::default();
    limits.output = 100;
    let stream = unpack(open(&layer).await, None, limits).unwrap();
    assert_eq!(stream.bytes(1 << 20).await.unwrap_err().kind(), ErrorKind::TooLarge);
}

#[tokio::test]
async fn dropping_the_stream_stops_the_reading() {
    let content = longshore_testkit::random::bytes(1, 64 << 10);
    let all = content.repeat(64);
    let taken = Arc::new(AtomicUsize::new(0));
    let chunks = futures_util::stream::iter(vec![content; 64]).map({
        let taken = Arc::clone(&taken);
        move |chunk| {
            taken.fetch_add(1, Ordering::Relaxed);
            Ok(chunk)
        }
    });
    let descriptor = Descriptor::from_bytes(MediaType::OCI_LAYER, &all);
    let reader = BlobReader::new(descriptor, BlobStream::new(chunks)).unwrap();
    let mut stream = unpack(reader, None, UnpackLimits::default()).unwrap();
    assert!(!stream.next().await.unwrap().unwrap().is_empty());
    drop(stream);
    // The source owns one clone of `taken`. Once this clone is dropped, the source can no longer be
    // read.
    let released = async {
        while Arc::strong_count(&taken) > 1 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), released).await.unwrap();
    let read = taken.load(Ordering::Relaxed);
    assert!(read < 64, "expected only the buffered chunks to be read, found {read} chunks");
}
