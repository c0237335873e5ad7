use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use futures_util::StreamExt as _;
use longshore::http::header::CONTENT_TYPE;
use longshore::http::{HeaderName, HeaderValue, Method};
use longshore::{BlobStream, Body, Digest, Digester, Error, ErrorKind, RawRequest, Result};
use serde_json::Value;

use super::image_id::ImageId;
use super::layer::{Layer, checksum_of};
use super::site::{Site, header, with_json};

/// An image of a v1 registry: a JSON document and one layer. Cheap to clone.
#[derive(Clone)]
pub struct Image {
    site: Site,
    id: ImageId,
}

/// The JSON of a v1 image, and the registry's data on its layer.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ImageJson {
    /// The exact bytes of the document, which the checksum covers.
    pub bytes: Bytes,
    /// The layer's size in bytes (`X-Docker-Size`).
    pub size: Option<u64>,
    /// The sha256 of document and layer (`X-Docker-Checksum-Payload`). `None` if the header is
    /// missing or is not a digest.
    pub checksum: Option<Digest>,
    /// Checksums of kinds that longshore does not compute, usually `tarsum+sha256:…`
    /// (`X-Docker-Checksum`).
    pub tarsum: Option<String>,
}

impl ImageJson {
    /// Returns the parsed document.
    ///
    /// # Errors
    /// [`Invalid`](ErrorKind::Invalid) if the document is not JSON.
    pub fn value(&self) -> Result<Value> {
        serde_json::from_slice(&self.bytes)
            .map_err(|e| Error::new(ErrorKind::Invalid).at("image JSON").with_source(e))
    }
}

impl Image {
    pub(super) fn new(site: Site, id: ImageId) -> Self {
        Self { site, id }
    }

    /// Returns the identifier.
    #[must_use]
    pub fn id(&self) -> &ImageId {
        &self.id
    }

    /// Returns the image's JSON.
    ///
    /// Sends `GET /v1/images/<id>/json`.
    ///
    /// # Errors
    /// [`NotFound`](ErrorKind::NotFound); [`Protocol`](ErrorKind::Protocol) if the reply is not
    /// JSON.
    pub async fn json(&self) -> Result<ImageJson> {
        let document = self.site.fetch(self.ask(Method::GET, "json")).await?;
        document.json::<Value>()?;
        let text = |name| header(&document.headers, name).map(str::to_owned);
        Ok(ImageJson {
            size: text("x-docker-size").and_then(|size| size.parse().ok()),
            checksum: text("x-docker-checksum-payload").and_then(|sum| sum.parse().ok()),
            tarsum: text("x-docker-checksum"),
            bytes: document.bytes,
        })
    }

    /// Returns one field of the image's JSON.
    ///
    /// Sends `GET /v1/images/<id>/json`.
    ///
    /// # Errors
    /// [`NotFound`](ErrorKind::NotFound) if the image or the field does not exist.
    pub async fn field(&self, name: &str) -> Result<Value> {
        let mut value = self.json().await?.value()?;
        value
            .get_mut(name)
            .map(Value::take)
            .ok_or_else(|| Error::new(ErrorKind::NotFound).at(format!("field {name:?} of {self}")))
    }

    /// Lists the image and its ancestors, from the image to the oldest ancestor.
    ///
    /// Sends `GET /v1/images/<id>/ancestry`.
    ///
    /// # Errors
    /// [`NotFound`](ErrorKind::NotFound).
    pub async fn ancestry(&self) -> Result<Vec<ImageId>> {
        self.site.get(&self.path("ancestry"), self).await
    }

    /// Opens the image's layer.
    ///
    /// Sends `GET /v1/images/<id>/layer`; follows redirects, but sends no credentials to other
    /// origins.
    ///
    /// # Errors
    /// [`NotFound`](ErrorKind::NotFound).
    ///
    /// # Cancellation
    /// Dropping the layer closes the connection; nothing is left behind.
    pub async fn layer(&self) -> Result<Layer> {
        let reply = self.site.send(self.ask(Method::GET, "layer")).await?;
        reply.expect(&[200]).await.map(Layer::new)
    }

