//! Several sources and several targets in one command.

use std::collections::BTreeMap;

use longshore_testkit::fixture::{self, Image};
use longshore_testkit::peer::DockerRegistry;
use serde_json::Value;

use crate::program::{Program, Server};
use crate::transfers::layout;

/// Returns how often each blob and manifest was read from a registry, from the lines of its log.
fn reads(server: &Server, repository: &str) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    for line in server.process.printed().lines().filter(|line| line.contains("GET")) {
        let mut words = line.split(|c: char| c.is_whitespace() || c == '"' || c == '=');
        let content = ["blobs", "manifests"].map(|kind| format!("/v2/{repository}/{kind}/"));
        let of = |word: &&str| content.iter().any(|path| word.starts_with(path));
        if let Some(path) = words.find(of) {
            *counts.entry(path.to_owned()).or_default() += 1;
        }
    }
    counts
}

#[test]
fn one_read_of_the_source_feeds_docker_registry_and_other_targets() {
    let program = Program::new();
    let source = program.serve_with(None, &["-v"]);
    let (theirs, ours) = (DockerRegistry::start(), program.serve(None));
    let packed = layout(&program, "packed", &fixture::real_image(), "v1");
    let digest = program.ok(&format!("digest {packed}"));
    let from = format!("{}/app:v1", source.address);
    program.ok(&format!("push -q {packed} {from}"));
    let targets = [
        format!("{}/copy", theirs.address()),
        format!("{}/copy", ours.address),
        program.local("oci", "copy"),
        program.local("oci-archive", "copy.tar"),
    ];
    let to = targets.iter().map(|target| format!("--to {target}")).collect::<Vec<_>>().join(" ");
    let outcome: Value =
        serde_json::from_str(&program.ok(&format!("copy -q --json {from} {to}"))).unwrap();
    let copies = outcome["copies"].as_array().unwrap();
    assert_eq!(copies.len(), 4);
    for (copy, target) in copies.iter().zip(&targets) {
        assert_eq!(copy["target"], format!("{target}:v1"));
        assert!(copy["blobs_sent"].as_u64().unwrap() > 3, "{copy}");
        assert_eq!(program.ok(&format!("digest {target}:v1")), digest);
    }
    let reads = reads(&source, "app");
    assert!(reads.len() > 3, "{reads:?}");
    assert!(reads.values().all(|count| *count == 1), "{reads:?}");
}

#[test]
fn a_target_that_fails_does_not_stop_the_others_and_the_exit_code_shows_it() {
    let program = Program::new();
    let [one, two] = [1, 2]
        .map(|seed| layout(&program, &format!("image{seed}"), &Image::small(seed).build(), "v1"));
    let server = program.serve(None);
    let app = format!("{}/app", server.address);
    program.ok(&format!("push -q {one} {app}:v1"));
    // Nothing listens on port 1, and the other target already has the tag.
    let closed = "localhost:1/app";
    let to = format!("--to {closed} --to {app} --to oci:copy --if-absent");
    let ended = program.run(format!("copy -q --json {two} {to}").split_whitespace());
    assert_eq!(ended.code, 1, "{ended:?}");
    let outcome: Value = serde_json::from_str(&ended.stdout).unwrap();
    let located = |list: &str| -> Vec<Value> {
        outcome[list].as_array().unwrap().iter().map(|item| item["target"].clone()).collect()
    };
    assert_eq!(located("copies"), ["oci:copy:v1"]);
    assert_eq!(located("failures"), ["localhost:1/app".to_owned(), app.clone()]);
    assert!(ended.stderr.contains("localhost:1") && ended.stderr.contains("already exists"));
    let same = format!("copy -q {two} --to {app} --to oci:copy --if-absent");
    program.fails(6, &same);

    // A source that fails is reported once, with all its targets.
    let line = format!("copy -q {app}:v1 {app}:absent --to {app}2 --to oci:other");
    let ended = program.run(line.split(' '));
    assert_eq!(ended.code, 1, "{ended:?}");
    assert_eq!(ended.stderr.lines().count(), 1, "{ended:?}");
    assert!(ended.stderr.contains(&format!("(for {app}2, oci:other)")), "{ended:?}");
}

