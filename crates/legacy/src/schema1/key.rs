//! Keys in libtrust's formats: an identifier derived from the public key, and JSON Web Keys.

use std::fmt;

use longshore::{Error, ErrorKind, EscapedText, Result};
use serde::Deserialize;
use serde_json::{Value, json};

use super::crypto::{Curve, Hash, Signer, rsa_verifies, sha256};
use super::der::{self, Der, OBJECT, SEQUENCE};
use super::pem::{self, EC, P256, P384, Parts, RSA};
use super::text::{from_base64url, to_base64url};

/// A private key that signs schema 1 manifests: EC on P-256 or P-384, or RSA.
pub struct SigningKey {
    signer: Option<Signer>,
    public: PublicKey,
}

impl SigningKey {
    /// Generates a disposable key on P-256. Registries require a signature but accept any key.
    ///
    /// # Errors
    /// [`Io`](ErrorKind::Io) if the system's random number generator failed.
    pub fn generate() -> Result<Self> {
        let (signer, point) = Signer::generate().ok_or_else(|| {
            Error::new(ErrorKind::Io).detail("the system's random number generator failed")
        })?;
        Ok(Self {
            signer: Some(signer),
            public: PublicKey(Public::Ec { curve: Curve::P256, point }),
        })
    }

    /// Parses the first private key of a PEM file: PKCS #8, SEC 1 or PKCS #1. PKCS #8 may be
    /// encrypted with a password (PBES2: PBKDF2 and AES-CBC, OpenSSL's default).
    ///
    /// An RSA key that `ring` refuses, such as a key of less than 2048 bits, has an identifier but
    /// cannot sign.
    ///
    /// # Errors
    /// [`Invalid`](ErrorKind::Invalid), which names the defect and does not quote the key.
    pub fn from_pem(pem: &str, password: Option<&str>) -> Result<Self> {
        let parts = pem::read(pem, password).map_err(invalid)?;
        match parts {
            Parts::Ec { curve, scalar, point } => {
                let signer = Signer::ec(curve, &scalar, &point);
                let signer = signer
                    .ok_or_else(|| invalid("its public part does not match its private part"))?;
                Ok(Self { signer: Some(signer), public: PublicKey(Public::Ec { curve, point }) })
            }
            Parts::Rsa { pkcs1 } => {
                let (n, e) = rsa_public(&pkcs1).ok_or_else(|| invalid("it is damaged"))?;
                let signer = Signer::rsa(&pkcs1).ok();
                Ok(Self { signer, public: PublicKey(Public::Rsa { n, e }) })
            }
        }
    }

    /// Returns the public key.
    #[must_use]
    pub fn public(&self) -> &PublicKey {
        &self.public
    }

    /// Signs a message with the algorithm of [`PublicKey::algorithm`].
    pub(super) fn sign(&self, message: &[u8]) -> Result<Vec<u8>> {
        let signer = self.signer.as_ref().ok_or_else(|| {
            Error::new(ErrorKind::Unsupported)
                .at(format!("key {}", self.public.id()))
                .detail("this RSA key cannot sign; expected a valid key of 2048 to 4096 bits")
        })?;
        let refused =
            || Error::new(ErrorKind::Io).detail("the system's random number generator failed");
        signer.sign(message).ok_or_else(refused)
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SigningKey({})", self.public.id())
    }
}

/// A public key for the verification of signatures.
#[derive(Clone, PartialEq, Eq)]
pub struct PublicKey(Public);

#[derive(Clone, PartialEq, Eq)]
enum Public {
    /// A curve, and an uncompressed point on it.
    Ec { curve: Curve, point: Vec<u8> },
    /// The modulus and the exponent, as big-endian bytes.
    Rsa { n: Vec<u8>, e: Vec<u8> },
}

impl PublicKey {
    /// Returns libtrust's identifier: twelve groups of four characters, derived from the key's
    /// SHA-256.
    #[must_use]
    pub fn id(&self) -> String {
        let hash = sha256(&self.to_der());
        let text = base32(&hash[..30]);
        let groups: Vec<&str> = (0..text.len()).step_by(4).map(|i| &text[i..i + 4]).collect();
        groups.join(":")
    }

