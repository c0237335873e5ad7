//! The operations on a repository of a registry.

use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::path::PathBuf;

use bytes::Bytes;
use longshore::{
    BlobBody, Descriptor, Digest, FileBody, Image, ListOptions, MediaType, Pack, Platform,
    RawManifest, RemoteRepository, Result, Source as _, SourceExt as _, Tag, TagOrDigest,
    Target as _, UntagMethod, add_tags, delete_with_tags, list_files, list_images, pull_files,
    read_image, select_image, untag,
};
use pyo3::prelude::*;
use pyo3::pybacked::PyBackedBytes;
use serde_json::{Value, json};

use crate::blob::{open, reader};
use crate::content::{Content, Meter, Sent};
use crate::failure::{invalid, raise};
use crate::manifest::{Form, manifest, manifests};
use crate::names::media_type;
use crate::operation::{Operation, document, none};
use crate::pages::Pages;
use crate::upload::Upload;

/// A repository at a registry.
#[pyclass(frozen, module = "longshore._core")]
#[derive(Debug)]
pub(crate) struct Repository(RemoteRepository);

impl Repository {
    pub(crate) fn new(repository: RemoteRepository) -> Self {
        Self(repository)
    }
}

#[pymethods]
impl Repository {
    #[pyo3(signature = (after=None, page_size=None))]
    fn tags(&self, after: Option<&str>, page_size: Option<usize>) -> PyResult<Pages> {
        let mut options = ListOptions::default();
        options.after = after.map(str::parse::<Tag>).transpose().map_err(invalid)?;
        options.page_size = page_size.and_then(NonZeroUsize::new);
        Ok(Pages::new(self.0.tags_with(options)))
    }

    fn resolve(&self, selector: &str, accept: Option<Vec<String>>) -> PyResult<Operation> {
        let (repository, selector) = (self.0.clone(), parse(selector)?);
        let accept = accepted(accept)?;
        let resolve = async move {
            match accept {
                Some(accept) => repository.resolve_as(&selector, &accept).await,
                None => repository.resolve(&selector).await,
            }
        };
        Operation::start(resolve, document)
    }

    fn manifest(
        &self,
        selector: &str,
        accept: Option<Vec<String>>,
        platform: Option<&str>,
    ) -> PyResult<Operation> {
        let (repository, selector) = (self.0.clone(), parse(selector)?);
        let (accept, platform) = (accepted(accept)?, platform_of(platform)?);
        let get = async move {
            let manifest = match accept {
                Some(accept) => repository.manifest_as(&selector, &accept).await?,
                None => repository.manifest(&selector).await?,
            };
            match platform {
                Some(platform) => select_image(&repository, manifest, &platform).await,
                None => Ok(manifest),
            }
        };
        Operation::start(get, manifest)
    }

    /// Sends a manifest, under each of these tags or else by its digest.
    fn put(
        &self,
        content: PyBackedBytes,
        media_type: Option<&str>,
        tags: Vec<String>,
    ) -> PyResult<Operation> {
        let repository = self.0.clone();
        let media_type = media_type.map(crate::names::media_type).transpose()?;
        let manifest = RawManifest::from_bytes(Bytes::from_owner(content), media_type);
        let (manifest, tags) = (manifest.map_err(raise)?, parse_tags(&tags)?);
        let put = async move {
            if tags.is_empty() {
                repository.push_manifest(&manifest, None).await?;
            }
            for tag in &tags {
                repository.push_manifest(&manifest, Some(tag)).await?;
            }
            Ok(manifest.descriptor().clone())
        };
        Operation::start(put, document)
    }

    fn tag(&self, selector: &str, tags: Vec<String>) -> PyResult<Operation> {
        let (repository, selector, tags) = (self.0.clone(), parse(selector)?, parse_tags(&tags)?);
        Operation::start(async move { add_tags(&repository, &selector, &tags).await }, document)
    }

    fn untag(&self, tag: &str) -> PyResult<Operation> {
        let (repository, tag) = (self.0.clone(), tag.parse().map_err(invalid)?);
        let untag = async move {
            Ok(match untag(&repository, &tag).await? {
                UntagMethod::Placeholder => "by placeholder",
                _ => "directly",
            })
        };
        Operation::start(untag, document)
    }

    fn delete(&self, selector: &str) -> PyResult<Operation> {
        let (repository, selector) = (self.0.clone(), parse(selector)?);
        let delete = async move {
            let deleted = delete_with_tags(&repository, &selector).await?;
            Ok(json!({ "digest": deleted.digest, "tags": deleted.tags }))
        };
        Operation::start(delete, document)
    }

    /// Returns the manifest and the configuration of the image for a platform.
    fn image(&self, selector: &str, platform: Option<&str>) -> PyResult<Operation> {
        let (repository, selector) = (self.0.clone(), parse(selector)?);
        let platform = platform_of(platform)?;
        let get = async move {
            let manifest = repository.manifest(&selector).await?;
            Ok(form(&read_image(&repository, manifest, platform.as_ref()).await?))
        };
        Operation::start(get, |py, form: Form| form.into_py(py))
    }

