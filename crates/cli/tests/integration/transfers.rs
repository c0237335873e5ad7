//! Copy, pull and push between all kinds of locations.

use bytes::Bytes;
use longshore::{Descriptor, Digest, ImageConfig, Layout, MediaType, Pack, Tag};
use longshore_testkit::fixture::{self, Content};
use serde_json::Value;

use crate::program::{Program, leftovers};

/// Writes content to a layout under a tag, and returns its location.
pub(crate) fn layout(program: &Program, name: &str, content: &Content, tag: &str) -> String {
    let path = program.path(name);
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
        let layout = Layout::create(&path).await.unwrap();
        content.push(&layout, Some(&Tag::parse(tag).unwrap())).await;
    });
    format!("oci:{}:{tag}", path.display())
}

#[test]
fn a_real_image_keeps_its_digest_through_registry_layout_and_archive() {
    let program = Program::new();
    let server = program.serve(Some("registry"));
    let packed = layout(&program, "packed", &fixture::real_image(), "v1");
    let digest = program.ok(&format!("digest {packed}"));
    let at = |name: &str| format!("{}/{name}:v1", server.address);
    let archive = program.local("oci-archive", "image.tar");
    program.ok(&format!("push -q {packed} {}", at("pushed")));
    program.ok(&format!("copy -q {} {}", at("pushed"), at("copied")));
    program.ok(&format!("pull -q {} {archive}:v1", at("copied")));
    program.ok(&format!("copy -q {archive}:v1 {}", program.local("oci", "unpacked")));
    program.ok(&format!("copy -q {} {}", program.local("oci", "unpacked"), at("back")));
    for place in [at("pushed"), at("copied"), at("back"), program.local("oci", "unpacked:v1")] {
        assert_eq!(program.ok(&format!("digest {place}")), digest, "{place}");
    }
    assert!(leftovers(&program.path("")).is_empty());
}

#[test]
fn blobs_are_mounted_within_a_registry() {
    let program = Program::new();
    let server = program.serve(Some("registry"));
    let packed = layout(&program, "packed", &fixture::Image::small_index(1), "v1");
    let (app, copy) = (format!("{}/app:v1", server.address), format!("{}/copy", server.address));
    let pushed = program.ok(&format!("push -q --json {packed} {app}"));
    let pushed: Value = serde_json::from_str(&pushed).unwrap();
    let json = program.ok(&format!("copy -q --json {app} {copy}"));
    let outcome: Value = serde_json::from_str(&json).unwrap();
    let only = &outcome["copies"][0];
    assert_eq!((only["bytes_sent"].as_u64(), only["blobs_sent"].as_u64()), (Some(0), Some(0)));
    assert!(only["blobs_mounted"].as_u64().unwrap() > 0, "{json}");
    assert_eq!(only["bytes_mounted"], pushed["copies"][0]["bytes_sent"]);
    // A target without a tag gets the source's tag.
    assert_eq!(program.ok(&format!("ls {copy}")), "v1");
    // The second copy finds all content at the target.
    let again: Value =
        serde_json::from_str(&program.ok(&format!("copy -q --json {app} {copy}"))).unwrap();
    assert_eq!(again["copies"][0]["blobs_mounted"].as_u64(), Some(0));
    assert_eq!(again["copies"][0]["manifests_sent"].as_u64(), Some(0));
}

#[test]
fn one_platform_or_all_tags_can_be_copied() {
    let program = Program::new();
    let server = program.serve(None);
    let packed = layout(&program, "packed", &fixture::Image::small_index(1), "v1");
    let app = format!("{}/app", server.address);
    program.ok(&format!("push -q {packed} {app}:v1"));
    program.ok(&format!("tag {app}:v1 v2 v3"));
    let one = program.local("oci", "one");
    program.ok(&format!("pull -q {app}:v1 {one} --platform linux/arm64"));
    assert_eq!(
        program.ok(&format!("digest {one}")),
        program.ok(&format!("digest {app}:v1 --platform linux/arm64"))
    );
    let all = program.local("oci", "all");
    program.ok(&format!("pull -q {app} {all} --all-tags"));
    assert_eq!(program.ok(&format!("ls {all}")), "v1\nv2\nv3");
    let missing = program.fails(3, &format!("pull -q {app}:v1 --platform linux/s390x"));
    assert!(missing.contains("linux/amd64, linux/arm64"), "{missing}");
    assert!(!program.path("app").exists(), "no layout is created for a missing image");
}

