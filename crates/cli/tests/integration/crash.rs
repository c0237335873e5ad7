//! Tests that incomplete content is never visible after `kill -9` of either side of a transfer.

use std::time::{Duration, Instant};

use longshore::{Layout, Tag};
use longshore_testkit::fault::{Fault, FaultProxy};
use longshore_testkit::fixture::{Image, Layer};
use longshore_testkit::process::Process;
use longshore_testkit::random;

use crate::program::{DEADLINE, Program, background};

/// Packs an image of four layers of 4 MiB into a layout.
fn packed(program: &Program) -> String {
    let mut image = Image::new("linux/amd64".parse().unwrap());
    for seed in 0..4 {
        image = image.layer(Layer::plain(&random::bytes(seed, SIZE)));
    }
    let path = program.path("packed");
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
        let layout = Layout::create(&path).await.unwrap();
        image.build().push(&layout, Some(&Tag::parse("v1").unwrap())).await;
    });
    format!("oci:{}:v1", path.display())
}

/// Starts the program and waits until its transfer stalls at the fault.
fn start_up_to_the_fault(program: &Program, proxy: &FaultProxy, line: &str) -> Process {
    let process = Process::start(program.command().args(line.split_whitespace()));
    let start = Instant::now();
    while proxy.faults_made() == 0 {
        assert!(start.elapsed() < DEADLINE, "nothing was transferred: {}", process.printed());
        std::thread::sleep(Duration::from_millis(1));
    }
    // During this pause, the proxy forwards the bytes before the fault.
    std::thread::sleep(Duration::from_millis(20));
    process
}

#[test]
fn a_killed_pull_leaves_no_tag_and_the_next_pull_completes() {
    let (program, runtime) = (Program::new(), background());
    let server = program.serve(None);
    let app = format!("{}/app:v1", server.address);
    program.ok(&format!("push -q {} {app}", packed(&program)));
    let digest = program.ok(&format!("digest {app}"));
    let _guard = runtime.enter();
    for (number, (part, before)) in
        [("/manifests/", 0), ("/blobs/", 0), ("/blobs/", 1), ("/blobs/", HALF), ("/blobs/", LAST)]
            .into_iter()
            .enumerate()
    {
        // Each pull has a new layout, which has no content that an earlier pull has kept.
        let target = program.local("oci", &format!("pulled-{number}"));
        let proxy = runtime.block_on(FaultProxy::start(server.address.parse().unwrap()));
        proxy.inject("GET", part, 1, Fault::Stall(before));
        let pull = format!("pull -q {}/app:v1 {target}:v1", proxy.address());
        start_up_to_the_fault(&program, &proxy, &pull).kill();
        let listed = program.run(["ls", target.as_str()]).stdout;
        assert_eq!(listed, "", "a pull killed after {before} bytes of {part} leaves no tag");
        program.ok(&format!("pull -q {app} {target}:v1"));
        assert_eq!(program.ok(&format!("digest {target}:v1")), digest);
    }
}

#[test]
fn a_killed_registry_shows_no_incomplete_push_and_keeps_acknowledged_images() {
    let (program, runtime) = (Program::new(), background());
    let source = packed(&program);
    let digest = program.ok(&format!("digest {source}"));
    let _guard = runtime.enter();
    let stalls = [("/blobs/", 0), ("/blobs/", 1), ("/blobs/", HALF), ("/blobs/", LAST)];
    for (number, (part, before)) in stalls.into_iter().chain([("/manifests/", 1)]).enumerate() {
        let mut server = program.serve(Some("registry"));
        let proxy = runtime.block_on(FaultProxy::start(server.address.parse().unwrap()));
        proxy.inject("PUT", part, 1, Fault::StallRequest(before));
        // Each push has a new repository, which does not have the layers of the previous push.
        let push = format!("push -q {source} {}/app{number}:killed", proxy.address());
        let mut push = start_up_to_the_fault(&program, &proxy, &push);
        server.process.kill();
        push.kill();
        let server = program.serve(Some("registry"));
        let app = format!("{}/app{number}", server.address);
        assert_eq!(program.run(["ls", app.as_str()]).stdout, "", "the killed push leaves no tag");
        // The next push completes, and the registry still has the image after another restart.
        program.ok(&format!("push -q {source} {app}:acknowledged"));
    }
    let mut server = program.serve(Some("registry"));
    for number in 0..=stalls.len() {
        let app = format!("{}/app{number}", server.address);
        assert_eq!(program.ok(&format!("ls {app}")), "acknowledged");
        assert_eq!(program.ok(&format!("digest {app}:acknowledged")), digest);
        let target = program.local("oci", &format!("check-{number}"));
        program.ok(&format!("pull -q {app}:acknowledged {target}"));
    }
    // Windows has no SIGTERM.
    #[cfg(unix)]
    assert!(server.process.terminate(DEADLINE).success(), "SIGTERM ends the registry cleanly");
}

/// 4 MiB: a layer arrives in many chunks.
const SIZE: usize = 4 << 20;
const HALF: u64 = SIZE as u64 / 2;
const LAST: u64 = SIZE as u64 - 1;