    /// Returns the images for all platforms.
    fn images(&self, selector: &str) -> PyResult<Operation> {
        let (repository, selector) = (self.0.clone(), parse(selector)?);
        let get = async move {
            let manifest = repository.manifest(&selector).await?;
            let mut images = Vec::new();
            for image in list_images(&repository, &manifest).await? {
                let manifest = repository.manifest(&image.digest.into()).await?;
                images.push(form(&Image::read(&repository, manifest).await?));
            }
            Ok(images)
        };
        Operation::start(get, manifests)
    }

    /// Opens a blob from an offset. Without a size, the registry states it.
    fn blob(
        &self,
        digest: &str,
        size: Option<u64>,
        media_type: Option<&str>,
        start: u64,
    ) -> PyResult<Operation> {
        let repository = self.0.clone();
        let digest: Digest = digest.parse().map_err(invalid)?;
        let media_type =
            media_type.map_or(Ok(MediaType::OCTET_STREAM), crate::names::media_type)?;
        let get = async move {
            let blob = match size {
                Some(size) => Descriptor::new(media_type, digest, size),
                None => repository.describe_blob(&digest).await?,
            };
            Ok((open(&repository, blob.clone(), start).await?, blob))
        };
        Operation::start(get, |py, (blob, descriptor)| {
            Ok((reader(py, blob)?, document(py, descriptor)?).into_pyobject(py)?.into_any())
        })
    }

    fn blob_size(&self, digest: &str) -> PyResult<Operation> {
        let (repository, digest) = (self.0.clone(), digest.parse().map_err(invalid)?);
        Operation::start(async move { repository.blob_size(&digest).await }, document)
    }

    /// Sends a blob, and returns its descriptor.
    ///
    /// - `check`: false to send it although the registry may have it.
    #[pyo3(signature = (content, media_type, digest=None, check=true, meter=None))]
    fn push(
        &self,
        content: Content,
        media_type: &str,
        digest: Option<&str>,
        check: bool,
        meter: Option<Meter>,
    ) -> PyResult<Operation> {
        let repository = self.0.clone();
        let media_type = crate::names::media_type(media_type)?;
        let digest = digest.map(str::parse::<Digest>).transpose().map_err(invalid)?;
        let content = content.open()?;
        let push = push(repository, content, media_type, digest, check, meter);
        Operation::start(push, document)
    }

    /// Mounts a blob from another repository of the registry. With `copy`, the blob is copied if
    /// the registry does not mount it.
    fn mount(&self, digest: &str, source: &Bound<'_, Self>, copy: bool) -> PyResult<Operation> {
        let (repository, source) = (self.0.clone(), source.get().0.clone());
        let digest: Digest = digest.parse().map_err(invalid)?;
        let mount = async move { mount(&repository, source, digest, copy).await };
        Operation::start(mount, document)
    }

    fn delete_blob(&self, digest: &str) -> PyResult<Operation> {
        use longshore::Delete as _;
        let (repository, digest) = (self.0.clone(), digest.parse().map_err(invalid)?);
        Operation::start(async move { repository.delete_blob(&digest).await }, none)
    }

    /// Begins an upload, or continues the upload with this URL.
    fn upload(&self, location: Option<String>) -> PyResult<Operation> {
        let repository = self.0.clone();
        let begin = async move {
            match location {
                Some(location) => repository.resume_upload(&location).await,
                None => repository.begin_upload().await,
            }
        };
        Operation::start(begin, |py, upload| Ok(Bound::new(py, Upload::new(upload))?.into_any()))
    }

    /// Sends an artifact of files and of blobs that the repository holds.
    fn set_alias(
        &self,
        tag: &str,
        blobs: Vec<Part>,
        artifact_type: &str,
        annotations: BTreeMap<String, String>,
    ) -> PyResult<Operation> {
        let (repository, tag) = (self.0.clone(), tag.parse::<Tag>().map_err(invalid)?);
        let mut pack = Pack::artifact(media_type(artifact_type)?);
        for (name, value) in &annotations {
            pack = pack.annotation(name, value);
        }
        let blobs: Vec<Listed> = blobs.into_iter().map(Part::parse).collect::<PyResult<_>>()?;
        let push = async move {
            for blob in blobs {
                pack = match blob {
                    Listed::File(path) => pack.file_at(&path, MediaType::OCTET_STREAM)?,
                    Listed::Digest(digest) => {
                        pack.existing_layer(repository.describe_blob(&digest).await?)
                    }
                    Listed::Descriptor(descriptor) => pack.existing_layer(*descriptor),
                };
            }
            pack.push(&repository, Some(&tag)).await
        };
        Operation::start(push, document)
    }

    /// Returns the files of an artifact, or the layers of an image.
    fn alias(&self, selector: &str) -> PyResult<Operation> {
        let (repository, selector) = (self.0.clone(), parse(selector)?);
        let list = async move { list_files(&repository.manifest(&selector).await?) };
        Operation::start(list, document)
    }

