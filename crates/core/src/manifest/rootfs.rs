use serde::{Deserialize, Serialize};

use crate::digest::Digest;
use crate::json::null_is_default;

/// The digests of an image's layers, unpacked.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RootFs {
    /// Always `layers`.
    #[serde(default, rename = "type")]
    pub kind: String,
    /// The digest of each layer's plain tar, lowest first.
    #[serde(default, deserialize_with = "null_is_default")]
    pub diff_ids: Vec<Digest>,
}

impl RootFs {
    /// What each layer is with all those below it: the chain IDs, lowest layer first.
    ///
    /// The chain ID of the lowest layer is its diff ID; that of every other is the digest of the text
    /// of the chain ID below, a space, and the layer's diff ID. The last names the whole file system.
    /// Digests are computed with the algorithm of the layer's diff ID, sha256 where that is unknown.
    ///
    /// Source: image-spec v1.1.1, "Layer ChainID".
    #[must_use]
    pub fn chain_ids(&self) -> Vec<Digest> {
        let mut chain: Vec<Digest> = Vec::with_capacity(self.diff_ids.len());
        for diff_id in &self.diff_ids {
            let id = match chain.last() {
                None => diff_id.clone(),
                Some(below) => {
                    let algorithm = diff_id.algorithm().unwrap_or_default();
                    algorithm.digest(format!("{below} {diff_id}").as_bytes())
                }
            };
            chain.push(id);
        }
        chain
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Computed with `printf '%s %s' … | sha256sum` over the digests of "a", "b" and "c".
    #[test]
    fn chain_ids_are_those_computed_by_hand() {
        let diff_ids: Vec<Digest> = [b"a", b"b", b"c"].iter().map(|c| Digest::sha256(*c)).collect();
        let rootfs = RootFs { kind: "layers".to_owned(), diff_ids };
        let chain: Vec<String> = rootfs.chain_ids().iter().map(ToString::to_string).collect();
        assert_eq!(
            chain,
            [
                "sha256:ca978112ca1bbdcafac231b39a23dc4da786eff8147c4e72b9807785afee48bb",
                "sha256:51c0c8ace48498d6f5fee6b0592cc06f2da0f3cbe09c5a34a97dce85c3889676",
                "sha256:2fce7f8ce91bcf0a1428b36e1024639fdbd9469eea762dba98aa749631885106",
            ]
        );
        assert!(RootFs::default().chain_ids().is_empty());
    }
}
