//! The signed content of a schema 1 manifest: the exact bytes of the document without its
//! signatures.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;
use serde_json::{Map, Value};

/// One signature, reduced to its protected header.
#[derive(Deserialize)]
struct Signature {
    protected: String,
}

/// The protected header of a signature. The header describes how to restore the payload.
#[derive(PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Format {
    /// The number of bytes of the payload that come before the signatures.
    format_length: usize,
    /// The end of the payload, in base64url.
    format_tail: String,
}

/// Restores the signed content of a manifest. The signatures are not checked.
///
/// A manifest with other content besides its payload and signatures is refused, because no
/// signature and no digest would cover that content.
///
/// Source: Docker image manifest version 2, schema 1, "Signed Manifests"; libtrust, `jsonsign.go`.
///
/// # Errors
/// A clause with the reason why the content is not signed, or does not match the signatures.
pub(in super::super) fn payload(manifest: &[u8]) -> Result<Vec<u8>, &'static str> {
    let mut document: Map<String, Value> =
        serde_json::from_slice(manifest).map_err(|_| "the manifest is not a JSON object")?;
    if document.get("schemaVersion").and_then(Value::as_u64) != Some(1) {
        return Err("the manifest is not schema 1");
    }
    let signatures = document.remove("signatures").ok_or("the manifest is not signed")?;
    let signatures: Vec<Signature> =
        serde_json::from_value(signatures).map_err(|_| "the signatures are unreadable")?;
    let mut formats = signatures.iter().map(|signature| format(&signature.protected));
    let format = formats.next().ok_or("the manifest is not signed")??;
    for other in formats {
        if other? != format {
            return Err("the signatures disagree about the signed content");
        }
    }
    let payload = format.payload(manifest)?;
    let signed: Map<String, Value> =
        serde_json::from_slice(&payload).map_err(|_| "the signed content is not a JSON object")?;
    if signed != document {
        return Err("the manifest differs from the signed content");
    }
    Ok(payload)
}

impl Format {
    fn payload(&self, manifest: &[u8]) -> Result<Vec<u8>, &'static str> {
        let start = manifest.get(..self.format_length);
        let mut payload = start.ok_or("the manifest is shorter than the signed content")?.to_vec();
        payload.extend(from_base64url(&self.format_tail).ok_or("formatTail is unreadable")?);
        Ok(payload)
    }
}

fn format(protected: &str) -> Result<Format, &'static str> {
    let bytes = from_base64url(protected).ok_or("a protected header is unreadable")?;
    serde_json::from_slice(&bytes)
        .map_err(|_| "a protected header does not describe the signed content")
}

/// Decodes base64url. Padding is optional.
fn from_base64url(text: &str) -> Option<Vec<u8>> {
    URL_SAFE_NO_PAD.decode(text.trim_end_matches('=')).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAYLOAD: &str = "{\n   \"schemaVersion\": 1,\n   \"fsLayers\": []\n}";

    fn signature(length: usize, tail: &str) -> String {
        let format = format!("{{\"formatLength\":{length},\"formatTail\":\"{tail}\"}}");
        format!("{{\"protected\":\"{}\"}}", URL_SAFE_NO_PAD.encode(format))
    }

    fn document(signatures: &[String], more: &str) -> String {
        let start = &PAYLOAD[..PAYLOAD.len() - 2];
        format!("{start},\n   \"signatures\": [{}]{more}\n}}", signatures.join(","))
    }

    #[test]
    fn the_payload_is_restored_and_unsigned_content_is_refused() {
        let good = signature(PAYLOAD.len() - 2, "Cn0");
        let one = document(std::slice::from_ref(&good), "");
        assert_eq!(payload(one.as_bytes()).unwrap(), PAYLOAD.as_bytes());
        let two = document(&[good.clone(), good.clone()], "");
        assert_eq!(payload(two.as_bytes()).unwrap(), PAYLOAD.as_bytes());
        let other_length = [good.clone(), signature(PAYLOAD.len() - 1, "Cn0")];
        let other_tail = [good.clone(), signature(PAYLOAD.len() - 2, "IH0")];
        for (bad, word) in [
            (document(std::slice::from_ref(&good), ",\"tag\":\"v1\""), "differs from"),
            (document(std::slice::from_ref(&good), ",\"fsLayers\":[1]"), "differs from"),
            (document(&other_length, ""), "disagree"),
            (document(&other_tail, ""), "disagree"),
            (document(&[signature(6628, "Cn0")], ""), "shorter"),
            (document(&[signature(8, "Cn0")], ""), "not a JSON"),
            (document(&[signature(PAYLOAD.len() - 2, "!")], ""), "formatTail"),
            (one.replace("eyJ", "eyK"), "protected"),
            (one.replace("eyJ", "!"), "protected"),
            (document(&[], ""), "not signed"),
            (document(&["1".to_owned()], ""), "unreadable"),
            (PAYLOAD.to_owned(), "not signed"),
            // A schema 2 manifest has no separate payload.
            (one.replace("Version\": 1", "Version\": 2"), "not schema 1"),
            (String::new(), "not a JSON"),
        ] {
            let clause = payload(bad.as_bytes()).err().unwrap_or_else(|| panic!("accepted {bad}"));
            assert!(clause.contains(word), "{bad}: {clause}");
        }
    }
}
