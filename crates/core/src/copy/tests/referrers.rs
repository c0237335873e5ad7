//! Referrers, digest tags and platforms.

use std::collections::HashSet;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use futures_util::FutureExt as _;
use tokio::sync::Semaphore;
use tokio::time::timeout;

use super::*;
use crate::{
    BlobBody, BlobReader, BlobStream, MediaType, Node, Page, PageToken, Pages, Presence, Pushed,
};

#[tokio::test]
async fn referrers_are_copied_by_default() {
    let (source, index, signature) = fixture().await;
    let target = Memory::new();
    let copier = Copier::new(Arc::new(source), Arc::new(target.clone()));
    copier.copy(&index.digest.clone().into(), None).await.unwrap();
    let listed = target.referrers(&index.digest, None).all().await.unwrap();
    assert_eq!(listed.len(), 1);
    assert_eq!(listed[0].digest, signature.digest);
    assert_eq!(target.manifest_count(), 4);
}

#[tokio::test]
async fn referrers_of_content_from_a_failed_copy_are_copied() {
    let (source, index, _) = fixture().await;
    let manifest = source.manifest(&index.digest.into()).await.unwrap();
    let [image, lost] =
        <[_; 2]>::try_from(crate::graph::Successors::of(&manifest).unwrap().manifests).unwrap();
    Pack::artifact("application/vnd.example.signature".parse().unwrap())
        .file("signature", "of the image")
        .subject(image.clone())
        .push(&source, None)
        .await
        .unwrap();
    // Two indexes list the same image. The first also lists an image that is missing.
    Pack::index(vec![image.clone(), lost.clone()]).push(&source, Some(&tag("a"))).await.unwrap();
    Pack::index(vec![image.clone()]).push(&source, Some(&tag("b"))).await.unwrap();
    crate::store::Delete::delete_manifest(&source, &lost.digest).await.unwrap();
    let target = Memory::new();
    let mut options = CopyOptions::default();
    options.parallel = NonZeroUsize::MIN;
    let copier =
        Copier::builder(Arc::new(source), Arc::new(target.clone())).options(options).build();
    let outcomes = copier.copy_tags(vec![tag("a"), tag("b")]).await;
    assert_eq!(outcomes.iter().map(|o| o.result.is_ok()).collect::<Vec<_>>(), [false, true]);
    assert_eq!(target.referrers(&image.digest, None).all().await.unwrap().len(), 1);
}

#[tokio::test]
async fn a_tag_is_set_only_after_all_referrers_are_copied() {
    let (source, index, signature) = fixture().await;
    let options = CopyOptions::default();
    let target = Memory::new();
    let events = Arc::new(Mutex::new(Vec::new()));
    let copier = Copier::builder(Arc::new(source.clone()), Arc::new(target.clone()))
        .options(options.clone())
        .on_event({
            let events = Arc::clone(&events);
            move |event| events.lock().unwrap().push(event.clone())
        })
        .build();
    let summary = copier.copy(&tag("v1").into(), Some(&tag("v1"))).await.unwrap();
    assert_eq!((summary.stats.manifests_sent, summary.tag), (4, Some(tag("v1"))));
    assert_eq!(target.resolve(&tag("v1").into()).await.unwrap().digest, index.digest);
    let events = std::mem::take(&mut *events.lock().unwrap());
    assert!(matches!(events.last(), Some(CopyEvent::Tagged { .. })));
    assert!(events.iter().any(|event| matches!(
        event,
        CopyEvent::Manifest { manifest, .. } if manifest.digest == signature.digest
    )));

    let lost = Digest::sha256(b"signed");
    crate::store::Delete::delete_blob(&source, &lost).await.unwrap();
    let target = Memory::new();
    let copier = Copier::builder(Arc::new(source), Arc::new(target.clone())).options(options);
    let outcomes = copier.build().copy_tags(vec![tag("v1")]).await;
    assert_eq!(outcomes[0].result.as_ref().unwrap_err().kind(), ErrorKind::NotFound);
    assert!(target.tags(None).all().await.unwrap().is_empty());
}

/// Pushes an artifact that refers to `subject` to `store`.
async fn referrer(store: &Memory, subject: &Descriptor, content: usize) {
    Pack::artifact("application/vnd.example.signature".parse().unwrap())
        .file("signature", content.to_string())
        .subject(subject.clone())
        .push(store, None)
        .await
        .unwrap();
}

