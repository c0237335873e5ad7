//! Private keys in files: PEM with PKCS #8 (encrypted or not), SEC 1 or PKCS #1.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::crypto::{Curve, Hash, decrypt, key_of_password};
use super::der::{Der, OBJECT, OCTETS, PART_0, PART_1, SEQUENCE};

/// The parts of a private key.
#[derive(PartialEq, Eq)]
pub(super) enum Parts {
    /// A scalar, and its uncompressed point.
    Ec { curve: Curve, scalar: Vec<u8>, point: Vec<u8> },
    /// A PKCS #1 document.
    Rsa { pkcs1: Vec<u8> },
}

/// Parses the first private key of a PEM file.
///
/// # Errors
/// A clause that says why the key is invalid. It does not quote the key.
///
/// Source: RFC 7468, RFC 5958, RFC 5915, RFC 8017 (appendix A), RFC 8018.
pub(super) fn read(pem: &str, password: Option<&str>) -> Result<Parts, &'static str> {
    let (label, body) = private_key(pem).ok_or("it contains no private key in PEM")?;
    if body.contains("ENCRYPTED") {
        return Err(
            "its encryption is specific to OpenSSL; convert the key with openssl pkcs8 -topk8",
        );
    }
    let text: String = body.split_ascii_whitespace().collect();
    let der = STANDARD.decode(text).map_err(|_| "its PEM is not valid base64")?;
    let parts = match label {
        "PRIVATE KEY" => pkcs8(&der)?,
        "EC PRIVATE KEY" => sec1(&der, None)?,
        "RSA PRIVATE KEY" => Some(Parts::Rsa { pkcs1: der }),
        "ENCRYPTED PRIVATE KEY" => {
            let password = password.ok_or("it is encrypted, and no password is given")?;
            pkcs8(&decrypted(&der, password.as_bytes())?)?
        }
        _ => return Err("its type is not supported; expected an EC or RSA key"),
    };
    parts.ok_or("it is damaged")
}

/// Returns the label and the text of the first private key.
fn private_key(pem: &str) -> Option<(&str, &str)> {
    let blocks = pem.split("-----BEGIN ").skip(1);
    let mut blocks = blocks.filter_map(|block| block.split_once("-----"));
    let (label, rest) = blocks.find(|(label, _)| label.ends_with("PRIVATE KEY"))?;
    let (body, _) = rest.split_once("-----END ")?;
    Some((label, body))
}

fn pkcs8(der: &[u8]) -> Result<Option<Parts>, &'static str> {
    let Some(KeyInfo { algorithm, curve, key }) = KeyInfo::read(der) else { return Ok(None) };
    match algorithm {
        RSA => Ok(Some(Parts::Rsa { pkcs1: key.to_vec() })),
        EC => sec1(key, curve),
        _ => Err("its type is not supported; expected an EC or RSA key"),
    }
}

/// The fields of a PKCS #8 document.
struct KeyInfo<'a> {
    algorithm: &'a [u8],
    curve: Option<&'a [u8]>,
    key: &'a [u8],
}

impl<'a> KeyInfo<'a> {
    fn read(der: &'a [u8]) -> Option<Self> {
        let mut info = Der(der).open(SEQUENCE)?;
        info.number()?;
        let mut algorithm = info.open(SEQUENCE)?;
        let (name, curve) = (algorithm.take(OBJECT)?, algorithm.take(OBJECT));
        Some(Self { algorithm: name, curve, key: info.take(OCTETS)? })
    }
}

fn sec1(der: &[u8], curve: Option<&[u8]>) -> Result<Option<Parts>, &'static str> {
    let Some(EcKey { scalar, curve: own, point }) = EcKey::read(der) else { return Ok(None) };
    let curve = match own.or(curve) {
        Some(P256) => Curve::P256,
        Some(P384) => Curve::P384,
        _ => return Err("its curve is not supported; expected P-256 or P-384"),
    };
    let point = point.ok_or("its public part is missing; add it with openssl ec")?;
    let (scalar, point) = (scalar.to_vec(), point.to_vec());
    Ok(Some(Parts::Ec { curve, scalar, point }))
}

/// The fields of a SEC 1 document, including optional fields.
struct EcKey<'a> {
    scalar: &'a [u8],
    curve: Option<&'a [u8]>,
    point: Option<&'a [u8]>,
}

impl<'a> EcKey<'a> {
    fn read(der: &'a [u8]) -> Option<Self> {
        let mut key = Der(der).open(SEQUENCE)?;
        key.number()?;
        let scalar = key.take(OCTETS)?;
        let curve = key.open(PART_0).and_then(|mut part| part.take(OBJECT));
        let point = key.open(PART_1).and_then(|mut part| part.bits());
        Some(Self { scalar, curve, point })
    }
}

