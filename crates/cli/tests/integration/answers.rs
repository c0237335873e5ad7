//! The output of commands that print information.

use serde_json::Value;

use crate::program::Program;

/// Pushes an image of two platforms to a registry and returns its digest.
fn fill(program: &Program, registry: &str) -> String {
    let content = longshore_testkit::fixture::Image::small_index(7);
    let layout = program.path("fixture");
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
        let layout = longshore::Layout::create(&layout).await.unwrap();
        content.push(&layout, Some(&longshore::Tag::parse("v1").unwrap())).await;
    });
    program.ok(&format!("push --quiet oci:{}:v1 {registry}/team/app:v1", layout.display()));
    program.ok(&format!("digest {registry}/team/app:v1"))
}

#[test]
fn digest_prints_only_the_digest() {
    let program = Program::new();
    let server = program.serve(None);
    let digest = fill(&program, &server.address);
    let ended = program.run(["digest", &format!("{}/team/app:v1", server.address)]);
    assert_eq!(ended.stdout, format!("{digest}\n"));
    assert!(digest.starts_with("sha256:") && digest.len() == 71);
    assert_eq!(ended.stderr, "");
    let one = program.ok(&format!("digest {}/team/app:v1 --platform linux/arm64", server.address));
    assert_ne!(one, digest);
}

#[test]
fn ls_and_catalog_print_one_name_per_line() {
    let program = Program::new();
    let server = program.serve(None);
    fill(&program, &server.address);
    let address = &server.address;
    program.ok(&format!("tag {address}/team/app:v1 v2 latest"));
    program.ok(&format!("copy -q {address}/team/app:v1 {address}/other:v1"));
    assert_eq!(program.ok(&format!("ls {address}/team/app")), "latest\nv1\nv2");
    assert_eq!(program.ok(&format!("ls {address}/team/app --after latest --limit 1")), "v1");
    assert_eq!(program.ok(&format!("catalog {address}")), "other\nteam/app");
    let json: Value =
        serde_json::from_str(&program.ok(&format!("ls {address}/other --json"))).unwrap();
    assert_eq!(json, serde_json::json!({ "tags": ["v1"] }));
    let json: Value =
        serde_json::from_str(&program.ok(&format!("catalog {address} --json"))).unwrap();
    assert_eq!(json, serde_json::json!({ "repositories": ["other", "team/app"] }));
}

#[test]
fn a_manifest_is_printed_and_pushed_byte_for_byte() {
    let program = Program::new();
    let server = program.serve(None);
    let digest = fill(&program, &server.address);
    let app = format!("{}/team/app", server.address);
    let manifest = program.run(["manifest", "get", &format!("{app}:v1")]);
    assert_eq!(longshore::Digest::sha256(manifest.stdout.as_bytes()).as_str(), digest);
    // The same bytes under another tag have the same digest.
    let put = program
        .run_with(["manifest", "put", &format!("{app}:again"), "-"], manifest.stdout.as_bytes());
    assert_eq!((put.code, put.stdout.trim()), (0, digest.as_str()), "{put:?}");
    assert_eq!(program.ok(&format!("digest {app}:again")), digest);
    // A digest that does not match the bytes is refused.
    let wrong = format!("{app}@sha256:{}", "0".repeat(64));
    let refused =
        program.run_with(["manifest", "put", wrong.as_str(), "-"], manifest.stdout.as_bytes());
    assert_eq!(refused.code, 7, "{refused:?}");

    let config = program.ok(&format!("config {app}:v1 --platform linux/amd64"));
    let config: Value = serde_json::from_str(&config).unwrap();
    assert_eq!(config["architecture"], "amd64");
}

#[test]
fn inspect_shows_platforms_layers_and_config() {
    let program = Program::new();
    let server = program.serve(None);
    let digest = fill(&program, &server.address);
    let app = format!("{}/team/app:v1", server.address);
    let text = program.ok(&format!("inspect {app}"));
    for part in [digest.as_str(), "linux/amd64", "linux/arm64", "application/vnd.oci.image.index"] {
        assert!(text.contains(part), "{part} in {text}");
    }
    let one = program.ok(&format!("inspect {app} --platform linux/amd64"));
    assert!(one.contains("Platform:   linux/amd64") && one.contains("Layers:"), "{one}");
    assert!(one.contains("Created:    1970-01-01T00:00:00Z"), "{one}");
    let config = program.ok(&format!("config {app} --platform linux/amd64"));
    let config: Value = serde_json::from_str(&config).unwrap();
    let one = program.ok(&format!("inspect {app} --platform linux/amd64 --json"));
    let one: Value = serde_json::from_str(&one).unwrap();
    assert_eq!(one["config"], config, "the config is unchanged");
    let json = program.ok(&format!("inspect {app} --json"));
    let json: Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json["digest"], digest.as_str());
    assert_eq!(json["manifests"].as_array().unwrap().len(), 2);
}

