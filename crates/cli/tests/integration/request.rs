//! Tests of `longshore request`.

use serde_json::Value;

use crate::program::Program;

#[test]
fn request_prints_the_reply_and_maps_its_status_to_the_exit_code() {
    let program = Program::new();
    let server = program.serve(None);
    let address = &server.address;
    let ended = program.run(["request", "GET", address, "/v2/", "--include"]);
    assert_eq!((ended.code, ended.stdout.as_str()), (0, "{}"), "{ended:?}");
    assert!(ended.stderr.starts_with("200 OK\n"), "{ended:?}");
    assert!(ended.stderr.contains("docker-distribution-api-version: registry/2.0"), "{ended:?}");

    let ended = program.run(["request", "GET", address, "/v2/a/tags/list"]);
    assert_eq!(ended.code, 3, "{ended:?}");
    assert!(ended.stdout.contains("NAME_UNKNOWN"), "{ended:?}");
    let ended = program.run(["request", "GET", address, "/v2/a/tags/list", "--json"]);
    let json: Value = serde_json::from_str(&ended.stdout).unwrap();
    assert_eq!((ended.code, &json["status"]), (3, &404.into()));
    assert!(json["body"].as_str().unwrap().contains("NAME_UNKNOWN"));
}

#[test]
fn a_request_body_comes_from_text_a_file_or_stdin() {
    let program = Program::new();
    let server = program.serve(None);
    let digest = longshore::Digest::sha256(b"content");
    std::fs::write(program.path("file"), "content").unwrap();
    for (data, stdin) in [("content", ""), ("@file", ""), ("-", "content")] {
        let path = format!("/v2/a/blobs/uploads/?digest={digest}");
        let arguments = ["request", "POST", &server.address, &path, "--data", data];
        let ended = program.run_with(arguments, stdin.as_bytes());
        assert_eq!(ended.code, 0, "{ended:?}");
    }
    let path = format!("/v2/a/blobs/{digest}");
    program.ok(&format!("request GET {} {path} -o out", server.address));
    assert_eq!(std::fs::read_to_string(program.path("out")).unwrap(), "content");
    let ended = program.run(["request", "HEAD", &server.address, &path, "-i", "-H", "x-own: 1"]);
    assert!(ended.stderr.contains("content-length: 7"), "{ended:?}");
}

#[test]
fn location_headers_follow_the_options_of_serve() {
    let program = Program::new();
    let proxied = ["-H", "X-Forwarded-Proto: https", "-H", "X-Forwarded-Host: front.example"];
    for (options, headers, start) in [
        (&[][..], &proxied[..], "http://ADDRESS"),
        (&["--trust-proxy"], &proxied, "https://front.example"),
        (&["--trust-proxy"], &[], "http://ADDRESS"),
        (&["--relative-locations"], &[], ""),
        (&["--public-url", "https://registry.example/"], &[], "https://registry.example"),
    ] {
        let server = program.serve_with(None, options);
        let begin = ["request", "POST", &server.address, "/v2/a/blobs/uploads/", "--include"];
        let ended = program.run(begin.iter().chain(headers));
        let start = start.replace("ADDRESS", &server.address);
        let location = format!("\nlocation: {start}/v2/a/blobs/uploads/");
        assert!(ended.stderr.contains(&location), "{options:?}: {ended:?}");
    }
    let refused = program.fails(1, "serve --root never --public-url registry.example");
    assert!(refused.contains("expected a URL such as https://registry.example"), "{refused}");
    assert!(!program.path("never").exists());
}

#[test]
fn an_invalid_request_is_refused() {
    let program = Program::new();
    for (arguments, code) in [
        (["request", "G T", "r.example", "/v2/", "-q"], 2),
        (["request", "GET", "ho_st", "/v2/", "-q"], 2),
        (["request", "GET", "r.example", "/v2/", "-Hhunter2"], 2),
        (["request", "GET", "r.example", "/v2/", "--scope=pull"], 2),
        (["request", "GET", "r.example", "https://evil.example/", "-q"], 1),
    ] {
        let ended = program.run(arguments);
        assert_eq!(ended.code, code, "{arguments:?}: {ended:?}");
        assert!(!ended.stderr.contains("hunter2"), "{ended:?}");
    }
}
