//! Edits an image's documents to add layers. All other content stays unchanged.

use bytes::Bytes;
use longshore_core::document::{Object, raw};
use longshore_core::{
    Descriptor, Digest, Error, ErrorKind, History, Image, MediaType, ParseError, RawManifest,
    Result,
};
use serde_json::value::RawValue;

use super::layer::NewLayer;

/// The history entry that is added for each new layer.
pub(super) struct Entry {
    pub(super) created: Option<String>,
    pub(super) created_by: String,
    pub(super) comment: Option<String>,
}

impl Default for Entry {
    fn default() -> Self {
        Self { created: None, created_by: CREATED_BY.to_owned(), comment: None }
    }
}

/// An image with new layers, not yet written.
pub(super) struct Edited {
    pub(super) manifest: RawManifest,
    pub(super) config: Descriptor,
    pub(super) config_bytes: Bytes,
    pub(super) layers: Vec<Descriptor>,
}

/// Adds layers on top of an image.
///
/// # Errors
/// [`Invalid`](ErrorKind::Invalid) if the number of layers differs from the number of diff IDs.
pub(super) fn image(image: &Image, new: &[NewLayer], entry: &Entry) -> Result<Edited> {
    let (layers, diff_ids) = (image.layers().count(), image.config().rootfs.diff_ids.len());
    if layers != diff_ids {
        return Err(Error::new(ErrorKind::Invalid)
            .at(image.manifest().digest())
            .detail(format!("the image has {layers} layers but {diff_ids} diff IDs")));
    }
    let docker = *image.manifest().media_type() == MediaType::DOCKER_MANIFEST;
    let layers: Vec<Descriptor> = new.iter().map(|layer| layer.descriptor(docker)).collect();
    let diff_ids: Vec<&Digest> = new.iter().map(|layer| &layer.unpacked.diff_id).collect();
    let config_bytes = config(image, &diff_ids, entry)?;
    let config = Descriptor::from_bytes(image.parsed().config.media_type.clone(), &config_bytes);
    let manifest = manifest(image.manifest(), &config, &layers)?;
    Ok(Edited { manifest, config, config_bytes, layers })
}

/// Returns the config with additional diff IDs. If the history is complete, adds a history entry
/// for each new diff ID.
fn config(image: &Image, diff_ids: &[&Digest], entry: &Entry) -> Result<Bytes> {
    let mut config = Object::parse(image.config_bytes())?;
    let mut rootfs: Object = config.get("rootfs")?.unwrap_or_default();
    if rootfs.get::<String>("type")?.is_none() {
        rootfs.set("type", &"layers")?;
    }
    let mut all: Vec<Box<RawValue>> = rootfs.get("diff_ids")?.unwrap_or_default();
    for diff_id in diff_ids {
        all.push(raw(diff_id)?);
    }
    rootfs.set("diff_ids", &all)?;
    config.set("rootfs", &rootfs)?;

    let mut history: Vec<Box<RawValue>> = config.get("history")?.unwrap_or_default();
    // The history is extended only if it covers all existing layers. Otherwise, readers would
    // assign the new entries to existing layers.
    if image.config().non_empty_history().count() == image.layers().count() {
        let mut step = History::default();
        step.created.clone_from(&entry.created);
        step.created_by = Some(entry.created_by.clone());
        step.comment.clone_from(&entry.comment);
        for _ in diff_ids {
            history.push(raw(&step)?);
        }
        config.set("history", &history)?;
    }
    if let Some(created) = &entry.created {
        config.set("created", created)?;
    }
    config.bytes()
}

/// Returns the manifest with another config and with additional layers.
fn manifest(
    manifest: &RawManifest,
    config: &Descriptor,
    layers: &[Descriptor],
) -> Result<RawManifest> {
    let mut document = Object::parse(manifest.bytes())?;
    let mut pointer: Object = document.get("config")?.unwrap_or_default();
    point_at(&mut pointer, config)?;
    document.set("config", &pointer)?;
    let mut all: Vec<Box<RawValue>> = document.get("layers")?.unwrap_or_default();
    for layer in layers {
        all.push(raw(layer)?);
    }
    document.set("layers", &all)?;
    RawManifest::from_bytes(document.bytes()?, Some(manifest.media_type().clone()))
}

