use super::*;

fn registry(name: &str) -> RegistryName {
    name.parse().unwrap()
}

fn config(folder: &tempfile::TempDir, text: &str) -> Result<DockerConfig> {
    let path = folder.path().join(FILE_NAME);
    fs::write(&path, text).unwrap();
    DockerConfig::load_from(path)
}

/// `user:password` of what is found, or the source of nobody.
fn found(text: &str, name: &str) -> String {
    let folder = tempfile::tempdir().unwrap();
    let credential = config(&folder, text).unwrap().credential(&registry(name)).unwrap();
    match credential.as_login() {
        Some(login) => format!("{}:{}", login.user, login.password.expose()),
        None => credential.source().to_owned(),
    }
}

#[test]
fn entries_are_found_under_the_names_they_go_by() {
    let auth = BASE64.encode("u:p:w");
    for (key, name, expected) in [
        ("ghcr.io", "ghcr.io", true),
        ("https://ghcr.io", "ghcr.io", true),
        ("https://ghcr.io/v2/", "ghcr.io", true),
        ("ghcr.io/team", "ghcr.io", false),
        ("ghcr.io:5000", "ghcr.io", false),
        ("evil-ghcr.io", "ghcr.io", false),
        ("https://index.docker.io/v1/", "docker.io", true),
        ("index.docker.io", "docker.io", true),
        ("docker.io", "docker.io", true),
        ("registry-1.docker.io", "docker.io", true),
        ("https://index.docker.io/v1/", "hub.docker.com", false),
    ] {
        let text = format!(r#"{{"auths":{{"{key}":{{"auth":"{auth}"}}}}}}"#);
        assert_eq!(found(&text, name) == "u:p:w", expected, "{key} {name}");
    }
}

#[test]
fn user_and_password_may_stand_in_clear() {
    let text = r#"{"auths":{"r.example":{"username":"u","password":"p"}}}"#;
    assert_eq!(found(text, "r.example"), "u:p");
}

#[test]
fn what_is_not_supported_yet_is_said() {
    for (text, expected) in [
        (r#"{"credHelpers":{"r.example":"ecr-login"}}"#, "\"ecr-login\""),
        (r#"{"credsStore":"desktop","auths":{"r.example":{}}}"#, "\"desktop\""),
        (r#"{"auths":{"r.example":{"auth":"Og==","identitytoken":"s3cret"}}}"#, "identity token"),
        (
            r#"{"auths":{"r.example":{"auth":"MDAwMDo=","identitytoken":"s3cret"}}}"#,
            "identity token",
        ),
        (r#"{"auths":{}}"#, "no entry in"),
        ("{}", "no entry in"),
        ("", "no entry in"),
    ] {
        let source = found(text, "r.example");
        assert!(source.starts_with("anonymous") && source.contains(expected), "{source}");
        assert!(!source.contains("s3cret"), "{source}");
    }
    let both = r#"{"credsStore":"desktop","auths":{"r.example":{"auth":"dTpw"}}}"#;
    assert_eq!(found(both, "r.example"), "u:p");
}

#[test]
fn a_bad_file_is_named_and_not_quoted() {
    let folder = tempfile::tempdir().unwrap();
    for bad in ["s3cret", "[\"s3cret\"]", r#"{"auths":["s3cret"]}"#, r#"{"auths":"s3cret"}"#] {
        let e = config(&folder, bad).unwrap_err();
        let shown = format!("{e} {e:?}");
        assert!(shown.contains(FILE_NAME) && !shown.contains("s3cret"), "{shown}");
    }
    let e = DockerConfig::load_from(folder.path()).unwrap_err();
    assert_eq!(e.kind(), ErrorKind::Io);
    let missing = DockerConfig::load_from(folder.path().join("missing/config.json")).unwrap();
    let nobody = missing.credential(&registry("r.example")).unwrap();
    assert!(nobody.as_login().is_none());
}

#[test]
fn a_bad_entry_fails_for_its_own_registry_only() {
    let folder = tempfile::tempdir().unwrap();
    for bad in ["s3cret!", "czNjcmV0", "czNjcmV0OgA=", "czNjcmV0OgpY"] {
        let text = format!(r#"{{"auths":{{"r.example":{{"auth":"{bad}"}}}}}}"#);
        let config = config(&folder, &text).unwrap();
        let e = config.credential(&registry("r.example")).unwrap_err();
        let shown = format!("{e} {e:?}");
        assert!(shown.contains("r.example") && !shown.contains("s3cret"), "{shown}");
        assert!(config.credential(&registry("other.example")).is_ok());
    }
}

#[test]
fn login_and_logout_leave_everything_else_alone() {
    let folder = tempfile::tempdir().unwrap();
    let text = r#"{"auths":{"docker.io":{"auth":"eDp5"},"r.example":{}},"detachKeys":"ctrl-e"}"#;
    let mut config = config(&folder, text).unwrap();
    let hub = RegistryName::docker_hub();
    config.set(&hub, "u", &Secret::new("p:w")).unwrap();

    let written: Value = serde_json::from_slice(&fs::read(config.path()).unwrap()).unwrap();
    assert_eq!(written["detachKeys"], "ctrl-e");
    let auths = written["auths"].as_object().unwrap();
    let keys: Vec<_> = auths.keys().map(String::as_str).collect();
    assert_eq!(keys, ["https://index.docker.io/v1/", "r.example"]);
    let login = config.credential(&hub).unwrap().as_login().cloned().unwrap();
    assert_eq!((login.user.as_str(), login.password.expose()), ("u", "p:w"));

    assert!(config.remove(&hub).unwrap());
    assert!(!config.remove(&hub).unwrap());
    let again = DockerConfig::load_from(config.path()).unwrap();
    assert!(again.credential(&hub).unwrap().as_login().is_none());
}

#[test]
fn two_programs_that_log_in_do_not_undo_each_other() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("new").join(FILE_NAME);
    let mut one = DockerConfig::load_from(&path).unwrap();
    let mut other = one.clone();
    one.set(&registry("a.example"), "u", &Secret::new("p")).unwrap();
    other.set(&registry("b.example"), "u", &Secret::new("p")).unwrap();
    let both = DockerConfig::load_from(&path).unwrap();
    for name in ["a.example", "b.example"] {
        assert!(both.credential(&registry(name)).unwrap().as_login().is_some(), "{name}");
    }
}

#[test]
fn a_helpers_registry_is_not_logged_in_to_beside_it() {
    let folder = tempfile::tempdir().unwrap();
    let mut config = config(&folder, r#"{"credHelpers":{"r.example":"ecr-login"}}"#).unwrap();
    let e = config.set(&registry("r.example"), "u", &Secret::new("s3cret")).unwrap_err();
    assert_eq!(e.kind(), ErrorKind::Unsupported);
    assert!(!fs::read_to_string(config.path()).unwrap().contains("auths"));
}

#[cfg(unix)]
#[test]
fn the_file_is_its_owners_and_links_are_not_written_through() {
    use std::os::unix::fs::PermissionsExt as _;
    let folder = tempfile::tempdir().unwrap();
    let mut config = config(&folder, "{}").unwrap();
    config.set(&registry("r.example"), "u", &Secret::new("p")).unwrap();
    assert_eq!(fs::metadata(config.path()).unwrap().permissions().mode() & 0o777, 0o600);

    let link = folder.path().join("link.json");
    std::os::unix::fs::symlink(config.path(), &link).unwrap();
    let mut linked = DockerConfig::load_from(&link).unwrap();
    assert!(linked.set(&registry("b.example"), "u", &Secret::new("p")).is_err());
}
