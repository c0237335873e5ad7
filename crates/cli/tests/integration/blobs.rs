//! Blob commands with files, pipes and several blobs.

use serde_json::Value;

use crate::program::{Program, leftovers};

/// Starts a registry, and writes two files to the home folder.
fn begin() -> (Program, crate::program::Server) {
    let program = Program::new();
    let server = program.serve(None);
    std::fs::write(program.path("one"), "first").unwrap();
    std::fs::write(program.path("two"), "the second").unwrap();
    (program, server)
}

#[test]
fn blob_commands_accept_several_blobs() {
    let (program, server) = begin();
    let place = format!("{}/a", server.address);
    let digests = program.ok(&format!("blob put {place} one two"));
    let digests: Vec<_> = digests.lines().collect();
    assert_eq!(digests[0], longshore::Digest::sha256(b"first").as_str());
    let both = digests.join(" ");
    assert_eq!(program.ok(&format!("blob head {place} {both}")), "5\n10");
    assert_eq!(program.ok(&format!("blob head {place}@{} {}", digests[1], digests[0])), "10\n5");
    assert_eq!(program.ok(&format!("blob get {place} {both}")), "firstthe second");
    assert_eq!(program.ok(&format!("blob get {place} {both} -o -")), "firstthe second");
    std::fs::create_dir(program.path("folder")).unwrap();
    program.ok(&format!("blob get {place} {both} -o folder"));
    let name = format!("folder/{}", digests[1].replace(':', "-"));
    assert_eq!(std::fs::read(program.path(&name)).unwrap(), b"the second");
    let json = |blobs: &str| -> Value {
        serde_json::from_str(&program.ok(&format!("blob head {place} {blobs} --json"))).unwrap()
    };
    assert_eq!(json(digests[0])["size"], 5);
    assert_eq!((&json(&both)[0]["size"], &json(&both)[1]["size"]), (&5.into(), &10.into()));
    program.ok(&format!("blob rm {place} {both}"));
    program.fails(3, &format!("blob head {place} {both}"));
    assert!(program.fails(2, &format!("blob head {place}")).contains("DIGEST"));
}

#[test]
fn stdin_of_unknown_length_is_uploaded_to_a_registry_or_layout() {
    let (program, server) = begin();
    let large = vec![b'x'; 3_000_000];
    let digest = longshore::Digest::sha256(&large);
    let place = format!("{}/a", server.address);
    for place in [place.clone(), program.local("oci", "layout")] {
        let put = program.run_with(["blob", "put", place.as_str(), "-"], &large);
        assert_eq!((put.code, put.stdout.trim_end()), (0, digest.as_str()), "{put:?}");
        assert_eq!(program.ok(&format!("blob head {place}@{digest}")), "3000000");
    }
    let other = longshore::Digest::sha256(b"other");
    let line = format!("blob put {place} - --digest {other}");
    let put = program.run_with(line.split(' '), &large);
    assert_eq!(put.code, 7, "{put:?}");
    assert!(put.stderr.contains("digest mismatch"), "{}", put.stderr);
    let empty = program.run_with(["blob", "put", place.as_str(), "-"], b"");
    assert_eq!(empty.stdout.trim_end(), longshore::Digest::sha256(b"").as_str());
    program.fails(7, &format!("blob put {place} one --digest {other}"));
    program.fails(2, &format!("blob put {place} one two --digest {other}"));
}

#[test]
fn blob_progress_is_reported_as_events_and_existing_blobs_are_skipped() {
    let (program, server) = begin();
    let line = format!("blob put {}/a two --events", server.address);
    let events = |line: &str| {
        let ended = program.run(line.split(' '));
        assert_eq!(ended.code, 0, "{ended:?}");
        let events: Vec<Value> =
            ended.stderr.lines().map(|l| serde_json::from_str(l).unwrap()).collect();
        events
    };
    let first = events(&line);
    let named = |events: &[Value], name: &str| events.iter().any(|e| e["event"] == name);
    assert!(named(&first, "found") && named(&first, "sent"), "{first:?}");
    let read: u64 = first.iter().filter_map(|e| e["bytes"].as_u64()).sum();
    assert_eq!(read, 10);
    let again = events(&line);
    assert!(named(&again, "skipped") && !named(&again, "sent"), "{again:?}");
    let digest = longshore::Digest::sha256(b"the second");
    let got = events(&format!("blob get {}/a@{digest} -o got --events", server.address));
    assert!(named(&got, "progress") && named(&got, "sent"), "{got:?}");
    let line = format!("blob put {}/a - --events", server.address);
    let put = program.run_with(line.split(' '), b"piped");
    let event: Value = serde_json::from_str(put.stderr.lines().next().unwrap()).unwrap();
    assert_eq!((&event["name"], &event["done"]), (&"standard input".into(), &5.into()));
}

