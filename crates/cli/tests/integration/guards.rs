//! Conditions on tags: `--if-absent` and `--if-digest`.

use longshore_testkit::fixture::Image;
use longshore_testkit::peer::DockerRegistry;
use serde_json::Value;

use crate::program::Program;
use crate::transfers::layout;

/// Returns the locations of two images in layouts.
fn images(program: &Program) -> [String; 2] {
    [1, 2].map(|seed| layout(program, &format!("image{seed}"), &Image::small(seed).build(), "v1"))
}

/// Checks that conditions on the tag of a target hold, and that the result states how.
///
/// - `method`: the expected protection, as in JSON.
fn assert_guarded(program: &Program, target: &str, method: &str) {
    let [one, two] = images(program);
    let (old, new) = (program.ok(&format!("digest {one}")), program.ok(&format!("digest {two}")));
    let copied = |line: &str| -> Value { serde_json::from_str(&program.ok(line)).unwrap() };
    let first = copied(&format!("copy -q --json {one} {target} --if-absent"));
    assert_eq!(first["copies"][0]["guard"], method);
    let told = program.fails(6, &format!("copy -q {two} {target} --if-absent"));
    let expected = format!("{target}: the tag already exists and points at {old}");
    assert!(told.contains(&expected), "{told}");
    let told = program.fails(6, &format!("copy -q {two} {target} --if-digest {new}"));
    assert!(told.contains(&format!("expected the tag to point at {new}")), "{told}");
    // Nothing was sent.
    let (place, _) = target.rsplit_once(':').unwrap();
    program.fails(3, &format!("manifest get {place}@{new}"));
    let moved = copied(&format!("copy -q --json {two} {target} --if-digest {old}"));
    assert_eq!(moved["copies"][0]["guard"], method);
    assert_eq!(program.ok(&format!("digest {target}")), new);

    let tagged = copied(&format!("tag --json {target} v2 --if-absent"));
    assert_eq!(tagged["guard"], method);
    // No tag is set if one of them does not meet the condition.
    program.fails(6, &format!("tag {target} v3 v2 --if-absent"));
    program.fails(3, &format!("digest {place}:v3"));
}

#[test]
fn the_registry_of_longshore_checks_conditions_atomically() {
    let program = Program::new();
    let server = program.serve(None);
    assert_guarded(&program, &format!("{}/app:v1", server.address), "atomic");
}

#[test]
fn docker_registry_ignores_conditions_so_the_program_checks_them() {
    let program = Program::new();
    let server = DockerRegistry::start();
    assert_guarded(&program, &format!("{}/app:v1", server.address()), "checked");
}

#[test]
fn conditions_on_the_names_of_a_layout_are_checked_atomically() {
    let program = Program::new();
    assert_guarded(&program, &format!("{}:v1", program.local("oci", "target")), "atomic");
}

#[test]
fn conditions_work_for_archives_whole_names_and_all_tags() {
    let program = Program::new();
    let [one, two] = images(&program);
    let archive = program.local("oci-archive", "a.tar");
    program.ok(&format!("copy -q {one} {archive}:v1 --if-absent"));
    program.fails(6, &format!("copy -q {two} {archive}:v1 --if-absent"));
    let docker = program.local("docker-archive", "d.tar");
    program.ok(&format!("copy -q {one} {docker}:app:v1 --if-absent"));
    program.fails(6, &format!("copy -q {two} {docker}:app:v1 --if-absent"));

    // With --all-tags, each tag that exists is a failure, and the others are copied.
    let (from, to) = (program.local("oci", "from"), program.local("oci", "to"));
    for name in ["v1", "docker.io/team/app:v2"] {
        program.ok(&format!("copy -q {one} {from}:{name}"));
    }
    program.ok(&format!("copy -q {two} {to}:v1"));
    let ended =
        program.run(format!("copy -q --json {from} {to} --all-tags --if-absent").split(' '));
    assert_eq!(ended.code, 1, "{ended:?}");
    let outcome: Value = serde_json::from_str(&ended.stdout).unwrap();
    assert_eq!(outcome["copies"][0]["name"], "docker.io/team/app:v2");
    assert_eq!(outcome["copies"][0]["guard"], "atomic");
    assert_eq!(outcome["failures"][0]["tag"], "v1");
    let line = format!("copy -q {from} {to} --all-tags --if-absent");
    let told = program.fails(6, &line);
    assert!(told.contains("docker.io/team/app:v2: the tag already exists"), "{told}");
}

#[test]
fn the_push_of_a_manifest_can_have_a_condition() {
    let program = Program::new();
    let [one, _] = images(&program);
    let server = program.serve(None);
    let app = format!("{}/app", server.address);
    program.ok(&format!("copy -q {one} {app}:v1"));
    program.ok(&format!("manifest get {app}:v1 -o {}", program.path("m").display()));
    let put = format!("{app}:v2 {}", program.path("m").display());
    let written = program.ok(&format!("manifest put --json --if-absent {put}"));
    let written: Value = serde_json::from_str(&written).unwrap();
    assert_eq!(written["guard"], "atomic");
    program.fails(6, &format!("manifest put --if-absent {put}"));
    program.fails(2, &format!("copy {one} {app}:v3 --if-absent --if-digest {}", written["digest"]));
}
