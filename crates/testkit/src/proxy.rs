//! Proxies for tests: HTTP with CONNECT, and SOCKS5, each with an optional password.
//!
//! A proxy has its own routes for names, so that a test can use names that do not resolve. It also
//! records its requests. A `tls::Front` in front of a proxy makes it an HTTPS proxy.

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, copy, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinHandle, JoinSet};

/// A running proxy. Dropping this value stops the proxy.
#[derive(Debug)]
pub struct Proxy {
    address: SocketAddr,
    state: Arc<State>,
    server: JoinHandle<()>,
}

#[derive(Debug)]
struct State {
    kind: Kind,
    /// The required secret: the value of `Proxy-Authorization`, or `user:password` for SOCKS5.
    secret: Option<String>,
    routes: Mutex<HashMap<String, SocketAddr>>,
    /// The number of client bytes after which the next tunnel is dropped.
    tunnel_limit: Mutex<Option<u64>>,
    asked: Mutex<Vec<String>>,
}

#[derive(Clone, Copy, Debug)]
enum Kind {
    Http,
    Socks5,
}

impl Proxy {
    /// Starts an HTTP proxy. With `authorization`, the proxy answers 407 to a request without this
    /// `Proxy-Authorization`.
    pub async fn http(authorization: Option<&str>) -> Self {
        Self::start(Kind::Http, authorization).await
    }

    /// Starts a SOCKS5 proxy. With `login` (`user:password`), the proxy requires this login.
    pub async fn socks5(login: Option<&str>) -> Self {
        Self::start(Kind::Socks5, login).await
    }

    async fn start(kind: Kind, secret: Option<&str>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let secret = secret.map(str::to_owned);
        let (routes, tunnel_limit, asked) = <_>::default();
        let state = Arc::new(State { kind, secret, routes, tunnel_limit, asked });
        let shared = Arc::clone(&state);
        let server = tokio::spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                let state = Arc::clone(&shared);
                connections.spawn(async move {
                    // A client may disconnect at any time, so errors are ignored.
                    let _ = match state.kind {
                        Kind::Http => http(stream, &state).await,
                        Kind::Socks5 => socks5(stream, &state).await,
                    };
                });
            }
        });
        Self { address, state, server }
    }

    /// Routes `name` (`host:port`) to an address. Requests for names without a route are refused.
    #[must_use]
    pub fn route(self, name: impl Into<String>, to: SocketAddr) -> Self {
        lock(&self.state.routes).insert(name.into(), to);
        self
    }

    /// Drops the first tunnel when the client has sent this many bytes.
    #[must_use]
    pub fn dropping_a_tunnel_after(self, bytes: u64) -> Self {
        *lock(&self.state.tunnel_limit) = Some(bytes);
        self
    }

    /// Returns the proxy's address.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Returns the recorded requests, such as `CONNECT r.example:443`. They include refused
    /// requests, except those with a wrong SOCKS5 login.
    #[must_use]
    pub fn asked(&self) -> Vec<String> {
        lock(&self.state.asked).clone()
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.server.abort();
    }
}

async fn http(mut stream: TcpStream, state: &State) -> io::Result<()> {
    let head = read_head(&mut stream).await?;
    let mut words = head.split(' ');
    let (method, target) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    lock(&state.asked).push(format!("{method} {target}"));
    let presented = head
        .lines()
        .filter_map(|line| line.split_once(": "))
        .find(|(name, _)| name.eq_ignore_ascii_case("proxy-authorization"))
        .map(|(_, value)| value.to_owned());
    if state.secret.is_some() && presented != state.secret {
        return refuse(&mut stream, "407 Proxy Authentication Required").await;
    }
    let absolute = target.strip_prefix("http://");
    let name = match absolute {
        Some(rest) => rest.split('/').next().unwrap_or_default().to_owned(),
        None => target.to_owned(),
    };
    let name = if name.contains(':') { name } else { format!("{name}:80") };
    let Some(to) = lock(&state.routes).get(&name).copied() else {
        return refuse(&mut stream, "502 Bad Gateway").await;
    };
    let mut outside = TcpStream::connect(to).await?;
    match absolute {
        None => {
            stream.write_all(b"HTTP/1.1 200 Connected\r\n\r\n").await?;
            let limit = lock(&state.tunnel_limit).take();
            if let Some(limit) = limit {
                return tunnel(stream, outside, limit).await;
            }
        }
        // Allow one request per connection, because the first line of a later request would not be
        // rewritten.
        Some(rest) => {
            let path = rest.find('/').map_or("/", |at| &rest[at..]);
            let head =
                head.replacen(target, path, 1).replacen("\r\n", "\r\nconnection: close\r\n", 1);
            outside.write_all(head.as_bytes()).await?;
        }
    }
    copy_bidirectional(&mut stream, &mut outside).await.map(drop)
}

