//! Copies, pulls, lists and resolves with the crate `oci-client`, as its documentation shows.

use std::error::Error;
use std::path::Path;

use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use oci_client::client::{Client, ClientConfig, ClientProtocol};
use oci_client::secrets::RegistryAuth;
use oci_client::{Reference, RegistryOperation};

type Outcome = Result<(), Box<dyn Error>>;

#[tokio::main]
async fn main() -> Outcome {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let config = ClientConfig { protocol: ClientProtocol::Http, ..ClientConfig::default() };
    let client = Client::new(config);
    match words[..] {
        ["copy", source, target] => copy(&client, &source.parse()?, &target.parse()?).await,
        ["pull", source, folder] => pull(&client, &source.parse()?, Path::new(folder)).await,
        ["ls", repository] => ls(&client, &repository.parse()?).await,
        ["digest", reference] => {
            let digest =
                client.fetch_manifest_digest(&reference.parse()?, &RegistryAuth::Anonymous).await?;
            println!("{digest}");
            Ok(())
        }
        _ => {
            Err("usage: copy SOURCE TARGET | pull SOURCE FOLDER | ls REPOSITORY | digest REFERENCE"
                .into())
        }
    }
}

/// Copies an image through memory. The crate has no copy operation, so all layers are pulled and
/// then pushed.
async fn copy(client: &Client, source: &Reference, target: &Reference) -> Outcome {
    let accepted = vec!["application/vnd.oci.image.layer.v1.tar"];
    let image = client.pull(source, &RegistryAuth::Anonymous, accepted).await?;
    let (layers, config) = (image.layers, image.config);
    client.push(target, &layers, config, &RegistryAuth::Anonymous, None).await?;
    Ok(())
}

/// Writes the config and each layer to a separate file, up to six in parallel.
async fn pull(client: &Client, source: &Reference, folder: &Path) -> Outcome {
    tokio::fs::create_dir_all(folder).await?;
    client.auth(source, &RegistryAuth::Anonymous, RegistryOperation::Pull).await?;
    let (manifest, _) = client.pull_image_manifest(source, &RegistryAuth::Anonymous).await?;
    let blobs = manifest.layers.iter().chain([&manifest.config]);
    stream::iter(blobs)
        .map(|blob| async move {
            let path = folder.join(blob.digest.replace(':', "-"));
            let file = tokio::fs::File::create(path).await?;
            client.pull_blob(source, blob, file).await?;
            Ok::<_, Box<dyn Error>>(())
        })
        .buffer_unordered(6)
        .try_collect::<()>()
        .await
}

async fn ls(client: &Client, repository: &Reference) -> Outcome {
    let mut last: Option<String> = None;
    loop {
        let auth = RegistryAuth::Anonymous;
        let page = client.list_tags(repository, &auth, Some(1000), last.as_deref()).await?;
        for tag in &page.tags {
            println!("{tag}");
        }
        match page.tags.last() {
            Some(tag) => last = Some(tag.clone()),
            None => return Ok(()),
        }
    }
}
