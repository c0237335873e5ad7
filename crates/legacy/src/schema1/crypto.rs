//! Cryptography: the only module that uses the cryptographic crates.

use aes::cipher::block_padding::Pkcs7;
use aes::cipher::{BlockModeDecrypt as _, KeyIvInit as _};
use ring::rand::SystemRandom;
use ring::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED,
    ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair, EcdsaSigningAlgorithm, KeyPair as _,
    RSA_PKCS1_2048_8192_SHA256, RSA_PKCS1_2048_8192_SHA384, RSA_PKCS1_2048_8192_SHA512,
    RSA_PKCS1_SHA256, RsaKeyPair, RsaPublicKeyComponents, UnparsedPublicKey,
};
use ring::{digest, pbkdf2};

/// A curve for signing. P-521 is not supported.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Curve {
    P256,
    P384,
}

/// A hash for RSA signatures and passwords.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Hash {
    Sha1,
    Sha256,
    Sha384,
    Sha512,
}

/// A private key that is ready to sign.
pub(super) enum Signer {
    Ec(Box<EcdsaKeyPair>),
    Rsa(Box<RsaKeyPair>),
}

impl Curve {
    fn signing(self) -> &'static EcdsaSigningAlgorithm {
        match self {
            Self::P256 => &ECDSA_P256_SHA256_FIXED_SIGNING,
            Self::P384 => &ECDSA_P384_SHA384_FIXED_SIGNING,
        }
    }

    /// Checks a signature, *r* followed by *s*, against the uncompressed point of a key.
    pub(super) fn verifies(self, point: &[u8], message: &[u8], signature: &[u8]) -> bool {
        let algorithm = match self {
            Self::P256 => &ECDSA_P256_SHA256_FIXED,
            Self::P384 => &ECDSA_P384_SHA384_FIXED,
        };
        UnparsedPublicKey::new(algorithm, point).verify(message, signature).is_ok()
    }
}

impl Signer {
    /// Generates a key on P-256. Returns the key and its uncompressed point.
    pub(super) fn generate() -> Option<(Self, Vec<u8>)> {
        let (algorithm, random) = (Curve::P256.signing(), SystemRandom::new());
        let document = EcdsaKeyPair::generate_pkcs8(algorithm, &random).ok()?;
        let pair = EcdsaKeyPair::from_pkcs8(algorithm, document.as_ref(), &random).ok()?;
        let point = pair.public_key().as_ref().to_vec();
        Some((Self::Ec(Box::new(pair)), point))
    }

    /// Returns the key with this scalar, or `None` if the point does not match the scalar.
    pub(super) fn ec(curve: Curve, scalar: &[u8], point: &[u8]) -> Option<Self> {
        let random = SystemRandom::new();
        let pair =
            EcdsaKeyPair::from_private_key_and_public_key(curve.signing(), scalar, point, &random);
        pair.ok().map(|pair| Self::Ec(Box::new(pair)))
    }

    /// Returns the key of a PKCS #1 document. The key needs at least 2048 bits.
    ///
    /// # Errors
    /// A clause that describes the defect of the key.
    pub(super) fn rsa(pkcs1: &[u8]) -> Result<Self, String> {
        let pair = RsaKeyPair::from_der(pkcs1).map_err(|e| e.to_string())?;
        Ok(Self::Rsa(Box::new(pair)))
    }

    /// Signs with the hash of the curve, or with SHA-256 for RSA.
    pub(super) fn sign(&self, message: &[u8]) -> Option<Vec<u8>> {
        let random = SystemRandom::new();
        match self {
            Self::Ec(pair) => pair.sign(&random, message).ok().map(|s| s.as_ref().to_vec()),
            Self::Rsa(pair) => {
                let mut signature = vec![0; pair.public().modulus_len()];
                pair.sign(&RSA_PKCS1_SHA256, &random, message, &mut signature).ok()?;
                Some(signature)
            }
        }
    }
}

/// Checks an RSA signature (PKCS #1, version 1.5). The key needs at least 2048 bits.
pub(super) fn rsa_verifies(
    hash: Hash,
    (n, e): (&[u8], &[u8]),
    message: &[u8],
    signature: &[u8],
) -> bool {
    let algorithm = match hash {
        Hash::Sha1 => return false,
        Hash::Sha256 => &RSA_PKCS1_2048_8192_SHA256,
        Hash::Sha384 => &RSA_PKCS1_2048_8192_SHA384,
        Hash::Sha512 => &RSA_PKCS1_2048_8192_SHA512,
    };
    RsaPublicKeyComponents { n, e }.verify(algorithm, message, signature).is_ok()
}

/// SHA-256.
pub(super) fn sha256(bytes: &[u8]) -> Vec<u8> {
    digest::digest(&digest::SHA256, bytes).as_ref().to_vec()
}

/// Derives a key of `size` bytes from a password by PBKDF2.
pub(super) fn key_of_password(
    hash: Hash,
    password: &[u8],
    salt: &[u8],
    iterations: u32,
    size: usize,
) -> Option<Vec<u8>> {
    let algorithm = match hash {
        Hash::Sha1 => pbkdf2::PBKDF2_HMAC_SHA1,
        Hash::Sha256 => pbkdf2::PBKDF2_HMAC_SHA256,
        Hash::Sha384 => pbkdf2::PBKDF2_HMAC_SHA384,
        Hash::Sha512 => pbkdf2::PBKDF2_HMAC_SHA512,
    };
    let mut key = vec![0; size];
    pbkdf2::derive(algorithm, iterations.try_into().ok()?, salt, password, &mut key);
    Some(key)
}

/// Decrypts AES-CBC with PKCS #7 padding. The size of the key selects the AES variant.
pub(super) fn decrypt(key: &[u8], iv: &[u8], ciphertext: &[u8]) -> Option<Vec<u8>> {
    match key.len() {
        16 => cbc::Decryptor::<aes::Aes128>::new_from_slices(key, iv)
            .ok()?
            .decrypt_padded_vec::<Pkcs7>(ciphertext)
            .ok(),
        24 => cbc::Decryptor::<aes::Aes192>::new_from_slices(key, iv)
            .ok()?
            .decrypt_padded_vec::<Pkcs7>(ciphertext)
            .ok(),
        32 => cbc::Decryptor::<aes::Aes256>::new_from_slices(key, iv)
            .ok()?
            .decrypt_padded_vec::<Pkcs7>(ciphertext)
            .ok(),
        _ => None,
    }
}
