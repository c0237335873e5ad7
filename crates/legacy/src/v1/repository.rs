use std::collections::BTreeMap;
use std::fmt;

use bytes::Bytes;
use longshore::http::{HeaderName, HeaderValue, Method};
use longshore::{
    Error, ErrorKind, EscapedText, ParseError, RawRequest, RepositoryName, Result, Tag,
};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::image::Image;
use super::image_id::ImageId;
use super::site::{Site, with_json};
use super::token::{self, Access, Endpoints};

/// A repository of a v1 registry: tags that name images. Cheap to clone.
#[derive(Clone)]
pub struct Repository {
    site: Site,
    namespace: String,
    name: String,
}

/// A tag, and the image that it names.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Tagged {
    /// The tag.
    pub tag: Tag,
    /// The image's identifier or a prefix of it. `None` if the registry states no valid identifier.
    pub id: Option<ImageId>,
}

/// An image that an index lists.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Listed {
    /// The image's identifier.
    pub id: ImageId,
    /// The image's checksum as reported to the index, usually a tarsum.
    #[serde(default)]
    pub checksum: Option<String>,
}

impl Repository {
    pub(super) fn new(site: Site, name: &RepositoryName) -> Result<Self, ParseError> {
        let parts: Vec<&str> = name.components().collect();
        let (namespace, name) = match parts[..] {
            [name] => (DEFAULT_NAMESPACE, name),
            [namespace, name] => (namespace, name),
            _ => {
                let reason = "the v1 API supports only a namespace and a name";
                return Err(ParseError::new("repository name", name.as_str(), reason));
            }
        };
        Ok(Self { site, namespace: namespace.to_owned(), name: name.to_owned() })
    }

    /// Returns the namespace. The default is `library`.
    #[must_use]
    pub fn namespace(&self) -> &str {
        &self.namespace
    }

    /// Returns the name within the namespace.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Lists the tags, ordered by name.
    ///
    /// Sends `GET /v1/repositories/<namespace>/<name>/tags`. Registries return a map, and Docker's
    /// index returns a list. Tags outside the grammar are omitted, with a warning in the log.
    ///
    /// # Errors
    /// [`NotFound`](ErrorKind::NotFound) if the repository does not exist.
    pub async fn tags(&self) -> Result<Vec<Tagged>> {
        let tags: Tags = self.site.get(&self.path(&["tags"]), self).await?;
        let mut tags: Vec<Tagged> = tags.pairs().iter().filter_map(Tagged::of).collect();
        tags.sort_by(|a, b| a.tag.cmp(&b.tag));
        Ok(tags)
    }

    /// Returns the identifier of the image that a tag names.
    ///
    /// Sends `GET /v1/repositories/<namespace>/<name>/tags/<tag>`.
    ///
    /// # Errors
    /// [`NotFound`](ErrorKind::NotFound); [`Protocol`](ErrorKind::Protocol) if the reply is not an
    /// identifier.
    pub async fn tag(&self, tag: &Tag) -> Result<ImageId> {
        let document = self.site.fetch(self.ask_tag(Method::GET, tag)).await?;
        // Some registries send the bare identifier, which is not JSON.
        let text = std::str::from_utf8(&document.bytes).unwrap_or_default().trim();
        ImageId::parse(text.trim_matches('"')).map_err(|e| {
            let error = Error::new(ErrorKind::Protocol).at(self.tagged(tag));
            error.detail("the reply is not an image id").with_source(e)
        })
    }

    /// Returns the registry's data on a tag, such as the time of the push and the client.
    ///
    /// Sends `GET /v1/repositories/<namespace>/<name>/tags/<tag>/json`.
    ///
    /// # Errors
    /// [`NotFound`](ErrorKind::NotFound).
    pub async fn tag_json(&self, tag: &Tag) -> Result<Value> {
        self.site.get(&self.path(&["tags", tag.as_str(), "json"]), self.tagged(tag)).await
    }

    /// Points a tag at an image.
    ///
    /// Sends `PUT /v1/repositories/<namespace>/<name>/tags/<tag>` with the identifier as a JSON
    /// string.
    ///
    /// # Errors
    /// [`NotFound`](ErrorKind::NotFound) if the image does not exist.
    pub async fn set_tag(&self, tag: &Tag, id: &ImageId) -> Result<()> {
        let ask = with_json(self.ask_tag(Method::PUT, tag), format!("\"{id}\"").into());
        self.site.change(ask).await.map(drop)
    }

    /// Removes a tag. The image remains.
    ///
    /// Sends `DELETE /v1/repositories/<namespace>/<name>/tags/<tag>`.
    ///
    /// # Errors
    /// [`NotFound`](ErrorKind::NotFound).
    pub async fn delete_tag(&self, tag: &Tag) -> Result<()> {
        self.site.change(self.ask_tag(Method::DELETE, tag)).await.map(drop)
    }

