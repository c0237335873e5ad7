//! A repository at a registry, as a store.
//!
//! Owns [`RemoteRepository`] and the requests of its operations. The transport sends, retries and
//! authenticates the requests. The core decides which content is copied, and when.

mod ahead;
mod blob;
mod chunks;
mod download;
mod ensure;
mod manifest;
mod mount;
mod push;
mod push_file;
mod push_stream;
mod range;
mod reading;
mod referrers;
mod tags;
mod upload;

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use async_trait::async_trait;
use http::{Method, Uri};
use longshore_core::{
    BlobBody, BlobReader, BlobStream, Delete, Descriptor, Digest, Error, ErrorCode, ErrorKind,
    FileBody, GuardMethod, ManifestReference, MediaType, Node, Pages, Presence, Pushed,
    RawManifest, Repository, RepositoryName, Result, Source, Tag, TagGuard, TagOrDigest, TagState,
    Target,
};

#[cfg(fuzzing)]
pub(crate) use range::{check_content_range, upload_offset};
pub use upload::Upload;

use crate::attempts::Series;
use crate::auth::{Scope, Scopes};
use crate::capabilities::Known;
use crate::config::{Limits, UploadMethod};
use crate::endpoint::Endpoint;
use crate::exchange::{Exchange, RegistryRequest};
use crate::listing::{LARGE_PAGE_SIZE, ListOptions, PAGE_LIMIT};
use crate::reply::refuse_web_page;
use crate::shared::Shared;

/// A repository at a registry. Cheap to clone; clones share connections and tokens.
///
/// Nothing is sent before an operation is called. Operations answer challenges, and follow
/// redirects without sending credentials to other origins. They retry transient failures, unless
/// the content is a stream.
#[derive(Clone)]
pub struct RemoteRepository {
    inner: Arc<Inner>,
}

struct Inner {
    exchange: Exchange,
    repository: Repository,
    shared: Arc<Shared>,
}

impl RemoteRepository {
    pub(crate) fn new(exchange: Exchange, repository: Repository, shared: Arc<Shared>) -> Self {
        Self { inner: Arc::new(Inner { exchange, repository, shared }) }
    }

    /// Returns the name of the repository and its registry.
    #[must_use]
    pub fn repository(&self) -> &Repository {
        &self.inner.repository
    }

    /// Returns the same repository with other limits. Everything else is shared, as with
    /// [`Client::with_limits`](crate::Client::with_limits).
    #[must_use]
    pub fn with_limits(&self, limits: Limits) -> Self {
        self.over(self.inner.exchange.with_limits(limits))
    }

    /// Returns the same repository for one operation, whose failures are counted in `series`.
    fn in_series(&self, series: &Series) -> Self {
        self.over(self.inner.exchange.in_series(series))
    }

    fn over(&self, exchange: Exchange) -> Self {
        Self::new(exchange, self.inner.repository.clone(), Arc::clone(&self.inner.shared))
    }

    fn exchange(&self) -> &Exchange {
        &self.inner.exchange
    }

    async fn endpoint(&self) -> Result<Endpoint> {
        self.inner.exchange.endpoint().await
    }

    fn shared(&self) -> &Shared {
        &self.inner.shared
    }

    /// Returns what is known about the registry.
    fn known(&self) -> Known {
        self.shared().capabilities.of(self.exchange().registry())
    }

    /// Changes what is known about the registry. Returns the result of the change.
    fn learn<R>(&self, change: impl FnOnce(&mut Known) -> R) -> R {
        self.shared().capabilities.update(self.exchange().registry(), change)
    }

    /// Returns the upload method to use at the registry. A chunk size that an earlier client found
    /// replaces only the default method, and not one that the caller chose.
    fn upload_method(&self) -> UploadMethod {
        let (known, chosen) = (self.known(), self.shared().upload_method);
        let chunked = known.capabilities.chunk_size.map(UploadMethod::Chunked);
        let chunked = chunked.filter(|_| chosen == UploadMethod::default());
        known.upload_method.or(chunked).unwrap_or(chosen)
    }

    fn path(&self) -> &RepositoryName {
        self.inner.repository.name()
    }

    /// Returns the name of a manifest for errors.
    fn reference(&self, selector: &TagOrDigest) -> ManifestReference {
        ManifestReference::new(self.inner.repository.clone(), selector.clone())
    }

    /// Returns the name of a blob for errors.
    fn blob_name(&self, digest: &Digest) -> String {
        format!("blob {digest} in {}", self.inner.repository)
    }

    fn pull(&self) -> Scopes {
        Scopes::new([Scope::repository(self.path(), &["pull"])])
    }