#[tokio::test]
async fn the_number_of_referrers_is_limited_per_subject() {
    let options = CopyOptions::default();
    let copy = async |source: Memory, root: &Descriptor, target: &Memory| {
        let copier = Copier::builder(Arc::new(source), Arc::new(target.clone()));
        copier.options(options.clone()).build().copy(&root.digest.clone().into(), None).await
    };

    let (source, index, _) = fixture().await;
    let images = source.manifest(&index.digest.clone().into()).await.unwrap();
    let images = crate::graph::Successors::of(&images).unwrap().manifests;
    for image in &images {
        for content in 0..50 {
            referrer(&source, image, content).await;
        }
    }
    let target = Memory::new();
    copy(source.clone(), &index, &target).await.unwrap();
    for image in &images {
        assert_eq!(target.referrers(&image.digest, None).all().await.unwrap().len(), 50);
    }

    for content in 50..10_001 {
        referrer(&source, &images[0], content).await;
    }
    let e = copy(source, &index, &Memory::new()).await.unwrap_err();
    assert_eq!(e.kind(), ErrorKind::TooLarge);
    assert!(e.to_string().contains(images[0].digest.as_str()), "{e}");
}

/// The digest tag of a manifest with this suffix.
fn digest_tag(subject: &Digest, suffix: &str) -> Tag {
    tag(&format!("{}.{suffix}", Tag::for_referrers(subject).unwrap()))
}

/// Pushes a manifest as cosign does: an image with a layer for each signature, under a digest tag.
async fn sign(store: &Memory, subject: &Digest, suffix: &str, signatures: &[&str]) -> Descriptor {
    let simple_signing = "application/vnd.dev.cosign.simplesigning.v1+json";
    let mut pack = Pack::image(&ImageConfig::default()).unwrap();
    for signature in signatures {
        let payload = bytes::Bytes::from_static(b"payload");
        let mut layer = Descriptor::from_bytes(simple_signing.parse().unwrap(), &payload);
        layer.annotations.insert("dev.cosignproject.cosign/signature", *signature);
        pack = pack.layer(layer, payload.into());
    }
    pack.push(store, Some(&digest_tag(subject, suffix))).await.unwrap()
}

/// Returns the children of an index.
async fn children(store: &Memory, index: &Descriptor) -> Vec<Descriptor> {
    let index = store.manifest(&index.digest.clone().into()).await.unwrap();
    crate::graph::Successors::of(&index).unwrap().manifests
}

async fn copy(source: &Memory, target: &Memory, options: &CopyOptions) -> CopySummary {
    let copier = Copier::builder(Arc::new(source.clone()), Arc::new(target.clone()));
    let copier = copier.options(options.clone()).build();
    copier.copy(&tag("v1").into(), Some(&tag("v1"))).await.unwrap()
}

#[tokio::test]
async fn digest_tags_of_all_copied_and_attached_manifests_are_copied() {
    let (source, index, signature) = fixture().await;
    let image = children(&source, &index).await.remove(0);
    let signed = [&index.digest, &image.digest, &signature.digest];
    for subject in signed {
        sign(&source, subject, "sig", &["1"]).await;
    }
    let of_attestation = sign(&source, &index.digest, "att", &["2"]).await;
    sign(&source, &of_attestation.digest, "sig", &["3"]).await;
    sign(&source, &Digest::sha256(b"other"), "sig", &["4"]).await;
    let target = Memory::new();
    let summary = copy(&source, &target, &CopyOptions::default()).await;
    let mut expected: Vec<Tag> = signed.map(|subject| digest_tag(subject, "sig")).to_vec();
    expected.push(digest_tag(&index.digest, "att"));
    expected.push(digest_tag(&of_attestation.digest, "sig"));
    expected.push(tag("v1"));
    expected.sort();
    assert_eq!(target.tags(None).all().await.unwrap(), expected);
    assert_eq!(summary.left_behind, []);
}

#[tokio::test]
async fn a_copy_of_existing_content_finds_new_signatures() {
    let (source, index, _) = fixture().await;
    let image = children(&source, &index).await.remove(1);
    let target = Memory::new();
    copy(&source, &target, &CopyOptions::default()).await;
    referrer(&source, &image, 1).await;
    sign(&source, &image.digest, "sig", &["1"]).await;
    copy(&source, &target, &CopyOptions::default()).await;
    assert_eq!(target.referrers(&image.digest, None).all().await.unwrap().len(), 1);
    target.resolve(&digest_tag(&image.digest, "sig").into()).await.unwrap();
    // Cosign adds another signature to the same tag.
    let both = sign(&source, &image.digest, "sig", &["1", "2"]).await;
    let summary = copy(&source, &target, &CopyOptions::default()).await;
    let found = target.resolve(&digest_tag(&image.digest, "sig").into()).await.unwrap();
    assert_eq!((&found.digest, summary.left_behind), (&both.digest, vec![]));
}

