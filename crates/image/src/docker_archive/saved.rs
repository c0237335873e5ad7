//! The images of an archive that is being written, and the members of these images.

use std::collections::BTreeMap;

use bytes::Bytes;
use longshore_core::{Digest, Error, ErrorKind, MediaType, RawManifest, Reference, Result};
use serde::Serialize;

use super::image::{Image, Stored};
use super::manifest_json::{self, Item};
use crate::tar_file::Part;

/// An image to be written.
#[derive(Clone, Debug)]
pub(super) struct Saved {
    /// The manifest that was pushed, or that represents an image of the existing archive.
    pub(super) manifest: RawManifest,
    pub(super) references: Vec<Reference>,
    pub(super) config: Member,
    pub(super) layers: Vec<Member>,
}

/// A member of the archive. The same name always means the same content.
#[derive(Clone, Debug)]
pub(super) struct Member {
    name: String,
    part: Part,
    digest: Digest,
}

impl Member {
    pub(super) fn config(digest: Digest, part: Part) -> Self {
        let name = format!("{}.json", digest.encoded());
        Self { name, part, digest }
    }

    /// Creates the member of a layer with this digest. The member's name depends on the compression
    /// in the media type.
    pub(super) fn layer(digest: Digest, media_type: &MediaType, part: Part) -> Self {
        let ending = match media_type.as_str().rsplit_once('.') {
            Some((_, "gzip")) => "tar.gz",
            Some((_, "zstd")) => "tar.zst",
            _ => "tar",
        };
        let name = format!("{}.{ending}", digest.encoded());
        Self { name, part, digest }
    }
}

impl Saved {
    /// Creates the entry for an image that is kept from the existing archive.
    pub(super) fn kept(image: &Image) -> Self {
        let part = |stored: &Stored| Part::Section(stored.section.clone());
        let layer = |stored: &Stored| {
            let described = &stored.descriptor;
            Member::layer(described.digest.clone(), &described.media_type, part(stored))
        };
        Self {
            manifest: image.manifest.clone(),
            references: image.references.clone(),
            config: Member::config(image.config.descriptor.digest.clone(), part(&image.config)),
            layers: image.layers.iter().map(layer).collect(),
        }
    }

    fn same_content(&self, other: &Self) -> bool {
        let names = self.layers.iter().map(|layer| &layer.name);
        self.config.name == other.config.name
            && names.eq(other.layers.iter().map(|layer| &layer.name))
    }

    fn item(&self) -> Item {
        let names: Vec<String> = self.references.iter().map(ToString::to_string).collect();
        Item {
            config: self.config.name.clone(),
            repo_tags: Some(names).filter(|names| !names.is_empty()),
            layers: Some(self.layers.iter().map(|layer| layer.name.clone()).collect()),
        }
    }
}

/// Adds an image, with the name `reference` if given.
///
/// If another image has this name, the name is removed from that image. An image whose only name is
/// removed is also removed. If the same image already exists, the name is added to it.
pub(super) fn save(images: &mut Vec<Saved>, mut image: Saved, reference: Option<Reference>) {
    if let Some(reference) = reference {
        images.retain_mut(|other| {
            let named = other.references.contains(&reference);
            other.references.retain(|r| *r != reference);
            !named || !other.references.is_empty()
        });
        image.references.push(reference);
    }
    match images.iter_mut().find(|other| other.same_content(&image)) {
        Some(existing) => {
            existing.references.append(&mut image.references);
            existing.manifest = image.manifest;
        }
        None => images.push(image),
    }
}

/// Returns all members of the archive: the two documents, then all other members in the order of
/// their names.
pub(super) fn members(images: &[Saved]) -> Result<Vec<(String, Part)>> {
    let items: Vec<Item> = images.iter().map(Saved::item).collect();
    let named = images.iter().map(|image| {
        let top = image.layers.last().map(|layer| &layer.digest);
        (&image.references[..], top)
    });
    let repositories = manifest_json::repositories(named);
    let documents = [
        document(manifest_json::MANIFEST, &items)?,
        document(manifest_json::REPOSITORIES, &repositories)?,
    ];
    let blobs: BTreeMap<String, Part> = images
        .iter()
        .flat_map(|image| std::iter::once(&image.config).chain(&image.layers))
        .map(|member| (member.name.clone(), member.part.clone()))
        .collect();
    Ok(documents.into_iter().chain(blobs).collect())
}

fn document(name: &str, content: &impl Serialize) -> Result<(String, Part)> {
    let bytes = serde_json::to_vec(content)
        .map_err(|e| Error::new(ErrorKind::Invalid).at(name).with_source(e))?;
    Ok((name.to_owned(), Part::Bytes(Bytes::from(bytes))))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn image(content: &str) -> Saved {
        let json = format!(
            r#"{{"schemaVersion":2,"config":{{"mediaType":"a/b","digest":"{}","size":1}},"layers":[]}}"#,
            Digest::sha256(content.as_bytes())
        );
        let part = Part::Bytes(Bytes::copy_from_slice(content.as_bytes()));
        Saved {
            manifest: RawManifest::from_bytes(json.into(), Some(MediaType::DOCKER_MANIFEST))
                .unwrap(),
            references: Vec::new(),
            config: Member::config(Digest::sha256(content.as_bytes()), part),
            layers: Vec::new(),
        }
    }

    fn names(images: &[Saved]) -> Vec<Vec<String>> {
        let texts = |image: &Saved| image.references.iter().map(ToString::to_string).collect();
        images.iter().map(texts).collect()
    }

    #[test]
    fn names_of_the_same_image_are_merged_and_names_in_use_are_moved() {
        let mut images = Vec::new();
        let name = |text: &str| Some(Reference::familiar(text).unwrap());
        save(&mut images, image("a"), name("r.example/a:1"));
        save(&mut images, image("a"), name("r.example/a:2"));
        save(&mut images, image("a"), name("r.example/a:2"));
        save(&mut images, image("b"), None);
        assert_eq!(names(&images), [vec!["r.example/a:1", "r.example/a:2"], vec![]]);
        save(&mut images, image("c"), name("r.example/a:1"));
        save(&mut images, image("b"), name("r.example/a:2"));
        assert_eq!(names(&images), [vec!["r.example/a:2"], vec!["r.example/a:1"]]);
        let members: Vec<String> = members(&images).unwrap().into_iter().map(|m| m.0).collect();
        assert_eq!(members[..2], ["manifest.json", "repositories"]);
        assert_eq!(members.len(), 4);
    }
}
