//! Tests with Podman.

use std::path::Path;

use longshore_testkit::peer::{Finished, Podman};
use longshore_testkit::tls::Authority;

use super::archive::Format;
use super::site::Site;
use super::{Engine, keeps_what_it_saved, pulls_and_pushes};

impl Engine for Podman {
    fn pull(&self, site: &Site, reference: &str) -> Finished {
        self.podman(admitted(site, "pull", reference))
    }

    fn push(&self, site: &Site, reference: &str) -> Finished {
        self.podman(admitted(site, "push", reference))
    }

    fn name(&self, image: &str, name: &str) {
        self.podman(["tag", image, name]).succeeded();
    }

    fn remove(&self, names: &[&str]) {
        self.podman([&["rmi"], names].concat()).succeeded();
    }

    fn id(&self, name: &str) -> String {
        let inspected = self.podman(["image", "inspect", "--format={{.Id}}", name]);
        format!("sha256:{}", inspected.succeeded())
    }

    fn save(&self, format: Format, names: &[&str], archive: &Path) {
        let several = format!("--multi-image-archive={}", names.len() > 1);
        let to = ["save", "--quiet", &several, "--format", format.scheme(), "--output"];
        self.podman([&to[..], &[archive.to_str().unwrap()], names].concat()).succeeded();
    }

    fn load(&self, archive: &Path) -> Vec<String> {
        let loaded = self.podman(["load", "--quiet", "--input", archive.to_str().unwrap()]);
        let names = loaded.succeeded().lines().filter_map(|l| l.strip_prefix("Loaded image: "));
        names.map(str::to_owned).collect()
    }
}

/// Returns the command with the options that the registry requires.
fn admitted(site: &Site, command: &str, reference: &str) -> Vec<String> {
    let mut words = vec![command.to_owned(), "--quiet".to_owned()];
    match &site.certificates {
        Some(folder) => {
            words.push(format!("--cert-dir={}", folder.join(&site.name).display()));
        }
        None => words.push("--tls-verify=false".to_owned()),
    }
    if site.user.is_some() {
        words.push(format!("--authfile={}", credentials(site)));
    }
    words.push(reference.to_owned());
    words
}

/// Returns the path of the file where `podman login` stores credentials.
fn credentials(site: &Site) -> String {
    site.program.path("auth.json").display().to_string()
}

#[test]
fn podman_pulls_from_and_pushes_to_our_registry() {
    pulls_and_pushes(&Podman::new(), &Site::open());
}

#[test]
fn podman_loads_an_archive_that_longshore_copied() {
    let engine = Podman::new();
    for (format, images) in [
        (Format::Docker, &["one:v1"][..]),
        (Format::Docker, &["one:v1", "two:v2"]),
        // podman saves only one image per OCI archive.
        (Format::Oci, &["one:v1"]),
    ] {
        keeps_what_it_saved(&engine, format, images);
    }
}

#[test]
fn podman_and_longshore_use_the_password_of_podman_login() {
    let (engine, site) = (Podman::new(), Site::with_users());
    let (name, password) = site.user.unwrap();
    let app = site.reference("team/app:v1");
    let login = |password| {
        let authfile = format!("--authfile={}", credentials(&site));
        let registry = site.name.as_str();
        let words =
            ["login", "--tls-verify=false", &authfile, "-u", name, "-p", password, registry];
        engine.podman(words)
    };
    let refused = login("wrong");
    assert!(refused.stderr.contains("invalid username/password"), "{refused}");
    login(password).succeeded();
    pulls_and_pushes(&engine, &site);
    std::fs::remove_dir_all(site.program.path(".docker")).unwrap();
    site.program.fails(4, &format!("digest {app}"));
    site.program.ok(&format!("digest {app} --auth-file {}", credentials(&site)));
}

#[test]
fn podman_trusts_the_ca_in_certs_d() {
    let (engine, site) = (Podman::new(), Site::with_tls("127.0.0.1"));
    let right = std::fs::read(site.authority()).unwrap();
    std::fs::write(site.authority(), Authority::new().certificate()).unwrap();
    let refused = engine.pull(&site, &site.reference("team/app:v1"));
    assert!(refused.stderr.contains("unknown authority"), "{refused}");
    std::fs::write(site.authority(), right).unwrap();
    pulls_and_pushes(&engine, &site);
}
