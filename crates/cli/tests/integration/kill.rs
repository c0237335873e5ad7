//! Kills transfers at random moments, and runs many transfers into one layout at once. No
//! incomplete or wrong content is ever visible, and the next command completes the work.
#![cfg(unix)]

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use longshore::graph::Successors;
use longshore::{Client, Copier, Digest, ErrorKind, Layout, Memory, Source, Tag};
use longshore_testkit::fixture::{Image, Layer};
use longshore_testkit::process::Process;
use longshore_testkit::random;
use serde_json::Value;

use crate::program::{DEADLINE, Program, Server, leftovers};

/// A program, and an image in a layout and at a registry with its storage in a folder.
struct Stage {
    program: Program,
    server: Server,
    digest: Digest,
    runtime: tokio::runtime::Runtime,
    random: fastrand::Rng,
}

impl Stage {
    fn new(seed: u64) -> Self {
        let program = Program::new();
        let server = program.serve(Some("registry"));
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let image = (0..LAYERS).fold(Image::new("linux/amd64".parse().unwrap()), |image, n| {
            image.layer(Layer::plain(&random::bytes(n, LAYER_SIZE)))
        });
        runtime.block_on(async {
            let layout = Layout::create(program.path("packed")).await.unwrap();
            image.build().push(&layout, Some(&tag())).await;
        });
        let packed = program.local("oci", "packed");
        program.ok(&format!("push -q {packed}:v1 {}/source:v1", server.address));
        let digest = program.ok(&format!("digest {packed}:v1")).parse().unwrap();
        Self { program, server, digest, runtime, random: fastrand::Rng::with_seed(seed) }
    }

    /// Runs a command that succeeds, and returns the time that it took.
    fn time(&self, line: &str) -> Duration {
        let start = Instant::now();
        self.program.ok(line);
        start.elapsed()
    }

    /// Starts a command, and kills it at a random moment before `latest`.
    fn kill(&mut self, line: &str, latest: Duration) {
        let mut process = Process::start(self.program.command().args(line.split_whitespace()));
        std::thread::sleep(latest.mul_f64(self.random.f64()));
        process.kill();
    }

    /// Runs a copy, and returns the bytes that it sent and resumed.
    fn finish(&self, line: &str) -> (u64, u64) {
        let report = self.program.ok(&format!("{line} --json"));
        let report: Value = serde_json::from_str(&report).unwrap();
        let bytes = |field: &str| report["copies"][0][field].as_u64().unwrap();
        (bytes("bytes_sent"), bytes("bytes_resumed"))
    }

    /// Checks that a store has no tag, or has the tag with the whole image, whose content is
    /// verified. Returns true if the tag exists.
    fn check_store(&self, store: Arc<dyn Source>) -> bool {
        self.runtime.block_on(async {
            let found = match store.manifest(&tag().into()).await {
                Ok(found) => found,
                Err(e) if e.kind() == ErrorKind::NotFound => return false,
                Err(e) => panic!("{e:?}"),
            };
            assert_eq!(*found.digest(), self.digest);
            assert_eq!(Successors::of(&found).unwrap().blobs.len() as u64, LAYERS + 1);
            let copier = Copier::new(store, Arc::new(Memory::new()));
            copier.copy(&tag().into(), Some(&tag())).await.unwrap();
            true
        })
    }

    fn check_layout(&self, folder: &Path) -> bool {
        check_files(&folder.join("blobs"));
        let opened = self.runtime.block_on(Layout::open(folder));
        opened.is_ok_and(|layout| self.check_store(Arc::new(layout)))
    }

    fn check_repository(&self, name: &str) -> bool {
        check_files(&self.program.path("registry/blobs"));
        let name = format!("{}/{name}", self.server.address).parse().unwrap();
        self.check_store(Arc::new(Client::new().repository(&name)))
    }
}

/// Checks that each blob with a final name has the content of its digest.
fn check_files(blobs: &Path) {
    let Ok(files) = fs::read_dir(blobs.join("sha256")) else { return };
    for path in files.map(|entry| entry.unwrap().path()) {
        let name = path.file_name().unwrap().to_str().unwrap();
        if !name.starts_with('.') {
            let digest = Digest::sha256(&fs::read(&path).unwrap());
            assert_eq!(digest.encoded(), name);
        }
    }
}

/// Returns the total size of the blobs and partial blobs in a layout.
fn kept(layout: &Path) -> u64 {
    let sizes = |folder: &Path| -> u64 {
        let files = fs::read_dir(folder).into_iter().flatten().map(|entry| entry.unwrap());
        let blobs = files.filter(|file| {
            let name = file.file_name().into_string().unwrap();
            name.starts_with(".partial-sha256-") || name.len() == 64
        });
        blobs.map(|file| file.metadata().unwrap().len()).filter(|size| *size >= 1 << 20).sum()
    };
    sizes(layout) + sizes(&layout.join("blobs/sha256"))
}

