//! Runs one cell of the matrix, and checks everything that must hold for any fault.

use std::collections::BTreeSet;
use std::error::Error as _;
use std::io;
use std::path::Path;
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Poll;
use std::time::{Duration, Instant};

use longshore::{Digest, Error, Result};
use longshore_testkit::fault::{Fault, Request};
use tracing_subscriber::fmt::MakeWriter;

use super::case::{At, Case, Outcome};
use super::operation::{Answer, Operation};
use super::setting::{Ground, PASSWORD, Route, Setting, Wire, impatient, patient};

/// What a cell showed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Seen {
    /// The operation succeeded with the usual number of requests.
    Ok,
    /// The operation succeeded after more requests.
    Recovered,
    /// The operation failed as expected.
    Failed,
}

/// Runs one cell.
///
/// # Errors
/// A clause that says which check failed.
pub(super) async fn run(
    ground: &Ground,
    log: &Log,
    operation: Operation,
    case: &Case,
    expected: Outcome,
    wire: Wire,
) -> Result<Seen, String> {
    if case.fault == DROPPED {
        return drops(ground, operation, wire).await;
    }
    let limits = if case.stalls { impatient() } else { patient() };
    let setting = Setting::new(ground, operation, wire, case.route, limits).await;
    let reached = case.route == Route::Proxy;
    if reached && !case.is_fresh {
        warm_up(&setting, operation).await?;
    }
    let first = usize::from(operation == Operation::BlobResume && case.has_faults());
    if first == 1 {
        let (proxy, method, path) = At::Main.place(operation, &setting);
        proxy.inject(method, &path, 1, Fault::Cut(ground.half()));
    }
    case.inject(operation, &setting);
    let (before, start) = (setting.requests(), Instant::now());
    let result = tokio::time::timeout(BOUND, operation.run(&setting)).await;
    let (took, requests) = (start.elapsed(), setting.requests() - before);
    let result = result.map_err(|_| format!("no result within {BOUND:?}"))?;

    check_outcome(&result, expected)?;
    if took < case.at_least {
        return Err(format!("took only {took:?}"));
    }
    let clean = operation.clean_requests();
    let kinds = clean + operation.repair_requests();
    let limit = if case.redirects { 6 * kinds + 11 } else { 6 * kinds };
    if requests > limit {
        return Err(format!("{requests} requests, more than {limit}"));
    }
    if case.has_faults() && setting.faults_made() <= first {
        return Err("the fault was not made".to_owned());
    }
    let secrets = secrets(&setting);
    check_strangers(&setting, &secrets)?;
    check_folder(setting.folder.path(), true)?;
    if let Err(error) = &result {
        check_text(error, &setting, &secrets)?;
    }
    log.guard(secrets);
    if reached {
        setting.clear_faults();
        again(&setting, operation).await?;
    }
    Ok(match result {
        Err(_) => Seen::Failed,
        Ok(_) if requests > clean + first => Seen::Recovered,
        Ok(_) => Seen::Ok,
    })
}

/// Lets the client learn how to authenticate. A deletion needs a scope that only the registry's
/// challenge names, so the client deletes something first.
async fn warm_up(setting: &Setting<'_>, operation: Operation) -> Result<(), String> {
    let checked = setting.client.check_credentials(&setting.name).await;
    checked.map_err(|e| format!("the registry refused the credentials: {e}"))?;
    if operation == Operation::Delete {
        operation.run(setting).await.map_err(|e| format!("the first deletion: {e}"))?;
    }
    Ok(())
}

fn check_outcome(result: &Result<Answer>, expected: Outcome) -> Result<(), String> {
    match (result, expected) {
        (Ok(Answer::Complete), Outcome::Ok) | (Ok(Answer::Absent), Outcome::Absent) => Ok(()),
        (Err(error), Outcome::Fails(kinds, text)) => match chain(error).contains(text) {
            _ if !kinds.contains(&error.kind()) => {
                Err(format!("{:?}, expected {kinds:?}: {}", error.kind(), chain(error)))
            }
            true => Ok(()),
            false => Err(format!("the error does not contain \"{text}\": {}", chain(error))),
        },
        (Err(error), _) => {
            Err(format!("expected {expected:?}: {:?}: {}", error.kind(), chain(error)))
        }
        (Ok(answer), _) => Err(format!("{answer:?}, expected {expected:?}")),
    }
}