#[tokio::test]
async fn a_digest_tag_does_not_move_if_the_target_would_lose_a_signature() {
    let (source, index, _) = fixture().await;
    sign(&source, &index.digest, "sig", &["source"]).await;
    let target = Memory::new();
    let own = sign(&target, &index.digest, "sig", &["target"]).await;
    let summary = copy(&source, &target, &CopyOptions::default()).await;
    let sig = digest_tag(&index.digest, "sig");
    assert_eq!(target.resolve(&sig.clone().into()).await.unwrap().digest, own.digest);
    let reason = LeftBehindReason::TargetDiffers;
    assert_eq!(summary.left_behind, [LeftBehind::tag(&index.digest, sig.clone(), reason)]);
    // If all tags are copied, the digest tag is one of them.
    let tags = source.tags(None).all().await.unwrap();
    let copier = Copier::new(Arc::new(source), Arc::new(target.clone()));
    let outcomes = copier.copy_tags(tags).await;
    let kinds = outcomes.iter().map(|o| (&o.tag, o.result.as_ref().err().map(Error::kind)));
    let expected = [(&sig, Some(ErrorKind::Conflict)), (&tag("v1"), None)];
    assert_eq!(kinds.collect::<Vec<_>>(), expected);
    assert_eq!(target.resolve(&sig.into()).await.unwrap().digest, own.digest);
}

#[tokio::test]
async fn an_image_is_not_tagged_if_its_signature_cannot_be_copied() {
    let (source, index, _) = fixture().await;
    sign(&source, &index.digest, "sig", &["1"]).await;
    let payload = Digest::sha256(b"payload");
    crate::store::Delete::delete_blob(&source, &payload).await.unwrap();
    let target = Memory::new();
    let tags = source.tags(None).all().await.unwrap();
    let copier = Copier::new(Arc::new(source), Arc::new(target.clone()));
    for outcome in copier.copy_tags(tags).await {
        let error = outcome.result.unwrap_err();
        assert!(error.to_string().contains(payload.as_str()), "{}: {error}", outcome.tag);
    }
    assert!(target.tags(None).all().await.unwrap().is_empty());
}

#[tokio::test]
async fn a_digest_tag_that_another_client_sets_during_the_copy_is_left() {
    let (source, index, _) = fixture().await;
    sign(&source, &index.digest, "sig", &["source"]).await;
    let (target, sig) = (Memory::new(), digest_tag(&index.digest, "sig"));
    let payload = Digest::sha256(b"payload");
    for (theirs, left) in [("target", 1), ("source", 0)] {
        let other = (target.clone(), index.digest.clone());
        let payload = payload.clone();
        let copier = Copier::builder(Arc::new(source.clone()), Arc::new(target.clone()))
            .on_event(move |event| {
                if matches!(event, CopyEvent::Sent { digest, .. } if *digest == payload) {
                    let (target, subject) = &other;
                    sign(target, subject, "sig", &[theirs]).now_or_never().unwrap();
                }
            })
            .build();
        let summary = copier.copy(&tag("v1").into(), Some(&tag("v1"))).await.unwrap();
        let left_behind =
            LeftBehind::tag(&index.digest, sig.clone(), LeftBehindReason::TargetDiffers);
        assert_eq!(summary.left_behind, vec![left_behind; left], "{theirs}");
        let found = target.manifest(&sig.clone().into()).await.unwrap();
        assert!(std::str::from_utf8(found.bytes()).unwrap().contains(theirs));
        crate::store::Delete::delete_manifest(&target, found.digest()).await.unwrap();
    }
}

/// Pushes an index under the tag of a referrers index.
async fn index_of(store: &Memory, subject: &Digest, referrers: &[Descriptor]) -> Descriptor {
    let tag = Tag::for_referrers(subject).unwrap();
    Pack::index(referrers.to_vec()).push(store, Some(&tag)).await.unwrap()
}