    /// Pushes the image's JSON, the first step of an upload.
    ///
    /// Sends `PUT /v1/images/<id>/json`. The registry requires that the parent exists.
    ///
    /// # Errors
    /// [`Conflict`](ErrorKind::Conflict) if the image already exists.
    pub async fn push_json(&self, json: impl Into<Bytes>) -> Result<()> {
        let ask = with_json(self.ask(Method::PUT, "json"), json.into());
        self.site.change(ask).await.map(drop)
    }

    /// Pushes the image's layer. The image's JSON must exist.
    ///
    /// Sends `PUT /v1/images/<id>/layer`. A stream cannot be sent again. If no token of an index is
    /// used, `GET /v1/images/<id>/json` is therefore sent before a stream, to detect whether the
    /// registry requires credentials.
    ///
    /// # Errors
    /// [`NotFound`](ErrorKind::NotFound) if the JSON does not exist.
    pub async fn push_layer(&self, layer: Body) -> Result<()> {
        if matches!(layer, Body::Stream { .. }) && !self.site.has_token() {
            self.site.send(self.ask(Method::GET, "json")).await?.drain().await;
        }
        let octets = HeaderValue::from_static("application/octet-stream");
        let ask = self.ask(Method::PUT, "layer").header(CONTENT_TYPE, octets).body(layer);
        self.site.change(ask).await.map(drop)
    }

    /// Pushes the checksum of JSON and layer, the last step of an upload.
    ///
    /// Sends `PUT /v1/images/<id>/checksum` with `X-Docker-Checksum-Payload`.
    ///
    /// # Errors
    /// [`Invalid`](ErrorKind::Invalid) if the registry computed a different checksum.
    pub async fn push_checksum(&self, checksum: &Digest) -> Result<()> {
        let value = HeaderValue::from_str(checksum.as_str())
            .map_err(|e| Error::new(ErrorKind::Invalid).at(checksum).with_source(e))?;
        let name = HeaderName::from_static("x-docker-checksum-payload");
        self.site.change(self.ask(Method::PUT, "checksum").header(name, value)).await.map(drop)
    }

    /// Pushes the image's layer and the checksum of JSON and layer. Returns the checksum. The
    /// argument `json` is the document that was pushed before.
    ///
    /// # Errors
    /// The errors of [`push_layer`](Self::push_layer) and [`push_checksum`](Self::push_checksum).
    pub async fn complete(&self, json: &[u8], layer: Body) -> Result<Digest> {
        let digester = Arc::new(Mutex::new(checksum_of(json)));
        let layer = observed(layer, &digester);
        self.push_layer(layer).await?;
        let digester = digester.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let checksum = digester.finish();
        self.push_checksum(&checksum).await?;
        Ok(checksum)
    }

    /// Pushes an image: its JSON, its layer, and the checksum of both. Returns the checksum.
    ///
    /// # Errors
    /// The errors of [`push_json`](Self::push_json) and [`complete`](Self::complete).
    ///
    /// # Cancellation
    /// An incomplete image remains in the registry, which accepts the same image again.
    pub async fn push(&self, json: impl Into<Bytes>, layer: Body) -> Result<Digest> {
        let json = json.into();
        self.push_json(json.clone()).await?;
        self.complete(&json, layer).await
    }

    fn ask(&self, method: Method, what: &'static str) -> RawRequest {
        self.site.ask(method, &self.path(what), self)
    }

    fn path(&self, what: &'static str) -> [&str; 3] {
        ["images", self.id.as_str(), what]
    }
}

/// Returns the body, and passes the body's bytes to the digester.
fn observed(body: Body, digester: &Arc<Mutex<Digester>>) -> Body {
    let seen = Arc::clone(digester);
    let see = move |bytes: &Bytes| {
        seen.lock().unwrap_or_else(PoisonError::into_inner).update(bytes);
    };
    match body {
        Body::Stream { stream, size } => {
            let stream = stream.inspect(move |chunk| chunk.iter().for_each(&see));
            Body::Stream { stream: BlobStream::new(stream), size }
        }
        Body::Bytes(bytes) => {
            see(&bytes);
            Body::Bytes(bytes)
        }
        Body::Empty => Body::Empty,
    }
}

impl fmt::Display for Image {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "image {} at {}", self.id, self.site.registry())
    }
}

impl fmt::Debug for Image {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "v1::Image({} {})", self.site.registry(), self.id)
    }
}
