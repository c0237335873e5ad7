//! Translates the README of docker-registry-client-async to longshore, call by call.
//!
//! ```sh
//! cargo run -p longshore-legacy --example from_docker_registry_client_async -- localhost:5000
//! ```

use std::io::Write;

use longshore::{
    CONFIG_LIMIT, Client, Defaults, DockerConfig, ImageConfig, Manifest, RawManifest,
    RemoteRepository, Source as _, Tag, Target as _, untag,
};

type Result<T = ()> = std::result::Result<T, Box<dyn std::error::Error>>;

#[tokio::main]
async fn main() -> Result {
    let registry = std::env::args().nth(1).ok_or("expected a registry, such as localhost:5000")?;
    run(&registry, &mut std::io::stdout()).await
}

/// Runs the README's calls on `library/busybox:1.30.1` in the registry.
pub(crate) async fn run(registry: &str, out: &mut (impl Write + Send)) -> Result {
    // DRCA_DEFAULT_REGISTRY, DRCA_DEFAULT_NAMESPACE, DRCA_DEFAULT_TAG
    let mut defaults = Defaults::docker();
    defaults.registry = registry.parse()?;
    // image_name = ImageName.parse("busybox:1.30.1")
    let image_name = defaults.tagged(defaults.parse("busybox:1.30.1")?);
    let reference = image_name.selector().clone();
    writeln!(out, "image: {}", image_name.repository().name())?;

    // drca = DockerRegistryClientAsync()                     DRCA_CREDENTIALS_STORE
    let client = Client::builder().credentials(DockerConfig::load()?).build();
    let repository = client.repository(image_name.repository());

    // manifest = (await drca.get_manifest(image_name)).manifest
    let manifest = repository.manifest(&reference).await?;
    writeln!(out, "manifest: {}", manifest.media_type())?;

    // config = await get_config(drca, image_name, manifest)
    let config = get_config(&repository, &manifest).await?;
    writeln!(out, "config: {} {:?}", config.platform, config.config.unwrap_or_default().cmd)?;

    // (await drca.head_manifest(image_name)).digest == manifest.get_digest()
    let head = repository.resolve(&reference).await?;
    writeln!(out, "the same: {}", head.digest == *manifest.digest())?;

    // await drca.put_manifest(image_name.set_tag("copy"), manifest)
    let copy: Tag = "copy".parse()?;
    repository.push_manifest(&manifest, Some(&copy)).await?;

    // (await drca.get_tag_list(image_name)).tags             ours: all pages
    for tag in repository.tags(None).all().await? {
        writeln!(out, "tag: {tag}")?;
    }

    // await drca.delete_manifest(image_name)                 theirs: also deletes 1.30.1
    untag(&repository, &copy).await?;

    // (await drca.get_catalog(image_name)).catalog["repositories"]
    let catalog = client.catalog(image_name.registry()).all().await?;
    writeln!(out, "repositories: {}", catalog.len())?;
    Ok(())
}

/// ```python
/// config_digest = FormattedSHA256.parse(manifest.get_json()["config"]["digest"])
/// return json.loads((await drca.get_blob(image_name, config_digest)).blob)
/// ```
async fn get_config(repository: &RemoteRepository, manifest: &RawManifest) -> Result<ImageConfig> {
    let Manifest::Image(image) = manifest.parse()? else {
        return Err("expected the manifest of one image".into());
    };
    let json = repository.blob(&image.config).await?.bytes(CONFIG_LIMIT).await?;
    Ok(serde_json::from_slice(&json)?)
}
