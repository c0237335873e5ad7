//! Login, logout, and what is done with credentials.

use longshore_testkit::peer::DockerRegistry;

use crate::program::Program;

#[test]
fn docker_registry_with_a_password_login_is_tried_then_stored_then_used() {
    let program = Program::new();
    let registry = DockerRegistry::with_htpasswd("me", "hunter2");
    let address = registry.address();
    let refused = program.fails(4, &format!("ls {address}/a"));
    assert!(refused.contains("anonymous") || refused.contains("no entry"), "{refused}");

    let login = ["login", &address, "-u", "me", "--password-stdin"];
    let wrong = program.run_with(login, b"wrong\n");
    assert_eq!(wrong.code, 4, "{wrong:?}");
    assert!(!program.path(".docker/config.json").exists(), "a wrong password is not stored");
    let right = program.run_with(login, b"hunter2\n");
    assert_eq!(right.code, 0, "{right:?}");
    for text in [&wrong, &right] {
        assert!(!text.stderr.contains("hunter2") && !text.stdout.contains("hunter2"), "{text:?}");
    }
    let missing = program.fails(3, &format!("digest {address}/a:b"));
    assert!(missing.contains(&format!("{address}/a:b")), "{missing}");

    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        let metadata = std::fs::metadata(program.path(".docker/config.json")).unwrap();
        assert_eq!(metadata.permissions().mode() & 0o777, 0o600);
    }
    program.ok(&format!("logout {address}"));
    program.fails(4, &format!("ls {address}/a"));
    program.fails(3, &format!("logout {address}"));
}

#[test]
fn docker_registry_refusals_name_the_credentials_used_and_no_secret() {
    let program = Program::new();
    let registry = DockerRegistry::with_htpasswd("me", "right");
    let address = registry.address();
    let config = program.path(".docker/config.json");
    std::fs::create_dir_all(config.parent().unwrap()).unwrap();
    // me:hunter2
    let entry = serde_json::json!({ "auths": { &address: { "auth": "bWU6aHVudGVyMg==" } } });
    std::fs::write(&config, entry.to_string()).unwrap();
    let told = program.fails(4, &format!("-vv digest {address}/team/app:v1"));
    assert!(told.contains(&format!("{address}/team/app")), "{told}");
    assert!(told.contains("config.json"), "{told}");
    for secret in ["hunter2", "bWU6aHVudGVyMg=="] {
        assert!(!told.contains(secret), "{told}");
    }
}
