use std::sync::atomic::{AtomicUsize, Ordering};

use futures_util::future::join_all;

use super::*;
use crate::blob::BlobBody;
use crate::copy::{Copier, CopySummary};
use crate::error::ErrorKind;
use crate::graph::Successors;
use crate::memory::Memory;
use crate::pack::Pack;
use crate::store::{Node, Presence, Pushed, Target};

/// A source in memory that counts its reads.
#[derive(Debug, Default)]
struct Counted {
    memory: Memory,
    manifests: AtomicUsize,
    blobs: Mutex<Vec<Digest>>,
}

#[async_trait]
impl Source for Counted {
    fn name(&self) -> String {
        "counted".to_owned()
    }

    async fn manifest(&self, selector: &TagOrDigest) -> Result<RawManifest> {
        self.manifests.fetch_add(1, Ordering::Relaxed);
        self.memory.manifest(selector).await
    }

    async fn blob(&self, descriptor: &Descriptor) -> Result<BlobReader> {
        self.blobs.lock().unwrap().push(descriptor.digest.clone());
        let whole = self.memory.blob(descriptor).await?.bytes(usize::MAX).await?;
        let chunks: Vec<_> = whole.chunks(1000).map(|c| Ok(Bytes::copy_from_slice(c))).collect();
        BlobReader::new(descriptor.clone(), BlobStream::new(stream::iter(chunks)))
    }

    async fn blob_range(&self, descriptor: &Descriptor, range: Range<u64>) -> Result<BlobStream> {
        self.memory.blob_range(descriptor, range).await
    }

    async fn blob_size(&self, digest: &Digest) -> Result<Option<u64>> {
        self.memory.blob_size(digest).await
    }

    fn tags(&self, after: Option<&Tag>) -> Pages<Tag> {
        self.memory.tags(after)
    }

    fn referrers(&self, subject: &Digest, artifact_type: Option<&MediaType>) -> Pages<Descriptor> {
        self.memory.referrers(subject, artifact_type)
    }
}

/// The behavior of a target when a blob is pushed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Behavior {
    /// Stores the blob.
    Store,
    /// Reads three chunks and fails.
    Fail,
    /// Reads three chunks, then nothing for a minute, and then fails.
    Stall,
    /// Reads three chunks, then nothing for a minute, and then the rest.
    Pause,
}

#[derive(Debug)]
struct Faulty {
    memory: Memory,
    behavior: Behavior,
}

#[async_trait]
impl Source for Faulty {
    fn name(&self) -> String {
        format!("{:?}", self.behavior)
    }

    async fn manifest(&self, selector: &TagOrDigest) -> Result<RawManifest> {
        self.memory.manifest(selector).await
    }

    async fn blob(&self, descriptor: &Descriptor) -> Result<BlobReader> {
        self.memory.blob(descriptor).await
    }

    async fn blob_range(&self, descriptor: &Descriptor, range: Range<u64>) -> Result<BlobStream> {
        self.memory.blob_range(descriptor, range).await
    }

    async fn blob_size(&self, digest: &Digest) -> Result<Option<u64>> {
        self.memory.blob_size(digest).await
    }

    fn tags(&self, after: Option<&Tag>) -> Pages<Tag> {
        self.memory.tags(after)
    }

    fn referrers(&self, subject: &Digest, artifact_type: Option<&MediaType>) -> Pages<Descriptor> {
        self.memory.referrers(subject, artifact_type)
    }
}

#[async_trait]
impl Target for Faulty {
    async fn holds(&self, node: Node<'_>) -> Result<Presence> {
        self.memory.holds(node).await
    }

    async fn push_blob(&self, descriptor: &Descriptor, mut body: BlobBody) -> Result<Pushed> {
        // The empty config is too small to fail in the middle.
        if self.behavior == Behavior::Store || descriptor.size < 1000 {
            return self.memory.push_blob(descriptor, body).await;
        }
        let mut reader = body.open(descriptor).await?;
        let mut read: Vec<_> = reader.by_ref().take(3).collect().await;
        assert_eq!(read.len(), 3);
        if self.behavior != Behavior::Fail {
            tokio::time::sleep(MINUTE).await;
        }
        if self.behavior != Behavior::Pause {
            return Err(Error::new(ErrorKind::Timeout).at(self.name()));
        }
        read.extend(reader.collect::<Vec<_>>().await);
        let whole = read.into_iter().collect::<Result<Vec<_>>>()?.concat();
        self.memory.push_blob(descriptor, Bytes::from(whole).into()).await
    }

    async fn push_manifest(&self, manifest: &RawManifest, tag: Option<&Tag>) -> Result<()> {
        self.memory.push_manifest(manifest, tag).await
    }
}

