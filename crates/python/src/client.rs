//! The client, and the operations on whole registries.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process;
use std::sync::{Mutex, PoisonError};

use longshore::http::{HeaderName, HeaderValue, Method};
use longshore::{
    Body, Client as Inner, Credentials, Defaults, Error, ListOptions, ParseError, RawRequest,
    RegistryName, Repository as Name, RepositoryName, Result, Scope, Stores, Verification,
};
use pyo3::prelude::*;
use pyo3::types::PyDict;
use serde_json::json;

use crate::auth::{self, Auth};
use crate::blob::Reader;
use crate::content::{Content, Meter, Sent};
use crate::failure::{invalid, raise};
use crate::names::{Parts, parts};
use crate::operation::{Operation, document};
use crate::pages::Pages;
use crate::repository::Repository;
use crate::settings::Settings;
use crate::transfer;

/// A client of any number of registries.
#[pyclass(frozen, module = "longshore._core")]
pub(crate) struct Client {
    settings: Settings,
    credentials: Credentials,
    pub(crate) defaults: Defaults,
    /// The client, and the process that created it. A child process has none of the threads that
    /// drive the connections, so it creates another client.
    current: Mutex<Option<(u32, Inner)>>,
}

impl Client {
    /// Returns the client of this process.
    pub(crate) fn inner(&self) -> PyResult<Inner> {
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        match &*current {
            Some((process, client)) if *process == process::id() => Ok(client.clone()),
            _ => {
                let client = self.build().map_err(raise)?;
                // A client from before a fork is leaked: its connections belong to the parent.
                std::mem::forget(current.replace((process::id(), client.clone())));
                Ok(client)
            }
        }
    }

    pub(crate) fn stores(&self) -> PyResult<Stores> {
        Ok(self.inner()?.stores().default_tag(self.defaults.tag.clone()))
    }

    fn build(&self) -> Result<Inner> {
        let builder = self.settings.builder()?;
        Ok(builder.credentials(self.credentials.clone()).build())
    }
}

#[pymethods]
impl Client {
    #[new]
    fn new(settings: &Bound<'_, PyDict>, auth: Vec<Auth>) -> PyResult<Self> {
        let settings: Settings = pythonize::depythonize(settings)?;
        let defaults = settings.defaults().map_err(invalid)?;
        let credentials = auth::store(auth)?;
        let client = Self { settings, credentials, defaults, current: Mutex::default() };
        client.inner()?;
        Ok(client)
    }

    /// Closes the connections that no operation uses.
    fn close(&self) {
        let current = self.current.lock().unwrap_or_else(PoisonError::into_inner).take();
        match current {
            Some((process, client)) if process == process::id() => drop(client),
            other => std::mem::forget(other),
        }
    }

    /// Parses a reference with the client's defaults.
    fn reference(&self, text: &str) -> PyResult<Parts> {
        Ok(parts(&self.defaults.parse(text).map_err(invalid)?))
    }

    /// Returns the repository of a registry, with its exact name.
    fn repository(&self, registry: &str, name: &str) -> PyResult<Repository> {
        let registry = registry.parse::<RegistryName>().map_err(invalid)?;
        let name = name.parse::<RepositoryName>().map_err(invalid)?;
        Ok(Repository::new(self.inner()?.repository(&Name::new(registry, name))))
    }

    fn ping(&self, registry: &str) -> PyResult<Operation> {
        let (client, registry) = (self.inner()?, registry_name(registry)?);
        let ping = async move {
            let ping = client.ping(&registry).await?;
            Ok(json!({
                "scheme": ping.scheme.as_str(),
                "verified": ping.verification == Verification::Full,
                "detected": ping.detected,
                "server": ping.api_version,
                "authentication": ping.authentication,
            }))
        };
        Operation::start(ping, document)
    }

    /// Returns 1 or 2: the newest version of the API that a registry speaks.
    fn api_version(&self, registry: &str) -> PyResult<Operation> {
        let (client, registry) = (self.inner()?, registry_name(registry)?);
        let version = async move {
            use longshore_legacy::v1::{ApiVersion, api_version};
            Ok(match api_version(&client, &registry).await? {
                ApiVersion::V1 => 1,
                _ => 2,
            })
        };
        Operation::start(version, document::<u8>)
    }

    #[pyo3(signature = (registry, after=None, page_size=None))]
    fn catalog(
        &self,
        registry: &str,
        after: Option<&str>,
        page_size: Option<usize>,
    ) -> PyResult<Pages> {
        let mut options = ListOptions::default();
        options.after = after.map(str::parse::<RepositoryName>).transpose().map_err(invalid)?;
        options.page_size = page_size.and_then(std::num::NonZeroUsize::new);
        let registry = registry_name(registry)?;
        Ok(Pages::new(self.inner()?.catalog_with(&registry, options)))
    }