/// Checks that an error names the registry or repository, and the status, and holds no secret.
fn check_text(
    error: &Error,
    setting: &Setting<'_>,
    secrets: &BTreeSet<String>,
) -> Result<(), String> {
    let text = chain(error);
    let hosts = setting.ports().map(|port| format!("127.0.0.1:{port}"));
    let host = setting.name.host().to_owned();
    let own = setting.name.to_string();
    let is_named = hosts.iter().any(|host| text.contains(host.as_str()));
    if !is_named && !text.contains(&own) && (host == "127.0.0.1" || !text.contains(&host)) {
        return Err(format!("the error does not name the registry: {text}"));
    }
    if let Some(status) = error.status()
        && !text.contains(&status.to_string())
    {
        return Err(format!("the error does not state the status {status}: {text}"));
    }
    match secrets
        .iter()
        .find(|secret| text.contains(*secret) || format!("{error:?}").contains(*secret))
    {
        Some(secret) => Err(format!("the error shows the secret {secret}: {text}")),
        None => Ok(()),
    }
}

/// Returns an error and its sources.
fn chain(error: &Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(&format!(": {cause}"));
        source = cause.source();
    }
    text
}

/// Returns the secrets of a cell: the password, and the values of all `Authorization` headers.
fn secrets(setting: &Setting<'_>) -> BTreeSet<String> {
    let requests = setting.near.proxy.requests();
    let sent = requests.iter().filter_map(|request| request.header("authorization"));
    let values = sent.filter_map(|value| Some(value.split_once(' ')?.1.to_owned()));
    values.chain([PASSWORD.to_owned()]).collect()
}

/// Checks that other origins than the registry got no secrets.
fn check_strangers(setting: &Setting<'_>, secrets: &BTreeSet<String>) -> Result<(), String> {
    let far = setting.far.proxy.requests();
    // A request that comes back from another origin is not the registry's own any more.
    for request in far.iter().chain(&setting.target_proxy().requests()) {
        let has_secret = |text: &str| secrets.iter().any(|secret| text.contains(secret.as_str()));
        let forbidden = ["authorization", "cookie", "proxy-authorization", "referer"];
        let Request { path, headers, .. } = request;
        let shown = headers
            .iter()
            .find(|(name, value)| forbidden.contains(&name.as_str()) || has_secret(value));
        if has_secret(path) || shown.is_some() {
            return Err(format!("another origin got a secret: {path} {shown:?}"));
        }
    }
    Ok(())
}

/// Checks that a folder holds only the files of a layout, and that each blob is complete. Partial
/// files are allowed until a later run.
fn check_folder(folder: &Path, may_be_partial: bool) -> Result<(), String> {
    for entry in std::fs::read_dir(folder).map_err(|e| e.to_string())? {
        let path = entry.map_err(|e| e.to_string())?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if path.is_dir() {
            check_folder(&path, may_be_partial)?;
        } else if name.starts_with(".partial-") {
            if !may_be_partial {
                return Err(format!("{name} is left"));
            }
        } else if folder.ends_with("blobs/sha256") {
            let content = std::fs::read(&path).map_err(|e| e.to_string())?;
            if *Digest::sha256(&content).encoded() != name {
                return Err(format!("the blob {name} has other content"));
            }
        }
    }
    Ok(())
}

/// Repeats the operation with the same client and without faults. It needs the permit for a request,
/// and removes what the first run left.
async fn again(setting: &Setting<'_>, operation: Operation) -> Result<(), String> {
    setting.reset().await;
    let again = tokio::time::timeout(BOUND, operation.run(setting)).await;
    match again.map_err(|_| "the client sends nothing after the fault")? {
        Ok(Answer::Complete) => check_folder(setting.folder.path(), false),
        other => Err(format!("the operation fails after the fault: {other:?}")),
    }
}

/// Runs an operation without faults. Returns the number of its requests.
pub(super) async fn clean(ground: &Ground, operation: Operation) -> Result<usize, String> {
    let setting = Setting::new(ground, operation, Wire::Plain, Route::Proxy, patient()).await;
    warm_up(&setting, operation).await?;
    let before = setting.requests();
    match operation.run(&setting).await {
        Ok(Answer::Complete) => Ok(setting.requests() - before),
        other => Err(format!("{other:?}")),
    }
}

