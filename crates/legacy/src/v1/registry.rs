use std::fmt;

use longshore::http::Method;
use longshore::{Client, Pages, ParseError, RegistryName, RepositoryName, Result};

use super::image::Image;
use super::image_id::ImageId;
use super::repository::Repository;
use super::search::{self, Found};
use super::site::{Site, header};

/// A registry or index that supports the v1 API. Cheap to clone.
#[derive(Clone)]
pub struct Registry {
    site: Site,
}

/// A v1 registry's description of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Ping {
    /// The `X-Docker-Registry-Version` header, such as `0.9.1`.
    pub version: Option<String>,
    /// True if clients need no token from an index. Without the `X-Docker-Registry-Standalone`
    /// header, the value is true, as in Docker.
    pub standalone: bool,
}

impl Registry {
    /// Returns a registry that is accessed through the client. Sends nothing.
    #[must_use]
    pub fn new(client: &Client, registry: &RegistryName) -> Self {
        Self { site: Site::new(client, registry) }
    }

    /// Pings the registry and returns its description.
    ///
    /// Sends `GET /v1/_ping`.
    ///
    /// # Errors
    /// [`NotFound`](longshore::ErrorKind::NotFound) if there is no v1 API;
    /// [`Protocol`](longshore::ErrorKind::Protocol) if the reply is a web page.
    ///
    /// Source: Docker Registry API v1, "Status".
    pub async fn ping(&self) -> Result<Ping> {
        let about = format!("registry {}", self.site.registry());
        let answer = self.site.fetch(self.site.ask(Method::GET, &["_ping"], about)).await?;
        let standalone = header(&answer.headers, "x-docker-registry-standalone");
        Ok(Ping {
            version: header(&answer.headers, "x-docker-registry-version").map(str::to_owned),
            standalone: standalone.is_none_or(|s| s == "1" || s.eq_ignore_ascii_case("true")),
        })
    }

    /// Searches the registry's repositories. Without words, lists all repositories, if the registry
    /// supports this search.
    ///
    /// Sends `GET /v1/search?q=<words>`, and repeats it with `&page=<number>` while the replies
    /// announce more pages.
    ///
    /// Source: Docker Registry and Index API v1, "Search".
    #[must_use]
    pub fn search(&self, words: &str) -> Pages<Found> {
        search::pages(self.site.clone(), words.to_owned())
    }

    /// Returns a repository. A name of one component is in the namespace `library`. Sends nothing.
    ///
    /// # Errors
    /// [`ParseError`] for a name of more than two components: v1 supports only a namespace and a
    /// name.
    pub fn repository(&self, name: &RepositoryName) -> Result<Repository, ParseError> {
        Repository::new(self.site.clone(), name)
    }

    /// Returns an image. Sends nothing.
    #[must_use]
    pub fn image(&self, id: &ImageId) -> Image {
        Image::new(self.site.clone(), id.clone())
    }
}

impl fmt::Debug for Registry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "v1::Registry({})", self.site.registry())
    }
}
