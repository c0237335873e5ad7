//! The names in `index.json`, and the rules for listing entries under them. The functions do no I/O
//! themselves. All stores with a layout, in a folder or in a tar file, use them.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use crate::annotations::Annotations;
use crate::descriptor::Descriptor;
use crate::digest::Digest;
use crate::error::{Error, ErrorKind, Result};
use crate::graph;
use crate::manifest::RawManifest;
use crate::media_type::MediaType;
use crate::reference::{Reference, Tag, TagOrDigest};

/// The data for the entry of a manifest in an index.
#[derive(Clone, Debug)]
pub struct Entry {
    descriptor: Descriptor,
    /// The children of an index, which need no separate entries.
    children: Vec<Descriptor>,
}

impl Entry {
    /// Creates the entry of a manifest, with the artifact type if the manifest has a subject.
    ///
    /// # Errors
    /// Same as [`graph::Successors::of`] and [`graph::referrer`].
    pub fn of(manifest: &RawManifest) -> Result<Self> {
        let children = graph::Successors::of(manifest)?.manifests;
        let mut descriptor = manifest.descriptor().clone();
        if let Some((_, referrer)) = graph::referrer(manifest)? {
            descriptor.artifact_type = referrer.artifact_type;
        }
        Ok(Self { descriptor, children })
    }
}

/// The referrers among the manifests of an index, by their subjects.
#[derive(Debug, Default)]
pub struct Referrers(HashMap<Digest, Vec<Descriptor>>);

impl Referrers {
    /// Reads each listed manifest and records its subject. An index may also list documents of
    /// other kinds, which have no subject. A manifest that is damaged or missing is an error only if
    /// its entry has an artifact type, so that a damaged image does not affect the other images.
    ///
    /// # Errors
    /// [`Invalid`](ErrorKind::Invalid) for a damaged artifact; [`Io`](ErrorKind::Io); the other
    /// errors of `read` for an artifact.
    pub fn read(
        entries: &[Descriptor],
        read: impl Fn(&Descriptor) -> Result<RawManifest>,
    ) -> Result<Self> {
        let (mut found, mut seen) = (Self::default(), HashSet::new());
        for entry in entries.iter().filter(|entry| seen.insert(&entry.digest)) {
            match read(entry).and_then(|manifest| graph::referrer(&manifest)) {
                Ok(Some((subject, listed))) => found.0.entry(subject).or_default().push(listed),
                Ok(None) => {}
                Err(e) if entry.artifact_type.is_none() && e.kind() != ErrorKind::Io => {}
                Err(e) => return Err(e),
            }
        }
        Ok(found)
    }

    /// Returns the referrers of a manifest: all of them, or those of one artifact type.
    #[must_use]
    pub fn of(&self, subject: &Digest, artifact_type: Option<&MediaType>) -> Vec<Descriptor> {
        let all = self.0.get(subject).into_iter().flatten();
        all.filter(|listed| listed.is_of_type(artifact_type)).cloned().collect()
    }
}

/// Returns the name of an entry.
#[must_use]
pub fn name_of(entry: &Descriptor) -> Option<&str> {
    entry.annotations.get(Annotations::REF_NAME)
}

/// Returns the tag of an entry, derived from its name by [`tag_in`].
#[must_use]
pub fn tag_of(entry: &Descriptor) -> Option<Tag> {
    tag_in(name_of(entry)?)
}

/// Returns the tag that a name stands for. A name may be a tag, or a reference as written by
/// skopeo, podman and BuildKit. A reference without a tag stands for `latest`.
#[must_use]
pub fn tag_in(name: &str) -> Option<Tag> {
    let of_reference = || Reference::familiar(name).ok()?.or_latest().tag().cloned();
    Tag::parse(name).ok().or_else(of_reference)
}

/// Returns the entries that have names, each name once. If several entries have the same name, the
/// last entry is returned.
#[must_use]
pub fn names(entries: &[Descriptor]) -> BTreeMap<&str, &Descriptor> {
    entries.iter().filter_map(|entry| Some((name_of(entry)?, entry))).collect()
}

