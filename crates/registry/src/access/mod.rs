//! Who may do what.
//!
//! Owns the [`Access`] trait and the policies that come with the crate. `registry` asks before a
//! handler runs, and the upload handler once more for the repository that a mount reads from.

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

/// A policy of who may do what.
#[async_trait]
pub trait Access: fmt::Debug + Send + Sync {
    /// Decides on one need, given the request's `Authorization` header.
    async fn judge(&self, authorization: Option<&str>, need: &Need<'_>) -> Verdict;

    /// The name of whoever sends this header, for the log. Asked only about those who were not
    /// challenged.
    fn user_name(&self, authorization: Option<&str>) -> Option<String> {
        let _ = authorization;
        None
    }

    /// Answers a request to a path outside `/v2/`, if the policy has an end-point of its own.
    fn endpoint(&self, path: &str, query: &str, authorization: Option<&str>) -> Option<Issued> {
        let _ = (path, query, authorization);
        None
    }
}

/// What a request needs to be allowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Need<'a> {
    /// The kind of deed.
    pub right: Right,
    /// What it is done to.
    pub on: Resource<'a>,
}

/// A kind of deed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Right {
    /// To read.
    Pull,
    /// To write.
    Push,
    /// To remove.
    Delete,
}

/// What a deed is done to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Resource<'a> {
    /// `/v2/`: whether the registry is there, and the credentials good.
    Base,
    /// The list of repositories.
    Catalog,
    /// One repository.
    Repository(&'a RepositoryName),
    /// All repositories: what a mount needs that names no source.
    AllRepositories,
}

/// A policy's decision.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Go ahead.
    Granted,
    /// Not with these credentials: 401, with this `WWW-Authenticate`.
    Challenged(String),
    /// Not for this user: 403.
    Denied,
    /// Not now, for there is too much to check: 429, and when to come back.
    Later(Duration),
}

/// The answer of a policy's own end-point.
#[derive(Clone, Debug, PartialEq)]
pub enum Issued {
    /// 200, with this document.
    Document(serde_json::Value),
    /// 401, with this `WWW-Authenticate`.
    Challenged(String),
    /// 400, with this sentence.
    Refused(String),
}
