//! The grammar of names. The classes in `longshore._values` hold the results.

use longshore::{Algorithm, Defaults, Digest, MediaType, Platform, Reference, Tag};
use pyo3::prelude::*;
use pyo3::pybacked::PyBackedBytes;

use crate::failure::{invalid, raise};
use crate::interpreter;

/// The parts of a reference: registry, repository, tag and digest.
pub(crate) type Parts = (String, String, Option<String>, Option<String>);

/// Parses a digest, and returns its canonical text.
#[pyfunction]
pub(crate) fn parse_digest(text: &str) -> PyResult<String> {
    Ok(Digest::parse(text).map_err(invalid)?.to_string())
}

/// Parses a tag.
#[pyfunction]
pub(crate) fn parse_tag(text: &str) -> PyResult<String> {
    Ok(Tag::parse(text).map_err(invalid)?.to_string())
}

/// Parses a reference. If `strict` is true, the text must name the registry, and nothing is added.
#[pyfunction]
pub(crate) fn parse_reference(text: &str, strict: bool) -> PyResult<Parts> {
    let reference = match strict {
        true => text.parse::<Reference>(),
        false => Defaults::docker().parse(text),
    };
    Ok(parts(&reference.map_err(invalid)?))
}

/// Returns the parts of a reference.
pub(crate) fn parts(reference: &Reference) -> Parts {
    (
        reference.registry().to_string(),
        reference.name().to_string(),
        reference.tag().map(ToString::to_string),
        reference.digest().map(ToString::to_string),
    )
}

/// Parses a platform: its operating system, architecture and variant.
#[pyfunction]
pub(crate) fn parse_platform(text: &str) -> PyResult<(String, String, Option<String>)> {
    let Platform { os, architecture, variant, .. } = Platform::parse(text).map_err(invalid)?;
    Ok((os, architecture, variant))
}

/// Parses a media type.
pub(crate) fn media_type(text: &str) -> PyResult<MediaType> {
    MediaType::parse(text).map_err(invalid)
}

/// A hash that is computed piece by piece.
#[pyclass(module = "longshore._core")]
#[derive(Debug)]
pub(crate) struct Hasher(Option<longshore::Digester>);

#[pymethods]
impl Hasher {
    #[new]
    fn new(algorithm: &str) -> PyResult<Self> {
        let Some(algorithm) = Algorithm::named(algorithm) else {
            let error =
                longshore::ParseError::new("algorithm", algorithm, "expected sha256 or sha512");
            return Err(invalid(error));
        };
        Ok(Self(Some(algorithm.digester())))
    }

    fn update(&mut self, py: Python<'_>, data: PyBackedBytes) {
        if let Some(digester) = &mut self.0 {
            interpreter::leave(py, || digester.update(&data));
        }
    }

    fn digest(&mut self) -> PyResult<String> {
        let ended = || raise(longshore::Error::new(longshore::ErrorKind::Invalid));
        Ok(self.0.take().ok_or_else(ended)?.finish().to_string())
    }
}
