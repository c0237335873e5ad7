//! The log and the metrics of a registry.

use std::collections::BTreeMap;

use longshore::Digest;

use super::{ask, basic, eventually, post};
use crate::program::{DEADLINE, Program, Server};

/// Returns every sample of the metrics page, with its labels. Checks each line: the help and the
/// type of a metric appear once, before its samples. A sample is a name, labels and a number.
fn samples(server: &Server) -> BTreeMap<String, f64> {
    let line = server.process.wait_for("metrics at ", DEADLINE).unwrap();
    let url = line.rsplit(' ').next().unwrap();
    let address = url.strip_prefix("http://").unwrap().strip_suffix("/metrics").unwrap();
    let reply = ask(address, "GET /metrics", &[], b"");
    assert_eq!(reply.status, 200, "{reply:?}");
    assert!(reply.head.contains("content-type: text/plain; version=0.0.4"), "{reply:?}");
    let (mut found, mut described) = (BTreeMap::new(), Vec::new());
    let mut lines = reply.body.lines();
    while let Some(line) = lines.next() {
        if let Some(rest) = line.strip_prefix("# HELP ") {
            let (name, help) = rest.split_once(' ').unwrap();
            let kind = lines.next().unwrap().strip_prefix(&format!("# TYPE {name} ")).unwrap();
            assert!(["counter", "gauge"].contains(&kind) && !help.is_empty(), "{line}");
            assert_eq!(kind == "counter", name.ends_with("_total"), "{name}");
            assert!(name.starts_with("longshore_") && !described.contains(&name), "{line}");
            described.push(name);
            continue;
        }
        let (sample, value) = line.rsplit_once(' ').unwrap();
        let (name, labels) = sample.split_at(sample.find('{').unwrap_or(sample.len()));
        assert_eq!(described.last(), Some(&name), "{line}");
        assert!(labels.is_empty() || labels.ends_with("\"}"), "{line}");
        let before = found.insert(sample.to_owned(), value.parse().unwrap());
        assert_eq!(before, None, "{line}");
    }
    assert!(reply.body.ends_with('\n'));
    found
}

#[test]
fn metrics_count_requests_bytes_and_stored_content() {
    let program = Program::new();
    let server = program.serve_with(Some("root"), &["--metrics", "127.0.0.1:0"]);
    let address = &server.address;
    let blob = format!("/v2/secret-name/blobs/{}", Digest::sha256(b"content"));
    assert_eq!(ask(address, &post("secret-name", b"content"), &[], b"content").status, 201);
    for _ in 0..2 {
        assert_eq!(ask(address, &format!("GET {blob}"), &[], b"").status, 200);
    }
    assert_eq!(ask(address, "POST /v2/a/blobs/uploads/", &[], b"").status, 202);
    assert_eq!(ask(address, "BREW /v2/", &[], b"").status, 405);
    assert_eq!(ask(address, "GET /v2/absent/tags/list", &[], b"").status, 404);
    let request = |labels: &str| format!("longshore_requests_total{{{labels}}}");
    // The server counts a request shortly after the client has the whole reply.
    eventually("all requests are counted", || {
        let found = samples(&server);
        let requests = found.iter().filter(|(name, _)| name.starts_with("longshore_requests"));
        requests.map(|(_, count)| count).sum::<f64>() >= 6.0
            && found["longshore_connections"] == 0.0
    });
    let found = samples(&server);
    let not_found = ask(address, "GET /v2/absent/tags/list", &[], b"").body.len() as f64;
    let refused = ask(address, "BREW /v2/", &[], b"").body.len() as f64;
    for (name, value) in [
        (request(r#"method="POST",route="uploads",status="201""#), 1.0),
        (request(r#"method="POST",route="uploads",status="202""#), 1.0),
        (request(r#"method="GET",route="blob",status="200""#), 2.0),
        (request(r#"method="other",route="base",status="405""#), 1.0),
        (request(r#"method="GET",route="tags",status="404""#), 1.0),
        ("longshore_received_bytes_total".into(), 7.0),
        ("longshore_sent_bytes_total".into(), 14.0 + not_found + refused),
        ("longshore_uploads".into(), 1.0),
        ("longshore_stored_bytes".into(), 7.0),
        (format!(r#"longshore_build_info{{version="{}"}}"#, env!("CARGO_PKG_VERSION")), 1.0),
    ] {
        assert_eq!(found.get(&name), Some(&value), "{name}: {found:#?}");
    }
    assert!(!found.keys().any(|name| name.contains("secret-name") || name.contains("BREW")));

    let _open = std::net::TcpStream::connect(address).unwrap();
    eventually("a connection", || samples(&server)["longshore_connections"] == 1.0);
    assert_eq!(ask(address, "GET /metrics", &[], b"").status, 404, "metrics are not served here");
}

#[test]
fn the_metrics_listener_serves_only_metrics() {
    let program = Program::new();
    let server = program.serve_with(None, &["--metrics", "127.0.0.1:0"]);
    let line = server.process.wait_for("metrics at ", DEADLINE).unwrap();
    let address = line.split('/').nth(2).unwrap();
    assert_eq!(ask(address, "GET /v2/", &[], b"").status, 404);
    assert_eq!(ask(address, "POST /metrics", &[], b"").status, 405);
    let e = program.fails(1, &format!("serve --memory --listen 127.0.0.1:0 --metrics {address}"));
    assert!(e.contains("--metrics"), "{e}");
}

#[test]
fn the_log_has_one_line_per_request_and_no_secret() {
    let program = Program::new();
    // `secret`, hashed at the lowest cost.
    let ann = "ann:$2y$04$wQ.d8FTkNda2B6LZaNaXU.wm8ZgVA1pcVdxS2I5NzLwyHYTOjVHEi";
    std::fs::write(program.path("people"), ann).unwrap();
    let server = program.serve_with(None, &["--users", "people", "-v"]);
    let address = &server.address;
    let user = basic("ann", "secret");
    let quiet = program.serve(None);
    ask(&quiet.address, "GET /v2/a/tags/list", &[], b"");

    let upload = ask(address, "POST /v2/a/blobs/uploads/", &[&user], b"");
    let location = upload.head.lines().find_map(|l| l.strip_prefix("location: ")).unwrap();
    let path = &location[location.find("/v2/").unwrap()..];
    ask(address, &format!("PATCH {path}?token=hunter2"), &[&user], b"12345");
    ask(address, "GET /v2/wrong/tags/list", &[&basic("ann", "hunter2")], b"");
    for (path, parts) in [
        (
            "path=\"/v2/a/blobs/uploads/\"",
            &["peer=127.0.0.1:", "method=POST", "status=202", "user=\"ann\""][..],
        ),
        ("token=…", &["method=PATCH", "status=202", "received=5", "sent=0", "ms=", "user=\"ann\""]),
        ("/v2/wrong/tags/list", &["method=GET", "status=401"]),
    ] {
        let line = server.process.wait_for(path, DEADLINE).unwrap();
        for part in parts {
            assert!(line.contains(part), "{part}: {line}");
        }
    }
    let printed = server.process.printed();
    assert_eq!(printed.lines().filter(|line| line.contains("answered")).count(), 3, "{printed}");
    let refused = printed.lines().find(|line| line.contains("/v2/wrong/")).unwrap();
    assert!(!refused.contains("user="), "the client was anonymous: {refused}");
    let id = path.rsplit('/').next().unwrap();
    for secret in ["hunter2", "secret", "Basic", "$2y$", id] {
        assert!(!printed.contains(secret), "{secret}: {printed}");
    }
    assert!(!quiet.process.printed().contains("tags/list"));
}