#[test]
fn several_sources_keep_their_tags_at_each_target() {
    let program = Program::new();
    let [one, two] = [("image1", "v1"), ("image2", "v2")].map(|(name, tag)| {
        layout(&program, name, &Image::small(tag.as_bytes()[1].into()).build(), tag)
    });
    let server = program.serve(None);
    let app = format!("{}/app", server.address);
    program.ok(&format!("copy -q {one} {two} {app}"));
    assert_eq!(program.ok(&format!("ls {app}")), "v1\nv2");
    program.ok(&format!("copy -q {app}:v1 {app}:v2 --to oci:copy --to {app}2"));
    assert_eq!(program.ok("ls oci:copy"), "v1\nv2");
    assert_eq!(program.ok(&format!("ls {app}2")), "v1\nv2");
    // All tags of one repository are copied to two targets.
    program.ok(&format!("copy -q {app} --all-tags --to oci:all --to {app}3"));
    assert_eq!(program.ok("ls oci:all"), program.ok(&format!("ls {app}3")));

    let absolute = program.local("oci", "other");
    let both = |one: &str, other: &str| format!("from {one} and from {other}");
    for (line, named) in [
        (
            format!("{app}:v1 {app}2:v1 oci:other"),
            both(&format!("{app}:v1"), &format!("{app}2:v1")),
        ),
        (format!("{app} {app}2 oci:other --all-tags"), both(&app, &format!("{app}2"))),
        // The only tag of the layout is known only when the layout is opened.
        (format!("oci:image1 {app}:v1 oci:other"), both("oci:image1", &format!("{app}:v1"))),
        (format!("{app}:v1 --to oci:other --to oci:other"), format!("from {app}:v1")),
        (format!("{app}:v1 --to oci:other --to {absolute}"), format!("from {app}:v1")),
        (format!("{app}:v1 --to oci:other --to oci:./x/../other"), format!("from {app}:v1")),
    ] {
        let told = program.fails(2, &format!("copy {line}"));
        assert!(told.contains("more than once") && told.contains(&named), "{line}: {told}");
    }
    let told = program.fails(2, "copy oci:image1:v1 oci:./image1:v1");
    assert!(told.contains("source and target are the same"), "{told}");
    assert!(!program.path("other").exists());
}

#[test]
fn one_archive_in_two_spellings_is_written_once_with_all_images() {
    let program = Program::new();
    let [one, two] = [("image1", "v1"), ("image2", "v2")].map(|(name, tag)| {
        layout(&program, name, &Image::small(tag.as_bytes()[1].into()).build(), tag)
    });
    program.ok(&format!("copy -q {one} --to oci-archive:a.tar:x --to oci-archive:./a.tar:y"));
    assert_eq!(program.ok("ls oci-archive:a.tar"), "x\ny");
    program.ok(&format!("copy -q {two} oci-archive:./a.tar"));
    assert_eq!(program.ok("ls oci-archive:a.tar"), "v2\nx\ny");
}

#[test]
fn standard_input_feeds_several_targets() {
    let program = Program::new();
    let one = layout(&program, "image", &Image::small(1).build(), "v1");
    program.ok(&format!("copy -q {one} oci-archive:image.tar"));
    let archive = std::fs::read(program.path("image.tar")).unwrap();
    let line = "copy -q oci-archive:- --to oci:a --to oci:b";
    let ended = program.run_with(line.split(' '), &archive);
    assert_eq!(ended.code, 0, "{ended:?}");
    assert_eq!(program.ok("digest oci:a:v1"), program.ok("digest oci:b:v1"));
}
