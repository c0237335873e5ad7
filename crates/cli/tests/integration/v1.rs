//! The v1 commands of the program.

use longshore::Digest;
use longshore_testkit::v1::{Settings, V1Registry};
use serde_json::{Value, json};
use tokio::runtime::Runtime;

use crate::program::Program;

const BASE: &str = r#"{"id":"base","architecture":"amd64"}"#;
const TOP: &str = r#"{"id":"top","parent":"base","created":"2015-01-02T03:04:05Z"}"#;
const LAYER: &[u8] = b"\x1f\x8b not text \xff";

/// Starts a registry with `library/app:latest`. The registry runs as long as the runtime.
fn serve(settings: Settings) -> (Runtime, V1Registry) {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let server = runtime.block_on(V1Registry::with(settings));
    server.put_image("base", BASE, b"base layer");
    server.put_image("top", TOP, LAYER);
    server.put_tag("library/app", "latest", "top");
    (runtime, server)
}

fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

#[test]
fn v1_commands_read_a_registry() {
    let program = Program::new();
    let (_runtime, server) = serve(Settings::default());
    let registry = server.address();
    assert_eq!(program.ok(&format!("v1 ping {registry}")), "answers (0.9.1), standalone");
    assert_eq!(program.ok(&format!("v1 search {registry} app")), "library/app");
    let found = json(&program.ok(&format!("v1 search {registry} --json")));
    assert_eq!(found["results"][0]["name"], "library/app");
    assert_eq!(program.ok(&format!("v1 search {registry} --limit 0")), "");
    // A name without a namespace is in `library`.
    for app in ["app", "library/app"] {
        assert_eq!(program.ok(&format!("v1 tags {registry}/{app}")), "latest  top");
        assert_eq!(program.ok(&format!("v1 id {registry}/{app}:latest")), "top");
    }
    let tags = json(&program.ok(&format!("v1 tags {registry}/app --json")));
    assert_eq!(tags, json!({ "tags": [{ "tag": "latest", "id": "top" }] }));
    let tag = json(&program.ok(&format!("v1 tag-json {registry}/app")));
    assert_eq!(tag["docker_version"], "1.4.1");
    assert_eq!(program.ok(&format!("v1 images {registry}/app")), "base\ntop");
    assert_eq!(program.ok(&format!("v1 json {registry}/app")), TOP);
    assert_eq!(program.ok(&format!("v1 json {registry} --id base")), BASE);
    assert_eq!(program.ok(&format!("v1 json {registry}/app --field parent")), "base");
    let field = program.ok(&format!("v1 json {registry}/app --field parent --json"));
    assert_eq!(field, "\"base\"");
    program.fails(3, &format!("v1 json {registry}/app --field nothing"));
    assert_eq!(program.ok(&format!("v1 ancestry {registry}/app")), "top\nbase");
    let ancestry = json(&program.ok(&format!("v1 ancestry {registry}/app --json")));
    assert_eq!(ancestry, json!({ "ancestry": ["top", "base"] }));

    let file = program.path("layer");
    program.ok(&format!("v1 layer {registry}/app -o {}", file.display()));
    assert_eq!(std::fs::read(&file).unwrap(), LAYER);
    server.damage_layer("top");
    let told = program.fails(7, &format!("v1 layer {registry}/app -o {}", file.display()));
    assert!(told.contains("the registry states the checksum sha256:"), "{told}");
    assert_eq!(std::fs::read(&file).unwrap(), LAYER);
}

