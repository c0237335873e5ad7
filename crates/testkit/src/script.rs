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
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::net::TcpSocket;
use tokio::task::JoinHandle;

mod connection;

pub(crate) use self::connection::{Request, read_head};

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
    /// Of each request that was answered early and whose client is gone.
    early_bodies: Vec<usize>,
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
    /// Ends the connection when this many bytes of the request's body were read, without an answer.
    HangUp(usize, HangUp),
    /// Answers when this many bytes of the request's body were read, and reads on.
    Early(usize),
    /// Closes after this many bytes of the answer's body.
    Cut(usize),
    /// Sends nothing more after this many bytes of the answer's body.
    Stall(usize),
}

/// How a server ends a connection without an answer.
#[derive(Clone, Copy, Debug)]
enum HangUp {
    /// The system decides: RST where something was not read, else FIN.
    Close,
    /// RST.
    Reset,
    /// FIN; what the client sends is read all the same.
    Shutdown,
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
    pub fn hang_up(self, bytes: usize) -> Self {
        self.failing(Fault::HangUp(bytes, HangUp::Close))
    }

    /// Resets the connection (RST) after `bytes` of the request's body.
    #[must_use]
    pub fn reset(self, bytes: usize) -> Self {
        self.failing(Fault::HangUp(bytes, HangUp::Reset))
    }

    /// Ends its own side of the connection (FIN) after `bytes` of the request's body, and reads on.
    #[must_use]
    pub fn shut_down(self, bytes: usize) -> Self {
        self.failing(Fault::HangUp(bytes, HangUp::Shutdown))
    }

    /// Answers after `bytes` of the request's body, and reads on until the client closes; with
    /// `connection: close` as a header, ends its own side of the connection. How much came in all is
    /// told by [`Script::early_bodies`].
    #[must_use]
    pub fn early(self, bytes: usize) -> Self {
        self.failing(Fault::Early(bytes))
    }

    /// Closes the connection after `bytes` of the answer's body.
    #[must_use]
    pub fn cut(self, bytes: usize) -> Self {
        self.failing(Fault::Cut(bytes))
    }

    /// Sends `bytes` of the answer's body, then nothing, with the connection open.
    #[must_use]
    pub fn stall(self, bytes: usize) -> Self {
        self.failing(Fault::Stall(bytes))
    }

    /// Whether the answer says that the connection ends with it.
    fn closes(&self) -> bool {
        self.answer_headers.iter().any(|(name, value)| name == "connection" && value == "close")
    }

    fn failing(mut self, fault: Fault) -> Self {
        self.fault = Some(fault);
        self
    }
}

impl Script {
    /// Starts a server on a free port of 127.0.0.1 that expects nothing yet.
    pub async fn start() -> Self {
        let socket = TcpSocket::new_v4().unwrap();
        // What a client has sent and nobody has read is in buffers: these stay small.
        socket.set_recv_buffer_size(RECEIVE_BUFFER).unwrap();
        socket.bind((Ipv4Addr::LOCALHOST, 0).into()).unwrap();
        let listener = socket.listen(BACKLOG).unwrap();
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
                    let _ = connection::serve(stream, &state).await;
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

    /// How many bytes of its body each request sent that was answered [early](Exchange::early), as
    /// far as their clients have closed the connection.
    #[must_use]
    pub fn early_bodies(&self) -> Vec<usize> {
        lock(&self.state).early_bodies.clone()
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

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

/// 64 KiB.
const RECEIVE_BUFFER: u32 = 64 << 10;
/// As many connections as a test makes at once, and more.
const BACKLOG: u32 = 128;
