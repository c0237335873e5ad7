use std::fs;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;

use super::*;

/// A home directory whose files each have an entry for `r.example`, with a different user in each.
struct Home(tempfile::TempDir);

impl Home {
    fn new() -> Self {
        let home = Self(tempfile::tempdir().unwrap());
        for (file, user) in [
            (".docker/config.json", "docker"),
            ("elsewhere/config.json", "elsewhere"),
            ("named.json", "named"),
            ("run/containers/auth.json", "runtime"),
            (".config/containers/auth.json", "podman"),
            ("xdg/containers/auth.json", "xdg"),
        ] {
            home.write(file, &auths("r.example", user));
        }
        home.write(".netrc", "machine r.example login netrc password p\n");
        home.write("other.netrc", "machine r.example login other password p\n");
        home
    }

    fn path(&self, name: &str) -> std::path::PathBuf {
        self.0.path().join(name)
    }

    fn write(&self, name: &str, text: &str) {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    fn remove(&self, name: &str) {
        fs::remove_file(self.path(name)).unwrap();
    }

    fn environment(&self) -> Environment {
        Environment::empty().with("HOME", self.0.path()).with("XDG_RUNTIME_DIR", self.path("run"))
    }
}

fn auths(registry: &str, user: &str) -> String {
    let auth = BASE64.encode(format!("{user}:p"));
    format!(r#"{{"auths":{{"{registry}":{{"auth":"{auth}"}}}}}}"#)
}

async fn user(environment: &Environment) -> String {
    let found = Credentials::from_environment(environment).unwrap();
    let found = found.get(&"r.example".parse().unwrap(), None).await.unwrap();
    found.user().unwrap_or(found.source()).to_owned()
}

#[tokio::test]
async fn the_caller_wins_over_the_environment_and_the_environment_over_files() {
    let home = Home::new();
    let environment = home
        .environment()
        .with("DOCKER_AUTH_CONFIG", auths("r.example", "variable"))
        .with("LONGSHORE_CREDENTIALS", "https://url:p@r.example");
    assert_eq!(user(&environment).await, "url");
    let explicit =
        MemoryCredentials::new().with("r.example".parse().unwrap(), "explicit", Secret::new("p"));
    let all = Credentials::from_environment(&environment).unwrap().before(explicit);
    let found = all.get(&"r.example".parse().unwrap(), None).await.unwrap();
    assert_eq!(found.user(), Some("explicit"));

    let environment = home.environment().with("DOCKER_AUTH_CONFIG", auths("r.example", "variable"));
    assert_eq!(user(&environment).await, "variable");
    let elsewhere = auths("o.example", "variable");
    let environment = home.environment().with("DOCKER_AUTH_CONFIG", elsewhere);
    assert_eq!(user(&environment).await, "docker");
}

#[tokio::test]
async fn files_are_searched_in_order() {
    let home = Home::new();
    let environment = home.environment();
    let named = environment.clone().with("REGISTRY_AUTH_FILE", home.path("named.json"));
    assert_eq!(user(&named).await, "named");
    let docker = environment.clone().with("DOCKER_CONFIG", home.path("elsewhere"));
    assert_eq!(user(&docker).await, "elsewhere");
    assert_eq!(user(&environment).await, "docker");
    home.remove(".docker/config.json");
    assert_eq!(user(&environment).await, "runtime");
    home.write("named.json", "{}");
    assert_eq!(user(&named).await, "netrc", "the named file replaces podman's files");
    home.remove("run/containers/auth.json");
    assert_eq!(user(&environment).await, "podman");
    let xdg = environment.clone().with("XDG_CONFIG_HOME", home.path("xdg"));
    assert_eq!(user(&xdg).await, "xdg");
    home.remove(".config/containers/auth.json");
    assert_eq!(user(&environment).await, "netrc");
    let netrc = environment.clone().with("NETRC", home.path("other.netrc"));
    assert_eq!(user(&netrc).await, "other");
    home.remove(".netrc");
    assert!(user(&environment).await.starts_with("anonymous"));
    assert!(user(&Environment::empty()).await.starts_with("anonymous"));
}

#[tokio::test]
async fn look_returns_the_results_of_the_queried_sources_in_order() {
    let home = Home::new();
    home.write(".docker/config.json", &auths("o.example", "x"));
    home.remove("run/containers/auth.json");
    let all = Credentials::from_environment(&home.environment()).unwrap();
    let results = all.look(&"r.example".parse().unwrap(), None).await;
    let sources: Vec<_> =
        results.iter().map(|results| results.as_ref().unwrap().source()).collect();
    assert_eq!(sources.len(), 3, "{sources:?}");
    assert!(
        sources[0].contains("no entry in") && sources[0].contains(".docker/config.json"),
        "{sources:?}"
    );
    assert!(sources[1].contains("run/containers/auth.json does not exist"), "{sources:?}");
    assert!(
        sources[2].contains("credentials from") && sources[2].contains(".config"),
        "{sources:?}"
    );
}

#[tokio::test]
async fn a_broken_file_is_an_error() {
    let home = Home::new();
    home.write(".docker/config.json", "{");
    let all = Credentials::from_environment(&home.environment()).unwrap();
    let e = all.get(&"r.example".parse().unwrap(), None).await.unwrap_err();
    assert!(e.to_string().contains(".docker/config.json"), "{e}");
    let results = all.look(&"r.example".parse().unwrap(), None).await;
    assert!(results.len() == 1 && results[0].is_err());
}

#[tokio::test]
async fn tokens_and_headers_in_variables_are_used_for_their_registry_only() {
    let environment = Environment::empty()
        .with("LONGSHORE_TOKEN", "r.example=abc==,o.example=def")
        .with("LONGSHORE_AUTHORIZATION", "h.example=Basic dTpw");
    let all = Credentials::from_environment(&environment).unwrap();
    let get = |name: &str| {
        let (all, name) = (all.clone(), name.parse().unwrap());
        async move { all.get(&name, None).await.unwrap() }
    };
    assert_eq!(get("r.example").await.bearer().unwrap(), "Bearer abc==");
    assert_eq!(get("o.example").await.bearer().unwrap(), "Bearer def");
    assert_eq!(get("h.example").await.basic().unwrap(), "Basic dTpw");
    assert!(get("x.example").await.is_anonymous());
    for (variable, value) in [
        ("LONGSHORE_TOKEN", "s3cret"),
        ("LONGSHORE_TOKEN", "a b=s3cret"),
        ("LONGSHORE_CREDENTIALS", "s3cret"),
        ("DOCKER_AUTH_CONFIG", "s3cret"),
    ] {
        let environment = Environment::empty().with(variable, value);
        let e = Credentials::from_environment(&environment).unwrap_err();
        let shown = format!("{e} {e:?}");
        assert!(shown.contains(variable) && !shown.contains("s3cret"), "{shown}");
    }
}
