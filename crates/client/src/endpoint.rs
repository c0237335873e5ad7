//! The URLs of a registry's endpoints, built from typed parts.

use std::num::NonZeroUsize;

use http::Uri;
use longshore_core::{Digest, MediaType, RegistryName, RepositoryName, Tag, TagOrDigest};
use url::Url;

use crate::config::PathPrefix;

/// The base URL of a registry, from which the URLs of all endpoints are built.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Endpoint {
    base: Url,
}

impl Endpoint {
    /// Returns the endpoints of a registry below a path, over TLS or plain HTTP. Returns `None` if
    /// the registry's host is not valid in a URL (`1.2.3.999`).
    pub(crate) fn new(registry: &RegistryName, https: bool, prefix: &PathPrefix) -> Option<Self> {
        let scheme = if https { "https" } else { "http" };
        let address = match registry.is_docker_hub() {
            true => DOCKER_HUB,
            false => registry.as_str(),
        };
        let base = Url::parse(&format!("{scheme}://{address}{}/", prefix.as_str())).ok()?;
        Some(Self { base })
    }

    /// Returns the URL of the registry's root (end-1). Its reply shows whether the server is a
    /// registry.
    pub(crate) fn root(&self) -> Uri {
        self.uri(["v2", ""], &[])
    }

    /// Returns the URL of the catalog of repositories, optionally with a start and a page size.
    pub(crate) fn catalog(
        &self,
        page_size: Option<NonZeroUsize>,
        after: Option<&RepositoryName>,
    ) -> Uri {
        let size = page_size.map(|size| size.to_string());
        let after = after.map(RepositoryName::as_str);
        self.uri(["v2", "_catalog"], &page_query(size.as_deref(), after))
    }

    /// Returns the URL of a repository's tags (end-8), optionally with a start and a page size.
    pub(crate) fn tags(
        &self,
        name: &RepositoryName,
        page_size: Option<NonZeroUsize>,
        after: Option<&Tag>,
    ) -> Uri {
        let size = page_size.map(|size| size.to_string());
        self.below(name, ["tags", "list"], &page_query(size.as_deref(), after.map(Tag::as_str)))
    }

    /// Returns the URL of a manifest (end-3, end-7, end-9).
    pub(crate) fn manifest(&self, name: &RepositoryName, selector: &TagOrDigest) -> Uri {
        self.below(name, ["manifests", &selector.to_string()], &[])
    }

    /// Returns the URL of a blob (end-2, end-10).
    pub(crate) fn blob(&self, name: &RepositoryName, digest: &Digest) -> Uri {
        self.below(name, ["blobs", digest.as_str()], &[])
    }

    /// Returns the URL that begins an upload (end-4a).
    pub(crate) fn uploads(&self, name: &RepositoryName) -> Uri {
        self.below(name, ["blobs", "uploads", ""], &[])
    }

    /// Returns the URL that mounts a blob from another repository (end-11).
    pub(crate) fn mount(
        &self,
        name: &RepositoryName,
        digest: &Digest,
        from: &RepositoryName,
    ) -> Uri {
        let query = [("mount", digest.as_str()), ("from", from.as_str())];
        self.below(name, ["blobs", "uploads", ""], &query)
    }

    /// Returns the URL of a manifest's referrers (end-12).
    pub(crate) fn referrers(
        &self,
        name: &RepositoryName,
        subject: &Digest,
        artifact_type: Option<&MediaType>,
    ) -> Uri {
        let query = artifact_type.map(|media_type| ("artifactType", media_type.as_str()));
        self.below(name, ["referrers", subject.as_str()], query.as_slice())
    }