const MINUTE: Duration = Duration::from_secs(60);

fn tag() -> Tag {
    Tag::parse("v1").unwrap()
}

/// Returns a source with an artifact of two blobs of 100,000 bytes.
async fn source() -> Arc<Counted> {
    let source = Counted::default();
    let file = |n: u8| Bytes::from(vec![n; 100_000]);
    let pack = Pack::artifact("text/plain".parse().unwrap());
    let pack = pack.file("one", file(1)).file("two", file(2));
    pack.push(&source.memory, Some(&tag())).await.unwrap();
    Arc::new(source)
}

async fn copy_to_all(
    source: &Arc<Counted>,
    targets: Vec<Arc<dyn Target>>,
) -> Vec<Result<CopySummary>> {
    let reads = SharedReads::new(targets.len(), NonZeroUsize::MIN);
    let copies = reads.into_iter().zip(targets).map(|(reads, target)| {
        let copier = Copier::builder(Arc::clone(source) as _, target).shared_reads(reads).build();
        async move { copier.copy(&tag().into(), Some(&tag())).await }
    });
    join_all(copies).await
}

fn faulty(behavior: Behavior) -> (Memory, Arc<dyn Target>) {
    let memory = Memory::new();
    (memory.clone(), Arc::new(Faulty { memory, behavior }))
}

#[tokio::test(start_paused = true)]
async fn every_blob_and_manifest_is_read_once_for_all_targets() {
    let source = source().await;
    let (memories, targets): (Vec<_>, Vec<_>) = (0..3).map(|_| faulty(Behavior::Store)).unzip();
    let began = Instant::now();
    for copied in copy_to_all(&source, targets).await {
        // The two files and the empty config.
        assert_eq!(copied.unwrap().stats.blobs_sent, 3);
    }
    assert_eq!(began.elapsed(), Duration::ZERO, "no copy waited for the time limit");
    assert!(memories.iter().all(|memory| memory.manifest_count() == 1));
    let mut read = source.blobs.lock().unwrap().clone();
    read.sort();
    assert_eq!(read.len(), 3, "{read:?}");
    read.dedup();
    assert_eq!(read.len(), 3);
    assert_eq!(source.manifests.load(Ordering::Relaxed), 1);
}

