//! Requests for manifests: HEAD, GET, and PUT of exact bytes.

use bytes::Bytes;
use http::header::{ACCEPT, CONTENT_LENGTH, CONTENT_TYPE, HeaderName, IF_MATCH, IF_NONE_MATCH};
use http::{HeaderValue, Method};
use longshore_core::{
    Descriptor, Digest, Error, ErrorKind, GuardMethod, MANIFEST_LIMIT, MediaType, Presence,
    RawManifest, Result, SourceExt as _, Tag, TagGuard, TagOrDigest, TargetExt as _, graph,
};

use super::RemoteRepository;
use crate::attempts::Series;
use crate::coding::Coding;
use crate::exchange::RegistryRequest;
use crate::reply::{Reply, refuse_web_page};
use crate::transport::Body;

impl RemoteRepository {
    /// Gets a manifest in one of these media types. Registries store some manifests in several
    /// media types, or convert them. An empty list accepts any media type.
    ///
    /// Sends `GET /v2/<name>/manifests/<selector>` with these media types in `Accept`.
    ///
    /// # Errors
    /// [`Unsupported`](ErrorKind::Unsupported) with the received media type if it is not listed;
    /// the errors of [`manifest`](longshore_core::Source::manifest).
    pub async fn manifest_as(
        &self,
        selector: &TagOrDigest,
        accept: &[MediaType],
    ) -> Result<RawManifest> {
        let manifest = self.accepted_manifest(selector, accept).await?;
        self.check_form(selector, manifest.media_type(), accept)?;
        Ok(manifest)
    }

    /// Returns the descriptor of the manifest that [`manifest_as`](Self::manifest_as) gets.
    ///
    /// Sends `HEAD /v2/<name>/manifests/<selector>`, and `GET` if `HEAD` fails or its headers are
    /// incomplete.
    ///
    /// # Errors
    /// Same as [`manifest_as`](Self::manifest_as).
    pub async fn resolve_as(
        &self,
        selector: &TagOrDigest,
        accept: &[MediaType],
    ) -> Result<Descriptor> {
        let found = self.accepted_descriptor(selector, accept).await?;
        self.check_form(selector, &found.media_type, accept)?;
        Ok(found)
    }

    fn check_form(
        &self,
        selector: &TagOrDigest,
        found: &MediaType,
        accept: &[MediaType],
    ) -> Result<()> {
        if accept.is_empty() || accept.contains(found) {
            return Ok(());
        }
        let accepted: Vec<&str> = accept.iter().map(MediaType::as_str).collect();
        Err(Error::new(ErrorKind::Unsupported)
            .at(self.reference(selector))
            .detail(format!("the registry has {found}, expected {}", accepted.join(", "))))
    }

    /// Resolves a manifest with HEAD, or with GET if HEAD fails or its headers are incomplete.
    pub(super) async fn manifest_descriptor(&self, selector: &TagOrDigest) -> Result<Descriptor> {
        self.accepted_descriptor(selector, &[]).await
    }

    async fn accepted_descriptor(
        &self,
        selector: &TagOrDigest,
        accept: &[MediaType],
    ) -> Result<Descriptor> {
        let once = self.in_series(&Series::default());
        let head = self.manifest_request(Method::HEAD, selector, accept).await?;
        let reply = once.exchange().send(head).await?;
        if reply.is(&[200])
            && let Some(descriptor) = described(&reply, selector)
        {
            check_stated(&descriptor.digest, reply.stated_digest(), selector)
                .map_err(|e| e.at(self.reference(selector)))?;
            return Ok(descriptor);
        }
        // A GET would exceed the rate limit, too.
        if reply.is(&[429]) {
            return Err(reply.into_error().await.at(self.reference(selector)));
        }
        // HEAD failed (Nexus: 404) or its headers are incomplete. Errors of HEAD have no body, so
        // the error of GET is returned.
        let manifest = once.accepted_manifest(selector, accept).await?;
        Ok(manifest.descriptor().clone())
    }

    /// Gets a manifest, and checks it against the requested digest and the digest that the registry
    /// states.
    pub(super) async fn raw_manifest(&self, selector: &TagOrDigest) -> Result<RawManifest> {
        self.accepted_manifest(selector, &[]).await
    }

    async fn accepted_manifest(
        &self,
        selector: &TagOrDigest,
        accept: &[MediaType],
    ) -> Result<RawManifest> {
        let request = self.manifest_request(Method::GET, selector, accept).await?;
        let (reply, body) = self.exchange().fetch(request, MANIFEST_LIMIT).await?;
        verified(&reply, body.clone(), selector).map_err(|e| match e.kind() {
            ErrorKind::Invalid => e.at(self.reference(selector)).with_source(reply.shown(&body)),
            _ => e.at(self.reference(selector)),
        })
    }

