//! JSON web signatures as libtrust embeds them: verification and signing.

use std::borrow::Cow;

use bytes::Bytes;
use longshore::{
    Digest, Error, ErrorKind, EscapedText, Manifest, MediaType, RawManifest, Result, Schema1,
};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::key::{PublicKey, SigningKey};
use super::text::{from_base64url, to_base64url};

/// A schema 1 manifest whose signatures are valid.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Verified {
    /// The signed payload: the manifest without its signatures.
    pub payload: Bytes,
    /// The sha256 digest of the payload, which registries use as the manifest's digest.
    pub digest: Digest,
    /// The signers, in the order of the signatures. There is at least one.
    pub signers: Vec<Signer>,
}

/// The signer of a manifest. The caller decides whether the key is trusted.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Signer {
    /// The key that the signature states.
    pub key: PublicKey,
    /// The algorithm, such as `ES256`.
    pub algorithm: String,
}

/// Checks signatures. Implemented for [`RawManifest`].
pub trait VerifySignatures {
    /// Checks all signatures of a schema 1 manifest.
    ///
    /// Supports ES256, ES384, RS256, RS384 and RS512 with the key in the signature's header.
    /// Certificate chains are not supported.
    ///
    /// # Errors
    /// [`Unverified`](ErrorKind::Unverified) with the defect. For a defect of one signature, the
    /// error states the position of the signature.
    ///
    /// Source: Docker image manifest version 2, schema 1, "Signed Manifests"; RFC 7515.
    fn verify_signatures(&self) -> Result<Verified>;
}

/// Signs schema 1 manifests: a [`RawManifest`] or an edited [`Schema1`] document.
pub trait Sign {
    /// Signs the manifest with this key. The signature replaces existing signatures.
    ///
    /// The payload of a [`RawManifest`] keeps its bytes and therefore its digest. It is serialized
    /// again only if its existing signatures are malformed or do not fit the document. A
    /// [`Schema1`] is always serialized again. Like libtrust, this function inserts the signature
    /// before the end of the document, with the same indentation.
    ///
    /// # Errors
    /// [`Unsupported`](ErrorKind::Unsupported) if the manifest is not schema 1, or if the key is
    /// too weak to sign; [`Invalid`](ErrorKind::Invalid) if the schema 1 manifest is malformed;
    /// [`Io`](ErrorKind::Io) if the system's random number generator failed.
    ///
    /// Source: libtrust, `jsonsign.go`.
    fn sign(&self, key: &SigningKey) -> Result<RawManifest>;
}

impl VerifySignatures for RawManifest {
    fn verify_signatures(&self) -> Result<Verified> {
        let refused =
            |clause: String| Error::new(ErrorKind::Unverified).at(self.digest()).detail(clause);
        let payload = self.signed_payload()?;
        let Signatures { signatures } = serde_json::from_slice(self.bytes())
            .map_err(|_| refused("its signatures are unreadable".to_owned()))?;
        // Each signature covers the whole payload. Checking thousands of signatures over megabytes
        // would take minutes.
        if signatures.len() > SIGNATURE_LIMIT {
            return Err(refused(format!("it has more than {SIGNATURE_LIMIT} signatures")));
        }
        let mut signers = Vec::new();
        for (i, signature) in signatures.iter().enumerate() {
            let signer = check(signature, &payload);
            signers.push(signer.map_err(|e| refused(format!("signature {} {e}", i + 1)))?);
        }
        let digest = Digest::sha256(&payload);
        Ok(Verified { payload, digest, signers })
    }
}

impl Sign for RawManifest {
    fn sign(&self, key: &SigningKey) -> Result<RawManifest> {
        let Manifest::Schema1(schema1) = self.parse()? else {
            let error = Error::new(ErrorKind::Unsupported).at(self.digest());
            return Err(
                error.detail(format!("expected a schema 1 manifest, found {}", self.media_type()))
            );
        };
        let payload = match self.signed_payload() {
            Ok(payload) => payload.to_vec(),
            Err(_) if schema1.signatures.is_empty() && !has_signatures(self.bytes()) => {
                self.bytes().to_vec()
            }
            Err(_) => unsigned(schema1)?,
        };
        signed(&payload, key)
    }
}

impl Sign for Schema1 {
    fn sign(&self, key: &SigningKey) -> Result<RawManifest> {
        signed(&unsigned(self)?, key)
    }
}

/// A manifest's signatures.
#[derive(Deserialize)]
struct Signatures {
    signatures: Vec<Signature>,
}

/// One signature over the payload.
#[derive(Deserialize)]
struct Signature {
    #[serde(default)]
    header: Value,
    #[serde(default)]
    signature: String,
    protected: String,
}

/// Signs a payload, and returns the signed manifest.
fn signed(payload: &[u8], key: &SigningKey) -> Result<RawManifest> {
    RawManifest::from_bytes(embed(payload, key)?.into(), Some(MediaType::DOCKER_SCHEMA1_SIGNED))
}