/// Passes on the bytes of both sides until the client has sent `limit` bytes.
async fn tunnel(mut inside: TcpStream, mut outside: TcpStream, limit: u64) -> io::Result<()> {
    let (from_client, mut to_client) = inside.split();
    let (mut from_server, mut to_server) = outside.split();
    let mut sent = from_client.take(limit);
    tokio::select! {
        sent = copy(&mut sent, &mut to_server) => sent.map(drop),
        answered = copy(&mut from_server, &mut to_client) => answered.map(drop),
    }
}

async fn refuse(stream: &mut TcpStream, status: &str) -> io::Result<()> {
    let reply = format!("HTTP/1.1 {status}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
    stream.write_all(reply.as_bytes()).await?;
    stream.shutdown().await
}

async fn read_head(stream: &mut TcpStream) -> io::Result<String> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await?);
    }
    String::from_utf8(head).map_err(io::Error::other)
}

/// Serves a SOCKS5 client.
///
/// Source: RFC 1928; RFC 1929 for the password.
async fn socks5(mut stream: TcpStream, state: &State) -> io::Result<()> {
    let [_, methods] = read(&mut stream).await?;
    take(&mut stream, methods).await?;
    let method = if state.secret.is_some() { 2 } else { 0 };
    stream.write_all(&[5, method]).await?;
    if let Some(secret) = &state.secret {
        let [_, size] = read(&mut stream).await?;
        let user = take(&mut stream, size).await?;
        let [size] = read(&mut stream).await?;
        let password = take(&mut stream, size).await?;
        let right = *secret == format!("{user}:{password}");
        stream.write_all(&[1, u8::from(!right)]).await?;
        if !right {
            return stream.shutdown().await;
        }
    }
    let [_, _, _, kind] = read(&mut stream).await?;
    let host = match kind {
        1 => std::net::Ipv4Addr::from(read::<4>(&mut stream).await?).to_string(),
        4 => format!("[{}]", std::net::Ipv6Addr::from(read::<16>(&mut stream).await?)),
        _ => {
            let [size] = read(&mut stream).await?;
            take(&mut stream, size).await?
        }
    };
    let name = format!("{host}:{}", u16::from_be_bytes(read(&mut stream).await?));
    lock(&state.asked).push(format!("SOCKS5 {name}"));
    let to = lock(&state.routes).get(&name).copied();
    let Some(to) = to else {
        // 4: host unreachable.
        stream.write_all(&[5, 4, 0, 1, 0, 0, 0, 0, 0, 0]).await?;
        return stream.shutdown().await;
    };
    let mut outside = TcpStream::connect(to).await?;
    stream.write_all(&[5, 0, 0, 1, 0, 0, 0, 0, 0, 0]).await?;
    copy_bidirectional(&mut stream, &mut outside).await.map(drop)
}

async fn read<const N: usize>(stream: &mut TcpStream) -> io::Result<[u8; N]> {
    let mut bytes = [0; N];
    stream.read_exact(&mut bytes).await?;
    Ok(bytes)
}

async fn take(stream: &mut TcpStream, size: u8) -> io::Result<String> {
    let mut bytes = vec![0; size.into()];
    stream.read_exact(&mut bytes).await?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
