//! Tests that the next command continues a blob where an interrupted one stopped.
#![cfg(unix)]

use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use longshore::{Layout, Tag};
use longshore_testkit::fault::{Fault, FaultProxy, Request};
use longshore_testkit::fixture::{Image, Layer};
use longshore_testkit::peer::DockerRegistry;
use longshore_testkit::process::Process;
use longshore_testkit::random;
use serde_json::Value;

use crate::program::{DEADLINE, Program, background, leftovers};

/// A program, and a proxy in front of a registry, at which the transfers of one layer stall.
struct Stage {
    program: Program,
    proxy: FaultProxy,
    runtime: tokio::runtime::Runtime,
    /// The digest of the layer.
    layer: String,
}

impl Stage {
    fn new(program: Program, registry: &str) -> Self {
        let runtime = background();
        let proxy = runtime.block_on(FaultProxy::start(registry.parse::<SocketAddr>().unwrap()));
        let image = Image::new("linux/amd64".parse().unwrap());
        let image = image.layer(Layer::plain(&random::bytes(7, SIZE as usize)));
        runtime.block_on(async {
            let layout = Layout::create(program.path("packed")).await.unwrap();
            image.build().push(&layout, Some(&Tag::parse("v1").unwrap())).await;
        });
        let packed = format!("{}:v1", program.local("oci", "packed"));
        let manifest: Value =
            serde_json::from_str(&program.ok(&format!("manifest get {packed}"))).unwrap();
        let layer = manifest["layers"][0]["digest"].as_str().unwrap().to_owned();
        Self { program, proxy, runtime, layer }
    }

    /// The image behind the proxy.
    fn remote(&self) -> String {
        format!("{}/app:v1", self.proxy.address())
    }

    fn packed(&self) -> String {
        format!("{}:v1", self.program.local("oci", "packed"))
    }

    /// Starts a command and waits until it stalls at an injected fault.
    fn stall(&self, method: &'static str, part: &str, fault: Fault, line: &str) -> Process {
        let _guard = self.runtime.enter();
        let before = self.proxy.faults_made();
        self.proxy.inject(method, part, 1, fault);
        let process = Process::start(self.program.command().args(line.split_whitespace()));
        let start = Instant::now();
        while self.proxy.faults_made() == before {
            assert!(start.elapsed() < DEADLINE, "nothing was transferred: {}", process.printed());
            std::thread::sleep(Duration::from_millis(1));
        }
        // During this pause, the bytes before the fault arrive.
        std::thread::sleep(Duration::from_millis(100));
        process
    }

    /// Runs a copy, and returns the bytes that it resumed.
    fn resumed(&self, line: &str) -> u64 {
        let report: Value =
            serde_json::from_str(&self.program.ok(&format!("{line} --json"))).unwrap();
        let copy = &report["copies"][0];
        copy["bytes_resumed"].as_u64().unwrap()
    }

    fn partial(&self, layout: &str) -> PathBuf {
        self.program.path(layout).join(format!(".partial-{}", self.layer.replace(':', "-")))
    }

    /// Returns the records of unfinished uploads.
    fn records(&self) -> Vec<PathBuf> {
        let folder = self.program.path(".local/state/longshore/uploads");
        let entries = fs::read_dir(folder).into_iter().flatten();
        entries.map(|entry| entry.unwrap().path()).collect()
    }

    /// Returns the requests for which `chosen` returns true, without the first `n` requests.
    fn requests(&self, n: usize, chosen: impl Fn(&Request) -> bool) -> Vec<Request> {
        self.proxy.requests().into_iter().skip(n).filter(chosen).collect()
    }

    /// Kills a push after `sent` bytes of the layer. Then completes it with another push, and returns
    /// the bytes that this push resumed.
    fn push_after_a_killed_push(&self, sent: u64, registry: &str) -> u64 {
        let push = format!("push {} {}", self.packed(), self.remote());
        self.stall("PUT", &self.layer, Fault::StallRequest(sent), &push).kill();
        self.proxy.close_stalled();
        std::thread::sleep(Duration::from_millis(50));
        let records = self.records();
        assert_eq!(records.len(), 1);
        assert_eq!(fs::metadata(&records[0]).unwrap().permissions().mode() & 0o777, 0o600);
        let so_far = self.proxy.requests().len();
        let resumed = self.resumed(&push);
        let ends_layer = |r: &Request| r.method == "PUT" && r.path.contains(&self.layer);
        assert_eq!(self.requests(so_far, ends_layer).len(), 1);
        let queries_session = |r: &Request| r.method == "GET" && r.path.contains("/uploads/");
        assert_eq!(self.requests(so_far, queries_session).len(), 1);
        assert!(self.records().is_empty());
        self.check_remote(registry);
        self.program.ok(&format!("rm --yes {registry}/app:v1"));
        self.program.ok(&format!("blob rm {registry}/app@{}", self.layer));
        resumed
    }

