//! The shared context of all commands: the client, the stores behind locations, and the output.

mod client;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use longshore::{
    Client, CredentialStore, DockerConfig, Location, Result, Stores, Target, Transfer,
    TransferReport,
};

use crate::defaults;
use crate::global::Global;
use crate::output::Output;
use crate::progress::{self, Style};

/// The shared context of all commands.
pub(crate) struct Context {
    global: Arc<Global>,
    /// Created on first use, because local locations need no credentials.
    client: Arc<OnceLock<Client>>,
    stores: Stores,
    /// True if an archive is written to standard output. Results are then printed to stderr.
    stdout: AtomicBool,
}

impl Context {
    pub(crate) fn new(global: Global) -> Self {
        let (global, client) = (Arc::new(global), Arc::default());
        let parts = (Arc::clone(&global), Arc::clone(&client));
        let stores = Stores::with_client(move || made(&parts.0, &parts.1).cloned());
        let stores = stores.default_tag(defaults::tag());
        Self { global, client, stores, stdout: AtomicBool::new(false) }
    }

    /// Returns the client with the stored credentials.
    pub(crate) fn client(&self) -> Result<&Client> {
        made(&self.global, &self.client)
    }

    /// Returns a client with other credentials and the same settings.
    pub(crate) fn client_with(
        &self,
        credentials: impl CredentialStore + 'static,
    ) -> Result<Client> {
        self.global.client_with(credentials)
    }

    /// Reads the credentials file that `longshore login` writes.
    pub(crate) fn config(&self) -> Result<DockerConfig> {
        self.global.config()
    }

    pub(crate) fn output(&self) -> Output {
        let output = Output::new(self.global.json);
        if self.stdout.load(Ordering::Relaxed) { output.to_stderr() } else { output }
    }

    /// Returns true if results are printed as JSON.
    pub(crate) fn is_json(&self) -> bool {
        self.global.json
    }

    /// Returns true if `--quiet` was given.
    pub(crate) fn is_quiet(&self) -> bool {
        self.global.quiet
    }

    pub(crate) fn style(&self) -> Style {
        self.global.style()
    }

    /// Returns the stores behind locations.
    pub(crate) fn stores(&self) -> &Stores {
        &self.stores
    }

    /// Opens a location for writing. If it is standard output, later results are printed to stderr.
    pub(crate) async fn create(&self, location: &Location) -> Result<Arc<dyn Target>> {
        let target = self.stores.create(location).await?;
        self.reserve_stdout(location);
        Ok(target)
    }

    /// Runs transfers and shows their progress.
    pub(crate) async fn transfer(&self, transfers: &[Transfer]) -> Result<TransferReport> {
        let report = self.stores.transfer(transfers, progress::observer(self.style())).await?;
        transfers.iter().for_each(|transfer| self.reserve_stdout(&transfer.target));
        Ok(report)
    }

    fn reserve_stdout(&self, target: &Location) {
        self.stdout.fetch_or(target.place().is_stream(), Ordering::Relaxed);
    }
}

fn made<'a>(global: &Global, client: &'a OnceLock<Client>) -> Result<&'a Client> {
    match client.get() {
        Some(client) => Ok(client),
        None => {
            let made = global.client()?;
            Ok(client.get_or_init(|| made))
        }
    }
}
