//! Login, logout, and the use of credentials.

use std::net::TcpListener;
use std::path::Path;

use longshore_registry::{Access, Permissions, Registry, Tokens, Users, serve};
use longshore_testkit::peer::DockerRegistry;
use tokio::sync::oneshot;

use crate::program::{Ended, Program, run_command};

/// A registry with the user `ann` and the password `hunter2`. Dropping this value stops the
/// registry.
struct Guarded {
    address: String,
    _stop: oneshot::Sender<()>,
}

impl Guarded {
    fn by_password() -> Self {
        Self::start(|_| Users::new().user("ann", "hunter2", Permissions::PUSH))
    }

    fn by_token() -> Self {
        Self::start(|address| {
            let users = Users::new().user("ann", "hunter2", Permissions::PUSH);
            Tokens::new(users, format!("http://{address}/token"))
        })
    }

    fn start<A: Access + 'static>(access: impl FnOnce(&str) -> A) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let registry = Registry::builder().access(access(&address)).build().unwrap();
        let (stop, stopped) = oneshot::channel::<()>();
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.unwrap().block_on(async {
                let listener = tokio::net::TcpListener::from_std(listener).unwrap();
                serve(listener, registry, async { drop(stopped.await) }).await
            })
        });
        Self { address, _stop: stop }
    }
}

/// Runs a command line with these environment variables and this stdin, and checks that the output
/// does not contain the password.
fn run_without_leaking(
    program: &Program,
    line: &str,
    variables: &[(&str, &str)],
    stdin: &str,
) -> Ended {
    let mut command = program.command();
    command.envs(variables.iter().copied());
    let ended = run_command(command.args(line.split_whitespace()), stdin.as_bytes());
    for text in [&ended.stdout, &ended.stderr] {
        assert!(!text.contains("hunter2"), "{line}: {ended:?}");
    }
    ended
}

fn write(program: &Program, name: &str, text: &str) {
    let path = program.path(name);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, text).unwrap();
}

/// Returns a `config.json` as `docker login` writes it.
fn auths(address: &str, pair: &str) -> String {
    use base64::Engine as _;
    let auth = base64::engine::general_purpose::STANDARD.encode(pair);
    serde_json::json!({ "auths": { address: { "auth": auth } } }).to_string()
}

/// Returns a host name outside loopback for the registry, and the option that resolves it.
fn elsewhere(registry: &Guarded) -> (String, String) {
    let port = registry.address.rsplit(':').next().unwrap();
    (format!("r.example:{port}"), format!("--resolve r.example:{port}:127.0.0.1"))
}

#[test]
fn login_stores_only_working_credentials_and_needs_no_options_on_loopback() {
    let program = Program::new();
    for registry in [Guarded::by_password(), Guarded::by_token()] {
        let address = &registry.address;
        let login = format!("login {address} -u ann --password-stdin");
        let wrong = run_without_leaking(&program, &login, &[], "wrong\n");
        assert_eq!(wrong.code, 4, "{wrong:?}");
        assert!(!program.path(".docker/config.json").exists(), "a wrong password is not stored");
        let right = run_without_leaking(&program, &login, &[], "hunter2\n");
        assert_eq!(right.code, 0, "{right:?}");
        assert_eq!(right.stderr.lines().count(), 1, "no warning: {right:?}");
        let stored = std::fs::read_to_string(program.path(".docker/config.json")).unwrap();
        assert!(stored.contains(&format!("\"{address}\"")), "in Docker's format: {stored}");
        assert_private(&program.path(".docker/config.json"));
        program.fails(3, &format!("digest {address}/a:b"));
        program.ok(&format!("logout {address}"));
        program.fails(4, &format!("digest {address}/a:b"));
        program.fails(3, &format!("logout {address}"));
        std::fs::remove_file(program.path(".docker/config.json")).unwrap();
    }
}

