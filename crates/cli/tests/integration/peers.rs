//! Tests of interoperability with Docker's registry, skopeo and umoci.

use std::path::Path;

use longshore::{Layout, Tag};
use longshore_testkit::fixture;
use longshore_testkit::peer::{self, Authority, DockerRegistry};

use crate::program::{Program, Server};

/// Packs a real image of several platforms into a layout, and returns its location and digest.
fn real(program: &Program) -> (String, String) {
    let content = fixture::real_image();
    let path = program.path("packed");
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
        let layout = Layout::create(&path).await.unwrap();
        content.push(&layout, Some(&Tag::parse("v1").unwrap())).await;
    });
    (format!("oci:{}:v1", path.display()), content.root.digest().to_string())
}

/// Packs a small image with gzip layers only, because skopeo writes only gzip layers to a
/// docker-archive.
fn small(program: &Program) -> std::path::PathBuf {
    let tar = fixture::layer_tar(&[("etc/hello", b"hello")]);
    let image =
        fixture::Image::new("linux/amd64".parse().unwrap()).layer(fixture::Layer::gzip(&tar));
    let path = program.path("small");
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
        let layout = Layout::create(&path).await.unwrap();
        image.build().push(&layout, Some(&Tag::parse("v1").unwrap())).await;
    });
    path
}

fn registry(program: &Program) -> Server {
    program.serve(Some("registry"))
}

#[test]
fn docker_registry_stores_and_returns_a_real_image_unchanged() {
    let program = Program::new();
    let (packed, digest) = real(&program);
    let (theirs, ours) = (DockerRegistry::start(), registry(&program));
    let there = format!("{}/team/app", theirs.address());
    let here = format!("{}/team/app", ours.address);
    program.ok(&format!("push -q {packed} {there}:v1"));
    program.ok(&format!("copy -q {there}:v1 {here}:v1"));
    program.ok(&format!("copy -q {here}:v1 {there}:v2"));
    let pulled = program.local("oci", "pulled");
    program.ok(&format!("pull -q {there}:v2 {pulled}:v2"));
    for place in [format!("{there}:v1"), format!("{here}:v1"), format!("{pulled}:v2")] {
        assert_eq!(program.ok(&format!("digest {place}")), digest, "{place}");
    }
    assert_eq!(program.ok(&format!("catalog {}", theirs.address())), "team/app");
    assert_eq!(program.ok(&format!("ls {there}")), "v1\nv2");
}

#[test]
fn docker_registry_supports_mount_untag_and_rm() {
    let program = Program::new();
    let (packed, digest) = real(&program);
    let theirs = DockerRegistry::start();
    let (app, copy) = (format!("{}/app", theirs.address()), format!("{}/copy", theirs.address()));
    program.ok(&format!("push -q {packed} {app}:v1"));
    let json = program.ok(&format!("copy -q --json {app}:v1 {copy}:v1"));
    let outcome: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(outcome["copies"][0]["bytes_sent"], 0, "mounted, not sent: {json}");
    // The registry cannot delete tags, so `untag` uses a placeholder manifest. The other tag stays.
    program.ok(&format!("tag {app}:v1 v2"));
    program.ok(&format!("untag {app}:v1"));
    assert_eq!(program.ok(&format!("ls {app}")), "v2");
    assert_eq!(program.ok(&format!("digest {app}:v2")), digest);
    program.ok(&format!("rm {app}:v2 --yes"));
    program.fails(3, &format!("digest {app}@{digest}"));
}

#[test]
fn docker_registry_stores_referrers_under_the_fallback_tag() {
    let program = Program::new();
    let theirs = DockerRegistry::start();
    let app = format!("{}/app", theirs.address());
    let image = fixture::Image::small(1).build();
    let signature = |n: u64| {
        fixture::Image::small(n)
            .artifact_type("application/vnd.example.signature")
            .subject(image.root.descriptor())
            .build()
    };
    let path = program.path("packed");
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
        let layout = Layout::create(&path).await.unwrap();
        image.push(&layout, Some(&Tag::parse("v1").unwrap())).await;
        signature(2).push(&layout, None).await;
        signature(3).push(&layout, None).await;
    });
    program.ok(&format!("push -q oci:{}:v1 {app}:v1", path.display()));
    assert_eq!(program.ok(&format!("referrers {app}:v1")).lines().count(), 2);
    let fallback = image.root.digest().to_string().replace(':', "-");
    assert!(program.ok(&format!("ls {app}")).contains(&fallback));
}

