//! The HAR files of `--trace`, and the statistics of `--json`, compared with the requests that a
//! proxy saw.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use longshore::{Layout, Tag};
use longshore_registry::{Permissions, Registry, Tokens, Users, serve};
use longshore_testkit::fault::{Fault, FaultProxy, Request};
use longshore_testkit::fixture::{Image, Layer};
use longshore_testkit::process::Process;
use longshore_testkit::random;
use longshore_testkit::script::{Exchange, Script};
use longshore_testkit::tls::{Authority, Front};
use serde_json::Value;
use tokio::runtime::Runtime;

use crate::program::{Ended, Program, background, run_command};

/// A registry that requires tokens, behind a proxy, and behind TLS if requested. It has an image of
/// three layers.
struct Scene {
    program: Program,
    proxy: FaultProxy,
    layers: Vec<Layer>,
    /// The address for clients.
    address: String,
    /// TLS for the registry and for the storage, with the options that trust it.
    tls: Option<(Authority, String)>,
    fronts: Vec<Front>,
    runtime: Runtime,
}

impl Scene {
    fn new(with_tls: bool) -> Self {
        let runtime = background();
        let program = Program::new();
        let listener = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0")).unwrap();
        let proxy = runtime.block_on(FaultProxy::start(listener.local_addr().unwrap()));
        let mut scene = Self {
            address: proxy.address().to_string(),
            layers: (0..3).map(|n| Layer::plain(&random::bytes(n, SIZE))).collect(),
            tls: None,
            fronts: Vec::new(),
            program,
            proxy,
            runtime,
        };
        if with_tls {
            let authority = Authority::new();
            let file = scene.program.path("ca.pem");
            std::fs::write(&file, authority.certificate()).unwrap();
            let options = format!("--scheme https --ca-file {}", file.display());
            scene.tls = Some((authority, options));
            scene.address = scene.front(scene.proxy.address());
        }
        let realm = format!("{}://{}/token", scene.scheme(), scene.address);
        let users = Users::new().user("ann", PASSWORD, Permissions::PUSH);
        let registry = Registry::builder().access(Tokens::new(users, realm)).build().unwrap();
        scene.runtime.spawn(serve(listener, registry, std::future::pending::<()>()));
        scene.push();
        scene
    }

    fn scheme(&self) -> &'static str {
        if self.tls.is_some() { "https" } else { "http" }
    }

    /// Returns the address of a server for clients, which is behind TLS if the registry is.
    fn front(&mut self, server: std::net::SocketAddr) -> String {
        let Some((authority, _)) = &self.tls else { return server.to_string() };
        let front = self.runtime.block_on(Front::start(&authority.for_loopback(), server));
        self.fronts.push(front);
        self.fronts.last().unwrap().address().to_string()
    }

    fn push(&self) {
        let image = Image::new("linux/amd64".parse().unwrap());
        let image = self.layers.iter().cloned().fold(image, Image::layer).build();
        self.runtime.block_on(async {
            let layout = Layout::create(self.program.path("packed")).await.unwrap();
            image.push(&layout, Some(&Tag::parse("v1").unwrap())).await;
        });
        let packed = self.program.local("oci", "packed");
        let pushed = self.run(&format!("push -q {packed}:v1 {}/app:v1", self.address));
        assert_eq!(pushed.code, 0, "{pushed:?}");
    }

    /// Returns a command with credentials.
    fn command(&self, line: &str) -> std::process::Command {
        let options = self.tls.as_ref().map_or("", |(_, options)| options);
        let mut command = self.program.command();
        let login = format!("{}://ann:{PASSWORD}@{}", self.scheme(), self.address);
        command.env("LONGSHORE_CREDENTIALS", login);
        command.args(line.split_whitespace()).args(options.split_whitespace());
        command
    }

    fn run(&self, line: &str) -> Ended {
        run_command(&mut self.command(line), b"")
    }

    fn trace(&self) -> String {
        std::fs::read_to_string(self.program.path("t.har")).unwrap()
    }
}