/// Returns the default manifest. If exactly one name exists, the default is the named manifest,
/// selected by its tag if the name has a tag. If no name exists, the default is the only manifest.
/// Returns `None` if there are several manifests and no names. Digest tags and referrers count only
/// if there is nothing else, because they belong to other manifests.
///
/// # Errors
/// [`NotFound`](ErrorKind::NotFound) if there are no entries; [`Conflict`](ErrorKind::Conflict),
/// with the names to choose from, if there are several names.
pub fn only(entries: &[Descriptor]) -> Result<Option<TagOrDigest>> {
    let is_attached = |entry: &Descriptor| match tag_of(entry) {
        Some(tag) => tag.is_digest_tag(),
        None => name_of(entry).is_none() && entry.artifact_type.is_some(),
    };
    let images: Vec<Descriptor> = entries.iter().filter(|e| !is_attached(e)).cloned().collect();
    let entries = if images.is_empty() { entries } else { &images };
    let named: Vec<&Descriptor> = names(entries).into_values().collect();
    let is_manifest = |entry: &&Descriptor| entry.media_type.is_manifest();
    let manifests: Vec<&Descriptor> = entries.iter().filter(is_manifest).collect();
    match (&named[..], entries) {
        ([one], _) => {
            Ok(Some(tag_of(one).map_or_else(|| one.digest.clone().into(), TagOrDigest::from)))
        }
        ([], [one]) => Ok(Some(one.digest.clone().into())),
        // The example in the specification also lists an XML document.
        ([], [_, _, ..]) if manifests.len() == 1 => Ok(Some(manifests[0].digest.clone().into())),
        ([], []) => Err(Error::new(ErrorKind::NotFound).detail("the index lists no image")),
        ([], _) => Ok(None),
        _ => Err(several(named)),
    }
}

/// Builds the error for a store with several images, of which the user must choose one.
#[must_use]
pub fn several<'a>(entries: impl IntoIterator<Item = &'a Descriptor>) -> Error {
    Error::new(ErrorKind::Conflict)
        .detail(format!("several images: {}", shown(entries)))
        .with_hint("Choose one by :NAME or @DIGEST after the path.")
}

/// Formats entries with their names and digests, for messages.
fn shown<'a>(entries: impl IntoIterator<Item = &'a Descriptor>) -> String {
    let shown = entries.into_iter().map(|entry| match name_of(entry) {
        Some(name) => format!("{name} ({})", entry.digest),
        None => entry.digest.to_string(),
    });
    shown.collect::<Vec<_>>().join(", ")
}

/// Returns the tags of all named entries, each with its name.
///
/// # Errors
/// [`Conflict`](ErrorKind::Conflict) with the names that share a tag;
/// [`Unsupported`](ErrorKind::Unsupported) with a name that has no tag.
pub fn distinct_tags(entries: &[Descriptor]) -> Result<BTreeMap<Tag, &str>> {
    let mut tags = BTreeMap::new();
    for (name, entry) in names(entries) {
        let tag = tag_of(entry).ok_or_else(|| {
            Error::new(ErrorKind::Unsupported)
                .detail(format!("the name {name} ({}) has no tag", entry.digest))
        })?;
        tags.entry(tag).or_insert_with(Vec::new).push((name, entry));
    }
    tags.into_iter()
        .map(|(tag, named)| match &named[..] {
            [(name, _)] => Ok((tag, *name)),
            _ => Err(shared(tag.as_str(), named.into_iter().map(|(_, entry)| entry))),
        })
        .collect()
}

fn shared<'a>(tag: &str, entries: impl IntoIterator<Item = &'a Descriptor>) -> Error {
    Error::new(ErrorKind::Conflict)
        .detail(format!("several names have the tag {tag}: {}", shown(entries)))
        .with_hint("Write the whole name after the path, as in oci:DIR:NAME.")
}

/// Finds the entry for a name: the last entry with exactly this name. If there is no such entry,
/// the name is read as a tag, and the only entry with this tag is returned.
///
/// # Errors
/// [`Conflict`](ErrorKind::Conflict) with names and digests if several names have this tag.
pub fn named<'a>(entries: &'a [Descriptor], name: &str) -> Result<Option<&'a Descriptor>> {
    let names = names(entries);
    if let Some(exact) = names.get(name) {
        return Ok(Some(exact));
    }
    let tagged = |entry: &&Descriptor| tag_of(entry).is_some_and(|tag| tag.as_str() == name);
    let found: Vec<&Descriptor> = names.into_values().filter(tagged).collect();
    match found[..] {
        [] => Ok(None),
        [one] => Ok(Some(one)),
        _ => Err(shared(name, found)),
    }
}

