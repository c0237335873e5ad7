//! Builds the demo image from local files.

use std::io::Write as _;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use longshore::{
    ContainerConfig, Descriptor, Digest, Error, ErrorKind, History, ImageConfig, Layout, MediaType,
    Pack, Platform, Result, Tag,
};

/// 256 MiB: larger than the program file and every layer of the demo.
pub(super) const LIMIT: usize = 256 << 20;

/// Packs an index of two images into a new layout, under the tag `v1`. Returns the digest of the
/// index.
pub(super) async fn pack(path: &Path) -> Result<Digest> {
    let layout = Layout::create(path).await?;
    let base = layer("the files of this folder", &here()?)?;
    let program = layer("the longshore program", &[("usr/bin/longshore".into(), program()?)])?;
    let mut images = Vec::new();
    for architecture in ["amd64", "arm64"] {
        let platform = Platform::new("linux", architecture, None);
        let release = format!("PLATFORM={platform}\n");
        let own = layer("the release file", &[("etc/release".into(), release.into())])?;
        let layers = [base.clone(), program.clone(), own];
        let mut packed = Pack::image(&config(platform.clone(), &layers))?;
        for layer in layers {
            packed = packed.layer(layer.descriptor, layer.bytes.into());
        }
        let mut image = packed.push(&layout, None).await?;
        image.platform = Some(platform);
        images.push(image);
    }
    let index = Pack::index(images)
        .annotation("org.opencontainers.image.title", "the longshore demo")
        .push(&layout, Some(&Tag::parse("v1")?))
        .await?;
    Ok(index.digest)
}

#[derive(Clone)]
struct Layer {
    descriptor: Descriptor,
    diff_id: Digest,
    bytes: Bytes,
    made_by: &'static str,
}

/// Makes a gzip layer of these files. Equal files make equal layers.
fn layer(made_by: &'static str, files: &[(PathBuf, Bytes)]) -> Result<Layer> {
    let cannot = |e| Error::new(ErrorKind::Io).at("a layer of the demo").with_source(e);
    let mut tar = tar::Builder::new(Vec::new());
    for (path, content) in files {
        let mut header = tar::Header::new_gnu();
        header.set_size(content.len() as u64);
        header.set_mode(0o755);
        header.set_mtime(0);
        tar.append_data(&mut header, path, &content[..]).map_err(cannot)?;
    }
    let tar = tar.into_inner().map_err(cannot)?;
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::new(3));
    let bytes = gzip.write_all(&tar).and_then(|()| gzip.finish()).map_err(cannot)?;
    let descriptor = Descriptor::from_bytes(MediaType::OCI_LAYER_GZIP, &bytes);
    Ok(Layer { descriptor, diff_id: Digest::sha256(&tar), bytes: bytes.into(), made_by })
}

fn config(platform: Platform, layers: &[Layer]) -> ImageConfig {
    let mut container = ContainerConfig::default();
    container.entrypoint = vec!["/usr/bin/longshore".into()];
    container.cmd = vec!["--help".into()];
    let mut config = ImageConfig::default();
    config.platform = platform;
    config.config = Some(container);
    config.rootfs.kind = "layers".into();
    for layer in layers {
        let mut step = History::default();
        step.created_by = Some(layer.made_by.into());
        config.history.push(step);
        config.rootfs.diff_ids.push(layer.diff_id.clone());
    }
    config
}

/// Reads the executable of this program.
fn program() -> Result<Bytes> {
    let path = std::env::current_exe()
        .map_err(|e| Error::new(ErrorKind::Io).at("this program's file").with_source(e))?;
    longshore::blob_file::read(&path, LIMIT)
}

/// Returns a README, and the small files among the first [`FILES`] entries of the current folder,
/// sorted by name.
fn here() -> Result<Vec<(PathBuf, Bytes)>> {
    let folder = Path::new(".");
    let mut files = vec![("usr/share/doc/longshore/README".into(), README.into())];
    let mut entries: Vec<PathBuf> = std::fs::read_dir(folder)
        .map_err(|e| Error::io(folder, e))?
        .filter_map(|entry| entry.ok().map(|entry| entry.path()))
        .collect();
    entries.sort();
    for path in entries.into_iter().take(FILES) {
        // The demo skips unreadable and large files.
        if let (Some(name), Ok(content)) =
            (path.file_name(), longshore::blob_file::read(&path, FILE_LIMIT))
        {
            files.push((Path::new("srv/files").join(name), content));
        }
    }
    Ok(files)
}

const README: &str = "An image of local files, made by `longshore demo`.\n";
/// 64 entries of a folder are enough for a demo.
const FILES: usize = 64;
/// 1 MiB for each file.
const FILE_LIMIT: usize = 1 << 20;
