mod referrers;

use std::collections::HashSet;
use std::sync::Mutex;

use super::*;
use crate::error::Side;
use crate::manifest::{ImageConfig, Manifest};
use crate::memory::Memory;
use crate::pack::Pack;
use crate::tag_guard::GuardMethod;
use crate::{Descriptor, Digest, MediaType, RawManifest, Source, Target, TargetExt as _};

fn tag(text: &str) -> Tag {
    Tag::parse(text).unwrap()
}

/// Returns a store with an index of two images that share a layer, and a signature of the index.
async fn fixture() -> (Memory, Descriptor, Descriptor) {
    let store = Memory::new();
    let mut images = Vec::new();
    for (architecture, own) in [("amd64", "one"), ("arm64", "two")] {
        let config = ImageConfig {
            platform: Platform::new("linux", architecture, None),
            ..ImageConfig::default()
        };
        let layer = |content: &'static str| {
            let bytes = bytes::Bytes::from_static(content.as_bytes());
            (Descriptor::from_bytes(MediaType::OCI_LAYER_GZIP, &bytes), bytes.into())
        };
        let (shared, shared_body) = layer("shared");
        let (top, top_body) = layer(own);
        let pack = Pack::image(&config).unwrap().layer(shared, shared_body).layer(top, top_body);
        let mut image = pack.push(&store, None).await.unwrap();
        image.platform = Some(Platform::new("linux", architecture, None));
        images.push(image);
    }
    let index = Pack::index(images).push(&store, Some(&tag("v1"))).await.unwrap();
    let signature = Pack::artifact("application/vnd.example.signature".parse().unwrap())
        .file("signature", "signed")
        .subject(index.clone())
        .push(&store, None)
        .await
        .unwrap();
    (store, index, signature)
}

#[tokio::test]
async fn children_are_copied_before_parents_and_the_tag_is_set_last() {
    let (source, index, _) = fixture().await;
    let target = Memory::new();
    let events = Arc::new(Mutex::new(Vec::new()));
    let copier = Copier::builder(Arc::new(source), Arc::new(target.clone())).on_event({
        let events = Arc::clone(&events);
        move |event| events.lock().unwrap().push(event.clone())
    });
    let copier = copier.build();
    let summary = copier.copy(&tag("v1").into(), Some(&tag("v2"))).await.unwrap();
    assert_eq!(summary.root.digest, index.digest);
    // Two configs, one layer of each image, the shared layer, and two blobs of the signature.
    assert_eq!((summary.stats.blobs_sent, summary.stats.manifests_sent), (7, 4));
    assert_eq!(target.resolve(&tag("v2").into()).await.unwrap().digest, index.digest);

    let events = std::mem::take(&mut *events.lock().unwrap());
    let mut existing = HashSet::new();
    for event in &events {
        match event {
            CopyEvent::Sent { digest, .. } => {
                assert!(existing.insert(digest.clone()), "a blob is sent twice")
            }
            CopyEvent::Manifest { manifest, .. } => {
                let selector = manifest.digest.clone().into();
                let manifest = target.manifest(&selector).await.unwrap();
                let below = crate::graph::Successors::of(&manifest).unwrap();
                for child in below.blobs.iter().chain(&below.manifests) {
                    assert!(existing.contains(&child.digest));
                }
                existing.insert(manifest.digest().clone());
            }
            _ => {}
        }
    }
    assert!(matches!(events.last(), Some(CopyEvent::Tagged { .. })));
}

#[tokio::test]
async fn existing_content_is_not_sent_again() {
    let (source, ..) = fixture().await;
    let target = Memory::new();
    let source: Arc<Memory> = Arc::new(source);
    for expected in [7, 0] {
        let copier = Copier::new(Arc::<Memory>::clone(&source), Arc::new(target.clone()));
        let summary = copier.copy(&tag("v1").into(), Some(&tag("v1"))).await.unwrap();
        assert_eq!(summary.stats.blobs_sent, expected);
    }
}

