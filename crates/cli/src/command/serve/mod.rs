//! `longshore serve`: runs the embedded registry.
//!
//! Parses the arguments and opens the socket. The crate `longshore_registry` answers the requests.
//! `users` and `tls` read files, and `watch` detects changes to these files.

mod descriptors;
mod file;
mod location;
mod metrics;
mod size;
mod tls;
mod users;
mod watch;

use std::fmt;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use clap::Args;
use longshore::{Error, ErrorKind, Result};
use longshore_registry::{Registry, RegistryLimits};
use serde::Serialize;
use tokio::net::TcpListener;

use self::location::LocationOptions;
use self::metrics::Metrics;
use self::size::Size;
use self::tls::{Current, TlsListener, TlsOptions};
use self::users::Users;
use self::watch::Watch;
use crate::context::Context;
use crate::message::{self, say};
use crate::output::Report;
use crate::signal::termination;

/// The arguments of `longshore serve`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  longshore serve --memory
  longshore serve --listen 127.0.0.1:0 --root /srv/registry
  longshore serve --listen 0.0.0.0:443 --users people --tls-cert host.pem --tls-key host.key
  longshore serve --public-url https://registry.example

The server prints its address, and stops cleanly on SIGTERM or Ctrl-C. Without --users, everyone \
who can reach the address has full access. -v logs one line for each finished request to stderr.")]
pub(crate) struct Arguments {
    /// Address to listen on; port 0 selects a free port.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:5000")]
    listen: SocketAddr,
    /// Store all content in this folder [default: ./registry].
    #[arg(long, value_name = "DIR", conflicts_with = "memory")]
    root: Option<PathBuf>,
    /// Store all content in memory, until the registry stops.
    #[arg(long)]
    memory: bool,
    /// Admit only the users of this htpasswd file (`htpasswd -B`), each with full access. The file
    /// is read again when it changes.
    ///
    /// Each line is NAME:HASH, with a bcrypt hash. Reads require a password too. Without TLS,
    /// passwords are sent unencrypted: add --tls-cert and --tls-key on addresses other than
    /// loopback.
    #[arg(long, value_name = "FILE")]
    users: Option<PathBuf>,
    #[command(flatten)]
    tls: TlsOptions,
    /// Serve metrics for Prometheus at http://ADDRESS/metrics; port 0 selects a free port.
    ///
    /// The metrics count requests (by method, kind of path and status), received and sent bytes,
    /// connections, uploads and stored bytes. They contain no names of repositories or users.
    /// Anyone who can reach the address can read the metrics.
    #[arg(long, value_name = "ADDRESS")]
    metrics: Option<SocketAddr>,
    /// Refuse all deletions.
    #[arg(long)]
    no_delete: bool,
    /// Refuse all changes.
    #[arg(long)]
    read_only: bool,
    /// Accept manifests whose blobs or child manifests are missing, such as an index with only one
    /// mirrored platform.
    #[arg(long)]
    allow_missing: bool,
    /// Refuse blobs larger than this size, such as 500MB or 10GiB.
    #[arg(long, value_name = "SIZE")]
    max_blob_size: Option<Size>,
    /// Refuse uploads and manifests that would exceed this total size.
    ///
    /// The total includes unfinished uploads and the announced sizes of requests in progress. A
    /// slow client can therefore reserve space as long as it sends 60 KiB a minute. To restrict
    /// access, add --users.
    #[arg(long, value_name = "SIZE")]
    max_total_size: Option<Size>,
    #[command(flatten)]
    location: LocationOptions,
}