    pub(super) async fn holds_manifest(&self, descriptor: &Descriptor) -> Result<Presence> {
        let selector = TagOrDigest::from(descriptor.digest.clone());
        Ok(match self.find_manifest(&selector, Some(descriptor.size)).await? {
            Some(_) => Presence::Complete,
            None => Presence::Absent,
        })
    }

    /// Returns the descriptor of a manifest, or `None` if the manifest does not exist. Sends a
    /// HEAD, and a GET if the HEAD is refused, or if its headers are incomplete or state another
    /// size. A 404 to the HEAD is final, because a wrong 404 (Nexus) only costs a push.
    pub(super) async fn find_manifest(
        &self,
        selector: &TagOrDigest,
        size: Option<u64>,
    ) -> Result<Option<Descriptor>> {
        let head = self.manifest_request(Method::HEAD, selector, &[]).await?;
        let reply = self.exchange().send(head).await?;
        let read = match reply.status.as_u16() {
            // A server that answers every request with 200 and a web page does not have the manifest.
            200 => match described(&reply, selector) {
                Some(found) if size.is_none_or(|size| found.size == size) => {
                    return Ok(Some(found));
                }
                _ => self.raw_manifest(selector).await,
            },
            404 => return Ok(None),
            400 | 405 | 501 => self.raw_manifest(selector).await,
            _ => Err(reply.into_error().await.at(self.reference(selector))),
        };
        match read {
            Ok(manifest) => Ok(Some(manifest.descriptor().clone())),
            Err(e) if e.kind() == ErrorKind::NotFound => Ok(None),
            Err(e) => Err(e),
        }
    }

    /// Puts a manifest under its tag, or under its digest if there is no tag. Updates the fallback
    /// index of referrers if the registry does not list referrers itself.
    pub(super) async fn put_manifest(
        &self,
        manifest: &RawManifest,
        tag: Option<&Tag>,
    ) -> Result<()> {
        let selector = match tag {
            Some(tag) => TagOrDigest::from(tag.clone()),
            None => TagOrDigest::from(manifest.by_payload().digest().clone()),
        };
        let referrer = graph::referrer(manifest)?;
        let reply = self.send_manifest(manifest, &selector, None).await?;
        self.manifest_stored(referrer, reply).await
    }

    /// Puts a manifest under its tag, if the tag meets the guard. The registry confirms in its reply
    /// that it checked the guard and set the tag in one step. Without this confirmation, the tag is
    /// checked before and after the request.
    pub(super) async fn put_guarded(
        &self,
        manifest: &RawManifest,
        tag: &Tag,
        guard: &TagGuard,
    ) -> Result<GuardMethod> {
        let (selector, referrer) = (tag.clone().into(), graph::referrer(manifest)?);
        let sent = {
            // An index of referrers must not change between a read and the write after it.
            let _one_at_a_time = match tag.is_for_referrers() {
                true => Some(self.shared().referrers_index.lock().await),
                false => None,
            };
            self.check_tag(tag, guard).await?;
            self.send_manifest(manifest, &selector, Some(guard)).await
        };
        let method = match sent {
            Ok(reply) => {
                let method = confirmed(&reply);
                self.manifest_stored(referrer, reply).await?;
                method
            }
            Err(e) if e.status() == Some(412) => {
                let found = self.tagged(tag).await?;
                match after_refusal(guard, found.as_ref(), manifest) {
                    AfterRefusal::Fail => return Err(e),
                    // The lost reply would have shown whether the registry lists the referrer.
                    AfterRefusal::Done => {
                        self.index_referrer(referrer, true).await?;
                        return Ok(GuardMethod::Checked);
                    }
                    AfterRefusal::Push => self.put_manifest(manifest, Some(tag)).await?,
                }
                GuardMethod::Checked
            }
            Err(e) => return Err(e),
        };
        if method == GuardMethod::Checked {
            self.check_pushed(manifest, tag, guard).await?;
        }
        Ok(method)
    }

    /// Reads the reply to the push of a manifest, and updates the fallback index of referrers if
    /// the registry does not list referrers itself.
    async fn manifest_stored(
        &self,
        referrer: Option<(Digest, Descriptor)>,
        reply: Reply,
    ) -> Result<()> {
        let indexed = reply.headers.contains_key(OCI_SUBJECT);
        reply.body.drain().await;
        self.index_referrer(referrer, indexed).await
    }