    /// Returns the algorithm of the key's signatures: `ES256`, `ES384` or `RS256`.
    #[must_use]
    pub fn algorithm(&self) -> &'static str {
        match &self.0 {
            Public::Ec { curve: Curve::P256, .. } => "ES256",
            Public::Ec { curve: Curve::P384, .. } => "ES384",
            Public::Rsa { .. } => "RS256",
        }
    }

    /// Returns the key as a JSON Web Key, with its identifier.
    ///
    /// Source: RFC 7518, section 6; libtrust.
    #[must_use]
    pub fn to_jwk(&self) -> Value {
        let id = self.id();
        match &self.0 {
            Public::Ec { curve, point } => {
                let (x, y) = point[1..].split_at(coordinate_size(*curve));
                let (x, y) = (to_base64url(x), to_base64url(y));
                json!({ "crv": curve_name(*curve), "kid": id, "kty": "EC", "x": x, "y": y })
            }
            Public::Rsa { n, e } => {
                json!({ "e": to_base64url(e), "kid": id, "kty": "RSA", "n": to_base64url(n) })
            }
        }
    }

    /// Parses a JSON Web Key.
    ///
    /// # Errors
    /// A clause that says why the key is invalid.
    pub(super) fn from_jwk(jwk: &Value) -> Result<Self, String> {
        let jwk: Jwk = serde_json::from_value(jwk.clone()).map_err(|_| "has no key".to_owned())?;
        let bytes = |text: &Option<String>| text.as_deref().and_then(from_base64url);
        let key = match (jwk.kty.as_str(), jwk.crv.as_deref()) {
            ("EC", Some("P-256")) => point(Curve::P256, bytes(&jwk.x), bytes(&jwk.y)),
            ("EC", Some("P-384")) => point(Curve::P384, bytes(&jwk.x), bytes(&jwk.y)),
            ("EC", crv) => {
                return Err(format!("uses the curve {}, which is not supported", quoted(crv)));
            }
            ("RSA", _) => bytes(&jwk.n).zip(bytes(&jwk.e)).map(|(n, e)| Self(Public::Rsa { n, e })),
            (kty, _) => {
                return Err(format!(
                    "uses a key of type {}, which is not supported",
                    quoted(Some(kty))
                ));
            }
        };
        let key = key.ok_or_else(|| "has a damaged key".to_owned())?;
        if jwk.kid.is_some_and(|id| id != key.id()) {
            return Err("has a key that does not match its identifier".to_owned());
        }
        Ok(key)
    }

    /// Checks a signature. The algorithm must match the kind of this key.
    ///
    /// # Errors
    /// A clause that says why the signature is invalid.
    pub(super) fn verify(
        &self,
        algorithm: &str,
        message: &[u8],
        signature: &[u8],
    ) -> Result<(), String> {
        let good = match (&self.0, algorithm) {
            (Public::Ec { curve: curve @ Curve::P256, point }, "ES256")
            | (Public::Ec { curve: curve @ Curve::P384, point }, "ES384") => {
                curve.verifies(point, message, signature)
            }
            (Public::Rsa { n, .. }, _) if n.len() < SMALLEST_RSA => {
                return Err("uses an RSA key of less than 2048 bits".to_owned());
            }
            (Public::Rsa { n, e }, "RS256" | "RS384" | "RS512") => {
                let hash = match algorithm {
                    "RS256" => Hash::Sha256,
                    "RS384" => Hash::Sha384,
                    _ => Hash::Sha512,
                };
                rsa_verifies(hash, (n, e), message, signature)
            }
            _ => {
                let (named, known) = (quoted(Some(algorithm)), self.algorithm());
                return Err(format!("uses {named}, but its key is for {known}"));
            }
        };
        if good { Ok(()) } else { Err("does not match the content".to_owned()) }
    }

    /// Encodes the key as X.509 `SubjectPublicKeyInfo`, in DER.
    fn to_der(&self) -> Vec<u8> {
        let (algorithm, key) = match &self.0 {
            Public::Ec { curve, point } => {
                let curve = match curve {
                    Curve::P256 => P256,
                    Curve::P384 => P384,
                };
                ([der::value(OBJECT, EC), der::value(OBJECT, curve)].concat(), point.clone())
            }
            Public::Rsa { n, e } => {
                let key = der::value(SEQUENCE, &[der::number(n), der::number(e)].concat());
                ([der::value(OBJECT, RSA), NULL.to_vec()].concat(), key)
            }
        };
        let parts = [der::value(SEQUENCE, &algorithm), der::bits(&key)];
        der::value(SEQUENCE, &parts.concat())
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PublicKey({} {})", self.algorithm(), self.id())
    }
}

#[derive(Deserialize)]
struct Jwk {
    kty: String,
    kid: Option<String>,
    crv: Option<String>,
    x: Option<String>,
    y: Option<String>,
    n: Option<String>,
    e: Option<String>,
}

/// Returns the key of two coordinates, which may lack leading zeros.
fn point(curve: Curve, x: Option<Vec<u8>>, y: Option<Vec<u8>>) -> Option<PublicKey> {
    let size = coordinate_size(curve);
    let mut point = vec![UNCOMPRESSED];
    for coordinate in [x?, y?] {
        point.resize(point.len() + size.checked_sub(coordinate.len())?, 0);
        point.extend(coordinate);
    }
    Some(PublicKey(Public::Ec { curve, point }))
}

fn coordinate_size(curve: Curve) -> usize {
    match curve {
        Curve::P256 => 32,
        Curve::P384 => 48,
    }
}

fn curve_name(curve: Curve) -> &'static str {
    match curve {
        Curve::P256 => "P-256",
        Curve::P384 => "P-384",
    }
}

/// Returns the modulus and the exponent of a PKCS #1 document.
fn rsa_public(pkcs1: &[u8]) -> Option<(Vec<u8>, Vec<u8>)> {
    let mut key = Der(pkcs1).open(SEQUENCE)?;
    key.number()?;
    Some((key.number()?.to_vec(), key.number()?.to_vec()))
}

/// Encodes as base32 (RFC 4648, section 6) without padding. The size must be a multiple of five.
fn base32(bytes: &[u8]) -> String {
    let group = |five: &[u8]| {
        let bits = five.iter().fold(0_u64, |sum, byte| (sum << 8) | u64::from(*byte));
        (0..8).rev().map(move |i| char::from(BASE32[(bits >> (5 * i) & 31) as usize]))
    };
    bytes.chunks_exact(5).flat_map(group).collect()
}

fn quoted(text: Option<&str>) -> String {
    format!("\"{}\"", EscapedText(text.unwrap_or_default()).at_most(40))
}

fn invalid(clause: &'static str) -> Error {
    Error::new(ErrorKind::Invalid).at("private key").detail(clause)
}

/// The first byte of an uncompressed point.
const UNCOMPRESSED: u8 = 4;
/// Minimum size of an RSA modulus in bytes: 2048 bits.
const SMALLEST_RSA: usize = 256;
const NULL: [u8; 2] = [5, 0];
const BASE32: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