fn tag() -> Tag {
    Tag::parse("v1").unwrap()
}

/// The numbers of rounds that were interrupted, and of those that resumed a blob. If they are small,
/// the test proves nothing.
#[derive(Debug, Default)]
struct Seen {
    unfinished: usize,
    resumed: usize,
}

impl Seen {
    fn check(&self) {
        assert!(self.unfinished > ROUNDS / 20 && self.resumed > 2, "{self:?}");
    }
}

#[test]
fn after_a_pull_is_killed_at_any_moment_the_next_pull_requests_only_what_is_missing() {
    let mut stage = Stage::new(1);
    let folder = stage.program.path("pulled");
    let target = stage.program.local("oci", "pulled");
    let pull = format!("pull {}/source:v1 {target}:v1", stage.server.address);
    let latest = stage.time(&format!("{pull} -q"));
    let mut seen = Seen::default();
    for round in 0..ROUNDS {
        fs::remove_dir_all(&folder).ok();
        stage.kill(&pull, latest);
        let is_tagged = stage.check_layout(&folder);
        let kept = kept(&folder);
        let (sent, resumed) = stage.finish(&pull);
        assert!(is_tagged || sent + kept <= TOTAL + SMALL, "round {round}: {sent} after {kept}");
        assert!(stage.check_layout(&folder));
        assert!(leftovers(&folder).is_empty(), "round {round}");
        seen.unfinished += usize::from(!is_tagged);
        seen.resumed += usize::from(resumed > 0);
    }
    seen.check();
}

#[test]
fn after_a_push_is_killed_at_any_moment_the_registry_is_intact_and_the_next_push_completes() {
    let mut stage = Stage::new(2);
    let packed = stage.program.local("oci", "packed");
    let push = |name: &str| format!("push {packed}:v1 {}/{name}:v1", stage.server.address);
    let lines: Vec<_> = (0..=ROUNDS).map(|n| push(&format!("app{n}"))).collect();
    transfer_to_the_registry(&mut stage, &lines);
}

#[test]
fn after_a_copy_is_killed_at_any_moment_the_registry_is_intact_and_the_next_copy_completes() {
    let mut stage = Stage::new(3);
    let source = stage.program.serve(None);
    let packed = stage.program.local("oci", "packed");
    stage.program.ok(&format!("push -q {packed}:v1 {}/source:v1", source.address));
    let (from, to) = (&source.address, &stage.server.address);
    let copy = |name: &str| format!("copy {from}/source:v1 {to}/{name}:v1");
    let lines: Vec<_> = (0..=ROUNDS).map(|n| copy(&format!("app{n}"))).collect();
    transfer_to_the_registry(&mut stage, &lines);
}

/// Kills each command, each of which fills its own repository, and runs it again.
fn transfer_to_the_registry(stage: &mut Stage, lines: &[String]) {
    let latest = stage.time(&format!("{} -q", lines[ROUNDS]));
    let mut seen = Seen::default();
    for (round, line) in lines[..ROUNDS].iter().enumerate() {
        let name = format!("app{round}");
        stage.kill(line, latest);
        let is_tagged = stage.check_repository(&name);
        let (_, resumed) = stage.finish(line);
        assert!(stage.check_repository(&name), "round {round}");
        seen.unfinished += usize::from(!is_tagged);
        seen.resumed += usize::from(resumed > 0);
    }
    let records = stage.program.path(".local/state/longshore/uploads");
    assert_eq!(fs::read_dir(records).unwrap().count(), 0);
    seen.check();
}

#[test]
fn sixty_four_processes_fill_one_layout() {
    let stage = Stage::new(4);
    let folder = stage.program.path("pulled");
    let target = stage.program.local("oci", "pulled");
    let processes: Vec<_> = (0..64)
        .map(|n| {
            let pull = format!("pull -q {}/source:v1 {target}:v{n}", stage.server.address);
            Process::start(stage.program.command().args(pull.split_whitespace()))
        })
        .collect();
    for mut process in processes {
        assert!(process.wait(DEADLINE).success(), "{}", process.printed());
    }
    assert_eq!(stage.program.ok(&format!("ls {target}")).lines().count(), 64);
    assert!(stage.check_layout(&folder));
    assert!(leftovers(&folder).is_empty());
}

const ROUNDS: usize = 200;
const LAYERS: u64 = 3;
/// 2 MiB: large enough that a layer is continued.
const LAYER_SIZE: usize = 2 << 20;
const TOTAL: u64 = LAYERS * LAYER_SIZE as u64;
/// 64 KiB: the config is smaller, and is sent whenever it is missing.
const SMALL: u64 = 64 << 10;