#[tokio::test]
async fn a_plan_lists_the_steps_of_the_copy() {
    let (source, index, signature) = fixture().await;
    let (source, target) = (Arc::new(source), Memory::new());
    let planned = |copier: Copier| async move {
        let plan = copier.plan(&tag("v1").into(), Some(&tag("v2"))).await.unwrap();
        let count = |action| plan.steps.iter().filter(|step| step.action == action).count() as u64;
        let counts = (count(PlannedAction::Send), count(PlannedAction::Skip));
        (plan, counts)
    };
    let copier = || Copier::new(Arc::<Memory>::clone(&source), Arc::new(target.clone()));
    let (plan, counts) = planned(copier()).await;
    assert_eq!((&plan.root.digest, &plan.tag), (&index.digest, &Some(tag("v2"))));
    let at = |digest: &Digest| plan.steps.iter().position(|s| s.content.digest == *digest).unwrap();
    assert!(at(&index.digest) < at(&signature.digest));
    let digests: HashSet<_> = plan.steps.iter().map(|step| &step.content.digest).collect();
    assert_eq!(digests.len(), plan.steps.len(), "a digest is planned twice");
    assert!(target.resolve(&tag("v2").into()).await.is_err(), "the plan must not write anything");

    let stats = copier().copy(&tag("v1").into(), Some(&tag("v2"))).await.unwrap().stats;
    assert_eq!(counts, (stats.blobs_sent + stats.manifests_sent, 0));
    let sent: u64 = plan.steps.iter().map(|step| step.content.size).sum();
    assert_eq!(plan.bytes_to_send(), sent);
    let (again, counts) = planned(copier()).await;
    assert_eq!((counts.0, again.bytes_to_send()), (0, 0));
}

#[tokio::test]
async fn a_copy_of_one_platform_has_the_digest_of_its_image() {
    let (source, index, _) = fixture().await;
    let target = Memory::new();
    let arm64: Platform = "linux/arm64".parse().unwrap();
    let listed = source.manifest(&index.digest.clone().into()).await.unwrap();
    let Manifest::Index(listed) = listed.parse().unwrap() else { panic!("expected an index") };
    let image = &listed.for_platform(&arm64).unwrap().digest;
    let mut options = CopyOptions::default();
    options.platforms = vec![arm64];
    let copier =
        Copier::builder(Arc::new(source), Arc::new(target.clone())).options(options).build();
    let summary = copier.copy(&index.digest.into(), Some(&tag("arm"))).await.unwrap();
    assert_eq!((summary.stats.blobs_sent, target.manifest_count()), (3, 1));
    assert_eq!(summary.root.digest, *image);
    assert_eq!(target.resolve(&tag("arm").into()).await.unwrap().digest, *image);
}

#[tokio::test]
async fn a_single_image_is_copied_only_for_its_own_platform() {
    let (source, index, _) = fixture().await;
    let arm = "linux/arm64".parse().unwrap();
    let index = source.manifest(&index.digest.into()).await.unwrap();
    let image = crate::select_image(&source, index, &arm).await.unwrap().digest().clone();
    for (platform, expected) in [("linux/arm64", Ok(())), ("linux/s390x", Err(ErrorKind::NotFound))]
    {
        let mut options = CopyOptions::default();
        options.platforms = vec![platform.parse().unwrap()];
        let (source, target) = (Arc::new(source.clone()), Arc::new(Memory::new()));
        let copier = Copier::builder(source, target).options(options).build();
        let copied = copier.copy(&image.clone().into(), None).await;
        assert_eq!(copied.map(drop).map_err(|e| e.kind()), expected, "{platform}");
    }
}