    /// Removes the repository with all of its tags.
    ///
    /// Sends `DELETE /v1/repositories/<namespace>/<name>/`.
    ///
    /// # Errors
    /// [`NotFound`](ErrorKind::NotFound).
    pub async fn delete(&self) -> Result<()> {
        self.site.change(self.ask(Method::DELETE, "")).await.map(drop)
    }

    /// Lists the images of the repository that the index has recorded.
    ///
    /// Sends `GET /v1/repositories/<namespace>/<name>/images`.
    ///
    /// # Errors
    /// [`NotFound`](ErrorKind::NotFound).
    pub async fn images(&self) -> Result<Vec<Listed>> {
        self.site.get(&self.path(&["images"]), self).await
    }

    /// Returns an image that is accessed with this repository's token, if any. Sends nothing.
    #[must_use]
    pub fn image(&self, id: &ImageId) -> Image {
        Image::new(self.site.clone(), id.clone())
    }

    /// Returns the repository with a token from its index, at the registry that the index names.
    ///
    /// Standalone registries ([`Ping::standalone`](super::Ping::standalone)) need no token. Sends
    /// `GET /v1/repositories/<namespace>/<name>/images` to read or `PUT
    /// /v1/repositories/<namespace>/<name>/` to write, with `X-Docker-Token: true`. The token then
    /// replaces the credentials. It is sent only to the index itself or to an endpoint that
    /// `endpoints` allows. It is sent over plain HTTP, or to a server with an invalid certificate,
    /// only if the registry's settings permit this or if the registry is its own index on this
    /// machine. Otherwise, requests fail with [`Denied`](ErrorKind::Denied).
    ///
    /// # Errors
    /// [`Unauthorized`](ErrorKind::Unauthorized) or [`Denied`](ErrorKind::Denied) if the index
    /// refuses the credentials; [`Unsupported`](ErrorKind::Unsupported) if the index returns no
    /// token.
    ///
    /// Source: Docker Registry and Index API v1, "Token".
    pub async fn authorize(&self, access: Access, endpoints: Endpoints) -> Result<Self> {
        let ask = match access {
            Access::Read => self.ask(Method::GET, "images"),
            Access::Write => with_json(self.ask(Method::PUT, ""), Bytes::from_static(b"[]")),
        };
        let name = HeaderName::from_static("x-docker-token");
        let ask = ask.header(name, HeaderValue::from_static("true"));
        let headers = self.site.change(ask).await?;
        let token = token::authorization(&headers).ok_or_else(|| {
            Error::new(ErrorKind::Unsupported)
                .at(self)
                .detail("the index returned no token")
                .with_hint("A standalone registry needs no token.")
        })?;
        let endpoint = token::endpoint(&headers, self.site.registry(), endpoints);
        let site = self.site.with_token(token, endpoint);
        Ok(Self { site, namespace: self.namespace.clone(), name: self.name.clone() })
    }

    fn ask(&self, method: Method, what: &str) -> RawRequest {
        self.site.ask(method, &self.path(&[what]), self)
    }

    fn ask_tag(&self, method: Method, tag: &Tag) -> RawRequest {
        self.site.ask(method, &self.path(&["tags", tag.as_str()]), self.tagged(tag))
    }

    fn path<'a>(&'a self, rest: &[&'a str]) -> Vec<&'a str> {
        [&["repositories", &self.namespace, &self.name], rest].concat()
    }

    fn tagged(&self, tag: &Tag) -> String {
        format!("{self}:{tag}")
    }
}

impl fmt::Display for Repository {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}/{}", self.site.registry(), self.namespace, self.name)
    }
}

impl fmt::Debug for Repository {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "v1::Repository({self})")
    }
}

/// Tags in the format of a registry, or of Docker's index.
#[derive(Deserialize)]
#[serde(untagged)]
enum Tags {
    Map(BTreeMap<String, Option<String>>),
    List(Vec<NamedLayer>),
    None,
}

#[derive(Deserialize)]
struct NamedLayer {
    name: String,
    #[serde(default)]
    layer: Option<String>,
}

impl Tags {
    fn pairs(self) -> Vec<(String, Option<String>)> {
        match self {
            Self::Map(tags) => tags.into_iter().collect(),
            Self::List(tags) => tags.into_iter().map(|tag| (tag.name, tag.layer)).collect(),
            Self::None => Vec::new(),
        }
    }
}

impl Tagged {
    fn of((tag, id): &(String, Option<String>)) -> Option<Self> {
        let id = id.as_deref().and_then(|id| ImageId::parse(id).ok());
        match Tag::parse(tag) {
            Ok(tag) => Some(Self { tag, id }),
            Err(error) => {
                tracing::warn!("the registry lists \"{}\": {error}", EscapedText(tag));
                None
            }
        }
    }
}

/// The default namespace.
const DEFAULT_NAMESPACE: &str = "library";
