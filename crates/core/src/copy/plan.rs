//! The decisions of a copy, as pure functions.

use serde_json::Value;

use super::{LeftBehindReason, ReferrerSelection};
use crate::descriptor::Descriptor;
use crate::digest::Digest;
use crate::error::{Error, ErrorKind, Result};
use crate::manifest::{Manifest, RawManifest};
use crate::media_type::MediaType;
use crate::reference::{Repository, Tag};
use crate::store::Presence;

/// The first step to try with a blob.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// Do nothing, because the target holds the blob.
    Skip,
    /// Do nothing, because the blob may not be redistributed.
    LeaveOut,
    /// Push the blob. The target first tries to mount it, which needs only one request.
    Push,
    /// Push the blob unless the target holds it. A registry may send a small blob again.
    Ensure,
}

/// Decides how to treat a blob.
pub(super) fn blob_step(
    blob: &Descriptor,
    nondistributable: bool,
    source: Option<&Repository>,
    target: Option<&Repository>,
) -> Step {
    match (source, target) {
        _ if blob.media_type.is_nondistributable() && !nondistributable => Step::LeaveOut,
        (Some(source), Some(target)) if source == target => Step::Skip,
        (Some(source), Some(target)) if source.registry() == target.registry() => Step::Push,
        _ => Step::Ensure,
    }
}

/// The work to do below a manifest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Walk {
    /// Do nothing, because the target holds the manifest and everything below it.
    Stop,
    /// Check only the layers that may not be redistributed, because registries accept manifests
    /// without them. The manifest itself need not be sent.
    Foreign,
    /// Copy the children of the manifest, then send the manifest.
    Descend,
}

/// Decides whether to descend below a manifest.
pub(super) fn walk(holding: Presence, recheck: bool, nondistributable: bool) -> Walk {
    match holding {
        Presence::Complete if !recheck && nondistributable => Walk::Foreign,
        Presence::Complete if !recheck => Walk::Stop,
        // The target may hold the manifest without listing it. Sending the manifest again ensures
        // that it is listed.
        Presence::Complete | Presence::Partial | Presence::Absent => Walk::Descend,
    }
}

/// Decides why a referrer or the content of a digest tag is left behind. Returns `None` if it is
/// copied.
///
/// - `takes_artifacts`: whether the target can hold artifacts.
/// - `types`: the artifact type and, for a digest tag, also the media types of its layers.
pub(super) fn left_behind(
    selection: &ReferrerSelection,
    takes_artifacts: bool,
    types: &[&MediaType],
) -> Option<LeftBehindReason> {
    match selection {
        _ if !takes_artifacts => Some(LeftBehindReason::Unsupported),
        ReferrerSelection::All => None,
        ReferrerSelection::OfTypes(wanted) if wanted.iter().any(|t| types.contains(&t)) => None,
        ReferrerSelection::OfTypes(_) | ReferrerSelection::None => {
            Some(LeftBehindReason::OtherType)
        }
    }
}

/// Returns the artifact type of a manifest and the media types of its layers.
///
/// Cosign's manifests under digest tags have the configuration of an image, so only their layers
/// show what they are.
pub(super) fn types_of(manifest: &RawManifest) -> Result<Vec<&MediaType>> {
    let parsed = manifest.parse()?;
    let layers = content_of(parsed).into_iter().flatten().map(|entry| &entry.media_type);
    Ok(parsed.artifact_type().into_iter().chain(layers).collect())
}

/// What to do with a digest tag at the target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TagStep {
    /// The tag already points at the source's manifest.
    Skip,
    /// Copy the manifest, then set the tag.
    Set,
    /// Leave the tag as it is, because the target's manifest has layers that the source's manifest
    /// lacks, such as another signature.
    LeaveBehind,
}

/// Decides how to treat a digest tag.
///
/// - `existing`: the manifest to which the tag points at the target.
pub(super) fn tag_step(new: &RawManifest, existing: Option<&RawManifest>) -> Result<TagStep> {
    let Some(existing) = existing else { return Ok(TagStep::Set) };
    if existing.digest() == new.digest() {
        return Ok(TagStep::Skip);
    }
    // Cosign states a signature in the annotations of its layer, so whole descriptors are compared.
    Ok(match (content_of(new.parse()?), content_of(existing.parse()?)) {
        (Some(new), Some(old)) if old.iter().all(|entry| new.contains(entry)) => TagStep::Set,
        _ => TagStep::LeaveBehind,
    })
}