    /// Adds a referrer to the fallback index, if the registry does not list referrers itself.
    ///
    /// - `indexed`: whether the registry may list the referrer.
    async fn index_referrer(
        &self,
        referrer: Option<(Digest, Descriptor)>,
        indexed: bool,
    ) -> Result<()> {
        match referrer {
            Some((subject, descriptor)) if !indexed || !self.lists_referrers(&subject).await? => {
                self.add_to_fallback_index(&subject, descriptor).await
            }
            _ => Ok(()),
        }
    }

    /// Puts a manifest, and checks the digest that the registry states for it. A guard is sent as
    /// `If-None-Match: *` or `If-Match: "<digest>"`.
    pub(super) async fn send_manifest(
        &self,
        manifest: &RawManifest,
        selector: &TagOrDigest,
        guard: Option<&TagGuard>,
    ) -> Result<Reply> {
        let reference = self.reference(selector);
        let uri = self.endpoint().await?.manifest(self.path(), selector);
        let invalid = |e| Error::new(ErrorKind::Invalid).at(manifest.digest()).with_source(e);
        let media_type = HeaderValue::from_str(manifest.media_type().as_str()).map_err(invalid)?;
        let mut request = RegistryRequest::new(Method::PUT, uri, self.push(), &reference)
            .header(CONTENT_TYPE, media_type)
            .body(Body::Bytes(manifest.bytes().clone()));
        if let Some(guard) = guard {
            let (name, value) = condition(guard);
            request = request.header(name, HeaderValue::from_str(&value).map_err(invalid)?);
        }
        let reply = self.exchange().expect(request, &[201, 202, 204]).await?;
        let sent = TagOrDigest::from(manifest.digest().clone());
        check_stated(manifest.digest(), stated_of(&reply, manifest), &sent)
            .map_err(|e| e.at(reference))?;
        Ok(reply)
    }

    async fn manifest_request(
        &self,
        method: Method,
        selector: &TagOrDigest,
        accept: &[MediaType],
    ) -> Result<RegistryRequest> {
        let uri = self.endpoint().await?.manifest(self.path(), selector);
        let request = RegistryRequest::new(method, uri, self.pull(), self.reference(selector));
        let types: Vec<&str> = accept.iter().map(MediaType::as_str).collect();
        let accepted = match accept {
            [] => HeaderValue::from_static(ACCEPTED),
            _ => HeaderValue::from_str(&types.join(", "))
                .map_err(|e| Error::new(ErrorKind::Invalid).at("Accept").with_source(e))?,
        };
        Ok(request.header(ACCEPT, accepted))
    }
}

/// Returns the header that states a guard.
///
/// Source: RFC 9110, section 13.1. The distribution-spec (v1.1.1) does not define conditions.
fn condition(guard: &TagGuard) -> (HeaderName, String) {
    match guard {
        TagGuard::Absent => (IF_NONE_MATCH, "*".to_owned()),
        TagGuard::PointsAt(digest) => (IF_MATCH, format!("\"{digest}\"")),
    }
}

/// Returns the protection that the reply to a conditional `PUT` proves. A success alone proves
/// nothing, because registries ignore the condition (docker-registry) or may check it in a separate
/// step.
fn confirmed(reply: &Reply) -> GuardMethod {
    match reply.header(TAG_GUARD) {
        Some("atomic") => GuardMethod::Atomic,
        _ => GuardMethod::Checked,
    }
}

/// The next step after the registry refused a condition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum AfterRefusal {
    Fail,
    /// Do nothing, because the tag points at the manifest. An earlier attempt set it, but its reply
    /// was lost.
    Done,
    /// Push the manifest without the condition.
    Push,
}

/// Decides what to do after a registry answered 412.
///
/// - `found`: the digest that the tag points at after the refusal.
fn after_refusal(guard: &TagGuard, found: Option<&Digest>, manifest: &RawManifest) -> AfterRefusal {
    if found.is_some_and(|found| manifest.has_digest(found)) {
        return AfterRefusal::Done;
    }
    match guard {
        // The registry may compare the condition with something else than the digest.
        TagGuard::PointsAt(_) if guard.check(found).is_ok() => AfterRefusal::Push,
        // The registry knows better than a read whether the tag exists.
        _ => AfterRefusal::Fail,
    }
}

/// Returns the descriptor from the headers of a HEAD reply, if they are complete.
fn described(reply: &Reply, selector: &TagOrDigest) -> Option<Descriptor> {
    let media_type = MediaType::from_header(reply.header(CONTENT_TYPE.as_str())?).ok()?;
    // An encoded reply has a different size.
    if reply.coding() != Coding::Identity {
        return None;
    }
    let size = reply.header(CONTENT_LENGTH.as_str())?.parse().ok().filter(|size| *size > 0)?;
    if media_type.is_generic() || media_type.as_str() == "text/html" {
        return None;
    }
    let digest = match selector {
        TagOrDigest::Digest(digest) => digest.clone(),
        TagOrDigest::Tag(_) => reply.stated_digest().filter(|d| d.algorithm().is_some())?,
    };
    Some(Descriptor::new(media_type, digest, size))
}

