//! Lists referrers: from the registry's own listing, or from the index that clients maintain under
//! a fallback tag.

use std::sync::Arc;

use bytes::Bytes;
use http::header::ACCEPT;
use http::{HeaderValue, Method, Uri};
use longshore_core::{
    Descriptor, Digest, Error, ErrorCode, ErrorKind, Index, Manifest, MediaType, Page, PageToken,
    Pages, RawManifest, Result, Tag, TagOrDigest, graph,
};
use tokio::sync::MutexGuard;

use super::RemoteRepository;
use crate::exchange::RegistryRequest;
use crate::listing::{PAGE_LIMIT, page_uri};
use crate::reply::json;

impl RemoteRepository {
    pub(super) fn referrer_pages(
        &self,
        subject: &Digest,
        artifact_type: Option<&MediaType>,
    ) -> Pages<Descriptor> {
        let wanted = Arc::new((self.clone(), subject.clone(), artifact_type.cloned()));
        let name = self.referrers_name(subject);
        Pages::new(move |token| {
            let wanted = Arc::clone(&wanted);
            async move {
                let (repository, subject, artifact_type) = &*wanted;
                repository.referrer_page(subject, artifact_type.as_ref(), token).await
            }
        })
        .named(name)
    }

    fn referrers_name(&self, subject: &Digest) -> String {
        format!("referrers of {}@{subject}", self.repository())
    }

    /// Returns a page of the registry's listing. If the registry has no listing, returns the whole
    /// fallback index.
    ///
    /// Source: distribution-spec v1.1.1, "Listing Referrers" (end-12) and "Unavailable Referrers
    /// API".
    async fn referrer_page(
        &self,
        subject: &Digest,
        artifact_type: Option<&MediaType>,
        token: Option<PageToken>,
    ) -> Result<Page<Descriptor>> {
        if let Some(token) = token {
            let uri = page_uri(Some(token), Uri::default())?;
            return self.listing_page(uri, subject, artifact_type).await;
        }
        match self.first_page(subject, artifact_type).await {
            Err(e) if lacks_listing(&e) || e.status() == Some(400) => {
                let index = self.fallback_index(&Tag::for_referrers(subject)?, subject).await?;
                let all = index.map_or_else(Vec::new, |index| index.manifests);
                Ok(Page { items: of_type(all, artifact_type), next: None })
            }
            page => page,
        }
    }

    /// Returns the registry's listing of a subject that exists, or `None` if the registry has no
    /// listing. A registry that was found to have none is not queried again.
    pub(super) async fn registry_listing(
        &self,
        subject: &Digest,
    ) -> Result<Option<Pages<Descriptor>>> {
        let probe = self.referrers_probe().await;
        let page = self.first_page(subject, None).await;
        let lists = match &page {
            Ok(_) => Some(true),
            Err(e) if lacks_listing(e) => shows_no_listing(e).then_some(false),
            Err(e) if is_unusable(e) => None,
            Err(e) => {
                // Another request would be refused too, so it need not wait for this one.
                if e.status().is_some() {
                    self.learn(|known| known.referrers_probed = true);
                }
                return page.map(|_| None);
            }
        };
        self.learn(|known| {
            known.referrers_probed = true;
            let known = &mut known.capabilities.lists_referrers;
            // A single refusal does not outweigh a listing.
            *known = if *known == Some(true) { *known } else { lists.or(*known) };
        });
        drop(probe);
        let Ok(page) = page else { return Ok(None) };
        let (repository, subject, mut first) = (self.clone(), subject.clone(), Some(page));
        Ok(Some(Pages::new(move |token| {
            let (repository, subject, first) = (repository.clone(), subject.clone(), first.take());
            async move {
                match first {
                    Some(page) => Ok(page),
                    None => repository.referrer_page(&subject, None, token).await,
                }
            }
        })))
    }

