//! Tests with containerd, controlled through its client `ctr`.

use std::path::Path;

use longshore_testkit::peer::{Containerd, Finished};
use longshore_testkit::tls::Authority;

use super::archive::Format;
use super::site::Site;
use super::{Engine, keeps_what_it_saved, pulls_and_pushes};

impl Engine for Containerd {
    fn pull(&self, site: &Site, reference: &str) -> Finished {
        self.ctr(admitted(site, &["pull", SNAPSHOTTER], reference))
    }

    fn push(&self, site: &Site, reference: &str) -> Finished {
        self.ctr(admitted(site, &["push"], reference))
    }

    fn name(&self, image: &str, name: &str) {
        self.ctr(["images", "tag", image, name]).succeeded();
    }

    fn remove(&self, names: &[&str]) {
        self.ctr([&["images", "rm", "--sync"], names].concat()).succeeded();
    }

    fn id(&self, name: &str) -> String {
        let listed = self.ctr(["images", "ls", &format!("name=={name}")]);
        let manifest =
            listed.succeeded().split_whitespace().find(|word| word.starts_with("sha256:"));
        let manifest = self.ctr(["content", "get", manifest.unwrap()]);
        let manifest: serde_json::Value = serde_json::from_str(manifest.succeeded()).unwrap();
        manifest["config"]["digest"].as_str().unwrap().to_owned()
    }

    /// containerd writes both formats into one archive.
    fn save(&self, _: Format, names: &[&str], archive: &Path) {
        self.ctr([&["images", "export", archive.to_str().unwrap()], names].concat()).succeeded();
    }

    fn load(&self, archive: &Path) -> Vec<String> {
        let archive = archive.to_str().unwrap();
        let imported = self.ctr([
            "images",
            "import",
            SNAPSHOTTER,
            "--base-name=new",
            "--digests=false",
            archive,
        ]);
        let names = imported.succeeded().lines().filter_map(|l| l.strip_prefix("unpacking "));
        names.map(|line| line.split(' ').next().unwrap().to_owned()).collect()
    }
}

/// Returns the command with the options that the registry requires.
fn admitted(site: &Site, command: &[&str], reference: &str) -> Vec<String> {
    let mut words = vec!["images".to_owned()];
    words.extend(command.iter().map(|&word| word.to_owned()));
    match &site.certificates {
        Some(folder) => words.push(format!("--hosts-dir={}", folder.display())),
        None => words.push("--plain-http".to_owned()),
    }
    words.extend(site.user.map(|(name, password)| format!("--user={name}:{password}")));
    words.push(reference.to_owned());
    words
}

/// This snapshotter copies files, so it requires no overlay file system.
const SNAPSHOTTER: &str = "--snapshotter=native";

#[test]
fn containerd_pulls_from_and_pushes_to_our_registry() {
    pulls_and_pushes(&Containerd::start(), &Site::open());
}

#[test]
fn containerd_imports_an_archive_that_longshore_copied() {
    let engine = Containerd::start();
    for format in [Format::Docker, Format::Oci] {
        for images in [&["one:v1"][..], &["one:v1", "two:v2"]] {
            keeps_what_it_saved(&engine, format, images);
        }
    }
}

#[test]
fn containerd_authenticates_with_a_password() {
    let (engine, site) = (Containerd::start(), Site::with_users());
    let app = site.reference("team/app:v1");
    let refused = engine.ctr(["images", "pull", "--plain-http", &app]);
    assert!(refused.stderr.contains("401"), "{refused}");
    pulls_and_pushes(&engine, &site);
}

#[test]
fn containerd_trusts_the_ca_in_certs_d() {
    let (engine, site) = (Containerd::start(), Site::with_tls("127.0.0.1"));
    // containerd uses plain HTTP on loopback unless this file configures HTTPS.
    let (registry, authority) = (format!("https://{}", site.name), site.authority());
    let hosts =
        format!("server = '{registry}'\n[host.'{registry}']\nca = '{}'\n", authority.display());
    std::fs::write(authority.with_file_name("hosts.toml"), hosts).unwrap();
    let right = std::fs::read(site.authority()).unwrap();
    std::fs::write(site.authority(), Authority::new().certificate()).unwrap();
    let refused = engine.pull(&site, &site.reference("team/app:v1"));
    assert!(refused.stderr.contains("unknown authority"), "{refused}");
    std::fs::write(site.authority(), right).unwrap();
    pulls_and_pushes(&engine, &site);
}