/// Returns the manifest in a reply, if it is the requested manifest.
fn verified(reply: &Reply, body: Bytes, selector: &TagOrDigest) -> Result<RawManifest> {
    refuse_web_page(&reply.uri, &body)?;
    let media_type =
        reply.header(CONTENT_TYPE.as_str()).and_then(|t| MediaType::from_header(t).ok());
    // A proxy may label a manifest as a web page. The content then determines the media type.
    let media_type = media_type.filter(|t| t.as_str() != "text/html");
    let manifest = match selector {
        TagOrDigest::Digest(digest) => RawManifest::new(body, media_type, digest.clone())?,
        TagOrDigest::Tag(_) => as_stated(RawManifest::from_bytes(body, media_type)?, reply),
    };
    check_stated(manifest.digest(), stated_of(reply, &manifest), selector)?;
    Ok(manifest)
}

/// Treats a manifest as signed schema 1 only if this registry does. A registry that does not
/// support the format states the digest of the exact bytes.
fn as_stated(manifest: RawManifest, reply: &Reply) -> RawManifest {
    let by_bytes = manifest.by_bytes();
    match reply.stated_digest() {
        Some(stated) if stated == *by_bytes.digest() => by_bytes,
        _ => manifest,
    }
}

/// Checks the digest that the registry states against the correct digest.
fn check_stated(digest: &Digest, stated: Option<Digest>, selector: &TagOrDigest) -> Result<()> {
    match (stated, selector) {
        (None, _) => Ok(()),
        (Some(stated), TagOrDigest::Digest(_)) => agree(digest, &stated),
        (Some(stated), TagOrDigest::Tag(_)) => agree(&stated, digest),
    }
}

/// Returns the digest that a registry states, unless it is the digest of the manifest's bytes or of
/// its signed payload.
fn stated_of(reply: &Reply, manifest: &RawManifest) -> Option<Digest> {
    reply.stated_digest().filter(|stated| !manifest.has_digest(stated))
}

/// Checks a digest against the expected digest. Digests of different algorithms are not compared.
///
/// Source: distribution-spec v1.1.1, "Pulling manifests": clients SHOULD verify this digest.
pub(super) fn agree(expected: &Digest, found: &Digest) -> Result<()> {
    match expected.algorithm_name() == found.algorithm_name() {
        true => expected.check(found),
        false => Ok(()),
    }
}

/// The header by which a registry confirms that it processed the `subject` of a manifest.
///
/// Source: distribution-spec v1.1.1, "Pushing Manifests with Subject".
const OCI_SUBJECT: &str = "oci-subject";
/// The header by which a registry confirms how it applied the condition of a `PUT`. Only the
/// registry of longshore sends it.
const TAG_GUARD: &str = "longshore-tag-guard";
/// All manifest formats that longshore can read. A registry may convert or refuse a manifest whose
/// format is not listed.
const ACCEPTED: &str = "application/vnd.oci.image.manifest.v1+json, \
    application/vnd.oci.image.index.v1+json, \
    application/vnd.docker.distribution.manifest.v2+json, \
    application/vnd.docker.distribution.manifest.list.v2+json, \
    application/vnd.oci.artifact.manifest.v1+json, \
    application/vnd.docker.distribution.manifest.v1+prettyjws;q=0.5, \
    application/vnd.docker.distribution.manifest.v1+json;q=0.5, */*;q=0.1";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refused_push_is_repeated_without_its_condition_only_if_the_tag_meets_the_guard() {
        let manifest = RawManifest::from_bytes("{}".into(), Some(MediaType::OCI_INDEX)).unwrap();
        let [old, other] = [b"old", b"new"].map(|bytes| Digest::sha256(bytes));
        let points_at_old = TagGuard::PointsAt(old.clone());
        for (guard, found, next) in [
            (&TagGuard::Absent, None, AfterRefusal::Fail),
            (&TagGuard::Absent, Some(&old), AfterRefusal::Fail),
            (&TagGuard::Absent, Some(manifest.digest()), AfterRefusal::Done),
            (&points_at_old, Some(&old), AfterRefusal::Push),
            (&points_at_old, Some(&other), AfterRefusal::Fail),
            (&points_at_old, None, AfterRefusal::Fail),
            (&points_at_old, Some(manifest.digest()), AfterRefusal::Done),
        ] {
            assert_eq!(after_refusal(guard, found, &manifest), next, "{guard:?} {found:?}");
        }
    }
}
