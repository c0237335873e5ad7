//! Access control.
//!
//! Owns the [`Access`] trait and the policies of this crate. `registry` calls the policy before a
//! handler runs. For a mount, the upload handler calls the policy again, for the source repository
//! or for all repositories.

mod basic;
mod htpasswd;
mod tokens;
mod users;

use std::fmt;
use std::time::Duration;

use async_trait::async_trait;
use longshore_core::RepositoryName;

pub use htpasswd::Htpasswd;
#[cfg(fuzzing)]
pub(crate) use htpasswd::entries as htpasswd_entries;
pub use tokens::Tokens;
pub use users::{Permissions, Users};

/// An access policy.
#[async_trait]
pub trait Access: fmt::Debug + Send + Sync {
    /// Decides whether a request may be served, given its `Authorization` header.
    async fn authorize(&self, authorization: Option<&str>, request: &AccessRequest<'_>)
    -> Decision;

    /// Returns the user name in the `Authorization` header, for the log. The registry calls this
    /// method only for requests that were granted or denied.
    fn user_name(&self, authorization: Option<&str>) -> Option<String> {
        let _ = authorization;
        None
    }

    /// Answers a request to an endpoint of the policy, such as `/token`. Returns `None` for every
    /// other path.
    fn endpoint(
        &self,
        path: &str,
        query: &str,
        authorization: Option<&str>,
    ) -> Option<EndpointReply> {
        let _ = (path, query, authorization);
        None
    }
}

/// A policy that grants everyone full access. Meant for loopback, tests, and registries behind a
/// gateway that controls access.
#[derive(Clone, Copy, Debug, Default)]
pub struct Open;

#[async_trait]
impl Access for Open {
    async fn authorize(&self, _: Option<&str>, _: &AccessRequest<'_>) -> Decision {
        Decision::Granted
    }
}

/// A request, reduced to the information that access control needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AccessRequest<'a> {
    /// The kind of access.
    pub action: Action,
    /// The requested resource.
    pub resource: Resource<'a>,
}

/// A kind of access.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Reading.
    Pull,
    /// Writing.
    Push,
    /// Deleting.
    Delete,
}

/// A resource of the registry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Resource<'a> {
    /// `/v2/`, where clients check for the API and for valid credentials.
    Base,
    /// The list of repositories.
    Catalog,
    /// One repository.
    Repository(&'a RepositoryName),
    /// All repositories: needed to mount a blob without naming a source repository.
    AllRepositories,
}

/// A policy's decision.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Allowed.
    Granted,
    /// Not allowed with these credentials: 401, with this `WWW-Authenticate`.
    Challenged(String),
    /// Not allowed for this user: 403.
    Denied,
    /// Too many checks are waiting: 429, with this `Retry-After`.
    Later(Duration),
}

/// The reply of a policy's own endpoint.
#[derive(Clone, Debug, PartialEq)]
pub enum EndpointReply {
    /// 200, with this document.
    Document(serde_json::Value),
    /// 401, with this `WWW-Authenticate`.
    Challenged(String),
    /// 400, with this message.
    Refused(String),
}
