//! `manifest.json` and `repositories`: the two documents of a docker-archive.

use std::collections::BTreeMap;

use longshore_core::{Digest, Error, ErrorKind, Reference, Result};
use serde::{Deserialize, Serialize};

use crate::tar_index::Members;

/// One image of `manifest.json`.
///
/// Source: Docker image specification v1.2, "Combined Image JSON + Filesystem Changeset Format".
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Item {
    /// The name of the member with the config.
    pub(super) config: String,
    /// The names with tags. If there are no names, Docker writes `null`.
    #[serde(default)]
    pub(super) repo_tags: Option<Vec<String>>,
    /// The names of the members with the layers, lowest first.
    #[serde(default)]
    pub(super) layers: Option<Vec<String>>,
}

impl Item {
    /// Returns the names. Text that is not a reference, such as `<none>:<none>`, is ignored.
    pub(super) fn references(&self) -> Vec<Reference> {
        let names = self.repo_tags.iter().flatten();
        names
            .filter_map(|name| Reference::familiar(name).ok())
            .map(|reference| reference.or_latest().into())
            .collect()
    }
}

/// Reads `manifest.json`.
///
/// # Errors
/// [`Invalid`](ErrorKind::Invalid) if the document is missing or damaged, with a hint if the
/// archive is of another kind; [`TooLarge`](ErrorKind::TooLarge) beyond 8 MiB or 200,000 layers.
pub(super) fn read(members: &Members) -> Result<Vec<Item>> {
    let Some(section) = members.find(MANIFEST)? else {
        return Err(no_docker_archive(members)?);
    };
    let bytes = section.bytes(LIMIT).map_err(|e| e.at(MANIFEST))?;
    let items: Vec<Item> = serde_json::from_slice(&bytes)
        .map_err(|e| Error::new(ErrorKind::Invalid).detail(format!("{MANIFEST}: {e}")))?;
    match items.iter().flat_map(|item| &item.layers).map(Vec::len).sum::<usize>() {
        0..=LAYER_LIMIT => Ok(items),
        _ => Err(Error::new(ErrorKind::TooLarge)
            .at(MANIFEST)
            .detail(format!("together, the images have more than {LAYER_LIMIT} layers"))),
    }
}

fn no_docker_archive(members: &Members) -> Result<Error> {
    let error = Error::new(ErrorKind::Invalid)
        .detail("not a docker-archive: manifest.json is missing in the archive");
    Ok(if members.find("index.json")?.is_some() {
        error.with_hint("Use oci-archive:FILE for an OCI layout in a tar file.")
    } else if members.find(REPOSITORIES)?.is_some() {
        error.with_hint("Docker before 1.10 wrote this archive. Save it again with a newer Docker.")
    } else {
        error
    })
}

/// Builds the content of `repositories`: the uppermost layer for each repository and tag. Docker
/// reads `repositories` only if `manifest.json` is missing. Some tools take the names of the images
/// from `repositories`.
pub(super) fn repositories<'a>(
    images: impl IntoIterator<Item = (&'a [Reference], Option<&'a Digest>)>,
) -> BTreeMap<String, BTreeMap<String, String>> {
    let mut repositories: BTreeMap<String, BTreeMap<String, String>> = BTreeMap::new();
    for (references, top) in images {
        for reference in references {
            if let (Some(tag), Some(top)) = (reference.tag(), top) {
                repositories
                    .entry(reference.repository().to_string())
                    .or_default()
                    .insert(tag.to_string(), top.encoded().to_owned());
            }
        }
    }
    repositories
}

pub(super) const MANIFEST: &str = "manifest.json";
pub(super) const REPOSITORIES: &str = "repositories";
/// 8 MiB: enough for thousands of images.
const LIMIT: usize = 8 << 20;
/// 200,000 layers: enough for 2,000 images with a hundred layers each. A shared layer counts once
/// for each image.
const LAYER_LIMIT: usize = 200_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn documents_of_docker_are_parsed_and_invalid_names_are_ignored() {
        let items: Vec<Item> = serde_json::from_str(
            r#"[{"Config":"c.json","RepoTags":["alpine","a/b:1","<none>:<none>","UPPER/x:1"],
                 "Layers":["l/layer.tar"],"LayerSources":{}},
                {"Config":"d.json","RepoTags":null,"Layers":null}]"#,
        )
        .unwrap();
        let names: Vec<String> = items[0].references().iter().map(ToString::to_string).collect();
        assert_eq!(names[..2], ["docker.io/library/alpine:latest", "docker.io/a/b:1"]);
        assert!(items[1].references().is_empty() && items[1].layers.is_none());
    }
}