    fn push(&self) -> Scopes {
        Scopes::new([Scope::repository(self.path(), &["pull", "push"])])
    }

    /// Returns the scopes of a mount. The push scope is the first, for token services that read
    /// only one scope.
    fn push_from(&self, source: &RepositoryName) -> Scopes {
        Scopes::new([
            Scope::repository(self.path(), &["pull", "push"]),
            Scope::repository(source, &["pull"]),
        ])
    }

    /// Deletes the resource at `uri`.
    ///
    /// Requests the scope of a push, plus any scope that the registry's challenge names. Some token
    /// services do not support the action `delete` (Quay), and others require it.
    async fn delete(&self, uri: Uri, about: impl fmt::Display) -> Result<()> {
        let about = about.to_string();
        let request = RegistryRequest::new(Method::DELETE, uri, self.push(), &about);
        let reply = self.exchange().send(request).await?;
        // The earlier request deleted the resource, but its reply was lost.
        if reply.is(&[404]) && reply.is_repeated {
            reply.body.drain().await;
            return Ok(());
        }
        let mut reply = reply.expect(&[200, 202, 204]).await.map_err(|e| e.at(&about))?;
        // A proxy or login page answers every request with 200. The status alone shows a deletion, so
        // a body that breaks off does not matter.
        if reply.is(&[200])
            && let Ok(body) = reply.document(PAGE_LIMIT).await
        {
            return refuse_web_page(&reply.uri, &body).map_err(|e| e.at(about));
        }
        reply.body.drain().await;
        Ok(())
    }
}

#[async_trait]
impl Source for RemoteRepository {
    fn name(&self) -> String {
        self.inner.repository.to_string()
    }

    fn origin(&self) -> Option<&Repository> {
        Some(&self.inner.repository)
    }

    async fn resolve(&self, selector: &TagOrDigest) -> Result<Descriptor> {
        self.manifest_descriptor(selector).await
    }

    async fn manifest(&self, selector: &TagOrDigest) -> Result<RawManifest> {
        self.raw_manifest(selector).await
    }

    async fn blob(&self, descriptor: &Descriptor) -> Result<BlobReader> {
        self.blob_reader(descriptor).await
    }

    async fn blob_range(&self, descriptor: &Descriptor, range: Range<u64>) -> Result<BlobStream> {
        self.blob_part(descriptor, range).await
    }

    async fn blob_size(&self, digest: &Digest) -> Result<Option<u64>> {
        self.stated_size(digest).await
    }

    fn tags(&self, after: Option<&Tag>) -> Pages<Tag> {
        let mut options = ListOptions::default();
        options.after = after.cloned();
        self.tags_with(options)
    }

    fn next_tags(&self, after: &Tag) -> Pages<Tag> {
        let mut options = ListOptions::default();
        options.after = Some(after.clone());
        options.page_size = self.shared().page_size.or(Some(LARGE_PAGE_SIZE));
        self.tags_with(options)
    }

    async fn listed_referrers(&self, subject: &Digest) -> Result<Option<Pages<Descriptor>>> {
        self.registry_listing(subject).await
    }

    fn referrers(&self, subject: &Digest, artifact_type: Option<&MediaType>) -> Pages<Descriptor> {
        self.referrer_pages(subject, artifact_type)
    }
}

#[async_trait]
impl Target for RemoteRepository {
    /// Sends `HEAD`, and `GET` if the reply to `HEAD` is not sufficient. An existing manifest
    /// counts as complete, because a registry accepts a manifest only with all content that it
    /// references.
    async fn holds(&self, node: Node<'_>) -> Result<Presence> {
        match node {
            Node::Blob(descriptor) => match self.has(descriptor).await? {
                true => Ok(Presence::Partial),
                false => Ok(Presence::Absent),
            },
            Node::Manifest(descriptor) => self.holds_manifest(descriptor).await,
        }
    }

    async fn push_blob(&self, descriptor: &Descriptor, body: BlobBody) -> Result<Pushed> {
        push::push(self, descriptor, body).await
    }

    /// Sends as few requests as the registry allows. A small blob may be sent even if the
    /// repository has it, because the check would take as long.
    async fn ensure_blob(&self, descriptor: &Descriptor, body: BlobBody) -> Result<Pushed> {
        ensure::ensure(self, descriptor, body).await
    }