#[test]
fn a_trace_and_the_statistics_agree_with_the_requests_that_a_proxy_saw() {
    for with_tls in [false, true] {
        let mut scene = Scene::new(with_tls);
        let storage = scene.runtime.block_on(Script::start());
        let location = format!(
            "{}://{}/object?X-Amz-Signature={SIGNATURE}",
            scene.scheme(),
            scene.front(storage.address())
        );
        let [redirected, cut, lost] = [0, 1, 2].map(|n| scene.layers[n].descriptor.digest.clone());
        let target = format!("/object?X-Amz-Signature={SIGNATURE}");
        storage.expect(Exchange::new("GET", target).body(scene.layers[0].content.to_vec()));
        let location = Box::leak(location.into_boxed_str());
        let redirect = Fault::Reply(307, vec![("location", location)]);
        scene.proxy.inject("GET", redirected.as_str(), 1, redirect);
        scene.proxy.inject("GET", cut.as_str(), 1, Fault::Cut(SIZE as u64 / 2));
        scene.proxy.inject("GET", lost.as_str(), 1, Fault::LoseReply);
        scene.proxy.inject("GET", "/manifests/", 1, Fault::Reply(503, vec![]));

        let before = scene.proxy.requests().len();
        let (har, pulled) = (scene.program.path("t.har"), scene.program.local("oci", "pulled"));
        let image = format!("{}/app:v1", scene.address);
        let line = format!("pull -q --json {image} {pulled}:v1 --trace {}", har.display());
        let ended = scene.run(&line);
        assert_eq!((ended.code, scene.proxy.faults_made()), (0, 4), "{ended:?}");
        storage.finish();

        let seen = scene.proxy.requests().split_off(before);
        check_trace(&scene, &seen);
        check_secrets(&scene, &seen);
        check_statistics(&scene, &seen, &ended.stdout);
    }
}

/// Compares each field of the trace with the requests that the proxy saw.
fn check_trace(scene: &Scene, seen: &[Request]) {
    let document: Value = serde_json::from_str(&scene.trace()).unwrap();
    let log = &document["log"];
    assert_eq!((&log["version"], &log["creator"]["name"]), (&"1.2".into(), &"longshore".into()));
    let entries = log["entries"].as_array().unwrap();
    let base = format!("{}://{}", scene.scheme(), scene.address);
    let url = |entry: &Value| entry["request"]["url"].as_str().unwrap().to_owned();
    let (at_registry, at_storage): (Vec<_>, Vec<_>) =
        entries.iter().partition(|entry| url(entry).starts_with(&base));

    let mut expected: Vec<_> =
        seen.iter().map(|r| (r.method.clone(), format!("{base}{}", r.path))).collect();
    let mut found: Vec<_> = at_registry
        .iter()
        .map(|entry| (entry["request"]["method"].as_str().unwrap().to_owned(), url(entry)))
        .collect();
    expected.sort();
    found.sort();
    assert_eq!(found, expected);

    let [object] = &at_storage[..] else { panic!("{at_storage:?}") };
    assert!(url(object).ends_with("/object?X-Amz-Signature=…"), "{object}");
    assert_eq!(object["request"]["queryString"][0]["name"], "X-Amz-Signature");
    assert_eq!(object["response"]["content"]["size"], scene.layers[0].content.len());

    let with_status = |status: u16| -> Vec<_> {
        entries.iter().filter(|entry| entry["response"]["status"] == status).collect()
    };
    assert_eq!(with_status(401).len(), 1);
    assert_eq!(with_status(503).len(), 1);
    let [redirect] = with_status(307)[..] else { panic!("one redirect: {entries:?}") };
    assert_eq!(redirect["response"]["redirectURL"], url(object));
    let [lost] = with_status(0)[..] else { panic!("one lost reply: {entries:?}") };
    assert!(lost["comment"].as_str().unwrap().contains("the connection broke"), "{lost}");
    assert!(url(lost).ends_with(scene.layers[2].descriptor.digest.as_str()));
    let cut = entries.iter().find(|entry| {
        entry["response"]["status"] == 200 && entry["response"]["bodySize"] == SIZE / 2
    });
    assert!(cut.unwrap()["comment"].is_string(), "{cut:?}");

    for entry in entries {
        check_entry(entry, seen);
    }
}