    fn check_credentials(&self, registry: &str) -> PyResult<Operation> {
        let (client, registry) = (self.inner()?, registry_name(registry)?);
        Operation::start(async move { client.check_credentials(&registry).await }, document)
    }

    /// Returns a token for a repository, or for the catalog.
    fn token(
        &self,
        registry: &str,
        repository: Option<&str>,
        actions: Vec<String>,
    ) -> PyResult<Operation> {
        let (client, registry) = (self.inner()?, registry_name(registry)?);
        let actions: Vec<&str> = actions.iter().map(String::as_str).collect();
        let (repository, scope) = match repository {
            Some(name) => {
                let name = name.parse::<RepositoryName>().map_err(invalid)?;
                let scope = Scope::repository(&name, &actions);
                (name, scope)
            }
            // The token is for the catalog, so the name is not sent.
            None => (RepositoryName::parse("catalog").map_err(invalid)?, Scope::catalog()),
        };
        let repository = Name::new(registry, repository);
        let token = async move {
            let token = client.fetch_token(&repository, &[scope]).await?;
            Ok(token.secret.expose().to_owned())
        };
        Operation::start(token, document)
    }

    /// Sends a request, and returns the status, the headers and the body.
    fn request(
        &self,
        registry: &str,
        method: &str,
        path: &str,
        headers: BTreeMap<String, String>,
        body: Option<Content>,
        scopes: Vec<String>,
    ) -> PyResult<Operation> {
        let (client, registry) = (self.inner()?, registry_name(registry)?);
        let method: Method = method.parse().map_err(|_| bad("method", method))?;
        let mut request = RawRequest::new(method, path);
        for (name, value) in &headers {
            let parsed: HeaderName = name.parse().map_err(|_| bad("header name", name))?;
            // The value may be a secret, so it is not quoted.
            let value = HeaderValue::from_str(value).map_err(|_| bad("value of header", name))?;
            request = request.header(parsed, value);
        }
        for scope in &scopes {
            request = request.scope(scope).map_err(invalid)?;
        }
        let body = body.map(Content::open).transpose()?;
        let send = async move {
            let request = match body {
                None => request,
                Some(Sent::Bytes(bytes)) => request.body(Body::Bytes(bytes)),
                Some(Sent::Stream(stream)) => request.body(Body::Stream { stream, size: None }),
                Some(Sent::File(path)) => {
                    let size = std::fs::metadata(&path).map_err(|e| Error::io(&path, e))?.len();
                    let stream = longshore::blob_file::stream(&path, 0).await?;
                    request.body(Body::Stream { stream, size: Some(size) })
                }
            };
            client.request(&registry, request).await
        };
        Operation::start(send, |py, reply| {
            let headers: Vec<(String, String)> = reply
                .headers
                .iter()
                .map(|(name, value)| {
                    (name.to_string(), String::from_utf8_lossy(value.as_bytes()).into_owned())
                })
                .collect();
            let status = reply.status.as_u16();
            let body = Reader::of(reply.into_stream(), None);
            Ok((status, headers, body).into_pyobject(py)?.into_any())
        })
    }

    /// Copies from a location to another, and returns a report.
    #[pyo3(signature = (source, target, options, meter=None))]
    fn copy(
        &self,
        source: &str,
        target: &str,
        options: &Bound<'_, PyDict>,
        meter: Option<Meter>,
    ) -> PyResult<Operation> {
        transfer::copy(self, source, target, pythonize::depythonize(options)?, meter)
    }

    /// Copies the image in an archive or layout to a location, and returns a report.
    #[pyo3(signature = (archive, target, options, meter=None))]
    fn load(
        &self,
        archive: PathBuf,
        target: &str,
        options: &Bound<'_, PyDict>,
        meter: Option<Meter>,
    ) -> PyResult<Operation> {
        transfer::load(self, archive, target, pythonize::depythonize(options)?, meter)
    }

    /// Adds layers to an image, and sends the new image to a location.
    fn append(
        &self,
        source: &str,
        layers: Vec<PathBuf>,
        target: &str,
        created_by: Option<String>,
        comment: Option<String>,
    ) -> PyResult<Operation> {
        transfer::append(self, source, layers, target, created_by, comment)
    }

    /// Returns the number of requests and bytes so far.
    fn statistics<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        document(py, self.inner()?.statistics())
    }
}

pub(crate) fn registry_name(text: &str) -> PyResult<RegistryName> {
    text.parse().map_err(invalid)
}

fn bad(what: &'static str, text: &str) -> PyErr {
    invalid(ParseError::new(what, text, "expected the form that HTTP defines"))
}
