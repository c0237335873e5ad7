use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;

use clap::Args;
use longshore::{Error, ErrorKind, Result};
use longshore_registry::{Builder, Registry};
use serde::Serialize;

use crate::context::Context;
use crate::output::{Report, say};
use crate::signal::told_to_end;

/// The arguments of `longshore serve`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  longshore serve --memory
  longshore serve --listen 127.0.0.1:0 --root /srv/registry
  longshore serve --public-url https://registry.example

Prints the address it listens on, and ends cleanly on SIGTERM or Ctrl-C. It has no access control:
listen on other addresses than loopback only behind something that has.")]
pub(crate) struct Arguments {
    /// The address to listen on; port 0 takes a free one.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:5000")]
    listen: SocketAddr,
    /// Keep everything in this folder [default: ./registry].
    #[arg(long, value_name = "DIR", conflicts_with = "memory")]
    root: Option<PathBuf>,
    /// Keep everything in memory, until the end.
    #[arg(long)]
    memory: bool,
    /// Refuse to delete anything.
    #[arg(long)]
    no_delete: bool,
    /// Send every `Location` as a URL that starts with this one, where clients reach the registry.
    ///
    /// Without it, locations are paths, which are right behind every proxy. Some old clients resolve none
    /// (docker-registry-client-async, moby-distribution): for them, it is needed.
    #[arg(long, value_name = "URL")]
    public_url: Option<String>,
}

pub(crate) async fn run(context: &Context, arguments: Arguments) -> Result<()> {
    raise_file_limit();
    let builder = if arguments.memory {
        Registry::builder().memory()
    } else {
        Registry::builder().disk(arguments.root.unwrap_or_else(|| "registry".into()))
    };
    let builder = if arguments.no_delete { builder.without_deletes() } else { builder };
    let builder = arguments.public_url.into_iter().fold(builder, Builder::public_url);
    let registry = builder.build()?;
    let cannot = |e| Error::new(ErrorKind::Io).at(arguments.listen).with_source(e);
    let listener = tokio::net::TcpListener::bind(arguments.listen).await.map_err(|e| {
        cannot(e).with_hint("Choose another address with --listen; port 0 takes a free one.")
    })?;
    let address = listener.local_addr().map_err(cannot)?;
    context.output().report(&Listening { listening: address })?;
    longshore_registry::serve(listener, registry, told_to_end()).await?;
    say("ended");
    Ok(())
}

/// Lets the process open as many files as its hard limit grants: the usual soft limit, 1,024, is below
/// the number of connections that are served, each with a file open.
#[cfg(unix)]
fn raise_file_limit() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    // Refused, it serves fewer connections at once.
    setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }).ok();
}

#[cfg(not(unix))]
fn raise_file_limit() {}

/// Where the registry listens: the port is the real one.
#[derive(Serialize)]
struct Listening {
    listening: SocketAddr,
}

impl Report for Listening {
    fn text(&self, to: &mut dyn fmt::Write) -> fmt::Result {
        writeln!(to, "listening on {}", self.listening)
    }
}