/// Checks the fields that HAR requires, and the headers of the request.
fn check_entry(entry: &Value, seen: &[Request]) {
    let started = entry["startedDateTime"].as_str().unwrap();
    assert!(started.len() == 24 && started.ends_with('Z'), "{started}");
    let ms = |phase: &str| entry["timings"][phase].as_f64().unwrap();
    let phases = ["blocked", "dns", "connect", "send", "wait", "receive"].map(ms);
    assert!(phases[3..].iter().all(|ms| *ms >= 0.0), "{entry}");
    // The proxy closes each connection, so each request has its own.
    assert!(ms("connect") > 0.0, "{entry}");
    let sum: f64 = phases.iter().filter(|ms| **ms > 0.0).sum();
    assert!((sum - entry["time"].as_f64().unwrap()).abs() < 0.001, "{entry}");
    for (part, fields) in [
        ("request", &["httpVersion", "cookies", "headersSize", "bodySize"][..]),
        ("response", &["statusText", "httpVersion", "cookies", "content", "redirectURL"][..]),
    ] {
        for field in fields {
            assert!(!entry[part][field].is_null(), "{part}.{field}: {entry}");
        }
    }
    let known: BTreeSet<_> = seen.iter().flat_map(|request| &request.headers).collect();
    for header in entry["request"]["headers"].as_array().unwrap() {
        let field = |name: &str| header[name].as_str().unwrap().to_owned();
        let (name, value) = (field("name"), field("value"));
        let is_storage = entry["request"]["url"].as_str().unwrap().contains("/object?");
        assert!(is_storage || value == "…" || known.contains(&(name, value)), "{header}");
    }
}

/// Checks that the trace contains no secret of the test.
fn check_secrets(scene: &Scene, seen: &[Request]) {
    use base64::Engine as _;
    let pair = base64::engine::general_purpose::STANDARD.encode(format!("ann:{PASSWORD}"));
    let mut secrets = BTreeSet::from([PASSWORD.to_owned(), SIGNATURE.to_owned(), pair]);
    let sent = seen.iter().filter_map(|request| request.header("authorization"));
    secrets.extend(sent.map(|value| value.split(' ').next_back().unwrap().to_owned()));
    assert_eq!(secrets.len(), 4, "the pull used one token: {secrets:?}");
    let trace = scene.trace();
    for secret in secrets {
        assert!(!trace.contains(&secret), "{secret}");
    }
}

/// Compares the statistics with the requests that the proxy saw, and the one at the storage.
fn check_statistics(scene: &Scene, seen: &[Request], report: &str) {
    let report: Value = serde_json::from_str(report).unwrap();
    let statistics = &report["statistics"];
    let requests = statistics["requests"].as_array().unwrap();
    let counts = requests.iter().filter(|request| request["host"] == *scene.address);
    let counts: BTreeSet<_> = counts
        .map(|request| (request["method"].as_str().unwrap(), request["count"].as_u64().unwrap()))
        .collect();
    let count = |method: &str| seen.iter().filter(|r| r.method == method).count() as u64;
    let expected = ["GET", "HEAD"].map(|method| (method, count(method)));
    assert_eq!(counts, expected.into_iter().filter(|(_, count)| *count > 0).collect());
    let total: u64 = requests.iter().map(|request| request["count"].as_u64().unwrap()).sum();
    assert_eq!(total, seen.len() as u64 + 1);
    let tokens = seen.iter().filter(|request| request.path.starts_with("/token")).count();
    assert_eq!((statistics["token_requests"].as_u64(), tokens), (Some(1), 1));
    assert_eq!(statistics["retries"], 3, "{statistics}");
    assert_eq!(statistics["body_bytes_sent"], 0);
    let trace: Value = serde_json::from_str(&scene.trace()).unwrap();
    let entries = trace["log"]["entries"].as_array().unwrap();
    let received = entries.iter().map(|e| e["response"]["content"]["size"].as_u64().unwrap());
    assert_eq!(statistics["body_bytes_received"], received.sum::<u64>());
    for wait in ["connections_ms", "tokens_ms", "replies_ms", "retries_ms", "request_limit_ms"] {
        assert!(statistics["waits"][wait].is_u64(), "{wait}: {statistics}");
    }
}

