//! A proxy that injects network faults.
//!
//! Owns [`FaultProxy`], which stands in front of an HTTP/1 server. The proxy passes on one exchange
//! per connection, records each request, and injects faults. It parses heads but not bodies.

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;
use tokio::task::{JoinHandle, JoinSet};

/// A fault in one exchange. Offsets count the body's bytes on the wire.
#[derive(Clone, Debug)]
pub enum Fault {
    /// The reply ends after this many bytes of its body, with a FIN as if the body were complete.
    Cut(u64),
    /// The connection is reset (RST) after this many bytes of the reply's body.
    Reset(u64),
    /// The reply stalls after this many bytes of its body, and the connection stays open.
    Stall(u64),
    /// One bit of the byte at this offset of the reply's body is flipped.
    Flip(u64),
    /// The server processes the request, but its reply is lost: the connection is reset.
    LoseReply,
    /// The connection is reset after this many bytes of the request's body.
    ResetRequest(u64),
    /// The request stalls after this many bytes of its body, and the connections stay open.
    StallRequest(u64),
    /// The proxy replies instead of the server, with this status and these headers.
    Reply(u16, Vec<(&'static str, &'static str)>),
    /// The reply's body is gzip-compressed, with this `Content-Encoding` and without a length.
    Compress(&'static str),
    /// The reply has this `Content-Encoding`, and its body is unchanged.
    Label(&'static str),
}

/// A recorded request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// The method, such as `GET`.
    pub method: String,
    /// The path and query.
    pub path: String,
    /// The headers in order, with names in lower case and unchanged values.
    pub headers: Vec<(String, String)>,
}

impl Request {
    /// Returns the first value of a header. `name` must be in lower case.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(n, _)| n == name);
        found.map(|(_, value)| value.as_str())
    }
}

/// A proxy in front of a server. Dropping it stops the proxy and closes all its connections.
#[derive(Debug)]
pub struct FaultProxy {
    address: SocketAddr,
    state: Arc<Mutex<State>>,
    task: JoinHandle<()>,
}

#[derive(Debug, Default)]
struct State {
    rules: Vec<Rule>,
    requests: Vec<Request>,
    made: usize,
    /// Ends the exchanges that stall.
    released: Arc<Notify>,
}

/// A fault for a number of matching requests.
#[derive(Debug)]
struct Rule {
    method: &'static str,
    path_part: String,
    /// The number of matching requests that are still left unchanged.
    skip: usize,
    times: usize,
    fault: Fault,
}

impl FaultProxy {
    /// Starts a proxy in front of `server`, on a free loopback port.
    ///
    /// # Panics
    /// If no loopback port is free.
    pub async fn start(server: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let state = Arc::new(Mutex::new(State::default()));
        let task = tokio::spawn(accept(listener, server, Arc::clone(&state)));
        Self { address, state, task }
    }

    /// Returns the proxy's address.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Injects a fault into the next `times` requests of this method whose path contains
    /// `path_part`. If several faults match a request, the one that was injected first is used.
    pub fn inject(&self, method: &'static str, path_part: &str, times: usize, fault: Fault) {
        self.inject_after(method, path_part, 0, times, fault);
    }

    /// Same as [`inject`](Self::inject), but leaves the first `skip` of the matching requests
    /// unchanged.
    pub fn inject_after(
        &self,
        method: &'static str,
        path_part: &str,
        skip: usize,
        times: usize,
        fault: Fault,
    ) {
        let path_part = path_part.to_owned();
        lock(&self.state).rules.push(Rule { method, path_part, skip, times, fault });
    }

    /// Closes both connections of each stalled exchange, as if the client had died. The proxy itself
    /// does not notice this, because it no longer reads from the client.
    pub fn close_stalled(&self) {
        lock(&self.state).released.notify_waiters();
    }

    /// Returns all recorded requests, in order of arrival.
    #[must_use]
    pub fn requests(&self) -> Vec<Request> {
        lock(&self.state).requests.clone()
    }

    /// Returns the number of requests into which a fault was injected. Tests of recovery must check
    /// this number, because they prove nothing without a fault.
    #[must_use]
    pub fn faults_made(&self) -> usize {
        lock(&self.state).made
    }
}

