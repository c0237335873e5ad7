//! Access to registries: options, environment and log.

use std::future::Future;
use std::net::{SocketAddr, UdpSocket};
use std::process::Command;

use longshore_testkit::fixture::Image;
use longshore_testkit::proxy::Proxy;
use longshore_testkit::script::{Exchange, Script};
use longshore_testkit::tls::{Authority, Dates, Front, Pair};
use serde_json::Value;
use tokio::runtime::Runtime;

use crate::program::{Ended, Program};
use crate::transfers::layout;

/// The program, and the runtime of its test servers.
struct Stage {
    program: Program,
    runtime: Runtime,
}

impl Stage {
    fn new() -> Self {
        Self { program: Program::new(), runtime: Runtime::new().unwrap() }
    }

    fn start<T>(&self, server: impl Future<Output = T>) -> T {
        self.runtime.block_on(server)
    }

    fn run(&self, line: &str, variables: &[(&str, &str)]) -> Ended {
        let mut command = self.program.command();
        command.args(line.split_whitespace());
        let output = command.envs(variables.iter().copied()).output().unwrap();
        Ended {
            code: output.status.code().unwrap_or(-1),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }

    fn file(&self, name: &str, content: &str) -> String {
        let path = self.program.path(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, content).unwrap();
        path.display().to_string()
    }

    /// Starts a TLS server in front of the registry, with a certificate of this authority.
    fn front(&self, authority: &Authority, server: &str) -> SocketAddr {
        let target = server.parse().unwrap();
        let front = self.start(Front::start(&authority.for_loopback(), target));
        let address = front.address();
        // The TLS server runs until the runtime ends.
        std::mem::forget(front);
        address
    }
}

#[test]
fn a_scheme_is_detected_only_on_request() {
    let (stage, authority) = (Stage::new(), Authority::new());
    let server = stage.program.serve(None);
    let tls = stage.front(&authority, &server.address);
    assert_eq!(stage.run(&format!("ping {tls} --scheme https"), &[]).code, 5);
    let found = stage.run(&format!("ping {tls} --scheme detect"), &[]);
    assert!(found.stdout.contains("https, certificate not checked, scheme detected"), "{found:?}");
    assert!(found.stderr.contains("accepting the invalid certificate"), "{found:?}");
    let found = stage.run(&format!("ping {} --scheme detect --json", server.address), &[]);
    let json: Value = serde_json::from_str(&found.stdout).unwrap();
    assert_eq!((&json["scheme"], &json["detected"]), (&"http".into(), &true.into()));
    assert!(found.stderr.contains("plain HTTP"), "{found:?}");

    let detect = [("LONGSHORE_DEFAULT_SCHEME", "detect")];
    assert_eq!(stage.run(&format!("ping {tls}"), &detect).code, 0);
    let e = stage.run(&format!("ping {tls} --scheme {tls}=https"), &detect);
    assert_eq!(e.code, 5, "the option overrides the environment: {e:?}");
    let e = stage.run("ping localhost", &[("LONGSHORE_DEFAULT_SCHEME", "ssh")]);
    assert!(e.code == 2 && e.stderr.contains("by-name or detect"), "{e:?}");
}

#[test]
fn trap_16_skip_tls_verify_overrides_certificates_of_the_environment() {
    let (stage, authority, other) = (Stage::new(), Authority::new(), Authority::new());
    let server = stage.program.serve(None);
    let tls = stage.front(&authority, &server.address);
    let right = stage.file("right.pem", &authority.certificate());
    let wrong = stage.file("wrong.pem", &other.certificate());
    let ping = |options: &str, file: &str| {
        stage.run(&format!("ping {tls} --scheme https {options}"), &[("SSL_CERT_FILE", file)]).code
    };
    assert_eq!(ping("", &right), 0, "the environment's CA is trusted");
    assert_eq!(ping("", &wrong), 5);
    assert_eq!(ping(&format!("--ca-file {right}"), &wrong), 0, "the option's CA is trusted too");
    assert_eq!(ping(&format!("--skip-tls-verify {tls}"), &wrong), 0);
}

#[test]
fn client_certificates_come_from_options_and_certs_d_folders() {
    let (stage, authority, clients) = (Stage::new(), Authority::new(), Authority::new());
    let server = stage.program.serve(None);
    let target = server.address.parse().unwrap();
    let pair = authority.for_loopback();
    let guarded = stage.start(Front::for_clients_of(&clients, &pair, target));
    let name = guarded.address();
    let Pair { certificate, key } = clients.issue(&["client"]);
    let ca = stage.file("ca.pem", &authority.certificate());
    let cert = stage.file("client.pem", &certificate);
    let key_file = stage.file("client.key", &key);
    let ping = format!("ping {name} --scheme https");
    assert_eq!(stage.run(&format!("{ping} --ca-file {ca}"), &[]).code, 5);
    let shown = format!("{ping} --ca-file {ca} --client-cert {name}={cert},{key_file}");
    assert_eq!(stage.run(&shown, &[]).code, 0);
    for (folder, option) in [
        (format!(".config/containers/certs.d/{name}"), String::new()),
        (format!("own/{name}"), format!("--cert-dir {}", stage.program.path("own").display())),
    ] {
        stage.file(&format!("{folder}/ca.crt"), &authority.certificate());
        stage.file(&format!("{folder}/client.cert"), &certificate);
        let half = stage.run(&format!("{ping} {option}"), &[]);
        assert!(half.stderr.contains("the other file"), "{half:?}");
        stage.file(&format!("{folder}/client.key"), &key);
        let whole = stage.run(&format!("{ping} {option}"), &[]);
        assert_eq!(whole.code, 0, "{whole:?}");
    }
}

#[test]
fn proxy_options_override_the_environment_and_proxy_passwords_are_never_logged() {
    let stage = Stage::new();
    let server = stage.program.serve(None);
    let target = server.address.parse().unwrap();
    let basic = "Basic dXNlcjpodW50ZXIy";
    let proxy = stage.start(Proxy::http(Some(basic))).route("r.example:5000", target);
    let url = format!("http://user:hunter2@{}", proxy.address());
    let ping = "ping r.example:5000 --plain-http r.example:5000 -vv";
    let nowhere = ("HTTP_PROXY", "http://user:hunter2@127.0.0.1:1");
    for (line, variables, code) in [
        (format!("{ping} --proxy {url}"), vec![nowhere], 0),
        (ping.to_owned(), vec![("http_proxy", url.as_str())], 0),
        (ping.to_owned(), vec![("LONGSHORE_PROXY", url.as_str()), nowhere], 0),
        (ping.to_owned(), vec![nowhere], 5),
        (ping.to_owned(), vec![("HTTP_PROXY", url.as_str()), ("NO_PROXY", " .example:5000")], 5),
        (format!("{ping} --proxy {url} --no-proxy r.example"), vec![], 5),
        (format!("{ping} --proxy none"), vec![("HTTP_PROXY", url.as_str())], 5),
        (format!("{ping} --proxy ftp://user:hunter2@x"), vec![], 2),
    ] {
        let ended = stage.run(&line, &variables);
        assert_eq!(ended.code, code, "{line} {variables:?}: {ended:?}");
        let said = format!("{}{}", ended.stdout, ended.stderr);
        assert!(!said.contains("hunter2") && !said.contains("dXNlcjpodW50ZXIy"), "{said}");
    }
    let mut help = stage.program.command();
    let help = help.args(["ping", "--help"]).env("LONGSHORE_PROXY", &url).output().unwrap();
    assert!(!String::from_utf8_lossy(&help.stdout).contains("hunter2"));
}

#[test]
fn a_tls_proxy_is_checked_against_its_own_ca() {
    let (stage, registrys, proxys) = (Stage::new(), Authority::new(), Authority::new());
    let server = stage.program.serve(None);
    let target = server.address.parse().unwrap();
    let hidden = stage.start(Front::start(&registrys.issue(&["r.example"]), target));
    let inner = stage.start(Proxy::http(None)).route("r.example:443", hidden.address());
    let proxy = stage.start(Front::start(&proxys.for_loopback(), inner.address()));
    let registrys = stage.file("registry.pem", &registrys.certificate());
    let proxys = stage.file("proxy.pem", &proxys.certificate());
    let ping = format!("ping r.example --proxy https://{}", proxy.address());
    for (options, code) in [
        (format!("--ca-file {registrys} --proxy-ca-file {proxys}"), 0),
        (format!("--ca-file {registrys}"), 5),
        (format!("--ca-file {registrys} --ca-file {proxys}"), 5),
        (format!("--proxy-ca-file {proxys}"), 5),
    ] {
        let ended = stage.run(&format!("{ping} {options}"), &[]);
        assert_eq!(ended.code, code, "{options}: {ended:?}");
    }
    assert_eq!(inner.asked(), ["CONNECT r.example:443"; 2], "two runs used the proxy");
    assert_eq!(hidden.handshakes(), 1);
}

#[test]
fn options_set_addresses_path_prefixes_and_the_user_agent() {
    let stage = Stage::new();
    let server = stage.start(Script::start());
    let port = server.address().port();
    server.expect(
        Exchange::new("GET", "/team/v2/")
            .with("host", format!("r.example:{port}"))
            .with("user-agent", "own/1"),
    );
    let ended = stage.run(
        &format!(
            "ping r.example:{port} -4 --resolve r.example:{port}:127.0.0.1 --user-agent own/1 \
             --registry-url http://r.example:{port}/team/v2/"
        ),
        &[],
    );
    assert_eq!(ended.code, 0, "{ended:?}");
    server.finish();
    let e = stage.run("ping r --registry-url https://u:hunter2@r/", &[]);
    assert!(e.code == 2 && e.stderr.contains("longshore login"), "{e:?}");
    assert!(!e.stderr.contains("hunter2"), "{e:?}");
}

#[test]
fn the_capabilities_of_a_registry_are_stored_in_the_cache_folder_unless_no_cache_is_given() {
    let program = Program::new();
    let server = program.serve(None);
    let (_, port) = server.address.rsplit_once(':').unwrap();
    let packed = layout(&program, "packed", &Image::small(1).build(), "v1");
    let name = format!("r.example:{port}");
    let push =
        format!("push -q {packed} {name}/a:v1 --plain-http {name} --resolve {name}:127.0.0.1");
    let stored = program.path(&format!(".cache/longshore/registries/r.example_{port}.json"));
    program.ok(&format!("{push} --no-cache"));
    assert!(!stored.exists());
    program.ok(&format!("rm --yes {}/a:v1", server.address));
    program.ok(&push);
    let json: Value = serde_json::from_slice(&std::fs::read(&stored).unwrap()).unwrap();
    assert_eq!((&json["single_post"], &json["self_mount"]), (&true.into(), &true.into()));
}

#[test]
fn a_loopback_registry_with_certificates_is_tried_over_tls_first() {
    let (stage, authority) = (Stage::new(), Authority::new());
    let server = stage.program.serve(None);
    let plain = &server.address;
    let tls = stage.front(&authority, plain);
    let right = stage.file("right.pem", &authority.certificate());
    let wrong = stage.file("wrong.pem", &Authority::new().certificate());
    let ping = |name: &str, options: &str| {
        let ended = stage.run(&format!("ping {name} {options} --json"), &[]);
        let json: Value = serde_json::from_str(&ended.stdout).unwrap_or_default();
        (ended.code, json["scheme"].as_str().unwrap_or_default().to_owned(), ended.stderr)
    };
    let tls = tls.to_string();
    for (name, options, scheme) in [
        (&tls, format!("--ca-file {right}"), "https"),
        (plain, format!("--ca-file {right}"), "http"),
        (plain, String::new(), "http"),
    ] {
        let (code, found, told) = ping(name, &options);
        assert_eq!((code, found.as_str()), (0, scheme), "{name} {options}: {told}");
    }
    // The registry uses TLS, so an untrusted certificate causes no fallback to plain HTTP.
    let (code, _, told) = ping(&tls, &format!("--ca-file {wrong}"));
    assert!(
        code == 5 && told.contains(&format!("the certificate of {tls} is not trusted")),
        "{told}"
    );
    stage.file(&format!("certs/{tls}/ca.crt"), &authority.certificate());
    let folder = stage.program.path("certs");
    let (code, found, told) = ping(&tls, &format!("--cert-dir {}", folder.display()));
    assert_eq!((code, found.as_str()), (0, "https"), "{told}");
}

#[test]
fn a_connection_error_is_one_line_and_its_hint_names_an_option() {
    let (stage, authority) = (Stage::new(), Authority::new());
    let server = stage.program.serve(None);
    let plain = &server.address;
    let tls = stage.front(&authority, plain);
    let itself = Authority::with_names(&["127.0.0.1"], Dates::Now).itself();
    let own = stage.start(Front::start(&itself, plain.parse().unwrap()));
    let own = own.address();
    let ping = "longshore ping";
    for (line, told, hint) in [
        (
            "localhost:1".to_owned(),
            "cannot connect to localhost:1: connection refused".to_owned(),
            None,
        ),
        (
            "r.example --proxy http://localhost:1".to_owned(),
            "cannot connect to the proxy http://localhost:1: connection refused".to_owned(),
            None,
        ),
        (
            format!("{tls} --scheme https"),
            format!("the certificate of {tls} is not trusted: unknown authority"),
            Some("--ca-file"),
        ),
        (
            format!("{own} --scheme https"),
            format!("the certificate of {own} is not trusted: self-signed"),
            Some("--skip-tls-verify"),
        ),
        (
            format!("{plain} --scheme https"),
            format!("{plain} does not speak TLS"),
            Some("--plain-http"),
        ),
        (
            format!("{tls}"),
            format!("connection failed: GET http://{tls}/v2/"),
            Some("--scheme https"),
        ),
    ] {
        let ended = stage.run(&format!("ping {line}"), &[]);
        assert_eq!(ended.code, 5, "{ping} {line}: {ended:?}");
        let lines: Vec<_> = ended.stderr.lines().collect();
        assert!(lines[0].starts_with(&format!("longshore: {told}")), "{lines:?}");
        assert_eq!(lines.len(), 1 + usize::from(hint.is_some()), "{lines:?}");
        assert!(hint.is_none_or(|hint| lines[1].contains(hint)), "{lines:?}");
    }
    let ended = stage.run("ping localhost:1 -v", &[]);
    assert!(ended.stderr.contains("because: tcp connect error"), "{ended:?}");
}

#[test]
fn a_command_fails_after_its_time_limit() {
    let stage = Stage::new();
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = silent.local_addr().unwrap();
    let ended = stage.run(&format!("ping {address} --timeout 200ms"), &[]);
    assert!(ended.code == 5 && ended.stderr.contains("within 200ms"), "{ended:?}");
    let ended = stage.run(&format!("ping {address} --scheme https --connect-timeout 100ms"), &[]);
    assert!(ended.code == 5 && ended.stderr.contains("no connection within 100ms"), "{ended:?}");
    let ended = stage.run(&format!("ping {address} --idle-timeout 100ms"), &[]);
    assert!(ended.code == 5 && ended.stderr.contains("no reply within 100ms"), "{ended:?}");
    assert_eq!(stage.run(&format!("ping {address} --timeout soon"), &[]).code, 2);
}

#[test]
fn trap_21_no_log_contains_credentials() {
    let stage = Stage::new();
    let server = stage.start(Script::start());
    let address = server.address();
    let auth = "dXNlcjpodW50ZXIy"; // user:hunter2
    stage.file(
        ".docker/config.json",
        &serde_json::json!({ "auths": { address.to_string(): { "auth": auth } } }).to_string(),
    );
    let list = || Exchange::new("GET", "/v2/a/tags/list");
    let realm = format!("Bearer realm=\"{}\"", server.url("/token"));
    for (option, filter) in [
        ("-v", None),
        ("-vv", None),
        ("-q", Some("trace")),
        ("-v", Some("off")),
        // An empty variable counts as unset.
        ("-v", Some("")),
    ] {
        server.expect(list().answer(401).header("www-authenticate", realm.clone()));
        let token = Exchange::new("GET", "/token?scope=repository%3Aa%3Apull");
        server.expect(
            token.with("authorization", format!("Basic {auth}")).body("{\"token\":\"t0ken\"}"),
        );
        server.expect(list().with("authorization", "Bearer t0ken").body("{\"tags\":[\"v1\"]}"));
        let filter: Vec<_> = filter.map(|filter| ("LONGSHORE_LOG", filter)).into_iter().collect();
        let line = format!("ls {address}/a {option} --plain-http {address}");
        let ended = stage.run(&line, &filter);
        assert_eq!(ended.stdout, "v1\n", "{ended:?}");
        // LONGSHORE_LOG takes precedence over the option.
        let logged = ended.stderr.contains("/v2/a/tags/list");
        assert_eq!(logged, filter != [("LONGSHORE_LOG", "off")], "{ended:?}");
        for secret in ["hunter2", auth, "t0ken"] {
            assert!(!ended.stderr.contains(secret), "{secret}: {}", ended.stderr);
        }
    }
    server.finish();
}

/// Mounts its own files in a namespace. `cargo xtask test` skips tests with `with_own_files` in
/// their name if the machine does not permit such mounts.
#[cfg(target_os = "linux")]
#[test]
fn search_domains_are_read_from_resolv_conf_with_own_files() {
    let stage = Stage::new();
    let server = stage.program.serve(None);
    let port = server.address.rsplit(':').next().unwrap();
    let names = UdpSocket::bind("127.0.53.53:53").unwrap();
    // The thread ends with the test's process.
    std::thread::spawn(move || answer(&names, "registry.corp.test"));
    let resolver = stage.file("resolv.conf", "nameserver 127.0.53.53\nsearch corp.test\n");
    let order = stage.file("nsswitch.conf", "hosts: files dns\n");
    let files = "mount --bind $1 /etc/resolv.conf && mount --bind $2 /etc/nsswitch.conf";
    let mut command = Command::new("unshare");
    command
        .args(["--mount", "sh", "-c", &format!("{files} && shift 2 && exec \"$@\""), "sh"])
        .args([&resolver, &order, env!("CARGO_BIN_EXE_longshore"), "ping"])
        .args([format!("registry:{port}"), "--scheme=http".to_owned()]);
    let output = command.output().unwrap();
    assert!(output.status.success(), "{output:?}");
}

/// Answers DNS queries. Only the name `known` has an address, 127.0.0.1.
///
/// Source: RFC 1035, section 4.1.
#[cfg(target_os = "linux")]
fn answer(names: &UdpSocket, known: &str) {
    const NO_ERROR: [u8; 4] = [0x81, 0x80, 0, 1];
    const NO_SUCH_NAME: [u8; 4] = [0x81, 0x83, 0, 1];
    loop {
        let mut packet = [0; 512];
        let (_, from) = names.recv_from(&mut packet).unwrap();
        let (mut labels, mut at) = (Vec::new(), 12);
        while packet[at] != 0 {
            let end = at + 1 + usize::from(packet[at]);
            labels.push(String::from_utf8_lossy(&packet[at + 1..end]).into_owned());
            at = end;
        }
        let (name, is_ipv4) = (labels.join("."), packet[at + 2] == 1);
        let flags = if name == known { NO_ERROR } else { NO_SUCH_NAME };
        let is_known = name == known && is_ipv4;
        let mut reply = [&packet[..2], &flags, &[0, u8::from(is_known), 0, 0, 0, 0]].concat();
        reply.extend(&packet[12..at + 5]);
        if is_known {
            reply.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 127, 0, 0, 1]);
        }
        names.send_to(&reply, from).unwrap();
    }
}