#[test]
fn blob_commands_upload_read_mount_and_remove_a_blob() {
    let program = Program::new();
    let server = program.serve(None);
    let (one, two) = (format!("{}/one", server.address), format!("{}/two", server.address));
    std::fs::write(program.path("file"), "content").unwrap();
    let digest = program.ok(&format!("blob put {one} {}", program.path("file").display()));
    assert_eq!(digest, longshore::Digest::sha256(b"content").as_str());
    assert_eq!(program.ok(&format!("blob head {one}@{digest}")), "7");
    assert_eq!(program.ok(&format!("blob get {one}@{digest}")), "content");
    program.ok(&format!("blob get {one}@{digest} -o got"));
    assert_eq!(std::fs::read_to_string(program.path("got")).unwrap(), "content");
    program.fails(3, &format!("blob head {two}@{digest}"));
    assert_eq!(program.ok(&format!("blob mount {one}@{digest} {two}")), digest);
    assert_eq!(program.ok(&format!("blob head {two}@{digest}")), "7");
    program.ok(&format!("blob rm {two}@{digest}"));
    program.fails(3, &format!("blob get {two}@{digest}"));
    assert_eq!(program.ok(&format!("blob get {one}@{digest}")), "content");
    let piped = program.run_with(["blob", "put", one.as_str(), "-"], b"from a pipe");
    assert_eq!(piped.stdout.trim(), longshore::Digest::sha256(b"from a pipe").as_str());
}

#[test]
fn changes_are_reported_as_json_and_inspect_escapes_control_characters() {
    let program = Program::new();
    let server = program.serve(None);
    let digest = fill(&program, &server.address);
    let app = format!("{}/team/app", server.address);
    let json = |line: String| -> Value { serde_json::from_str(&program.ok(&line)).unwrap() };
    let tagged = json(format!("tag --json {app}:v1 v2 v3"));
    assert_eq!(tagged, serde_json::json!({ "digest": digest, "tags": ["v2", "v3"] }));
    assert_eq!(json(format!("untag --json {app}:v3"))["tag"], "v3");
    let removed = json(format!("rm --json --yes {app}:v1"));
    assert_eq!(removed, serde_json::json!({ "digest": digest, "tags": ["v1", "v2"] }));

    let manifest =
        "{\"schemaVersion\":2,\"manifests\":[],\"annotations\":{\"k\":\"\u{9b}31m\u{202e}\"}}";
    let target = program.local("oci", "evil:v1");
    program.run_with(["manifest", "put", target.as_str(), "-"], manifest.as_bytes());
    let shown = program.ok(&format!("inspect --json {target}"));
    assert!(shown.contains(r"\u009b31m\u202e"), "{shown}");
    assert_eq!(program.ok(&format!("manifest get {target}")), manifest);
}

#[test]
fn untag_keeps_other_tags_and_rm_lists_the_tags_it_removes() {
    let program = Program::new();
    let server = program.serve(None);
    let digest = fill(&program, &server.address);
    let app = format!("{}/team/app", server.address);
    program.ok(&format!("tag {app}:v1 v2 v3"));
    let told = program.fails(6, &format!("untag {app}:v2@sha256:{}", "0".repeat(64)));
    assert!(told.contains("now points at"), "{told}");
    program.ok(&format!("untag {app}:v2"));
    assert_eq!(program.ok(&format!("ls {app}")), "v1\nv3");
    program.fails(3, &format!("untag {app}:v2"));
    // Without a terminal and without --yes, nothing is removed.
    let told = program.fails(1, &format!("rm {app}:v1"));
    assert!(told.contains("also removes: v1") && told.contains("also removes: v3"), "{told}");
    assert_eq!(program.ok(&format!("ls {app}")), "v1\nv3");
    program.ok(&format!("rm {app}:v1 --yes"));
    assert_eq!(program.ok(&format!("ls {app}")), "");
    program.fails(3, &format!("digest {app}@{digest}"));
}