pub(crate) async fn run(context: &Context, arguments: Arguments) -> Result<()> {
    let tls = arguments.tls.pair().map(watched_certificate).transpose()?;
    warn(&arguments);
    let (listen, metrics) = (arguments.listen, arguments.metrics);
    let counts = Metrics::default();
    let registry = registry(arguments, &counts)?;
    let (socket, listening) = bind(listen, "--listen").await?;
    let metrics = match metrics {
        Some(address) => {
            let (socket, address) = bind(address, "--metrics").await?;
            tokio::spawn(counts.serve(socket, registry.clone()));
            Some(format!("http://{address}/metrics"))
        }
        None => None,
    };
    // Who reads the address may stop the server at once.
    let stop = termination();
    context.output().report(&Listening { listening, metrics })?;
    match tls {
        Some(current) => {
            let listener = TlsListener { socket, current };
            longshore_registry::serve(listener, registry, stop).await?;
        }
        None => longshore_registry::serve(socket, registry, stop).await?,
    }
    say("stopped");
    Ok(())
}

/// Opens a socket and returns it with its address.
async fn bind(address: SocketAddr, option: &str) -> Result<(TcpListener, SocketAddr)> {
    let cannot = |e| {
        let hint = format!("Choose another address with {option}; port 0 selects a free port.");
        Error::new(ErrorKind::Io).at(address).with_source(e).with_hint(hint)
    };
    let socket = TcpListener::bind(address).await.map_err(cannot)?;
    let address = socket.local_addr().map_err(cannot)?;
    Ok((socket, address))
}

/// Builds the registry from the arguments.
fn registry(arguments: Arguments, counts: &Metrics) -> Result<Registry> {
    let builder = if arguments.memory {
        Registry::builder().memory()
    } else {
        Registry::builder().disk(arguments.root.unwrap_or_else(|| "registry".into()))
    };
    let mut limits = RegistryLimits::default();
    descriptors::share(&mut limits);
    limits.blob_size = arguments.max_blob_size.map_or(limits.blob_size, |size| size.0);
    limits.total_size = arguments.max_total_size.map(|size| size.0);
    let builder = if arguments.metrics.is_some() {
        // The total size is counted for the metrics, even without a limit.
        limits.total_size.get_or_insert(u64::MAX);
        let counts = counts.clone();
        builder.on_answered(move |answered| counts.add(answered))
    } else {
        builder
    };
    let builder = builder.limits(limits);
    let builder = if arguments.no_delete { builder.without_deletes() } else { builder };
    let builder = if arguments.read_only { builder.read_only() } else { builder };
    let builder = if arguments.allow_missing { builder.allow_missing() } else { builder };
    let builder = arguments.location.apply(builder);
    let builder = match arguments.users {
        Some(file) => builder.access(watched_users(&file)?.policy),
        None => builder,
    };
    builder.build()
}

fn watched_users(file: &Path) -> Result<Users> {
    let watch = Watch::new(vec![file.to_owned()]);
    let users = Users::read(file)?;
    let again = users.clone();
    tokio::spawn(watch.run(move || again.read_again()));
    Ok(users)
}

fn watched_certificate(pair: tls::Pair) -> Result<Current> {
    let watch = Watch::new(pair.files());
    let current = Current::new(pair)?;
    let again = current.clone();
    tokio::spawn(watch.run(move || again.read_again()));
    Ok(current)
}

/// Warns if passwords are sent unencrypted to an address other than loopback. A trusted proxy or an
/// https public URL counts as TLS.
fn warn(arguments: &Arguments) {
    let is_encrypted = arguments.tls.pair().is_some() || arguments.location.are_behind_tls();
    if arguments.users.is_some() && !is_encrypted && !arguments.listen.ip().is_loopback() {
        message::warn(format_args!(
            "passwords are sent to {} unencrypted; add --tls-cert and --tls-key",
            arguments.listen
        ));
    }
}

/// The address of the registry, with the port in use.
#[derive(Serialize)]
struct Listening {
    listening: SocketAddr,
    /// The URL of the metrics.
    #[serde(skip_serializing_if = "Option::is_none")]
    metrics: Option<String>,
}

impl Report for Listening {
    fn text(&self, to: &mut dyn fmt::Write) -> fmt::Result {
        if let Some(url) = &self.metrics {
            writeln!(to, "metrics at {url}")?;
        }
        writeln!(to, "listening on {}", self.listening)
    }
}
