//! The shared context of all commands: the client, the stores behind locations, and the output.

mod client;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use longshore::{
    Client, CredentialStore, DockerConfig, Location, Result, Statistics, Stores, Target, Transfer,
    TransferPlan, TransferReport,
};

use crate::defaults;
use crate::global::Global;
use crate::output::{Format, Output};
use crate::progress::{self, Style};
use crate::trace::Trace;

/// The shared context of all commands.
pub(crate) struct Context {
    settings: Arc<Settings>,
    stores: Stores,
    /// True if an archive is written to standard output. Results are then printed to stderr.
    stdout: AtomicBool,
}

/// The options of every command, and the client with these options.
struct Settings {
    global: Global,
    trace: Option<Arc<Trace>>,
    /// Created on first use, because local locations need no credentials.
    client: OnceLock<Client>,
}

impl Settings {
    /// Returns the client with the stored credentials, which is shared.
    fn shared_client(&self) -> Result<&Client> {
        match self.client.get() {
            Some(client) => Ok(client),
            None => {
                let client = self.client()?;
                Ok(self.client.get_or_init(|| client))
            }
        }
    }
}

impl Context {
    pub(crate) fn new(global: Global, trace: Option<Trace>) -> Self {
        let trace = trace.map(Arc::new);
        let settings = Arc::new(Settings { global, trace, client: OnceLock::new() });
        let shared = Arc::clone(&settings);
        let stores = Stores::with_client(move || shared.shared_client().cloned());
        let stores = stores.default_tag(defaults::tag());
        Self { settings, stores, stdout: AtomicBool::new(false) }
    }

    /// Returns the client with the stored credentials.
    pub(crate) fn client(&self) -> Result<&Client> {
        self.settings.shared_client()
    }

    /// Returns a client with other credentials and the same settings.
    pub(crate) fn client_with(
        &self,
        credentials: impl CredentialStore + 'static,
    ) -> Result<Client> {
        self.settings.client_with(credentials)
    }

    /// Reads the credentials file that `longshore login` writes.
    pub(crate) fn config(&self) -> Result<DockerConfig> {
        self.settings.global.config()
    }

    pub(crate) fn output(&self) -> Output {
        let output = Output::new(self.settings.global.output_format());
        if self.stdout.load(Ordering::Relaxed) { output.with_stderr() } else { output }
    }

    /// Returns true if results are printed in another format than text.
    pub(crate) fn is_formatted(&self) -> bool {
        !matches!(self.settings.global.output_format(), Format::Text)
    }

    /// Returns true if `--quiet` was given.
    pub(crate) fn is_quiet(&self) -> bool {
        self.settings.global.quiet
    }

    pub(crate) fn style(&self) -> Style {
        self.settings.global.style()
    }

    /// Returns true if `--verbose` was given.
    pub(crate) fn is_verbose(&self) -> bool {
        self.settings.global.verbose > 0
    }

    /// Returns the statistics of the client. `None` if no location was at a registry.
    pub(crate) fn statistics(&self) -> Option<Statistics> {
        self.settings.client.get().map(Client::statistics)
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

    /// Carries out a plan and shows its progress.
    pub(crate) async fn apply(&self, plan: &TransferPlan) -> Result<TransferReport> {
        self.stores.apply(plan, progress::observer(self.style())).await
    }

    fn reserve_stdout(&self, target: &Location) {
        self.stdout.fetch_or(target.place().is_stream(), Ordering::Relaxed);
    }
}