    /// Writes the files of an artifact to a folder, and returns their paths.
    fn pull_files(&self, selector: &str, folder: PathBuf) -> PyResult<Operation> {
        let (repository, selector) = (self.0.clone(), parse(selector)?);
        let pull = async move {
            let manifest = repository.manifest(&selector).await?;
            pull_files(&std::sync::Arc::new(repository), &manifest, &folder).await
        };
        Operation::start(pull, |py, paths: Vec<PathBuf>| {
            let paths = paths.iter().map(|path| path.as_os_str().to_owned());
            Ok(pyo3::types::PyList::new(py, paths.collect::<Vec<_>>())?.into_any())
        })
    }

    #[pyo3(signature = (digest, artifact_type=None))]
    fn referrers(&self, digest: &str, artifact_type: Option<&str>) -> PyResult<Pages> {
        let digest = digest.parse().map_err(invalid)?;
        let artifact_type = artifact_type.map(media_type).transpose()?;
        Ok(Pages::new(self.0.referrers(&digest, artifact_type.as_ref())))
    }
}

/// A part of an artifact: a path, a digest, or a descriptor.
#[derive(FromPyObject)]
pub(crate) enum Part {
    #[pyo3(transparent)]
    File(crate::content::File),
    #[pyo3(transparent)]
    Digest(String),
    #[pyo3(transparent)]
    Descriptor(Py<PyAny>),
}

/// A part of an artifact whose text is parsed.
enum Listed {
    File(PathBuf),
    Digest(Digest),
    Descriptor(Box<Descriptor>),
}

impl Part {
    fn parse(self) -> PyResult<Listed> {
        Ok(match self {
            Self::File(file) => Listed::File(file.into_path()),
            Self::Digest(text) => Listed::Digest(text.parse().map_err(invalid)?),
            Self::Descriptor(document) => Python::attach(|py| {
                let document: Value = pythonize::depythonize(document.bind(py))?;
                let parsed = serde_json::from_value(document);
                let invalid =
                    |e| longshore::Error::new(longshore::ErrorKind::Invalid).with_source(e);
                Ok::<_, PyErr>(Listed::Descriptor(Box::new(parsed.map_err(|e| raise(invalid(e)))?)))
            })?,
        })
    }
}

async fn push(
    repository: RemoteRepository,
    content: Sent,
    media_type: MediaType,
    digest: Option<Digest>,
    check: bool,
    meter: Option<Meter>,
) -> Result<Descriptor> {
    let report = move |progress| meter.iter().for_each(|meter| meter.set(progress));
    match content {
        Sent::Stream(stream) => {
            let stream = stream.on_progress(report);
            let pushed = repository.push_stream(stream, digest.as_ref()).await?;
            Ok(Descriptor::new(media_type, pushed.digest, pushed.size))
        }
        Sent::File(path) => {
            let file = FileBody::new(path, media_type).expected_digest(digest).on_progress(report);
            if check {
                return repository.push_file(&file).await.map(|(descriptor, _)| descriptor);
            }
            let descriptor = file.describe().await?;
            repository.push_blob(&descriptor, file.body()).await?;
            Ok(descriptor)
        }
        Sent::Bytes(bytes) => {
            let hash = {
                let bytes = bytes.clone();
                move || Ok(Descriptor::from_bytes(media_type, &bytes))
            };
            let descriptor = longshore::run_blocking(hash).await?;
            digest.map_or(Ok(()), |expected| expected.check(&descriptor.digest))?;
            let body = BlobBody::from(bytes).on_progress(report);
            match check {
                true => repository.ensure_blob(&descriptor, body).await?,
                false => repository.push_blob(&descriptor, body).await?,
            };
            Ok(descriptor)
        }
    }
}

/// Returns true if the registry mounted the blob, or held it.
async fn mount(
    repository: &RemoteRepository,
    source: RemoteRepository,
    digest: Digest,
    copy: bool,
) -> Result<bool> {
    let blob = source.describe_blob(&digest).await?;
    let origin = source.repository().clone();
    let body = match copy {
        true => BlobBody::source(std::sync::Arc::new(source)).with_origin(origin),
        false => BlobBody::mount(origin),
    };
    match repository.push_blob(&blob, body).await {
        Ok(pushed) => Ok(!matches!(pushed, longshore::Pushed::Sent)),
        Err(e) if !copy && e.kind() == longshore::ErrorKind::Unsupported => Ok(false),
        Err(e) => Err(e),
    }
}

fn form(image: &Image) -> Form {
    Form { manifest: image.manifest().clone(), config: image.config_bytes().clone() }
}

pub(crate) fn parse(selector: &str) -> PyResult<TagOrDigest> {
    TagOrDigest::parse(selector).map_err(invalid)
}

fn parse_tags(tags: &[String]) -> PyResult<Vec<Tag>> {
    tags.iter().map(|tag| tag.parse().map_err(invalid)).collect()
}

fn accepted(accept: Option<Vec<String>>) -> PyResult<Option<Vec<MediaType>>> {
    accept.map(|types| types.iter().map(|text| media_type(text)).collect()).transpose()
}

pub(crate) fn platform_of(text: Option<&str>) -> PyResult<Option<Platform>> {
    text.map(str::parse).transpose().map_err(invalid)
}