impl Drop for FaultProxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl State {
    /// Records a request, and returns its fault, if any.
    fn record(&mut self, request: Request) -> Option<Fault> {
        let mut fault = None;
        let fits = |rule: &&mut Rule| {
            rule.times > 0
                && rule.method == request.method
                && request.path.contains(&rule.path_part)
        };
        if let Some(rule) = self.rules.iter_mut().find(fits) {
            match rule.skip {
                0 => {
                    rule.times -= 1;
                    fault = Some(rule.fault.clone());
                }
                _ => rule.skip -= 1,
            }
        }
        self.made += usize::from(fault.is_some());
        self.requests.push(request);
        fault
    }
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn accept(listener: TcpListener, server: SocketAddr, state: Arc<Mutex<State>>) {
    let mut connections = JoinSet::new();
    while let Ok((client, _)) = listener.accept().await {
        let state = Arc::clone(&state);
        // This proxy breaks connections on purpose, so errors are ignored.
        connections.spawn(async move { drop(exchange(client, server, &state).await) });
    }
}

async fn exchange(
    mut client: TcpStream,
    server: SocketAddr,
    state: &Mutex<State>,
) -> io::Result<()> {
    let Some(head) = Head::read(&mut client).await? else {
        return Ok(());
    };
    let fault = lock(state).record(head.request());
    if let Some(Fault::Reply(status, headers)) = &fault {
        return reply(&mut client, *status, headers).await;
    }
    let mut upstream = TcpStream::connect(server).await?;
    // The proxy cannot compress a chunked body, so it sends the request as HTTP/1.0, which has no
    // chunked encoding.
    let old = matches!(fault, Some(Fault::Compress(_)));
    upstream.write_all(&head.closing(if old { "HTTP/1.0" } else { "HTTP/1.1" }, &[])).await?;
    let ended = {
        let (mut client_read, mut client_write) = client.split();
        let (mut upstream_read, mut upstream_write) = upstream.split();
        let sent_limit = match fault {
            Some(Fault::ResetRequest(limit) | Fault::StallRequest(limit)) => limit,
            _ => u64::MAX,
        };
        let unsent = match fault {
            Some(Fault::StallRequest(_)) => End::Hang,
            _ => End::Reset,
        };
        tokio::select! {
            () = send(&mut client_read, &mut upstream_write, &head.rest, sent_limit) => unsent,
            ended = answer(&mut upstream_read, &mut client_write, fault.as_ref()) => ended?,
        }
    };
    match ended {
        End::Close => client.shutdown().await,
        End::Reset => client.set_zero_linger(),
        End::Hang => {
            let released = Arc::clone(&lock(state).released);
            released.notified().await;
            Ok(())
        }
    }
}

/// The way in which a connection to the client ends.
enum End {
    Close,
    Reset,
    Hang,
}

/// Passes on a request's body. Returns only if `limit` bytes were sent. Otherwise, the reply ends
/// the exchange.
async fn send(
    from: &mut (impl AsyncRead + Unpin),
    to: &mut (impl AsyncWrite + Unpin),
    read_already: &[u8],
    limit: u64,
) {
    let mut body = read_already.chain(from).take(limit);
    let passed = tokio::io::copy(&mut body, to).await;
    if passed.is_ok_and(|passed| passed == limit) {
        return;
    }
    std::future::pending().await
}

/// Passes on the reply, as far as the fault allows.
async fn answer(
    from: &mut (impl AsyncRead + Unpin),
    to: &mut (impl AsyncWrite + Unpin),
    fault: Option<&Fault>,
) -> io::Result<End> {
    let Some(head) = Head::read(from).await? else {
        return Ok(End::Reset);
    };
    if let Some(Fault::LoseReply) = fault {
        return Ok(End::Reset);
    }
    match fault {
        Some(Fault::Compress(coding)) => return compress(&head, from, to, coding).await,
        Some(Fault::Label(coding)) => {
            to.write_all(&head.closing("HTTP/1.1", &[("content-encoding", *coding)])).await?;
        }
        _ => to.write_all(&head.closing("HTTP/1.1", &[])).await?,
    }
    let mut body = (&head.rest[..]).chain(from);
    let (before, end) = match fault {
        Some(Fault::Cut(before)) => (*before, End::Close),
        Some(Fault::Reset(before)) => (*before, End::Reset),
        Some(Fault::Stall(before)) => (*before, End::Hang),
        Some(Fault::Flip(at)) => {
            tokio::io::copy(&mut (&mut body).take(*at), to).await?;
            let flipped = body.read_u8().await? ^ 1;
            to.write_u8(flipped).await?;
            (u64::MAX, End::Close)
        }
        _ => (u64::MAX, End::Close),
    };
    tokio::io::copy(&mut body.take(before), to).await?;
    to.flush().await?;
    Ok(end)
}

/// Passes on a complete reply, with its body compressed with gzip and sent as one chunk.
async fn compress(
    head: &Head,
    from: &mut (impl AsyncRead + Unpin),
    to: &mut (impl AsyncWrite + Unpin),
    coding: &str,
) -> io::Result<End> {
    let mut body = head.rest.clone();
    from.read_to_end(&mut body).await?;
    let coding = ("content-encoding", coding);
    if body.is_empty() {
        to.write_all(&head.closing("HTTP/1.1", &[coding])).await?;
        return Ok(End::Close);
    }
    let chunked = [coding, ("transfer-encoding", "chunked"), ("content-length", "")];
    to.write_all(&head.closing("HTTP/1.1", &chunked)).await?;
    let gzip = crate::fixture::Layer::gzip(&body).content;
    to.write_all(format!("{:x}\r\n", gzip.len()).as_bytes()).await?;
    to.write_all(&gzip).await?;
    to.write_all(b"\r\n0\r\n\r\n").await?;
    Ok(End::Close)
}

/// Replies instead of the server, then reads for up to one second. Closing with unread bytes would
/// reset the connection, and the client might lose the reply.
async fn reply(client: &mut TcpStream, status: u16, headers: &[(&str, &str)]) -> io::Result<()> {
    let mut head = format!("HTTP/1.1 {status} Fault\r\ncontent-length: 0\r\nconnection: close\r\n");
    for (name, value) in headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    head.push_str("\r\n");
    client.write_all(head.as_bytes()).await?;
    client.shutdown().await?;
    let mut nowhere = tokio::io::sink();
    let unread = tokio::io::copy(client, &mut nowhere);
    drop(tokio::time::timeout(Duration::from_secs(1), unread).await);
    Ok(())
}

/// The head of a request or reply, and the bytes of the body read with it.
struct Head {
    text: String,
    rest: Vec<u8>,
}

impl Head {
    /// Reads up to the empty line. Returns `None` if the connection ends earlier or the head is too
    /// large.
    async fn read(from: &mut (impl AsyncRead + Unpin)) -> io::Result<Option<Self>> {
        let mut bytes = Vec::new();
        loop {
            if let Some(end) = bytes.windows(4).position(|w| w == b"\r\n\r\n") {
                let rest = bytes.split_off(end + 4);
                let text = String::from_utf8_lossy(&bytes[..end]).into_owned();
                return Ok(Some(Self { text, rest }));
            }
            if bytes.len() > HEAD_LIMIT || from.read_buf(&mut bytes).await? == 0 {
                return Ok(None);
            }
        }
    }