#[test]
fn login_over_plain_http_to_another_machine_needs_an_option_and_warns() {
    let (program, registry) = (Program::new(), Guarded::by_password());
    let (name, at) = elsewhere(&registry);
    let login = format!("login {name} {at} -u ann --password-stdin");
    // Scheme detection does not permit passwords over plain HTTP.
    let refused =
        run_without_leaking(&program, &format!("{login} --scheme detect"), &[], "hunter2\n");
    assert_eq!(refused.code, 4, "{refused:?}");
    assert!(refused.stderr.contains(&format!("--plain-http {name}")), "{refused:?}");
    assert!(!program.path(".docker/config.json").exists());
    let said =
        run_without_leaking(&program, &format!("{login} --plain-http {name}"), &[], "hunter2\n");
    assert!(said.code == 0 && said.stderr.contains("is sent unencrypted"), "{said:?}");
    let stored = std::fs::read_to_string(program.path(".docker/config.json")).unwrap();
    assert!(stored.contains(&format!("\"http://{name}\"")), "{stored}");
    program.fails(3, &format!("digest {name}/a:b {at} --scheme http"));
    // On loopback, login over plain HTTP needs no option.
    let detect = format!("login {} -u ann --password-stdin --scheme detect", registry.address);
    assert_eq!(run_without_leaking(&program, &detect, &[], "hunter2\n").code, 0);
}

#[test]
fn help_shows_no_secrets_of_the_environment() {
    let program = Program::new();
    let variables = [
        ("LONGSHORE_TOKEN_SERVICE", "r.example=https://ann:hunter2@auth.example/"),
        ("LONGSHORE_PROXY", "http://ann:hunter2@proxy.example"),
        ("LONGSHORE_TOKEN", "r.example=hunter2"),
    ];
    let help = run_without_leaking(&program, "digest --help", &variables, "");
    assert!(help.stdout.contains("LONGSHORE_TOKEN_SERVICE"), "{help:?}");
    for wrong in ["r.example=https://ann:hunter2", "r.example=ftp://ann:hunter2@auth.example/"] {
        let variables = [("LONGSHORE_TOKEN_SERVICE", wrong)];
        assert_eq!(
            run_without_leaking(&program, "digest nginx", &variables, "").code,
            2,
            "{wrong}"
        );
    }
}

fn assert_private(path: &Path) {
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        assert_eq!(std::fs::metadata(path).unwrap().permissions().mode() & 0o777, 0o600);
    }
}

#[test]
fn credentials_that_other_tools_stored_for_loopback_are_used_over_plain_http() {
    for registry in [Guarded::by_password(), Guarded::by_token()] {
        let (program, address) = (Program::new(), &registry.address);
        let digest = format!("digest {address}/a:b");
        for file in [".docker/config.json", ".config/containers/auth.json"] {
            write(&program, file, &auths(address, "ann:hunter2"));
            program.fails(3, &digest);
            write(&program, file, &auths(&format!("{address}/a"), "ann:hunter2"));
            program.fails(3, &digest);
            std::fs::remove_file(program.path(file)).unwrap();
        }
        let variable = format!("https://ann:hunter2@{address}");
        let named = [("LONGSHORE_CREDENTIALS", variable.as_str())];
        assert_eq!(run_without_leaking(&program, &digest, &named, "").code, 3);
    }
}

#[test]
fn credentials_over_plain_http_require_an_option_or_an_exact_entry_for_loopback() {
    let (program, registry) = (Program::new(), Guarded::by_password());
    let address = &registry.address;
    write(&program, ".netrc", "machine 127.0.0.1 login ann password hunter2\n");
    let refused = program.fails(4, &format!("digest {address}/a:b"));
    assert!(
        refused.contains(&format!("unless they are stored for exactly {address}")),
        "{refused}"
    );
    program.fails(3, &format!("digest {address}/a:b --plain-http {address}"));
    std::fs::remove_file(program.path(".netrc")).unwrap();
    // An entry with https:// does not permit plain HTTP.
    write(&program, ".docker/config.json", &auths(&format!("https://{address}"), "ann:hunter2"));
    let refused = program.fails(4, &format!("digest {address}/a:b"));
    assert!(refused.contains("not sent over plain HTTP"), "{refused}");
    program.fails(3, &format!("digest {address}/a:b --plain-http {address}"));
    // For a registry on another machine, an exact entry does not permit plain HTTP either.
    let (name, at) = elsewhere(&registry);
    write(&program, ".docker/config.json", &auths(&name, "ann:hunter2"));
    let refused = program.fails(4, &format!("digest {name}/a:b {at} --scheme http"));
    assert!(refused.contains("not sent over plain HTTP unless you allow it"), "{refused}");
    program.fails(3, &format!("digest {name}/a:b {at} --plain-http {name}"));
}