/// Drops the operation after each of some numbers of polls. The next run must succeed.
async fn drops(ground: &Ground, operation: Operation, wire: Wire) -> Result<Seen, String> {
    for polls in DROPPED_AFTER {
        let setting = Setting::new(ground, operation, wire, Route::Proxy, patient()).await;
        warm_up(&setting, operation).await?;
        let is_done = polled(operation.run(&setting), *polls).await;
        check_folder(setting.folder.path(), true)?;
        again(&setting, operation)
            .await
            .map_err(|e| format!("dropped after {polls} polls: {e}"))?;
        if is_done {
            break;
        }
    }
    Ok(Seen::Recovered)
}

/// Polls a future at most this many times, then drops it. Returns true if it was ready.
async fn polled<F: Future>(future: F, mut polls: usize) -> bool {
    let mut future = pin!(future);
    std::future::poll_fn(move |cx| {
        if future.as_mut().poll(cx).is_ready() {
            return Poll::Ready(true);
        }
        polls -= 1;
        if polls == 0 { Poll::Ready(false) } else { Poll::Pending }
    })
    .await
}

/// The log of a test at the most detailed level, and the secrets that it must not show.
#[derive(Clone, Default)]
pub(super) struct Log(Arc<Mutex<Lines>>);

#[derive(Default)]
struct Lines {
    text: Vec<u8>,
    secrets: BTreeSet<String>,
}

impl Log {
    /// Starts to record the log of this thread.
    pub(super) fn start() -> (Self, tracing::subscriber::DefaultGuard) {
        let log = Self::default();
        let subscriber = tracing_subscriber::fmt()
            .with_max_level(tracing::Level::TRACE)
            .with_ansi(false)
            .with_writer(log.clone())
            .finish();
        (log, tracing::subscriber::set_default(subscriber))
    }

    fn lines(&self) -> MutexGuard<'_, Lines> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn guard(&self, secrets: BTreeSet<String>) {
        self.lines().secrets.extend(secrets);
    }

    /// Returns the secrets that the log shows.
    ///
    /// # Panics
    /// If the log is empty.
    pub(super) fn secrets_shown(&self) -> Vec<String> {
        let lines = self.lines();
        let text = String::from_utf8_lossy(&lines.text);
        assert!(text.contains("sending again"), "the log has no retries");
        lines.secrets.iter().filter(|secret| text.contains(secret.as_str())).cloned().collect()
    }
}

impl io::Write for Log {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.lines().text.extend_from_slice(line);
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl MakeWriter<'_> for Log {
    type Writer = Self;

    fn make_writer(&self) -> Self {
        self.clone()
    }
}

/// The fault that drops the operation.
const DROPPED: usize = 62;
/// The numbers of polls after which an operation is dropped.
const DROPPED_AFTER: &[usize] = &[1, 2, 3, 4, 5, 7, 9, 12, 16, 22, 30, 45];
/// 15 s: the longest time that an operation may take. The faults themselves take at most 3 s.
const BOUND: Duration = Duration::from_secs(15);

/// The checks of the matrix fail if what they check is wrong.
mod tests {
    use std::fs;

    use longshore::{Client, ErrorKind};
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpStream;

    use super::*;

    async fn ping(ground: &Ground, case: Case) -> Result<Seen, String> {
        let (log, _recording) = Log::start();
        run(ground, &log, Operation::Ping, &case, Outcome::Ok, Wire::Plain).await
    }

    #[tokio::test]
    async fn a_cell_fails_without_its_outcome_its_fault_or_its_wait() {
        let ground = Ground::new().await;
        let gone = || Fault::Reply(404, vec![]);
        let hour = Duration::from_secs(3600);
        for (case, why) in [
            (Case::new(1, "").once(gone()), "expected Ok: NotFound"),
            (Case::new(1, "").times(At::Token, 1, gone()), "the fault was not made"),
            (Case::new(1, "").at_least(hour), "took only"),
            (Case::new(1, "").times(At::Main, 10, Fault::Redirect(String::new(), "")), "requests"),
        ] {
            let error = ping(&ground, case).await.unwrap_err();
            assert!(error.contains(why), "{error}");
        }
    }