#[tokio::test(start_paused = true)]
async fn no_copy_waits_for_a_target_that_has_the_content() {
    let source = source().await;
    let whole = copy_to_all(&source, vec![faulty(Behavior::Store).1]);
    whole.await.remove(0).unwrap();
    let ((_, new), (held, old)) = (faulty(Behavior::Store), faulty(Behavior::Store));
    // The old target has one of the blobs.
    let digest = source.blobs.lock().unwrap().iter().max().unwrap().clone();
    let content = source.memory.blob_bytes(&digest).unwrap();
    let blob = Descriptor::new(MediaType::OCTET_STREAM, digest, content.len() as u64);
    held.push_blob(&blob, content.into()).await.unwrap();
    source.blobs.lock().unwrap().clear();
    let began = Instant::now();
    let copied = copy_to_all(&source, vec![new, old]).await;
    let sent: Vec<u64> = copied.into_iter().map(|copy| copy.unwrap().stats.blobs_sent).collect();
    assert_eq!(sent, [3, 2]);
    assert_eq!(source.blobs.lock().unwrap().len(), 3);
    assert_eq!(began.elapsed(), Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn a_target_that_fails_or_stalls_does_not_stop_the_others() {
    for behavior in [Behavior::Fail, Behavior::Stall] {
        let source = source().await;
        let ((stored, good), (failed, bad)) = (faulty(Behavior::Store), faulty(behavior));
        let mut copied = copy_to_all(&source, vec![bad, good]).await;
        assert_eq!(copied.pop().unwrap().unwrap().stats.blobs_sent, 3, "{behavior:?}");
        assert_eq!(copied.pop().unwrap().unwrap_err().kind(), ErrorKind::Timeout);
        assert_eq!((stored.manifest_count(), failed.manifest_count()), (1, 0));
    }
}

#[tokio::test(start_paused = true)]
async fn a_target_that_pauses_reads_the_rest_by_itself_and_does_not_hold_the_others() {
    let source = source().await;
    let ((whole, good), (slow, pausing)) = (faulty(Behavior::Store), faulty(Behavior::Pause));
    let source = &source;
    let reads = SharedReads::new(2, NonZeroUsize::MIN);
    let began = Instant::now();
    let copies = reads.into_iter().zip([good, pausing]).map(|(reads, target)| async move {
        let copier = Copier::builder(Arc::clone(source) as _, target).shared_reads(reads).build();
        copier.copy(&tag().into(), Some(&tag())).await.unwrap();
        began.elapsed()
    });
    let took = join_all(copies).await;
    // The first blob waits for the pausing target, and the others do not.
    assert_eq!(took[0], STALL_LIMIT);
    // Its second file no longer waits for the first one to be taken.
    assert_eq!(took[1], STALL_LIMIT + MINUTE);
    assert_eq!((whole.manifest_count(), slow.manifest_count()), (1, 1));
    for blob in source.blobs.lock().unwrap().iter() {
        assert_eq!(slow.blob_bytes(blob), source.memory.blob_bytes(blob));
    }
}

#[tokio::test(start_paused = true)]
async fn a_read_ends_when_all_copies_have_taken_its_content() {
    let counted = source().await;
    let manifest = counted.memory.manifest(&tag().into()).await.unwrap();
    let blobs = Successors::of(&manifest).unwrap().blobs;
    // Both fit into the buffers, but the only permit is needed for each of them.
    let small: Vec<_> = blobs.into_iter().filter(|blob| blob.size < 8000).collect();
    let more = Bytes::from_static(b"another small blob");
    let more = {
        let descriptor =
            Descriptor::new(MediaType::OCTET_STREAM, Digest::sha256(&more), more.len() as u64);
        counted.memory.push_blob(&descriptor, more.into()).await.unwrap();
        descriptor
    };
    let members = SharedReads::new(2, NonZeroUsize::MIN);
    let sources: Vec<_> =
        members.iter().map(|member| member.source(Arc::clone(&counted) as _)).collect();
    let first = join_all(sources.iter().map(|source| source.blob(&small[0]))).await;
    let second = join_all(sources.iter().map(|source| source.blob(&more)));
    tokio::pin!(second);
    let early = timeout(STALL_LIMIT / 2, &mut second).await;
    assert!(early.is_err(), "the content of the first blob is still in memory");
    assert_eq!(counted.blobs.lock().unwrap().len(), 1);
    for reader in first {
        reader.unwrap().bytes(usize::MAX).await.unwrap();
    }
    for reader in second.await {
        reader.unwrap().bytes(usize::MAX).await.unwrap();
    }
    assert_eq!(counted.blobs.lock().unwrap().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_failed_read_is_an_error_of_every_copy() {
    let source = source().await;
    let (_, good) = faulty(Behavior::Store);
    copy_to_all(&source, vec![good]).await.remove(0).unwrap();
    let digest = source.blobs.lock().unwrap()[0].clone();
    crate::store::Delete::delete_blob(&source.memory, &digest).await.unwrap();
    let targets = (0..2).map(|_| faulty(Behavior::Store).1).collect();
    for copied in copy_to_all(&source, targets).await {
        let error = copied.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotFound, "{error}");
        assert_eq!(error.side(), Some(crate::error::Side::Source));
    }
}

#[tokio::test(start_paused = true)]
async fn a_copy_that_never_opens_a_blob_is_not_waited_for_longer_than_the_limit() {
    let source = source().await;
    let mut members = SharedReads::new(2, NonZeroUsize::MIN);
    let (_idle, reads) = (members.pop().unwrap(), members.pop().unwrap());
    let began = Instant::now();
    let copier = Copier::builder(source, faulty(Behavior::Store).1).shared_reads(reads).build();
    copier.copy(&tag().into(), Some(&tag())).await.unwrap();
    assert_eq!(began.elapsed(), GATHER_LIMIT);
}

#[tokio::test(start_paused = true)]
async fn a_copy_that_opens_a_blob_again_reads_it_alone() {
    let counted = source().await;
    let manifest = counted.memory.manifest(&tag().into()).await.unwrap();
    let blob = Successors::of(&manifest).unwrap().blobs.pop().unwrap();
    let members = SharedReads::new(2, NonZeroUsize::MIN);
    let sources = members.iter().map(|member| member.source(Arc::clone(&counted) as _));
    let sources: Vec<_> = sources.collect();
    let opened = join_all(sources.iter().map(|source| source.blob(&blob))).await;
    assert_eq!(counted.blobs.lock().unwrap().len(), 1);
    // The first read is not finished, and holds the only permit.
    let again = sources[0].blob(&blob).await.unwrap();
    assert_eq!(again.bytes(usize::MAX).await.unwrap().len() as u64, blob.size);
    assert_eq!(counted.blobs.lock().unwrap().len(), 2);
    let read = opened.into_iter().map(|reader| reader.unwrap().bytes(usize::MAX));
    for content in join_all(read).await {
        assert_eq!(content.unwrap().len() as u64, blob.size);
    }
}