    /// Waits until it is known whether the registry lists referrers. If the caller is the first,
    /// returns the lock for the request that determines it for all subjects.
    async fn referrers_probe(&self) -> Option<MutexGuard<'_, ()>> {
        if self.known().referrers_probed {
            return None;
        }
        let lock = self.shared().referrers_probe.lock().await;
        (!self.known().referrers_probed).then_some(lock)
    }

    /// Returns the first page of the registry's listing. The error [lacks a
    /// listing](lacks_listing) if the registry was found to have none, which is then not queried.
    async fn first_page(
        &self,
        subject: &Digest,
        artifact_type: Option<&MediaType>,
    ) -> Result<Page<Descriptor>> {
        if self.known().capabilities.lists_referrers == Some(false) {
            return Err(Error::new(ErrorKind::Unsupported)
                .at(self.repository())
                .detail("the registry does not list referrers"));
        }
        let uri = self.endpoint().await?.referrers(self.path(), subject, artifact_type);
        self.listing_page(uri, subject, artifact_type).await
    }

    async fn listing_page(
        &self,
        uri: Uri,
        subject: &Digest,
        artifact_type: Option<&MediaType>,
    ) -> Result<Page<Descriptor>> {
        let about = self.referrers_name(subject);
        let request = RegistryRequest::new(Method::GET, uri.clone(), self.pull(), &about).header(
            ACCEPT.as_str(),
            HeaderValue::from_static("application/vnd.oci.image.index.v1+json"),
        );
        let (reply, body) = self.exchange().fetch(request, PAGE_LIMIT).await?;
        let index: Index = json(&uri, &body)?;
        let next = reply.next_page(&uri)?.map(|next| PageToken::new(next.to_string()));
        let filters = reply.header(OCI_FILTERS_APPLIED).unwrap_or_default();
        let items = match filters.split(',').any(|filter| filter.trim() == "artifactType") {
            true => index.manifests,
            false => of_type(index.manifests, artifact_type),
        };
        Ok(Page { items, next })
    }

    /// Checks whether a registry that answered a push with `OCI-Subject` also lists referrers. An
    /// earlier version of ECR did not (sigstore-js#1183, 2024). Checks each registry once. If the
    /// check fails, assumes that the registry lists referrers.
    pub(super) async fn lists_referrers(&self, subject: &Digest) -> Result<bool> {
        let registry = self.exchange().registry();
        let _one_at_a_time = self.shared().referrers_index.lock().await;
        if let Some(known) = self.known().capabilities.lists_referrers {
            return Ok(known);
        }
        let uri = self.endpoint().await?.referrers(self.path(), subject, None);
        let lists = match self.listing_page(uri, subject, None).await {
            Ok(_) => true,
            Err(e) if lacks_listing(&e) || e.kind() == ErrorKind::Protocol => false,
            Err(error) => {
                tracing::debug!(%registry, %error, "unknown whether the registry lists referrers");
                return Ok(true);
            }
        };
        self.learn(|known| known.capabilities.lists_referrers = Some(lists));
        Ok(lists)
    }

    /// Returns the index under the fallback tag of a subject, or an empty index if the tag does not
    /// exist. Returns `None` if the tag resolves to the subject itself or lists the subject's
    /// children, because GitLab interprets `sha256-<hex>` as the digest (2025).
    async fn fallback_index(&self, tag: &Tag, subject: &Digest) -> Result<Option<Index>> {
        let selector = TagOrDigest::from(tag.clone());
        match self.raw_manifest(&selector).await {
            Ok(manifest) if manifest.digest() == subject => Ok(None),
            Ok(manifest) => match manifest.parse()? {
                Manifest::Index(index) if self.lists_children(index, subject).await? => Ok(None),
                Manifest::Index(index) => Ok(Some(index.clone())),
                _ => Err(Error::new(ErrorKind::Invalid)
                    .at(self.reference(&selector))
                    .detail("the fallback tag for referrers is not an index")),
            },
            Err(e) if e.kind() == ErrorKind::NotFound => Ok(Some(Index::new(Vec::new()))),
            Err(e) => Err(e),
        }
    }

    /// Checks whether an index lists the children of a subject instead of its referrers. Reads the
    /// subject only if needed. The entry of a referrer has an artifact type and no platform.
    async fn lists_children(&self, index: &Index, subject: &Digest) -> Result<bool> {
        let is_child = |d: &Descriptor| d.artifact_type.is_none() || d.platform.is_some();
        if index.manifests.is_empty() || !index.manifests.iter().all(is_child) {
            return Ok(false);
        }
        let manifest = match self.raw_manifest(&subject.clone().into()).await {
            Ok(manifest) => manifest,
            Err(e) if e.kind() == ErrorKind::NotFound => return Ok(false),
            Err(e) => return Err(e),
        };
        let children = graph::Successors::of(&manifest)?.manifests;
        Ok(index.manifests.iter().all(|d| children.iter().any(|child| child.digest == d.digest)))
    }

    /// Adds a referrer to the fallback index of its subject, unless the index already lists it.
    ///
    /// Reads the index again after writing it. If another client overwrote the index in the
    /// meantime, the referrer is added to that client's index.
    ///
    /// Source: distribution-spec v1.1.1, "Pushing Manifests with Subject".
    pub(super) async fn add_to_fallback_index(
        &self,
        subject: &Digest,
        referrer: Descriptor,
    ) -> Result<()> {
        let tag = Tag::for_referrers(subject)?;
        let _one_at_a_time = self.shared().referrers_index.lock().await;
        for _ in 0..MERGE_ATTEMPTS {
            let Some(mut index) = self.fallback_index(&tag, subject).await? else {
                return Err(Error::new(ErrorKind::Unsupported)
                    .at(self.reference(&tag.into()))
                    .detail(
                        "the manifest was pushed, but the registry does not list referrers and \
                         interprets the fallback tag as the subject itself",
                    ));
            };
            if index.manifests.iter().any(|d| d.digest == referrer.digest) {
                return Ok(());
            }
            index.manifests.push(referrer.clone());
            let written = serde_json::to_vec(&index)
                .map_err(|e| Error::new(ErrorKind::Invalid).at(&tag).with_source(e))?;
            let manifest =
                RawManifest::from_bytes(Bytes::from(written), Some(MediaType::OCI_INDEX))?;
            let reply = self.send_manifest(&manifest, &tag.clone().into(), None).await?;
            reply.body.drain().await;
        }
        Err(Error::new(ErrorKind::Conflict)
            .at(self.reference(&tag.into()))
            .detail("other clients keep overwriting the list of referrers"))
    }
}