#[tokio::test]
async fn an_index_of_referrers_is_merged_with_that_of_the_target() {
    let (source, target) = (Memory::new(), Memory::new());
    let subject = Digest::sha256(b"subject");
    let artifact = async |store: &Memory, content: &'static str| {
        let pack = Pack::artifact("text/plain".parse().unwrap()).file("file", content);
        pack.push(store, None).await.unwrap()
    };
    let (ours, theirs) = (artifact(&source, "ours").await, artifact(&target, "theirs").await);
    index_of(&source, &subject, std::slice::from_ref(&ours)).await;
    index_of(&target, &subject, std::slice::from_ref(&theirs)).await;
    let copy = async || {
        let tags = source.tags(None).all().await.unwrap();
        let copier = Copier::new(Arc::new(source.clone()), Arc::new(target.clone()));
        copier.copy_tags(tags).await.remove(0).result.unwrap()
    };
    let merged = copy().await.root;
    let tag = Tag::for_referrers(&subject).unwrap();
    assert_eq!(target.resolve(&tag.clone().into()).await.unwrap(), merged);
    let listed = children(&target, &merged).await;
    assert_eq!(
        listed.iter().map(|d| &d.digest).collect::<Vec<_>>(),
        [&theirs.digest, &ours.digest]
    );
    target.manifest(&ours.digest.clone().into()).await.unwrap();
    // There is nothing more to add.
    let again = copy().await;
    assert_eq!((again.root, again.stats.manifests_sent), (merged, 0));
}

/// A target that deletes a blob before the first manifest, as a registry does with blobs that no
/// manifest lists yet.
#[derive(Debug)]
struct Forgetful {
    memory: Memory,
    forgets: Mutex<Option<Digest>>,
}

#[async_trait]
impl Source for Forgetful {
    fn name(&self) -> String {
        self.memory.name()
    }

    async fn manifest(&self, selector: &TagOrDigest) -> Result<RawManifest> {
        self.memory.manifest(selector).await
    }

    async fn blob(&self, descriptor: &Descriptor) -> Result<BlobReader> {
        self.memory.blob(descriptor).await
    }

    async fn blob_range(
        &self,
        descriptor: &Descriptor,
        range: std::ops::Range<u64>,
    ) -> Result<BlobStream> {
        self.memory.blob_range(descriptor, range).await
    }

    async fn blob_size(&self, digest: &Digest) -> Result<Option<u64>> {
        self.memory.blob_size(digest).await
    }

    fn tags(&self, after: Option<&Tag>) -> Pages<Tag> {
        self.memory.tags(after)
    }

    fn referrers(&self, subject: &Digest, of: Option<&MediaType>) -> Pages<Descriptor> {
        self.memory.referrers(subject, of)
    }
}

#[async_trait]
impl Target for Forgetful {
    async fn holds(&self, node: Node<'_>) -> Result<Presence> {
        self.memory.holds(node).await
    }

    async fn push_blob(&self, descriptor: &Descriptor, body: BlobBody) -> Result<Pushed> {
        self.memory.push_blob(descriptor, body).await
    }

    async fn push_manifest(&self, manifest: &RawManifest, tag: Option<&Tag>) -> Result<()> {
        let forgets = self.forgets.lock().unwrap().take();
        let Some(digest) = forgets else { return self.memory.push_manifest(manifest, tag).await };
        crate::store::Delete::delete_blob(&self.memory, &digest).await?;
        let (code, message) = (crate::ErrorCode::MANIFEST_BLOB_UNKNOWN, String::new());
        let unknown = crate::RegistryError { code, message, detail: serde_json::Value::Null };
        Err(Error::new(ErrorKind::NotFound).with_registry_errors(vec![unknown]))
    }
}

#[tokio::test]
async fn a_blob_that_the_target_lost_is_sent_again() {
    let source = Memory::new();
    let pack = Pack::artifact("text/plain".parse().unwrap()).file("one", "1").file("two", "2");
    pack.push(&source, Some(&tag("v1"))).await.unwrap();
    let (memory, lost) = (Memory::new(), Digest::sha256(b"2"));
    let forgets = Mutex::new(Some(lost.clone()));
    let target = Forgetful { memory: memory.clone(), forgets };
    let copier = Copier::new(Arc::new(source), Arc::new(target));
    let summary = copier.copy(&tag("v1").into(), Some(&tag("v1"))).await.unwrap();
    // The two files, the empty config, and the lost file again.
    assert_eq!(summary.stats.blobs_sent, 4);
    assert_eq!(memory.blob_size(&lost).await.unwrap(), Some(1));
    memory.resolve(&tag("v1").into()).await.unwrap();
}