/// Returns the document without signatures, indented by three spaces as Docker does.
fn unsigned(document: &Schema1) -> Result<Vec<u8>> {
    let unsigned = Schema1 { signatures: Vec::new(), ..document.clone() };
    pretty(&unsigned, "", GO_INDENT)
}

fn has_signatures(document: &[u8]) -> bool {
    let document: Result<Map<String, Value>, _> = serde_json::from_slice(document);
    document.is_ok_and(|document| document.contains_key("signatures"))
}

/// Checks one signature.
///
/// # Errors
/// A clause that says why the signature is invalid.
fn check(signature: &Signature, payload: &[u8]) -> Result<Signer, String> {
    let header = &signature.header;
    let algorithm = header.get("alg").and_then(Value::as_str).unwrap_or_default();
    let chain = |name| header.get(name).is_some_and(|v| !v.is_null() && *v != json!([]));
    if chain("chain") || chain("x5c") {
        return Err("uses a certificate chain, which is not supported".to_owned());
    }
    if !KNOWN_ALGORITHMS.contains(&algorithm) {
        let shown = EscapedText(algorithm).at_most(40).to_string();
        return Err(format!("uses the algorithm \"{shown}\", which is not accepted"));
    }
    let jwk = header.get("jwk").ok_or("has no key")?;
    let key = PublicKey::from_jwk(jwk)?;
    let bytes = from_base64url(&signature.signature).ok_or("is unreadable")?;
    let message = signing_input(&signature.protected, payload);
    key.verify(algorithm, message.as_bytes(), &bytes)?;
    Ok(Signer { key, algorithm: algorithm.to_owned() })
}

/// Returns the bytes that a signature covers.
fn signing_input(protected: &str, payload: &[u8]) -> String {
    format!("{protected}.{}", to_base64url(payload))
}

/// Signs a document, and inserts the signature.
fn embed(payload: &[u8], key: &SigningKey) -> Result<Vec<u8>> {
    let end = last_visible(payload).filter(|end| payload[*end] == b'}');
    let start = end.and_then(|end| last_visible(&payload[..end]));
    let Some(start) = start.filter(|start| payload[*start] != b'{') else {
        let error = Error::new(ErrorKind::Invalid).at(Digest::sha256(payload));
        return Err(error.detail("expected a non-empty JSON object to sign"));
    };
    let (body, tail) = payload.split_at(start + 1);
    let format = json!({ "formatLength": body.len(), "formatTail": to_base64url(tail) });
    let protected = to_base64url(format.to_string());
    let signature = key.sign(signing_input(&protected, payload).as_bytes())?;
    let signatures = json!([{
        "header": { "alg": key.public().algorithm(), "jwk": key.public().to_jwk() },
        "protected": protected,
        "signature": to_base64url(signature),
    }]);
    let mut signed = body.to_vec();
    match indent(payload) {
        Some(indent) => {
            signed.extend(format!(",\n{indent}\"signatures\": ").bytes());
            signed.extend(pretty(&signatures, &indent, &indent)?);
        }
        None => signed.extend(format!(",\"signatures\": {signatures}").bytes()),
    }
    signed.extend(tail);
    Ok(signed)
}

/// Returns the position of the last character that is not white space.
fn last_visible(text: &[u8]) -> Option<usize> {
    text.iter().rposition(|byte| !byte.is_ascii_whitespace())
}

/// Returns the indentation of the first field, if each field has its own line.
fn indent(document: &[u8]) -> Option<Cow<'_, str>> {
    let rest = document.trim_ascii_start().strip_prefix(b"{")?.strip_prefix(b"\n")?;
    let size = rest.iter().take_while(|byte| matches!(byte, b' ' | b'\t')).count();
    (size > 0).then(|| String::from_utf8_lossy(&rest[..size]))
}

/// Returns JSON with one line per value. Lines after the first begin with `prefix`.
fn pretty(value: &impl Serialize, prefix: &str, indent: &str) -> Result<Vec<u8>> {
    let mut text = Vec::new();
    let formatter = serde_json::ser::PrettyFormatter::with_indent(indent.as_bytes());
    let mut serializer = serde_json::Serializer::with_formatter(&mut text, formatter);
    let written = value.serialize(&mut serializer);
    written.map_err(|e| Error::new(ErrorKind::Invalid).with_source(e))?;
    if prefix.is_empty() {
        return Ok(text);
    }
    // JSON strings contain no line ends, because JSON escapes them.
    let lines: Vec<&[u8]> = text.split(|byte| *byte == b'\n').collect();
    Ok(lines.join([b"\n", prefix.as_bytes()].concat().as_slice()))
}

/// The algorithms that libtrust produces, except ES512: P-521 is not supported.
const KNOWN_ALGORITHMS: [&str; 5] = ["ES256", "ES384", "RS256", "RS384", "RS512"];
/// Maximum number of signatures. Real manifests have one or two.
const SIGNATURE_LIMIT: usize = 32;
/// The indentation of Docker's manifests.
const GO_INDENT: &str = "   ";

#[cfg(test)]
mod tests;