#[test]
fn a_blob_is_mounted_if_possible_and_sent_otherwise() {
    let (program, server) = begin();
    let (a, b) = (format!("{}/a", server.address), format!("{}/b", server.address));
    let layout = program.local("oci", "layout");
    let digest = program.ok(&format!("blob put {a} one"));
    for (from, to, how) in [
        (&a, &b, "mounted"),
        (&a, &layout, "sent"),
        (&a, &layout, "already there"),
        (&layout, &format!("{}/c", server.address), "sent"),
    ] {
        let told = program.ok(&format!("blob copy --quiet {from}@{digest} {to}"));
        assert_eq!(told, format!("{digest}  5 B, {how}"), "{from} to {to}");
        assert_eq!(program.ok(&format!("blob get {to}@{digest}")), "first");
    }
    let json = program.ok(&format!("blob copy --quiet --json {layout}@{digest} {b}"));
    let json: Value = serde_json::from_str(&json).unwrap();
    let shown = (&json["digest"], &json["size"], &json["how"]);
    assert_eq!(shown, (&(*digest).into(), &5.into(), &"held".into()));
    let request = serde_json::json!([{ "host": server.address, "method": "HEAD", "count": 1 }]);
    assert_eq!(json["statistics"]["requests"], request);
    program.fails(2, &format!("blob copy {a} {b}"));
}

#[cfg(target_os = "linux")]
#[test]
fn a_copied_blob_is_not_loaded_into_memory() {
    use longshore_testkit::process::Process;

    let (program, from) = begin();
    let to = program.serve(Some("to"));
    let size = 64 << 20;
    std::fs::File::create(program.path("big")).unwrap().set_len(size).unwrap();
    let digest = program.ok(&format!("blob put {}/a big", from.address));
    let (source, target) = (format!("{}/a@{digest}", from.address), format!("{}/b", to.address));
    let mut command = program.command();
    let mut copying = Process::start(command.args(["blob", "copy", "-q", &source, &target]));
    let mut most = 0;
    while let Some(now) = most_memory(copying.id()) {
        most = now;
        std::thread::sleep(std::time::Duration::from_millis(2));
    }
    assert!(copying.wait(crate::program::DEADLINE).success(), "{}", copying.printed());
    assert_eq!(program.ok(&format!("blob head {target}@{digest}")), size.to_string());
    assert!(0 < most && most < size / 2, "{most} bytes");
}

/// Returns the peak memory of a process in bytes, or `None` if the process has ended.
#[cfg(target_os = "linux")]
pub(crate) fn most_memory(id: u32) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{id}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kibibytes: u64 = line.trim().strip_suffix(" kB")?.parse().ok()?;
    Some(kibibytes << 10)
}

#[test]
fn trap_20_content_with_a_wrong_digest_leaves_no_file() {
    let program = Program::new();
    let layout = program.path("layout");
    let place = format!("oci:{}", layout.display());
    std::fs::write(program.path("file"), "right").unwrap();
    let digest = program.ok(&format!("blob put {place} file"));
    let hex = digest.strip_prefix("sha256:").unwrap();
    // The size is the same, so only the digest reveals the damage.
    std::fs::write(layout.join("blobs/sha256").join(hex), "wrong").unwrap();
    std::fs::create_dir(program.path("out")).unwrap();
    let said = program.fails(7, &format!("blob get {place}@{digest} -o out/blob"));
    assert!(said.contains("digest mismatch"), "{said}");
    assert_eq!(std::fs::read_dir(program.path("out")).unwrap().count(), 0);
    assert!(leftovers(&program.path("out")).is_empty());
}