#[test]
fn referrers_are_listed_with_their_type() {
    let program = Program::new();
    let server = program.serve(None);
    let digest = fill(&program, &server.address);
    let app = format!("{}/team/app", server.address);
    assert_eq!(program.ok(&format!("referrers {app}:v1")), "");
    let subject: longshore::Digest = digest.parse().unwrap();
    let size = program.run(["manifest", "get", &format!("{app}:v1")]).stdout.len() as u64;
    let subject = longshore::Descriptor::new(longshore::MediaType::OCI_INDEX, subject, size);
    let layout = program.path("signature");
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
        let layout = longshore::Layout::create(&layout).await.unwrap();
        longshore::Pack::artifact("application/vnd.example.signature".parse().unwrap())
            .file("signature", "signed")
            .subject(subject)
            .push(&layout, None)
            .await
            .unwrap();
    });
    program.ok(&format!("push -q oci:{} {app}:signature", layout.display()));
    let listed = program.ok(&format!("referrers {app}:v1"));
    assert!(listed.ends_with("  application/vnd.example.signature"), "{listed}");
    assert_eq!(program.ok(&format!("referrers {app}:v1 --artifact-type a/b")), "");
    let (bare, whole) = (format!("{}/bare", server.address), format!("{}/whole", server.address));
    program.ok(&format!("copy -q {app}:v1 {bare}:v1 --no-referrers"));
    assert_eq!(program.ok(&format!("referrers {bare}:v1")), "");
    program.ok(&format!("copy -q {app}:v1 {whole}:v1"));
    assert_eq!(program.ok(&format!("referrers {whole}:v1")), listed);
}

#[test]
fn referrers_of_children_are_copied_even_if_the_target_has_the_index() {
    let program = Program::new();
    let server = program.serve(None);
    fill(&program, &server.address);
    let (app, copy) = (format!("{}/team/app", server.address), format!("{}/copy", server.address));
    program.ok(&format!("copy -q {app}:v1 {copy}:v1"));
    let digest = program.ok(&format!("digest {app}:v1 --platform linux/arm64"));
    let layout = program.path("signature");
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
        let child = longshore::Descriptor::new(
            longshore::MediaType::OCI_MANIFEST,
            digest.parse().unwrap(),
            1,
        );
        let layout = longshore::Layout::create(&layout).await.unwrap();
        longshore::Pack::artifact("application/vnd.example.signature".parse().unwrap())
            .subject(child)
            .push(&layout, None)
            .await
            .unwrap();
    });
    program.ok(&format!("push -q oci:{} {app}:signature", layout.display()));
    program.ok(&format!("copy -q {app}:v1 {copy}:v1"));
    let listed = program.ok(&format!("referrers {copy}@{digest}"));
    assert!(listed.ends_with("  application/vnd.example.signature"), "{listed}");
}

#[test]
fn ping_shows_the_address_and_scheme_of_a_registry() {
    let program = Program::new();
    let server = program.serve(None);
    let text = program.ok(&format!("ping {}", server.address));
    assert!(text.contains(&server.address) && text.contains("http"), "{text}");
    let json: Value =
        serde_json::from_str(&program.ok(&format!("ping {} --json", server.address))).unwrap();
    assert_eq!(json["registry"], server.address.as_str());
}

#[test]
fn every_shell_has_a_completion_script() {
    let program = Program::new();
    for shell in ["bash", "zsh", "fish", "powershell", "elvish"] {
        assert!(program.ok(&format!("completion {shell}")).contains("longshore"), "{shell}");
    }
}

#[test]
fn closing_stdout_early_is_not_an_error() {
    let program = Program::new();
    let server = program.serve(None);
    fill(&program, &server.address);
    let tags: Vec<String> = (0..3000).map(|n| format!("t{n:04}")).collect();
    program.ok(&format!("tag {}/team/app:v1 {}", server.address, tags.join(" ")));
    let script = format!(
        "set -o pipefail; '{}' ls {}/team/app | head -n 1",
        env!("CARGO_BIN_EXE_longshore"),
        server.address
    );
    let output = std::process::Command::new("bash").args(["-c", &script]).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    assert_eq!(String::from_utf8_lossy(&output.stdout), "t0000\n");
}