    /// Sends one request if the tag points at the manifest. If the tag does not exist and the
    /// registry may support mounts from the repository itself, reports an image as absent without
    /// looking for it, because each of its blobs then takes one request in any case.
    async fn tag_state(&self, tag: &Tag, manifest: &Descriptor) -> Result<TagState> {
        let exists = match self.find_manifest(&tag.clone().into(), None).await {
            Ok(Some(found)) if found.digest == manifest.digest => {
                return Ok(TagState { is_current: true, manifest: Presence::Complete });
            }
            Ok(found) => found.is_some(),
            // The tag points at an unreadable manifest, and is set again.
            Err(e) if is_about_the_manifest(&e) => true,
            Err(e) => return Err(e),
        };
        let is_plain = self.upload_method() == UploadMethod::PostThenPut;
        let may_skip = !exists && is_plain && !manifest.media_type.is_index();
        let manifest = match self.known().capabilities.self_mount {
            Some(true) | None if may_skip => Presence::Absent,
            _ => self.holds_manifest(manifest).await?,
        };
        Ok(TagState { is_current: false, manifest })
    }

    /// Streams into an upload session and hashes the bytes as they are sent. The stream is not
    /// stored, so a failed upload cannot be retried.
    async fn push_stream(&self, stream: BlobStream, digest: Option<&Digest>) -> Result<Descriptor> {
        push_stream::push_stream(self, stream, digest).await
    }

    /// Sends a large file while its digest is computed. If the repository has the blob, the request
    /// is stopped as soon as the digest is known.
    async fn push_file(&self, file: &FileBody) -> Result<(Descriptor, Pushed)> {
        push_file::push_file(self, file).await
    }

    async fn push_manifest(&self, manifest: &RawManifest, tag: Option<&Tag>) -> Result<()> {
        self.put_manifest(manifest, tag).await
    }

    /// Sends the guard as the condition of the `PUT`, and returns
    /// [`Atomic`](GuardMethod::Atomic) only if the registry confirms in its reply that it checked
    /// the guard and set the tag in one step. The registry of longshore does so.
    async fn push_guarded(
        &self,
        manifest: &RawManifest,
        tag: &Tag,
        guard: &TagGuard,
    ) -> Result<GuardMethod> {
        self.put_guarded(manifest, tag, guard).await
    }
}

#[async_trait]
impl Delete for RemoteRepository {
    async fn delete_blob(&self, digest: &Digest) -> Result<()> {
        let uri = self.endpoint().await?.blob(self.path(), digest);
        self.delete(uri, self.blob_name(digest)).await
    }

    async fn delete_manifest(&self, digest: &Digest) -> Result<()> {
        let selector = TagOrDigest::from(digest.clone());
        let uri = self.endpoint().await?.manifest(self.path(), &selector);
        self.delete(uri, self.reference(&selector)).await
    }

    /// Sends no request if the registry is known not to delete tags.
    ///
    /// # Errors
    /// [`Unsupported`](ErrorKind::Unsupported) if the registry deletes manifests by digest only.
    /// distribution answers the deletion of a tag with 400 or 405.
    async fn delete_tag(&self, tag: &Tag) -> Result<()> {
        let selector = TagOrDigest::from(tag.clone());
        let reference = self.reference(&selector);
        let unsupported = || {
            let error = Error::new(ErrorKind::Unsupported).at(&reference);
            error.detail("the registry does not delete tags")
        };
        if self.known().capabilities.deletes_tags == Some(false) {
            return Err(unsupported());
        }
        let uri = self.endpoint().await?.manifest(self.path(), &selector);
        let deleted = match self.delete(uri, &reference).await {
            Err(e) if e.status() == Some(400) && e.kind() != ErrorKind::Unsupported => {
                let errors = e.registry_errors().to_vec();
                Err(unsupported().with_status(400).with_registry_errors(errors))
            }
            deleted => deleted,
        };
        match &deleted {
            Ok(()) => self.learn(|known| known.capabilities.deletes_tags = Some(true)),
            // Only these replies are about the registry. Others may be about one repository or tag.
            Err(e) if e.status() == Some(405) || e.has_code(&ErrorCode::UNSUPPORTED) => {
                self.learn(|known| known.capabilities.deletes_tags = Some(false));
            }
            Err(_) => {}
        }
        deleted
    }
}

/// Returns true if an error shows a defect of the requested manifest, and not of the credentials or
/// the connection.
fn is_about_the_manifest(error: &Error) -> bool {
    use ErrorKind::{DigestMismatch, Invalid, Protocol, SizeMismatch, TooLarge};
    matches!(error.kind(), DigestMismatch | Invalid | Protocol | SizeMismatch | TooLarge)
        || error.status().is_some_and(|status| !matches!(status, 401 | 429))
}

impl fmt::Debug for RemoteRepository {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RemoteRepository({})", self.inner.repository)
    }
}
