//! A client for container registries: loads and unloads images and other OCI artifacts.
//!
//! ```no_run
//! use std::sync::Arc;
//! use longshore::{Client, Copier, DockerConfig, Reference};
//!
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let client = Client::builder().credentials(DockerConfig::load()?).build();
//! let from = Reference::familiar("ghcr.io/example/app:v1")?.or_latest();
//! let to: Reference = "localhost:5000/app:v1".parse()?;
//!
//! let copier = Copier::new(
//!     Arc::new(client.repository(from.repository())),
//!     Arc::new(client.repository(to.repository())),
//! );
//! let copied = copier.copy(from.selector(), to.tag()).await?;
//! println!("{copied:?}");
//! # Ok(())
//! # }
//! ```
//!
//! Everything of [`longshore_core`] is here too: a [`RemoteRepository`] is a store like the layout
//! and the memory there, and what is done with stores is written once, over their traits.
//!
//! From the bottom up; a module uses only those above it:
//!
//! | modules | hold |
//! |---|---|
//! | `environment`, `scheme`, `certificate`, `proxy`, `resolver`, `config` | how registries are reached: settings |
//! | `endpoint`, `origin`, `link`, `redact` | URLs and the rules about them |
//! | `credentials` | who to be |
//! | `transport` | the seam to HTTP, and the layers around it: retry, limit, redirect, log, wire |
//! | `reply` | what a reply means |
//! | `auth` | the layer that answers challenges |
//! | `attempts`, `exchange`, `listing`, `shared`, `waiting` | what all operations have in common |
//! | `repository`, `catalog`, `ping`, `raw`, `v1` | the operations |
//! | `client` | puts it all together |
//! | [`blocking`] | the same without async |

mod attempts;
mod auth;
pub mod blocking;
mod bounded;
mod catalog;
mod certificate;
mod client;
mod coding;
mod config;
mod credentials;
mod endpoint;
mod environment;
mod exchange;
#[cfg(fuzzing)]
#[doc(hidden)]
pub mod fuzzing;
mod link;
mod listing;
mod origin;
mod ping;
mod proxy;
mod raw;
mod redact;
mod reply;
mod repository;
mod resolver;
mod scheme;
mod shared;
mod transport;
pub mod v1;
mod waiting;

pub use http;
pub use longshore_core::{
    Algorithm, Ancestor, Annotations, ArtifactManifest, BlobBody, BlobReader, BlobStream,
    CONFIG_LIMIT, Cached, ContainerConfig, Copier, CopierBuilder, CopyEvent, CopyOptions,
    CopySummary, Defaults, Delete, Deleted, Descriptor, Digest, Digester, Error, ErrorCode,
    ErrorKind, Filter, Folders, History, Holding, Image, ImageConfig, ImageLayer, ImageManifest,
    Index, Layout, MANIFEST_LIMIT, Manifest, ManifestReference, Measure, MediaType, Memory,
    Namespaces, Node, PIECE, Pack, Page, PageToken, Pages, ParseError, Placed, Platform, Printable,
    Progress, Pushed, RawManifest, Reference, RegistryError, RegistryName, Repository,
    RepositoryName, Result, RootFs, Schema1, Schema1History, Schema1Layer, Side, Source, Step, Tag,
    TagOrDigest, TagOutcome, Tally, Target, Untagged, Verifier, blob_file, canonical_json,
    delete_with_tags, field, files_of, graph, image_for, images_of, offload, placed, pull_files,
    put_tags, tags_of, untag, wait,
};

/// The names in a layout's `index.json`.
pub use longshore_core::listing as layout_listing;
/// The keys and signatures of Docker schema 1.
pub use longshore_core::{PublicKey, Signer, SigningKey, Verified};

pub use auth::{Authentication, BasicUse, Inquiry, Looked, Opening, Scope, Token, TokenService};
pub use certificate::{CertificateFolders, ClientCertificate, RootCertificates};
pub use client::{Client, ClientBuilder};
pub use config::{
    Limits, PathPrefix, RegistrySettings, RegistryUrl, RetryPolicy, UploadForm, UserAgent,
    Verification,
};
pub use credentials::{
    Credential, CredentialHelper, CredentialKey, CredentialKind, CredentialStore, Credentials,
    DockerConfig, Helpers, Kept, Login, MemoryCredentials, Netrc, RegistryPattern, Secret,
};
pub use environment::Environment;
pub use listing::ListOptions;
pub use ping::Ping;
pub use proxy::{NoProxy, Proxies, Proxy};
pub use raw::{RawReply, RawRequest};
pub use repository::{RemoteRepository, Upload};
pub use resolver::{AddressFamily, HostAddresses, Resolver};
pub use scheme::Scheme;
pub use transport::{Body, Fault, Transport, TransportError};
pub use v1::ApiVersion;

/// The page that newcomers read: its example is compiled with the others.
#[cfg(doctest)]
#[doc = include_str!("../../../README.md")]
pub struct Readme;
