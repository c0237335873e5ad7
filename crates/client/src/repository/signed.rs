//! Signed schema 1 manifests: their digest is that of what was signed, not of the bytes sent.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64URL;
use longshore_core::Digest;
use serde::Deserialize;
use serde_json::{Map, Value};

/// Whether this is the digest of the payload of a signed schema 1 manifest.
///
/// The signatures themselves are not checked: nobody's keys are known.
///
/// Source: Docker image manifest version 2, schema 1, "Signed Manifests".
pub(super) fn is_of_payload(manifest: &[u8], digest: &Digest) -> bool {
    let found = digest.algorithm().zip(payload(manifest));
    found.is_some_and(|(algorithm, payload)| algorithm.digest(&payload) == *digest)
}

/// What was signed: the start of the document, and the end that the signatures took the place of.
///
/// `None` if it is not signed, or says anything but its payload and signatures: a digest of the
/// payload would not cover that.
fn payload(manifest: &[u8]) -> Option<Vec<u8>> {
    let mut document: Map<String, Value> = serde_json::from_slice(manifest).ok()?;
    let signatures: Vec<Signature> = serde_json::from_value(document.remove("signatures")?).ok()?;
    let format: Format =
        serde_json::from_slice(&base64url(&signatures.first()?.protected)?).ok()?;
    let mut payload = manifest.get(..format.format_length)?.to_vec();
    payload.extend(base64url(&format.format_tail)?);
    let signed: Map<String, Value> = serde_json::from_slice(&payload).ok()?;
    (signed == document).then_some(payload)
}

#[derive(Deserialize)]
struct Signature {
    protected: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Format {
    format_length: usize,
    format_tail: String,
}

fn base64url(text: &str) -> Option<Vec<u8>> {
    BASE64URL.decode(text.trim_end_matches('=')).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAYLOAD: &str = "{\n   \"schemaVersion\": 1,\n   \"fsLayers\": []\n}";

    fn signed(more: &str) -> String {
        let length = PAYLOAD.len() - 2;
        let format = format!("{{\"formatLength\":{length},\"formatTail\":\"Cn0\"}}");
        let signature = format!("{{\"protected\":\"{}\"}}", BASE64URL.encode(format));
        format!("{},\n   \"signatures\": [{signature}]{more}\n}}", &PAYLOAD[..length])
    }

    #[test]
    fn the_payload_is_found_and_nothing_beside_it_is_accepted() {
        let digest = Digest::sha256(PAYLOAD.as_bytes());
        assert_eq!(payload(signed("").as_bytes()).unwrap(), PAYLOAD.as_bytes());
        assert!(is_of_payload(signed("").as_bytes(), &digest));
        assert!(!is_of_payload(signed("").as_bytes(), &Digest::sha256(b"")));
        for bad in [
            signed(",\"tag\":\"v1\""),
            signed(",\"fsLayers\":[1]"),
            signed("").replace("eyJ", "eyK"),
            "{\"schemaVersion\":1,\"signatures\":[]}".to_owned(),
            PAYLOAD.to_owned(),
            String::new(),
        ] {
            assert_eq!(payload(bad.as_bytes()), None, "{bad}");
        }
    }
}