#[test]
fn a_killed_command_leaves_a_complete_document() {
    let scene = Scene::new(false);
    let (har, app) = (scene.program.path("t.har"), format!("{}/app:v1", scene.address));
    let line = |n: usize| {
        let pulled = scene.program.local("oci", &format!("pulled{n}"));
        format!("pull -q {app} {pulled}:v1 --trace {}", har.display())
    };
    let start = Instant::now();
    assert_eq!(scene.run(&line(0)).code, 0);
    let latest = start.elapsed();
    let mut random = fastrand::Rng::with_seed(1);
    for round in 1..=20 {
        let mut process = Process::start(&mut scene.command(&line(round)));
        std::thread::sleep(latest.mul_f64(random.f64()));
        process.kill();
        serde_json::from_str::<Value>(&scene.trace()).unwrap();
    }

    // A reply that stalls is not in the trace, but the requests before it are.
    scene.proxy.inject("GET", "/blobs/", 9, Fault::Stall(0));
    let mut process = Process::start(&mut scene.command(&line(21)));
    let entries = || {
        let document: Value = serde_json::from_str(&scene.trace()).unwrap_or_default();
        document["log"]["entries"].as_array().map_or(0, Vec::len)
    };
    let start = Instant::now();
    while scene.proxy.faults_made() == 0 || entries() < 3 {
        assert!(start.elapsed() < Duration::from_secs(20), "{}", scene.trace());
        std::thread::sleep(Duration::from_millis(10));
    }
    process.kill();
    scene.proxy.close_stalled();
    let document: Value = serde_json::from_str(&scene.trace()).unwrap();
    assert!(document["log"]["entries"].as_array().unwrap().len() >= 3);
}

#[test]
fn every_command_writes_a_private_trace_or_fails_before_it_starts() {
    let program = Program::new();
    let server = program.serve(None);
    let har = program.path("t.har");
    std::fs::write(&har, "old content").unwrap();
    program.fails(3, &format!("digest {}/a --trace {}", server.address, har.display()));
    let document: Value = serde_json::from_slice(&std::fs::read(&har).unwrap()).unwrap();
    let statuses: Vec<_> = document["log"]["entries"].as_array().unwrap().iter().collect();
    assert!(statuses.iter().all(|entry| entry["response"]["status"] == 404), "{document}");
    assert!(!statuses.is_empty());
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        assert_eq!(std::fs::metadata(&har).unwrap().permissions().mode() & 0o777, 0o600);
        let e = program.fails(1, "completion bash --trace /dev/null");
        assert!(e.contains("/dev/null") && e.contains("regular file"), "{e}");
    }
    let e = program.fails(1, "completion bash --trace missing/t.har");
    assert!(e.contains("missing/t.har"), "{e}");
}

#[test]
fn the_number_of_requests_is_printed_after_retries() {
    let scene = Scene::new(false);
    let pull = |n: u8| {
        let pulled = scene.program.local("oci", &format!("pulled{n}"));
        scene.run(&format!("pull {}/app:v1 {pulled}:v1", scene.address)).stderr
    };
    assert!(!pull(1).contains("retries"));
    scene.proxy.inject("GET", "/manifests/", 1, Fault::Reply(503, vec![]));
    let told = pull(2);
    assert!(told.contains(" requests; retries: 1, after waits of "), "{told}");
}

/// 256 KiB: larger than the blobs that are transferred like manifests.
const SIZE: usize = 256 << 10;
const PASSWORD: &str = "hunter2-of-ann";
const SIGNATURE: &str = "51gn4tur3";