#[test]
fn v1_commands_write_to_a_registry() {
    let program = Program::new();
    let (_runtime, server) = serve(Settings::default());
    let registry = server.address();
    let new = r#"{"id":"new","parent":"top"}"#;
    let (document, layer) = (program.path("new.json"), program.path("layer.tar"));
    std::fs::write(&document, new).unwrap();
    std::fs::write(&layer, LAYER).unwrap();
    let (document, layer) = (document.display(), layer.display());
    let pushed = json(&program.ok(&format!("v1 push {registry} new {document} {layer} --json")));
    let checksum = Digest::sha256(&[new.as_bytes(), b"\n", LAYER].concat());
    assert_eq!(pushed, json!({ "id": "new", "checksum": checksum }));
    program.ok(&format!("v1 tag {registry}/app:v2 new"));
    assert_eq!(program.ok(&format!("v1 json {registry}/app:v2")), new);
    program.ok(&format!("v1 untag {registry}/app:latest"));
    assert_eq!(program.ok(&format!("v1 tags {registry}/app")), "v2  new");

    let step = program.path("step.json");
    std::fs::write(&step, r#"{"id":"step"}"#).unwrap();
    let step = step.display();
    program.ok(&format!("v1 push-json {registry} step {step}"));
    program.ok(&format!("v1 push-layer {registry} step {layer} --image-json {step}"));
    assert_eq!(program.ok(&format!("v1 json {registry} --id step")), r#"{"id":"step"}"#);

    let kept = program.fails(1, &format!("v1 rm {registry}/app"));
    assert!(kept.contains("also removes: v2") && kept.contains("--yes"), "{kept}");
    program.ok(&format!("v1 rm {registry}/app --yes"));
    program.fails(3, &format!("v1 tags {registry}/app"));
}

#[test]
fn v1_commands_get_a_token_from_an_index() {
    let program = Program::new();
    let mut settings = Settings::default();
    settings.needs_token = true;
    let (_runtime, registry) = serve(settings.clone());
    settings.needs_token = false;
    settings.index_of = Some(registry.address());
    let (_other, index) = serve(settings);
    let told = program.fails(4, &format!("v1 tags {}/app", registry.address()));
    assert!(told.contains("unauthorized"), "{told}");
    let tags = format!("v1 tags {}/app --index", index.address());
    let told = program.fails(4, &tags);
    assert!(told.contains("plain HTTP"), "{told}");
    let plain = format!("--plain-http={}", registry.address());
    let tags = program.ok(&format!("{tags} {plain}"));
    assert_eq!(tags, "latest  top");
    let asked = registry.requests().pop().unwrap();
    let token = asked.header("authorization").unwrap();
    assert!(token.starts_with("Token signature=123abc"), "{token}");
    program.ok(&format!("v1 tag {}/app:v2 base --index --any-endpoint {plain}", index.address()));
    let json = program.ok(&format!("v1 json {}/app:v2 --index {plain}", index.address()));
    assert_eq!(json, BASE);
}

#[test]
fn ping_detects_or_checks_the_api_version() {
    let program = Program::new();
    let (_runtime, old) = serve(Settings::default());
    let new = program.serve(None);
    let (old, new) = (&old.address(), &new.address);
    for (registry, api, code) in [
        (old, "auto", 0),
        (old, "1", 0),
        (old, "2", 3),
        (new, "auto", 0),
        (new, "2", 0),
        (new, "1", 3),
    ] {
        let ended = program.run(["ping", registry.as_str(), "--api", api, "--json"]);
        assert_eq!(ended.code, code, "{api} {ended:?}");
        if code == 0 {
            let expected = if registry == old { "1" } else { "2" };
            assert_eq!(json(&ended.stdout)["api"], expected);
        }
    }
    let told = program.fails(3, &format!("ping {old}"));
    assert!(told.contains("--api auto"), "{told}");
    let told = program.ok(&format!("ping {old} --api auto"));
    assert_eq!(told, format!("{old} answers to API v1 (0.9.1), standalone"));
}

#[test]
fn invalid_v1_arguments_are_refused() {
    let program = Program::new();
    for (line, word) in [
        ("v1 tags r.example", "write REGISTRY/REPOSITORY"),
        ("v1 tags r.example/a/b/c", "a namespace and a name"),
        ("v1 tag r.example/a top", "tag is missing"),
        ("v1 untag r.example/a", "tag is missing"),
        ("v1 tag r.example/a:v1 ../x", "letters and digits"),
        ("v1 tags r.example/a:v1", "without a tag"),
        ("v1 images r.example/a:v1", "without a tag"),
        // `rm` removes whole repositories, so a tag is refused.
        ("v1 rm r.example/a:v1 --yes", "without a tag"),
        (&format!("v1 untag r.example/a:v1@sha256:{}", "0".repeat(64)), "no digests"),
        ("v1 json r.example", "write REGISTRY/REPOSITORY"),
        ("v1 tags r.example/a --any-endpoint", "--index"),
        ("ping r.example --api 3", "possible values"),
    ] {
        let told = program.fails(2, line);
        assert!(told.contains(word), "{line}: {told}");
    }
}