#[test]
fn the_environment_precedes_files_and_a_named_file_precedes_all() {
    let (program, registry) = (Program::new(), Guarded::by_password());
    let address = &registry.address;
    let line = format!("digest {address}/a:b --plain-http {address}");
    let code =
        |variables: &[(&str, &str)]| run_without_leaking(&program, &line, variables, "").code;
    assert_eq!(code(&[]), 4);
    let good = auths(address, "ann:hunter2");
    let bad = auths(address, "ann:wrong");
    let url = format!("https://ann:hunter2@{address}");
    let named = program.path("named.json");
    write(&program, "named.json", &good);
    write(&program, "bad.json", &bad);
    for variables in [
        ("DOCKER_AUTH_CONFIG", good.as_str()),
        ("LONGSHORE_CREDENTIALS", &url),
        ("LONGSHORE_AUTHORIZATION", &format!("{address}=Basic YW5uOmh1bnRlcjI=")),
        ("REGISTRY_AUTH_FILE", named.to_str().unwrap()),
    ] {
        assert_eq!(code(&[variables]), 3, "{}", variables.0);
    }
    let host = address.split(':').next().unwrap();
    write(&program, ".netrc", &format!("machine {host} login ann password hunter2\n"));
    assert_eq!(code(&[]), 3, "netrc");
    write(&program, ".config/containers/auth.json", &bad);
    assert_eq!(code(&[]), 4, "podman's file comes before .netrc");
    write(&program, ".docker/config.json", &good);
    assert_eq!(code(&[]), 3, "Docker's file comes before podman's");
    assert_eq!(code(&[("DOCKER_AUTH_CONFIG", &bad)]), 4, "the environment comes before files");
    let given = run_without_leaking(
        &program,
        &format!("{line} --auth-file bad.json"),
        &[("DOCKER_AUTH_CONFIG", &good)],
        "",
    );
    assert_eq!(given.code, 4, "a file named on the command line comes first");
}

#[test]
fn auth_explain_shows_each_step_and_no_secret() {
    let (program, registry) = (Program::new(), Guarded::by_token());
    let address = &registry.address;
    write(&program, ".docker/config.json", &auths("other.example", "x:y"));
    write(&program, ".config/containers/auth.json", &auths(address, "ann:hunter2"));
    let told = run_without_leaking(
        &program,
        &format!("auth explain {address}/a --action pull,push"),
        &[],
        "",
    );
    assert_eq!(told.code, 0, "{told:?}");
    let text = told.stdout;
    for expected in [
        "skipped: anonymous (no entry in".to_owned(),
        "used: credentials from".to_owned(),
        "containers/auth.json".to_owned(),
        "password of ann".to_owned(),
        format!("Bearer realm=\"http://{address}/token\",service=\"longshore\""),
        format!("http://{address}/token"),
        "repository:a:pull,push".to_owned(),
        "not stated".to_owned(),
        "300 seconds".to_owned(),
        "the repository does not exist (HTTP 404)".to_owned(),
    ] {
        assert!(text.contains(&expected), "{expected}: {text}");
    }
    let json =
        run_without_leaking(&program, &format!("auth explain {address}/a --json"), &[], "").stdout;
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json["credential"]["user"], "ann");
    assert_eq!(json["requested_scopes"], serde_json::json!(["repository:a:pull"]));
    assert_eq!(json["granted"], serde_json::Value::Null);
    assert_eq!(json["status"], 404);

    // After a refusal, the previous steps are still shown.
    write(&program, ".config/containers/auth.json", &auths(address, "ann:wrong"));
    let told = program.ok(&format!("auth explain {address}/a"));
    assert!(told.contains("used:") && told.contains("refused credentials from"), "{told}");
}

