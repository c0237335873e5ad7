//! Translates the README of yodle's docker-registry-client to longshore, call by call.
//!
//! ```sh
//! cargo run -p longshore-legacy --example from_docker_registry_client -- localhost:5000
//! ```

use std::io::Write;

use longshore::blocking::Client;
use longshore::{RegistryName, Tag, TagOrDigest};
use longshore_legacy::v1::ApiVersion;
use longshore_legacy::v1::blocking::{Registry, api_version};

type Result<T = ()> = std::result::Result<T, Box<dyn std::error::Error>>;

fn main() -> Result {
    let registry = std::env::args().nth(1).ok_or("expected a registry, such as localhost:5000")?;
    run(&registry, &mut std::io::stdout())
}

/// Runs the README's calls on `library/myrepo:latest`, with the registry's API version.
pub(crate) fn run(registry: &str, out: &mut impl Write) -> Result {
    // client = DockerRegistryClient('https://registry.example.com:5000')
    let client = Client::new();
    let registry = registry.parse()?;
    // client.api_version
    match api_version(&client, &registry)? {
        ApiVersion::V1 => version_1(&Registry::new(&client, &registry), out),
        _ => version_2(&client, &registry, out),
    }
}

fn version_2(client: &Client, registry: &RegistryName, out: &mut impl Write) -> Result {
    writeln!(out, "version: 2")?;

    // client.namespaces()
    let catalog = client.namespaces(registry)?.bare_as("library");
    writeln!(out, "namespaces: {}", catalog.names().join(" "))?;
    // client.repositories()
    writeln!(out, "repositories: {}", client.catalog(registry).count())?;
    // client.repository('myrepo', 'library')
    let repository = client.repository(&format!("{registry}/library/myrepo").parse()?);

    // repository.tags()
    for tag in repository.tags(None) {
        writeln!(out, "tag: {}", tag?)?;
    }
    // manifest, digest = repository.manifest('latest')       ours: `manifest.digest()`
    let latest: TagOrDigest = Tag::latest().into();
    let manifest = repository.manifest(&latest)?;
    writeln!(out, "manifest: {}", manifest.media_type())?;

    // repository.tag('stable', image_id)                     theirs: v1 registries only
    let stable: Tag = "stable".parse()?;
    repository.add_tags(&latest, std::slice::from_ref(&stable))?;
    writeln!(out, "stable: {}", repository.resolve(&stable.clone().into())?.digest.short())?;
    // repository.untag('stable')                             theirs: v1 registries only
    repository.untag(&stable)?;
    writeln!(out, "left: {}", repository.tags(None).count())?;

    // repository.delete_manifest(digest)
    repository.delete_manifest(manifest.digest())?;
    writeln!(out, "left: {}", repository.tags(None).count())?;
    Ok(())
}

fn version_1(registry: &Registry, out: &mut impl Write) -> Result {
    writeln!(out, "version: 1")?;
    // client.repositories()                                  both: a search
    let found = registry.search("").all()?;
    writeln!(out, "repositories: {}", found.len())?;
    // repository = client.repository('myrepo', 'library')
    let repository = registry.repository(&"library/myrepo".parse()?)?;
    // repository.tags()
    for tagged in repository.tags()? {
        writeln!(out, "tag: {}", tagged.tag)?;
    }
    // repository.data('latest')
    let latest = Tag::latest();
    writeln!(out, "data: {}", repository.tag_json(&latest)?.is_object())?;

    // image = repository.image('latest')
    let id = repository.tag(&latest)?;
    let image = registry.image(&id);
    // image.get_json()
    writeln!(out, "json: {}", image.json()?.value()?.is_object())?;
    // image.get_data('parent')
    writeln!(out, "parent: {}", image.field("parent")?)?;
    // image.ancestry()
    writeln!(out, "ancestry: {}", image.ancestry()?.len())?;
    // image.get_layer()                                      theirs: a JSON error
    let layer = image.layer()?.into_reader().bytes(1 << 20)?;
    writeln!(out, "layer: {} bytes", layer.len())?;

    // repository.tag('stable', image_id); repository.untag('stable')
    let stable: Tag = "stable".parse()?;
    repository.set_tag(&stable, &id)?;
    repository.delete_tag(&stable)?;
    writeln!(out, "left: {}", repository.tags()?.len())?;
    Ok(())
}
