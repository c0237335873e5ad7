//! Parses request paths.
//!
//! Owns the conversion of paths to the strict types of longshore-core. `registry` parses the path
//! of each request, and the handlers receive only the result.

use longshore_core::{Digest, ErrorCode, ParseError, RepositoryName, Tag, TagOrDigest};
use percent_encoding::percent_decode_str;

use crate::storage::UploadId;

/// A path of the registry's API.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Route {
    /// `/v2/`
    Base,
    /// `/v2/_catalog`
    Catalog,
    /// `/v2/<name>/blobs/<digest>`
    Blob { name: RepositoryName, digest: Digest },
    /// `/v2/<name>/blobs/uploads/`
    Uploads { name: RepositoryName },
    /// `/v2/<name>/blobs/uploads/<id>`
    Upload { name: RepositoryName, id: UploadId },
    /// `/v2/<name>/manifests/<tag-or-digest>`
    Manifest { name: RepositoryName, selector: TagOrDigest },
    /// `/v2/<name>/tags/list`
    Tags { name: RepositoryName },
    /// `/v2/<name>/referrers/<digest>`
    Referrers { name: RepositoryName, subject: Digest },
}

/// The reason why a path is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum RouteError {
    /// No path of the API has this shape.
    Unknown,
    /// No upload can have this id.
    UnknownUpload,
    /// The path has the right shape, but a part of it violates its grammar.
    Invalid(ErrorCode, String),
}

impl Route {
    /// Parses a path after percent-decoding it once. Parsing starts at the right end, because names
    /// contain slashes and a repository may be named `blobs`.
    pub(crate) fn parse(path: &str) -> Result<Self, RouteError> {
        let decoded = percent_decode_str(path).decode_utf8().map_err(|_| {
            RouteError::Invalid(ErrorCode::NAME_INVALID, "the path is not valid UTF-8".to_owned())
        })?;
        match &*decoded {
            "/v2" | "/v2/" => return Ok(Self::Base),
            "/v2/_catalog" => return Ok(Self::Catalog),
            _ => {}
        }
        let rest = decoded.strip_prefix("/v2/").ok_or(RouteError::Unknown)?;
        Self::within_repository(rest)
    }

    /// Parses the part after `/v2/` of a path within a repository.
    fn within_repository(rest: &str) -> Result<Self, RouteError> {
        if let Some(name) = rest.strip_suffix("/tags/list") {
            let name = repository(name)?;
            return Ok(Self::Tags { name });
        }
        let (before, last) = rest.rsplit_once('/').ok_or(RouteError::Unknown)?;
        if let Some(name) = before.strip_suffix("/blobs/uploads") {
            let name = repository(name)?;
            return match last {
                "" => Ok(Self::Uploads { name }),
                id => UploadId::parse(id)
                    .map(|id| Self::Upload { name, id })
                    .ok_or(RouteError::UnknownUpload),
            };
        }
        if let Some(name) = before.strip_suffix("/blobs") {
            let name = repository(name)?;
            return match last {
                "uploads" => Ok(Self::Uploads { name }),
                digest => computable_digest(digest).map(|digest| Self::Blob { name, digest }),
            };
        }
        if let Some(name) = before.strip_suffix("/manifests") {
            let name = repository(name)?;
            return tag_or_digest(last).map(|selector| Self::Manifest { name, selector });
        }
        if let Some(name) = before.strip_suffix("/referrers") {
            let name = repository(name)?;
            // Any algorithm is accepted: the subject may be missing, and longshore need not compute
            // its digest.
            let subject = Digest::parse(last).map_err(|e| bad(ErrorCode::DIGEST_INVALID, &e))?;
            return Ok(Self::Referrers { name, subject });
        }
        Err(RouteError::Unknown)
    }

    /// Returns the kind of route, for the log.
    pub(crate) fn kind(&self) -> &'static str {
        match self {
            Self::Base => "base",
            Self::Catalog => "catalog",
            Self::Blob { .. } => "blob",
            Self::Uploads { .. } => "uploads",
            Self::Upload { .. } => "upload",
            Self::Manifest { .. } => "manifest",
            Self::Tags { .. } => "tags",
            Self::Referrers { .. } => "referrers",
        }
    }

    /// Returns the repository in the path, if any.
    pub(crate) fn repository(&self) -> Option<&RepositoryName> {
        match self {
            Self::Base | Self::Catalog => None,
            Self::Blob { name, .. }
            | Self::Uploads { name }
            | Self::Upload { name, .. }
            | Self::Manifest { name, .. }
            | Self::Tags { name }
            | Self::Referrers { name, .. } => Some(name),
        }
    }
}

fn repository(text: &str) -> Result<RepositoryName, RouteError> {
    RepositoryName::parse(text).map_err(|e| bad(ErrorCode::NAME_INVALID, &e))
}

fn tag_or_digest(text: &str) -> Result<TagOrDigest, RouteError> {
    if text.contains(':') {
        return computable_digest(text).map(TagOrDigest::Digest);
    }
    Tag::parse(text).map(TagOrDigest::Tag).map_err(|e| bad(ErrorCode::TAG_INVALID, &e))
}

/// Parses a digest with a supported algorithm.
pub(crate) fn computable_digest(text: &str) -> Result<Digest, RouteError> {
    let digest = Digest::parse(text).map_err(|e| bad(ErrorCode::DIGEST_INVALID, &e))?;
    if digest.algorithm().is_none() {
        let e = ParseError::new("digest", text, "expected sha256, sha384 or sha512");
        return Err(bad(ErrorCode::DIGEST_INVALID, &e));
    }
    Ok(digest)
}

