//! The endpoints, with one module for each resource.
//!
//! A handler reads the request, calls a [`Repository`], and builds the reply. `registry` calls
//! [`answer`] after it has authorized the caller.

mod blob;
mod catalog;
mod manifest;
mod paging;
mod referrers;
mod tags;
mod upload;

use http::header::{CONTENT_LENGTH, ETAG, HeaderName, IF_NONE_MATCH, LOCATION};
use http::{HeaderMap, HeaderValue, Method, Response, StatusCode};
use longshore_core::{Digest, RepositoryName};

use crate::access::{Access, AccessRequest, Action, Decision, Permissions, Resource};
use crate::budget::Budget;
use crate::limits::RegistryLimits;
use crate::query::Query;
use crate::reply::{self, Refusal};
use crate::repositories::{Repositories, Repository};
use crate::request_body::Incoming;
use crate::response_body::Body;
use crate::route::Route;

/// An authorized request without its body, and the context needed to answer it.
pub(crate) struct Call<'a> {
    pub(crate) repositories: &'a Repositories,
    pub(crate) access: &'a dyn Access,
    pub(crate) limits: &'a RegistryLimits,
    pub(crate) budget: &'a Budget,
    pub(crate) offered: Permissions,
    pub(crate) allows_missing: bool,
    pub(crate) method: &'a Method,
    pub(crate) headers: &'a HeaderMap,
    pub(crate) query: Query<'a>,
    pub(crate) authorization: Option<&'a str>,
}

/// The result of a handler.
type Answer = Result<Response<Body>, Refusal>;

/// Answers a request.
pub(crate) async fn answer(route: Route, call: &Call<'_>, body: Incoming) -> Answer {
    match route {
        Route::Base => base(call.method),
        Route::Catalog => catalog::list(call).await,
        Route::Blob { name, digest } => blob::answer(call, &name, &digest).await,
        Route::Uploads { name } => upload::begin(call, &name, body).await,
        Route::Upload { name, id } => upload::answer(call, &name, &id, body).await,
        Route::Manifest { name, selector } => manifest::answer(call, &name, &selector, body).await,
        Route::Tags { name } => tags::list(call, &name).await,
        Route::Referrers { name, subject } => referrers::list(call, &name, &subject).await,
    }
}

/// Returns the action and the resource of a request.
pub(crate) fn access_request<'a>(route: &'a Route, method: &Method) -> AccessRequest<'a> {
    let reads = matches!(*method, Method::GET | Method::HEAD);
    let action = match route {
        Route::Uploads { .. } | Route::Upload { .. } => Action::Push,
        _ if reads => Action::Pull,
        _ if *method == Method::DELETE => Action::Delete,
        _ => Action::Push,
    };
    let resource = match route {
        Route::Base => Resource::Base,
        Route::Catalog => Resource::Catalog,
        route => route.repository().map_or(Resource::Base, Resource::Repository),
    };
    AccessRequest { action, resource }
}

impl Call<'_> {
    fn repository(&self, name: &RepositoryName) -> Repository {
        self.repositories.repository(name)
    }

    fn header(&self, name: &HeaderName) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// Returns true if the caller may read this repository, or all repositories for `None`.
    async fn may_pull(&self, name: Option<&RepositoryName>) -> bool {
        let resource = name.map_or(Resource::AllRepositories, Resource::Repository);
        let request = AccessRequest { action: Action::Pull, resource };
        self.access.authorize(self.authorization, &request).await == Decision::Granted
    }

    fn only_reads(&self) -> Result<(), Refusal> {
        match *self.method {
            Method::GET | Method::HEAD => Ok(()),
            _ => Err(Refusal::method("GET, HEAD")),
        }
    }

    /// Returns true if the `If-None-Match` of the request contains this digest.
    fn is_cached_by_client(&self, digest: &Digest) -> bool {
        let known = self.header(&IF_NONE_MATCH).unwrap_or_default();
        let mut tags = known.split(',').map(|tag| tag.trim().trim_matches('"'));
        tags.any(|tag| tag == digest.as_str())
    }
}

fn base(method: &Method) -> Answer {
    match *method {
        Method::GET | Method::HEAD => {
            Ok(reply::json(StatusCode::OK, "application/json", &serde_json::Map::new()))
        }
        _ => Err(Refusal::method("GET, HEAD")),
    }
}

/// Adds the headers that identify the content of a response.
fn add_content_headers(response: &mut Response<Body>, digest: &Digest) -> Result<(), Refusal> {
    let headers = response.headers_mut();
    headers.insert(CONTENT_DIGEST, reply::header_value(digest)?);
    headers.insert(ETAG, reply::header_value(&format!("\"{digest}\""))?);
    Ok(())
}

/// Returns a 201 response: the content now exists at this path.
fn created(location: &str, digest: &Digest) -> Answer {
    let mut response = reply::empty(StatusCode::CREATED);
    let headers = response.headers_mut();
    headers.insert(LOCATION, reply::header_value(&location)?);
    headers.insert(CONTENT_DIGEST, reply::header_value(digest)?);
    headers.insert(CONTENT_LENGTH, HeaderValue::from(0));
    Ok(response)
}

/// Returns a 304 response: the client already has the content.
fn not_modified(digest: &Digest) -> Answer {
    let mut response = reply::empty(StatusCode::NOT_MODIFIED);
    add_content_headers(&mut response, digest)?;
    Ok(response)
}

const CONTENT_DIGEST: HeaderName = HeaderName::from_static("docker-content-digest");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_method_and_the_route_of_a_request_determine_its_action() {
        let digest = Digest::sha256(b"");
        let id = "0".repeat(32);
        for (path, method, action) in [
            (format!("/v2/a/blobs/{digest}"), Method::GET, Action::Pull),
            (format!("/v2/a/blobs/{digest}"), Method::HEAD, Action::Pull),
            (format!("/v2/a/blobs/{digest}"), Method::DELETE, Action::Delete),
            ("/v2/a/blobs/uploads/".into(), Method::POST, Action::Push),
            (format!("/v2/a/blobs/uploads/{id}"), Method::GET, Action::Push),
            (format!("/v2/a/blobs/uploads/{id}"), Method::PATCH, Action::Push),
            (format!("/v2/a/blobs/uploads/{id}"), Method::PUT, Action::Push),
            (format!("/v2/a/blobs/uploads/{id}"), Method::DELETE, Action::Push),
            ("/v2/a/manifests/v1".into(), Method::GET, Action::Pull),
            ("/v2/a/manifests/v1".into(), Method::PUT, Action::Push),
            ("/v2/a/manifests/v1".into(), Method::DELETE, Action::Delete),
            ("/v2/a/tags/list".into(), Method::GET, Action::Pull),
            (format!("/v2/a/referrers/{digest}"), Method::GET, Action::Pull),
        ] {
            let route = Route::parse(&path).unwrap_or_else(|e| panic!("{path}: {e:?}"));
            let request = access_request(&route, &method);
            assert_eq!(request.action, action, "{method} {path}");
            assert!(matches!(request.resource, Resource::Repository(_)), "{path}");
        }
    }
}
