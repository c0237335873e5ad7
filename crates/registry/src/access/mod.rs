//! Access control.
//!
//! Owns the [`Access`] trait and the policies of this crate. `registry` asks before a handler runs,
//! and the upload handler once more for the source repository of a mount.

mod basic;
mod htpasswd;
mod open;
mod tokens;
mod users;

use std::fmt;
use std::time::Duration;

use async_trait::async_trait;
use longshore_core::RepositoryName;

pub use htpasswd::Htpasswd;
#[cfg(fuzzing)]
pub(crate) use htpasswd::entries as htpasswd_entries;
pub use open::Open;
pub use tokens::Tokens;
pub use users::{Rights, Users};

/// An access policy.
#[async_trait]
pub trait Access: fmt::Debug + Send + Sync {
    /// Decides on one need, given the request's `Authorization` header.
    async fn judge(&self, authorization: Option<&str>, need: &Need<'_>) -> Verdict;

    /// Returns the user name in this header, for the log. Called only for requests that were not
    /// challenged.
    fn user_name(&self, authorization: Option<&str>) -> Option<String> {
        let _ = authorization;
        None
    }

    /// Answers a request to a path outside `/v2/`, if the policy has its own endpoint.
    fn endpoint(&self, path: &str, query: &str, authorization: Option<&str>) -> Option<Issued> {
        let _ = (path, query, authorization);
        None
    }
}

/// The permission that a request needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Need<'a> {
    /// The kind of access.
    pub right: Right,
    /// The resource that is accessed.
    pub on: Resource<'a>,
}

/// A kind of access.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Right {
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
    /// `/v2/`: the check for the API and for valid credentials.
    Base,
    /// The list of repositories.
    Catalog,
    /// One repository.
    Repository(&'a RepositoryName),
    /// All repositories: needed for a mount without a source repository.
    AllRepositories,
}

/// A policy's decision.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
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
pub enum Issued {
    /// 200, with this document.
    Document(serde_json::Value),
    /// 401, with this `WWW-Authenticate`.
    Challenged(String),
    /// 400, with this message.
    Refused(String),
}