#[tokio::test]
async fn attached_content_is_selected_by_its_type() {
    let (source, index, signature) = fixture().await;
    let sbom = Pack::artifact("application/vnd.example.sbom".parse().unwrap());
    let sbom = sbom.file("sbom", "{}").subject(index.clone()).push(&source, None).await.unwrap();
    sign(&source, &index.digest, "sig", &["1"]).await;
    let sig = digest_tag(&index.digest, "sig");
    let other = LeftBehindReason::OtherType;
    let types =
        ["application/vnd.example.sbom", "application/vnd.dev.cosign.simplesigning.v1+json"];
    for (wanted, left) in [
        (&types[..1], vec![(Some(signature.digest.clone()), None), (None, Some(sig.clone()))]),
        (
            &types[1..],
            vec![(Some(signature.digest.clone()), None), (Some(sbom.digest.clone()), None)],
        ),
        (&types[..], vec![(Some(signature.digest.clone()), None)]),
    ] {
        let wanted = wanted.iter().map(|text| text.parse().unwrap()).collect();
        let mut options = CopyOptions::default();
        options.referrers = ReferrerSelection::OfTypes(wanted);
        let target = Memory::new();
        let summary = copy(&source, &target, &options).await;
        let found: HashSet<_> =
            summary.left_behind.into_iter().map(|l| (l.digest, l.tag, l.reason)).collect();
        let left: HashSet<_> = left.into_iter().map(|(digest, tag)| (digest, tag, other)).collect();
        assert_eq!(found, left);
        let copied = target.referrers(&index.digest, None).all().await.unwrap().len();
        let tags = target.tags(None).all().await.unwrap().len();
        assert_eq!(copied + tags, 1 + 3 - left.len());
    }
    let mut options = CopyOptions::default();
    options.referrers = ReferrerSelection::None;
    let target = Memory::new();
    let summary = copy(&source, &target, &options).await;
    assert_eq!((summary.left_behind, target.manifest_count()), (vec![], 3));
}

#[tokio::test]
async fn manifests_that_refer_to_each_other_do_not_block_a_copy() {
    let (source, index, _) = fixture().await;
    let one = sign(&source, &index.digest, "sig", &["1"]).await;
    let two = sign(&source, &one.digest, "sig", &["2"]).await;
    let one = source.manifest(&one.digest.into()).await.unwrap();
    source.push_manifest(&one, Some(&digest_tag(&two.digest, "sig"))).await.unwrap();
    let root = source.manifest(&index.digest.clone().into()).await.unwrap();
    source.push_manifest(&root, Some(&digest_tag(&two.digest, "att"))).await.unwrap();
    source.push_manifest(&root, Some(&digest_tag(&index.digest, "att"))).await.unwrap();
    let target = Memory::new();
    copy(&source, &target, &CopyOptions::default()).await;
    // The tag of the index that points at the index itself is not copied.
    assert_eq!(target.tags(None).all().await.unwrap().len(), 5);
}

#[tokio::test]
async fn what_belongs_to_the_index_is_left_behind_if_platforms_are_selected() {
    let (source, index, signature) = fixture().await;
    let [amd64, arm64] = <[_; 2]>::try_from(children(&source, &index).await).unwrap();
    sign(&source, &index.digest, "sig", &["1"]).await;
    sign(&source, &arm64.digest, "sig", &["2"]).await;
    sign(&source, &amd64.digest, "sig", &["3"]).await;
    let mut options = CopyOptions::default();
    options.platforms = vec!["linux/arm64".parse().unwrap()];
    let target = Memory::new();
    let copier = Copier::builder(Arc::new(source.clone()), Arc::new(target.clone()));
    let copier = copier.options(options.clone()).build();
    let plan = copier.plan(&tag("v1").into(), Some(&tag("v1"))).await.unwrap();
    let summary = copy(&source, &target, &options).await;
    assert_eq!(
        (&summary.root.digest, &summary.selected_from),
        (&arm64.digest, &Some(index.digest.clone()))
    );
    let expected = [
        LeftBehind::referrer(&index.digest, &signature, LeftBehindReason::OtherManifest),
        LeftBehind::tag(
            &index.digest,
            digest_tag(&index.digest, "sig"),
            LeftBehindReason::OtherManifest,
        ),
    ];
    let digests = |left: &[LeftBehind]| -> Vec<_> {
        left.iter()
            .map(|l| (l.subject.clone(), l.digest.clone(), l.tag.clone(), l.reason))
            .collect()
    };
    assert_eq!(digests(&summary.left_behind), digests(&expected));
    let sig = digest_tag(&arm64.digest, "sig");
    assert_eq!(target.tags(None).all().await.unwrap(), [sig.clone(), tag("v1")]);
    // The plan shows the same.
    assert_eq!((plan.root, plan.selected_from), (summary.root, summary.selected_from));
    assert_eq!(plan.left_behind, summary.left_behind);
    assert_eq!(plan.digest_tags.iter().map(|t| &t.tag).collect::<Vec<_>>(), [&sig]);
}

