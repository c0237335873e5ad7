//! Invalid input and failures: clear errors, correct exit codes, and no temporary files.

use std::net::TcpListener;

use longshore::Digest;

use crate::program::{Program, leftovers};

#[test]
fn invalid_arguments_are_refused_before_any_request() {
    let program = Program::new();
    for (line, word) in [
        ("digest repo:", "empty"),
        ("digest ghcr.io/REPO/name", "lower-case"),
        ("digest a//b", "empty part"),
        ("digest a@sha256:1234", "64 hex digits"),
        ("digest https://host/a", "scheme"),
        ("digest host:99999/a", "port"),
        ("digest ./dir", "oci:DIR"),
        ("digest nginx --platform linux", "such as linux/amd64"),
        ("catalog ho_st", "letters, digits"),
        ("tag nginx bad/tag", "allowed"),
        ("referrers nginx --artifact-type \u{e4}", "ASCII"),
        ("copy nginx", "expected a target"),
        ("blob get nginx", "DIGEST"),
        ("nothing", "unrecognized"),
        ("serve --listen nowhere", "invalid"),
        ("copy nginx nginx", "the same"),
        ("copy nginx:v1 oci:x --all-tags", "--all-tags"),
        ("push nginx ghcr.io/a/b", "longshore copy"),
    ] {
        let told = program.fails(2, line);
        assert!(told.contains(word), "{line}: {told}");
        assert!(!told.contains('\u{1b}'), "{line}: {told:?}");
    }
}

#[test]
fn errors_hide_passwords_and_escape_control_characters_in_quoted_input() {
    let program = Program::new();
    for line in [
        "digest user:hunter2@host/a",
        "digest https://user:hunter2@host/a",
        "digest docker://user:hunter2@host/a",
        "digest user:hunter2@host",
        "login user:hunter2@host",
        "ls nginx --after user:hunter2@host",
    ] {
        let told = program.fails(2, line);
        assert!(!told.contains("hunter2"), "{told}");
    }
    let ended = program.run(["digest", "a\u{202e}b\u{1b}[2J"]);
    assert_eq!(ended.code, 2);
    assert!(!ended.stderr.contains(['\u{202e}', '\u{1b}']), "{:?}", ended.stderr);
}

#[test]
fn an_empty_variable_counts_as_unset() {
    let program = Program::new();
    let mut command = program.command();
    for name in
        ["DOCKER_CONFIG", "LONGSHORE_PLAIN_HTTP", "LONGSHORE_SKIP_TLS_VERIFY", "LONGSHORE_CA_FILE"]
    {
        command.env(name, "");
    }
    let ended = command.args(["ls", "oci:nowhere"]).output().unwrap();
    assert_eq!(ended.status.code(), Some(3), "{}", String::from_utf8_lossy(&ended.stderr));
}

#[cfg(target_os = "linux")]
#[test]
fn an_unwritable_stderr_does_not_change_the_exit_code() {
    let program = Program::new();
    let full = std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    let mut command = program.command();
    let ended = command.args(["ls", "oci:nowhere"]).stderr(full).status().unwrap();
    assert_eq!(ended.code(), Some(3));
}

#[test]
fn the_error_for_a_missing_image_names_its_location() {
    let program = Program::new();
    let server = program.serve(None);
    let reference = format!("{}/team/app:v9", server.address);
    let told = program.fails(3, &format!("digest {reference}"));
    assert!(told.contains(&reference), "{told}");
    let told = program.fails(3, &format!("pull {reference}"));
    assert!(told.contains(&reference), "{told}");
    program.fails(3, "digest oci:nowhere");
    program.fails(3, "digest oci-archive:nowhere.tar");
}

#[test]
fn an_error_names_the_server_that_does_not_answer() {
    let program = Program::new();
    // The port was bound and closed again, so no server listens there.
    let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    let told = program.fails(5, &format!("ping {address}"));
    assert!(told.contains(&address), "{told}");
    let told = program.fails(5, &format!("digest {address}/a:b"));
    assert!(told.contains(&address), "{told}");
}

#[test]
fn a_damaged_config_is_an_error_and_a_missing_config_means_anonymous() {
    let program = Program::new();
    let server = program.serve(None);
    let config = program.path(".docker/config.json");
    std::fs::create_dir_all(config.parent().unwrap()).unwrap();
    std::fs::write(&config, "{ \"auths\": { \"x\": hunter2").unwrap();
    let told = program.fails(1, &format!("ping {}", server.address));
    assert!(told.contains(&config.display().to_string()), "{told}");
    assert!(!told.contains("hunter2"), "{told}");
    std::fs::remove_file(&config).unwrap();
    program.ok(&format!("ping {}", server.address));
}

#[test]
fn a_blob_damaged_on_disk_is_not_served_and_a_push_repairs_it() {
    let program = Program::new();
    let server = program.serve(Some("registry"));
    let file = program.path("file");
    std::fs::write(&file, "right content").unwrap();
    let put = |server: &crate::program::Server| {
        program.ok(&format!("blob put {}/a {}", server.address, file.display()))
    };
    let digest = put(&server);
    // The file is damaged while the registry is stopped. After the restart, the registry has not
    // yet verified the blob.
    drop(server);
    damage(&program.path("registry"), &Digest::parse(&digest).unwrap());
    let server = program.serve(Some("registry"));
    program.fails(3, &format!("blob get {}/a@{digest} -o out", server.address));
    assert!(!program.path("out").exists());
    assert!(leftovers(&program.path("")).is_empty());
    put(&server);
    assert_eq!(program.ok(&format!("blob get {}/a@{digest}", server.address)), "right content");
}

/// Overwrites every file below a folder that is named by this digest.
fn damage(folder: &std::path::Path, digest: &Digest) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            damage(&path, digest);
        } else if path.file_name().unwrap().to_str() == Some(digest.encoded()) {
            std::fs::write(path, "wrong content").unwrap();
        }
    }
}