/// Returns the name of the entry for a tag.
///
/// - `under`: the only name of a store that is restricted to one name. Every tag then stands for
///   this name, except digest tags (`sha256-<hex>.sig`), because they do not name the image but
///   what is attached to it.
#[must_use]
pub fn entry_name<'a>(tag: &'a Tag, under: Option<&'a str>) -> &'a str {
    match under {
        Some(name) if !tag.is_digest_tag() || tag_in(name).as_ref() == Some(tag) => name,
        _ => tag.as_str(),
    }
}

/// Finds the entry that a selector selects: for a tag, the entry that [`named`] finds, and for a
/// digest, the last entry with this digest.
///
/// - `under`: the only name of a store that is restricted to one name; see [`entry_name`].
///
/// # Errors
/// Same as [`named`].
pub fn listed<'a>(
    entries: &'a [Descriptor],
    selector: &TagOrDigest,
    under: Option<&str>,
) -> Result<Option<&'a Descriptor>> {
    match selector {
        TagOrDigest::Tag(tag) => named(entries, entry_name(tag, under)),
        TagOrDigest::Digest(digest) => {
            Ok(entries.iter().rev().find(|entry| entry.digest == *digest))
        }
    }
}

/// Builds the error for a manifest that a store does not have. For `under`, see [`listed`].
#[must_use]
pub fn missing(store: &str, selector: &TagOrDigest, under: Option<&str>) -> Error {
    Error::new(ErrorKind::NotFound).at(match selector {
        TagOrDigest::Tag(tag) => format!("{store}:{}", entry_name(tag, under)),
        TagOrDigest::Digest(digest) => format!("{store}@{digest}"),
    })
}

/// Returns the tags after `after`, in order. A tag with several names is returned once.
#[must_use]
pub fn tags(entries: &[Descriptor], after: Option<&Tag>) -> Vec<Tag> {
    ordered(entries.iter().filter_map(tag_of), after)
}

/// Returns the tags after `after`, in order and without duplicates.
#[must_use]
pub fn ordered(tags: impl IntoIterator<Item = Tag>, after: Option<&Tag>) -> Vec<Tag> {
    let tags = tags.into_iter().filter(|tag| after.is_none_or(|after| tag > after));
    tags.collect::<BTreeSet<Tag>>().into_iter().collect()
}

/// Adds an entry for a manifest, with `name` if given.
///
/// If another entry has exactly this name, the name is removed from that entry. That entry is
/// removed too, unless it has an artifact type, because it may be the entry of a referrer. Other
/// names are kept, even if they stand for the same tag. Children of an index lose their entries
/// without names, because the index lists them.
///
/// # Errors
/// [`Invalid`](ErrorKind::Invalid) if the specification does not allow the name.
///
/// Source: image-spec v1.1.1, "Pre-Defined Annotation Keys", `org.opencontainers.image.ref.name`.
pub fn list(entries: &mut Vec<Descriptor>, entry: Entry, name: Option<&str>) -> Result<()> {
    name.map_or(Ok(()), check_name)?;
    let Entry { descriptor: mut entry, children } = entry;
    let inside: HashSet<_> = children.iter().map(|d| &d.digest).collect();
    entries.retain(|d| name_of(d).is_some() || !inside.contains(&d.digest));
    let Some(name) = name else {
        if entries.iter().all(|d| d.digest != entry.digest) {
            entries.push(entry);
        }
        return Ok(());
    };
    let named = |d: &Descriptor| name_of(d) == Some(name);
    if entries.iter().rfind(|d| named(d)).is_some_and(|d| d.digest == entry.digest) {
        return Ok(());
    }
    entries.retain(|d| !named(d) || d.artifact_type.is_some());
    for d in entries.iter_mut().filter(|d| named(d)) {
        d.annotations.0.remove(Annotations::REF_NAME);
    }
    entries.retain(|d| d.digest != entry.digest || name_of(d).is_some());
    entry.annotations.insert(Annotations::REF_NAME, name);
    entries.push(entry);
    Ok(())
}

/// Checks that a new entry may have this name: a tag, or words joined by separators.
///
/// # Errors
/// [`Invalid`](ErrorKind::Invalid) if the name is not allowed.
pub fn check_name(name: &str) -> Result<()> {
    let separator = |c: char| "-._:@+/".contains(c);
    let word = |c: char| c.is_ascii_alphanumeric();
    let is_name = name.starts_with(word)
        && name.ends_with(word)
        && name.chars().all(|c| word(c) || separator(c))
        && !name.contains("//");
    if is_name || Tag::parse(name).is_ok() {
        return Ok(());
    }
    Err(Error::new(ErrorKind::Invalid)
        .at(name)
        .detail("expected an image name, such as v1 or team/app:v1"))
}

