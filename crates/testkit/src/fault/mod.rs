//! A proxy that injects network faults.
//!
//! Owns [`FaultProxy`], which stands in front of an HTTP/1 server. The proxy passes on one exchange
//! per connection, records each request, and injects faults. It parses heads but not bodies. A
//! [`tls::Front`](crate::tls::Front) before the proxy adds TLS.

mod head;
mod reply;

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;
use tokio::task::{JoinHandle, JoinSet};

use self::head::Head;
pub use self::reply::Reply;

/// A fault in one exchange. Offsets count the body's bytes on the wire.
#[derive(Clone, Debug)]
pub enum Fault {
    /// The reply ends after this many bytes of its body, with a FIN as if the body were complete.
    Cut(u64),
    /// The connection is reset (RST) after this many bytes of the reply's body.
    Reset(u64),
    /// The reply stalls after this many bytes of its body, and the connection stays open.
    Stall(u64),
    /// After this many bytes of its body, the reply continues with 20 bytes per second.
    Trickle(u64),
    /// One bit of the byte at this offset of the reply's body is flipped.
    Flip(u64),
    /// One bit of the byte at this offset of the request's body is flipped.
    FlipRequest(u64),
    /// The server processes the request, but its reply is lost: the connection is reset.
    LoseReply,
    /// The connection is reset after this many bytes of the request's body.
    ResetRequest(u64),
    /// The request stalls after this many bytes of its body, and the connections stay open.
    StallRequest(u64),
    /// The proxy replies instead of the server, with this status and these headers.
    Reply(u16, Vec<(&'static str, &'static str)>),
    /// The proxy replies instead of the server, with this status, if the request's body has more
    /// than this many bytes.
    RefuseLarger(u64, u16),
    /// The proxy replies with 307 instead of the server. The `Location` is the path and query of
    /// the request between these texts.
    Redirect(String, &'static str),
    /// The proxy writes these bytes instead of a reply of the server.
    Write(Bytes),
    /// The proxy replies instead of the server, with status 200 and JSON that never ends.
    Endless,
    /// These bytes precede the reply, such as informational replies.
    Precede(&'static str),
    /// The reply is changed.
    Change(Change),
    /// The reply's body is gzip-compressed, with this `Content-Encoding` and without a length.
    Compress(&'static str),
    /// The reply has this `Content-Encoding`, and its body is unchanged.
    Label(&'static str),
}

/// A change of a complete reply.
#[derive(Clone)]
pub struct Change(Arc<dyn Fn(&mut Reply) + Send + Sync>);

impl Fault {
    /// Creates a fault that changes the reply.
    pub fn change(change: impl Fn(&mut Reply) + Send + Sync + 'static) -> Self {
        Self::Change(Change(Arc::new(change)))
    }
}

impl fmt::Debug for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Change(..)")
    }
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
    /// A header that is added to each request.
    added: Option<(&'static str, &'static str)>,
    /// Ends the exchanges that stall.
    released: Arc<Notify>,
}

/// A fault for a number of matching requests.
#[derive(Debug)]
struct Rule {
    /// The method, or an empty text for any method.
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

    /// Adds a header to each request that is passed on, such as the permission that the URL of a
    /// storage service contains.
    #[must_use]
    pub fn adding(self, name: &'static str, value: &'static str) -> Self {
        lock(&self.state).added = Some((name, value));
        self
    }

    /// Returns the proxy's address.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Injects a fault into the next `times` requests of this method whose path contains
    /// `path_part`. An empty text matches any method or path. If several faults match a request,
    /// the one that was injected first is used.
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

    /// Removes all faults that were injected. Requests in progress keep their fault.
    pub fn clear(&self) {
        lock(&self.state).rules.clear();
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
                && (rule.method.is_empty() || rule.method == request.method)
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
    let request = head.request();
    let path = request.path.clone();
    let size: Option<u64> = request.header("content-length").and_then(|size| size.parse().ok());
    let (fault, added) = {
        let mut state = lock(state);
        (state.record(request), state.added)
    };
    match &fault {
        Some(Fault::Redirect(before, after)) => {
            let to = Reply::new(307).with("location", format!("{before}{path}{after}"));
            return replace(&mut client, &to.body("").bytes()).await;
        }
        Some(Fault::Reply(status, headers)) => {
            let headers = headers.iter().fold(Reply::new(*status), |r, (n, v)| r.with(n, *v));
            return replace(&mut client, &headers.body("").bytes()).await;
        }
        Some(Fault::RefuseLarger(limit, status)) if size.is_none_or(|size| size > *limit) => {
            return replace(&mut client, &Reply::new(*status).body("").bytes()).await;
        }
        Some(Fault::Write(bytes)) => return replace(&mut client, bytes).await,
        Some(Fault::Endless) => return endless(&mut client).await,
        _ => {}
    }
    let mut upstream = TcpStream::connect(server).await?;
    // The proxy cannot change a chunked body, so it sends the request as HTTP/1.0, which has no
    // chunked encoding.
    let old = matches!(fault, Some(Fault::Change(_) | Fault::Compress(_)));
    let version = if old { "HTTP/1.0" } else { "HTTP/1.1" };
    upstream.write_all(&head.closing(version, added.as_slice())).await?;
    let ended = {
        let (mut client_read, mut client_write) = client.split();
        let (mut upstream_read, mut upstream_write) = upstream.split();
        let unsent = match fault {
            Some(Fault::StallRequest(_)) => End::Hang,
            _ => End::Reset,
        };
        tokio::select! {
            () = send(&mut client_read, &mut upstream_write, &head.rest, fault.as_ref()) => unsent,
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

/// Passes on a request's body, as far as the fault allows. Returns only if the fault ended the
/// request. Otherwise, the reply ends the exchange.
async fn send(
    from: &mut (impl AsyncRead + Unpin),
    to: &mut (impl AsyncWrite + Unpin),
    read_already: &[u8],
    fault: Option<&Fault>,
) {
    let mut body = read_already.chain(from);
    let limit = match fault {
        Some(Fault::ResetRequest(limit) | Fault::StallRequest(limit)) => *limit,
        Some(Fault::FlipRequest(at)) => {
            // A failure ends the reply, too.
            drop(flip(&mut body, to, *at).await);
            u64::MAX
        }
        _ => u64::MAX,
    };
    let passed = tokio::io::copy(&mut body.take(limit), to).await;
    if passed.is_ok_and(|passed| passed == limit) {
        return;
    }
    // The client closed its connection, and the server must learn this.
    to.shutdown().await.ok();
    std::future::pending().await
}

/// Passes on a body up to and including the byte at this offset, of which one bit is flipped.
async fn flip(
    body: &mut (impl AsyncRead + Unpin),
    to: &mut (impl AsyncWrite + Unpin),
    at: u64,
) -> io::Result<()> {
    tokio::io::copy(&mut body.take(at), to).await?;
    let flipped = body.read_u8().await? ^ 1;
    to.write_u8(flipped).await
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
    let change: &(dyn Fn(&mut Reply) + Send + Sync) = match fault {
        Some(Fault::LoseReply) => return Ok(End::Reset),
        Some(Fault::Change(Change(change))) => &**change,
        Some(Fault::Compress(coding)) => &|reply| reply.compress(coding),
        _ => return pass(head, from, to, fault).await,
    };
    let mut reply = head.into_reply();
    from.read_to_end(&mut reply.body).await?;
    change(&mut reply);
    to.write_all(&reply.bytes()).await?;
    Ok(End::Close)
}

/// Passes on the reply as it arrives.
async fn pass(
    head: Head,
    from: &mut (impl AsyncRead + Unpin),
    to: &mut (impl AsyncWrite + Unpin),
    fault: Option<&Fault>,
) -> io::Result<End> {
    if let Some(Fault::Precede(bytes)) = fault {
        to.write_all(bytes.as_bytes()).await?;
    }
    let labels = match fault {
        Some(Fault::Label(coding)) => &[("content-encoding", *coding)][..],
        _ => &[],
    };
    to.write_all(&head.closing("HTTP/1.1", labels)).await?;
    let mut body = (&head.rest[..]).chain(from);
    let (before, end) = match fault {
        Some(Fault::Cut(before)) => (*before, End::Close),
        Some(Fault::Reset(before)) => (*before, End::Reset),
        Some(Fault::Stall(before)) => (*before, End::Hang),
        Some(Fault::Trickle(before)) => {
            tokio::io::copy(&mut (&mut body).take(*before), to).await?;
            trickle(&mut body, to).await?;
            (0, End::Close)
        }
        Some(Fault::Flip(at)) => {
            flip(&mut body, to, *at).await?;
            (u64::MAX, End::Close)
        }
        _ => (u64::MAX, End::Close),
    };
    tokio::io::copy(&mut body.take(before), to).await?;
    to.flush().await?;
    Ok(end)
}

/// Passes on the rest of a body, one byte at a time.
async fn trickle(
    body: &mut (impl AsyncRead + Unpin),
    to: &mut (impl AsyncWrite + Unpin),
) -> io::Result<()> {
    while let Ok(byte) = body.read_u8().await {
        to.write_u8(byte).await?;
        tokio::time::sleep(TRICKLE).await;
    }
    Ok(())
}

/// Replies instead of the server, then reads for up to one second. Closing with unread bytes would
/// reset the connection, and the client might lose the reply.
async fn replace(client: &mut TcpStream, reply: &[u8]) -> io::Result<()> {
    client.write_all(reply).await?;
    client.shutdown().await?;
    let mut nowhere = tokio::io::sink();
    let unread = tokio::io::copy(client, &mut nowhere);
    drop(tokio::time::timeout(Duration::from_secs(1), unread).await);
    Ok(())
}

/// Replies with the start of a JSON document that continues until the client closes the connection.
async fn endless(client: &mut TcpStream) -> io::Result<()> {
    let head = Reply::new(200).with("content-type", "application/json");
    client.write_all(&head.bytes()).await?;
    client.write_all(b"{\"x\":\"").await?;
    loop {
        client.write_all(&[b'x'; 64 << 10]).await?;
    }
}

/// 50 ms: the time between two bytes of a reply that trickles.
const TRICKLE: Duration = Duration::from_millis(50);
