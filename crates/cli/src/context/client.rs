//! Builds the client from the command line, the environment and stored credentials.

use std::path::Path;

use longshore::{
    Client, ClientBuilder, CredentialStore, Credentials, DockerConfig, Environment, Result,
};

use super::Settings;
use crate::global::Global;

impl Settings {
    /// Returns a client with the stored credentials.
    pub(super) fn client(&self) -> Result<Client> {
        Ok(self.builder()?.credentials(self.global.credentials()?).build())
    }

    /// Returns a client with other credentials and the same settings.
    pub(super) fn client_with(&self, store: impl CredentialStore + 'static) -> Result<Client> {
        Ok(self.builder()?.credentials(store).build())
    }

    fn builder(&self) -> Result<ClientBuilder> {
        let builder = self.global.authentication.apply(self.global.network.builder()?);
        Ok(match self.trace.clone() {
            Some(trace) => builder.exchange_observer(move |exchange| trace.add(exchange)),
            None => builder,
        })
    }
}

impl Global {
    /// Reads the credentials file that `longshore login` writes.
    pub(super) fn config(&self) -> Result<DockerConfig> {
        match self.auth_file() {
            Some(file) => DockerConfig::load_from(file),
            None => DockerConfig::from_environment(&self.environment()),
        }
    }

    /// Returns all credential sources, or only the file given on the command line.
    fn credentials(&self) -> Result<Credentials> {
        let environment = self.environment();
        match self.auth_file() {
            Some(file) => Ok(Credentials::from_file(file, &environment)),
            None => {
                // Checks the file early: a damaged file is an error even if no registry needs it.
                self.config()?;
                Credentials::from_environment(&environment)
            }
        }
    }

    fn auth_file(&self) -> Option<&Path> {
        self.authentication.auth_file.as_ref()?.0.as_deref()
    }

    fn environment(&self) -> Environment {
        let environment = Environment::from_process();
        match self.authentication.config.as_ref().and_then(|given| given.0.as_ref()) {
            Some(folder) => environment.with("DOCKER_CONFIG", folder),
            None => environment,
        }
    }
}