/// Removes a name, which is looked up as in [`named`]. The manifest stays listed. Returns false if
/// no entry is found.
///
/// # Errors
/// Same as [`named`].
pub fn unname(entries: &mut Vec<Descriptor>, name: &str) -> Result<bool> {
    let Some(name) = named(entries, name)?.and_then(name_of).map(str::to_owned) else {
        return Ok(false);
    };
    for d in entries.iter_mut().filter(|d| name_of(d) == Some(&name)) {
        d.annotations.0.remove(Annotations::REF_NAME);
    }
    // Remove entries without a name if another entry lists the same manifest.
    let named = entries.iter().filter(|d| name_of(d).is_some());
    let mut listed: HashSet<_> = named.map(|d| d.digest.clone()).collect();
    entries.retain(|d| name_of(d).is_some() || listed.insert(d.digest.clone()));
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(content: &str, name: Option<&str>) -> Descriptor {
        let mut entry = Descriptor::from_bytes(MediaType::OCI_MANIFEST, content.as_bytes());
        if let Some(name) = name {
            entry.annotations.insert(Annotations::REF_NAME, name);
        }
        entry
    }

    fn childless(content: &str) -> Entry {
        Entry { descriptor: entry(content, None), children: Vec::new() }
    }

    fn tag(name: &str) -> Tag {
        Tag::parse(name).unwrap()
    }

    fn entries() -> Vec<Descriptor> {
        [
            ("a", Some("v1")),
            ("b", Some("docker.io/library/alpine:v2")),
            ("c", Some("alpine:v1")),
            ("d", Some("not a name")),
            ("e", None),
            ("f", Some("alpine:v3")),
            ("g", Some("a/b:v3")),
            ("h", Some("a/b:v3")),
            ("i", Some("a/b")),
        ]
        .map(|(content, name)| entry(content, name))
        .to_vec()
    }

    #[test]
    fn what_is_attached_to_an_image_does_not_hide_that_it_is_the_only_one() {
        let signature = Tag::for_referrers(&Digest::sha256(b"image")).unwrap();
        let signature = entry("sig", Some(&format!("{signature}.sig")));
        let mut referrer = entry("sbom", None);
        referrer.artifact_type = Some("a/sbom".parse().unwrap());
        let selected = |entries: &[&Descriptor]| {
            let entries: Vec<Descriptor> = entries.iter().copied().cloned().collect();
            only(&entries).unwrap().map(|found| found.to_string())
        };
        let (named, unnamed) = (entry("image", Some("v1")), entry("image", None));
        let digest = unnamed.digest.to_string();
        assert_eq!(selected(&[&signature, &named, &referrer]).as_deref(), Some("v1"));
        assert_eq!(selected(&[&referrer, &unnamed, &signature]), Some(digest));
        assert_eq!(selected(&[&referrer]), Some(referrer.digest.to_string()));
    }

    #[test]
    fn only_digest_tags_keep_their_entries_under_another_name() {
        let signature = Tag::for_referrers(&Digest::sha256(b"image")).unwrap();
        let signature = tag(&format!("{signature}.sig"));
        let whole = format!("docker.io/library/app:{signature}");
        for (tag, under, name) in [
            (&tag("v1"), None, "v1"),
            (&tag("v1"), Some("app:v2"), "app:v2"),
            (&signature, Some("app:v2"), signature.as_str()),
            (&signature, Some(whole.as_str()), whole.as_str()),
        ] {
            assert_eq!(entry_name(tag, under), name);
        }
    }

    #[test]
    fn an_entry_is_found_by_its_name_or_by_an_unambiguous_tag() {
        let entries = entries();
        assert_eq!(tags(&entries, None), ["latest", "v1", "v2", "v3"].map(tag));
        assert_eq!(tags(&entries, Some(&tag("v2"))), [tag("v3")]);
        for (name, content) in [
            ("v1", Some("a")),
            ("alpine:v1", Some("c")),
            ("v2", Some("b")),
            ("docker.io/library/alpine:v2", Some("b")),
            ("alpine:v2", None),
            ("not a name", Some("d")),
            ("a/b:v3", Some("h")),
            ("a/b", Some("i")),
            ("latest", Some("i")),
            ("v4", None),
        ] {
            let found = named(&entries, name).unwrap().map(|d| d.digest.clone());
            assert_eq!(found, content.map(|content| entry(content, None).digest), "{name}");
        }
        let e = named(&entries, "v3").unwrap_err();
        assert_eq!(e.kind(), ErrorKind::Conflict);
        for part in [format!("a/b:v3 ({})", entries[7].digest), "alpine:v3".to_owned()] {
            assert!(e.to_string().contains(&part), "{e}");
        }
    }

    #[test]
    fn the_only_manifest_is_the_default_even_beside_other_documents() {
        let image = entry("image", None);
        let xml = Descriptor::from_bytes("application/xml".parse().unwrap(), b"xml");
        let chosen = |entries: &[Descriptor]| only(entries).map_err(|e| e.kind());
        let by_digest = |entry: &Descriptor| Ok(Some(entry.digest.clone().into()));
        assert_eq!(chosen(&[xml.clone(), image.clone()]), by_digest(&image));
        assert_eq!(chosen(std::slice::from_ref(&xml)), by_digest(&xml));
        assert_eq!(chosen(&[xml, image, entry("other", None)]), Ok(None));
        assert_eq!(chosen(&[]), Err(ErrorKind::NotFound));
    }

    #[test]
    fn distinct_tags_fails_if_two_names_have_the_same_tag() {
        let named = |names: &[&str]| {
            let entries: Vec<_> = names.iter().map(|name| entry(name, Some(name))).collect();
            distinct_tags(&entries)
                .map(|tags| tags.keys().map(ToString::to_string).collect::<Vec<_>>().join(" "))
                .map_err(|e| e.kind())
        };
        assert_eq!(named(&["v1", "a/b:v2", "a/b"]), Ok("latest v1 v2".to_owned()));
        assert_eq!(named(&["a/b:v1", "a/b:v1"]), Ok("v1".to_owned()));
        assert_eq!(named(&["v1", "a/b:v1"]), Err(ErrorKind::Conflict));
        assert_eq!(named(&["v1", "not a name"]), Err(ErrorKind::Unsupported));
    }

    #[test]
    fn only_the_entry_of_the_same_name_is_replaced_or_removed() {
        let mut entries = entries();
        let count = entries.len();
        list(&mut entries, childless("new"), Some("v2")).unwrap();
        list(&mut entries, childless("newer"), Some("alpine:v1")).unwrap();
        assert_eq!(entries.len(), count + 1);
        let found = |entries: &[Descriptor], name| named(entries, name).unwrap().cloned();
        assert_eq!(found(&entries, "v2"), Some(entry("new", Some("v2"))));
        assert_eq!(found(&entries, "v1"), Some(entry("a", Some("v1"))));
        assert_eq!(found(&entries, "alpine:v1"), Some(entry("newer", Some("alpine:v1"))));
        assert!(unname(&mut entries, "v3").is_err());
        assert!(unname(&mut entries, "v2").unwrap());
        assert!(unname(&mut entries, "v2").unwrap());
        assert!(!unname(&mut entries, "v2").unwrap());
        assert_eq!(found(&entries, "v1"), Some(entry("a", Some("v1"))));
    }

    #[test]
    fn a_new_name_must_be_allowed_by_the_specification() {
        for (name, allowed) in [
            ("v1", true),
            ("_x", true),
            ("team/app:v9", true),
            ("host:5000/team/app:v9", true),
            ("team/app", true),
            ("a+b", true),
            ("a--b", true),
            ("", false),
            ("-x", false),
            ("/a", false),
            ("a//b", false),
            ("a/", false),
            ("a b", false),
            ("a\u{7}b", false),
        ] {
            let listed = list(&mut Vec::new(), childless("a"), Some(name));
            assert_eq!(listed.is_ok(), allowed, "{name:?}");
        }
    }

    #[test]
    fn a_tag_moves_and_children_need_no_entry() {
        let mut entries = Vec::new();
        let mut push = |entry, name| {
            list(&mut entries, entry, name).unwrap();
            entries.clone()
        };
        push(childless("child"), None);
        assert_eq!(push(childless("child"), None).len(), 1);
        let index = Entry { children: vec![entry("child", None)], ..childless("index") };
        assert_eq!(push(index, Some("v1")), [entry("index", Some("v1"))]);
        push(childless("index"), Some("v2"));
        assert_eq!(
            push(childless("other"), Some("v1")),
            [entry("index", Some("v2")), entry("other", Some("v1"))]
        );
    }
}