#[test]
fn an_image_is_saved_to_a_docker_archive_and_pushed_from_it() {
    let program = Program::new();
    let server = program.serve(None);
    let packed = layout(&program, "packed", &fixture::Image::small_index(3), "v1");
    let app = format!("{}/app:v1", server.address);
    program.ok(&format!("push -q {packed} {app}"));
    let archive = program.local("docker-archive", "image.tar");
    let index = program.fails(1, &format!("pull -q {app} {archive}:app:v1"));
    assert!(index.contains("platform"), "{index}");
    program.ok(&format!("pull -q {app} {archive}:app:v1 --platform linux/amd64"));
    let back = format!("{}/back:v1", server.address);
    program.ok(&format!("push -q {archive} {back}"));
    assert_eq!(
        program.ok(&format!("config {back}")),
        program.ok(&format!("config {app} --platform linux/amd64"))
    );
}

#[test]
fn images_in_a_docker_archive_are_named_after_the_repository_and_keep_every_tag() {
    let program = Program::new();
    let server = program.serve(None);
    let app = format!("{}/team/app", server.address);
    let packed = layout(&program, "packed", &fixture::Image::small_index(4), "index");
    program.ok(&format!("push -q {packed} {app}:v1 --platform linux/amd64"));
    program.ok(&format!("tag {app}:v1 v2"));
    let archive = program.local("docker-archive", "all.tar");
    program.ok(&format!("pull -q {app} {archive} --all-tags"));
    assert_eq!(program.ok(&format!("ls {archive}")), "v1\nv2");
    program.ok(&format!("digest {archive}:{app}:v2"));
    let local = program.local("oci", "one");
    program.ok(&format!("pull -q {app}:v1 {local}"));
    let named = program.local("docker-archive", "named.tar:me/app");
    program.ok(&format!("copy -q {local} {named} --all-tags"));
    program.ok(&format!("digest {named}:v1"));
    let nameless = program.local("docker-archive", "nameless.tar");
    program.fails(2, &format!("copy -q {local} {nameless} --all-tags"));
    program.ok(&format!("copy -q {local}:v1 {nameless}"));
    program.fails(2, &format!("tag {nameless} v2"));
}

#[test]
fn a_target_with_a_digest_accepts_only_that_digest() {
    let program = Program::new();
    let server = program.serve(None);
    let app = format!("{}/app", server.address);
    let packed = layout(&program, "packed", &fixture::Image::small_index(4), "v1");
    let (digest, other) = (program.ok(&format!("digest {packed}")), Digest::sha256(b""));
    let told = program.fails(7, &format!("copy -q {packed} {app}:v1@{other}"));
    assert!(told.contains(&digest) && told.contains(other.as_str()), "{told}");
    program.fails(3, &format!("ls {app}"));
    program.ok(&format!("copy -q {packed} {app}:v1@{digest}"));
    assert_eq!(program.ok(&format!("ls {app}")), "v1");
}

#[cfg(unix)]
#[test]
fn a_named_pipe_is_written_to_and_never_replaced() {
    use std::os::unix::fs::FileTypeExt as _;
    let program = Program::new();
    let packed = layout(&program, "packed", &fixture::Image::small_index(4), "v1");
    let (blob, pipe) = (program.path("blob"), program.path("pipe"));
    std::fs::write(&blob, "through a pipe").unwrap();
    let local = program.local("oci", "packed");
    let digest = program.ok(&format!("blob put {local} {}", blob.display()));
    assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    let reader = std::thread::spawn({
        let pipe = pipe.clone();
        move || std::fs::read_to_string(pipe).unwrap()
    });
    program.ok(&format!("blob get {local}@{digest} -o {}", pipe.display()));
    assert_eq!(reader.join().unwrap(), "through a pipe");
    for scheme in ["oci-archive", "docker-archive"] {
        program.fails(
            1,
            &format!("copy -q {packed} --platform linux/amd64 {scheme}:{}", pipe.display()),
        );
    }
    assert!(std::fs::metadata(&pipe).unwrap().file_type().is_fifo());
}

#[test]
fn pull_without_a_target_writes_a_layout_named_after_the_repository() {
    let program = Program::new();
    let server = program.serve(None);
    let packed = layout(&program, "packed", &fixture::Image::small_index(1), "v1");
    program.ok(&format!("push -q {packed} {}/team/app:v1", server.address));
    program.ok(&format!("pull -q {}/team/app:v1", server.address));
    assert_eq!(program.ok("ls oci:app"), "v1");
}

