//! A client without a network: it passes requests to the service and receives the replies.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use http::{HeaderMap, Method, Request, StatusCode};
use http_body_util::{BodyExt as _, Full};
use longshore_core::{Algorithm, Digest, ErrorKind};
use longshore_registry::{ObjectStorage, Registry, RegistryBuilder};
use object_store::local::LocalFileSystem;
use object_store::memory::InMemory;
use object_store::multipart::{MultipartStore, PartId};
use object_store::path::Path;
use object_store::{ObjectStoreExt as _, PutPayload, PutResult};
use tempfile::TempDir;

/// Runs a test with an empty registry on each storage.
pub(crate) async fn on_each_storage(test: impl AsyncFn(&Client)) {
    on_each_storage_with(|builder| builder, test).await;
}

/// Runs a test with an empty registry on each storage, configured by `set_up`.
pub(crate) async fn on_each_storage_with(
    set_up: impl Fn(RegistryBuilder) -> RegistryBuilder,
    test: impl AsyncFn(&Client),
) {
    test(&Client::new(set_up(Registry::builder()).memory())).await;
    let folder = TempDir::new().unwrap();
    test(&Client::new(set_up(Registry::builder()).disk(folder.path()))).await;
    assert_no_uploads_left(folder.path());
    let folder = TempDir::new().unwrap();
    for storage in [ObjectStorage::new(InMemory::new()), local_objects(folder.path())] {
        // Object stores do not report their size, so their size cannot be limited.
        match set_up(Registry::builder()).storage(Arc::new(storage)).build() {
            Ok(registry) => test(&Client { registry }).await,
            Err(e) => assert_eq!(e.kind(), ErrorKind::Unsupported),
        }
    }
}

/// Returns a storage that keeps objects in a folder through the crate `object_store`.
pub(crate) fn local_objects(folder: &std::path::Path) -> ObjectStorage {
    let store = Arc::new(LocalFileSystem::new_with_prefix(folder).unwrap());
    ObjectStorage::with_parts(Arc::clone(&store) as _, Arc::new(PartsInFiles(store)))
}

/// Multipart uploads for a store that does not support them.
#[derive(Debug)]
struct PartsInFiles(Arc<LocalFileSystem>);

impl PartsInFiles {
    fn part(path: &Path, id: &str, n: usize) -> Path {
        Path::from(format!("{path}.{id}.{n}"))
    }
}

#[async_trait]
impl MultipartStore for PartsInFiles {
    async fn create_multipart(&self, _: &Path) -> object_store::Result<String> {
        Ok("parts".to_owned())
    }

    async fn put_part(
        &self,
        path: &Path,
        id: &String,
        n: usize,
        data: PutPayload,
    ) -> object_store::Result<PartId> {
        self.0.put(&Self::part(path, id, n), data).await?;
        Ok(PartId { content_id: n.to_string() })
    }

    async fn complete_multipart(
        &self,
        path: &Path,
        id: &String,
        parts: Vec<PartId>,
    ) -> object_store::Result<PutResult> {
        let mut whole = Vec::new();
        for n in 0..parts.len() {
            whole.extend(self.0.get(&Self::part(path, id, n)).await?.bytes().await?);
        }
        self.abort_multipart(path, id).await?;
        self.0.put(path, whole.into()).await
    }

    async fn abort_multipart(&self, path: &Path, id: &String) -> object_store::Result<()> {
        for n in 0.. {
            match self.0.delete(&Self::part(path, id, n)).await {
                Err(object_store::Error::NotFound { .. }) => break,
                deleted => deleted?,
            }
        }
        Ok(())
    }
}

/// Asserts that no file of an upload is left over, except the files of open sessions.
fn assert_no_uploads_left(root: &std::path::Path) {
    let left: Vec<_> = std::fs::read_dir(root.join("uploads"))
        .unwrap()
        .map(|e| e.unwrap().file_name().into_string().unwrap())
        .collect();
    let has_session =
        |name: &String| name.ends_with(".session") || left.contains(&format!("{name}.session"));
    let stray: Vec<_> = left.iter().filter(|name| !has_session(name)).collect();
    assert!(stray.is_empty(), "{stray:?}");
}

#[derive(Clone)]
pub(crate) struct Client {
    pub(crate) registry: Registry,
}