#[test]
fn auth_token_prints_a_token_that_works() {
    let (program, registry) = (Program::new(), Guarded::by_token());
    let address = &registry.address;
    write(&program, ".docker/config.json", &auths(address, "ann:hunter2"));
    let token = program.ok(&format!("auth token {address}/a --action pull,push"));
    assert!(!token.is_empty() && !token.contains(char::is_whitespace));
    let scoped = program.ok(&format!("auth token {address}/a --scope repository:a:pull --json"));
    let scoped: serde_json::Value = serde_json::from_str(&scoped).unwrap();
    assert_eq!(scoped["requested_scopes"], serde_json::json!(["repository:a:pull"]));
    assert_eq!(scoped["expires_in"], 300);

    std::fs::remove_file(program.path(".docker/config.json")).unwrap();
    let line = format!("digest {address}/a:b --plain-http {address}");
    program.fails(4, &line);
    let preset = format!("{address}={token}");
    assert_eq!(run_without_leaking(&program, &line, &[("LONGSHORE_TOKEN", &preset)], "").code, 3);

    let basic = Guarded::by_password();
    write(&program, ".docker/config.json", &auths(&basic.address, "ann:hunter2"));
    let none = program.fails(1, &format!("auth token {}/a", basic.address));
    assert!(none.contains("issues no tokens"), "{none}");
    assert!(program.fails(1, "auth token oci:x").contains("at a registry"));
}

#[cfg(unix)]
#[test]
fn login_and_logout_use_the_configured_helper() {
    use std::os::unix::fs::PermissionsExt as _;
    let (program, registry) = (Program::new(), Guarded::by_password());
    let address = &registry.address;
    let helper = program.path("bin/docker-credential-kept");
    let script = "#!/bin/sh\nkept=\"$0.kept\"\ncase \"$1\" in\n\
        store) /bin/cat > \"$kept\" ;;\n\
        get) if [ -f \"$kept\" ]; then /bin/cat \"$kept\"; else echo credentials not found; exit 1; fi ;;\n\
        erase) /bin/rm \"$kept\" ;;\nesac\n";
    write(&program, "bin/docker-credential-kept", script);
    std::fs::set_permissions(&helper, std::fs::Permissions::from_mode(0o755)).unwrap();
    let path = program.path("bin").display().to_string();
    let variables = [("PATH", path.as_str())];
    write(&program, ".docker/config.json", "{\"credsStore\":\"kept\",\"detachKeys\":\"x\"}");

    let login = format!("login {address} -u ann --password-stdin");
    let ended = run_without_leaking(&program, &login, &variables, "hunter2\n");
    assert_eq!(ended.code, 0, "{ended:?}");
    assert!(ended.stderr.contains("in docker-credential-kept"), "{ended:?}");
    let config = std::fs::read_to_string(program.path(".docker/config.json")).unwrap();
    assert!(config.contains("detachKeys") && !config.contains("auth\""), "{config}");
    let digest = format!("digest {address}/a:b");
    assert_eq!(run_without_leaking(&program, &digest, &variables, "").code, 3);
    assert_eq!(run_without_leaking(&program, &format!("logout {address}"), &variables, "").code, 0);
    assert_eq!(run_without_leaking(&program, &digest, &variables, "").code, 4);
    let left = std::fs::read_dir(program.path("bin")).unwrap().count();
    assert_eq!(left, 1, "the helper erased its file");
}

