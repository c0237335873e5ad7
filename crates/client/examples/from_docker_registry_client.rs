//! The README of docker-registry-client (yodle's), call by call, in longshore.
//!
//! ```sh
//! cargo run -p longshore --example from_docker_registry_client -- localhost:5000
//! ```

use std::io::Write;

use longshore::{Client, Namespaces, Tag, TagOrDigest};

type Result<T = ()> = std::result::Result<T, Box<dyn std::error::Error>>;

fn main() -> Result {
    let registry = std::env::args().nth(1).ok_or("name a registry, such as localhost:5000")?;
    run(&registry, &mut std::io::stdout())
}

/// Goes through it with `library/myrepo:latest` of a registry.
pub(crate) fn run(registry: &str, out: &mut impl Write) -> Result {
    // client = DockerRegistryClient('https://registry.example.com:5000')
    let client = Client::builder().build_blocking();
    let registry = registry.parse()?;
    // client.api_version
    writeln!(out, "version: {:?}", client.ping(&registry)?.api_version)?;

    // client.namespaces()
    let catalog: Namespaces = client.catalog(&registry).collect::<longshore::Result<_>>()?;
    let catalog = catalog.bare_as("library");
    writeln!(out, "namespaces: {}", catalog.names().join(" "))?;
    // client.repositories()
    writeln!(out, "repositories: {}", client.catalog(&registry).count())?;
    // client.repository('myrepo', 'library')
    let repository = client.repository(&format!("{registry}/library/myrepo").parse()?);

    // repository.tags()
    for tag in repository.tags(None) {
        writeln!(out, "tag: {}", tag?)?;
    }
    // manifest, digest = repository.manifest('latest')       here: the digest that deletes it
    let latest: TagOrDigest = Tag::latest().into();
    let manifest = repository.manifest(&latest)?;
    writeln!(out, "manifest: {}", manifest.media_type())?;

    // repository.tag('stable', image_id)                     there: v1 registries alone
    let stable: Tag = "stable".parse()?;
    repository.push_manifest(&manifest, Some(&stable))?;
    writeln!(out, "stable: {}", repository.resolve(&stable.clone().into())?.digest.short())?;
    // repository.untag('stable')                             there: v1 registries alone
    repository.untag(&stable)?;
    writeln!(out, "left: {}", repository.tags(None).count())?;

    // repository.delete_manifest(digest)
    repository.delete_manifest(manifest.digest())?;
    writeln!(out, "left: {}", repository.tags(None).count())?;
    Ok(())
}
