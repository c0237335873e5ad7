//! The signatures of Docker schema 1 manifests, and their keys, compatible with Docker's libtrust.
//!
//! The crate `longshore` parses such manifests and extracts their signed payload.
//!
//! ```
//! use longshore::RawManifest;
//! use longshore_legacy::schema1::{Sign as _, SigningKey, VerifySignatures as _};
//!
//! let document = r#"{"schemaVersion":1,"name":"a/b","tag":"v1","fsLayers":[]}"#;
//! let signed = RawManifest::from_bytes(document.into(), None)?.sign(&SigningKey::generate()?)?;
//! let verified = signed.verify_signatures()?;
//! assert_eq!(verified.payload, document);
//! assert_eq!(verified.digest, *signed.digest());
//! # Ok::<(), longshore::Error>(())
//! ```

mod crypto;
mod der;
mod jws;
mod key;
mod pem;
mod text;

pub use self::jws::{Sign, Signer, Verified, VerifySignatures};
pub use self::key::{PublicKey, SigningKey};