#[test]
fn a_login_for_a_path_is_used_only_below_that_path() {
    let (program, registry) = (Program::new(), Guarded::by_password());
    let address = &registry.address;
    let login = format!("login {address}/team -u ann --password-stdin");
    assert_eq!(run_without_leaking(&program, &login, &[], "hunter2\n").code, 0);
    program.fails(3, &format!("digest {address}/team/app:v1"));
    program.fails(4, &format!("digest {address}/other:v1"));
    program.ok(&format!("logout {address}/team"));
    program.fails(4, &format!("digest {address}/team/app:v1"));
}

#[cfg(unix)]
#[test]
fn a_world_readable_credentials_file_causes_a_warning() {
    use std::os::unix::fs::PermissionsExt as _;
    let (program, registry) = (Program::new(), Guarded::by_password());
    write(&program, ".docker/config.json", &auths(&registry.address, "ann:hunter2"));
    let config = program.path(".docker/config.json");
    let line = format!("digest {}/a:b", registry.address);
    for (mode, warned) in [(0o644, true), (0o600, false)] {
        std::fs::set_permissions(&config, std::fs::Permissions::from_mode(mode)).unwrap();
        let told = program.fails(3, &line);
        let warning = format!(
            "longshore: warning: {} contains credentials that all users of this machine can \
             read: run chmod 600 on it\n",
            config.display()
        );
        // The warning appears once, although the file is read more than once.
        assert_eq!(told.matches(&warning).count(), usize::from(warned), "{mode:o}: {told}");
        assert_eq!(told.lines().count(), 1 + usize::from(warned), "{mode:o}: {told}");
    }
    std::fs::set_permissions(&config, std::fs::Permissions::from_mode(0o644)).unwrap();
    let log = program.fails(3, &format!("{line} -v"));
    let warnings = log.matches("WARN longshore::credentials").count();
    assert_eq!(warnings, 1, "the log contains the warning once: {log}");
}

#[test]
fn docker_registry_with_a_password_accepts_login_and_stored_credentials() {
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
fn a_refusal_by_docker_registry_names_the_credentials_file_and_no_secret() {
    let program = Program::new();
    let registry = DockerRegistry::with_htpasswd("me", "right");
    let address = registry.address();
    let config = program.path(".docker/config.json");
    std::fs::create_dir_all(config.parent().unwrap()).unwrap();
    // The value of `auth` is `me:hunter2` in Base64.
    let key = format!("http://{address}");
    let entry = serde_json::json!({ "auths": { key: { "auth": "bWU6aHVudGVyMg==" } } });
    std::fs::write(&config, entry.to_string()).unwrap();
    let told = program.fails(4, &format!("-vv digest {address}/team/app:v1"));
    assert!(told.contains(&format!("{address}/team/app")), "{told}");
    assert!(told.contains("config.json"), "{told}");
    for secret in ["hunter2", "bWU6aHVudGVyMg=="] {
        assert!(!told.contains(secret), "{told}");
    }
}

#[test]
fn authentication_can_be_set_for_one_registry() {
    let (program, registry) = (Program::new(), Guarded::by_password());
    let address = &registry.address;
    write(&program, ".docker/config.json", &auths(address, "ann:hunter2"));
    let digest = format!("digest {address}/a:b");
    let never = program.fails(4, &format!("{digest} --basic-auth never"));
    assert!(never.contains("only basic, which is turned off"), "{never}");
    program.fails(4, &format!("{digest} --basic-auth {address}=never"));
    program.fails(3, &format!("{digest} --basic-auth o.example=never"));
    program.fails(3, &format!("{digest} --basic-auth first"));
    program.fails(2, &format!("{digest} --basic-auth often"));

    let tokens = Guarded::by_token();
    let address = &tokens.address;
    write(&program, ".docker/config.json", &auths(address, "ann:hunter2"));
    let digest = format!("digest {address}/a:b");
    let service = format!("{address}=http://{address}/token?service=longshore");
    program.fails(3, &format!("{digest} --token-service {service}"));
    program.fails(3, &format!("{digest} --token-host {address}={address}"));
    // No server listens at that address.
    program.fails(5, &format!("{digest} --token-host {address}=127.0.0.1:1"));
    program.fails(2, &format!("{digest} --token-host 127.0.0.1:1"));
}