#[tokio::test]
async fn a_failed_copy_names_the_side_and_sets_no_tag() {
    let (source, index, _) = fixture().await;
    let lost = Descriptor::from_bytes(MediaType::OCI_LAYER_GZIP, b"shared");
    crate::store::Delete::delete_blob(&source, &lost.digest).await.unwrap();
    let target = Memory::new();
    let copier = Copier::new(Arc::new(source), Arc::new(target.clone()));
    let e = copier.copy(&index.digest.clone().into(), Some(&tag("v1"))).await.unwrap_err();
    assert_eq!((e.kind(), e.side()), (ErrorKind::NotFound, Some(Side::Source)));
    assert!(target.resolve(&index.digest.into()).await.is_err());
    assert!(target.tags(None).all().await.unwrap().is_empty());
}

#[tokio::test]
async fn all_tags_are_copied_and_shared_content_is_sent_only_once() {
    let (source, index, _) = fixture().await;
    let manifest = source.manifest(&index.digest.into()).await.unwrap();
    for n in 0..20 {
        source.push_manifest(&manifest, Some(&tag(&format!("t{n}")))).await.unwrap();
    }
    let target = Memory::new();
    let tags = source.tags(None).all().await.unwrap();
    let copier = Copier::new(Arc::new(source), Arc::new(target.clone()));
    let outcomes = copier.copy_tags(tags).await;
    let summaries: Vec<_> = outcomes.into_iter().map(|o| o.result.unwrap()).collect();
    assert_eq!(summaries.len(), 21);
    assert_eq!(summaries.iter().map(|s| s.stats.blobs_sent).sum::<u64>(), 7);
    assert_eq!(target.tags(None).all().await.unwrap().len(), 21);
}

#[tokio::test]
async fn a_failed_tag_does_not_stop_the_others() {
    let (source, index, _) = fixture().await;
    let lost = Descriptor::from_bytes(MediaType::OCI_LAYER_GZIP, b"lost");
    let pack = Pack::image(&ImageConfig::default()).unwrap();
    let pack = pack.layer(lost.clone(), bytes::Bytes::from_static(b"lost").into());
    pack.push(&source, Some(&tag("k5"))).await.unwrap();
    crate::store::Delete::delete_blob(&source, &lost.digest).await.unwrap();
    let manifest = source.manifest(&index.digest.into()).await.unwrap();
    source.push_manifest(&manifest, Some(&tag("a1"))).await.unwrap();
    let target = Memory::new();
    let copier = Copier::new(Arc::new(source), Arc::new(target.clone()));
    let outcomes = copier.copy_tags(["a1", "k5", "none", "v1"].map(tag).to_vec()).await;
    let kinds = outcomes.iter().map(|o| (o.tag.as_str(), o.result.as_ref().err().map(Error::kind)));
    let missing = Some(ErrorKind::NotFound);
    assert_eq!(
        kinds.collect::<Vec<_>>(),
        [("a1", None), ("k5", missing), ("none", missing), ("v1", None)]
    );
    assert_eq!(target.tags(None).all().await.unwrap(), [tag("a1"), tag("v1")]);
}

#[tokio::test]
async fn schema_1_is_copied_with_sizes_from_the_source() {
    let source = Memory::new();
    let layer = source.push_bytes(MediaType::DOCKER_LAYER_GZIP, "layer").await.unwrap();
    let json = format!(
        r#"{{"schemaVersion":1,"name":"a","tag":"b","architecture":"amd64",
            "fsLayers":[{{"blobSum":"{0}"}},{{"blobSum":"{0}"}}],"history":[],"signatures":[]}}"#,
        layer.digest
    );
    let manifest = RawManifest::from_bytes(json.into(), None).unwrap();
    source.push_manifest(&manifest, Some(&tag("old"))).await.unwrap();
    let target = Memory::new();
    let copier = Copier::new(Arc::new(source), Arc::new(target.clone()));
    let summary = copier.copy(&tag("old").into(), Some(&tag("old"))).await.unwrap();
    assert_eq!((summary.stats.blobs_sent, summary.stats.bytes_sent), (1, 5));
    assert_eq!(target.blob_bytes(&layer.digest).unwrap(), "layer");
}

