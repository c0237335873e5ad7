//! A server that expects exact requests, in order.
//!
//! An unexpected or missing request fails the test. A reply can be cut, dropped or stalled, so that
//! a test needs only one line for each fault.
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
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::net::TcpSocket;
use tokio::task::JoinHandle;

mod connection;

pub(crate) use self::connection::{Request, read_head};

/// A server with a script. A test must call [`finish`](Self::finish): dropping the server without
/// this call panics.
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
    /// The body sizes of requests that were answered early and whose client has disconnected.
    early_bodies: Vec<usize>,
}

/// An expected request, and its reply.
#[derive(Clone, Debug)]
pub struct Exchange {
    method: String,
    target: String,
    /// The expected headers. `None` means that the header must be absent.
    headers: Vec<(String, Option<String>)>,
    body: Option<Vec<u8>>,
    status: u16,
    answer_headers: Vec<(String, String)>,
    answer_body: Vec<u8>,
    fault: Option<Fault>,
}

#[derive(Clone, Copy, Debug)]
enum Fault {
    /// Ends the connection without a reply after this many bytes of the request's body.
    HangUp(usize, HangUp),
    /// Replies after this many bytes of the request's body, and continues to read.
    Early(usize),
    /// Closes the connection after this many bytes of the reply's body.
    Cut(usize),
    /// Sends nothing more after this many bytes of the reply's body.
    Stall(usize),
}

/// The way in which a server ends a connection without a reply.
#[derive(Clone, Copy, Debug)]
enum HangUp {
    /// The system sends RST if there are unread bytes, and FIN otherwise.
    Close,
    /// RST.
    Reset,
    /// FIN, after which the server continues to read the client's bytes.
    Shutdown,
}

impl Exchange {
    /// Expects this method and target (path and query). Replies with 200 by default.
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

    /// Replies with this status.
    #[must_use]
    pub fn answer(mut self, status: u16) -> Self {
        self.status = status;
        self
    }

    /// Replies with this header. A `content-length` replaces the correct value, and an empty
    /// `content-length` removes the header. With `transfer-encoding`, the body must already be
    /// encoded.
    #[must_use]
    pub fn header(mut self, name: &str, value: impl Into<String>) -> Self {
        self.answer_headers.push((name.to_ascii_lowercase(), value.into()));
        self
    }

    /// Replies with this body. The reply to a HEAD request contains only the size of the body.
    #[must_use]
    pub fn body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.answer_body = body.into();
        self
    }

    /// Closes the connection after `bytes` of the request's body, without a reply.
    #[must_use]
    pub fn hang_up(self, bytes: usize) -> Self {
        self.failing(Fault::HangUp(bytes, HangUp::Close))
    }

    /// Resets the connection (RST) after `bytes` of the request's body.
    #[must_use]
    pub fn reset(self, bytes: usize) -> Self {
        self.failing(Fault::HangUp(bytes, HangUp::Reset))
    }

    /// Closes the server's side of the connection (FIN) after `bytes` of the request's body, and
    /// continues to read.
    #[must_use]
    pub fn shut_down(self, bytes: usize) -> Self {
        self.failing(Fault::HangUp(bytes, HangUp::Shutdown))
    }

    /// Replies after `bytes` of the request's body, and continues to read until the client closes
    /// the connection. With the header `connection: close`, the server closes its own side of the
    /// connection first. [`Script::early_bodies`] returns the total number of received bytes.
    #[must_use]
    pub fn early(self, bytes: usize) -> Self {
        self.failing(Fault::Early(bytes))
    }

    /// Closes the connection after `bytes` of the reply's body.
    #[must_use]
    pub fn cut(self, bytes: usize) -> Self {
        self.failing(Fault::Cut(bytes))
    }

    /// Sends only `bytes` of the reply's body, and keeps the connection open.
    #[must_use]
    pub fn stall(self, bytes: usize) -> Self {
        self.failing(Fault::Stall(bytes))
    }

    /// Returns true if the reply announces the end of the connection.
    fn closes(&self) -> bool {
        self.answer_headers.iter().any(|(name, value)| name == "connection" && value == "close")
    }

    fn failing(mut self, fault: Fault) -> Self {
        self.fault = Some(fault);
        self
    }
}

impl Script {
    /// Starts a server on a free port of 127.0.0.1, without expected requests.
    pub async fn start() -> Self {
        let socket = TcpSocket::new_v4().unwrap();
        // The operating system buffers data that the server has not read, so keep its buffers
        // small.
        socket.set_recv_buffer_size(RECEIVE_BUFFER).unwrap();
        socket.bind((Ipv4Addr::LOCALHOST, 0).into()).unwrap();
        let listener = socket.listen(BACKLOG).unwrap();
        let address = listener.local_addr().unwrap();
        let state = Arc::new(Mutex::new(State::default()));
        let shared = Arc::clone(&state);
        let server = tokio::spawn(async move {
            // Aborting the server drops this set, which ends all connections.
            let mut connections = tokio::task::JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                let state = Arc::clone(&shared);
                lock(&state).connections += 1;
                connections.spawn(async move {
                    // A client may disconnect at any time, so errors are ignored.
                    let _ = connection::serve(stream, &state).await;
                });
            }
        });
        Self { address, state, server, finished: false }
    }

    /// Returns the server's address.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Returns the number of accepted connections.
    #[must_use]
    pub fn connections(&self) -> usize {
        lock(&self.state).connections
    }

    /// Returns the body sizes, in bytes, of requests that were answered [early](Exchange::early)
    /// and whose clients have closed the connection.
    #[must_use]
    pub fn early_bodies(&self) -> Vec<usize> {
        lock(&self.state).early_bodies.clone()
    }

    /// Returns an absolute URL of this server.
    #[must_use]
    pub fn url(&self, target: &str) -> String {
        format!("http://{}{target}", self.address)
    }

    /// Expects one more request.
    pub fn expect(&self, exchange: Exchange) {
        lock(&self.state).expected.push_back(exchange);
    }

    /// Checks that exactly the expected requests arrived.
    pub fn finish(mut self) {
        self.finished = true;
        let state = lock(&self.state);
        assert!(state.faults.is_empty(), "unexpected requests: {:#?}", state.faults);
        let missing: Vec<_> =
            state.expected.iter().map(|e| format!("{} {}", e.method, e.target)).collect();
        assert!(missing.is_empty(), "these requests are missing: {missing:#?}");
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

fn compare(expected: &Exchange, actual: &Request) -> Vec<String> {
    let mut problems = Vec::new();
    if (&expected.method, &expected.target) != (&actual.method, &actual.target) {
        problems.push(format!("expected {} {}", expected.method, expected.target));
    }
    for (name, value) in &expected.headers {
        if actual.header(name) != value.as_deref() {
            problems.push(format!("{name} is {:?}, expected {value:?}", actual.header(name)));
        }
    }
    problems
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

/// 64 KiB for the data that the server has not read.
const RECEIVE_BUFFER: u32 = 64 << 10;
/// More connections than a test opens at the same time.
const BACKLOG: u32 = 128;
