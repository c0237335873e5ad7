//! Names at a v1 registry, and access to repositories and images.

use std::str::FromStr;

use clap::Args;
use longshore::{ParseError, Reference, RegistryName, Result, Tag};
use longshore_legacy::v1::{Access, Endpoints, Image, ImageId, Registry, Repository};

use crate::context::Context;

/// A registry, or a repository in it with an optional tag.
#[derive(Clone, Debug)]
pub(super) enum Place {
    Registry(RegistryName),
    Repository(Reference),
}

/// Options for registries behind an index.
#[derive(Clone, Debug, Args)]
pub(super) struct Asking {
    /// Treat the registry as an index: get a token from the index, and use the endpoint in the
    /// index's reply.
    #[arg(long)]
    index: bool,
    /// Accept an endpoint on any host, not only on the index's host.
    #[arg(long, requires = "index")]
    any_endpoint: bool,
}

impl Place {
    /// Returns the tag, or `latest` if the text has none.
    pub(super) fn tag(&self) -> Tag {
        self.stated_tag().unwrap_or_else(Tag::latest)
    }

    /// Returns the tag.
    ///
    /// # Errors
    /// [`ParseError`] if the text has no tag.
    pub(super) fn explicit_tag(&self) -> Result<Tag, ParseError> {
        let reason = "the tag is missing; write REGISTRY/REPOSITORY:TAG";
        self.stated_tag().ok_or_else(|| ParseError::new("tag", &self.to_string(), reason))
    }

    /// Checks that the text names a repository and no tag.
    ///
    /// # Errors
    /// [`ParseError`] if the text has a tag.
    pub(super) fn expect_no_tag(&self) -> Result<(), ParseError> {
        let reason = "expected a whole repository, without a tag";
        match self.stated_tag() {
            None => Ok(()),
            Some(_) => Err(ParseError::new("repository", &self.to_string(), reason)),
        }
    }

    fn stated_tag(&self) -> Option<Tag> {
        match self {
            Self::Registry(_) => None,
            Self::Repository(reference) => reference.tag().cloned(),
        }
    }

    fn registry(&self, context: &Context) -> Result<Registry> {
        let registry = match self {
            Self::Registry(registry) => registry,
            Self::Repository(reference) => reference.repository().registry(),
        };
        Ok(Registry::new(context.client()?, registry))
    }

    /// Opens the repository. With `--index`, requests a token from the index first.
    pub(super) async fn repository(
        &self,
        context: &Context,
        asking: &Asking,
        access: Access,
    ) -> Result<Repository> {
        let Self::Repository(reference) = self else {
            let reason = "the repository is missing; write REGISTRY/REPOSITORY";
            return Err(ParseError::new("repository", &self.to_string(), reason).into());
        };
        let registry = self.registry(context)?;
        let repository = registry.repository(reference.repository().name())?;
        match (asking.index, asking.any_endpoint) {
            (false, _) => Ok(repository),
            (true, false) => repository.authorize(access, Endpoints::SameSite).await,
            (true, true) => repository.authorize(access, Endpoints::Any).await,
        }
    }

    /// Opens the image with this id, or else the image that the tag points at.
    pub(super) async fn image(
        &self,
        context: &Context,
        asking: &Asking,
        access: Access,
        id: Option<&ImageId>,
    ) -> Result<Image> {
        match (self, id) {
            (Self::Registry(_), Some(id)) => Ok(self.registry(context)?.image(id)),
            (Self::Repository(_), Some(id)) => {
                Ok(self.repository(context, asking, access).await?.image(id))
            }
            (_, None) => {
                let repository = self.repository(context, asking, access).await?;
                let id = repository.tag(&self.tag()).await?;
                Ok(repository.image(&id))
            }
        }
    }
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Registry(registry) => registry.fmt(f),
            Self::Repository(reference) => reference.fmt(f),
        }
    }
}

/// Parses only full names, because short names refer to Docker Hub, which has removed the v1 API.
impl FromStr for Place {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        if !text.contains('/') {
            return text.parse().map(Self::Registry);
        }
        let reference: Reference = text.parse()?;
        match reference.digest() {
            None => Ok(Self::Repository(reference)),
            Some(_) => Err(ParseError::new("reference", text, "the v1 API has no digests")),
        }
    }
}
