//! Archives from standard input and to standard output.

use std::io::Write as _;
use std::process::{Command, Stdio};

use longshore_testkit::fixture;

use crate::program::{Program, leftovers};

/// Runs a command line with this stdin. The command must succeed. Returns stdout as bytes, and
/// stderr.
fn piped(program: &Program, line: &str, stdin: &[u8]) -> (Vec<u8>, String) {
    let mut command = program.command();
    let mut child = command
        .args(line.split_whitespace())
        .env("TMPDIR", program.path(""))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let (mut to, bytes) = (child.stdin.take().unwrap(), stdin.to_vec());
    let writer = std::thread::spawn(move || drop(to.write_all(&bytes)));
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{line}: {said}");
    (output.stdout, said)
}

#[test]
fn an_archive_is_read_from_stdin_and_written_to_stdout() {
    let program = Program::new();
    let server = program.serve(None);
    let packed =
        crate::transfers::layout(&program, "packed", &fixture::Image::small(1).build(), "v1");
    let config = program.ok(&format!("config {packed}"));
    for scheme in ["docker-archive", "oci-archive"] {
        let (archive, said) = piped(&program, &format!("copy {packed} {scheme}:-:a/b:v1"), b"");
        assert!(said.contains("sha256:"), "the result is on stderr: {said}");
        let whole = program.path("whole.tar");
        std::fs::write(&whole, &archive).unwrap();
        assert_eq!(program.ok(&format!("config {scheme}:{}", whole.display())), config);
        std::fs::remove_file(&whole).unwrap();

        for (name, bytes) in [
            ("plain", archive.clone()),
            ("gzip", fixture::Layer::gzip(&archive).content.into()),
            ("zstd", fixture::Layer::zstd(&archive).content.into()),
        ] {
            let repository = format!("{}/{scheme}/{name}", server.address);
            piped(&program, &format!("push -q {scheme}:- {repository}"), &bytes);
            assert_eq!(program.ok(&format!("ls {repository}")), "v1", "{scheme} {name}");
            assert_eq!(program.ok(&format!("config {repository}:v1")), config);
        }
        let line = format!("copy -q {scheme}:-:a/b:v1 {scheme}:-:a/b:v1 --json");
        let (through, said) = piped(&program, &line, &archive);
        assert!(through == archive, "the same content makes the same bytes");
        assert!(serde_json::from_str::<serde_json::Value>(&said).is_ok(), "{said}");
    }
    assert!(leftovers(&program.path("")).is_empty());
}

#[test]
fn every_image_of_a_streamed_archive_can_be_pushed() {
    let program = Program::new();
    let server = program.serve(None);
    let packed =
        crate::transfers::layout(&program, "packed", &fixture::Image::small(1).build(), "v1");
    program.ok(&format!("copy -q {packed} docker-archive:x.tar:a/b:v1"));
    program.ok(&format!("copy -q {packed} docker-archive:x.tar:c/d:v2"));
    let archive = std::fs::read(program.path("x.tar")).unwrap();
    let mirror = format!("{}/mirror", server.address);
    piped(&program, &format!("push -q docker-archive:- {mirror} --all-images"), &archive);
    assert_eq!(program.ok(&format!("ls {mirror}/a/b")), "v1");
    assert_eq!(program.ok(&format!("ls {mirror}/c/d")), "v2");
    for line in ["tag docker-archive:-:a/b:v1 v2", "digest oci:-"] {
        program.fails(2, line);
    }
    program.fails(1, "digest docker-archive:-");
}

#[cfg(unix)]
#[test]
fn a_named_pipe_is_read_once_for_all_images() {
    let program = Program::new();
    let server = program.serve(None);
    let packed =
        crate::transfers::layout(&program, "packed", &fixture::Image::small(1).build(), "v1");
    for name in ["a/b:v1", "c/d:v2"] {
        program.ok(&format!("copy -q {packed} docker-archive:x.tar:{name}"));
    }
    let pipe = program.path("pipe");
    assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    // The thread ends when the whole pipe has been read.
    let (archive, to) = (std::fs::read(program.path("x.tar")).unwrap(), pipe);
    let writer = std::thread::spawn(move || std::fs::write(to, archive).unwrap());
    let mirror = format!("{}/mirror", server.address);
    let mut command = program.command();
    command.args(["push", "-q", "docker-archive:pipe", &mirror, "--all-images"]);
    let mut push = command.spawn().unwrap();
    let end = std::time::Instant::now() + crate::program::DEADLINE;
    let status = loop {
        if let Some(status) = push.try_wait().unwrap() {
            break status;
        }
        if std::time::Instant::now() > end {
            push.kill().unwrap();
            panic!("the program reads the pipe a second time");
        }
        std::thread::sleep(std::time::Duration::from_millis(20));
    };
    assert!(status.success());
    writer.join().unwrap();
    for (name, tag) in [("a/b", "v1"), ("c/d", "v2")] {
        assert_eq!(program.ok(&format!("ls {mirror}/{name}")), tag);
    }
}

#[test]
fn stdin_can_be_named_only_once() {
    let program = Program::new();
    for line in [
        "append docker-archive:- --layer - --to oci:x:v1",
        "append oci:y:v1 --layer - --layer-from oci-archive:-@sha256:0 --to oci:x:v1",
        "append oci:y:v1 --layer - --layer -",
    ] {
        let line = line.replace("sha256:0", &format!("sha256:{}", "0".repeat(64)));
        let told = program.fails(2, &line);
        assert!(told.contains("standard input can be read only once"), "{line}: {told}");
    }
}

#[test]
fn closing_an_archive_stream_early_is_not_an_error() {
    let program = Program::new();
    let packed = crate::transfers::layout(&program, "packed", &fixture::real_image(), "v1");
    let mut command = program.command();
    command.args(["copy", "-q", &packed, "oci-archive:-"]).stdout(Stdio::piped());
    let mut child = command.spawn().unwrap();
    drop(child.stdout.take());
    assert!(child.wait().unwrap().success());
}

/// Runs the program on a terminal through `script`, with the options of its Linux version.
#[cfg(target_os = "linux")]
#[test]
fn an_archive_is_not_written_to_a_terminal() {
    let program = Program::new();
    let packed =
        crate::transfers::layout(&program, "packed", &fixture::Image::small(1).build(), "v1");
    for archive in ["oci-archive:-", "docker-archive:-:a/b:v1"] {
        let line = format!("{} copy -q {packed} {archive}", env!("CARGO_BIN_EXE_longshore"));
        let mut script = Command::new("script");
        script.args(["--quiet", "--return", "--command", &line, "/dev/null"]);
        let shown = script.env("HOME", program.path("")).stdin(Stdio::null()).output().unwrap();
        let said = String::from_utf8(shown.stdout).unwrap();
        assert_eq!(shown.status.code(), Some(1), "{said}");
        assert!(said.contains("to a terminal") && said.len() < 1000, "{said}");
    }
}
