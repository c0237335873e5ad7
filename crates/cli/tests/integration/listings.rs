//! Listings with details, templates for results, and completion in shells.

use longshore::{Layout, Tag};
use longshore_testkit::fixture::{Content, Image};
use serde_json::Value;

use crate::program::{Program, Server};

/// Serves a registry with images under these tags.
fn served(program: &Program, tags: &[&str]) -> (Server, String) {
    let server = program.serve(None);
    let repository = format!("{}/team/app", server.address);
    program.ok(&format!("push -q {} {repository}:{}", layout(program), tags[0]));
    if tags.len() > 1 {
        program.ok(&format!("tag {repository}:{} {}", tags[0], tags[1..].join(" ")));
    }
    (server, repository)
}

fn layout(program: &Program) -> String {
    let content: Content = Image::small(1).build();
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
        let layout = Layout::create(program.path("img")).await.unwrap();
        content.push(&layout, Some(&Tag::latest())).await;
    });
    "oci:img".to_owned()
}

#[test]
fn a_long_listing_shows_each_tag_in_the_order_of_versions() {
    let program = Program::new();
    let (_server, repository) = served(&program, &["v1.10", "v1.9", "v1.9-rc1"]);
    let text = program.ok(&format!("ls --long {repository}"));
    let lines: Vec<Vec<&str>> = text.lines().map(|l| l.split_whitespace().collect()).collect();
    assert_eq!(lines[0], ["TAG", "DIGEST", "SIZE", "CREATED", "PLATFORMS"]);
    assert_eq!([lines[1][0], lines[2][0], lines[3][0]], ["v1.9-rc1", "v1.9", "v1.10"]);
    let digest = program.ok(&format!("digest {repository}:v1.9"));
    assert!(digest.contains(lines[1][1]), "{text}");
    let all: Value =
        serde_json::from_str(&program.ok(&format!("ls -l --json {repository}"))).unwrap();
    let one = &all["tags"][0];
    assert_eq!((&one["tag"], &one["digest"]), (&"v1.9-rc1".into(), &digest.into()));
    assert!(one["size"].as_u64().unwrap() > 0, "{one}");
    assert!(!one["platforms"].as_array().unwrap().is_empty(), "{one}");

    let sorted = |order: &str| program.ok(&format!("ls {repository} --sort {order}"));
    assert_eq!(sorted("name"), "v1.10\nv1.9\nv1.9-rc1");
    assert_eq!(sorted("version"), "v1.9-rc1\nv1.9\nv1.10");
    assert_eq!(sorted("created").lines().count(), 3);
}

#[test]
fn a_long_listing_of_a_layout_names_its_entries() {
    let program = Program::new();
    let layout = layout(&program);
    let text = program.ok(&format!("ls --long {layout}"));
    assert_eq!(text.lines().count(), 2, "{text}");
}

#[test]
fn an_image_that_cannot_be_read_is_reported_and_the_others_are_listed() {
    let program = Program::new();
    let (_server, repository) = served(&program, &["v1", "v2"]);
    program.ok(&format!("pull -q {repository}:v1 oci:two:v1"));
    program.ok("tag oci:two:v1 v2");
    let digest = program.ok("digest oci:two:v1");
    let manifest = program.path("two/blobs/sha256").join(&digest["sha256:".len()..]);
    std::fs::write(manifest, "{}").unwrap();
    let ended = program.run(["ls", "--long", "oci:two"]);
    assert_eq!(ended.code, 1, "{ended:?}");
    assert!(ended.stderr.contains("digest mismatch") || ended.stderr.contains("size mismatch"));
}

#[test]
fn a_long_catalog_counts_the_tags() {
    let program = Program::new();
    let (server, _) = served(&program, &["v1", "v2", "v3"]);
    let text = program.ok(&format!("catalog --long {}", server.address));
    assert_eq!(text, "REPOSITORY  TAGS\nteam/app       3");
    let json = program.ok(&format!("catalog --long --json {}", server.address));
    let json: Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json["repositories"][0], serde_json::json!({ "name": "team/app", "tags": 3 }));
}

#[test]
fn a_template_shows_the_fields_of_a_result() {
    let program = Program::new();
    let (_server, repository) = served(&program, &["v1", "v2"]);
    let digest = program.ok(&format!("digest {repository}:v1"));
    let run = |words: [&str; 2], template: &str| {
        let ended = program.run([words[0], words[1], "--format", template]);
        assert_eq!(ended.code, 0, "{ended:?}");
        ended.stdout.trim_end().to_owned()
    };
    let name = format!("{repository}:v1");
    assert_eq!(run(["digest", &name], "{{.digest}}"), digest);
    assert_eq!(run(["inspect", &name], "{{.name}} {{.digest}}"), format!("{name} {digest}"));
    assert_eq!(run(["ls", &repository], "{{ tags | join(',') }}"), "v1,v2");
    let ended = program.run(["untag", &format!("{repository}:v2"), "--format", "{{.tag}}"]);
    assert_eq!((ended.code, ended.stdout.trim_end()), (0, "v2"), "{ended:?}");
    for (template, expected) in [("{{ .missing }}", "undefined value"), ("{{ x", "invalid value")] {
        let ended = program.run(["digest", &name, "--format", template]);
        assert_eq!(ended.code, 2, "{ended:?}");
        assert!(ended.stderr.contains(expected), "{ended:?}");
    }
}

#[test]
fn a_shell_completes_commands_repositories_and_tags() {
    let program = Program::new();
    let (server, repository) = served(&program, &["v1.0", "v1.1", "w2"]);
    let complete = |words: &[&str]| {
        let mut command = program.command();
        command.env("LONGSHORE_COMPLETE", "fish").arg("--").arg("longshore").args(words);
        let ended = command.output().unwrap();
        assert!(ended.status.success() && ended.stderr.is_empty(), "{ended:?}");
        let shown = String::from_utf8(ended.stdout).unwrap();
        shown.lines().map(|line| line.split('\t').next().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(complete(&["untag"]), ["untag"]);
    let start = format!("{}/te", server.address);
    assert_eq!(complete(&["copy", &start]).concat(), repository);
    let tags = ["v1.0", "v1.1"].map(|tag| format!("{repository}:{tag}"));
    assert_eq!(complete(&["ls", &format!("{repository}:v")]), tags);
    // The names are kept for a minute, and nothing is shown of a registry that does not answer.
    drop(server);
    assert_eq!(complete(&["ls", &format!("{repository}:v")]), tags);
    assert!(complete(&["ls", &format!("{repository}/more:v")]).is_empty());
}

#[test]
fn the_man_pages_of_all_commands_are_written() {
    let program = Program::new();
    program.ok("man pages");
    let page = |name: &str| std::fs::read_to_string(program.path("pages").join(name)).unwrap();
    assert!(page("longshore.1").contains("copy"));
    assert!(page("longshore-copy.1").contains("platform"));
    assert!(page("longshore-blob-get.1").contains("output"));
    assert!(!page("longshore-serve.1").contains("netrc"));
    assert!(page("longshore-copy.1").contains("resolve"));
}
