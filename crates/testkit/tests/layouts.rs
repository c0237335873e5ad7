//! Other programs read the layouts that longshore writes, and longshore reads the layouts that they
//! write.

#![allow(clippy::unwrap_used, reason = "tests fail by panicking")]

use std::fs;
use std::path::Path;

use longshore_core::{Layout, Platform, Tag};
use longshore_testkit::fixture::{Image, Layer, real_image, real_tree, tree_tar};
use longshore_testkit::peer::{DockerRegistry, skopeo, umoci};

fn v1() -> Tag {
    Tag::parse("v1").unwrap()
}

#[tokio::test]
async fn skopeo_copies_a_real_image_to_docker_registry_and_back_unchanged() {
    let image = real_image();
    let folder = tempfile::tempdir().unwrap();
    let (ours, theirs) = (folder.path().join("ours"), folder.path().join("theirs"));
    let layout = Layout::create(&ours).await.unwrap();
    image.push(&layout, Some(&v1())).await;

    let registry = DockerRegistry::start();
    let remote = format!("docker://{}/real/image:v1", registry.address());
    let local = |path: &Path| format!("oci:{}:v1", path.display());
    let copy = ["copy", "--all", "--preserve-digests"];
    let there = ["--dest-tls-verify=false", &local(&ours), &remote];
    skopeo([copy, there].concat()).succeeded();
    let back = ["--src-tls-verify=false", &remote, &local(&theirs)];
    skopeo([copy, back].concat()).succeeded();

    let returned = Layout::open(&theirs).await.unwrap();
    image.assert_in(&returned, &v1().into()).await;
}

#[tokio::test]
async fn umoci_unpacks_a_real_tree_from_a_layout_of_longshore() {
    let folder = tempfile::tempdir().unwrap();
    let tree = folder.path().join("tree");
    fs::create_dir(&tree).unwrap();
    real_tree(&tree).unwrap();
    let tar = tree_tar(&tree, Path::new("srv")).unwrap();
    let image = Image::new(Platform::local()).layer(Layer::gzip(&tar)).build();
    let layout = folder.path().join("layout");
    let store = Layout::create(&layout).await.unwrap();
    image.push(&store, Some(&v1())).await;

    let bundle = folder.path().join("bundle");
    let named = format!("{}:v1", layout.display());
    let arguments = ["unpack", "--rootless", "--image", &named];
    let arguments = arguments.map(std::ffi::OsStr::new).into_iter();
    umoci(arguments.chain([bundle.as_os_str()])).succeeded();
    let unpacked = bundle.join("rootfs/srv");
    assert_eq!(listing(&unpacked), listing(&tree));
}

/// Returns every path below a folder, with the content of a file or the target of a link.
fn listing(folder: &Path) -> Vec<(String, Vec<u8>)> {
    let mut found = Vec::new();
    let mut open = vec![folder.to_owned()];
    while let Some(path) = open.pop() {
        let metadata = fs::symlink_metadata(&path).unwrap();
        let below = path.strip_prefix(folder).unwrap().display().to_string();
        let content = if metadata.is_symlink() {
            fs::read_link(&path).unwrap().into_os_string().into_encoded_bytes()
        } else if metadata.is_file() {
            fs::read(&path).unwrap()
        } else {
            let entries = fs::read_dir(&path).unwrap();
            open.extend(entries.map(|entry| entry.unwrap().path()));
            Vec::new()
        };
        found.push((below, content));
    }
    found.sort();
    found
}
