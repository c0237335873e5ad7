//! Network faults between the program and a registry. Transfers recover or fail with a clear error,
//! and leave no temporary files.

use longshore::{Layout, Tag};
use longshore_testkit::fault::{Fault, FaultProxy};
use longshore_testkit::fixture::{Image, Layer};
use longshore_testkit::random;

use crate::program::{Program, Server, background, leftovers};

/// A registry with an image, and a proxy in front of the registry.
struct Scene {
    program: Program,
    _server: Server,
    proxy: FaultProxy,
    packed: String,
    app: String,
    digest: String,
    /// The digest of the first layer, which only the requests for this layer contain.
    layer: String,
    /// Runs the proxy.
    _runtime: tokio::runtime::Runtime,
}

impl Scene {
    fn new() -> Self {
        Self::with(vec![Layer::plain(&random::bytes(1, SIZE))])
    }

    /// Builds a scene whose image has these layers.
    fn with(layers: Vec<Layer>) -> Self {
        let runtime = background();
        let program = Program::new();
        let server = program.serve(None);
        let layer = layers[0].descriptor.digest.to_string();
        let image = Image::new("linux/amd64".parse().unwrap());
        let image = layers.into_iter().fold(image, Image::layer).build();
        let path = program.path("packed");
        runtime.block_on(async {
            let layout = Layout::create(&path).await.unwrap();
            image.push(&layout, Some(&Tag::parse("v1").unwrap())).await;
        });
        let packed = format!("oci:{}:v1", path.display());
        program.ok(&format!("push -q {packed} {}/app:v1", server.address));
        let proxy = runtime.block_on(FaultProxy::start(server.address.parse().unwrap()));
        let app = format!("{}/app:v1", proxy.address());
        let digest = image.root.digest().to_string();
        Self { program, _server: server, proxy, packed, app, digest, layer, _runtime: runtime }
    }

    fn requests_for(&self, method: &str, part: &str) -> usize {
        let fits =
            |r: &&longshore_testkit::fault::Request| r.method == method && r.path.contains(part);
        self.proxy.requests().iter().filter(fits).count()
    }
}

#[test]
fn a_pull_survives_network_faults() {
    let half = SIZE as u64 / 2;
    for (fault, times) in [
        (Fault::Cut(half), 1),
        (Fault::Reset(half), 1),
        (Fault::Reset(SIZE as u64 / 3), 3),
        (Fault::Reset(0), 1),
        (Fault::LoseReply, 1),
        (Fault::Reply(503, vec![]), 1),
        (Fault::Reply(500, vec![]), 1),
        (Fault::Reply(429, vec![("retry-after", "1")]), 1),
    ] {
        let scene = Scene::new();
        scene.proxy.inject("GET", &scene.layer, times, fault.clone());
        scene.proxy.inject("GET", "/manifests/", 1, Fault::Reply(503, vec![]));
        let target = scene.program.local("oci", "pulled");
        scene.program.ok(&format!("pull -q {} {target}:v1", scene.app));
        assert_eq!(scene.program.ok(&format!("digest {target}:v1")), scene.digest, "{fault:?}");
        assert!(leftovers(&scene.program.path("pulled")).is_empty());
        assert_eq!(scene.proxy.faults_made(), times + 1, "{fault:?}");
    }
}

#[test]
fn a_broken_download_resumes_where_it_stopped() {
    let scene = Scene::new();
    scene.proxy.inject("GET", &scene.layer, 1, Fault::Reset(3 << 20));
    scene.program.ok(&format!("pull -q {} {}", scene.app, scene.program.local("oci", "pulled")));
    let ranges: Vec<String> = scene
        .proxy
        .requests()
        .iter()
        .filter_map(|r| r.header("range").map(str::to_owned))
        .collect();
    assert_eq!(ranges.len(), 1, "{ranges:?}");
    assert!(ranges[0].starts_with("bytes=") && !ranges[0].starts_with("bytes=0-"), "{ranges:?}");
}

