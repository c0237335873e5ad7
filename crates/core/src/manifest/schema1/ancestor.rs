//! The v1 images that a schema 1 image consists of.

use serde::Deserialize;

use super::Schema1;
use crate::error::{Error, ErrorKind, Result};
use crate::manifest::History;

/// One of the v1 images that a schema 1 image consists of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ancestor {
    /// The ID of the image, which the builder chose: usually 64 hex digits.
    pub id: String,
    /// The ID of the parent, which is the image below.
    pub parent: Option<String>,
    /// The step that created the image.
    pub history: History,
    /// The operating system, if the image states it.
    pub os: Option<String>,
}

impl Schema1 {
    /// Returns the v1 images, newest first, each with the step that created it. This list is the v1
    /// history of a schema 1 image.
    ///
    /// # Errors
    /// [`Invalid`](ErrorKind::Invalid) if an entry is not the JSON of a v1 image.
    ///
    /// Source: Docker image specification v1; image manifest version 2, schema 1, "history".
    pub fn ancestors(&self) -> Result<Vec<Ancestor>> {
        self.history.iter().map(|entry| Ancestor::parse(&entry.v1_compatibility)).collect()
    }

    /// Returns the IDs of the v1 images, newest first. The v1 API calls this list the ancestry.
    /// Omits entries without an ID.
    #[must_use]
    pub fn ancestry(&self) -> Vec<String> {
        #[derive(Deserialize)]
        struct Image {
            id: String,
        }
        let images =
            self.history.iter().map(|h| serde_json::from_str::<Image>(&h.v1_compatibility));
        images.filter_map(|image| Some(image.ok()?.id)).collect()
    }
}

impl Ancestor {
    fn parse(json: &str) -> Result<Self> {
        #[derive(Deserialize)]
        struct V1Image {
            id: String,
            parent: Option<String>,
            created: Option<String>,
            author: Option<String>,
            comment: Option<String>,
            #[serde(default)]
            throwaway: bool,
            container_config: Option<Container>,
            os: Option<String>,
        }
        #[derive(Deserialize)]
        struct Container {
            #[serde(rename = "Cmd")]
            cmd: Option<Vec<String>>,
        }
        let image: V1Image = serde_json::from_str(json).map_err(|e| {
            Error::new(ErrorKind::Invalid).detail(format!("v1Compatibility is not a v1 image: {e}"))
        })?;
        let command = image.container_config.and_then(|container| container.cmd);
        let history = History {
            created: image.created,
            created_by: command.map(|words| words.join(" ")),
            author: image.author.filter(|author| !author.is_empty()),
            comment: image.comment.filter(|comment| !comment.is_empty()),
            empty_layer: image.throwaway,
            extra: serde_json::Map::new(),
        };
        let parent = image.parent.filter(|parent| !parent.is_empty());
        Ok(Self { id: image.id, parent, history, os: image.os.filter(|os| !os.is_empty()) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn schema1(compatibility: &[&str]) -> Schema1 {
        let history: Vec<_> = compatibility
            .iter()
            .map(|json| serde_json::json!({ "v1Compatibility": json }))
            .collect();
        let document =
            serde_json::json!({ "schemaVersion": 1, "fsLayers": [], "history": history });
        serde_json::from_value(document).unwrap()
    }

    #[test]
    fn ancestors_are_returned_newest_first() {
        let image = schema1(&[
            r##"{"id":"b2","parent":"a1","throwaway":true,"os":"linux",
                "container_config":{"Cmd":["/bin/sh","-c","#(nop) CMD [\"sh\"]"]}}"##,
            r#"{"id":"a1","created":"2015-10-31T22:22:56.015925234Z","container_config":{"Cmd":null}}"#,
        ]);
        let ancestors = image.ancestors().unwrap();
        let ids: Vec<&str> = ancestors.iter().map(|ancestor| ancestor.id.as_str()).collect();
        assert_eq!(ids, ["b2", "a1"]);
        assert_eq!(ancestors[0].parent.as_deref(), Some("a1"));
        assert_eq!(ancestors[1].parent, None);
        assert!(ancestors[0].history.empty_layer);
        assert_eq!(ancestors[0].history.instruction().as_deref(), Some("CMD [\"sh\"]"));
        assert_eq!(ancestors[1].history.created.as_deref(), Some("2015-10-31T22:22:56.015925234Z"));
    }

    #[test]
    fn an_entry_that_is_not_a_v1_image_is_refused() {
        for bad in ["", "[]", "{}", r#"{"id":1}"#] {
            assert_eq!(
                schema1(&[bad]).ancestors().unwrap_err().kind(),
                ErrorKind::Invalid,
                "{bad}"
            );
        }
    }
}
