//! The images of the benchmark: random bytes, which cannot be compressed.

use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use super::Result;
use super::measure::succeed;
use super::server::Server;
use crate::failure::Failure;

/// Creates the folder for all files of the benchmark.
pub(super) fn scratch() -> Result<PathBuf> {
    let folder = std::env::temp_dir().join(format!("longshore-bench-{}.d", std::process::id()));
    std::fs::create_dir_all(&folder).map_err(|e| Failure::io(&folder, &e))?;
    Ok(folder)
}

/// Pushes `big:v1`: eight layers of 128 MiB.
pub(super) fn big(longshore: &Path, folder: &Path, server: &Server) -> Result<()> {
    image(longshore, folder, &format!("{}/big:v1", server.address()), 8, 128 << 20)
}

/// Pushes `NAME:t000`, `NAME:t001` …: three layers of 20 KiB each.
pub(super) fn small(
    longshore: &Path,
    folder: &Path,
    server: &Server,
    name: &str,
    tags: usize,
) -> Result<()> {
    for n in 0..tags {
        let reference = format!("{}/{name}:t{n:03}", server.address());
        image(longshore, folder, &reference, 3, 20 << 10)?;
    }
    Ok(())
}

/// Pushes `many:v1` and 20,000 more tags of the same image.
pub(super) fn many_tags(longshore: &Path, server: &Server) -> Result<()> {
    let longshore = longshore.display().to_string();
    let first = format!("{}/many:v1", server.address());
    succeed(&longshore, &["copy", "-q", &format!("{}/small:t000", server.address()), &first])?;
    let tags: Vec<String> = (0..20_000).map(|n| format!("v1.0.{n}")).collect();
    let mut arguments = vec!["tag", &first];
    arguments.extend(tags.iter().map(String::as_str));
    succeed(&longshore, &arguments).map(drop)
}

/// Pushes an image of random layers, with the program under test.
fn image(longshore: &Path, folder: &Path, reference: &str, layers: usize, size: u64) -> Result<()> {
    let longshore = longshore.display().to_string();
    let repository = reference.rsplit_once(':').map_or(reference, |(repository, _)| repository);
    let put = |path: &Path| {
        let path = path.display().to_string();
        succeed(&longshore, &["blob", "put", repository, &path]).map(|out| out.trim().to_owned())
    };
    let file = folder.join("blob");
    let config =
        r#"{"architecture":"amd64","os":"linux","rootfs":{"type":"layers","diff_ids":[]}}"#;
    write(&file, config.as_bytes())?;
    let mut manifest = format!(
        r#"{{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","config":{},"layers":["#,
        descriptor("application/vnd.oci.image.config.v1+json", &put(&file)?, config.len() as u64),
    );
    for n in 0..layers {
        random(&file, size)?;
        manifest.push_str(if n == 0 { "" } else { "," });
        manifest.push_str(&descriptor(
            "application/vnd.oci.image.layer.v1.tar",
            &put(&file)?,
            size,
        ));
    }
    manifest.push_str("]}");
    write(&file, manifest.as_bytes())?;
    let path = file.display().to_string();
    succeed(&longshore, &["manifest", "put", reference, &path]).map(drop)
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
