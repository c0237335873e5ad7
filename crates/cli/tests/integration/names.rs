//! Names in layouts and archives: whole references, plain tags, and the names of copied images.

use longshore::{Layout, Tag};
use longshore_testkit::fixture::{Content, Image};
use serde_json::Value;

use crate::program::Program;

const MYSQL: &str = "platform/mysql:latest";
const APP: &str = "docker.io/library/app:latest";

/// Writes images of one platform under these names to a layout, and returns their digests.
fn layout(program: &Program, folder: &str, names: &[&str]) -> Vec<String> {
    let path = program.path(folder);
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
        let layout = Layout::create(&path).await.unwrap();
        let mut digests = Vec::new();
        for (seed, name) in (1..).zip(names) {
            let content: Content = Image::small(seed).build();
            content.push(&layout.under(name), Some(&Tag::latest())).await;
            digests.push(content.root.digest().to_string());
        }
        digests
    })
}

#[test]
fn whole_names_are_listed_and_each_selects_its_image() {
    let program = Program::new();
    let server = program.serve(None);
    let digests = layout(&program, "img", &[MYSQL, APP, "v1"]);
    assert_eq!(program.ok("ls oci:img"), format!("{APP}\n{MYSQL}\nv1"));
    assert_eq!(program.ok("ls oci:img --after docker.io/z --limit 1"), MYSQL);
    let located = program.ok("ls oci:img --references");
    for (line, digest) in located.lines().zip([&digests[1], &digests[0], &digests[2]]) {
        assert_eq!(program.ok(&format!("digest {line}")), *digest, "{line}");
    }
    let repository = format!("{}/a/b", server.address);
    program.ok(&format!("push -q oci:img:{MYSQL} {repository}"));
    assert_eq!(program.ok(&format!("digest {repository}:latest")), digests[0]);
    // An archive behaves the same.
    program.ok(&format!("copy -q oci:img:{APP} oci-archive:x.tar:{APP}"));
    program.ok(&format!("copy -q oci:img:{MYSQL} oci-archive:x.tar:{MYSQL}"));
    assert_eq!(program.ok("ls oci-archive:x.tar"), format!("{APP}\n{MYSQL}"));
    assert_eq!(program.ok(&format!("digest oci-archive:x.tar:{APP}")), digests[1]);
    let told = program.fails(6, "digest oci-archive:x.tar:latest");
    assert!(told.contains(&digests[0]) && told.contains(&digests[1]), "{told}");
}

#[test]
fn names_that_share_a_tag_stay_separate() {
    let program = Program::new();
    let server = program.serve(None);
    let digests = layout(&program, "img", &[MYSQL, APP]);
    let repository = format!("{}/a/b", server.address);
    for line in [
        format!("push -q oci:img:latest {repository}:v1"),
        format!("push -q oci:img {repository} --all-tags"),
        format!("push -q oci:img {repository}"),
        "untag oci:img:latest".to_owned(),
        "digest oci:img".to_owned(),
    ] {
        let told = program.fails(6, &line);
        for (name, digest) in [MYSQL, APP].iter().zip(&digests) {
            assert!(told.contains(&format!("{name} ({digest})")), "{line}: {told}");
        }
    }
    program.fails(3, &format!("ls {repository}"));
    program.ok(&format!("untag oci:img:{MYSQL}"));
    assert_eq!(program.ok("ls oci:img"), APP);
    // `latest` now selects the only name with this tag. An entry named `latest` takes precedence.
    assert_eq!(program.ok("digest oci:img:latest"), digests[1]);
    program.ok(&format!("tag oci:img@{} latest", digests[0]));
    assert_eq!(program.ok("digest oci:img:latest"), digests[0]);
    assert_eq!(program.ok(&format!("digest oci:img:{APP}")), digests[1]);
    program.ok(&format!("tag oci:img:{APP} v2 v3"));
    assert_eq!(program.ok("ls oci:img"), format!("{APP}\nlatest\nv2\nv3"));
}

