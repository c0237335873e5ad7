//! Reads archives without longshore's readers of archives.

use std::collections::{BTreeSet, HashMap};
use std::fs::File;
use std::io::Read as _;
use std::path::{Component, Path, PathBuf};

use longshore::Digest;
use longshore_testkit::fixture::Content;
use serde_json::Value;

/// The format of an archive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Format {
    /// The format of `docker save`.
    Docker,
    /// A tar of an OCI layout.
    Oci,
}

impl Format {
    pub(super) fn scheme(self) -> &'static str {
        match self {
            Self::Docker => "docker-archive",
            Self::Oci => "oci-archive",
        }
    }
}

/// The parts of an image that every copy must keep.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Stored {
    /// The digest of the config.
    pub(super) id: String,
    /// The digest of each layer's tar, computed from its bytes.
    layers: Vec<String>,
}

impl Stored {
    /// Returns the expected parts of a fixture.
    pub(super) fn of(image: &Content) -> Self {
        let (config, layers) = image.blobs.split_first().unwrap();
        let layers = layers.iter().map(|(_, layer)| digest(&unpacked(layer)));
        Self { id: config.0.digest.to_string(), layers: layers.collect() }
    }
}

/// Returns the images of an archive.
pub(super) fn stored(archive: &Path, format: Format) -> BTreeSet<Stored> {
    let members = Members::read(archive);
    match format {
        Format::Docker => members.docker(),
        Format::Oci => members.oci(),
    }
}

/// The files and links in a tar.
struct Members {
    files: HashMap<PathBuf, Vec<u8>>,
    links: HashMap<PathBuf, PathBuf>,
}

impl Members {
    fn read(archive: &Path) -> Self {
        let (mut files, mut links) = (HashMap::new(), HashMap::new());
        let mut tar = tar::Archive::new(File::open(archive).unwrap());
        for entry in tar.entries().unwrap() {
            let mut entry = entry.unwrap();
            let path = entry.path().unwrap().into_owned();
            if let Some(target) = entry.link_name().unwrap() {
                links.insert(path.clone(), within(path.parent().unwrap(), &target));
            } else {
                let mut content = Vec::new();
                entry.read_to_end(&mut content).unwrap();
                files.insert(path, content);
            }
        }
        Self { files, links }
    }

    fn file(&self, path: impl AsRef<Path>) -> &[u8] {
        let path = path.as_ref();
        let path = self.links.get(path).map_or(path, PathBuf::as_path);
        self.files.get(path).unwrap_or_else(|| panic!("no {} in the archive", path.display()))
    }

    fn json(&self, path: impl AsRef<Path>) -> Value {
        serde_json::from_slice(self.file(path)).unwrap()
    }

    fn docker(&self) -> BTreeSet<Stored> {
        let list = self.json("manifest.json");
        let image = |entry: &Value| {
            let layers = entry["Layers"].as_array().unwrap().iter();
            self.image(text(&entry["Config"]), layers.map(|layer| text(layer).to_owned()))
        };
        list.as_array().unwrap().iter().map(image).collect()
    }

    fn oci(&self) -> BTreeSet<Stored> {
        let index = self.json("index.json");
        let image = |entry: &Value| {
            let manifest = self.json(blob(entry));
            let layers = manifest["layers"].as_array().unwrap().iter().map(blob);
            self.image(&blob(&manifest["config"]), layers)
        };
        index["manifests"].as_array().unwrap().iter().map(image).collect()
    }

    fn image(&self, config: &str, layers: impl Iterator<Item = String>) -> Stored {
        let layers = layers.map(|layer| digest(&unpacked(self.file(layer))));
        Stored { id: digest(self.file(config)), layers: layers.collect() }
    }
}

/// Returns the path of a descriptor's blob in a layout.
fn blob(descriptor: &Value) -> String {
    format!("blobs/{}", text(&descriptor["digest"]).replace(':', "/"))
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap()
}

/// Returns the path of a link's target within the archive.
fn within(folder: &Path, target: &Path) -> PathBuf {
    let mut path = folder.to_owned();
    for component in target.components() {
        match component {
            Component::ParentDir => drop(path.pop()),
            component => path.push(component),
        }
    }
    path
}

fn unpacked(layer: &[u8]) -> Vec<u8> {
    let mut tar = Vec::new();
    match layer {
        [0x1f, 0x8b, ..] => flate2::read::GzDecoder::new(layer).read_to_end(&mut tar).unwrap(),
        plain => (&mut &*plain).read_to_end(&mut tar).unwrap(),
    };
    tar
}

fn digest(bytes: &[u8]) -> String {
    Digest::sha256(bytes).to_string()
}
