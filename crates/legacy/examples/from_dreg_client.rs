//! Translates the README of dreg-client to longshore, call by call.
//!
//! ```sh
//! cargo run -p longshore-legacy --example from_dreg_client -- localhost:5000
//! ```

use std::io::Write;

use longshore::{Client, Namespaces, Platform, Tag};

type Result<T = ()> = std::result::Result<T, Box<dyn std::error::Error>>;

fn main() -> Result {
    let registry = std::env::args().nth(1).ok_or("expected a registry, such as localhost:5000")?;
    run(&registry, &mut std::io::stdout())
}

/// Runs the README's calls on `testns/testrepo:v1`, an index in the registry.
pub(crate) fn run(registry: &str, out: &mut impl Write) -> Result {
    // registry = Registry.build_with_manual_client("https://registry.example.com/v2/")
    let client = Client::builder().build_blocking();
    let registry = registry.parse()?;

    // namespaces = registry.namespaces()                     theirs: puts bare names in `library`
    let catalog: Namespaces = client.catalog(&registry).collect::<longshore::Result<_>>()?;
    let catalog = catalog.bare_as("library");
    writeln!(out, "namespaces: {}", catalog.names().join(" "))?;
    // repositories = registry.repositories()
    let repositories = client.catalog(&registry).all()?;
    writeln!(out, "repositories: {}", repositories.len())?;
    // ns_repositories = registry.repositories("testns")
    writeln!(out, "in testns: {}", catalog.repositories("testns").len())?;
    // test_repo = registry.repository("testns/testrepo")
    let test_repo = client.repository(&format!("{registry}/testns/testrepo").parse()?);
    writeln!(out, "name: {}", test_repo.name())?;

    // tags = test_repo.tags()
    let tags: Vec<Tag> = test_repo.tags(None).all()?;
    // manifest = test_repo.get_manifest(tags[0])
    let manifest = test_repo.manifest(&tags[0].clone().into())?;
    writeln!(out, "{}: {}", tags[0], manifest.media_type())?;
    // test_repo.check_manifest(tags[0])
    writeln!(out, "short: {}", test_repo.resolve(&tags[0].clone().into())?.digest.short())?;

    // test_image = test_repo.get_image(tags[0]); test_image.platforms
    for image in test_repo.list_images(&manifest)? {
        writeln!(out, "platform: {}", image.platform.ok_or("no platform")?)?;
    }

    // platform_image = test_image.get_platform_image(Platform.from_name("linux/amd64"))
    let platform = Platform::parse("linux/amd64")?;
    let one = test_repo.select_image(manifest.clone(), &platform)?;
    let platform_image = test_repo.image(one)?;
    // platform_image.config.non_empty_history
    for step in platform_image.config().non_empty_history() {
        writeln!(out, "history: {}", step.instruction().unwrap_or_default())?;
    }
    // platform_image.image_size
    writeln!(out, "size: {}", platform_image.size())?;

    // get_blob_response = test_repo.get_blob("sha256:…")     ours: checks the digest
    let layer = platform_image.layers().next().ok_or("no layer")?.descriptor;
    let content = test_repo.blob(layer)?.bytes(1 << 20)?;
    writeln!(out, "blob: {}", content.len() as u64 == layer.size)?;

    // "Automating image tagging and untagging", from the tagline of dreg-client
    let stable: Tag = "stable".parse()?;
    test_repo.add_tags(&tags[0].clone().into(), std::slice::from_ref(&stable))?;
    writeln!(out, "tags: {}", test_repo.tags(None).all()?.len())?;
    test_repo.untag(&stable)?;

    // test_repo.delete_manifest(manifest.digest)
    test_repo.delete_manifest(platform_image.manifest().digest())?;
    // test_repo.delete_blob("sha256:…")
    test_repo.delete_blob(&layer.digest)?;
    writeln!(out, "gone: {:?}", test_repo.blob_size(&layer.digest)?)?;
    Ok(())
}