/// Returns the layers or blobs of an artifact, or the entries of an index. Returns `None` for a
/// manifest of another kind, whose content cannot be compared.
fn content_of(manifest: &Manifest) -> Option<&[Descriptor]> {
    match manifest {
        Manifest::Image(image) => Some(&image.layers),
        Manifest::Artifact(artifact) => Some(&artifact.blobs),
        Manifest::Index(index) => Some(&index.manifests),
        Manifest::Schema1(_) | Manifest::Opaque => None,
    }
}

/// What a copy does with the tag of an index of referrers at the target.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum IndexStep {
    /// The target resolves the tag to this subject itself (GitLab), so it cannot hold the index.
    LeaveBehind(Digest),
    /// The target's index lists everything already.
    Keep(RawManifest),
    Send(RawManifest),
}

/// Decides what to do with the tag of an index of referrers.
///
/// - `existing`: the manifest to which the tag points at the target.
///
/// # Errors
/// [`Conflict`](ErrorKind::Conflict) if the tag points at something else than an index of referrers;
/// the errors of [`index_to_send`].
pub(super) fn index_step(
    tag: &Tag,
    new: &RawManifest,
    existing: Option<&RawManifest>,
) -> Result<IndexStep> {
    match existing {
        Some(held) if tag.subject().as_ref() == Some(held.digest()) => {
            return Ok(IndexStep::LeaveBehind(held.digest().clone()));
        }
        Some(other) if !is_index_of_referrers(tag, other) => {
            let other = other.digest();
            let clause = format!("the tag points at {other}, which is not an index of referrers");
            return Err(Error::new(ErrorKind::Conflict).at(tag).detail(clause));
        }
        _ => {}
    }
    Ok(match index_to_send(new, existing)? {
        Some(index) => IndexStep::Send(index),
        None => IndexStep::Keep(existing.unwrap_or(new).clone()),
    })
}

/// Returns true if a tag is that of an index of referrers. Some registries return the subject itself
/// for such a tag (GitLab).
pub(super) fn is_index_of_referrers(tag: &Tag, root: &RawManifest) -> bool {
    let is_subject = Tag::for_referrers(root.digest()).is_ok_and(|own| own == *tag);
    tag.is_for_referrers() && root.media_type().is_index() && !is_subject
}

/// Returns the index to send to the tag of an index of referrers: the new index, or else the
/// existing index with the new entries that it lacks. Returns `None` if it lacks none.
///
/// - `existing`: the index to which the tag points at the target.
///
/// # Errors
/// [`Invalid`](ErrorKind::Invalid) if a manifest is malformed;
/// [`Unsupported`](ErrorKind::Unsupported) if a manifest is not an index.
fn index_to_send(new: &RawManifest, existing: Option<&RawManifest>) -> Result<Option<RawManifest>> {
    let existing = match existing {
        Some(existing) if tag_step(new, Some(existing))? != TagStep::Set => existing,
        _ => return Ok(Some(new.clone())),
    };
    let (have, wanted) = (entries_of(existing)?, entries_of(new)?);
    let is_missing = |entry: &&Descriptor| !have.iter().any(|listed| listed.digest == entry.digest);
    let missing = wanted.iter().filter(is_missing).map(serde_json::to_value);
    let missing: Vec<Value> = missing
        .collect::<Result<_, _>>()
        .map_err(|e| Error::new(ErrorKind::Invalid).at(new.digest()).with_source(e))?;
    if missing.is_empty() {
        return Ok(None);
    }
    let merged = existing.edited(|document| {
        if let Some(Value::Array(entries)) = document.get_mut("manifests") {
            entries.extend(missing);
        }
    });
    merged.map(Some)
}

fn entries_of(index: &RawManifest) -> Result<&[Descriptor]> {
    match index.parse()? {
        Manifest::Index(index) => Ok(&index.manifests),
        _ => Err(Error::new(ErrorKind::Unsupported)
            .at(index.digest())
            .detail("expected an index of referrers")),
    }
}

/// The progress of a copy of several tags. Decides whether the next tag is worth trying.
#[derive(Debug, Default)]
pub(super) struct Series {
    /// The number of consecutive tags for which a registry could not be reached or limited the rate
    /// of requests.
    unreached: usize,
    /// True if a failure affects all other tags too.
    pub(super) is_over: bool,
}