    fn headers(&self) -> impl Iterator<Item = (&str, &str)> {
        let lines = self.text.split("\r\n").skip(1);
        lines.filter_map(|line| line.split_once(':'))
    }

    fn request(&self) -> Request {
        let mut words = self.text.split(' ');
        let mut word = || words.next().unwrap_or_default().to_owned();
        Request {
            method: word(),
            path: word(),
            headers: self
                .headers()
                .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
                .collect(),
        }
    }

    /// Returns the head in this HTTP version, for a connection with a single exchange. Replaces the
    /// headers in `set`, and removes the headers whose value in `set` is empty.
    fn closing(&self, version: &str, set: &[(&str, &str)]) -> Vec<u8> {
        let first = self.text.split("\r\n").next().unwrap_or_default();
        let first = first.replace("HTTP/1.0", version).replace("HTTP/1.1", version);
        let mut head = format!("{first}\r\nconnection: close\r\n");
        for (name, value) in set.iter().filter(|(_, value)| !value.is_empty()) {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        let set = set.iter().map(|(name, _)| *name);
        let gone: Vec<_> = set.chain(["connection", "keep-alive"]).collect();
        let kept = |name: &str| !gone.contains(&name.to_ascii_lowercase().as_str());
        for (name, value) in self.headers().filter(|(name, _)| kept(name)) {
            head.push_str(&format!("{name}:{value}\r\n"));
        }
        head.push_str("\r\n");
        head.into_bytes()
    }
}

/// 64 KiB: more than any head that a test sends.
const HEAD_LIMIT: usize = 64 << 10;