fn of_type(mut all: Vec<Descriptor>, wanted: Option<&MediaType>) -> Vec<Descriptor> {
    all.retain(|d| d.is_of_type(wanted));
    all
}

/// Returns true if the registry does not support listing referrers, or has none to list: a registry
/// with support may answer 404 for an unknown repository.
fn lacks_listing(error: &Error) -> bool {
    matches!(error.status(), Some(404 | 405 | 406 | 501)) || error.kind() == ErrorKind::Unsupported
}

/// Returns true if a reply is no listing, but does not say that the registry has none: some servers
/// answer unknown paths with 400 or a web page.
fn is_unusable(error: &Error) -> bool {
    error.status() == Some(400) || error.kind() == ErrorKind::Protocol
}

/// Returns true if a reply that [lacks a listing](lacks_listing) applies to all subjects. A registry
/// with a listing may answer 404 for a subject or repository that it does not know.
fn shows_no_listing(error: &Error) -> bool {
    let unknown = [ErrorCode::NAME_UNKNOWN, ErrorCode::MANIFEST_UNKNOWN];
    !unknown.iter().any(|code| error.has_code(code))
}

/// The header that names the filters that the registry applied.
///
/// Source: distribution-spec v1.1.1, "Listing Referrers".
const OCI_FILTERS_APPLIED: &str = "oci-filters-applied";
/// 5 attempts to add a referrer to an index that other clients write concurrently.
const MERGE_ATTEMPTS: usize = 5;

#[cfg(test)]
mod tests {
    use longshore_core::RegistryError;

    use super::*;

    #[test]
    fn only_a_reply_about_the_listing_itself_shows_that_there_is_none() {
        for (status, code, expected) in [
            (404, None, true),
            (405, None, true),
            (404, Some(ErrorCode::UNSUPPORTED), true),
            (404, Some(ErrorCode::NAME_UNKNOWN), false),
            (404, Some(ErrorCode::MANIFEST_UNKNOWN), false),
        ] {
            let errors = code.iter().map(|code| RegistryError {
                code: code.clone(),
                message: String::new(),
                detail: serde_json::Value::Null,
            });
            let error = Error::new(ErrorKind::NotFound).with_status(status);
            let error = error.with_registry_errors(errors.collect());
            assert_eq!(shows_no_listing(&error), expected, "{status} {code:?}");
        }
    }
}