/// Decrypts a PKCS #8 document with its password.
fn decrypted(der: &[u8], password: &[u8]) -> Result<Vec<u8>, &'static str> {
    let scheme = Scheme::read(der).ok_or("it is damaged")?;
    let (Some(hash), Some(key_size)) = (scheme.hash(), scheme.key_size()) else {
        return Err("its encryption is not supported; \
                    convert the key with openssl pkcs8 -topk8 -v2 aes-256-cbc");
    };
    if scheme.iterations > ITERATION_LIMIT {
        return Err("its password derivation takes more than 10 million iterations");
    }
    key_of_password(hash, password, scheme.salt, scheme.iterations, key_size)
        .and_then(|key| decrypt(&key, scheme.iv, scheme.ciphertext))
        .filter(|plain| KeyInfo::read(plain).is_some())
        .ok_or("the password is wrong")
}

/// The parameters of an encrypted PKCS #8 document: PBES2 with PBKDF2.
struct Scheme<'a> {
    salt: &'a [u8],
    iterations: u32,
    hash: Option<&'a [u8]>,
    cipher: &'a [u8],
    iv: &'a [u8],
    ciphertext: &'a [u8],
}

impl<'a> Scheme<'a> {
    /// Parses the parameters. For another scheme or derivation, the cipher is empty and therefore
    /// unsupported.
    fn read(der: &'a [u8]) -> Option<Self> {
        let mut document = Der(der).open(SEQUENCE)?;
        let mut algorithm = document.open(SEQUENCE)?;
        let ciphertext = document.take(OCTETS)?;
        let foreign =
            Self { salt: &[], iterations: 0, hash: None, cipher: &[], iv: &[], ciphertext };
        if algorithm.take(OBJECT)? != PBES2 {
            return Some(foreign);
        }
        let mut parameters = algorithm.open(SEQUENCE)?;
        let mut derivation = parameters.open(SEQUENCE)?;
        if derivation.take(OBJECT)? != PBKDF2 {
            return Some(foreign);
        }
        let mut derivation = derivation.open(SEQUENCE)?;
        let salt = derivation.take(OCTETS)?;
        let iterations = derivation.number()?;
        let iterations = iterations.iter().take(5).fold(0_u64, |n, b| (n << 8) | u64::from(*b));
        // The optional key size is ignored, because the cipher implies it.
        derivation.number();
        let hash = derivation.open(SEQUENCE).and_then(|mut hash| hash.take(OBJECT));
        let mut encryption = parameters.open(SEQUENCE)?;
        Some(Self {
            salt,
            iterations: u32::try_from(iterations).unwrap_or(u32::MAX),
            hash,
            cipher: encryption.take(OBJECT)?,
            iv: encryption.take(OCTETS).unwrap_or_default(),
            ciphertext,
        })
    }

    fn hash(&self) -> Option<Hash> {
        match self.hash {
            None | Some(HMAC_SHA1) => Some(Hash::Sha1),
            Some(HMAC_SHA256) => Some(Hash::Sha256),
            Some(HMAC_SHA384) => Some(Hash::Sha384),
            Some(HMAC_SHA512) => Some(Hash::Sha512),
            Some(_) => None,
        }
    }

    fn key_size(&self) -> Option<usize> {
        match self.cipher {
            AES_128_CBC => Some(16),
            AES_192_CBC => Some(24),
            AES_256_CBC => Some(32),
            _ => None,
        }
    }
}

/// Maximum number of iterations: 10 million. OpenSSL uses 2,048 iterations by default, and careful
/// users choose a million.
const ITERATION_LIMIT: u32 = 10_000_000;

// Object identifiers in DER: 1.2.840.113549.1.1.1, 1.2.840.10045.2.1 and those of the curves.
pub(super) const RSA: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 1];
pub(super) const EC: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 2, 1];
pub(super) const P256: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 3, 1, 7];
pub(super) const P384: &[u8] = &[0x2b, 0x81, 0x04, 0, 0x22];
// 1.2.840.113549.1.5.13 and .12, 1.2.840.113549.2.…, 2.16.840.1.101.3.4.1.….
const PBES2: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 5, 13];
const PBKDF2: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 5, 12];
const HMAC_SHA1: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 2, 7];
const HMAC_SHA256: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 2, 9];
const HMAC_SHA384: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 2, 10];
const HMAC_SHA512: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 2, 11];
const AES_128_CBC: &[u8] = &[0x60, 0x86, 0x48, 1, 0x65, 3, 4, 1, 2];
const AES_192_CBC: &[u8] = &[0x60, 0x86, 0x48, 1, 0x65, 3, 4, 1, 22];
const AES_256_CBC: &[u8] = &[0x60, 0x86, 0x48, 1, 0x65, 3, 4, 1, 42];
