//! Tests of the client: against servers that expect exact requests, against the embedded registry,
//! through a network with faults, and against other registries.

#![allow(clippy::unwrap_used, reason = "tests and their helpers fail by panicking")]

mod auth;
mod blob;
mod blocking;
mod blocking_image;
mod certificate;
mod clients;
mod coding;
mod credentials;
mod docker_registry;
mod embedded;
mod endpoint;
mod fault;
mod listing;
mod locations;
mod long_wait;
mod manifest;
mod manifest_reply;
mod matrix;
mod parts;
mod ping;
mod proxy;
mod push;
mod push_file;
mod raw;
mod redirect;
mod reference;
mod referrers;
mod remembered;
mod request;
mod resumed_upload;
mod round_trips;
mod secrecy;
mod stores;
mod upload;
mod upload_end;

use std::time::Duration;

use longshore::{
    ClientBuilder, Descriptor, HostAddresses, Limits, MediaType, RegistrySettings, Repository,
    Scheme,
};
use longshore_testkit::script::Script;

use self::clients::{login, place, quick, remote};

/// Same as [`quick`], with a short timeout for a body that stalls.
fn impatient() -> ClientBuilder {
    let mut limits = Limits::default();
    limits.idle = Duration::from_secs(1);
    quick().limits(limits)
}

/// Returns a client that reaches the server under a name that is not a name of this machine, and
/// the repository `a/b` at this server. The default scheme is plain HTTP.
fn elsewhere(server: &Script) -> (ClientBuilder, Repository) {
    let address = server.address();
    let mut plain = RegistrySettings::default();
    plain.scheme = Some(Scheme::Http);
    let here = HostAddresses::new("r.example", None, vec![address.ip()]);
    let client = quick().default_settings(plain).host_addresses(here);
    (client, format!("r.example:{}/a/b", address.port()).parse().unwrap())
}

fn blob(content: &[u8]) -> Descriptor {
    Descriptor::from_bytes(MediaType::OCTET_STREAM, content)
}

fn blob_path(descriptor: &Descriptor) -> String {
    format!("/v2/a/b/blobs/{}", descriptor.digest)
}
