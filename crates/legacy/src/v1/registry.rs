use std::fmt;

use longshore::http::Method;
use longshore::{Client, Pages, ParseError, RegistryName, RepositoryName, Result};

use super::image::Image;
use super::image_id::ImageId;
use super::repository::Repository;
use super::search::{self, Found};
use super::site::{Site, header};

/// A registry or index that speaks the v1 API. Cheap to clone.
#[derive(Clone)]
pub struct Registry {
    site: Site,
}

/// What a v1 registry says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Ping {
    /// The `X-Docker-Registry-Version` header, such as `0.9.1`.
    pub version: Option<String>,
    /// Whether it answers for itself, so that no index need be asked for tokens. True where it says
    /// nothing, as with Docker.
    pub standalone: bool,
}

impl Registry {
    /// A registry, reached as the client reaches it. Sends nothing.
    #[must_use]
    pub fn new(client: &Client, registry: &RegistryName) -> Self {
        Self { site: Site::new(client, registry) }
    }

    /// Asks the registry what it is.
    ///
    /// Sends `GET /v1/_ping`.
    ///
    /// # Errors
    /// [`NotFound`](longshore::ErrorKind::NotFound) if there is no v1 API;
    /// [`Protocol`](longshore::ErrorKind::Protocol) if a web page answers.
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

    /// Searches the registry's repositories; without words, it lists them all, where it does.
    ///
    /// Sends `GET /v1/search?q=<words>`, then `&page=2` and so on, as far as the replies say that there
    /// are pages.
    ///
    /// Source: Docker Registry and Index API v1, "Search".
    #[must_use]
    pub fn search(&self, words: &str) -> Pages<Found> {
        search::pages(self.site.clone(), words.to_owned())
    }

    /// A repository; a name of one part is in the namespace `library`. Sends nothing.
    ///
    /// # Errors
    /// [`ParseError`] for a name of more than two parts: v1 knows a namespace and a name.
    pub fn repository(&self, name: &RepositoryName) -> Result<Repository, ParseError> {
        Repository::new(self.site.clone(), name)
    }

    /// An image. Sends nothing.
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
