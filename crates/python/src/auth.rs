//! Credentials that Python provides.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use longshore::{
    Credential as Inner, CredentialKey, CredentialStore, Credentials, Environment, Error,
    ErrorKind, MemoryCredentials, RegistryName, RegistryPattern, RepositoryName, Result, Secret,
    run_blocking,
};
use pyo3::prelude::*;

use crate::failure::{invalid, raise};
use crate::interpreter;

/// A credential of a registry. Its secret never appears in its text.
#[pyclass(frozen, from_py_object, module = "longshore")]
#[derive(Clone)]
pub(crate) struct Credential(Inner);

#[pymethods]
impl Credential {
    /// A user name and a password.
    #[staticmethod]
    fn login(username: &str, password: String) -> PyResult<Self> {
        if username.contains(':') {
            return Err(unusable("user name", "it contains a colon"));
        }
        Ok(Self(Inner::login(username, Secret::new(password), SOURCE)))
    }

    /// A token that the registry itself accepts (`Authorization: Bearer`).
    #[staticmethod]
    fn token(token: String) -> PyResult<Self> {
        Ok(Self(Inner::registry_token(in_header("token", token)?, SOURCE)))
    }

    /// The value of an `Authorization` header, such as "Basic …".
    #[staticmethod]
    fn authorization(value: String) -> PyResult<Self> {
        Ok(Self(Inner::authorization(in_header("authorization", value)?, SOURCE)))
    }

    /// Returns the same credential, which may also be sent over plain HTTP.
    fn over_plain_http(&self) -> Self {
        Self(self.0.clone().over_plain_http())
    }

    fn __repr__(&self) -> String {
        match self.0.user() {
            Some(user) => format!("<Credential of {user:?}>"),
            None => "<Credential>".to_owned(),
        }
    }
}

/// A source of a client's credentials.
#[derive(FromPyObject)]
pub(crate) enum Auth {
    /// Registries, or patterns of their names, with a credential for each.
    #[pyo3(transparent)]
    Patterns(Vec<(String, Credential)>),
    /// `"environment"`: the sources that the program uses.
    #[pyo3(transparent)]
    Environment(#[expect(dead_code, reason = "there is only one text")] String),
    /// A function.
    #[pyo3(transparent)]
    Function(Py<PyAny>),
}

/// Returns the store that queries these sources in order.
pub(crate) fn store(sources: Vec<Auth>) -> PyResult<Credentials> {
    let mut all = Credentials::new();
    for source in sources {
        all = match source {
            Auth::Patterns(patterns) => {
                let mut memory = MemoryCredentials::new();
                for (name, Credential(credential)) in patterns {
                    memory = if name.contains(['*', '?']) {
                        let pattern = RegistryPattern::glob(&name).map_err(invalid)?;
                        memory.with_pattern(pattern, credential)
                    } else {
                        let key: CredentialKey = name.parse().map_err(invalid)?;
                        memory.with_credential(key, credential)
                    };
                }
                all.after(memory)
            }
            Auth::Environment(_) => {
                let environment = Environment::from_process();
                all.after(Credentials::from_environment(&environment).map_err(raise)?)
            }
            Auth::Function(function) => all.after(Function(Arc::new(function))),
        };
    }
    Ok(all)
}

/// A Python function that returns the credential of a registry and repository.
struct Function(Arc<Py<PyAny>>);

#[async_trait]
impl CredentialStore for Function {
    async fn get(
        &self,
        registry: &RegistryName,
        repository: Option<&RepositoryName>,
    ) -> Result<Inner> {
        let function = Arc::clone(&self.0);
        let (name, repository) = (registry.to_string(), repository.map(ToString::to_string));
        // The function may block.
        run_blocking(move || {
            let called = interpreter::enter(|py| {
                let credential = function.call1(py, (&name, repository))?;
                Ok::<_, PyErr>(credential.extract::<Option<Credential>>(py)?)
            });
            match called {
                Some(Ok(Some(Credential(credential)))) => Ok(credential),
                Some(Ok(None)) => Ok(Inner::anonymous("the function returned none")),
                Some(Err(e)) => Err(Error::new(ErrorKind::Invalid)
                    .at(format!("the credential function for {name}"))
                    .with_source(e)),
                None => Err(Error::new(ErrorKind::Canceled).detail("the interpreter ended")),
            }
        })
        .await
    }
}

impl fmt::Debug for Function {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Function")
    }
}

/// Returns a secret that is sent in a header. The error does not quote it.
fn in_header(noun: &'static str, text: String) -> PyResult<Secret> {
    match !text.is_empty() && text.bytes().all(|b| matches!(b, b' '..=b'~')) {
        true => Ok(Secret::new(text)),
        false => Err(unusable(noun, "expected printable ASCII characters")),
    }
}

fn unusable(noun: &'static str, reason: &'static str) -> PyErr {
    raise(Error::new(ErrorKind::Invalid).at(noun).detail(reason))
}

const SOURCE: &str = "the Python program";
