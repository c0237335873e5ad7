//! A server that expects exact requests, in order.
//!
//! A request that was not expected fails the test, and so does one that never came. What it answers
//! can be cut off, hung up on or stalled, so that every failure is one line of a test.
//!
//! ```
//! # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
//! use longshore_testkit::script::{Exchange, Script};
//!
//! let server = Script::start().await;
//! server.expect(Exchange::new("GET", "/v2/").without("authorization").answer(401));
//! # use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
//! # let mut client = tokio::net::TcpStream::connect(server.address()).await.unwrap();
//! # client.write_all(b"GET /v2/ HTTP/1.1\r\nconnection: close\r\n\r\n").await.unwrap();
//! # client.read_to_end(&mut Vec::new()).await.unwrap();
//! server.finish();
//! # });
//! ```

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// The server. Ends when it is dropped; [`finish`](Self::finish) is how a test passes.
#[derive(Debug)]
pub struct Script {
    address: SocketAddr,
    state: Arc<Mutex<State>>,
    server: JoinHandle<()>,
    finished: bool,
}

#[derive(Debug, Default)]
struct State {
    expected: VecDeque<Exchange>,
    faults: Vec<String>,
    connections: usize,
}

/// A request that is expected, and what to answer.
#[derive(Clone, Debug)]
pub struct Exchange {
    method: String,
    target: String,
    /// With `None`, the header must not be there.
    headers: Vec<(String, Option<String>)>,
    body: Option<Vec<u8>>,
    status: u16,
    answer_headers: Vec<(String, String)>,
    answer_body: Vec<u8>,
    fault: Option<Fault>,
}

#[derive(Clone, Copy, Debug)]
enum Fault {
    /// Closes when this many bytes of the request's body were read, without an answer.
    HangUp(usize),
    /// Answers without reading the request's body, and closes.
    Early,
    /// Closes after this many bytes of the answer's body.
    Cut(usize),
    /// Sends nothing more after this many bytes of the answer's body.
    Stall(usize),
}

impl Exchange {
    /// Expects this method and target (path and query); answers 200 unless told otherwise.
    #[must_use]
    pub fn new(method: &str, target: impl Into<String>) -> Self {
        Self {
            method: method.to_owned(),
            target: target.into(),
            headers: Vec::new(),
            body: None,
            status: 200,
            answer_headers: Vec::new(),
            answer_body: Vec::new(),
            fault: None,
        }
    }

    /// Expects a header with exactly this value.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl Into<String>) -> Self {
        self.headers.push((name.to_ascii_lowercase(), Some(value.into())));
        self
    }

    /// Expects a header to be absent.
    #[must_use]
    pub fn without(mut self, name: &str) -> Self {
        self.headers.push((name.to_ascii_lowercase(), None));
        self
    }

    /// Expects this body.
    #[must_use]
    pub fn sending(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.body = Some(body.into());
        self
    }

    /// Answers with this status.
    #[must_use]
    pub fn answer(mut self, status: u16) -> Self {
        self.status = status;
        self
    }

    /// Answers with this header; `content-length` takes the place of the right one, and is left out
    /// where it is empty. With `transfer-encoding`, the body is to be so encoded already.
    #[must_use]
    pub fn header(mut self, name: &str, value: impl Into<String>) -> Self {
        self.answer_headers.push((name.to_ascii_lowercase(), value.into()));
        self
    }

    /// Answers with this body; to HEAD, with its size alone.
    #[must_use]
    pub fn body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.answer_body = body.into();
        self
    }

    /// Closes the connection after `bytes` of the request's body, without an answer.
    #[must_use]
    pub fn hang_up(mut self, bytes: usize) -> Self {
        self.fault = Some(Fault::HangUp(bytes));
        self
    }

    /// Answers before the request's body was read, and closes.
    #[must_use]
    pub fn early(mut self) -> Self {
        self.fault = Some(Fault::Early);
        self
    }

    /// Closes the connection after `bytes` of the answer's body.
    #[must_use]
    pub fn cut(mut self, bytes: usize) -> Self {
        self.fault = Some(Fault::Cut(bytes));
        self
    }

    /// Sends `bytes` of the answer's body, then nothing, with the connection open.
    #[must_use]
    pub fn stall(mut self, bytes: usize) -> Self {
        self.fault = Some(Fault::Stall(bytes));
        self
    }
}