#[test]
fn the_demo_completes() {
    let program = Program::new();
    std::fs::write(program.path("a local file"), "content").unwrap();
    let ended = program.run(["demo"]);
    assert_eq!(ended.code, 0, "{ended:?}");
    for step in ["serve", "push", "catalog", "ls", "inspect", "copy", "pull", "untag"] {
        assert!(ended.stdout.contains(&format!("$ longshore {step} ")), "{step}: {}", ended.stdout);
    }
    assert!(ended.stdout.contains("6 blobs, "), "{}", ended.stdout);
    assert!(ended.stdout.contains("0 B sent (0 blobs), 6 mounted"), "{}", ended.stdout);
}

#[test]
fn the_environment_sets_the_defaults_of_short_names() {
    let program = Program::new();
    let server = program.serve(None);
    fill(&program, &server.address);
    let run = |variables: &[(&str, &str)], line: &str| {
        let mut command = program.command();
        command.envs(variables.iter().copied()).args(line.split_whitespace());
        let ended = command.output().unwrap();
        let stderr = String::from_utf8(ended.stderr).unwrap();
        (ended.status.code(), String::from_utf8(ended.stdout).unwrap(), stderr)
    };
    let expected = program.ok(&format!("digest {}/team/app:v1", server.address));
    let registry = ("LONGSHORE_DEFAULT_REGISTRY", server.address.as_str());
    let namespace = ("LONGSHORE_DEFAULT_NAMESPACE", "team");
    let tag = ("LONGSHORE_DEFAULT_TAG", "v1");
    for (variables, line) in [
        (&[registry][..], "digest team/app:v1"),
        (&[registry, namespace], "digest app:v1"),
        (&[registry, namespace, tag], "digest app"),
    ] {
        let (code, stdout, stderr) = run(variables, line);
        assert_eq!((code, stdout.trim_end()), (Some(0), &*expected), "{line}: {stderr}");
    }
    // Without LONGSHORE_DEFAULT_NAMESPACE, only Docker Hub has a default namespace.
    let (code, _, stderr) = run(&[registry], "digest app:v1");
    assert_eq!(code, Some(3));
    assert!(stderr.contains(&format!("{}/app:v1", server.address)), "{stderr}");
    let (code, _, stderr) = run(&[("LONGSHORE_DEFAULT_REGISTRY", "ho_st")], "digest app");
    assert_eq!(code, Some(2));
    assert!(stderr.contains("LONGSHORE_DEFAULT_REGISTRY") && stderr.contains("ho_st"), "{stderr}");
}

#[test]
fn listings_accept_a_start_a_limit_and_filters() {
    let program = Program::new();
    let server = program.serve(None);
    let address = &server.address;
    fill(&program, address);
    for name in ["team/tools/lint", "bare", "other/app"] {
        program.ok(&format!("copy -q {address}/team/app:v1 {address}/{name}:v1"));
    }
    program.ok(&format!("tag {address}/bare:v1 v2 v10 rc-1"));
    for (line, expected) in [
        ("catalog REGISTRY", "bare\nother/app\nteam/app\nteam/tools/lint"),
        ("catalog REGISTRY --page-size 1", "bare\nother/app\nteam/app\nteam/tools/lint"),
        ("catalog REGISTRY --start other/app", "team/app\nteam/tools/lint"),
        ("catalog REGISTRY --namespace team", "team/app\nteam/tools/lint"),
        ("catalog REGISTRY --filter app$ --limit 1", "other/app"),
        ("catalog REGISTRY --filter-start TEAM", "team/app\nteam/tools/lint"),
        ("catalog REGISTRY --filter-start app", ""),
        ("namespaces REGISTRY", "other\nteam\nteam/tools"),
        ("namespaces REGISTRY --library", "library\nother\nteam\nteam/tools"),
        ("ls REGISTRY/bare --filter ^v[0-9]$", "v1\nv2"),
        ("ls REGISTRY/bare --start v1 --page-size 1", "v10\nv2"),
        ("ls REGISTRY/bare --references --filter rc", "REGISTRY/bare:rc-1"),
    ] {
        let line = line.replace("REGISTRY", address);
        assert_eq!(program.ok(&line), expected.replace("REGISTRY", address), "{line}");
    }
    let line = format!("namespaces {address} --json");
    let json: Value = serde_json::from_str(&program.ok(&line)).unwrap();
    assert_eq!(json["namespaces"]["team"], serde_json::json!(["team/app", "team/tools/lint"]));

    program.ok(&format!("copy -q {address}/bare:v2 oci:layout:v2"));
    assert_eq!(program.ok("ls oci:layout --references"), "oci:layout:v2");
    let told = program.fails(2, &format!("catalog {address} --filter ("));
    assert!(told.contains("invalid regular expression \"(\""), "{told}");
}
