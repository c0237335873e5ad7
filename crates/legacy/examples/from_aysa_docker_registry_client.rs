//! Translates the README of aysa's docker-registry-client to longshore, call by call.
//!
//! ```sh
//! cargo run -p longshore-legacy --example from_aysa_docker_registry_client -- localhost:5000
//! ```

use std::io::Write;
use std::num::NonZeroUsize;

use longshore::{
    Client, Filter, Index, MemoryCredentials, RegistryName, Repository, RepositoryName, Secret,
    Tag, TagOrDigest, blocking,
};

type Result<T = ()> = std::result::Result<T, Box<dyn std::error::Error>>;

fn main() -> Result {
    let registry = std::env::args().nth(1).ok_or("expected a registry, such as localhost:5000")?;
    run(&registry, &mut std::io::stdout())
}

/// Runs the README's calls on `project/image:dev`, an index in the registry.
pub(crate) fn run(registry: &str, out: &mut impl Write) -> Result {
    // api = Api('localhost:5000', username='guest', password='guest')
    let registry: RegistryName = registry.parse()?;
    let guest = MemoryCredentials::new().with(registry.clone(), "guest", Secret::new("guest"));
    // catalog(items=2): the page size
    let items = NonZeroUsize::new(2).ok_or("zero")?;
    let api = Client::builder().credentials(guest).page_size(items).build_blocking();
    // api.ping()
    writeln!(out, "ping: {}", api.ping(&registry).is_ok())?;

    // for x in api.catalog():
    //     for y in api.tags(x):
    //         print(Image('{}:{}'.format(x, y)))
    for name in api.catalog(&registry) {
        list_tags(&api, &registry, name?, out)?;
    }
    // for x in api.catalog('^project'):                      theirs: matches from the start
    let project = Filter::at_start("project")?;
    let names = api.catalog(&registry).all()?;
    let names = names.iter().filter(|name| project.matches(name.as_str()));
    writeln!(out, "in project: {}", names.count())?;

    let image = api.repository(&format!("{registry}/project/image").parse()?);
    let dev: TagOrDigest = "dev".parse::<Tag>()?.into();
    // api.digest('project/image', 'dev')
    let descriptor = image.resolve(&dev)?;
    writeln!(out, "digest: {}", descriptor.digest.short())?;
    // api.manifest('project/image', 'dev', True)             the index
    let manifest = image.manifest(&dev)?;
    // api.manifest('project/image', 'dev')                   one image of the index
    let index: Index = serde_json::from_slice(manifest.bytes())?;
    let one = image.manifest(&index.manifests[0].digest.clone().into())?;
    writeln!(out, "images: {}, the first: {}", index.manifests.len(), one.media_type())?;

    // api.put_tag('project/image', 'dev', 'stable')          theirs: TypeError
    let stable: Tag = "stable".parse()?;
    image.add_tags(&dev, std::slice::from_ref(&stable))?;
    writeln!(out, "stable is dev: {}", image.resolve(&stable.clone().into())? == descriptor)?;
    // api.delete_tag('project/image', 'stable')              theirs: also deletes dev
    image.untag(&stable)?;
    writeln!(out, "tags: {}", image.tags(None).all()?.len())?;

    // api.put_manifest('project/image', 'dev', manifest)     ours: sends the exact bytes
    image.push_manifest(&manifest, Some(&"dev".parse()?))?;
    // api.delete_manifest('project/image', 'sha256:…')
    image.delete_manifest(manifest.digest())?;
    writeln!(out, "left: {}", image.tags(None).all()?.len())?;
    Ok(())
}

fn list_tags(
    api: &blocking::Client,
    registry: &RegistryName,
    name: RepositoryName,
    out: &mut impl Write,
) -> Result {
    let repository = Repository::new(registry.clone(), name);
    for tag in api.repository(&repository).tags(None) {
        writeln!(out, "{}:{}", repository.name(), tag?)?;
    }
    Ok(())
}