    /// Kills a command that writes the layer to the folder `out`, and interrupts the next one. Checks
    /// that each command requests only the rest, and that no temporary file remains at the end.
    fn continues(&self, line: &str) {
        let kept = || fs::metadata(self.partial("out")).unwrap().len();
        self.stall("GET", &self.layer, Fault::Stall(2 << 20), line).kill();
        let killed = kept();
        assert!(killed > 0);
        let mut process = self.stall("GET", &self.layer, Fault::Stall(1 << 20), line);
        assert_eq!(process.terminate(DEADLINE).code(), Some(130), "{}", process.printed());
        let said = process.printed();
        assert!(said.contains("To continue, run the same command again."), "{said}");
        let interrupted = kept();
        assert!(interrupted > killed);
        let so_far = self.proxy.requests().len();
        self.program.ok(line);
        let reads = |r: &Request| r.method == "GET" && r.path.contains(&self.layer);
        let of_layer = self.requests(so_far, reads);
        let ranges: Vec<_> = of_layer.iter().map(|r| r.header("range")).collect();
        assert_eq!(ranges, [Some(&*format!("bytes={interrupted}-{}", SIZE - 1))]);
        assert!(leftovers(&self.program.path("out")).is_empty());
    }

    /// Checks that the registry has the image.
    fn check_remote(&self, registry: &str) {
        let copy = self.program.local("oci", "check");
        self.program.ok(&format!("pull -q {registry}/app:v1 {copy}:v1"));
        let digest = |image: &str| self.program.ok(&format!("digest {image}"));
        assert_eq!(digest(&format!("{copy}:v1")), digest(&self.packed()));
        fs::remove_dir_all(self.program.path("check")).unwrap();
    }
}

#[test]
fn a_pull_continues_at_the_byte_where_a_killed_pull_stopped() {
    let program = Program::new();
    let server = program.serve(None);
    let stage = Stage::new(program, &server.address);
    stage.program.ok(&format!("push -q {} {}", stage.packed(), stage.remote()));
    let pull = format!("pull {} {}:v1", stage.remote(), stage.program.local("oci", "pulled"));
    let mut kept = 0;
    for transferred in [1 << 20, 2 << 20, HALF] {
        let before = kept + transferred;
        stage.stall("GET", &stage.layer, Fault::Stall(transferred), &pull).kill();
        kept = fs::metadata(stage.partial("pulled")).unwrap().len();
        assert!(kept <= before && kept + CHUNK >= before, "{before}: {kept} bytes are kept");
    }
    let so_far = stage.proxy.requests().len();
    assert_eq!(stage.resumed(&pull), kept);
    let of_layer = stage.requests(so_far, |r| r.path.contains(&stage.layer));
    let ranges: Vec<_> = of_layer.iter().map(|r| r.header("range")).collect();
    assert_eq!(ranges, [Some(&*format!("bytes={kept}-{}", SIZE - 1))]);
    assert!(leftovers(&stage.program.path("pulled")).is_empty());
}

#[test]
fn an_interrupted_pull_keeps_its_bytes_and_says_how_to_continue() {
    let program = Program::new();
    let server = program.serve(None);
    let stage = Stage::new(program, &server.address);
    stage.program.ok(&format!("push -q {} {}", stage.packed(), stage.remote()));
    let pull = format!("pull {} {}:v1", stage.remote(), stage.program.local("oci", "pulled"));
    let mut process = stage.stall("GET", &stage.layer, Fault::Stall(HALF), &pull);
    let ended = process.terminate(DEADLINE);
    assert_eq!(ended.code(), Some(130), "{}", process.printed());
    assert!(
        process.printed().contains("To continue, run the same command again."),
        "{}",
        process.printed()
    );
    let kept = fs::metadata(stage.partial("pulled")).unwrap().len();
    assert!(kept > 0);
    assert_eq!(stage.resumed(&pull), kept);
}

