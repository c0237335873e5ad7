//! Docker's first API.

use longshore::Body;
use longshore_legacy::v1;
use pyo3::prelude::*;
use pyo3::pybacked::PyBackedBytes;

use crate::blob::{Reader, reader};
use crate::client::{Client, registry_name};
use crate::content::{Content, Sent};
use crate::failure::invalid;
use crate::operation::{Operation, document, none};
use crate::pages::Pages;

/// A registry that speaks the v1 API.
#[pyclass(frozen, name = "V1Registry", module = "longshore._core")]
pub(crate) struct Registry(v1::Registry);

#[pymethods]
impl Registry {
    #[new]
    fn new(client: &Client, registry: &str) -> PyResult<Self> {
        Ok(Self(v1::Registry::new(&client.inner()?, &registry_name(registry)?)))
    }

    fn search(&self, words: &str) -> Pages {
        Pages::new(self.0.search(words))
    }

    fn repository(&self, name: &str) -> PyResult<Repository> {
        let name = name.parse().map_err(invalid)?;
        self.0.repository(&name).map(Repository).map_err(invalid)
    }

    fn image(&self, id: &str) -> PyResult<Image> {
        Ok(Image(self.0.image(&id.parse().map_err(invalid)?)))
    }
}

/// A repository of a v1 registry.
#[pyclass(frozen, name = "V1Repository", module = "longshore._core")]
pub(crate) struct Repository(v1::Repository);

#[pymethods]
impl Repository {
    fn tags(&self) -> PyResult<Operation> {
        let repository = self.0.clone();
        Operation::start(async move { repository.tags().await }, document)
    }

    fn data(&self, tag: &str) -> PyResult<Operation> {
        let (repository, tag) = (self.0.clone(), tag.parse().map_err(invalid)?);
        Operation::start(async move { repository.tag_json(&tag).await }, document)
    }

    /// Returns the identifier of a tag's image.
    fn resolve(&self, tag: &str) -> PyResult<Operation> {
        let (repository, tag) = (self.0.clone(), tag.parse().map_err(invalid)?);
        Operation::start(async move { Ok(repository.tag(&tag).await?.to_string()) }, document)
    }

    fn image(&self, id: &str) -> PyResult<Image> {
        Ok(Image(self.0.image(&id.parse().map_err(invalid)?)))
    }

    fn set_tag(&self, tag: &str, id: &str) -> PyResult<Operation> {
        let (tag, id) = (tag.parse().map_err(invalid)?, id.parse().map_err(invalid)?);
        let repository = self.0.clone();
        Operation::start(async move { repository.set_tag(&tag, &id).await }, none)
    }

    fn delete_tag(&self, tag: &str) -> PyResult<Operation> {
        let (repository, tag) = (self.0.clone(), tag.parse().map_err(invalid)?);
        Operation::start(async move { repository.delete_tag(&tag).await }, none)
    }

    fn delete(&self) -> PyResult<Operation> {
        let repository = self.0.clone();
        Operation::start(async move { repository.delete().await }, none)
    }
}

/// An image of a v1 registry.
#[pyclass(frozen, name = "V1Image", module = "longshore._core")]
pub(crate) struct Image(v1::Image);

#[pymethods]
impl Image {
    #[getter]
    fn id(&self) -> String {
        self.0.id().to_string()
    }

    fn json(&self) -> PyResult<Operation> {
        let image = self.0.clone();
        Operation::start(async move { image.json().await?.value() }, document)
    }

    fn field(&self, name: String) -> PyResult<Operation> {
        let image = self.0.clone();
        Operation::start(async move { image.field(&name).await }, document)
    }

    fn ancestry(&self) -> PyResult<Operation> {
        let image = self.0.clone();
        let ids = async move {
            Ok(image.ancestry().await?.iter().map(ToString::to_string).collect::<Vec<_>>())
        };
        Operation::start(ids, document)
    }

    fn layer(&self) -> PyResult<Operation> {
        let image = self.0.clone();
        let open = async move {
            let layer = image.layer().await?;
            let size = layer.size();
            Ok(Reader::of(layer.into_stream(), size))
        };
        Operation::start(open, reader)
    }

    /// Sends the JSON document and the layer, and returns the checksum.
    fn push(&self, json: PyBackedBytes, layer: Content) -> PyResult<Operation> {
        let (image, layer) = (self.0.clone(), layer.open()?);
        let push = async move {
            let layer = match layer {
                Sent::Bytes(bytes) => Body::Bytes(bytes),
                Sent::Stream(stream) => Body::Stream { stream, size: None },
                Sent::File(path) => {
                    let stream = longshore::blob_file::stream(&path, 0).await?;
                    Body::Stream { stream, size: None }
                }
            };
            let json = bytes::Bytes::from_owner(json);
            Ok(image.push(json, layer).await?.to_string())
        };
        Operation::start(push, document)
    }
}
