//! Custom requests, which pass the same layers as all other requests. Crates for protocols that
//! this crate does not support use them too.

use std::fmt;

use bytes::Bytes;
use http::header::{AUTHORIZATION, COOKIE, PROXY_AUTHORIZATION};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, StatusCode, Uri};
use longshore_core::{BlobStream, Error, ErrorKind, ParseError, RegistryName, Result};
use serde::de::DeserializeOwned;

use crate::auth::Scopes;
use crate::coding::Coding;
use crate::credentials::InsecureUse;
use crate::exchange::{Exchange, RegistryRequest};
use crate::origin::{Origin, resolve};
use crate::reply::{Reply, json, refuse_web_page};
use crate::transport::Body;

/// A custom request to a registry, for operations without a method in this crate.
///
/// ```no_run
/// use longshore::{Client, RawRequest, http::Method};
///
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// let request = RawRequest::new(Method::GET, "/v2/team/app/tags/list?n=1")
///     .scope("repository:team/app:pull")?;
/// let reply = Client::new().request(&"ghcr.io".parse()?, request).await?;
/// println!("{}", reply.status);
/// println!("{:?}", reply.bytes(64 << 10).await?);
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct RawRequest {
    method: Method,
    target: String,
    headers: HeaderMap,
    body: Body,
    scopes: Scopes,
    issuer: Option<RegistryName>,
    about: Option<String>,
}

impl RawRequest {
    /// Creates a request without headers or body.
    ///
    /// - `target`: a path below the registry's base URL with its query, such as `/v2/`, or a URL at
    ///   the registry, such as one from a reply.
    #[must_use]
    pub fn new(method: Method, target: impl Into<String>) -> Self {
        let (headers, body, scopes, issuer, about) = <_>::default();
        Self { method, target: target.into(), headers, body, scopes, issuer, about }
    }

    /// Sets a name for the requested item. Errors show the name in place of the method and URL.
    #[must_use]
    pub fn about(mut self, thing: impl fmt::Display) -> Self {
        self.about = Some(thing.to_string());
        self
    }

    /// Adds a header. An `Authorization` header replaces the client's credentials. The header is
    /// sent with any settings of the registry, except if [`Scheme::Detect`](crate::Scheme::Detect)
    /// found only plain HTTP or an invalid certificate.
    #[must_use]
    pub fn header(mut self, name: HeaderName, mut value: HeaderValue) -> Self {
        let secret = [AUTHORIZATION, COOKIE, PROXY_AUTHORIZATION].contains(&name);
        value.set_sensitive(secret || value.is_sensitive());
        self.headers.append(name, value);
        self
    }

    /// Sets an `Authorization` header that `issuer` issued. It replaces the client's credentials.
    ///
    /// The header is protected like credentials. It is sent over plain HTTP, or to a server with an
    /// invalid certificate, only if the registry's settings permit this or if the registry is
    /// `issuer` itself on this machine. Otherwise the request fails with
    /// [`Denied`](ErrorKind::Denied).
    #[must_use]
    pub fn authorized_by(mut self, issuer: &RegistryName, value: HeaderValue) -> Self {
        self.issuer = Some(issuer.clone());
        self.headers.remove(AUTHORIZATION);
        self.header(AUTHORIZATION, value)
    }

    /// Sets the body. A stream is sent only once, even after a failure.
    #[must_use]
    pub fn body(mut self, body: Body) -> Self {
        self.body = body;
        self
    }

    /// Adds a scope for the token request, such as `repository:team/app:pull,push`. The scopes in
    /// the registry's challenge are added to it.
    ///
    /// # Errors
    /// [`ParseError`] if the scope is invalid.
    pub fn scope(mut self, scope: &str) -> Result<Self, ParseError> {
        let read = Scopes::parse(scope);
        if read.iter().next().is_none() {
            return Err(ParseError::new("scope", scope, "expected TYPE:NAME:ACTION,ACTION"));
        }
        self.scopes = self.scopes.and(&read);
        Ok(self)
    }
}

/// The reply to a [`RawRequest`], whatever its status.
#[derive(Debug)]
#[non_exhaustive]
pub struct RawReply {
    /// The URL of the reply, after redirects.
    pub uri: Uri,
    /// The status.
    pub status: StatusCode,
    /// The headers.
    pub headers: HeaderMap,
    about: String,
    reply: Reply,
}

impl RawReply {
    /// Returns the reply if its status is one of these.
    ///
    /// # Errors
    /// Same as [`into_error`](Self::into_error) for any other status.
    pub async fn expect(self, statuses: &[u16]) -> Result<Self> {
        match statuses.contains(&self.status.as_u16()) {
            true => Ok(self),
            false => Err(self.into_error().await),
        }
    }

    /// Returns true if the body has a content coding, although no request permits one.
    #[must_use]
    pub fn is_coded(&self) -> bool {
        self.reply.coding() != Coding::Identity
    }

    /// Returns the body as received: a content coding added by a proxy is not decoded.
    #[must_use]
    pub fn into_stream(self) -> BlobStream {
        self.reply.body.into_stream()
    }

    /// Returns the body, and decodes gzip that a proxy added.
    #[must_use]
    pub fn into_decoded(self) -> BlobStream {
        self.reply.coding().decode(self.reply.body.into_stream())
    }

    /// Reads the rest of a small body, so that the connection can be reused.
    pub async fn drain(self) {
        self.reply.body.drain().await;
    }