    /// Returns the URL of a path and query below the registry's base URL. Paths of Docker Hub's v1
    /// API are at the host of its index.
    ///
    /// # Errors
    /// A clause that says why the path is invalid.
    pub(crate) fn path(&self, path_and_query: &str) -> Result<Uri, &'static str> {
        if !path_and_query.starts_with('/') || path_and_query.starts_with("//") {
            return Err("does not start with a single '/'");
        }
        let text = format!("{}{path_and_query}", self.base.as_str().trim_end_matches('/'));
        let mut url = Url::parse(&text).map_err(|_| "is not a path")?;
        // Parsing a URL resolves `..`, so the result may be outside the prefix.
        if !url.path().starts_with(self.base.path()) {
            return Err("is outside the registry's base URL");
        }
        if url.host_str() == Some(DOCKER_HUB) && url.path().starts_with("/v1/") {
            url.set_host(Some(INDEX)).map_err(|_| "is not a path")?;
        }
        url.as_str().parse().map_err(|_| "is not a path")
    }

    fn below<'a>(
        &self,
        name: &'a RepositoryName,
        rest: impl IntoIterator<Item = &'a str>,
        query: &[(&str, &str)],
    ) -> Uri {
        self.uri(["v2"].into_iter().chain(name.components()).chain(rest), query)
    }

    fn uri<'a>(&self, path: impl IntoIterator<Item = &'a str>, query: &[(&str, &str)]) -> Uri {
        let mut url = self.base.clone();
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().extend(path);
        }
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        // A serialised `Url` always parses as a URI. A request to the default ("/") would fail.
        url.as_str().parse().unwrap_or_default()
    }
}

/// Returns the query of a listing's first page.
fn page_query<'a>(size: Option<&'a str>, after: Option<&'a str>) -> Vec<(&'static str, &'a str)> {
    let size = size.map(|size| ("n", size));
    size.into_iter().chain(after.map(|after| ("last", after))).collect()
}

/// Returns the URL that completes an upload: the session's URL, unchanged, with the digest added.
///
/// The query is not re-encoded, because signed URLs would break. An existing digest is replaced.
pub(crate) fn with_digest(session: &Uri, digest: &Digest) -> Option<Uri> {
    let text = session.to_string();
    let (path, query) = text.split_once('?').unwrap_or((&text, ""));
    let kept = query.split('&').filter(|pair| !pair.is_empty() && !pair.starts_with("digest="));
    let mut completed = format!("{path}?");
    for pair in kept {
        completed.push_str(pair);
        completed.push('&');
    }
    // `+` means a space in a query. The other characters of a digest need no escape.
    completed.push_str(&format!("digest={}", digest.as_str().replace('+', "%2B")));
    completed.parse().ok()
}

/// The host of Docker Hub's registry, `docker.io`.
const DOCKER_HUB: &str = "registry-1.docker.io";
/// The host of Docker Hub's index, which serves its search.
const INDEX: &str = "index.docker.io";

#[cfg(test)]
mod tests {
    use super::*;

    fn endpoint(registry: &str) -> Endpoint {
        Endpoint::new(&registry.parse().unwrap(), true, &PathPrefix::default()).unwrap()
    }

    fn at(url: &str) -> Endpoint {
        let url: crate::RegistryUrl = url.parse().unwrap();
        let prefix = url.settings().prefix.unwrap();
        Endpoint::new(url.registry(), url.scheme() != Some(crate::Scheme::Http), &prefix).unwrap()
    }

    #[test]
    fn paths_are_joined_to_every_form_of_base_url() {
        let n = NonZeroUsize::new(7);
        for (base, root) in [
            ("https://r:5000/v2/", "https://r:5000/v2/"),
            ("https://r:5000/v2", "https://r:5000/v2/"),
            ("https://r:5000/", "https://r:5000/v2/"),
            ("https://r/prefix/v2/", "https://r/prefix/v2/"),
            ("https://r/a%2Fb", "https://r/a%2Fb/v2/"),
            ("http://[::1]/x", "http://[::1]/x/v2/"),
        ] {
            assert_eq!(at(base).root(), root, "{base}");
            assert_eq!(
                at(base).catalog(n, None).to_string(),
                format!("{root}_catalog?n=7"),
                "{base}"
            );
        }
    }