#[test]
fn events_are_printed_to_stderr_as_json() {
    let program = Program::new();
    let server = program.serve(None);
    let packed = layout(&program, "packed", &fixture::Image::small_index(1), "v1");
    let line = format!("push --events {packed} {}/app:v1", server.address);
    let ended = program.run(line.split_whitespace());
    assert_eq!(ended.code, 0, "{ended:?}");
    let events: Vec<Value> =
        ended.stderr.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let names: Vec<_> = events.iter().map(|e| e["event"].as_str().unwrap()).collect();
    assert!(names.contains(&"found") && names.contains(&"sent"), "{names:?}");
    assert_eq!(names.last(), Some(&"tagged"));
    assert!(ended.stdout.contains("sha256:"), "the result is on stdout: {ended:?}");
}

#[test]
fn twelve_processes_write_to_one_layout_in_parallel() {
    let program = Program::new();
    let server = program.serve(None);
    let packed = layout(&program, "packed", &fixture::Image::small_index(1), "v1");
    let app = format!("{}/app", server.address);
    program.ok(&format!("push -q {packed} {app}:v1"));
    let tags: Vec<String> = (0..12).map(|n| format!("t{n:02}")).collect();
    program.ok(&format!("tag {app}:v1 {}", tags.join(" ")));
    let target = program.local("oci", "shared");
    std::thread::scope(|scope| {
        for tag in &tags {
            let line = format!("pull -q {app}:{tag} {target}:{tag}");
            let program = &program;
            scope.spawn(move || program.ok(&line));
        }
    });
    assert_eq!(program.ok(&format!("ls {target}")), tags.join("\n"));
}

#[test]
fn an_image_for_another_platform_is_not_found() {
    let program = Program::new();
    let packed = layout(&program, "packed", &fixture::Image::small(1).build(), "v1");
    let target = program.local("oci", "pulled");
    let told = program.fails(3, &format!("copy -q {packed} {target} --platform linux/s390x"));
    assert!(told.contains("platform linux/s390x") && told.contains("the image is for"), "{told}");
    assert!(!program.path("pulled").exists());
    program.fails(3, &format!("config {packed} --platform linux/s390x"));
    program.ok(&format!("config {packed}"));
}

#[test]
fn local_locations_need_no_credentials() {
    let program = Program::new();
    let packed = layout(&program, "packed", &fixture::Image::small(1).build(), "v1");
    std::fs::create_dir_all(program.path(".docker")).unwrap();
    std::fs::write(program.path(".docker/config.json"), "damaged").unwrap();
    program.ok(&format!("ls {packed}"));
    program.ok("completion bash");
    assert!(program.fails(1, "ls localhost:1/a").contains("config.json"));
}

/// Pushes one artifact for each tag to a layout. Each artifact has one file. Returns the paths of
/// the files' blobs.
fn artifacts(program: &Program, name: &str, tags: &[&str]) -> Vec<std::path::PathBuf> {
    let path = program.path(name);
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
        let layout = Layout::create(&path).await.unwrap();
        for tag in tags {
            let pack = Pack::artifact("a/b".parse().unwrap()).file("file", (*tag).to_owned());
            pack.push(&layout, Some(&Tag::parse(tag).unwrap())).await.unwrap();
        }
    });
    let blobs = path.join("blobs/sha256");
    tags.iter().map(|tag| blobs.join(Digest::sha256(tag.as_bytes()).encoded())).collect()
}