    /// Returns the whole body as received, of at most `limit` bytes.
    ///
    /// # Errors
    /// [`TooLarge`](ErrorKind::TooLarge) for a longer body, or the error that interrupts it.
    pub async fn bytes(self, limit: usize) -> Result<Bytes> {
        let uri = self.uri;
        let body = self.reply.body.into_stream().bytes(limit).await;
        body.map_err(|e| e.at(crate::redact::redacted(&uri)))
    }

    /// Returns the reply's error, in the same form as the errors of other operations. Reads the
    /// body.
    pub async fn into_error(self) -> Error {
        let about = self.about;
        self.reply.into_error().await.at(about)
    }
}

/// A document in the reply to a [`RawRequest`], read as a whole.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct RawDocument {
    /// The URL of the reply, after redirects.
    pub uri: Uri,
    /// The headers.
    pub headers: HeaderMap,
    /// The document, with its content coding decoded.
    pub bytes: Bytes,
}

impl RawDocument {
    /// Parses the document as JSON.
    ///
    /// # Errors
    /// [`Protocol`](ErrorKind::Protocol) if it is not the expected JSON. The error quotes the start
    /// of the document.
    pub fn json<T: DeserializeOwned>(&self) -> Result<T> {
        json(&self.uri, &self.bytes)
    }
}

/// Sends a request.
pub(crate) async fn send(exchange: &Exchange, request: RawRequest) -> Result<RawReply> {
    let request = prepare(exchange, request).await?;
    let about = request.about().to_owned();
    let reply = exchange.send(request).await?;
    let (uri, headers) = (reply.uri.clone(), reply.headers.clone());
    Ok(RawReply { uri, status: reply.status, headers, about, reply })
}

/// Sends a request and reads the whole body of its 200 reply.
pub(crate) async fn fetch(
    exchange: &Exchange,
    request: RawRequest,
    limit: usize,
) -> Result<RawDocument> {
    let request = prepare(exchange, request).await?;
    let (reply, bytes) = exchange.fetch(request, limit).await?;
    refuse_web_page(&reply.uri, &bytes)?;
    Ok(RawDocument { uri: reply.uri, headers: reply.headers, bytes })
}

/// Returns the request to send to the registry, if its secrets may be sent there.
async fn prepare(exchange: &Exchange, request: RawRequest) -> Result<RegistryRequest> {
    let RawRequest { method, target, headers, body, scopes, issuer, about } = request;
    let uri = uri(exchange, &target).await?;
    let about = about.unwrap_or_else(|| format!("{method} {}", crate::redact::redacted(&uri)));
    match issuer {
        Some(issuer) => refuse_exposure(exchange, &issuer).await?,
        None if headers.contains_key(AUTHORIZATION) => {
            refuse_fallback(exchange).await.map_err(|e| e.at(&about))?;
        }
        None => {}
    }
    let mut request = Request::new(body);
    (*request.method_mut(), *request.uri_mut(), *request.headers_mut()) = (method, uri, headers);
    Ok(RegistryRequest::of(request, scopes, about))
}

/// Checks that an `Authorization` header of `issuer` may be sent to a registry. If the registry is
/// the issuer, the same rules apply as for credentials. If the connection to another registry is
/// not secure, the registry's settings must permit it.
async fn refuse_exposure(exchange: &Exchange, issuer: &RegistryName) -> Result<()> {
    let insecure_use = match exchange.registry() == issuer {
        true => InsecureUse::ThisMachine,
        false => InsecureUse::Nowhere,
    };
    match exchange.host().await?.danger {
        Some(danger) if !danger.is_accepted(insecure_use) => Err(Error::new(ErrorKind::Denied)
            .at(exchange.registry())
            .detail(format!(
                "the authorization from {issuer} is not sent over plain HTTP or to a server with an \
                 invalid certificate unless you allow it"
            ))
            .with_hint("Set this registry's scheme to http, or skip its verification.")),
        _ => Ok(()),
    }
}

/// Refuses to send secrets over a connection that is a fallback of detection.
async fn refuse_fallback(exchange: &Exchange) -> Result<()> {
    let host = exchange.host().await?;
    if !host.fallback {
        return Ok(());
    }
    let registry = exchange.registry();
    let (clause, way) = match host.https {
        true => ("the certificate is not valid", format!("--skip-tls-verify {registry}")),
        false => ("the registry uses plain HTTP", format!("--plain-http {registry}")),
    };
    Err(Error::new(ErrorKind::Unauthorized)
        .detail(format!("{clause}, so the Authorization header is not sent"))
        .with_hint(format!("To allow it, change the registry's settings ({way}).")))
}

/// Returns the URL of a target, or an error if the target is not at the registry.
async fn uri(exchange: &Exchange, target: &str) -> Result<Uri> {
    let invalid = |clause: &'static str| {
        Error::new(ErrorKind::Invalid).at("the request's target").detail(clause)
    };
    let endpoint = exchange.endpoint().await?;
    // The query of a path may contain `://`.
    if target.starts_with('/') || !target.contains("://") {
        return endpoint.path(target).map_err(invalid);
    }
    let root = endpoint.root();
    let uri = resolve(&root, target.as_bytes()).map_err(invalid)?;
    match Origin::of(&uri) == Origin::of(&root) {
        true => Ok(uri),
        false => Err(invalid("is not at the registry")),
    }
}
