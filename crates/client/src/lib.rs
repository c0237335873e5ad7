//! A client for container registries: copies, pulls and pushes images and other OCI artifacts.
//!
//! A [`Location`] names the place of an image. [`Stores`] opens it as a store: a [`Source`] for
//! reading, or a [`Target`] for reading and writing. [`Client::repository`] opens a repository at a
//! registry, which is both. Operations accept every store that implements the traits they require.
//! The items of `longshore-core` and `longshore-image` that programs use are re-exported.
//! [`blocking`] has the same operations without async.
//!
//! Copy an image, with the credentials of `docker login`:
//!
//! ```no_run
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! use longshore::{Client, CopyOptions, DockerConfig};
//!
//! let client = Client::builder().credentials(DockerConfig::load()?).build();
//! let (source, target) = ("nginx:1.27".parse()?, "localhost:5000/nginx".parse()?);
//! let copied = client.copy(&source, &target, CopyOptions::default()).await?;
//! println!("{}: {} bytes sent", copied.root.digest, copied.stats.bytes_sent);
//! # Ok(())
//! # }
//! ```
//!
//! # Examples
//!
//! Start a registry for a test, and push a file to it as an artifact. With the feature `registry`,
//! `longshore::registry` re-exports the crate `longshore_registry`:
//!
//! ```
//! # tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(async {
//! use longshore::{Client, Pack, Tag};
//! use longshore_registry::TestRegistry;
//!
//! # let folder = tempfile::tempdir()?;
//! # let path = folder.path().join("notes.txt");
//! # std::fs::write(&path, "hello")?;
//! let registry = TestRegistry::start().await?;
//! let notes = format!("{}/notes", registry.address()).parse()?;
//! let repository = Client::new().repository(&notes);
//! let pack = Pack::artifact("application/vnd.example.notes".parse()?);
//! let pack = pack.file_at(&path, "text/plain".parse()?)?;
//! println!("{}", pack.push(&repository, Some(&Tag::parse("v1")?)).await?.digest);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! # })?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! Resolve a tag to a digest:
//!
//! ```no_run
//! # async fn example() -> longshore::Result<()> {
//! use longshore::{Client, Reference};
//!
//! let nginx = Reference::familiar("nginx:1.27")?.or_latest();
//! println!("{}", Client::new().resolve(&nginx).await?.digest);
//! # Ok(())
//! # }
//! ```
//!
//! List the tags that match a pattern:
//!
//! ```no_run
//! # async fn example() -> longshore::Result<()> {
//! use longshore::{Client, Filter, Source as _};
//!
//! let nginx = Client::new().repository(&"docker.io/library/nginx".parse()?);
//! let stable = Filter::anywhere(r"^1\.\d+$")?;
//! let tags = nginx.tags(None).filter(move |tag| stable.matches(tag.as_str()));
//! println!("{:?}", tags.all().await?);
//! # Ok(())
//! # }
//! ```
//!
//! Read a file from an image, here without async. If several layers contain the file, the last
//! layer takes precedence.
//!
//! ```
//! # use longshore::{Descriptor, ImageConfig, MediaType, Memory, Pack, RawManifest, Tag};
//! # fn image() -> Result<(blocking::Store<Memory>, RawManifest), Box<dyn std::error::Error>> {
//! #     let mut tar = tar::Builder::new(Vec::new());
//! #     let mut header = tar::Header::new_ustar();
//! #     header.set_size(14);
//! #     header.set_mode(0o644);
//! #     tar.append_data(&mut header, "etc/os-release", &b"ID=example-os\n"[..])?;
//! #     let layer = bytes::Bytes::from(tar.into_inner()?);
//! #     let layer_of = Descriptor::from_bytes(MediaType::OCI_LAYER, &layer);
//! #     let mut config = ImageConfig::default();
//! #     config.rootfs.diff_ids.push(layer_of.digest.clone());
//! #     let store = blocking::Store::new(Memory::new());
//! #     let pack = Pack::image(&config)?.layer(layer_of, layer.into());
//! #     let digest = store.push_pack(pack, Some(&Tag::latest()))?.digest;
//! #     let manifest = store.manifest(&digest.into())?;
//! #     Ok((store, manifest))
//! # }
//! use std::io::Read as _;
//! use longshore::{UnpackLimits, blocking};
//!
//! # let (store, manifest) = image()?;
//! let mut release = String::new();
//! for layer in store.image(manifest)?.layers() {
//!     let plain = store.unpack_layer(&layer, UnpackLimits::default())?;
//!     for entry in tar::Archive::new(plain).entries()? {
//!         let mut entry = entry?;
//!         if matches!(&*entry.path_bytes(), b"etc/os-release" | b"./etc/os-release") {
//!             release.clear();
//!             entry.read_to_string(&mut release)?;
//!         }
//!     }
//! }
//! assert_eq!(release, "ID=example-os\n");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod attempts;
mod auth;
#[cfg(feature = "blocking")]
pub mod blocking;
mod bounded;
mod capabilities;
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
mod host;
mod link;
mod listing;
mod location;
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
mod statistics;
mod stores;
mod transfer;
mod transport;
mod upload_records;
mod waiting;

