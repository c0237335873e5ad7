//! Finds the digest tags of the copied manifests, and the tags of their referrers indexes, with few
//! requests.
//!
//! The tags are listed from the first digest tag on. If the listing is in order, each page shows
//! which tags exist in a range, so one page is usually sufficient for a whole copy. A manifest
//! beyond the first page takes one more page, which starts at its digest. A listing in another
//! order is read to its end, if it is not too long. In all other cases, the usual tags of each
//! manifest are requested.

use std::collections::BTreeSet;
use std::sync::{Mutex, MutexGuard, PoisonError};

use futures_util::TryStreamExt as _;
use futures_util::future::try_join_all;
use tokio::sync::OnceCell;

use super::run::{Run, canceled};
use crate::digest::Digest;
use crate::error::{Error, ErrorKind, Result, Side};
use crate::page::{Page, Pages};
use crate::reference::Tag;

/// The tags of a manifest.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Tagged {
    /// Whether the index of the referrers may have a tag.
    pub(super) may_have_index: bool,
    pub(super) digest_tags: Vec<Tag>,
}

/// What the copies of one copier know about the source's tags.
#[derive(Default)]
pub(super) struct TagListing {
    method: OnceCell<Method>,
    known: Mutex<KnownTags>,
}

/// How to find tags that are not known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Method {
    /// Request the page of the listing that starts at them.
    Page,
    /// Request each of the usual tags.
    Manifests,
}

impl Run {
    /// Returns the tags of a manifest.
    pub(super) async fn tagged(&self, subject: &Digest) -> Result<Tagged> {
        // A digest whose algorithm starts with a separator has no tags.
        let Ok(prefix) = Tag::for_referrers(subject) else { return Ok(Tagged::default()) };
        let listing = &self.tags;
        let method = listing.method.get_or_try_init(|| self.list_tags(subject)).await?;
        if let Some(found) = listing.known().of(&prefix) {
            return Ok(found);
        }
        if *method == Method::Page {
            // The listing starts after this tag, and must include the tag of the index.
            let after = Tag::parse(&prefix.as_str()[..prefix.as_str().len() - 1])?;
            if let Some(page) = self.next_page(&mut self.source.next_tags(&after)).await? {
                let mut known = listing.known();
                known.add(&after, &page);
                if let Some(found) = known.of(&prefix) {
                    return Ok(found);
                }
            }
        }
        self.usual_tags(&prefix).await
    }

    /// Lists the digest tags from the start: one page of an ordered listing, or a whole listing.
    async fn list_tags(&self, subject: &Digest) -> Result<Method> {
        let after = Tag::parse(&format!("{}-", subject.algorithm_name()))?;
        let mut pages = self.source.next_tags(&after);
        let mut all = Page { items: Vec::new(), next: None };
        for _ in 0..PAGE_LIMIT {
            let Some(page) = self.next_page(&mut pages).await? else { break };
            all.items.extend(page.items);
            all.next = page.next;
            if self.tags.known().add(&after, &all) {
                return Ok(Method::Page);
            }
        }
        Ok(Method::Manifests)
    }

    /// Returns the next page, or `None` if the registry refuses the listing.
    async fn next_page(&self, pages: &mut Pages<Tag>) -> Result<Option<Page<Tag>>> {
        let _permit = self.small_requests.acquire().await.map_err(canceled)?;
        match pages.try_next().await {
            Err(e) if is_refusal(&e) => {
                tracing::debug!(error = %e, "the tags are not listed");
                Ok(None)
            }
            page => page.map_err(|e| e.on(Side::Source)),
        }
    }

    /// Requests the tags that cosign uses. Requests whole manifests, because a registry may not
    /// support `HEAD`, and an existing manifest is small.
    async fn usual_tags(&self, prefix: &Tag) -> Result<Tagged> {
        let found = try_join_all(SUFFIXES.map(|suffix| async move {
            let tag = Tag::parse(&format!("{prefix}.{suffix}"))?;
            match self.read(&tag.clone().into()).await {
                Ok(_) => Ok(Some(tag)),
                Err(e) if e.kind() == ErrorKind::NotFound => Ok(None),
                Err(e) => Err(e),
            }
        }));
        let digest_tags = found.await?.into_iter().flatten().collect();
        Ok(Tagged { may_have_index: true, digest_tags })
    }
}

impl TagListing {
    fn known(&self) -> MutexGuard<'_, KnownTags> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Tags that were listed, and the ranges in which all tags are known.
#[derive(Default)]
struct KnownTags {
    tags: BTreeSet<Tag>,
    ranges: Vec<Range>,
}

/// All tags after `after`, up to `until`, or to the end.
struct Range {
    after: Tag,
    until: Option<Tag>,
}

impl KnownTags {
    /// Adds the first page of a listing that starts after `after`. Returns false if the page shows
    /// nothing about a range, because the registry ignores the start or uses another order. The
    /// last page of a listing in any order shows everything.
    fn add(&mut self, after: &Tag, page: &Page<Tag>) -> bool {
        let items = &page.items;
        let is_ordered = items.is_sorted() && items.first().is_none_or(|first| first > after);
        let until = match (&page.next, items.last()) {
            (None, _) => None,
            (Some(_), Some(last)) if is_ordered => Some(last.clone()),
            _ => return false,
        };
        self.tags.extend(items.iter().cloned());
        self.ranges.push(Range { after: after.clone(), until });
        true
    }