#[test]
fn a_pull_keeps_the_other_names_in_a_layout() {
    let program = Program::new();
    let server = program.serve(None);
    let digests = layout(&program, "img", &[MYSQL]);
    layout(&program, "other", &["v0", "latest"]);
    let app = format!("{}/team/app:latest", server.address);
    program.ok(&format!("push -q oci:other:latest {app}"));
    program.ok(&format!("pull -q {app} oci:img"));
    assert_eq!(program.ok("ls oci:img"), format!("latest\n{MYSQL}"));
    assert_eq!(program.ok(&format!("digest oci:img:{MYSQL}")), digests[0]);
    assert_eq!(program.ok("digest oci:img:latest"), program.ok(&format!("digest {app}")));

    program.ok(&format!("pull -q {app} oci:mine:team/app:v9"));
    assert_eq!(program.ok("ls oci:mine"), "team/app:v9");
    let made: Vec<_> = std::fs::read_dir(program.path("")).unwrap().flatten().collect();
    assert!(made.iter().all(|entry| !entry.file_name().to_string_lossy().contains(':')));
    let told = program.fails(1, &format!("pull -q {app} oci:mine:-x"));
    assert!(told.contains("-x") && told.contains("team/app:v1"), "{told}");
}

#[test]
fn whole_names_are_copied_between_layouts() {
    let program = Program::new();
    let names = [APP, MYSQL, "v1"];
    let digests = layout(&program, "img", &names);
    layout(&program, "mine", &["latest"]);
    let mine = program.ok("digest oci:mine:latest");
    // The first target is an archive. The second target is a layout that already has a name.
    for (source, target) in [("oci:img", "oci-archive:x.tar"), ("oci-archive:x.tar", "oci:mine")] {
        let json = program.ok(&format!("copy -q --json --all-tags {source} {target}"));
        let outcome: Value = serde_json::from_str(&json).unwrap();
        let copies = outcome["copies"].as_array().unwrap();
        let told = |copy: &Value| {
            copy["name"].as_str().or_else(|| copy["tag"].as_str()).unwrap().to_owned()
        };
        let told: Vec<_> = copies.iter().map(|c| (told(c), c["target"].clone())).collect();
        let expected = ["v1", APP, MYSQL]
            .map(|name| (name.to_owned(), Value::from(format!("{target}:{name}"))));
        assert_eq!(told, expected);
    }
    assert_eq!(program.ok("ls oci:mine"), format!("{APP}\nlatest\n{MYSQL}\nv1"));
    for (name, digest) in names.iter().zip(&digests) {
        assert_eq!(program.ok(&format!("digest oci:mine:{name}")), *digest);
    }
    assert_eq!(program.ok("digest oci:mine:latest"), mine);
    // A registry stores only tags, so two names with the same tag are still an error.
    program.fails(6, "copy -q --all-tags oci:img localhost:1/a");

    // The error of a failed copy names the image.
    let hex = digests[1].strip_prefix("sha256:").unwrap();
    std::fs::remove_file(program.path("img/blobs/sha256").join(hex)).unwrap();
    let ended = program.run(["copy", "-q", "--all-tags", "oci:img", "oci:rest"]);
    assert_eq!((ended.code, ended.stderr.lines().count()), (1, 1), "{ended:?}");
    let start = format!("longshore: {MYSQL} of oci:img: source: not found");
    assert!(ended.stderr.starts_with(&start), "{ended:?}");
    assert_eq!(program.ok("ls oci:rest"), format!("{APP}\nv1"));
}