#[tokio::test]
async fn a_selection_of_several_platforms_is_pushed_as_an_index() {
    let (source, index, _) = fixture().await;
    let images = children(&source, &index).await;
    let s390x =
        ImageConfig { platform: Platform::new("linux", "s390x", None), ..ImageConfig::default() };
    let mut third = Pack::image(&s390x).unwrap().push(&source, None).await.unwrap();
    third.platform = Some(s390x.platform);
    let all = [&images[..], &[third]].concat();
    Pack::index(all).push(&source, Some(&tag("v1"))).await.unwrap();
    Pack::index(images[..1].to_vec()).push(&source, Some(&tag("v2"))).await.unwrap();
    let mut options = CopyOptions::default();
    options.platforms = vec!["linux/arm64".parse().unwrap(), "linux/amd64".parse().unwrap()];
    let target = Memory::new();
    let copier = Copier::builder(Arc::new(source), Arc::new(target.clone())).options(options);
    let outcomes = copier.build().copy_tags(vec![tag("v1"), tag("v2")]).await;
    let [Ok(copied), Err(missing)] = [&outcomes[0].result, &outcomes[1].result] else {
        panic!("{outcomes:?}")
    };
    assert_eq!(children(&target, &copied.root).await, images);
    assert_eq!(target.resolve(&tag("v1").into()).await.unwrap().digest, copied.root.digest);
    assert!(missing.to_string().contains("the index has linux/amd64"), "{missing}");
    assert_eq!(target.tags(None).all().await.unwrap(), [tag("v1")]);
}

#[tokio::test]
async fn digest_tags_in_a_layout_do_not_change_which_image_is_the_only_one() {
    let (source, index, signature) = fixture().await;
    sign(&source, &index.digest, "sig", &["1"]).await;
    let folder = tempfile::tempdir().unwrap();
    let layout = crate::Layout::create(folder.path()).await.unwrap();
    // Every tag of this layout stands for the name of the image, except digest tags.
    let named = layout.under("docker.io/library/app:v1");
    let copier = Copier::new(Arc::new(source), Arc::new(named.clone()));
    copier.copy(&tag("v1").into(), Some(&tag("v1"))).await.unwrap();
    let sig = digest_tag(&index.digest, "sig");
    assert_eq!(layout.tags(None).all().await.unwrap(), [sig, tag("v1")]);
    assert_eq!(layout.only_manifest().await.unwrap(), tag("v1").into());
    let back = Memory::new();
    let copier = Copier::new(Arc::new(named), Arc::new(back.clone()));
    copier.copy(&tag("v1").into(), Some(&tag("v1"))).await.unwrap();
    assert_eq!(back.tags(None).all().await.unwrap().len(), 2);
    assert_eq!(
        back.referrers(&index.digest, None).all().await.unwrap()[0].digest,
        signature.digest
    );
}

/// How a source lists its tags.
#[derive(Clone, Copy, Debug)]
enum Listing {
    /// In order, in pages of this size.
    Ordered(usize),
    /// From the first tag on and in reverse order, in pages of this size.
    Reversed(usize),
    Refused,
}

/// A source that has fallback tags in place of a listing of referrers, and counts requests.
#[derive(Debug)]
struct Counting {
    memory: Memory,
    listing: Listing,
    pages: Arc<AtomicUsize>,
    manifests: AtomicUsize,
    /// One permit for each subject whose referrers were requested.
    asked: Semaphore,
    /// The number of subjects whose referrers must be requested before a blob is read.
    awaited: u32,
}

impl Counting {
    fn new(memory: &Memory, listing: Listing) -> Arc<Self> {
        Arc::new(Self::awaiting(0, memory, listing))
    }

    fn awaiting(awaited: u32, memory: &Memory, listing: Listing) -> Self {
        let ((pages, manifests), asked) = (Default::default(), Semaphore::new(0));
        Self { memory: memory.clone(), listing, pages, manifests, asked, awaited }
    }

    fn page(tags: &[Tag], from: usize, size: usize) -> Page<Tag> {
        let (_, rest) = tags.split_at(from);
        let next = (rest.len() > size).then(|| PageToken::new((from + size).to_string()));
        Page { items: rest[..rest.len().min(size)].to_vec(), next }
    }
}

#[async_trait::async_trait]
impl Source for Counting {
    fn name(&self) -> String {
        self.memory.name()
    }

    async fn manifest(&self, selector: &TagOrDigest) -> Result<RawManifest> {
        self.manifests.fetch_add(1, Ordering::Relaxed);
        self.memory.manifest(selector).await
    }

