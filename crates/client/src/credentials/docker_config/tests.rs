use std::fs;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::Value;

use super::super::{CredentialKind, InsecureUse, Secret};
use super::*;

fn registry(name: &str) -> RegistryName {
    name.parse().unwrap()
}

fn key(text: &str) -> CredentialKey {
    text.parse().unwrap()
}

fn login(user: &str, password: &str) -> Login {
    Login { user: user.to_owned(), password: Secret::new(password) }
}

fn config(folder: &tempfile::TempDir, text: &str) -> Result<DockerConfig> {
    let path = folder.path().join(FILE_NAME);
    fs::write(&path, text).unwrap();
    DockerConfig::load_from(path)
}

async fn get(config: &DockerConfig, name: &str) -> Result<Credential> {
    config.get(&registry(name), None).await
}

/// Returns the credential as `user:password`, or the source of an anonymous credential.
async fn found(text: &str, name: &str) -> String {
    found_for(text, name, "").await
}

async fn found_for(text: &str, name: &str, repository: &str) -> String {
    let config = DockerConfig::from_json(text.as_bytes(), "config.json").unwrap();
    let repository = RepositoryName::parse(repository).ok();
    let credential = config.get(&registry(name), repository.as_ref()).await.unwrap();
    match credential.as_login() {
        Some(login) => format!("{}:{}", login.user, login.password.expose()),
        None => credential.source().to_owned(),
    }
}

#[tokio::test]
async fn entries_are_found_under_each_spelling_of_their_key() {
    let auth = BASE64.encode("u:p:w");
    for (key, name, expected) in [
        ("ghcr.io", "ghcr.io", true),
        ("https://ghcr.io", "ghcr.io", true),
        ("https://ghcr.io/v2/", "ghcr.io", true),
        ("ghcr.io/team", "ghcr.io", false),
        ("ghcr.io:5000", "ghcr.io", false),
        ("evil-ghcr.io", "ghcr.io", false),
        ("*.io", "ghcr.io", false),
        ("https://index.docker.io/v1/", "docker.io", true),
        ("index.docker.io", "docker.io", true),
        ("docker.io", "docker.io", true),
        ("registry-1.docker.io", "docker.io", true),
        ("registry.hub.docker.com", "docker.io", true),
        ("https://index.docker.io/v1/", "registry.hub.docker.com", true),
        ("https://index.docker.io/v1/", "hub.docker.com", false),
    ] {
        let text = format!(r#"{{"auths":{{"{key}":{{"auth":"{auth}"}}}}}}"#);
        assert_eq!(found(&text, name).await == "u:p:w", expected, "{key} {name}");
    }
}

#[tokio::test]
async fn entries_from_the_tests_of_docker_registry_client_async_are_found() {
    // The test vectors of docker-registry-client-async have `port` and `port2`. Here, a port must
    // be a number.
    let text = r#"{"auths":{"endpoint:1000":{"auth":"dXNlcm5hbWU6cGFzc3dvcmQ="},
        "https://endpoint2:2000/v1/":{"auth":"dXNlcm5hbWUyOnBhc3N3b3JkMg=="}},
        "HttpHeaders":{"User-Agent":"Docker-Client/18.09.1 (linux)"}}"#;
    assert_eq!(found(text, "endpoint:1000").await, "username:password");
    assert_eq!(found(text, "endpoint2:2000").await, "username2:password2");
    for nothing in ["{}", "", "{\"auths\":null}"] {
        assert!(found(nothing, "r.example").await.contains("no entry in"), "{nothing}");
    }
}

