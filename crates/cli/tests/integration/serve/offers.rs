//! Options that limit what a registry accepts.

use std::path::Path;

use longshore::Digest;
use longshore_testkit::fixture;

use super::{Reply, ask, post};
use crate::program::{Program, Server};
use crate::transfers::layout;

fn refused(reply: &Reply, status: u16, code: &str) {
    assert_eq!(reply.status, status, "{reply:?}");
    assert!(reply.body.contains(&format!(r#""code":"{code}""#)), "{reply:?}");
}

/// Returns the total size of the files below a folder.
fn bytes(folder: &Path) -> u64 {
    let entries = std::fs::read_dir(folder).unwrap().map(Result::unwrap);
    entries
        .map(|entry| match entry.metadata().unwrap() {
            folder if folder.is_dir() => bytes(&entry.path()),
            file => file.len(),
        })
        .sum()
}

#[test]
fn a_read_only_registry_serves_reads_and_refuses_every_write() {
    let program = Program::new();
    let packed = layout(&program, "packed", &fixture::Image::small_index(1), "v1");
    {
        let server = program.serve(Some("root"));
        program.ok(&format!("push {packed} {}/a:v1", server.address));
    }
    let before = bytes(&program.path("root"));
    let server = program.serve_with(Some("root"), &["--read-only"]);
    let address = &server.address;
    program.ok(&format!("pull {address}/a:v1 oci:pulled"));
    let digest = program.ok(&format!("digest {address}/a:v1"));
    let upload = "/v2/a/blobs/uploads/0123456789abcdef0123456789abcdef";
    for request in [
        post("a", b"x"),
        "POST /v2/a/blobs/uploads/".into(),
        format!("POST /v2/b/blobs/uploads/?mount={digest}&from=a"),
        format!("PATCH {upload}"),
        format!("PUT {upload}?digest={digest}"),
        format!("DELETE {upload}"),
        "PUT /v2/a/manifests/v2".into(),
        "DELETE /v2/a/manifests/v1".into(),
        format!("DELETE /v2/a/manifests/{digest}"),
        format!("DELETE /v2/a/blobs/{digest}"),
    ] {
        let reply = ask(address, &request, &[], b"x");
        refused(&reply, 405, "UNSUPPORTED");
        assert!(reply.head.contains("allow: get, head"), "{request}: {reply:?}");
        assert!(reply.body.contains("the registry is read-only"), "{request}: {reply:?}");
    }
    assert_eq!(bytes(&program.path("root")), before);
}

#[test]
fn uploads_beyond_the_limits_are_refused_and_leave_no_files() {
    let program = Program::new();
    let start = |options: &[&str]| program.serve_with(Some("root"), options);
    let push =
        |server: &Server, content: &[u8]| ask(&server.address, &post("a", content), &[], content);
    let total = ["--max-total-size", "1MB", "--max-blob-size", "800KB"];
    let server = start(&total);
    assert_eq!(push(&server, &[1; 600_000]).status, 201);
    let before = bytes(&program.path("root/uploads"));
    refused(&push(&server, &[2; 800_001]), 413, "SIZE_INVALID");
    let reply = push(&server, &[2; 600_000]);
    refused(&reply, 413, "DENIED");
    assert!(reply.body.contains("the registry is full; its limit is 1000000 bytes"), "{reply:?}");
    assert_eq!(bytes(&program.path("root/uploads")), before);
    drop(server);

    let server = start(&total);
    refused(&push(&server, &[2; 600_000]), 413, "DENIED");
    let one = format!("DELETE /v2/a/blobs/{}", Digest::sha256(&[1; 600_000]));
    assert_eq!(ask(&server.address, &one, &[], b"").status, 202);
    assert_eq!(push(&server, &[2; 600_000]).status, 201, "the deletion freed space");

    let e = program.fails(2, "serve --max-total-size 5K");
    assert!(e.contains("expected bytes, such as 500MB or 10GiB"), "{e}");
}

#[test]
fn a_sparse_index_is_accepted_with_allow_missing() {
    let program = Program::new();
    let index = format!(
        r#"{{"schemaVersion":2,"mediaType":"{TYPE}","manifests":[{{"mediaType":"{CHILD}","digest":"{}","size":9}}]}}"#,
        Digest::sha256(b"elsewhere"),
        TYPE = "application/vnd.oci.image.index.v1+json",
        CHILD = "application/vnd.oci.image.manifest.v1+json",
    );
    let push = |server: &Server| {
        let media_type = "Content-Type: application/vnd.oci.image.index.v1+json";
        ask(&server.address, "PUT /v2/a/manifests/v1", &[media_type], index.as_bytes())
    };
    refused(&push(&program.serve(None)), 404, "MANIFEST_BLOB_UNKNOWN");
    let server = program.serve_with(None, &["--allow-missing"]);
    assert_eq!(push(&server).status, 201);
    program.ok(&format!("digest {}/a:v1", server.address));
}
