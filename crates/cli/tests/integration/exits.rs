//! Exit codes, and the registry's error messages.

use longshore_testkit::script::{Exchange, Script};

use crate::program::Program;

const INDEX: &str = "{\"schemaVersion\":2,\"manifests\":[]}";

/// Runs the program against a server with these exchanges, and returns the exit code and stderr.
async fn run(program: &Program, line: &str, exchanges: Vec<Exchange>) -> (i32, String) {
    let server = Script::start().await;
    exchanges.into_iter().for_each(|exchange| server.expect(exchange));
    let mut command = program.command();
    command.args(line.replace("REGISTRY", &server.address().to_string()).split_whitespace());
    let output = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
    server.finish();
    (output.status.code().unwrap(), String::from_utf8(output.stderr).unwrap())
}

fn manifest(method: &str) -> Exchange {
    Exchange::new(method, "/v2/a/b/manifests/v1")
}

fn body(code: &str) -> String {
    format!("{{\"errors\":[{{\"code\":\"{code}\",\"message\":\"in its own words\"}}]}}")
}

#[tokio::test]
async fn error_replies_set_the_exit_code_and_show_the_message_of_the_registry() {
    let program = Program::new();
    let get = "manifest get REGISTRY/a/b:v1";
    for (status, code, expected, kind) in [
        (401, "UNAUTHORIZED", 4, "unauthorized"),
        (403, "DENIED", 4, "denied"),
        (404, "MANIFEST_UNKNOWN", 3, "not found"),
        (404, "SOMETHING_NEW", 3, "not found"),
        (405, "UNSUPPORTED", 1, "unsupported"),
        (409, "UNKNOWN", 6, "conflict"),
        (400, "NAME_INVALID", 1, "invalid"),
        (400, "DIGEST_INVALID", 7, "digest mismatch"),
    ] {
        let answer = manifest("GET").answer(status).body(body(code));
        let (exit, told) = run(&program, get, vec![answer]).await;
        assert_eq!(exit, expected, "{status} {code}: {told}");
        let words = format!("{code}: in its own words (HTTP {status})");
        assert!(told.contains(kind) && told.contains(&words), "{told}");
        assert!(told.contains("/a/b:v1"), "{told}");
    }
}

#[tokio::test]
async fn wrong_content_and_unusable_replies_have_their_exit_codes() {
    let program = Program::new();
    let wrong = format!("sha256:{}", "0".repeat(64));
    let answer = || manifest("GET").header("content-type", "application/json");
    for (line, answer, expected, part) in [
        (
            "manifest get REGISTRY/a/b:v1",
            answer().header("docker-content-digest", &wrong).body(INDEX),
            7,
            "digest mismatch",
        ),
        ("manifest get REGISTRY/a/b:v1", answer().body("[]"), 1, "not a valid manifest"),
        ("manifest get REGISTRY/a/b:v1", answer().body("<html>"), 5, "web page"),
        (
            "ls REGISTRY/a/b",
            Exchange::new("GET", "/v2/a/b/tags/list").body("{'abc'}"),
            5,
            "starts with \"{'abc'}\"",
        ),
    ] {
        let (exit, told) = run(&program, line, vec![answer]).await;
        assert_eq!(exit, expected, "{told}");
        assert!(told.contains(part), "{part}: {told}");
    }
    // The error quotes an unusable body and names its URL.
    let (_, told) = run(&program, "manifest get REGISTRY/a/b:v1", vec![answer().body("[]")]).await;
    for part in ["because: ", "/v2/a/b/manifests/v1", "application/json", "\"[]\"", "(HTTP 200)"] {
        assert!(told.contains(part), "{part}: {told}");
    }
}

#[tokio::test]
async fn a_missing_platform_or_media_type_is_named_in_the_error() {
    let program = Program::new();
    let index = || manifest("GET").body(INDEX);
    let (exit, told) =
        run(&program, "digest REGISTRY/a/b:v1 --platform linux/s390x", vec![index()]).await;
    assert_eq!(exit, 3, "{told}");
    assert!(told.contains("platform linux/s390x") && told.contains("no platforms"), "{told}");

    let schema1 =
        "{\"schemaVersion\":1,\"name\":\"a/b\",\"tag\":\"v1\",\"fsLayers\":[],\"history\":[]}";
    let legacy = || {
        manifest("GET")
            .header("content-type", "application/vnd.docker.distribution.manifest.v1+json")
            .body(schema1)
    };
    let (exit, told) = run(&program, "manifest get REGISTRY/a/b:v1", vec![legacy()]).await;
    assert_eq!(exit, 0, "{told}");
    let unknown = || manifest("GET").header("content-type", "application/x.y").body("{\"x\":1}");
    for (answer, media_type) in [(legacy(), "manifest.v1+json"), (unknown(), "application/x.y")] {
        let (exit, told) = run(&program, "config REGISTRY/a/b:v1", vec![answer]).await;
        assert_eq!(exit, 1, "{told}");
        assert!(told.contains("unsupported") && told.contains(media_type), "{told}");
    }

    let list = "application/vnd.docker.distribution.manifest.list.v2+json";
    let line = format!("manifest get REGISTRY/a/b:v1 --accept {list}");
    let (exit, told) = run(&program, &line, vec![index()]).await;
    assert_eq!(exit, 1, "{told}");
    assert!(told.contains("unsupported") && told.contains(list), "{told}");
}