    async fn blob(&self, descriptor: &Descriptor) -> Result<BlobReader> {
        let asked = self.asked.acquire_many(self.awaited);
        let _asked = timeout(Duration::from_secs(20), asked).await.expect("no referrers requested");
        self.memory.blob(descriptor).await
    }

    async fn blob_range(
        &self,
        descriptor: &Descriptor,
        range: std::ops::Range<u64>,
    ) -> Result<BlobStream> {
        self.memory.blob_range(descriptor, range).await
    }

    async fn blob_size(&self, digest: &Digest) -> Result<Option<u64>> {
        self.memory.blob_size(digest).await
    }

    fn tags(&self, after: Option<&Tag>) -> Pages<Tag> {
        let (memory, listing, after) = (self.memory.clone(), self.listing, after.cloned());
        let pages = Arc::clone(&self.pages);
        Pages::new(move |token| {
            pages.fetch_add(1, Ordering::Relaxed);
            let (memory, after) = (memory.clone(), after.clone());
            async move {
                let from = token.map_or(0, |token: PageToken| token.as_str().parse().unwrap());
                match listing {
                    Listing::Ordered(size) => {
                        let tags = memory.tags(after.as_ref()).all().await?;
                        Ok(Self::page(&tags, from, size))
                    }
                    Listing::Reversed(size) => {
                        let mut tags = memory.tags(None).all().await?;
                        tags.reverse();
                        Ok(Self::page(&tags, from, size))
                    }
                    Listing::Refused => Err(Error::new(ErrorKind::Denied).with_status(403)),
                }
            }
        })
    }

    fn referrers(&self, _: &Digest, _: Option<&MediaType>) -> Pages<Descriptor> {
        Pages::from_items(Vec::new())
    }

    async fn listed_referrers(&self, _: &Digest) -> Result<Option<Pages<Descriptor>>> {
        self.asked.add_permits(1);
        Ok(None)
    }
}

#[tokio::test]
async fn referrers_are_requested_before_the_blobs_are_copied() {
    let (source, ..) = fixture().await;
    // The index and its two images.
    let source = Arc::new(Counting::awaiting(3, &source, Listing::Ordered(10)));
    let copier = Copier::new(source, Arc::new(Memory::new()));
    copier.copy(&tag("v1").into(), Some(&tag("v1"))).await.unwrap();
}

#[tokio::test]
async fn digest_tags_are_found_with_few_requests_however_the_tags_are_listed() {
    let (source, index, signature) = fixture().await;
    let images = children(&source, &index).await;
    for (subject, signature) in [(&index, "1"), (&images[0], "2"), (&images[1], "3")] {
        sign(&source, &subject.digest, "sig", &[signature]).await;
    }
    // Tags of other manifests, before and after.
    for n in 0..40_u64 {
        sign(&source, &Digest::sha256(&n.to_le_bytes()), "sig", &["1"]).await;
        for text in [format!("a{n}"), format!("v1.{n}")] {
            let other = source.manifest(&signature.digest.clone().into()).await.unwrap();
            source.push_manifest(&other, Some(&tag(&text))).await.unwrap();
        }
    }
    // The index, its images, and a signature of each: six manifests.
    for (listing, pages, manifests) in [
        (Listing::Ordered(1000), 1..=1, 6),
        // The first page, and at most one more for each manifest.
        (Listing::Ordered(10), 2..=1 + 6, 6),
        (Listing::Reversed(1000), 1..=1, 6),
        (Listing::Reversed(50), 3..=3, 6),
        // The listing is too long, so three manifests are requested for each manifest.
        (Listing::Reversed(5), 10..=10, 6 + 3 * 6),
        (Listing::Refused, 1..=1, 6 + 3 * 6),
    ] {
        let counting = Counting::new(&source, listing);
        let target = Memory::new();
        let copier = Copier::new(Arc::<Counting>::clone(&counting), Arc::new(target.clone()));
        copier.copy(&tag("v1").into(), Some(&tag("v1"))).await.unwrap();
        assert_eq!(target.tags(None).all().await.unwrap().len(), 4, "{listing:?}");
        assert!(pages.contains(&counting.pages.load(Ordering::Relaxed)), "{listing:?}");
        assert_eq!(counting.manifests.load(Ordering::Relaxed), manifests, "{listing:?}");
    }
}

async fn artifact(store: &Memory, content: &'static str) -> Descriptor {
    let pack = Pack::artifact("text/plain".parse().unwrap()).file("file", content);
    pack.push(store, None).await.unwrap()
}