impl Series {
    /// Adds the outcome of a copy: the kind of its error, if it failed.
    pub(super) fn add(&mut self, failed: Option<ErrorKind>) {
        let is_unreached = matches!(
            failed,
            Some(ErrorKind::Transport | ErrorKind::Timeout | ErrorKind::RateLimited)
        );
        self.unreached = if is_unreached { self.unreached + 1 } else { 0 };
        self.is_over |=
            failed == Some(ErrorKind::Unauthorized) || self.unreached >= UNREACHED_IN_A_ROW;
    }
}

/// 3: a single tag may fail because of a broken connection. Each request was already tried several
/// times, with waits in between.
const UNREACHED_IN_A_ROW: usize = 3;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::media_type::MediaType;

    #[test]
    fn the_step_for_a_blob_depends_on_its_media_type_and_both_repositories() {
        let blob = Descriptor::from_bytes(MediaType::OCI_LAYER_GZIP, b"a");
        let foreign = MediaType::parse("application/vnd.oci.image.layer.nondistributable.v1.tar");
        let foreign = Descriptor::from_bytes(foreign.unwrap(), b"a");
        let [a, b, other]: [Repository; 3] =
            ["r.example/a", "r.example/b", "s.example/a"].map(|r| r.parse().unwrap());
        for (blob, nondistributable, source, target, step) in [
            (&blob, false, None, None, Step::Ensure),
            (&blob, false, Some(&a), None, Step::Ensure),
            (&blob, false, None, Some(&b), Step::Ensure),
            (&blob, false, Some(&a), Some(&b), Step::Push),
            (&blob, false, Some(&a), Some(&a), Step::Skip),
            (&blob, false, Some(&other), Some(&a), Step::Ensure),
            (&foreign, false, None, None, Step::LeaveOut),
            (&foreign, false, Some(&a), Some(&a), Step::LeaveOut),
            (&foreign, true, None, None, Step::Ensure),
        ] {
            assert_eq!(blob_step(blob, nondistributable, source, target), step);
        }
    }

    /// Returns an index that lists a manifest for each text.
    fn index(entries: &[&str]) -> RawManifest {
        let entries: Vec<Descriptor> = entries
            .iter()
            .map(|text| Descriptor::from_bytes(MediaType::OCI_MANIFEST, text.as_bytes()))
            .collect();
        let document = serde_json::json!({"schemaVersion": 2, "manifests": entries, "x": 1});
        RawManifest::from_document(&document, Some(MediaType::OCI_INDEX)).unwrap()
    }

    #[test]
    fn the_step_for_an_index_depends_on_what_the_target_has() {
        let subject = index(&["child"]);
        let tag = Tag::for_referrers(subject.digest()).unwrap();
        let step = |new: &[&str], held: Option<RawManifest>| {
            index_step(&tag, &index(new), held.as_ref()).unwrap()
        };
        assert_eq!(step(&["a"], None), IndexStep::Send(index(&["a"])));
        assert_eq!(step(&["a"], Some(index(&["b"]))), IndexStep::Send(index(&["b", "a"])));
        assert_eq!(step(&["a"], Some(index(&["b", "a"]))), IndexStep::Keep(index(&["b", "a"])));
        let left = IndexStep::LeaveBehind(subject.digest().clone());
        assert_eq!(step(&["a"], Some(subject)), left);
        let image = RawManifest::from_bytes(
            r#"{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json"}"#
                .into(),
            None,
        );
        let refused = index_step(&tag, &index(&["a"]), Some(&image.unwrap())).unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::Conflict);
    }

    #[test]
    fn only_a_complete_manifest_ends_the_walk() {
        for (holding, recheck, nondistributable, decided) in [
            (Presence::Absent, false, false, Walk::Descend),
            (Presence::Partial, false, true, Walk::Descend),
            (Presence::Complete, false, false, Walk::Stop),
            (Presence::Complete, false, true, Walk::Foreign),
            (Presence::Complete, true, true, Walk::Descend),
            (Presence::Complete, true, false, Walk::Descend),
        ] {
            assert_eq!(walk(holding, recheck, nondistributable), decided);
        }
    }

    #[test]
    fn attachments_are_left_behind_for_their_type_or_the_target() {
        use LeftBehindReason::{OtherType, Unsupported};
        let [sbom, signature, layer] =
            ["a/sbom", "a/signature", "a/layer"].map(|text| MediaType::parse(text).unwrap());
        let only = ReferrerSelection::OfTypes(vec![signature.clone(), layer.clone()]);
        for (selection, takes_artifacts, types, expected) in [
            (&ReferrerSelection::All, true, &[&sbom][..], None),
            (&ReferrerSelection::All, true, &[], None),
            (&ReferrerSelection::All, false, &[&sbom], Some(Unsupported)),
            (&only, true, &[&signature], None),
            (&only, true, &[&sbom, &layer], None),
            (&only, true, &[&sbom], Some(OtherType)),
            (&only, true, &[], Some(OtherType)),
            (&only, false, &[&signature], Some(Unsupported)),
        ] {
            assert_eq!(left_behind(selection, takes_artifacts, types), expected, "{types:?}");
        }
    }

    #[test]
    fn a_digest_tag_moves_unless_the_target_would_lose_content() {
        let layer = |signature: &str| {
            let mut layer = Descriptor::from_bytes(MediaType::OCI_LAYER, b"payload");
            layer.annotations.insert("dev.cosignproject.cosign/signature", signature);
            layer
        };
        let manifest = |layers: &[&str]| {
            let layers: Vec<Descriptor> = layers.iter().map(|text| layer(text)).collect();
            let config =
                Descriptor::from_bytes(MediaType::OCI_CONFIG, layers.len().to_string().as_bytes());
            let document =
                serde_json::json!({"schemaVersion": 2, "config": config, "layers": layers});
            RawManifest::from_document(&document, Some(MediaType::OCI_MANIFEST)).unwrap()
        };
        let (one, both, other) = (manifest(&["1"]), manifest(&["1", "2"]), manifest(&["2"]));
        for (new, existing, step) in [
            (&one, None, TagStep::Set),
            (&one, Some(&one), TagStep::Skip),
            (&both, Some(&one), TagStep::Set),
            (&one, Some(&both), TagStep::LeaveBehind),
            (&one, Some(&other), TagStep::LeaveBehind),
        ] {
            assert_eq!(tag_step(new, existing).unwrap(), step);
        }
        let unknown = MediaType::parse("application/vnd.example.unknown+json").unwrap();
        let opaque = RawManifest::from_bytes(b"{}".as_slice().into(), Some(unknown)).unwrap();
        assert_eq!(tag_step(&one, Some(&opaque)).unwrap(), TagStep::LeaveBehind);
    }

    #[test]
    fn indexes_of_referrers_are_merged_without_losing_entries() {
        for (new, existing, expected) in [
            (&["a"][..], None, Some(&["a"][..])),
            (&["a"], Some(&["a"][..]), None),
            (&["b", "a"], Some(&["a"]), Some(&["b", "a"])),
            (&["a"], Some(&["a", "b"]), None),
            (&[], Some(&["a"]), None),
            (&["a", "b"], Some(&["b", "c"]), Some(&["b", "c", "a"])),
        ] {
            let existing = existing.map(index);
            let sent = index_to_send(&index(new), existing.as_ref()).unwrap();
            let expected = expected.map(|entries| index(entries).bytes().clone());
            assert_eq!(sent.map(|sent| sent.bytes().clone()), expected);
        }
    }

    #[test]
    fn tags_are_tried_until_a_failure_affects_all_of_them() {
        use ErrorKind::{Denied, NotFound, Timeout, Transport, Unauthorized};
        let cases: [(&[Option<ErrorKind>], bool); 7] = [
            (&[], false),
            (&[Some(NotFound); 9], false),
            // A registry may protect a single tag.
            (&[Some(Denied); 9], false),
            (&[None, Some(Unauthorized)], true),
            (&[Some(Transport), Some(Timeout)], false),
            (&[Some(Transport), Some(Timeout), None, Some(Transport)], false),
            (&[Some(Transport), Some(Timeout), Some(Transport), None], true),
        ];
        for (results, is_over) in cases {
            let mut series = Series::default();
            results.iter().for_each(|failed| series.add(*failed));
            assert_eq!(series.is_over, is_over, "{results:?}");
        }
    }
}
