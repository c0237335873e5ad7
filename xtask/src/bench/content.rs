//! The images of the benchmark: random bytes, which cannot be compressed.

use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use super::Result;
use super::measure::succeed;
use super::server::Server;
use super::task::{Content, Tags};
use crate::failure::Failure;

/// Creates the folder for all files of the benchmark.
pub(super) fn scratch() -> Result<PathBuf> {
    let folder = std::env::temp_dir().join(format!("longshore-bench-{}.d", std::process::id()));
    std::fs::create_dir_all(&folder).map_err(|e| Failure::io(&folder, &e))?;
    Ok(folder)
}

/// Pushes all images of a repository with longshore, and returns the digests of the layers of the
/// last image.
///
/// Several images have the tags `t000`, `t001` …; one image has `v1`, and `v1.0.0`, `v1.0.1` … if
/// there are further tags.
pub(super) fn create(
    content: &Content,
    longshore: &Path,
    folder: &Path,
    server: &Server,
) -> Result<Vec<String>> {
    let repository = format!("{}/{}", server.address(), content.repository);
    let image = |tag: &str| image(content, longshore, folder, &repository, tag);
    match content.tags {
        Tags::One => image("v1"),
        Tags::Images(count) => {
            let mut layers = Vec::new();
            for n in 0..count {
                layers = image(&format!("t{n:03}"))?;
            }
            Ok(layers)
        }
        Tags::OfOneImage(count) => {
            let layers = image("v1")?;
            let mut arguments = vec!["tag".to_owned(), format!("{repository}:v1")];
            arguments.extend((0..count).map(|n| format!("v1.0.{n}")));
            let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
            succeed(&longshore.display().to_string(), &arguments)?;
            Ok(layers)
        }
    }
}

/// Pushes an image of random layers, and returns their digests.
fn image(
    content: &Content,
    longshore: &Path,
    folder: &Path,
    repository: &str,
    tag: &str,
) -> Result<Vec<String>> {
    let longshore = longshore.display().to_string();
    let put = |path: &Path| {
        let path = path.display().to_string();
        succeed(&longshore, &["blob", "put", repository, &path]).map(|out| out.trim().to_owned())
    };
    let file = folder.join("blob");
    write(&file, CONFIG.as_bytes())?;
    let config =
        descriptor("application/vnd.oci.image.config.v1+json", &put(&file)?, CONFIG.len() as u64);
    let mut layers = Vec::new();
    for _ in 0..content.layers {
        random(&file, content.layer_size)?;
        layers.push(put(&file)?);
    }
    let descriptors: Vec<String> = layers
        .iter()
        .map(|digest| {
            descriptor("application/vnd.oci.image.layer.v1.tar", digest, content.layer_size)
        })
        .collect();
    let manifest = format!(
        r#"{{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","config":{config},"layers":[{}]}}"#,
        descriptors.join(",")
    );
    write(&file, manifest.as_bytes())?;
    let path = file.display().to_string();
    succeed(&longshore, &["manifest", "put", &format!("{repository}:{tag}"), &path])?;
    std::fs::remove_file(&file).ok();
    Ok(layers)
}

fn descriptor(media_type: &str, digest: &str, size: u64) -> String {
    format!(r#"{{"mediaType":"{media_type}","digest":"{digest}","size":{size}}}"#)
}

fn write(path: &Path, content: &[u8]) -> Result<()> {
    std::fs::write(path, content).map_err(|e| Failure::io(path, &e))
}

fn random(path: &Path, size: u64) -> Result<()> {
    let source = Path::new("/dev/urandom");
    let mut random = File::open(source).map_err(|e| Failure::io(source, &e))?.take(size);
    let mut file = File::create(path).map_err(|e| Failure::io(path, &e))?;
    std::io::copy(&mut random, &mut file).map_err(|e| Failure::io(path, &e))?;
    Ok(())
}

const CONFIG: &str =
    r#"{"architecture":"amd64","os":"linux","rootfs":{"type":"layers","diff_ids":[]}}"#;