fn bad(code: ErrorCode, e: &ParseError) -> RouteError {
    RouteError::Invalid(code, e.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEX: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
    const ID: &str = "0123456789abcdef0123456789abcdef";

    /// Formats a route as its kind, its repository and the rest.
    fn show(path: &str) -> String {
        match Route::parse(path) {
            Ok(Route::Base) => "base".into(),
            Ok(Route::Catalog) => "catalog".into(),
            Ok(Route::Blob { name, digest }) => format!("blob {name} {}", digest.short()),
            Ok(Route::Uploads { name }) => format!("uploads {name}"),
            Ok(Route::Upload { name, id }) => format!("upload {name} {id}"),
            Ok(Route::Manifest { name, selector }) => format!("manifest {name} {selector}"),
            Ok(Route::Tags { name }) => format!("tags {name}"),
            Ok(Route::Referrers { name, subject }) => {
                format!("referrers {name} {}", subject.short())
            }
            Err(RouteError::Unknown) => "404".into(),
            Err(RouteError::UnknownUpload) => "404 upload".into(),
            Err(RouteError::Invalid(code, _)) => code.as_str().into(),
        }
    }

    #[test]
    fn paths_are_parsed_from_the_right() {
        for (path, shown) in [
            ("/v2/", "base"),
            ("/v2", "base"),
            ("/v2/_catalog", "catalog"),
            ("/v2/a/tags/list", "tags a"),
            ("/v2/a/b/c/tags/list", "tags a/b/c"),
            ("/v2/a/manifests/v1", "manifest a v1"),
            ("/v2/a/manifests/list", "manifest a list"),
            ("/v2/tags/manifests/list", "manifest tags list"),
            ("/v2/a/blobs/uploads/", "uploads a"),
            ("/v2/a/blobs/uploads", "uploads a"),
            ("/v2/library%2Fnginx/tags/list", "tags library/nginx"),
            // Repositories with names like parts of the API.
            ("/v2/blobs/tags/list", "tags blobs"),
            ("/v2/manifests/manifests/manifests", "manifest manifests manifests"),
            ("/v2/blobs/uploads/tags/list", "tags blobs/uploads"),
            ("/v2/a/blobs/uploads/manifests/v1", "manifest a/blobs/uploads v1"),
            ("/v2/a/blobs/uploads/blobs/uploads/", "uploads a/blobs/uploads"),
            ("/v2/a/manifests/b/tags/list", "tags a/manifests/b"),
            ("/v2/tags/list/tags/list", "tags tags/list"),
            // Paths outside the API.
            ("/", "404"),
            ("/v1/_ping", "404"),
            ("/v2/a", "404"),
            ("/v2/a/", "404"),
            ("/v2/tags/list", "404"),
            ("/v2/a/tags", "404"),
            ("/v2/a/blobs/uploads/nonsense", "404 upload"),
            ("//v2/a/tags/list", "404"),
        ] {
            assert_eq!(show(path), shown, "{path}");
        }
        for (path, shown) in [
            (format!("/v2/a/blobs/sha256:{HEX}"), "blob a e3b0c44298fc"),
            (format!("/v2/a/blobs/sha256%3A{HEX}"), "blob a e3b0c44298fc"),
            (format!("/v2/blobs/blobs/sha256:{HEX}"), "blob blobs e3b0c44298fc"),
            (format!("/v2/a/referrers/sha256:{HEX}"), "referrers a e3b0c44298fc"),
            (format!("/v2/a/blobs/uploads/{ID}"), "upload a 0123456789abcdef0123456789abcdef"),
        ] {
            assert_eq!(show(&path), shown, "{path}");
        }
    }

    #[test]
    fn paths_that_violate_a_grammar_are_refused() {
        let long = "a".repeat(256);
        for (path, shown) in [
            ("/v2/../x/tags/list", "NAME_INVALID"),
            ("/v2/%2e%2e/x/tags/list", "NAME_INVALID"),
            ("/v2/a%2f..%2fb/tags/list", "NAME_INVALID"),
            ("/v2/%252e%252e/tags/list", "NAME_INVALID"),
            ("/v2/%c0%ae%c0%ae/tags/list", "NAME_INVALID"),
            ("/v2/a%00b/tags/list", "NAME_INVALID"),
            ("/v2/a%0d%0aX:%20y/tags/list", "NAME_INVALID"),
            ("/v2/A/tags/list", "NAME_INVALID"),
            ("/v2/_uploads/tags/list", "NAME_INVALID"),
            ("/v2//a/tags/list", "NAME_INVALID"),
            ("/v2/a//tags/list", "NAME_INVALID"),
            (&format!("/v2/{long}/tags/list"), "NAME_INVALID"),
            ("/v2/a/manifests/.hidden", "TAG_INVALID"),
            ("/v2/a/manifests/", "TAG_INVALID"),
            (&format!("/v2/a/manifests/{}", "t".repeat(129)), "TAG_INVALID"),
            ("/v2/a/manifests/sha256:baddigeststring", "DIGEST_INVALID"),
            ("/v2/a/blobs/v1", "DIGEST_INVALID"),
            ("/v2/a/blobs/sha256:..%2f..%2fetc", "NAME_INVALID"),
            ("/v2/a/blobs/md5:d41d8cd98f00b204e9800998ecf8427e", "DIGEST_INVALID"),
            ("/v2/a/referrers/latest", "DIGEST_INVALID"),
            (&format!("/v2/a/blobs/sha256:{}", HEX.to_uppercase()), "DIGEST_INVALID"),
            (&format!("/v2/a/blobs/SHA256:{HEX}"), "DIGEST_INVALID"),
        ] {
            let got = show(path);
            assert!(got == shown || got == "404", "{path}: {got}");
        }
    }
}