#[test]
fn docker_registry_behind_tls_needs_its_ca_or_skip_tls_verify() {
    let program = Program::new();
    let (packed, digest) = real(&program);
    let authority = Authority::new();
    let theirs = DockerRegistry::with_tls(&authority);
    let app = format!("localhost:{}/app:v1", theirs.port());
    let host = format!("localhost:{}", theirs.port());
    let ca = authority.certificate_file().display().to_string();
    // Loopback uses plain HTTP unless certificates are configured. This server accepts only TLS.
    let refused = program.run(["digest", &app]);
    assert_ne!(refused.code, 0, "{refused:?}");
    program.ok(&format!("push -q {packed} {app} --ca-file {host}={ca}"));
    assert_eq!(program.ok(&format!("digest {app} --ca-file {host}={ca}")), digest);
    assert_eq!(program.ok(&format!("digest {app} --skip-tls-verify {host}")), digest);
    // A certificate that another authority signed is not trusted.
    std::fs::write(program.path("other.pem"), authority_of_another()).unwrap();
    let other = program.path("other.pem").display().to_string();
    let told = program.fails(5, &format!("digest {app} --ca-file {host}={other}"));
    assert!(told.contains("certificate"), "{told}");
}

/// Returns the certificate of an authority that did not sign the server's certificate.
fn authority_of_another() -> Vec<u8> {
    let authority = Authority::new();
    std::fs::read(authority.certificate_file()).unwrap()
}

#[test]
fn skopeo_and_longshore_read_each_others_images() {
    let program = Program::new();
    let (packed, digest) = real(&program);
    let server = registry(&program);
    let app = format!("{}/app", server.address);
    program.ok(&format!("push -q {packed} {app}:v1"));
    let pulled = program.path("by-skopeo").display().to_string();
    peer::skopeo([
        "copy",
        "--all",
        "--src-tls-verify=false",
        &format!("docker://{app}:v1"),
        &format!("oci:{pulled}:v1"),
    ])
    .succeeded();
    assert_eq!(program.ok(&format!("digest oci:{pulled}:v1")), digest);
    peer::skopeo([
        "copy",
        "--all",
        "--dest-tls-verify=false",
        &format!("oci:{pulled}:v1"),
        &format!("docker://{app}:v2"),
    ])
    .succeeded();
    assert_eq!(program.ok(&format!("digest {app}:v2")), digest);
    let listed = peer::skopeo(["list-tags", "--tls-verify=false", &format!("docker://{app}")]);
    assert!(listed.succeeded().contains("\"v2\""), "{listed:?}");
}

#[test]
fn skopeo_reads_the_layouts_and_archives_of_longshore() {
    let program = Program::new();
    let (packed, digest) = real(&program);
    let server = registry(&program);
    let app = format!("{}/app:v1", server.address);
    program.ok(&format!("push -q {packed} {app}"));
    let inspect = |location: &str| {
        let raw = peer::skopeo(["inspect", "--raw", location]);
        assert!(raw.status.success(), "{raw}");
        longshore::Digest::sha256(raw.stdout.as_bytes()).to_string()
    };
    let layout = program.local("oci", "layout");
    program.ok(&format!("pull -q {app} {layout}:v1"));
    assert_eq!(inspect(&format!("{layout}:v1")), digest);
    let archive = program.local("oci-archive", "layout.tar");
    program.ok(&format!("pull -q {app} {archive}:v1"));
    assert_eq!(inspect(&format!("{archive}:v1")), digest);
    let docker = program.local("docker-archive", "docker.tar");
    program.ok(&format!("pull -q {app} {docker}:app:v1 --platform linux/amd64"));
    let unpacked = program.path("from-docker").display().to_string();
    peer::skopeo(["copy", &docker, &format!("oci:{unpacked}:v1")]).succeeded();
    // longshore reads archives written by skopeo.
    let one = format!("oci:{}", small(&program).display());
    let theirs = program.local("docker-archive", "theirs.tar");
    let _ = peer::skopeo(["copy", &format!("{one}:v1"), &format!("{theirs}:app:v1")]).succeeded();
    program.ok(&format!("push -q {theirs} {}/theirs:v1", server.address));
    assert_eq!(
        program.ok(&format!("config {}/theirs:v1", server.address)),
        program.ok(&format!("config {one}:v1")),
    );
}

#[test]
fn umoci_reads_the_layouts_of_longshore() {
    let program = Program::new();
    let (packed, _) = real(&program);
    let server = registry(&program);
    let app = format!("{}/app:v1", server.address);
    program.ok(&format!("push -q {packed} {app}"));
    let layout = program.path("layout").display().to_string();
    program.ok(&format!("pull -q {app} oci:{layout}:v1 --platform linux/amd64"));
    let listed = peer::umoci(["list", "--layout", &layout]);
    assert_eq!(listed.succeeded().trim(), "v1");
    let stat = peer::umoci(["stat", "--json", "--image", &format!("{layout}:v1")]);
    assert!(stat.succeeded().contains("history"), "{stat:?}");
    let config = program.ok(&format!("config oci:{layout}:v1"));
    assert!(config.contains("diff_ids"));
    assert!(Path::new(&layout).join("blobs/sha256").is_dir());
}
