//! Reports of long waits: one line on stderr, and nothing on stdout.

use std::net::TcpListener;
use std::process::Command;
use std::thread;

use longshore::{Layout, Tag};
use longshore_testkit::fault::{Fault, FaultProxy};
use longshore_testkit::fixture::{Image, Layer};
use longshore_testkit::process::Process;

use crate::program::{DEADLINE, Ended, Program, run_command};

fn lines_of<'a>(told: &'a str, part: &str) -> Vec<&'a str> {
    told.lines().filter(|line| line.contains(part)).collect()
}

/// Packs an image of five blobs into a layout.
async fn pack(program: &Program, name: &str) {
    let layout = Layout::create(&program.path(name)).await.unwrap();
    let layers = (0..4).map(|n| Layer::plain(&[n; 100]));
    let image = layers.fold(Image::new("linux/amd64".parse().unwrap()), Image::layer);
    image.build().push(&layout, Some(&Tag::parse("v1").unwrap())).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wait_that_the_registry_requests_is_reported_once_for_all_blobs() {
    let program = Program::new();
    pack(&program, "packed").await;
    let server = program.serve(None);
    let packed = program.local("oci", "packed");
    program.ok(&format!("push -q {packed}:v1 {}/app:v1", server.address));
    let mut runs = Vec::new();
    for (name, option) in [("plain", None), ("quiet", Some("-q")), ("events", Some("--events"))] {
        // Each run has its own proxy, which refuses the first four requests for blobs.
        let proxy = FaultProxy::start(server.address.parse().unwrap()).await;
        proxy.inject("GET", "/blobs/", 4, Fault::Reply(429, vec![("retry-after", "6")]));
        let (app, target) = (format!("{}/app:v1", proxy.address()), program.local("oci", name));
        let mut command: Command = program.command();
        command.args(["pull", &app, &target]).args(option);
        runs.push((thread::spawn(move || run_command(&mut command, b"")), proxy));
    }
    let mut ended = Vec::new();
    for (run, proxy) in runs {
        let run: Ended = tokio::task::spawn_blocking(|| run.join()).await.unwrap().unwrap();
        assert_eq!((run.code, proxy.faults_made()), (0, 4), "{run:?}");
        ended.push((run, proxy.address()));
    }
    let line = |address: &std::net::SocketAddr| {
        format!(
            "{address} requests a wait of 6 s (429 Too Many Requests), then the request is sent \
             again"
        )
    };
    let [(plain, plain_address), (quiet, _), (events, events_address)] = &ended[..] else {
        panic!("three runs: {ended:?}")
    };
    let told = format!("longshore: {}", line(plain_address));
    assert_eq!(lines_of(&plain.stderr, "requests a wait"), [told], "{plain:?}");
    assert!(!quiet.stderr.contains("wait"), "{quiet:?}");
    let told = serde_json::json!({ "event": "waiting", "message": line(events_address) });
    assert_eq!(lines_of(&events.stderr, "requests a wait"), [told.to_string()], "{events:?}");
    assert!(ended.iter().all(|(run, _)| !run.stdout.contains("wait")), "{ended:?}");
}

#[test]
fn a_wait_for_a_silent_registry_is_reported() {
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = silent.local_addr().unwrap();
    let program = Program::new();
    let reference = format!("{address}/a:v1");
    let process = Process::start(program.command().args(["digest", &reference]));
    let line = process.wait_for("waiting for", DEADLINE).expect("the wait is reported");
    let expected =
        format!("longshore: waiting for {address}: no answer for 5 s (gives up after 60 s)");
    assert_eq!(line, expected);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wait_for_a_locked_layout_is_reported() {
    let program = Program::new();
    pack(&program, "held").await;
    let held = program.path("held");
    let lock = std::fs::File::open(held.join("oci-layout")).unwrap();
    lock.lock().unwrap();
    let layout = program.local("oci", "held");
    let mut command = program.command();
    let mut process = Process::start(command.args(["tag", &format!("{layout}:v1"), "v2"]));
    let line = process.wait_for("waiting for", DEADLINE);
    let expected = format!(
        "longshore: waiting for another program to finish with {} (gives up after 60 s)",
        held.display()
    );
    assert_eq!(line, Some(expected), "{}", process.printed());
    drop(lock);
    assert!(process.wait(DEADLINE).success(), "{}", process.printed());
}