/// Pushes a BuildKit registry cache: an index that lists only blobs, namely two layers and a
/// configuration.
async fn cache(store: &(impl Target + ?Sized), kind: MediaType) -> (RawManifest, [Descriptor; 3]) {
    let layers = ["\u{1f}one", "\u{1f}two"];
    let config = serde_json::json!({
        "layers": layers.map(|l| serde_json::json!({"blob": Digest::sha256(l.as_bytes())})),
        "records": [],
    });
    let mut entries = Vec::new();
    for (media_type, content) in [
        (MediaType::OCI_LAYER_GZIP, layers[0].to_owned()),
        (MediaType::OCI_LAYER_GZIP, layers[1].to_owned()),
        (MediaType::parse("application/vnd.buildkit.cacheconfig.v0").unwrap(), config.to_string()),
    ] {
        entries.push(store.push_bytes(media_type, content).await.unwrap());
    }
    let document = serde_json::json!({"schemaVersion": 2, "mediaType": kind, "manifests": entries});
    let index = RawManifest::from_document(&document, Some(kind)).unwrap();
    store.push_manifest(&index, Some(&tag("cache"))).await.unwrap();
    (index, entries.try_into().unwrap())
}

#[tokio::test]
async fn blobs_that_an_index_lists_are_copied_as_blobs() {
    for kind in [MediaType::OCI_INDEX, MediaType::DOCKER_LIST] {
        let (source, target) = (Memory::new(), Memory::new());
        let (index, blobs) = cache(&source, kind).await;
        let listed = Arc::new(Mutex::new(HashSet::new()));
        let copier = Copier::builder(Arc::new(source), Arc::new(target.clone()))
            .on_event({
                let listed = Arc::clone(&listed);
                move |event| {
                    if let CopyEvent::ListedBlob { blob } = event {
                        listed.lock().unwrap().insert(blob.digest.clone());
                    }
                }
            })
            .build();
        let summary = copier.copy(&tag("cache").into(), Some(&tag("copy"))).await.unwrap();
        assert_eq!((summary.stats.blobs_sent, summary.stats.manifests_sent), (3, 1));
        assert_eq!(target.resolve(&tag("copy").into()).await.unwrap().digest, *index.digest());
        assert_eq!(target.manifest_count(), 1);
        let expected: HashSet<_> = blobs.iter().map(|blob| blob.digest.clone()).collect();
        assert_eq!(*listed.lock().unwrap(), expected);
        assert!(expected.iter().all(|digest| target.blob_bytes(digest).is_some()));
    }
}

#[tokio::test]
async fn a_layout_distinguishes_the_blobs_and_manifests_that_an_index_lists() {
    let (source, back) = (Memory::new(), Memory::new());
    let (cache, blobs) = cache(&source, MediaType::OCI_INDEX).await;
    // An image with a wrong media type. In a layout, the path of a manifest looks like the path of
    // a blob.
    let mut image =
        Pack::image(&ImageConfig::default()).unwrap().push(&source, None).await.unwrap();
    image.media_type = MediaType::OCI_LAYER;
    let entries = [&blobs[..], &[cache.descriptor().clone(), image.clone()]].concat();
    let document = serde_json::json!({"schemaVersion": 2, "manifests": entries});
    let index = RawManifest::from_document(&document, Some(MediaType::OCI_INDEX)).unwrap();
    source.push_manifest(&index, Some(&tag("v1"))).await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let layout = crate::Layout::create(folder.path()).await.unwrap();
    let stores: [Arc<dyn Target>; 3] = [Arc::new(source), Arc::new(layout), Arc::new(back.clone())];
    for pair in stores.windows(2) {
        let source: Arc<dyn Source> = Arc::<dyn Target>::clone(&pair[0]);
        let copier = Copier::new(source, Arc::clone(&pair[1]));
        copier.copy(&tag("v1").into(), Some(&tag("v1"))).await.unwrap();
    }
    assert_eq!(back.resolve(&tag("v1").into()).await.unwrap().digest, *index.digest());
    // Both indexes and the image. The entries of the cache are not manifests.
    assert_eq!(back.manifest_count(), 3);
    back.manifest(&image.digest.into()).await.unwrap();
    assert!(blobs.iter().all(|blob| back.blob_bytes(&blob.digest).is_some()));
}