    /// Returns the tags of the manifest whose referrers index has the tag `prefix`, if they are
    /// known.
    fn of(&self, prefix: &Tag) -> Option<Tagged> {
        let has_prefix = |tag: &Tag| tag.as_str().starts_with(prefix.as_str());
        let is_past = |until: &Tag| until > prefix && !has_prefix(until);
        let covers = |r: &Range| r.after < *prefix && r.until.as_ref().is_none_or(is_past);
        if !self.ranges.iter().any(covers) {
            return None;
        }
        let own = self.tags.range(prefix.clone()..).take_while(|tag| has_prefix(tag));
        let digest_tags = own.filter(|tag| tag.is_digest_tag()).cloned().collect();
        Some(Tagged { may_have_index: self.tags.contains(prefix), digest_tags })
    }
}

/// Returns true if the source answered, but does not answer this request: because of the permissions,
/// or because it does not support or breaks the request. Returns false if it cannot be reached or is
/// overloaded, because a copy without the signatures would then be a matter of luck.
pub(super) fn is_refusal(error: &Error) -> bool {
    use ErrorKind::{
        Denied, DigestMismatch, Invalid, Protocol, TooLarge, Unauthorized, Unsupported,
    };
    match error.status() {
        Some(status) => !matches!(status, 408 | 429 | 502..),
        None => matches!(
            error.kind(),
            Denied | DigestMismatch | Invalid | Protocol | TooLarge | Unauthorized | Unsupported
        ),
    }
}

/// 10 pages of a listing in another order. Requests for the tags of each manifest may take fewer.
const PAGE_LIMIT: usize = 10;
/// The suffixes of cosign.
const SUFFIXES: [&str; 3] = ["sig", "att", "sbom"];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::page::PageToken;

    fn tag(text: &str) -> Tag {
        Tag::parse(text).unwrap()
    }

    /// Returns `sha256-<hex>` with this start of the hex digits, and with a suffix.
    fn of(start: &str, suffix: &str) -> Tag {
        tag(&format!("sha256-{start:0<64}{suffix}"))
    }

    fn page(items: &[Tag], is_last: bool) -> Page<Tag> {
        Page { items: items.to_vec(), next: (!is_last).then(|| PageToken::new("next")) }
    }

    #[test]
    fn a_page_in_order_shows_the_tags_up_to_its_last_item() {
        let start = tag("sha256-");
        let items = [of("1", ""), of("1", ".att"), of("1", ".sig"), of("3", ".sig")];
        let mut known = KnownTags::default();
        assert!(known.add(&start, &page(&items, false)));
        let expected =
            Tagged { may_have_index: true, digest_tags: vec![of("1", ".att"), of("1", ".sig")] };
        assert_eq!(known.of(&of("1", "")), Some(expected));
        assert_eq!(known.of(&of("2", "")), Some(Tagged::default()));
        // More tags of 3 may follow on the next page.
        assert_eq!(known.of(&of("3", "")), None);
        assert_eq!(known.of(&of("4", "")), None);
        assert_eq!(known.of(&tag("sha512-0")), None);
        // A page that starts at the digest.
        assert!(known.add(&of("3", ""), &page(&[of("3", ".sig"), tag("v1")], false)));
        assert_eq!(known.of(&of("3", "")), None, "the page starts after the tag of the index");
        assert!(known.add(&of("2", ""), &page(&[of("3", ".sig"), tag("v1")], false)));
        let expected = Tagged { may_have_index: false, digest_tags: vec![of("3", ".sig")] };
        assert_eq!(known.of(&of("3", "")), Some(expected));
        assert_eq!(known.of(&of("f", "")), Some(Tagged::default()));
    }

    #[test]
    fn a_listing_in_another_order_shows_nothing_before_its_end() {
        let start = tag("sha256-");
        for items in [
            // The registry ignores the start, or sorts by time.
            vec![tag("latest"), of("1", ".sig"), tag("v1")],
            vec![tag("v1"), of("1", ".sig")],
            vec![],
        ] {
            let mut known = KnownTags::default();
            assert!(!known.add(&start, &page(&items, false)), "{items:?}");
            assert_eq!(known.of(&of("1", "")), None);
            assert!(known.add(&start, &page(&items, true)), "{items:?}");
            let found = known.of(&of("1", "")).unwrap();
            assert_eq!(found.digest_tags.is_empty(), items.is_empty(), "{items:?}");
        }
    }
}
