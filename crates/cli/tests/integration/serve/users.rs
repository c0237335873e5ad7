//! Tests of `serve --users`.

use std::process::Command;

use super::{ask, basic, eventually, post};
use crate::program::{DEADLINE, Program};

/// The hashes of `secret` and `other`, written by `htpasswd -nbBC 4`.
const USERS: &str = "# people
ann:$2y$04$wQ.d8FTkNda2B6LZaNaXU.wm8ZgVA1pcVdxS2I5NzLwyHYTOjVHEi
bob:$2y$04$I4fZufhxQ9naNcJDQQoZuOHBTilPdG61wRSBmmNI36n38nA/C3Bv2
";

#[test]
fn only_users_of_the_file_can_read_and_write() {
    let program = Program::new();
    std::fs::write(program.path("people"), USERS).unwrap();
    let server = program.serve_with(None, &["--users", "people"]);
    let address = &server.address;
    let (ann, bob) = (basic("ann", "secret"), basic("bob", "other"));
    let blob = post("a", b"content");
    assert_eq!(ask(address, &blob, &[&ann], b"content").status, 201);
    for (who, status) in [
        (Some(&ann), 200),
        (Some(&bob), 200),
        (None, 401),
        (Some(&basic("ann", "other")), 401),
        (Some(&basic("", "")), 401),
        (Some(&basic("carl", "secret")), 401),
    ] {
        let headers: Vec<&str> = who.map(String::as_str).into_iter().collect();
        for path in ["/v2/", "/v2/_catalog"] {
            let reply = ask(address, &format!("GET {path}"), &headers, b"");
            assert_eq!(reply.status, status, "{who:?} {path}");
            let challenged = reply.head.contains("www-authenticate: basic realm=");
            assert_eq!(challenged, status == 401, "{reply:?}");
        }
        let status = if status == 200 { 201 } else { status };
        assert_eq!(ask(address, &blob, &headers, b"content").status, status, "{who:?}");
    }
    let told = server.process.printed();
    assert!(!told.contains("warning"), "loopback needs no TLS: {told}");
}

#[test]
fn a_changed_users_file_is_loaded_and_a_broken_one_is_ignored() {
    let program = Program::new();
    let people = program.path("people");
    std::fs::write(&people, USERS).unwrap();
    let server = program.serve_with(None, &["--users", "people"]);
    let status =
        |name, password| ask(&server.address, "GET /v2/", &[&basic(name, password)], b"").status;
    assert_eq!(status("ann", "secret"), 200);
    std::fs::write(&people, USERS.replace("ann:", "eve:")).unwrap();
    eventually("eve has access", || status("eve", "secret") == 200);
    assert_eq!(status("ann", "secret"), 401, "the removed user is refused");

    std::fs::write(&people, "eve:{SHA}nonsense=\n").unwrap();
    let told = server.process.wait_for("warning", DEADLINE).unwrap();
    assert!(told.contains("people: line 1: eve has a SHA-1 hash"), "{told}");
    assert!(told.contains("still using the previous") && !told.contains("nonsense"), "{told}");
    assert_eq!(status("eve", "secret"), 200);

    // The warning appears each time, even with the same text.
    std::fs::write(&people, USERS).unwrap();
    eventually("ann has access", || status("ann", "secret") == 200);
    std::fs::write(&people, "eve:{SHA}nonsense=\n").unwrap();
    let warnings = || server.process.printed().matches("longshore: warning: still using").count();
    eventually("the second warning", || warnings() == 2);
}

#[test]
fn a_users_file_with_hashes_other_than_bcrypt_is_refused_at_startup() {
    let program = Program::new();
    for (content, told) in [
        ("ann:$apr1$a$secret\n", "people: line 1: ann has an MD5 (apr1) hash; expected a bcrypt"),
        ("\nann:secret\n", "people: line 2: ann has a plain password"),
        ("ann\n", "people: line 1: expected NAME:HASH"),
        ("", "people: no users"),
    ] {
        std::fs::write(program.path("people"), content).unwrap();
        let e = program.fails(1, "serve --root never --users people");
        assert!(e.contains(told) && !e.contains("secret"), "{e}");
        assert!(e.contains("htpasswd -B"), "{e}");
    }
    let e = program.fails(3, "serve --root never --users missing");
    assert!(e.contains("not found: missing"), "{e}");
    assert!(!program.path("never").exists());
}

#[test]
fn serve_warns_of_passwords_over_plain_http_beyond_loopback() {
    let program = Program::new();
    std::fs::write(program.path("people"), USERS).unwrap();
    for (options, warned) in [
        (&["--listen", "0.0.0.0:0", "--users", "people"][..], true),
        (&["--listen", "0.0.0.0:0"], false),
        (&["--listen", "0.0.0.0:0", "--users", "people", "--public-url", "https://r.test"], false),
        (&["--listen", "0.0.0.0:0", "--users", "people", "--trust-proxy"], false),
    ] {
        let server = program.start_server(None, options);
        let warning = "passwords are sent to 0.0.0.0:0 unencrypted";
        if warned {
            assert!(server.process.wait_for(warning, DEADLINE).is_some());
        } else {
            assert!(!server.process.printed().contains(warning));
        }
    }
}

#[test]
fn login_works_with_a_users_file_written_by_htpasswd() {
    let program = Program::new();
    for (create, name, password) in [("-cbB", "ann", "päß word:1"), ("-bB", "bob", "other")] {
        let made = Command::new("htpasswd")
            .arg(create)
            .arg(program.path("people"))
            .args([name, password])
            .output()
            .unwrap();
        assert!(made.status.success(), "{made:?}");
    }
    let server = program.serve_with(None, &["--users", "people"]);
    let address = &server.address;
    let login = ["login", address, "-u", "ann", "--password-stdin"];
    assert_eq!(program.run_with(login, b"other\n").code, 4);
    let right = program.run_with(login, "päß word:1\n".as_bytes());
    assert_eq!(right.code, 0, "{right:?}");
    assert_eq!(program.ok(&format!("catalog {address}")), "");
}
