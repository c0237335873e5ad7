//! The names in `index.json`, and how entries are listed under them. Pure: every store that keeps a
//! layout, in a folder or in a tar file, uses it.

use std::collections::HashSet;

use crate::annotations::Annotations;
use crate::descriptor::Descriptor;
use crate::error::{Error, ErrorKind, Result};
use crate::graph;
use crate::manifest::RawManifest;
use crate::reference::{Reference, Tag, TagOrDigest};

/// What is listed of a manifest.
#[derive(Clone, Debug)]
pub struct Entry {
    descriptor: Descriptor,
    /// The manifests it lists itself, which need no entries of their own.
    children: Vec<Descriptor>,
}

impl Entry {
    /// The entry of a manifest, with the artifact type of one that refers to another.
    ///
    /// # Errors
    /// As [`graph::Successors::of`] and [`graph::referrer`].
    pub fn of(manifest: &RawManifest) -> Result<Self> {
        let children = graph::Successors::of(manifest)?.manifests;
        let mut descriptor = manifest.descriptor().clone();
        if let Some((_, referrer)) = graph::referrer(manifest)? {
            descriptor.artifact_type = referrer.artifact_type;
        }
        Ok(Self { descriptor, children })
    }
}

/// The name of an entry.
#[must_use]
pub fn name_of(entry: &Descriptor) -> Option<&str> {
    entry.annotations.get(Annotations::REF_NAME)
}

/// The tag of an entry: its name, or the tag of the reference that its name is (podman writes those).
#[must_use]
pub fn tag_of(entry: &Descriptor) -> Option<Tag> {
    let name = name_of(entry)?;
    Tag::parse(name).ok().or_else(|| Reference::familiar(name).ok()?.tag().cloned())
}

/// The only manifest there is: the one that is named if just one is (by its tag, if it has one), else
/// the only one; `None` if there are several without names.
///
/// # Errors
/// [`NotFound`](ErrorKind::NotFound) if there is none; [`Conflict`](ErrorKind::Conflict) with the names
/// to choose from if there are several.
pub fn only(entries: &[Descriptor]) -> Result<Option<TagOrDigest>> {
    let named: Vec<&Descriptor> = entries.iter().filter(|d| name_of(d).is_some()).collect();
    match (&named[..], entries) {
        ([one], _) => {
            Ok(Some(tag_of(one).map_or_else(|| one.digest.clone().into(), TagOrDigest::from)))
        }
        ([], [one]) => Ok(Some(one.digest.clone().into())),
        ([], []) => Err(Error::new(ErrorKind::NotFound).detail("it holds no image")),
        ([], _) => Ok(None),
        _ => {
            let names: Vec<&str> = named.iter().filter_map(|d| name_of(d)).collect();
            Err(several(&names))
        }
    }
}

/// The error of a store with several images where one was to be chosen.
#[must_use]
pub fn several(names: &[&str]) -> Error {
    Error::new(ErrorKind::Conflict)
        .detail(format!("several images: {}", names.join(", ")))
        .with_hint("Say which one, by :TAG or @DIGEST after the path.")
}

/// The entry that is meant, the last one of several.
#[must_use]
pub fn listed<'a>(entries: &'a [Descriptor], selector: &TagOrDigest) -> Option<&'a Descriptor> {
    entries.iter().rev().find(|entry| match selector {
        TagOrDigest::Tag(tag) => tag_of(entry).as_ref() == Some(tag),
        TagOrDigest::Digest(digest) => entry.digest == *digest,
    })
}

/// The tags after `after`, in order, each once.
#[must_use]
pub fn tags(entries: &[Descriptor], after: Option<&Tag>) -> Vec<Tag> {
    let mut tags: Vec<Tag> = entries
        .iter()
        .filter_map(tag_of)
        .filter(|tag| after.is_none_or(|after| tag > after))
        .collect();
    tags.sort();
    tags.dedup();
    tags
}

/// Lists a manifest, under `tag` if given.
///
/// Whatever had the tag before gives it up and goes, unless it has a part in a listing of referrers.
/// Children of an index need no entries of their own.
pub fn list(entries: &mut Vec<Descriptor>, entry: Entry, tag: Option<&Tag>) {
    let Entry { descriptor: mut entry, children } = entry;
    let inside: HashSet<_> = children.iter().map(|d| &d.digest).collect();
    entries.retain(|d| name_of(d).is_some() || !inside.contains(&d.digest));
    let Some(tag) = tag else {
        if entries.iter().all(|d| d.digest != entry.digest) {
            entries.push(entry);
        }
        return;
    };
    let named = |d: &Descriptor| tag_of(d).as_ref() == Some(tag);
    if entries.iter().rfind(|d| named(d)).is_some_and(|d| d.digest == entry.digest) {
        return;
    }
    entries.retain(|d| !named(d) || d.artifact_type.is_some());
    for d in entries.iter_mut().filter(|d| named(d)) {
        d.annotations.0.remove(Annotations::REF_NAME);
    }
    entries.retain(|d| d.digest != entry.digest || name_of(d).is_some());
    entry.annotations.insert(Annotations::REF_NAME, tag.as_str());
    entries.push(entry);
}

/// Takes a tag away; the manifest stays listed. Says whether there was one.
pub fn unname(entries: &mut Vec<Descriptor>, tag: &Tag) -> bool {
    let mut found = false;
    for d in entries.iter_mut().filter(|d| tag_of(d).as_ref() == Some(tag)) {
        d.annotations.0.remove(Annotations::REF_NAME);
        found = true;
    }
    // Another name, or an earlier nameless entry, lists it already.
    let named = entries.iter().filter(|d| name_of(d).is_some());
    let mut listed: HashSet<_> = named.map(|d| d.digest.clone()).collect();
    entries.retain(|d| name_of(d).is_some() || listed.insert(d.digest.clone()));
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::media_type::MediaType;

    fn entry(content: &str, name: Option<&str>) -> Descriptor {
        let mut entry = Descriptor::of(MediaType::OCI_MANIFEST, content.as_bytes());
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

    #[test]
    fn names_that_are_references_have_tags_too_and_the_last_one_counts() {
        let entries = [
            entry("a", Some("v1")),
            entry("b", Some("docker.io/library/alpine:v2")),
            entry("c", Some("alpine:v1")),
            entry("d", Some("not a name")),
            entry("e", None),
        ];
        assert_eq!(tags(&entries, None), [tag("v1"), tag("v2")]);
        assert_eq!(tags(&entries, Some(&tag("v1"))), [tag("v2")]);
        let found = |name| listed(&entries, &tag(name).into()).map(|d| &d.digest);
        assert_eq!(found("v1"), Some(&entries[2].digest));
        assert_eq!(found("v2"), Some(&entries[1].digest));
        assert_eq!(found("v3"), None);
    }

    #[test]
    fn a_tag_moves_and_children_need_no_entry() {
        let mut entries = Vec::new();
        list(&mut entries, childless("child"), None);
        list(&mut entries, childless("child"), None);
        assert_eq!(entries.len(), 1);
        let index = Entry { children: vec![entry("child", None)], ..childless("index") };
        list(&mut entries, index, Some(&tag("v1")));
        assert_eq!(entries, [entry("index", Some("v1"))]);
        list(&mut entries, childless("index"), Some(&tag("v2")));
        list(&mut entries, childless("other"), Some(&tag("v1")));
        assert_eq!(entries, [entry("index", Some("v2")), entry("other", Some("v1"))]);
    }
}