#[test]
fn a_blob_written_to_a_file_continues_after_a_kill_and_an_interrupt() {
    let program = Program::new();
    let server = program.serve(None);
    let stage = Stage::new(program, &server.address);
    stage.program.ok(&format!("push -q {} {}", stage.packed(), stage.remote()));
    fs::create_dir(stage.program.path("out")).unwrap();
    let app = stage.remote().replace(":v1", "");
    stage.continues(&format!("blob get {app}@{} -o out/layer", stage.layer));
    let written = fs::read(stage.program.path("out/layer")).unwrap();
    assert_eq!(longshore::Digest::sha256(&written).to_string(), stage.layer);
}

#[test]
fn an_interrupted_archive_is_not_said_to_continue() {
    let program = Program::new();
    let server = program.serve(None);
    let stage = Stage::new(program, &server.address);
    stage.program.ok(&format!("push -q {} {}", stage.packed(), stage.remote()));
    let archive = stage.program.local("oci-archive", "out.tar");
    for line in ["pull", "copy"].map(|verb| format!("{verb} {} {archive}:v1", stage.remote())) {
        let mut process = stage.stall("GET", &stage.layer, Fault::Stall(1 << 20), &line);
        assert_eq!(process.terminate(DEADLINE).code(), Some(130), "{}", process.printed());
        let said = process.printed();
        assert!(!said.contains("To continue"), "{said}");
    }
    assert!(!stage.program.path("out.tar").exists());
}

#[test]
fn a_pulled_artifact_continues_after_a_kill_and_an_interrupt() {
    let program = Program::new();
    let server = program.serve(None);
    let stage = Stage::new(program, &server.address);
    stage.program.ok(&format!("push -q {} {}", stage.packed(), stage.remote()));
    let one = format!("artifact pull {} --layer 1", stage.remote());
    stage.continues(&format!("{one} -o out/"));
    let name = stage.layer.replace(':', "-");
    let written = fs::read(stage.program.path("out").join(name)).unwrap();
    assert_eq!(longshore::Digest::sha256(&written).to_string(), stage.layer);
    stage.continues(&format!("{one} -o out/layer"));
    let written = fs::read(stage.program.path("out/layer")).unwrap();
    assert_eq!(longshore::Digest::sha256(&written).to_string(), stage.layer);
}

#[test]
fn a_push_continues_the_upload_of_a_killed_push() {
    let program = Program::new();
    let server = program.serve(Some("registry"));
    let stage = Stage::new(program, &server.address);
    for sent in [1 << 20, HALF, LAST] {
        let resumed = stage.push_after_a_killed_push(sent, &server.address);
        assert!(resumed <= sent && resumed + CHUNK >= sent, "{sent}: {resumed}");
    }
}

/// docker-registry 2.8 drops an upload whose last request broke off.
#[test]
fn a_push_to_docker_registry_sends_the_blob_of_a_killed_push_again() {
    let docker_registry = DockerRegistry::start();
    let address = docker_registry.address();
    let stage = Stage::new(Program::new(), &address);
    assert_eq!(stage.push_after_a_killed_push(HALF, &address), 0);
}

#[test]
fn an_interrupted_push_keeps_its_session_for_the_next_push() {
    let program = Program::new();
    let server = program.serve(None);
    let stage = Stage::new(program, &server.address);
    let push = format!("push {} {}", stage.packed(), stage.remote());
    let mut process = stage.stall("PUT", &stage.layer, Fault::StallRequest(HALF), &push);
    let ended = process.terminate(DEADLINE);
    stage.proxy.close_stalled();
    assert_eq!(ended.code(), Some(130), "{}", process.printed());
    assert!(
        process.printed().contains("To continue, run the same command again."),
        "{}",
        process.printed()
    );
    assert_eq!(stage.requests(0, |r| r.method == "DELETE"), []);
    assert!(stage.resumed(&push) > 0);
    stage.check_remote(&server.address);
}

/// 8 MiB: a layer of many chunks.
const SIZE: u64 = 8 << 20;
const HALF: u64 = SIZE / 2;
const LAST: u64 = SIZE - 1;
/// 1 MiB: at most this many bytes before the interruption are transferred again.
const CHUNK: u64 = 1 << 20;