#[test]
fn a_layout_accepts_whole_names_as_tags() {
    let program = Program::new();
    let server = program.serve(None);
    let digests = layout(&program, "img", &["v1", MYSQL]);
    program.ok(&format!("tag oci:img:v1 v2 {APP} team/app:v9"));
    assert_eq!(program.ok("ls oci:img"), format!("{APP}\n{MYSQL}\nteam/app:v9\nv1\nv2"));
    for name in [APP, "team/app:v9", "v2"] {
        assert_eq!(program.ok(&format!("digest oci:img:{name}")), digests[0], "{name}");
    }
    assert_eq!(program.ok(&format!("digest oci:img:{MYSQL}")), digests[1]);
    program.ok("copy -q oci:img:v1 oci-archive:x.tar:v1");
    program.ok(&format!("tag oci-archive:x.tar:v1 {APP}"));
    assert_eq!(program.ok("ls oci-archive:x.tar"), format!("{APP}\nv1"));
    // If one name is invalid at the location, nothing is written.
    program.fails(2, "tag oci:img:v1 v3 a//b");
    program.ok(&format!("push -q oci:img:v1 {}/app:v1", server.address));
    program.fails(2, &format!("tag {}/app:v1 v3 team/app:v9", server.address));
    assert!(!program.ok("ls oci:img").contains("v3"));
    assert_eq!(program.ok(&format!("ls {}/app", server.address)), "v1");
}

#[test]
fn push_uses_the_only_name_of_its_source_and_refuses_several_names() {
    let program = Program::new();
    let server = program.serve(None);
    layout(&program, "img", &["rshk0jal"]);
    let at = |name: &str| format!("{}/{name}", server.address);
    for (source, from) in [
        ("docker-archive:x.tar", "docker-archive:x.tar:polykey:rshk0jal"),
        ("oci-archive:o.tar", "oci-archive:o.tar:me/polykey:rshk0jal"),
        ("oci:dir", "oci:dir:polykey:rshk0jal"),
    ] {
        program.ok(&format!("copy -q oci:img {from}"));
        let target = at(source.split(':').next().unwrap());
        program.ok(&format!("push -q {source} {target}"));
        assert_eq!(program.ok(&format!("ls {target}")), "rshk0jal", "{source}");
    }
    program.ok(&format!("push -q docker-archive:x.tar:@0 {}", at("place")));
    assert_eq!(program.ok(&format!("ls {}", at("place"))), "rshk0jal");
    program.ok("copy -q oci:img docker-archive:x.tar:other/name:v2");
    let told = program.fails(6, &format!("push -q docker-archive:x.tar {}", at("several")));
    for part in ["polykey:rshk0jal", "other/name:v2", "docker-archive:FILE:REPOSITORY:TAG"] {
        assert!(told.contains(part), "{told}");
    }
    program.fails(3, &format!("ls {}", at("several")));
    program.ok(&format!("push -q docker-archive:x.tar {}:v3", at("several")));
    assert_eq!(program.ok("ls docker-archive:x.tar:other/name"), "v2");
}

#[test]
fn pull_prints_the_location_and_refuses_a_folder_of_other_files() {
    let program = Program::new();
    let server = program.serve(None);
    layout(&program, "img", &["v1"]);
    let app = format!("{}/team/app:v1", server.address);
    program.ok(&format!("push -q oci:img {app}"));
    let said = program.ok(&format!("pull -q {app}"));
    let place = said.rsplit(' ').next().unwrap();
    assert_eq!(place, "oci:app:v1", "{said}");
    assert_eq!(program.ok(&format!("digest {place}")), said.split(' ').nth(1).unwrap());
    let outcome: Value =
        serde_json::from_str(&program.ok(&format!("pull -q --json {app}"))).unwrap();
    assert_eq!(outcome["copies"][0]["target"], "oci:app:v1");

    for file in ["letter.txt", "index.json"] {
        let folder = program.path(&format!("home-{file}"));
        std::fs::create_dir(&folder).unwrap();
        std::fs::write(folder.join(file), "{}").unwrap();
        // The command fails before it contacts the registry, which does not exist.
        let line = format!("pull -q localhost:1/x:v1 oci:home-{file}");
        let told = program.fails(1, &line);
        assert!(told.contains(file) && told.contains("not an OCI layout"), "{told}");
        assert_eq!(std::fs::read_dir(&folder).unwrap().count(), 1);
    }
}
