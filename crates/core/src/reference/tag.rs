use std::sync::Arc;

use crate::digest::Digest;
use crate::error::{ParseError, Result, parsed_text};

/// A name for a manifest within a repository, such as `v1.2`.
///
/// Source: distribution-spec v1.1.1, "Pulling manifests": `[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}`.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Tag(Arc<str>);

impl Tag {
    /// Parses a tag.
    ///
    /// # Errors
    /// [`ParseError`] with the reason and, for a character that is not allowed, its position.
    pub fn parse(text: &str) -> Result<Self, ParseError> {
        let bad = |reason: &'static str| ParseError::new("tag", text, reason);
        if text.is_empty() {
            return Err(bad("it is empty"));
        }
        if text.len() > MAX_LENGTH {
            return Err(bad("longer than 128 characters"));
        }
        if text.starts_with(['.', '-']) {
            return Err(bad("a tag starts with a letter, a digit or '_'").at(0));
        }
        let allowed = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b'-');
        match text.bytes().position(|b| !allowed(b)) {
            Some(at) => Err(bad("only letters, digits, '_', '.' and '-' are allowed").at(at)),
            None => Ok(Self(text.into())),
        }
    }

    /// Returns the tag `latest`, the usual default.
    #[must_use]
    pub fn latest() -> Self {
        Self("latest".into())
    }

    /// Returns the tag under which clients maintain the index of a manifest's referrers, if the
    /// registry has no listing of referrers: `sha256-<hex>`. The algorithm and the value are
    /// shortened to fit in a tag.
    ///
    /// # Errors
    /// [`ParseError`] if the name of the algorithm starts with a separator.
    ///
    /// Source: distribution-spec v1.1.1, "Referrers Tag Schema".
    pub fn for_referrers(subject: &Digest) -> Result<Self, ParseError> {
        let cut = |text: &str, length: usize| -> String {
            let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-');
            text.chars().take(length).map(|c| if allowed(c) { c } else { '-' }).collect()
        };
        let (algorithm, encoded) = (subject.algorithm_name(), subject.encoded());
        Self::parse(&format!("{}-{}", cut(algorithm, 32), cut(encoded, 64)))
    }

    /// Returns true if the tag is a digest tag of some manifest: the digest with a `-` instead of
    /// the `:`, then a dot and a suffix, such as `sha256-<hex>.sig`. Cosign stores the signatures
    /// (`.sig`), attestations (`.att`) and SBOMs (`.sbom`) of a manifest under its digest tags.
    ///
    /// Source: cosign, specs/SIGNATURE_SPEC.md, "Tag-based Discovery".
    #[must_use]
    pub fn is_digest_tag(&self) -> bool {
        self.0.split_once('.').is_some_and(|(digest, _)| is_digest(digest))
    }

    /// Returns the digest of the manifest to which a [digest tag](Self::is_digest_tag), or the tag of
    /// an [index of referrers](Self::is_for_referrers), belongs.
    pub(crate) fn subject(&self) -> Option<Digest> {
        let digest = self.0.split_once('.').map_or(&*self.0, |(digest, _)| digest);
        Digest::parse(&digest.replacen('-', ":", 1)).ok()
    }

    /// Returns true if the tag is that of a [referrers index](Self::for_referrers) of a digest that
    /// was not shortened.
    #[must_use]
    pub fn is_for_referrers(&self) -> bool {
        is_digest(&self.0)
    }

    /// Returns the tag as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

parsed_text!(Tag, serde);

/// Returns true for a digest with `-` in place of `:`.
fn is_digest(text: &str) -> bool {
    let digest = text.replacen('-', ":", 1).parse::<Digest>();
    digest.is_ok_and(|digest| digest.algorithm().is_some())
}

/// 128 characters: the limit of the grammar.
const MAX_LENGTH: usize = 128;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tag_of_the_referrers_index_follows_the_specification() {
        for (digest, tag) in [
            (format!("sha256:{}", "a".repeat(64)), format!("sha256-{}", "a".repeat(64))),
            (format!("sha512:{}", "b".repeat(128)), format!("sha512-{}", "b".repeat(64))),
            ("test+algo:x=y".to_owned(), "test-algo-x-y".to_owned()),
        ] {
            let found = Tag::for_referrers(&digest.parse().unwrap()).unwrap();
            assert_eq!(found.as_str(), tag);
            assert_eq!(found.is_for_referrers(), digest.starts_with("sha256:"));
        }
    }

    #[test]
    fn a_digest_tag_is_a_whole_digest_with_a_suffix() {
        let hex = "0f".repeat(32);
        for (tag, expected) in [
            (format!("sha256-{hex}.sig"), true),
            (format!("sha256-{hex}.att"), true),
            (format!("sha256-{hex}.a.b"), true),
            (format!("sha256-{hex}"), false),
            (format!("sha256-{}.sig", &hex[2..]), false),
            (format!("sha256-{}.sig", hex.to_uppercase()), false),
            (format!("md5-{hex}.sig"), false),
            ("v1.2".to_owned(), false),
            ("a-b.c".to_owned(), false),
        ] {
            assert_eq!(Tag::parse(&tag).unwrap().is_digest_tag(), expected, "{tag}");
        }
    }
}