#[test]
fn a_failing_tag_does_not_stop_the_others() {
    let program = Program::new();
    let server = program.serve(None);
    let blobs = artifacts(&program, "many", &["a1", "k5", "z9"]);
    std::fs::remove_file(&blobs[1]).unwrap();
    let (many, all) = (program.local("oci", "many"), format!("{}/all", server.address));
    let archive = program.local("oci-archive", "all.tar");
    for target in [&all, &archive] {
        let line = format!("copy -q --all-tags {many} {target}");
        let ended = program.run(line.split_whitespace());
        assert_eq!((ended.code, ended.stdout.lines().count()), (1, 2), "{ended:?}");
        assert_eq!(ended.stderr.lines().count(), 1, "{ended:?}");
        assert!(ended.stderr.starts_with("longshore: tag k5 of oci:"), "{ended:?}");
        assert!(ended.stderr.contains("not found"), "{ended:?}");
        assert_eq!(program.ok(&format!("ls {target}")), "a1\nz9");
    }
    let ended = program.run(["copy", "-q", "--json", "--all-tags", &many, &all]);
    let outcome: Value = serde_json::from_str(&ended.stdout).unwrap();
    assert_eq!((ended.code, outcome["copies"].as_array().unwrap().len()), (1, 2));
    assert_eq!(outcome["failures"][0]["tag"], "k5");
    assert!(outcome["failures"][0]["error"].as_str().unwrap().contains("not found"));

    // A pull of several sources also continues after a failure.
    let line = format!("pull -q {all}:none {all}:a1");
    let ended = program.run(line.split_whitespace());
    assert_eq!(ended.code, 1, "{ended:?}");
    assert!(ended.stderr.contains("all:none: source: not found"), "{ended:?}");
    assert_eq!(ended.stderr.matches("all:none").count(), 1, "{ended:?}");
    let ended = program.run(["copy", "-q", "oci:all:none", "oci:new"]);
    assert_eq!(ended.stderr, "longshore: source: not found: oci:all:none\n");
    assert_eq!(program.ok("ls oci:all"), "a1");

    // If nothing can be copied, the exit code is the code of the failures, and no archive is
    // created.
    for blob in [&blobs[0], &blobs[2]] {
        std::fs::remove_file(blob).unwrap();
    }
    let none = program.local("oci-archive", "none.tar");
    let told = program.fails(3, &format!("copy -q --all-tags {many} {none}"));
    assert_eq!(told.lines().count(), 3, "{told}");
    assert!(!program.path("none.tar").exists());
}

#[test]
fn a_nondistributable_layer_is_left_out_and_can_be_copied_later() {
    let program = Program::new();
    let server = program.serve(None);
    let path = program.path("image");
    let foreign = Descriptor::from_bytes(MediaType::DOCKER_FOREIGN_LAYER_GZIP, b"foreign");
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
        let layout = Layout::create(&path).await.unwrap();
        let pack = Pack::image(&ImageConfig::default()).unwrap();
        let pack = pack.layer(foreign.clone(), Bytes::from_static(b"foreign").into());
        pack.push(&layout, Some(&Tag::parse("v1").unwrap())).await.unwrap();
    });
    let image = program.local("oci", "image:v1");
    let app = format!("{}/app:v1", server.address);
    for target in [app, program.local("oci", "copy:v1"), program.local("oci-archive", "c.tar:v1")] {
        let told = program.ok(&format!("copy -q {image} {target}"));
        let left_out = format!("0 already there, 1 left out: {}, in {target}", foreign.digest);
        assert!(told.ends_with(&left_out), "{told}");
        let told = program.ok(&format!("copy -q --json {image} {target} --nondistributable"));
        let outcome: Value = serde_json::from_str(&told).unwrap();
        let copy = &outcome["copies"][0];
        assert_eq!(
            (&copy["blobs_sent"], &copy["blobs_left_out"]),
            (&1.into(), &0.into()),
            "{told}"
        );
        assert_eq!(copy["manifests_sent"], 0, "{told}");
    }
}

#[test]
fn a_docker_archive_cannot_leave_out_nondistributable_layers() {
    let program = Program::new();
    let path = program.path("image");
    let foreign = Descriptor::from_bytes(MediaType::DOCKER_FOREIGN_LAYER_GZIP, b"foreign");
    let mut config = ImageConfig::default();
    config.rootfs.diff_ids.push(foreign.digest.clone());
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
        let layout = Layout::create(&path).await.unwrap();
        let pack = Pack::image(&config).unwrap();
        let pack = pack.layer(foreign.clone(), Bytes::from_static(b"foreign").into());
        pack.push(&layout, Some(&Tag::parse("v1").unwrap())).await.unwrap();
    });
    let image = program.local("oci", "image:v1");
    let archive = program.local("docker-archive", "x.tar:a/b:v1");
    let told = program.fails(1, &format!("copy -q {image} {archive}"));
    for part in [foreign.digest.as_str(), "non-distributable", "--nondistributable"] {
        assert!(told.contains(part), "{told}");
    }
    assert!(!program.path("x.tar").exists());
    program.ok(&format!("copy -q {image} {archive} --nondistributable"));
    assert_eq!(program.ok("ls docker-archive:x.tar"), "v1");
}