#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Client {
    pub(crate) fn new(builder: RegistryBuilder) -> Self {
        let registry = builder.build().unwrap();
        Self { registry }
    }

    pub(crate) async fn send<B>(&self, request: Request<B>) -> Reply
    where
        B: http_body::Body<Data: Send> + Send + 'static,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let (parts, body) = self.registry.answer(request).await.into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        Reply { status: parts.status, headers: parts.headers, body }
    }

    pub(crate) async fn request(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: impl Into<Bytes>,
    ) -> Reply {
        let body = body.into();
        let mut request = Request::builder().method(method).uri(path);
        let has_length = headers.iter().any(|(name, _)| *name == "content-length");
        if !has_length && !body.is_empty() {
            request = request.header("content-length", body.len());
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        self.send(request.body(Full::new(body)).unwrap()).await
    }

    pub(crate) async fn get(&self, path: &str) -> Reply {
        self.request(Method::GET, path, &[], "").await
    }

    pub(crate) async fn head(&self, path: &str) -> Reply {
        self.request(Method::HEAD, path, &[], "").await
    }

    pub(crate) async fn delete(&self, path: &str) -> Reply {
        self.request(Method::DELETE, path, &[], "").await
    }

    pub(crate) async fn post(&self, path: &str) -> Reply {
        self.request(Method::POST, path, &[], "").await
    }

    /// Begins an upload. Returns its location.
    pub(crate) async fn begin(&self, name: &str) -> String {
        let reply = self.post(&format!("/v2/{name}/blobs/uploads/")).await;
        reply.expect(202).location()
    }

    /// Pushes a blob with a `POST` and a `PUT`.
    pub(crate) async fn push_blob(&self, name: &str, content: &[u8]) -> Digest {
        let digest = Digest::sha256(content);
        let location = self.begin(name).await;
        let content = Bytes::copy_from_slice(content);
        let put = self.put(&location, &digest, content).await;
        put.expect(201);
        digest
    }

    /// Completes an upload.
    pub(crate) async fn put(
        &self,
        location: &str,
        digest: &Digest,
        body: impl Into<Bytes>,
    ) -> Reply {
        let path = format!("{location}?digest={digest}");
        self.request(Method::PUT, &path, &[], body).await
    }

    pub(crate) async fn put_manifest(
        &self,
        name: &str,
        selector: &str,
        manifest: &Manifest,
    ) -> Reply {
        let path = format!("/v2/{name}/manifests/{selector}");
        let headers = [("content-type", manifest.media_type)];
        let body = manifest.json.clone();
        self.request(Method::PUT, &path, &headers, body).await
    }

    /// Pushes an image with one layer. Returns its manifest.
    pub(crate) async fn push_image(&self, name: &str, tag: &str, layer: &[u8]) -> Manifest {
        self.push_blob(name, b"{}").await;
        self.push_blob(name, layer).await;
        let image = Manifest::image(&[layer]);
        self.put_manifest(name, tag, &image).await.expect(201);
        image
    }
}

impl Reply {
    #[track_caller]
    pub(crate) fn expect(self, status: u16) -> Self {
        assert_eq!(self.status, status, "{}", String::from_utf8_lossy(&self.body));
        self
    }

    /// Asserts that the reply is an error with this status and code, in the specification's format.
    #[track_caller]
    pub(crate) fn expect_error(self, status: u16, code: &str) -> Self {
        assert_eq!(self.status, status, "{}", String::from_utf8_lossy(&self.body));
        assert_eq!(self.header("content-type"), "application/json");
        assert_eq!(self.json()["errors"][0]["code"], code);
        self
    }

    #[track_caller]
    pub(crate) fn header(&self, name: &str) -> &str {
        let value = self.headers.get(name);
        value.unwrap_or_else(|| panic!("no header {name}: {self:?}")).to_str().unwrap()
    }

    #[track_caller]
    pub(crate) fn location(&self) -> String {
        self.header("location").to_owned()
    }

    #[track_caller]
    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap()
    }
}

/// A manifest to push.
#[derive(Clone, Debug)]
pub(crate) struct Manifest {
    pub(crate) media_type: &'static str,
    pub(crate) json: String,
}

pub(crate) const IMAGE: &str = "application/vnd.oci.image.manifest.v1+json";
pub(crate) const INDEX: &str = "application/vnd.oci.image.index.v1+json";
const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
const LAYER: &str = "application/vnd.oci.image.layer.v1.tar";

impl Manifest {
    /// Returns an image with the config `{}` and these layers.
    pub(crate) fn image(layers: &[&[u8]]) -> Self {
        Self::image_with(layers, "")
    }

    /// Returns an image with additional fields, such as `,"k":"v"`.
    pub(crate) fn image_with(layers: &[&[u8]], more: &str) -> Self {
        let layers: Vec<_> = layers.iter().map(|l| descriptor(LAYER, l)).collect();
        let json = format!(
            r#"{{"schemaVersion":2,"mediaType":"{IMAGE}","config":{},"layers":[{}]{more}}}"#,
            descriptor(CONFIG, b"{}"),
            layers.join(",")
        );
        Self { media_type: IMAGE, json }
    }

    pub(crate) fn index(children: &[&Self]) -> Self {
        let children: Vec<_> = children.iter().map(|c| c.descriptor()).collect();
        let json = format!(
            r#"{{"schemaVersion":2,"mediaType":"{INDEX}","manifests":[{}]}}"#,
            children.join(",")
        );
        Self { media_type: INDEX, json }
    }

    pub(crate) fn digest(&self) -> Digest {
        Digest::sha256(self.json.as_bytes())
    }

    pub(crate) fn digest_by(&self, algorithm: Algorithm) -> Digest {
        algorithm.digest(self.json.as_bytes())
    }

    pub(crate) fn descriptor(&self) -> String {
        descriptor(self.media_type, self.json.as_bytes())
    }
}

pub(crate) fn descriptor(media_type: &str, content: &[u8]) -> String {
    format!(
        r#"{{"mediaType":"{media_type}","digest":"{}","size":{}}}"#,
        Digest::sha256(content),
        content.len()
    )
}