#[tokio::test]
async fn a_missing_entry_of_an_index_is_reported_as_not_found_at_the_source() {
    let source = Memory::new();
    let (_, [layer, ..]) = cache(&source, MediaType::OCI_INDEX).await;
    crate::store::Delete::delete_blob(&source, &layer.digest).await.unwrap();
    let target = Memory::new();
    let copier = Copier::new(Arc::new(source), Arc::new(target.clone()));
    let e = copier.copy(&tag("cache").into(), Some(&tag("v1"))).await.unwrap_err();
    assert_eq!((e.kind(), e.side()), (ErrorKind::NotFound, Some(Side::Source)));
    assert!(e.to_string().contains(&layer.digest.to_string()), "{e}");
    assert_eq!(target.manifest_count(), 0);
}

#[tokio::test]
async fn an_index_is_refused_if_the_target_uses_another_digest_for_a_manifest() {
    let source = Memory::new();
    let signed = include_str!("../manifest/schema1/signed.json");
    let signed = RawManifest::from_bytes(signed.into(), None).unwrap();
    source.push_bytes(MediaType::DOCKER_LAYER_GZIP, "abc").await.unwrap();
    source.push_manifest(&signed, None).await.unwrap();
    let index = Pack::index(vec![signed.descriptor().clone()]);
    index.push(&source, Some(&tag("v1"))).await.unwrap();
    // A layout uses the digest of the bytes for signed schema 1, and the index lists the digest of
    // the payload.
    let folder = tempfile::tempdir().unwrap();
    let layout = crate::Layout::create(folder.path()).await.unwrap();
    let copier = Copier::new(Arc::new(source.clone()), Arc::new(layout.clone()));
    let e = copier.copy(&tag("v1").into(), Some(&tag("v1"))).await.unwrap_err();
    assert_eq!(e.kind(), ErrorKind::Unsupported, "{e}");
    assert!(e.to_string().contains("the payload's digest"), "{e}");
    assert!(layout.tags(None).all().await.unwrap().is_empty());
    // A target that uses the same digest as the index accepts the copy.
    let copier = Copier::new(Arc::new(source), Arc::new(Memory::new()));
    copier.copy(&tag("v1").into(), Some(&tag("v1"))).await.unwrap();
}

#[tokio::test]
async fn a_guard_is_checked_before_anything_is_sent_and_again_with_the_tag() {
    let (source, index, _) = fixture().await;
    let (source, target) = (Arc::new(source), Memory::new());
    let copy = async |guard: TagGuard, to: Option<&Tag>| {
        let options = CopyOptions { guard: Some(guard), ..CopyOptions::default() };
        let copier = Copier::builder(Arc::clone(&source) as _, Arc::new(target.clone()));
        copier.options(options).build().copy(&tag("v1").into(), to).await
    };
    let other = TagGuard::PointsAt(Digest::sha256(b"other"));
    for (guard, to, kind) in [
        (other.clone(), Some(&tag("v1")), ErrorKind::Conflict),
        (TagGuard::Absent, None, ErrorKind::Invalid),
    ] {
        let refused = copy(guard, to).await.unwrap_err();
        assert_eq!((refused.kind(), refused.side()), (kind, Some(Side::Target)));
        assert_eq!(target.manifest_count(), 0);
    }
    let copied = copy(TagGuard::Absent, Some(&tag("v1"))).await.unwrap();
    assert_eq!(copied.guard, Some(GuardMethod::Atomic));
    assert_eq!(
        copy(TagGuard::Absent, Some(&tag("v1"))).await.unwrap_err().kind(),
        ErrorKind::Conflict
    );
    let again = copy(TagGuard::PointsAt(index.digest), Some(&tag("v1"))).await.unwrap();
    // This store does not report complete manifests, so the root is sent again.
    assert_eq!(again.guard, Some(GuardMethod::Atomic));
}