    #[test]
    fn a_path_stays_below_the_base_url() {
        let e = at("https://r/prefix");
        assert_eq!(e.path("/v2/a/tags/list?n=1").unwrap(), "https://r/prefix/v2/a/tags/list?n=1");
        assert_eq!(at("https://r").path("/x").unwrap(), "https://r/x");
        for bad in ["", "v2/", "//evil.example/", "/../secret", "/v2/../../x", "https://r/prefix"] {
            assert!(e.path(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn urls_follow_the_specification() {
        let (e, name) = (endpoint("r.example:5000"), RepositoryName::parse("a/b").unwrap());
        let digest = Digest::sha256(b"");
        let tag = Tag::parse("v1").unwrap();
        let n = NonZeroUsize::new(7);
        for (found, path) in [
            (e.root(), "/v2/".to_owned()),
            (e.catalog(n, None), "/v2/_catalog?n=7".to_owned()),
            (e.catalog(n, Some(&name)), "/v2/_catalog?n=7&last=a%2Fb".to_owned()),
            (e.catalog(None, None), "/v2/_catalog".to_owned()),
            (e.tags(&name, None, None), "/v2/a/b/tags/list".to_owned()),
            (e.tags(&name, None, Some(&tag)), "/v2/a/b/tags/list?last=v1".to_owned()),
            (e.tags(&name, n, None), "/v2/a/b/tags/list?n=7".to_owned()),
            (e.tags(&name, n, Some(&tag)), "/v2/a/b/tags/list?n=7&last=v1".to_owned()),
            (e.manifest(&name, &tag.into()), "/v2/a/b/manifests/v1".to_owned()),
            (e.blob(&name, &digest), format!("/v2/a/b/blobs/{digest}")),
            (e.uploads(&name), "/v2/a/b/blobs/uploads/".to_owned()),
            (
                e.referrers(&name, &digest, Some(&"a/b&c".parse().unwrap())),
                format!("/v2/a/b/referrers/{digest}?artifactType=a%2Fb%26c"),
            ),
        ] {
            assert_eq!(found.to_string(), format!("https://r.example:5000{path}"));
        }
        let mount = e.mount(&name, &digest, &name).to_string();
        assert!(mount.contains("?mount=sha256%3A") && mount.ends_with("&from=a%2Fb"), "{mount}");
    }

    #[test]
    fn urls_use_the_host_of_the_registry_except_for_docker_hub() {
        assert_eq!(endpoint("docker.io").root(), "https://registry-1.docker.io/v2/");
        assert_eq!(
            Endpoint::new(&"1.2.3.999".parse().unwrap(), true, &PathPrefix::default()),
            None
        );
        assert_eq!(endpoint("[::1]:5000").root(), "https://[::1]:5000/v2/");
        let hub = endpoint("docker.io");
        assert_eq!(hub.path("/v1/search?q=a").unwrap(), "https://index.docker.io/v1/search?q=a");
        assert_eq!(hub.path("/v2/a").unwrap(), "https://registry-1.docker.io/v2/a");
        assert_eq!(endpoint("r.example").path("/v1/_ping").unwrap(), "https://r.example/v1/_ping");
        // An explicit port is kept, even if it is the other scheme's default.
        let plain = Endpoint::new(&"r:443".parse().unwrap(), false, &PathPrefix::default());
        assert_eq!(plain.unwrap().root(), "http://r:443/v2/");
    }

    #[test]
    fn the_digest_is_added_without_changing_the_rest_of_the_url() {
        let digest: Digest = "a+b:c".parse().unwrap();
        for (session, completed) in [
            ("https://r/u", "https://r/u?digest=a%2Bb:c"),
            ("https://r/u?_state=a+b%2B;c&a&a", "https://r/u?_state=a+b%2B;c&a&a&digest=a%2Bb:c"),
            ("https://r/u?digest=x&a=1", "https://r/u?a=1&digest=a%2Bb:c"),
        ] {
            let found = with_digest(&session.parse().unwrap(), &digest).unwrap();
            assert_eq!(found, completed);
        }
    }
}