impl Script {
    /// Starts a server on a free port of 127.0.0.1 that expects nothing yet.
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let state = Arc::new(Mutex::new(State::default()));
        let shared = Arc::clone(&state);
        let server = tokio::spawn(async move {
            // Connections end with the server: aborting it drops the set.
            let mut connections = tokio::task::JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                let state = Arc::clone(&shared);
                lock(&state).connections += 1;
                connections.spawn(async move {
                    // A client that goes away is no fault of the script.
                    let _ = serve(stream, &state).await;
                });
            }
        });
        Self { address, state, server, finished: false }
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// How many connections came so far.
    #[must_use]
    pub fn connections(&self) -> usize {
        lock(&self.state).connections
    }

    /// An absolute URL at this server.
    #[must_use]
    pub fn url(&self, target: &str) -> String {
        format!("http://{}{target}", self.address)
    }

    /// Expects one more request.
    pub fn expect(&self, exchange: Exchange) {
        lock(&self.state).expected.push_back(exchange);
    }

    /// Checks that exactly what was expected came.
    pub fn finish(mut self) {
        self.finished = true;
        let state = lock(&self.state);
        assert!(state.faults.is_empty(), "unexpected requests: {:#?}", state.faults);
        let missing: Vec<_> =
            state.expected.iter().map(|e| format!("{} {}", e.method, e.target)).collect();
        assert!(missing.is_empty(), "these requests never came: {missing:#?}");
    }
}

impl Drop for Script {
    fn drop(&mut self) {
        self.server.abort();
        if !self.finished && !std::thread::panicking() {
            panic!("a script was dropped without `finish`");
        }
    }
}

/// A request as it came, its body not read yet.
pub(crate) struct Request {
    pub(crate) method: String,
    pub(crate) target: String,
    pub(crate) headers: Vec<(String, String)>,
}

impl Request {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(n, _)| n == name).map(|(_, value)| value.as_str())
    }

    pub(crate) fn size(&self) -> usize {
        self.header("content-length").map_or(0, |length| length.parse().unwrap())
    }
}

async fn serve(stream: TcpStream, state: &Mutex<State>) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    let mut stream = BufReader::new(stream);
    while let Some(request) = read_head(&mut stream).await? {
        let next = lock(state).expected.pop_front();
        let came = format!("{} {}", request.method, request.target);
        let Some(exchange) = next else {
            lock(state).faults.push(format!("{came}, after everything expected"));
            return stream.write_all(b"HTTP/1.1 418 unexpected\r\ncontent-length: 0\r\n\r\n").await;
        };
        let mut problems = compare(&exchange, &request);
        let body = read_body(&mut stream, &request, exchange.fault).await?;
        if exchange.body.as_ref().is_some_and(|expected| *expected != body) {
            problems.push(format!("another body: {:?}", String::from_utf8_lossy(&body)));
        }
        if !problems.is_empty() {
            let fault = format!("{came}: {}", problems.join("; "));
            lock(state).faults.push(fault);
            return stream.write_all(b"HTTP/1.1 418 unexpected\r\ncontent-length: 0\r\n\r\n").await;
        }
        if matches!(exchange.fault, Some(Fault::HangUp(_))) {
            return Ok(());
        }
        answer(&mut stream, &exchange).await?;
        let closes = request.header("connection").is_some_and(|v| v.eq_ignore_ascii_case("close"));
        if closes || exchange.fault.is_some() {
            return stream.shutdown().await;
        }
    }
    Ok(())
}