pub use http;
pub use longshore_core::{
    Algorithm, Ancestor, Annotations, ArtifactManifest, AvailablePlatforms, BlobBody, BlobReader,
    BlobStream, CHUNK_SIZE, CONFIG_LIMIT, CachedListing, ContainerConfig, Copier, CopierBuilder,
    CopyEvent, CopyObserver, CopyOptions, CopyPlan, CopyStats, CopySummary, Defaults, Delete,
    DeleteResult, Descriptor, Digest, DigestPair, Digester, Error, ErrorCode, ErrorKind,
    EscapedText, FileBody, Filter, Folders, GuardMethod, History, HistoryStep, Image, ImageConfig,
    ImageLayer, ImageManifest, Index, Layout, LeftBehind, LeftBehindReason, MANIFEST_LIMIT,
    Manifest, ManifestReference, MediaType, Memory, Namespaces, Node, Pack, Page, PageToken, Pages,
    ParseError, Placed, PlannedAction, PlannedStep, PlannedTag, Platform, Presence, Progress,
    Pushed, RawManifest, Reference, ReferrerSelection, RegistryError, RegistryName, Repository,
    RepositoryName, Result, RootFs, Schema1, Schema1History, Schema1Layer, Selection, SharedReads,
    Side, Source, SourceExt, StreamDigest, Tag, TagGuard, TagOrDigest, TagOutcome, TagState,
    Target, TargetExt, UntagMethod, Verifier, add_tags, blob_file, canonical_json,
    delete_with_tags, graph, json_field, list_files, list_images, place_files, pull_files,
    read_image, run_blocking, select_image, select_platforms, tags_for_digest, untag, wait,
};

#[cfg(feature = "archive")]
pub use longshore_image::{
    Append, AppendResult, Compression, Decoder, DockerArchive, DockerArchiveWriter, FolderArchive,
    OciArchive, OciArchiveWriter, UnpackLimits, UnpackResult, measure_layer, unpack, unpack_folder,
};

/// The embedded registry.
#[cfg(feature = "registry")]
pub use longshore_registry as registry;

pub use auth::{
    AuthReport, Authentication, BasicAuth, CredentialLookup, InitialAuth, Scope, Token,
    TokenService,
};
pub use certificate::{CertificateFolders, ClientCertificate, RootCertificates};
pub use client::{Client, ClientBuilder};
pub use config::{
    Limits, PathPrefix, RegistrySettings, RegistryUrl, RetryPolicy, UploadMethod, UserAgent,
    Verification,
};
pub use credentials::{
    Credential, CredentialHelper, CredentialKey, CredentialKind, CredentialStore, Credentials,
    DockerConfig, Helpers, Login, MemoryCredentials, Netrc, RegistryPattern, Secret, StoredIn,
};
pub use environment::Environment;
pub use listing::ListOptions;
pub use location::{ImageName, Location, Place};
pub use ping::Ping;
pub use proxy::{NoProxy, Proxies, Proxy};
pub use raw::{RawDocument, RawReply, RawRequest};
pub use repository::{RemoteRepository, Upload};
pub use resolver::{AddressFamily, HostAddresses, Resolver};
pub use scheme::Scheme;
pub use statistics::{RequestCount, Statistics, Waits};
pub use stores::{ListedImage, Located, NamedManifest, Stores};
pub use transfer::{Copied, CopyFailure, PlannedCopy, Transfer, TransferPlan, TransferReport};
pub use transport::observe::{HttpExchange, Timings};
pub use transport::{Body, Transport, TransportError, TransportErrorKind};

/// The project's README, included here so that its examples are compiled.
#[cfg(doctest)]
#[doc = include_str!("../../../README.md")]
pub struct Readme;

/// The README of this crate, included here so that its example is compiled.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
pub struct CrateReadme;
