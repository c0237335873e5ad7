//! Manifests and configurations: parsing, and the signatures of schema 1.

use bytes::Bytes;
use longshore::{ImageConfig, Manifest, RawManifest};
use longshore_legacy::schema1::{Sign as _, SigningKey as Key, VerifySignatures as _};
use pyo3::prelude::*;
use pyo3::pybacked::PyBackedBytes;
use pyo3::types::{PyBytes, PyList};
use serde_json::json;

use crate::failure::raise;
use crate::operation::document;

/// A manifest, and the configuration of the image if it was read.
pub(crate) struct Form {
    pub(crate) manifest: RawManifest,
    pub(crate) config: Bytes,
}

impl Form {
    pub(crate) fn into_py(self, py: Python<'_>) -> PyResult<Bound<'_, PyAny>> {
        let config = PyBytes::new(py, &self.config);
        Ok((manifest(py, self.manifest)?, config).into_pyobject(py)?.into_any())
    }
}

/// Returns the bytes of a manifest and its media type.
pub(crate) fn manifest(py: Python<'_>, manifest: RawManifest) -> PyResult<Bound<'_, PyAny>> {
    let content = PyBytes::new(py, manifest.bytes());
    Ok((content, manifest.media_type().as_str()).into_pyobject(py)?.into_any())
}

pub(crate) fn manifests(py: Python<'_>, images: Vec<Form>) -> PyResult<Bound<'_, PyAny>> {
    let images: Vec<_> =
        images.into_iter().map(|form| form.into_py(py)).collect::<PyResult<_>>()?;
    Ok(PyList::new(py, images)?.into_any())
}

/// Returns the media type, the digest and the size of a manifest, and the descriptors that it
/// lists.
#[pyfunction]
#[pyo3(signature = (content, media_type=None))]
pub(crate) fn describe<'py>(
    py: Python<'py>,
    content: PyBackedBytes,
    media_type: Option<&str>,
) -> PyResult<Bound<'py, PyAny>> {
    let manifest = read(content, media_type)?;
    let descriptor = manifest.descriptor();
    let (mut config, mut layers, mut manifests) = (None, Vec::new(), Vec::new());
    // A document of an unknown kind has a digest, and lists nothing that is known.
    match manifest.parse() {
        Ok(Manifest::Image(image)) => {
            config = Some(image.config.clone());
            layers.clone_from(&image.layers);
        }
        Ok(Manifest::Artifact(artifact)) => layers.clone_from(&artifact.blobs),
        Ok(Manifest::Index(index)) => manifests.clone_from(&index.manifests),
        Ok(_) | Err(_) => {}
    }
    let described = json!({
        "descriptor": descriptor, "config": config, "layers": layers, "manifests": manifests,
    });
    document(py, described)
}

/// Returns the parts of an image configuration that need more than JSON: chain IDs, and the
/// instruction of each step.
#[pyfunction]
pub(crate) fn parse_config<'py>(
    py: Python<'py>,
    content: PyBackedBytes,
) -> PyResult<Bound<'py, PyAny>> {
    let config = ImageConfig::parse(&content).map_err(raise)?;
    let instructions: Vec<_> = config.history.iter().map(|step| step.instruction()).collect();
    document(
        py,
        json!({
            "created": config.created,
            "platform": config.platform,
            "diff_ids": config.rootfs.diff_ids,
            "chain_ids": config.rootfs.chain_ids(),
            "history": config.history,
            "instructions": instructions,
        }),
    )
}

/// A key for the signatures of schema 1 manifests.
#[pyclass(frozen, module = "longshore")]
pub(crate) struct SigningKey(Key);

#[pymethods]
impl SigningKey {
    /// Generates an elliptic-curve key (P-256).
    #[staticmethod]
    fn generate() -> PyResult<Self> {
        Key::generate().map(Self).map_err(raise)
    }

    /// Reads a private key in PEM format.
    #[staticmethod]
    #[pyo3(signature = (pem, password=None))]
    fn from_pem(pem: &str, password: Option<&str>) -> PyResult<Self> {
        Key::from_pem(pem, password).map(Self).map_err(raise)
    }

    /// The identifier of the public key, as libtrust computes it.
    #[getter]
    fn id(&self) -> String {
        self.0.public().id()
    }

    fn __repr__(&self) -> String {
        format!("<SigningKey {}>", self.id())
    }
}

/// Signs a schema 1 manifest, and returns its bytes and media type.
#[pyfunction]
pub(crate) fn sign<'py>(
    py: Python<'py>,
    content: PyBackedBytes,
    media_type: Option<&str>,
    key: &SigningKey,
) -> PyResult<Bound<'py, PyAny>> {
    let signed = read(content, media_type)?.sign(&key.0).map_err(raise)?;
    manifest(py, signed)
}

/// Verifies the signatures of a schema 1 manifest, and returns the identifiers of the keys.
#[pyfunction]
pub(crate) fn verify(content: PyBackedBytes, media_type: Option<&str>) -> PyResult<Vec<String>> {
    let verified = read(content, media_type)?.verify_signatures().map_err(raise)?;
    Ok(verified.signers.iter().map(|signer| signer.key.id()).collect())
}

fn read(content: PyBackedBytes, media_type: Option<&str>) -> PyResult<RawManifest> {
    let media_type = media_type.map(crate::names::media_type).transpose()?;
    RawManifest::from_bytes(Bytes::from_owner(content), media_type).map_err(raise)
}
