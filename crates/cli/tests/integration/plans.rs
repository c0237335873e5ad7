//! Plans: `--plan` and `longshore apply`.

use std::collections::BTreeSet;

use longshore_testkit::fixture::Image;
use longshore_testkit::peer::DockerRegistry;
use serde_json::{Value, json};

use crate::program::Program;
use crate::transfers::layout;

/// Runs a command, and returns its JSON.
fn json(program: &Program, line: &str) -> Value {
    serde_json::from_str(&program.ok(line)).unwrap()
}

/// Writes a plan to a file, and returns the name of the file.
fn save(program: &Program, plan: &Value) -> String {
    let path = program.path("plan.json");
    std::fs::write(&path, plan.to_string()).unwrap();
    path.display().to_string()
}

/// Returns the names of the files and folders in the home folder.
fn files(program: &Program) -> BTreeSet<String> {
    let entries = std::fs::read_dir(program.path("")).unwrap();
    entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

/// Checks that a plan writes nothing, and that `apply` does exactly what the plan states.
fn assert_planned_and_applied(program: &Program, target: &str) {
    let source = layout(program, "index", &Image::small_index(1), "v1");
    let digest = program.ok(&format!("digest {source}"));
    let before = files(program);
    let text = program.ok(&format!("copy {source} {target}:v1 --plan"));
    assert!(text.contains(&format!("new tag   v1: {digest}\n  send")), "{text}");
    let plan = json(program, &format!("copy {source} {target}:v1 --plan --json"));
    assert_eq!(files(program), before);
    program.fails(3, &format!("digest {target}:v1"));

    let item = &plan["items"][0];
    assert_eq!(plan["version"], 1);
    assert_eq!((&item["source"], &item["tag"]), (&json!(source), &json!("v1")));
    assert_eq!((&item["source_digest"], &item["tag_before"]), (&json!(digest), &Value::Null));
    let steps = item["steps"].as_array().unwrap();
    let sent = steps.iter().filter(|step| step["action"] == "send");
    let blobs = sent.filter(|step| {
        !step["content"]["mediaType"].as_str().unwrap().contains("manifest.v1")
            && !step["content"]["mediaType"].as_str().unwrap().contains("index.v1")
    });
    let blobs: Vec<_> = blobs.collect();
    let bytes: u64 = blobs.iter().map(|step| step["content"]["size"].as_u64().unwrap()).sum();

    let applied = json(program, &format!("apply -q --json {}", save(program, &plan)));
    let copied = &applied["copies"][0];
    assert_eq!((&copied["root"]["digest"], &copied["tag"]), (&json!(digest), &json!("v1")));
    assert_eq!(copied["bytes_sent"], bytes);
    assert_eq!(copied["blobs_sent"], blobs.len());
    assert_eq!(program.ok(&format!("digest {target}:v1")), digest);

    // The tag has changed since the plan was made.
    let told = program.fails(6, &format!("apply -q {}", save(program, &plan)));
    assert!(told.contains("the tag already exists"), "{told}");
    let again = program.ok(&format!("copy {source} {target}:v1 --plan"));
    assert!(again.contains(&format!("same tag  v1: {digest}\n")), "{again}");
    assert!(again.contains("0 (0 B) to send, 0 (0 B) to mount"), "{again}");
}

#[test]
fn a_plan_is_printed_and_applied_to_the_registry_of_longshore() {
    let program = Program::new();
    let server = program.serve(None);
    assert_planned_and_applied(&program, &format!("{}/app", server.address));
}

#[test]
fn a_plan_is_printed_and_applied_to_docker_registry() {
    let program = Program::new();
    let server = DockerRegistry::start();
    assert_planned_and_applied(&program, &format!("{}/app", server.address()));
}

#[test]
fn a_plan_for_a_layout_or_archive_creates_nothing() {
    let program = Program::new();
    layout(&program, "image", &Image::small(1).build(), "v1");
    let source = "oci:image:v1";
    for target in ["oci:new", "oci-archive:new.tar", "docker-archive:new-docker.tar:app"] {
        let before = files(&program);
        program.ok(&format!("copy {source} {target} --plan"));
        assert_eq!(files(&program), before, "{target}");
        // A plan names the whole path, so that it can be applied in another folder.
        let plan = json(&program, &format!("copy {source} {target} --plan --json"));
        let named = plan["items"][0]["target"].as_str().unwrap();
        assert!(named.contains(&program.path("new").display().to_string()), "{named}");
        let mut apply = program.command();
        let plan = save(&program, &plan);
        let output = apply.args(["apply", "-q", &plan]).current_dir("/").output().unwrap();
        assert!(output.status.success(), "{output:?}");
        let told = program.fails(6, &format!("apply -q {plan}"));
        assert!(told.contains("the tag already exists"), "{told}");
    }
    // Refused before any request: nothing listens on port 1.
    for line in ["localhost:1/app oci-archive:-", "oci-archive:- localhost:1/app"] {
        let told = program.fails(2, &format!("copy {line} --plan"));
        assert!(told.contains("standard input or output"), "{told}");
    }
}

#[test]
fn moved_tags_are_planned_and_copies_that_changed_are_refused_alone() {
    let program = Program::new();
    let server = program.serve(None);
    let at = |name: &str| format!("{}/{name}", server.address);
    let [old, new] = [1, 2]
        .map(|seed| layout(&program, &format!("image{seed}"), &Image::small(seed).build(), "v1"));
    let [old_digest, new_digest] = [&old, &new].map(|image| program.ok(&format!("digest {image}")));
    for (tag, image) in [("v1", &new), ("v2", &new), ("v3", &new), ("v4", &new)] {
        program.ok(&format!("push -q {image} {}:{tag}", at("from")));
        program.ok(&format!("push -q {old} {}:{tag}", at("to")));
    }
    let copy = format!("copy {} {} --all-tags --plan", at("from"), at("to"));
    let text = program.ok(&copy);
    assert!(text.contains(&format!("move tag  v3: {old_digest} -> {new_digest}")), "{text}");
    assert!(text.contains("  mount     sha256:"), "{text}");
    let plan = json(&program, &format!("{copy} --json"));
    // Content that several copies share is listed once.
    let steps: Vec<&Value> =
        plan["items"].as_array().unwrap().iter().map(|item| &item["steps"]).collect();
    assert!(steps[0].as_array().unwrap().len() > 1);
    assert!(steps[1..].iter().all(|steps| **steps == json!([])), "{steps:?}");

    // The source of one tag moves, the target of another, and a third is deleted.
    program.ok(&format!("push -q {old} {}:v1", at("from")));
    program.ok(&format!("push -q {new} {}:v2", at("to")));
    let ended = program.run(["apply", "-q", "--json", &save(&program, &plan)]);
    assert_eq!(ended.code, 6, "{ended:?}");
    let moved = format!("the plan is for {new_digest}, but the source has {old_digest}");
    assert!(ended.stderr.contains(&moved), "{}", ended.stderr);
    let changed =
        format!("expected the tag to point at {old_digest}, but it points at {new_digest}");
    assert!(ended.stderr.contains(&changed), "{}", ended.stderr);
    let report: Value = serde_json::from_str(&ended.stdout).unwrap();
    let tags: Vec<&Value> =
        report["copies"].as_array().unwrap().iter().map(|copy| &copy["tag"]).collect();
    assert_eq!(tags, ["v3", "v4"]);
    assert_eq!(report["copies"][0]["guard"], "atomic");
    assert_eq!(program.ok(&format!("digest {}:v1", at("to"))), old_digest);
    assert_eq!(program.ok(&format!("digest {}:v3", at("to"))), new_digest);

    // A missing source is another failure than a change.
    program.ok(&format!("untag {}:v4", at("from")));
    let ended = program.run(["apply", "-q", &save(&program, &plan)]);
    assert_eq!(ended.code, 1, "{ended:?}");
}

#[test]
fn a_platform_and_whole_names_are_planned_and_applied() {
    let program = Program::new();
    let source = layout(&program, "index", &Image::small_index(1), "v1");
    let platform = "--platform linux/arm64";
    let plan = json(&program, &format!("copy {source} oci:one:v1 {platform} --plan --json"));
    assert_ne!(plan["items"][0]["source_digest"], plan["items"][0]["root"]["digest"]);
    program.ok(&format!("apply -q {}", save(&program, &plan)));
    let image = program.ok(&format!("digest {source} {platform}"));
    assert_eq!(program.ok("digest oci:one:v1"), image);
    assert_eq!(plan["items"][0]["root"]["digest"], image);

    for name in ["v1", "team/app:v2"] {
        program.ok(&format!("copy -q {source} oci:named:{name}"));
    }
    let plan = json(&program, "copy oci:named oci:copy --all-tags --plan --json");
    assert_eq!(plan["items"].as_array().unwrap().len(), 2);
    program.ok(&format!("apply -q {}", save(&program, &plan)));
    assert_eq!(program.ok("ls oci:copy"), "team/app:v2\nv1");
    program.fails(6, &format!("apply -q {}", save(&program, &plan)));
}

#[test]
fn digest_tags_are_planned_with_their_manifests() {
    let program = Program::new();
    let server = program.serve(None);
    let [from, to] = ["from", "to"].map(|name| format!("{}/{name}", server.address));
    let [image, signature] = [1, 2]
        .map(|seed| layout(&program, &format!("image{seed}"), &Image::small(seed).build(), "v1"));
    let digest = program.ok(&format!("digest {image}"));
    let signed = format!("{}.sig", digest.replace(':', "-"));
    program.ok(&format!("push -q {image} {from}:v1"));
    program.ok(&format!("push -q {signature} {from}:{signed}"));
    let copy = format!("copy {from} {to} --all-tags --plan");
    let text = program.ok(&copy);
    assert!(text.contains(&format!("  new tag   {signed}: sha256:")), "{text}");
    let plan = json(&program, &format!("{copy} --json"));
    let items = plan["items"].as_array().unwrap();
    assert_eq!(items.iter().map(|item| &item["tag"]).collect::<Vec<_>>(), ["v1"]);
    program.ok(&format!("apply -q {}", save(&program, &plan)));
    assert_eq!(program.ok(&format!("ls {to}")), format!("{signed}\nv1"));
}

#[test]
fn a_planned_series_leaves_digest_tags_whose_content_differs_at_the_target() {
    let program = Program::new();
    let server = program.serve(None);
    let [from, to] = ["from", "to"].map(|name| format!("{}/{name}", server.address));
    // The tag belongs to no image at the source.
    let tag = format!("sha256-{}.sig", "0".repeat(64));
    for (place, seed) in [(&from, 1), (&to, 2)] {
        let content = layout(&program, &format!("image{seed}"), &Image::small(seed).build(), "v1");
        program.ok(&format!("push -q {content} {place}:{tag}"));
    }
    let own = program.ok(&format!("digest {to}:{tag}"));
    let copy = format!("copy {from} {to} --all-tags --plan");
    let text = program.ok(&copy);
    assert!(text.contains(&format!("1 left behind (different at the target): {tag}")), "{text}");
    let plan = json(&program, &format!("{copy} --json"));
    assert_eq!((&plan["items"], &plan["left_behind"][0]["tag"]), (&json!([]), &json!(tag)));
    program.ok(&format!("apply -q {}", save(&program, &plan)));
    assert_eq!(program.ok(&format!("digest {to}:{tag}")), own);
}

#[test]
fn documents_that_are_not_plans_are_refused() {
    let program = Program::new();
    let source = layout(&program, "image", &Image::small(1).build(), "v1");
    let plan = json(&program, &format!("copy {source} oci:new --plan --json"));
    let changed = |change: fn(&mut Value)| {
        let mut plan = plan.clone();
        change(&mut plan);
        plan
    };
    for (document, problem) in [
        (json!([]), "not a plan"),
        (changed(|plan| plan["version"] = json!(2)), "the plan has version 2, expected 1"),
        (changed(|plan| plan["items"][0]["target"] = json!("oci:")), "the path is missing"),
        (changed(|plan| plan["items"][0]["options"]["other"] = json!(1)), "unknown field"),
        (
            changed(|plan| plan["items"][0]["source_digest"] = json!(format!("sha256:{:064}", 0))),
            "`source_digest` and `root` of oci:",
        ),
    ] {
        let told = program.fails(1, &format!("apply {}", save(&program, &document)));
        assert!(told.contains(problem) && told.contains("plan.json"), "{told}");
    }
    program.fails(1, "apply missing.json");
    let told = program.run_with(["apply", "-q", "-"], plan.to_string().as_bytes());
    assert_eq!(told.code, 0, "{told:?}");
    assert!(program.path("new").exists());
}