#[test]
fn content_compressed_by_a_proxy_or_mislabelled_by_storage_arrives_intact() {
    let (noise, text) = (random::bytes(1, SIZE), b"some words, ".repeat(SIZE / 12));
    let layers = || vec![Layer::plain(&text), Layer::gzip(&text), Layer::gzip(&noise)];
    for fault in [
        Fault::Compress("gzip"),
        Fault::Compress("x-gzip"),
        Fault::Label("gzip"),
        Fault::Label("br"),
    ] {
        let scene = Scene::with(layers());
        for method in ["GET", "HEAD"] {
            scene.proxy.inject(method, "", usize::MAX, fault.clone());
        }
        let (program, app) = (&scene.program, &scene.app);
        let target = program.local("oci", "pulled");
        program.ok(&format!("pull -q {app} {target}:v1"));
        assert_eq!(program.ok(&format!("digest {target}:v1")), scene.digest, "{fault:?}");
        let copy = format!("{}/copy:v1", scene.proxy.address());
        program.ok(&format!("copy -q {target}:v1 {copy}"));
        program.ok(&format!("copy -q {copy} {}", program.local("oci-archive", "copied.tar")));
        assert_eq!(program.ok(&format!("digest {copy}")), scene.digest, "{fault:?}");
        assert_eq!(program.ok(&format!("ls {}/app", scene.proxy.address())), "v1");
        let told = program.fails(3, &format!("manifest get {app}-none"));
        assert!(told.contains("MANIFEST_UNKNOWN"), "{told}");
    }
}

#[test]
fn an_unsupported_content_coding_is_named_in_the_error() {
    let scene = Scene::new();
    scene.proxy.inject("GET", &scene.layer, 1, Fault::Compress("br"));
    let told = scene
        .program
        .fails(5, &format!("pull -q {} {}", scene.app, scene.program.local("oci", "x")));
    assert!(told.contains("the content coding \"br\", which was not requested"), "{told}");
    assert!(told.contains("proxy"), "{told}");
    assert!(leftovers(&scene.program.path("x")).is_empty());
}

#[test]
fn a_pull_of_wrong_bytes_fails_and_stores_no_tag() {
    let scene = Scene::new();
    scene.proxy.inject("GET", &scene.layer, 99, Fault::Flip(10));
    let target = scene.program.local("oci", "pulled");
    let told = scene.program.fails(7, &format!("pull -q {} {target}", scene.app));
    assert!(told.contains("expected sha256:") && told.contains("got sha256:"), "{told}");
    assert_eq!(scene.program.ok(&format!("ls {target}")), "");
    assert!(leftovers(&scene.program.path("pulled")).is_empty());
}

#[test]
fn a_push_survives_network_faults() {
    for (method, part, fault) in [
        ("POST", "/uploads", Fault::Reply(503, vec![])),
        ("POST", "/uploads", Fault::LoseReply),
        ("PUT", "/uploads", Fault::Reply(503, vec![])),
        ("PUT", "/uploads", Fault::ResetRequest(SIZE as u64 / 2)),
        ("PUT", "/uploads", Fault::Reply(404, vec![])),
        ("PUT", "/manifests/", Fault::Reply(503, vec![])),
        ("PUT", "/manifests/", Fault::LoseReply),
        ("HEAD", "/blobs/", Fault::Reply(502, vec![])),
    ] {
        let scene = Scene::new();
        scene.proxy.inject(method, part, 1, fault.clone());
        let target = format!("{}/pushed:v1", scene.proxy.address());
        // Without `--recheck`, the program need not send a HEAD: a small blob may show before that the
        // registry mounts.
        let option = if method == "HEAD" { "--recheck" } else { "" };
        scene.program.ok(&format!("push -q {option} {} {target}", scene.packed));
        assert_eq!(scene.proxy.faults_made(), 1, "{method} {fault:?}");
        assert_eq!(
            scene.program.ok(&format!("digest {target}")),
            scene.digest,
            "{method} {fault:?}"
        );
    }
}

#[test]
fn a_command_fails_after_a_few_attempts_if_the_server_does_not_recover() {
    let scene = Scene::new();
    scene.proxy.inject("HEAD", "/manifests/", 999, Fault::Reply(404, vec![]));
    scene.proxy.inject("GET", "/manifests/", 999, Fault::Reply(500, vec![]));
    let told = scene.program.fails(5, &format!("manifest get {}", scene.app));
    assert!(told.contains("500"), "{told}");
    assert!(scene.requests_for("GET", "/manifests/") <= 6);

    scene.proxy.inject("GET", "/tags/list", 1, Fault::Reply(429, vec![("retry-after", "86400")]));
    let told = scene.program.fails(5, &format!("ls {}/app", scene.proxy.address()));
    assert!(told.contains("86400"), "{told}");
}

const SIZE: usize = 4 << 20;