#[tokio::test]
async fn a_digest_tag_of_a_series_is_left_if_another_client_sets_it_during_the_copy() {
    let (source, index, _) = fixture().await;
    sign(&source, &index.digest, "sig", &["source"]).await;
    let (target, sig) = (Memory::new(), digest_tag(&index.digest, "sig"));
    let (other, subject) = (target.clone(), index.digest.clone());
    let payload = Digest::sha256(b"payload");
    let copier = Copier::builder(Arc::new(source.clone()), Arc::new(target.clone()))
        .on_event(move |event| {
            if matches!(event, CopyEvent::Sent { digest, .. } if *digest == payload) {
                sign(&other, &subject, "sig", &["target"]).now_or_never().unwrap();
            }
        })
        .build();
    let mut outcomes = copier.copy_tags(source.tags(None).all().await.unwrap()).await.into_iter();
    let own = outcomes.next().unwrap().result.unwrap_err();
    assert_eq!(own.kind(), ErrorKind::Conflict, "{own}");
    let left = outcomes.next().unwrap().result.unwrap().left_behind;
    assert_eq!(
        left.iter().map(|l| l.reason).collect::<Vec<_>>(),
        [LeftBehindReason::TargetDiffers]
    );
    let found = target.manifest(&sig.into()).await.unwrap();
    assert!(std::str::from_utf8(found.bytes()).unwrap().contains("\"target\""));
}

#[tokio::test]
async fn a_tag_that_points_at_the_subject_itself_is_not_changed() {
    let (source, target) = (Memory::new(), Memory::new());
    let child = artifact(&target, "child").await;
    let subject = Pack::index(vec![child]).push(&target, None).await.unwrap();
    let tag = Tag::for_referrers(&subject.digest).unwrap();
    let manifest = target.manifest(&subject.digest.clone().into()).await.unwrap();
    target.push_manifest(&manifest, Some(&tag)).await.unwrap();
    let ours = artifact(&source, "ours").await;
    index_of(&source, &subject.digest, &[ours]).await;
    let copier = Copier::new(Arc::new(source), Arc::new(target.clone()));
    let summary = copier.copy_tags(vec![tag.clone()]).await.remove(0).result.unwrap();
    let left = LeftBehind::tag(&subject.digest, tag.clone(), LeftBehindReason::Unsupported);
    assert_eq!((summary.tag, summary.left_behind), (None, vec![left]));
    assert_eq!(target.resolve(&tag.into()).await.unwrap().digest, subject.digest);
}

#[tokio::test]
async fn an_index_of_referrers_is_copied_without_missing_and_unselected_referrers() {
    let (source, subject) = (Memory::new(), Digest::sha256(b"subject"));
    let (lost, kept) = (artifact(&source, "lost").await, artifact(&source, "kept").await);
    index_of(&source, &subject, &[lost.clone(), kept.clone()]).await;
    let tag = Tag::for_referrers(&subject).unwrap();
    let copy = async |options: CopyOptions| {
        let target = Memory::new();
        let copier = Copier::builder(Arc::new(source.clone()), Arc::new(target.clone()));
        let copier = copier.options(options).build();
        (copier.copy_tags(vec![tag.clone()]).await.remove(0).result.unwrap(), target)
    };
    let mut selected = CopyOptions::default();
    selected.referrers = ReferrerSelection::OfTypes(vec!["a/other".parse().unwrap()]);
    let (summary, target) = copy(selected).await;
    assert_eq!((summary.tag, summary.left_behind.len(), target.manifest_count()), (None, 2, 0));
    crate::store::Delete::delete_manifest(&source, &lost.digest).await.unwrap();
    let (summary, target) = copy(CopyOptions::default()).await;
    let left = LeftBehind::referrer(&subject, &lost, LeftBehindReason::Missing);
    assert_eq!(summary.left_behind, [left]);
    // An entry of an unknown type is not listed at the target, unless it is copied, too.
    let mut unknown = lost.clone();
    unknown.media_type = "application/x-unknown".parse().unwrap();
    index_of(&source, &subject, &[unknown.clone(), kept.clone()]).await;
    let (unlisted, _) = copy(CopyOptions::default()).await;
    let left = LeftBehind::referrer(&subject, &unknown, LeftBehindReason::Missing);
    assert_eq!((unlisted.left_behind, unlisted.root), (vec![left], summary.root.clone()));
    let listed = children(&target, &summary.root).await;
    assert_eq!(listed.iter().map(|d| &d.digest).collect::<Vec<_>>(), [&kept.digest]);
    assert_eq!(target.resolve(&tag.into()).await.unwrap().digest, summary.root.digest);
}