    #[test]
    fn another_kind_text_or_answer_is_not_the_outcome() {
        let error = || Err(Error::new(ErrorKind::Timeout).at("x"));
        let timeout = Outcome::Fails(&[ErrorKind::Timeout], "x");
        check_outcome(&error(), timeout).unwrap();
        for (result, expected) in [
            (error(), Outcome::Ok),
            (error(), Outcome::Fails(&[ErrorKind::Denied], "")),
            (error(), Outcome::Fails(&[ErrorKind::Timeout], "y")),
            (Ok(Answer::Complete), timeout),
            (Ok(Answer::Wrong), Outcome::Ok),
            (Ok(Answer::Absent), Outcome::Ok),
        ] {
            check_outcome(&result, expected).unwrap_err();
        }
    }

    #[tokio::test]
    async fn a_text_without_a_name_or_with_a_secret_is_found() {
        let ground = Ground::new().await;
        let setting =
            Setting::new(&ground, Operation::Ping, Wire::Plain, Route::Proxy, patient()).await;
        let secrets = BTreeSet::from([PASSWORD.to_owned()]);
        let error = || Error::new(ErrorKind::Denied);
        check_text(&error().at(&setting.name), &setting, &secrets).unwrap();
        for bad in [
            error(),
            error().at(format!("{} {PASSWORD}", setting.name)),
            error().at(&setting.name).with_source(error().detail(PASSWORD)),
        ] {
            check_text(&bad, &setting, &secrets).unwrap_err();
        }
    }

    #[tokio::test]
    async fn a_secret_at_another_origin_is_found() {
        let ground = Ground::new().await;
        for (head, is_good) in [
            ("GET /v2/ HTTP/1.1\r\nHost: x\r\n\r\n".to_owned(), true),
            ("GET /v2/ HTTP/1.1\r\nHost: x\r\nAuthorization: Basic eA==\r\n\r\n".to_owned(), false),
            ("GET /v2/ HTTP/1.1\r\nHost: x\r\nCookie: a=b\r\n\r\n".to_owned(), false),
            (format!("GET /v2/?x={PASSWORD} HTTP/1.1\r\nHost: x\r\n\r\n"), false),
        ] {
            let setting =
                Setting::new(&ground, Operation::Ping, Wire::Plain, Route::Proxy, patient()).await;
            let mut stream = TcpStream::connect(setting.far.proxy.address()).await.unwrap();
            stream.write_all(head.as_bytes()).await.unwrap();
            stream.read_u8().await.unwrap();
            let found = check_strangers(&setting, &BTreeSet::from([PASSWORD.to_owned()]));
            assert_eq!(found.is_ok(), is_good, "{head}");
        }
    }

    #[test]
    fn a_damaged_blob_or_a_left_file_is_found() {
        let folder = tempfile::tempdir().unwrap();
        let blobs = folder.path().join("blobs/sha256");
        fs::create_dir_all(&blobs).unwrap();
        fs::write(blobs.join(Digest::sha256(b"x").encoded()), "x").unwrap();
        check_folder(folder.path(), false).unwrap();
        fs::write(blobs.join(".partial-x"), "").unwrap();
        check_folder(folder.path(), true).unwrap();
        check_folder(folder.path(), false).unwrap_err();
        fs::write(blobs.join(Digest::sha256(b"y").encoded()), "x").unwrap();
        check_folder(folder.path(), true).unwrap_err();
    }

    #[tokio::test]
    async fn a_client_that_keeps_a_permit_is_found() {
        let ground = Ground::new().await;
        let setting =
            Setting::new(&ground, Operation::Tags, Wire::Plain, Route::Proxy, patient()).await;
        let (proxy, method, path) = At::Main.place(Operation::Tags, &setting);
        proxy.inject(method, &path, 1, Fault::StallRequest(0));
        // This request keeps the only permit.
        let client: Client = setting.client.clone();
        let name = setting.shared().repository().clone();
        let kept = tokio::spawn(async move {
            longshore::Source::tags(&client.repository(&name), None).all().await
        });
        while proxy.faults_made() == 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        let next =
            tokio::time::timeout(Duration::from_millis(300), again(&setting, Operation::Tags));
        next.await.unwrap_err();
        kept.abort();
    }

    #[test]
    fn a_secret_in_the_log_is_found() {
        let (log, _recording) = Log::start();
        log.guard(BTreeSet::from([PASSWORD.to_owned()]));
        tracing::trace!("sending again");
        assert!(log.secrets_shown().is_empty());
        tracing::trace!(header = PASSWORD, "x");
        assert_eq!(log.secrets_shown(), [PASSWORD]);
    }
}
