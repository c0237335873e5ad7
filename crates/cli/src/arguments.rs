//! The command line: commands, global options and help texts.

use std::ffi::OsString;

use clap::{CommandFactory as _, FromArgMatches as _, Parser, Subcommand};

use crate::command;
use crate::global::Global;
use crate::help;

/// Copy, pull, push and serve container images and other OCI artifacts.
#[derive(Debug, Parser)]
#[command(name = "longshore", version, after_help = AFTER_HELP, max_term_width = 100)]
pub(crate) struct Arguments {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) command: Command,
}

impl Arguments {
    /// Parses a command line, whose first word is the name of the program.
    pub(crate) fn parse(words: impl IntoIterator<Item = OsString>) -> Result<Self, clap::Error> {
        let matches = Self::laid_out().try_get_matches_from(words)?;
        Self::from_arg_matches(&matches)
    }

    /// Returns the commands and options with the layout of the help.
    pub(crate) fn laid_out() -> clap::Command {
        help::laid_out(Self::command())
    }
}

/// The subcommands.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// List the repositories of a registry.
    Catalog(command::catalog::Arguments),
    /// List the namespaces of a registry.
    Namespaces(command::namespaces::Arguments),
    /// List the tags of a repository.
    Ls(command::ls::Arguments),
    /// Print the digest of an image or artifact.
    Digest(command::digest::Arguments),
    /// Read or write manifests byte for byte.
    #[command(subcommand)]
    Manifest(command::manifest::Command),
    /// Print an image's configuration.
    Config(command::config::Arguments),
    /// Show the details of an image or artifact.
    Inspect(command::inspect::Arguments),
    /// List the platforms of an image.
    Platforms(command::platforms::Arguments),
    /// Show the build steps of an image.
    History(command::history::Arguments),
    /// Write a layer of an image, as stored or unpacked.
    Layer(command::layer::Arguments),
    /// Add layers on top of an image.
    Append(command::append::Arguments),
    /// Push and pull files as artifacts, and make manifests from blobs.
    #[command(subcommand)]
    Artifact(command::artifact::Command),
    /// Read, write, mount or remove blobs.
    #[command(subcommand)]
    Blob(command::blob::Command),
    /// Add tags to a manifest.
    Tag(command::tag::Arguments),
    /// Remove one tag, and keep the image and its other tags.
    Untag(command::untag::Arguments),
    /// Remove a manifest and all its tags.
    Rm(command::rm::Arguments),
    /// Copy images between registries, layouts and archives.
    Copy(command::copy::Arguments),
    /// Copy an image from a registry to this machine.
    Pull(command::pull::Arguments),
    /// Copy an image from this machine to a registry.
    Push(command::push::Arguments),
    /// Carry out the copies of a plan that copy, pull or push made with --plan.
    Apply(command::apply::Arguments),
    /// List the referrers of a manifest, such as signatures, SBOMs and attestations.
    Referrers(command::referrers::Arguments),
    /// Check credentials for a registry and store them.
    Login(command::login::Arguments),
    /// Remove the stored credentials of a registry.
    Logout(command::logout::Arguments),
    /// Explain authentication, or print a token.
    #[command(subcommand)]
    Auth(command::auth::Command),
    /// Use a registry that supports only the v1 API.
    #[cfg(feature = "legacy")]
    #[command(subcommand)]
    V1(command::v1::Command),
    /// Check that a registry answers, and show its API version and authentication.
    Ping(command::ping::Arguments),
    /// Send an HTTP request to a registry.
    Request(command::request::Arguments),
    /// Run a registry.
    Serve(command::serve::Arguments),
    /// Run the main commands on a temporary registry.
    Demo(command::demo::Arguments),
    /// Print a completion script for a shell.
    Completion(command::completion::Arguments),
    /// Write man pages to a folder.
    Man(command::man::Arguments),
}

const AFTER_HELP: &str = "\
Locations:
  nginx, ghcr.io/a/b:v1, host:5000/a@sha256:…   a repository at a registry
  oci:DIR[:NAME|@DIGEST]                        an OCI layout in a folder
  oci-archive:FILE[:NAME|@DIGEST]               an OCI layout in a tar file
  docker-archive:FILE[:REF|:@POSITION]          the format of `docker save` and `docker load`
An archive's FILE may be - for standard input or output.

Short names: nginx means docker.io/library/nginx:latest. LONGSHORE_DEFAULT_REGISTRY, \
LONGSHORE_DEFAULT_NAMESPACE (empty for none) and LONGSHORE_DEFAULT_TAG change these defaults.

Credentials come from --auth-file, or else from the first source with an entry for the registry:
  LONGSHORE_TOKEN (registry=token), LONGSHORE_AUTHORIZATION (registry=value),
  LONGSHORE_CREDENTIALS (https://user:password@registry), DOCKER_AUTH_CONFIG (JSON),
  REGISTRY_AUTH_FILE, config.json in DOCKER_CONFIG or ~/.docker,
  ${XDG_RUNTIME_DIR}/containers/auth.json, ~/.config/containers/auth.json, NETRC or ~/.netrc

Exit codes:
  0 success · 1 negative answer, partial success, other failure · 2 usage error · 3 not found
  4 unauthorized or denied · 5 network, timeout, rate limit
  6 conflict · 7 verification failed · 130 interrupted

Examples:
  longshore copy nginx:1.27 localhost:5000/nginx:1.27
  longshore pull alpine oci:alpine
  longshore ls ghcr.io/a/b
  longshore demo";

#[cfg(test)]
mod tests;