async fn read_body(
    stream: &mut BufReader<TcpStream>,
    request: &Request,
    fault: Option<Fault>,
) -> std::io::Result<Vec<u8>> {
    let read = match fault {
        Some(Fault::Early) => 0,
        Some(Fault::HangUp(bytes)) => bytes.min(request.size()),
        _ if request.header("transfer-encoding") == Some("chunked") => {
            return read_chunks(stream).await;
        }
        _ => request.size(),
    };
    let mut body = vec![0; read];
    stream.read_exact(&mut body).await?;
    Ok(body)
}

/// Reads a body whose length was not told beforehand.
///
/// Source: RFC 9112, section 7.1.
async fn read_chunks(stream: &mut BufReader<TcpStream>) -> std::io::Result<Vec<u8>> {
    let mut body = Vec::new();
    loop {
        let mut line = String::new();
        stream.read_line(&mut line).await?;
        let size = usize::from_str_radix(line.trim_end(), 16).map_err(std::io::Error::other)?;
        let from = body.len();
        body.resize(from + size + 2, 0);
        stream.read_exact(&mut body[from..]).await?;
        body.truncate(from + size);
        if size == 0 {
            return Ok(body);
        }
    }
}

fn compare(expected: &Exchange, came: &Request) -> Vec<String> {
    let mut problems = Vec::new();
    if (&expected.method, &expected.target) != (&came.method, &came.target) {
        problems.push(format!("expected {} {}", expected.method, expected.target));
    }
    for (name, value) in &expected.headers {
        if came.header(name) != value.as_deref() {
            problems.push(format!("{name} is {:?}, not {value:?}", came.header(name)));
        }
    }
    problems
}

async fn answer(stream: &mut BufReader<TcpStream>, exchange: &Exchange) -> std::io::Result<()> {
    let body = &exchange.answer_body;
    let mut head = format!("HTTP/1.1 {} scripted\r\n", exchange.status);
    let is_length = |name: &str| matches!(name, "content-length" | "transfer-encoding");
    let has_length = exchange.answer_headers.iter().any(|(name, _)| is_length(name));
    if !has_length && !matches!(exchange.status, 204 | 304) {
        head.push_str(&format!("content-length: {}\r\n", body.len()));
    }
    let is_sent = |value: &str, name: &str| !(name == "content-length" && value.is_empty());
    for (name, value) in exchange.answer_headers.iter().filter(|(n, v)| is_sent(v, n)) {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    head.push_str("\r\n");
    stream.write_all(head.as_bytes()).await?;
    if exchange.method == "HEAD" {
        return Ok(());
    }
    match exchange.fault {
        Some(Fault::Cut(bytes)) => stream.write_all(&body[..bytes]).await,
        Some(Fault::Stall(bytes)) => {
            stream.write_all(&body[..bytes]).await?;
            stream.flush().await?;
            std::future::pending().await
        }
        _ => stream.write_all(body).await,
    }
}

/// Reads a request's head; `None` when the client closed.
pub(crate) async fn read_head(
    stream: &mut BufReader<TcpStream>,
) -> std::io::Result<Option<Request>> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        match stream.read_u8().await {
            // The first byte of TLS, for one: answered as HTTP servers do, and read to its end, so
            // that the answer arrives.
            Ok(byte) if head.is_empty() && !byte.is_ascii_alphabetic() => {
                stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await?;
                stream.shutdown().await?;
                tokio::io::copy(stream, &mut tokio::io::sink()).await?;
                return Ok(None);
            }
            Ok(byte) => head.push(byte),
            Err(_) if head.is_empty() => return Ok(None),
            Err(e) => return Err(e),
        }
    }
    let text = String::from_utf8(head).map_err(std::io::Error::other)?;
    let mut lines = text.trim_end().split("\r\n");
    let mut first = lines.next().unwrap_or_default().split(' ');
    let mut word = || first.next().unwrap_or_default().to_owned();
    let (method, target) = (word(), word());
    let headers = lines
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
        .collect();
    Ok(Some(Request { method, target, headers }))
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}