/// Returns the index with each entry of the old image pointing at the new image.
pub(super) fn index(index: &RawManifest, old: &Digest, new: &Descriptor) -> Result<RawManifest> {
    let mut document = Object::parse(index.bytes())?;
    let mut entries: Vec<Object> = document.get("manifests")?.unwrap_or_default();
    let mut replaced = false;
    for entry in &mut entries {
        if entry.get::<Digest>("digest")?.as_ref() == Some(old) {
            point_at(entry, new)?;
            replaced = true;
        }
    }
    if !replaced {
        return Err(Error::new(ErrorKind::Unsupported)
            .at(old)
            .detail("the image is in a nested index")
            .with_hint("Append to the nested index, by its digest."));
    }
    document.set("manifests", &entries)?;
    RawManifest::from_bytes(document.bytes()?, Some(index.media_type().clone()))
}

/// Points a descriptor at other content, and removes the embedded data and the URLs of the old
/// content.
fn point_at(descriptor: &mut Object, new: &Descriptor) -> Result<()> {
    descriptor.set("digest", &new.digest)?;
    descriptor.set("size", &new.size)?;
    for name in ["data", "urls"] {
        descriptor.remove(name);
    }
    Ok(())
}

/// Checks that a time is in RFC 3339 format, which the OCI image specification requires.
///
/// Source: RFC 3339, section 5.6.
pub(super) fn checked_time(text: &str) -> Result<String, ParseError> {
    let bad = || ParseError::new("time", text, "expected RFC 3339, such as 2026-01-31T12:00:00Z");
    let (date, rest) = text.split_once(['T', 't']).ok_or_else(bad)?;
    let end = rest.find(['Z', 'z', '+', '-']).ok_or_else(bad)?;
    let (time, zone) = rest.split_at(end);
    let (time, fraction) = time.split_once('.').map_or((time, None), |(t, f)| (t, Some(f)));
    let fraction_is_right =
        fraction.is_none_or(|f| !f.is_empty() && f.bytes().all(|byte| byte.is_ascii_digit()));
    let zone_is_right = match zone {
        "Z" | "z" => true,
        offset => numbers(&offset[1..], ':', &[(2, 0, 23), (2, 0, 59)]),
    };
    let right = numbers(date, '-', &[(4, 0, 9999), (2, 1, 12), (2, 1, 31)])
        && numbers(time, ':', &[(2, 0, 23), (2, 0, 59), (2, 0, 60)])
        && fraction_is_right
        && zone_is_right;
    if right { Ok(text.to_owned()) } else { Err(bad()) }
}

/// Returns true if the text consists of numbers joined by a separator, each within its bound. A
/// bound states the number of digits, the minimum and the maximum.
fn numbers(text: &str, between: char, bounds: &[(usize, u32, u32)]) -> bool {
    let parts: Vec<&str> = text.split(between).collect();
    parts.len() == bounds.len()
        && parts.iter().zip(bounds).all(|(part, (digits, least, most))| {
            part.len() == *digits
                && part.bytes().all(|byte| byte.is_ascii_digit())
                && part.parse().is_ok_and(|n: u32| (*least..=*most).contains(&n))
        })
}

/// The default for `created_by` in the history.
const CREATED_BY: &str = "longshore append";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_must_be_in_rfc_3339_format() {
        for good in [
            "2015-10-31T22:22:56.015925234Z",
            "1970-01-01T00:00:00Z",
            "2026-01-31T12:00:00+02:00",
            "2026-01-31t12:00:00.5z",
        ] {
            assert_eq!(checked_time(good).unwrap(), good);
        }
        for bad in [
            "",
            "now",
            "2026-01-31",
            "2026-01-31T12:00:00",
            "2026-13-31T12:00:00Z",
            "2026-01-31T25:00:00Z",
            "2026-01-31T12:00:00.Z",
            "2026-1-31T12:00:00Z",
            "2026-01-31T12:00:00+2",
            "2026-01-31T12:00:00Zulu",
        ] {
            assert!(checked_time(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn replacing_an_image_changes_only_its_index_entry() {
        let (old, other) = (Digest::sha256(b"old"), Digest::sha256(b"other"));
        let text = format!(
            r#"{{"schemaVersion":2,"unknown":1.10,"manifests":[{{"mediaType":"a/b","digest":"{old}","size":3,"platform":{{"os":"linux","architecture":"arm64","odd":1}},"data":"b2xk"}},{{"mediaType":"a/b","digest":"{other}","size":5}}]}}"#
        );
        let before =
            RawManifest::from_bytes(text.clone().into(), Some(MediaType::OCI_INDEX)).unwrap();
        let new = Descriptor::from_bytes(MediaType::OCI_MANIFEST, b"newer");
        let after = index(&before, &old, &new).unwrap();
        let expected = text
            .replace(&format!("\"{old}\",\"size\":3"), &format!("\"{}\",\"size\":5", new.digest))
            .replace(",\"data\":\"b2xk\"", "");
        assert_eq!(std::str::from_utf8(after.bytes()).unwrap(), expected);
    }
}
