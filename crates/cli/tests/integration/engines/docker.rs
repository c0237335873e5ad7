//! Tests with Docker Engine.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Stdio;

use longshore_testkit::peer::{Docker, Finished};
use longshore_testkit::proxy::Proxy;

use super::archive::{Format, stored};
use super::site::{Packed, Site};
use super::{Engine, keeps_what_it_saved, pulls_and_pushes};

impl Engine for Docker {
    fn pull(&self, _: &Site, reference: &str) -> Finished {
        self.docker(["pull", "--quiet", reference])
    }

    fn push(&self, _: &Site, reference: &str) -> Finished {
        self.docker(["push", "--quiet", reference])
    }

    fn name(&self, image: &str, name: &str) {
        self.docker(["tag", image, name]).succeeded();
    }

    fn remove(&self, names: &[&str]) {
        self.docker([&["rmi"], names].concat()).succeeded();
    }

    fn id(&self, name: &str) -> String {
        let inspected = self.docker(["image", "inspect", "--format={{.Id}}", name]);
        inspected.succeeded().to_owned()
    }

    fn save(&self, _: Format, names: &[&str], archive: &Path) {
        let archive = archive.to_str().unwrap();
        self.docker([&["save", "--output", archive], names].concat()).succeeded();
    }

    fn load(&self, archive: &Path) -> Vec<String> {
        let loaded = self.docker(["load", "--input", archive.to_str().unwrap()]);
        let names = loaded.succeeded().lines().filter_map(|l| l.strip_prefix("Loaded image: "));
        names.map(str::to_owned).collect()
    }
}

#[test]
fn dockerd_pulls_from_and_pushes_to_our_registry() {
    pulls_and_pushes(&Docker::start(), &Site::open());
}

#[test]
fn dockerd_loads_an_archive_that_longshore_copied() {
    let engine = Docker::start();
    for images in [&["one:v1"][..], &["one:v1", "two:v2"]] {
        keeps_what_it_saved(&engine, Format::Docker, images);
    }
}

#[test]
fn archives_of_dockerd_are_piped_to_a_registry_and_back() {
    let (engine, site) = (Docker::start(), Site::open());
    let packed = Packed::new(&site.program, 1);
    let (app, new) = (site.reference("app:v1"), site.reference("new:v2"));
    site.ok(&format!("push -q {} {app}", packed.location));
    engine.pull(&site, &app).succeeded();

    let mut save = engine.command().args(["save", &app]).stdout(Stdio::piped()).spawn().unwrap();
    let mut push = site.program.command();
    push.args(["push", "-q", "docker-archive:-", &new]).stdin(save.stdout.take().unwrap());
    assert!(push.status().unwrap().success());
    assert!(save.wait().unwrap().success());
    let pushed = site.program.path("pushed.tar");
    site.ok(&format!("pull -q {new} docker-archive:{}", pushed.display()));
    assert_eq!(stored(&pushed, Format::Docker), BTreeSet::from([packed.stored.clone()]));

    engine.remove(&[&app]);
    let mut pull = site.program.command();
    pull.args(["pull", "-q", &new, "docker-archive:-"]).stdout(Stdio::piped());
    let mut pull = pull.spawn().unwrap();
    let mut load = engine.command();
    load.arg("load").stdin(pull.stdout.take().unwrap()).stdout(Stdio::null());
    assert!(load.status().unwrap().success());
    assert!(pull.wait().unwrap().success());
    assert_eq!(Engine::id(&engine, &new), packed.stored.id);
}

#[test]
fn dockerd_and_longshore_use_the_password_of_docker_login() {
    let (engine, site) = (Docker::start(), Site::with_users());
    let (name, password) = site.user.unwrap();
    let app = site.reference("team/app:v1");
    let refused = engine.pull(&site, &app);
    assert!(refused.stderr.contains("no basic auth credentials"), "{refused}");
    let registry = &site.name;
    engine.docker(["login", "--username", name, "--password", password, registry]).succeeded();
    pulls_and_pushes(&engine, &site);
    let stored = format!("--config {}", engine.credentials().display());
    std::fs::remove_dir_all(site.program.path(".docker")).unwrap();
    site.program.fails(4, &format!("digest {app}"));
    site.program.ok(&format!("digest {app} {stored}"));
}

#[test]
fn dockerd_trusts_the_ca_in_certs_d() {
    let site = Site::with_tls("registry.test");
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let proxy = runtime.block_on(Proxy::http(None)).route(&site.name, site.address());
    let engine = Docker::behind(proxy.address());
    let refused = engine.pull(&site, &site.reference("team/app:v1"));
    assert!(refused.stderr.contains("unknown authority"), "{refused}");
    engine.trust(&site.name, &site.authority());
    pulls_and_pushes(&engine, &site);
}