#[tokio::test]
async fn trap_07_entries_without_auth_use_their_other_fields() {
    for (entry, expected) in [
        (r#"{"username":"u","password":"p"}"#, "u:p"),
        (r#"{"auth":"","username":"u","password":"p"}"#, "u:p"),
        (r#"{"username":"u"}"#, "u:"),
        ("{}", "is empty"),
        ("null", "is empty"),
        (r#"{"email":"me@example.com"}"#, "is empty"),
        (r#"{"auth":"Og=="}"#, "is empty"),
    ] {
        let text = format!(r#"{{"auths":{{"r.example":{entry},"o.example":{{"auth":"eDp5"}}}}}}"#);
        let found_here = found(&text, "r.example").await;
        assert!(found_here.contains(expected), "{entry}: {found_here}");
        assert_eq!(found(&text, "o.example").await, "x:y", "{entry}");
    }
}

#[tokio::test]
async fn tokens_take_precedence_over_passwords() {
    for (entry, kind, user) in [
        (r#"{"identitytoken":"s3cret"}"#, CredentialKind::IdentityToken, None),
        (r#"{"auth":"Og==","identitytoken":"s3cret"}"#, CredentialKind::IdentityToken, None),
        (
            r#"{"auth":"MDAwMDo=","identitytoken":"s3cret"}"#,
            CredentialKind::IdentityToken,
            Some("0000"),
        ),
        (r#"{"username":"<token>","password":"s3cret"}"#, CredentialKind::IdentityToken, None),
        (r#"{"registrytoken":"s3cret"}"#, CredentialKind::RegistryToken, None),
    ] {
        let text = format!(r#"{{"auths":{{"r.example":{entry}}}}}"#);
        let config = DockerConfig::from_json(text.as_bytes(), "x").unwrap();
        let credential = get(&config, "r.example").await.unwrap();
        assert_eq!((credential.kind(), credential.user()), (kind, user), "{entry}");
        assert!(!format!("{credential:?} {config:?}").contains("s3cret"));
    }
}

#[tokio::test]
async fn the_entry_with_the_longest_path_is_used() {
    let entry = |pair: &str| format!(r#"{{"auth":"{}"}}"#, BASE64.encode(pair));
    let text = format!(
        r#"{{"auths":{{"r.example":{},"r.example/a":{},"r.example/a/b":{},"index.docker.io/me":{}}}}}"#,
        entry("all:x"),
        entry("a:x"),
        entry("ab:x"),
        entry("me:x")
    );
    for (name, repository, expected) in [
        ("r.example", "", "all:x"),
        ("r.example", "other", "all:x"),
        ("r.example", "a", "a:x"),
        ("r.example", "a/c", "a:x"),
        ("r.example", "ab/c", "all:x"),
        ("r.example", "a/b", "ab:x"),
        ("r.example", "a/b/c", "ab:x"),
        ("docker.io", "me/app", "me:x"),
    ] {
        assert_eq!(found_for(&text, name, repository).await, expected, "{name}/{repository}");
    }
}

#[tokio::test]
async fn the_key_decides_where_its_entry_may_be_sent_unencrypted() {
    let text = r#"{"auths":{"http://r.example":{"auth":"dTpw"},"o.example":{"auth":"dTpw"},
        "localhost:5000/org":{"auth":"dTpw"}}}"#;
    let config = DockerConfig::from_json(text.as_bytes(), "x").unwrap();
    assert_eq!(get(&config, "r.example").await.unwrap().insecure_use(), InsecureUse::Anywhere);
    assert_eq!(get(&config, "o.example").await.unwrap().insecure_use(), InsecureUse::ThisMachine);
    let org = RepositoryName::parse("org/a").unwrap();
    let found = config.get(&registry("localhost:5000"), Some(&org)).await.unwrap();
    assert_eq!(found.insecure_use(), InsecureUse::ThisMachine);
}

#[tokio::test]
async fn an_error_names_a_malformed_file_and_does_not_quote_it() {
    let folder = tempfile::tempdir().unwrap();
    for bad in ["s3cret", "[\"s3cret\"]", r#"{"auths":["s3cret"]}"#, r#"{"auths":"s3cret"}"#] {
        let e = config(&folder, bad).unwrap_err();
        let shown = format!("{e} {e:?}");
        assert!(shown.contains(FILE_NAME) && !shown.contains("s3cret"), "{shown}");
    }
    let e = DockerConfig::load_from(folder.path()).unwrap_err();
    assert_eq!(e.kind(), ErrorKind::Io);
    let missing = DockerConfig::load_from(folder.path().join("missing/config.json")).unwrap();
    let anonymous = get(&missing, "r.example").await.unwrap();
    assert!(anonymous.is_anonymous() && anonymous.source().contains("does not exist"));
}

#[tokio::test]
async fn a_malformed_entry_is_an_error_for_its_own_registry_only() {
    for bad in ["s3cret!", "czNjcmV0", "czNjcmV0OgA=", "czNjcmV0OgpY"] {
        let text = format!(r#"{{"auths":{{"r.example":{{"auth":"{bad}"}}}}}}"#);
        let config = DockerConfig::from_json(text.as_bytes(), "x").unwrap();
        let e = get(&config, "r.example").await.unwrap_err();
        let shown = format!("{e} {e:?}");
        assert!(shown.contains("r.example") && !shown.contains("s3cret"), "{shown}");
        assert!(get(&config, "other.example").await.is_ok());
    }
}

#[tokio::test]
async fn login_and_logout_keep_all_other_content() {
    let folder = tempfile::tempdir().unwrap();
    let text = r#"{"auths":{"docker.io":{"auth":"eDp5"},"r.example":{}},"detachKeys":"ctrl-e"}"#;
    let mut config = config(&folder, text).unwrap();
    let hub = key("docker.io");
    assert_eq!(config.set(&hub, &login("u", "p:w")).await.unwrap(), StoredIn::File);

    let written: Value = serde_json::from_slice(&fs::read(config.path()).unwrap()).unwrap();
    assert_eq!(written["detachKeys"], "ctrl-e");
    let auths = written["auths"].as_object().unwrap();
    let keys: Vec<_> = auths.keys().map(String::as_str).collect();
    assert_eq!(keys, ["https://index.docker.io/v1/", "r.example"]);
    let stored = get(&config, "docker.io").await.unwrap();
    assert_eq!(stored.as_login(), Some(&login("u", "p:w")));

    assert!(config.remove(&hub).await.unwrap());
    assert!(!config.remove(&hub).await.unwrap());
    let again = DockerConfig::load_from(config.path()).unwrap();
    assert!(get(&again, "docker.io").await.unwrap().is_anonymous());
}

#[tokio::test]
async fn login_and_logout_for_a_path_do_not_affect_the_registry() {
    let folder = tempfile::tempdir().unwrap();
    let mut config = config(&folder, r#"{"auths":{"r.example":{"auth":"dTpw"}}}"#).unwrap();
    config.set(&key("r.example/org"), &login("o", "p")).await.unwrap();
    let org = RepositoryName::parse("org/app").unwrap();
    let for_org = config.get(&registry("r.example"), Some(&org)).await.unwrap();
    assert_eq!(for_org.user(), Some("o"));
    assert!(config.remove(&key("r.example/org")).await.unwrap());
    let for_org = config.get(&registry("r.example"), Some(&org)).await.unwrap();
    assert_eq!(for_org.user(), Some("u"));
}

#[tokio::test]
async fn a_login_without_a_home_directory_is_refused_and_writes_no_file() {
    let nowhere = DockerConfig::from_environment(&Environment::empty()).unwrap();
    let text = b"{\"credsStore\":\"none\"}";
    let from_text = DockerConfig::from_json(text, "DOCKER_AUTH_CONFIG").unwrap();
    for mut config in [nowhere, from_text] {
        let e = config.set(&key("r.example"), &login("u", "p")).await.unwrap_err();
        assert_eq!(e.kind(), ErrorKind::Unsupported);
        assert!(e.to_string().contains("set HOME or DOCKER_CONFIG"), "{e}");
        assert!(!config.path().exists(), "{}", config.path().display());
    }
}

#[tokio::test]
async fn a_login_keeps_the_entry_that_another_program_wrote_meanwhile() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("new").join(FILE_NAME);
    let mut one = DockerConfig::load_from(&path).unwrap();
    let mut other = one.clone();
    one.set(&key("a.example"), &login("u", "p")).await.unwrap();
    other.set(&key("b.example"), &login("u", "p")).await.unwrap();
    let both = DockerConfig::load_from(&path).unwrap();
    for name in ["a.example", "b.example"] {
        assert!(get(&both, name).await.unwrap().as_login().is_some(), "{name}");
    }
}

#[cfg(unix)]
#[test]
fn concurrent_logins_are_all_kept() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(FILE_NAME);
    let start = std::sync::Barrier::new(8);
    std::thread::scope(|scope| {
        for i in 0..8 {
            let (path, start) = (&path, &start);
            scope.spawn(move || {
                let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build();
                runtime.unwrap().block_on(async {
                    let mut config = DockerConfig::load_from(path).unwrap();
                    start.wait();
                    for j in 0..8 {
                        let key = key(&format!("r{i}-{j}.example"));
                        config.set(&key, &login("u", "p")).await.unwrap();
                    }
                });
            });
        }
    });
    let text = fs::read_to_string(&path).unwrap();
    assert_eq!(text.matches(".example").count(), 64, "{text}");
}

#[cfg(unix)]
#[tokio::test]
async fn the_file_is_private_and_a_symbolic_link_is_not_replaced() {
    use std::os::unix::fs::PermissionsExt as _;
    let folder = tempfile::tempdir().unwrap();
    let mut config = config(&folder, "{}").unwrap();
    config.set(&key("r.example"), &login("u", "p")).await.unwrap();
    assert_eq!(fs::metadata(config.path()).unwrap().permissions().mode() & 0o777, 0o600);

    let link = folder.path().join("link.json");
    std::os::unix::fs::symlink(config.path(), &link).unwrap();
    let mut linked = DockerConfig::load_from(&link).unwrap();
    assert!(linked.set(&key("b.example"), &login("u", "p")).await.is_err());
}

#[cfg(unix)]
mod with_helpers {
    use super::super::super::helper::tests::{KEEPER, helper};
    use super::*;

    const GIVES: &str = r#"echo '{"Username":"'"${0##*-}"'","Secret":"p"}'"#;
    const NOTHING: &str = "echo credentials not found; exit 1";

    async fn user(config: &DockerConfig, name: &str, repository: &str) -> String {
        let repository = RepositoryName::parse(repository).ok();
        let found = config.get(&registry(name), repository.as_ref()).await;
        let found = found.unwrap_or_else(Credential::anonymous);
        found.user().unwrap_or(found.source()).to_owned()
    }

    #[tokio::test]
    async fn the_most_specific_place_is_searched_first() {
        let folder = tempfile::tempdir().unwrap();
        let text = r#"{
            "auths": {
                "own.example": {"auth": "ZW50cnk6cA=="},
                "own.example/org": {"auth": "b3JnOnA="},
                "listed.example": {},
                "file.example": {"auth": "ZW50cnk6cA=="},
                "w.wild.example": {"auth": "ZW50cnk6cA=="}
            },
            "credHelpers": {"own.example": "own", "*.wild.example": "wild", "none.example": "none",
                "missing.example": "missing", "bad.example": "../bad"},
            "credsStore": "store"
        }"#;
        for name in ["own", "wild", "store"] {
            helper(folder.path(), name, GIVES);
        }
        let helpers = helper(folder.path(), "none", NOTHING);
        let config = DockerConfig::from_json(text.as_bytes(), "config.json").unwrap();
        let config = config.with_helpers(helpers);
        for (name, repository, expected) in [
            ("own.example", "a", "own"),
            ("own.example", "org/a", "org"),
            ("a.wild.example", "a", "wild"),
            ("a.b.wild.example:5000", "", "wild"),
            ("w.wild.example", "a", "entry"),
            ("wild.example", "a", "store"),
            ("listed.example", "a", "store"),
            ("file.example", "a", "entry"),
            ("none.example", "a", "store"),
            ("unknown.example", "a", "store"),
        ] {
            assert_eq!(user(&config, name, repository).await, expected, "{name}/{repository}");
        }
        let missing = user(&config, "missing.example", "").await;
        assert!(missing.contains("docker-credential-missing"), "{missing}");
        assert!(user(&config, "bad.example", "").await.contains("letters, digits"));

        let results = config.look(&registry("none.example"), None).await;
        let sources: Vec<_> = results.iter().map(|s| s.as_ref().unwrap().source()).collect();
        assert!(sources[0].contains("docker-credential-none") && sources.len() == 2, "{sources:?}");
    }

    #[tokio::test]
    async fn a_helpers_password_has_the_permission_of_the_files_entry() {
        let folder = tempfile::tempdir().unwrap();
        let helpers = helper(folder.path(), "all", GIVES);
        let auths = |key: &str| format!("\"credsStore\":\"all\",\"auths\":{{\"{key}\":{{}}}}");
        let own = |key: &str| format!("\"credHelpers\":{{\"{key}\":\"all\"}}");
        for (text, expected) in [
            (auths("http://r.example"), InsecureUse::Anywhere),
            // Docker writes an entry with this key.
            (auths("r.example"), InsecureUse::ThisMachine),
            (own("r.example"), InsecureUse::ThisMachine),
            (auths("https://r.example"), InsecureUse::Nowhere),
            (own("https://r.example"), InsecureUse::Nowhere),
            (auths("http://r.example/org"), InsecureUse::Nowhere),
            (auths("r.example:5000"), InsecureUse::Nowhere),
            (own("*.example"), InsecureUse::Nowhere),
        ] {
            let text = format!("{{{text}}}");
            let config = config(&folder, &text).unwrap().with_helpers(helpers.clone());
            let found = get(&config, "r.example").await.unwrap();
            assert_eq!(found.user(), Some("all"));
            assert_eq!(found.insecure_use(), expected, "{text}");
        }
    }

    #[tokio::test]
    async fn a_missing_helper_for_all_registries_does_not_prevent_anonymous_access() {
        let text = br#"{"credsStore":"desktop","auths":{"r.example":{}}}"#;
        let config = DockerConfig::from_json(text, "config.json").unwrap();
        let config = config.with_helpers(Helpers::from_environment(&Environment::empty()));
        let found = get(&config, "r.example").await.unwrap();
        assert!(found.is_anonymous());
        assert!(found.source().contains("docker-credential-desktop"), "{found:?}");
    }

    #[tokio::test]
    async fn login_and_logout_use_the_helper() {
        let folder = tempfile::tempdir().unwrap();
        let helpers = helper(folder.path(), "keeper", KEEPER);
        let mut config = config(&folder, r#"{"credHelpers":{"r.example":"keeper"},"x":1}"#)
            .unwrap()
            .with_helpers(helpers);
        let kept = config.set(&key("r.example"), &login("me", "s3cret")).await.unwrap();
        assert_eq!(kept, StoredIn::Helper("docker-credential-keeper".to_owned()));
        let written = fs::read_to_string(config.path()).unwrap();
        assert!(!written.contains("s3cret") && written.contains("\"x\": 1"), "{written}");
        let stored = get(&config, "r.example").await.unwrap();
        assert_eq!(stored.as_login(), Some(&login("me", "s3cret")));

        let e = config.set(&key("r.example/org"), &login("me", "s3cret")).await.unwrap_err();
        assert_eq!(e.kind(), ErrorKind::Unsupported);
        assert!(config.remove(&key("r.example")).await.unwrap());
        assert!(!config.remove(&key("r.example")).await.unwrap());
        assert!(get(&config, "r.example").await.unwrap().is_anonymous());
    }
}
