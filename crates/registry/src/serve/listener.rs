use std::io;
use std::net::SocketAddr;

use futures_util::future::BoxFuture;
use http::uri::Scheme;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};

/// A source of connections: a socket, or a TLS layer on a socket.
///
/// [`serve`](super::serve) accepts any implementation. [`TcpListener`] is an implementation for
/// plain HTTP.
pub trait Listener: Send + Sync {
    /// A connection that is ready for HTTP.
    type Stream: AsyncRead + AsyncWrite + Unpin + Send + 'static;

    /// Waits for the next connection.
    ///
    /// # Errors
    /// Errors of the socket. [`serve`](super::serve) logs them, pauses, and continues.
    ///
    /// # Cancellation
    /// Dropping the future must not lose a connection.
    fn accept(&self) -> impl Future<Output = io::Result<Accepted<Self::Stream>>> + Send;
}

/// A connection that a [`Listener`] accepted.
pub struct Accepted<S> {
    /// The client's address.
    pub peer: SocketAddr,
    /// The scheme that the client used: `http`, or `https` with TLS.
    pub scheme: Scheme,
    /// A future that prepares the connection for HTTP, for example with a TLS handshake.
    ///
    /// [`serve`](super::serve) limits this step to 10 s, and accepts other connections in the
    /// meantime.
    pub opening: BoxFuture<'static, io::Result<S>>,
}

impl<S> std::fmt::Debug for Accepted<S> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Accepted({} from {})", self.scheme, self.peer)
    }
}

impl Listener for TcpListener {
    type Stream = TcpStream;

    async fn accept(&self) -> io::Result<Accepted<TcpStream>> {
        let (stream, peer) = Self::accept(self).await?;
        // Nagle's algorithm would only delay consecutive small responses.
        let _ = stream.set_nodelay(true);
        limit_send_buffer(&stream);
        let opening = Box::pin(std::future::ready(Ok(stream)));
        Ok(Accepted { peer, scheme: Scheme::HTTP, opening })
    }
}

/// Limits the unsent bytes in the system's send buffer, which count as progress of the client. With
/// a large buffer, the registry would detect a slow client late.
#[cfg(any(target_os = "linux", target_os = "android"))]
fn limit_send_buffer(stream: &TcpStream) {
    let _ = socket2::SockRef::from(stream).set_tcp_notsent_lowat(UNSENT);
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
fn limit_send_buffer(_: &TcpStream) {}

/// 128 KiB: smaller values reduce throughput.
#[cfg(any(target_os = "linux", target_os = "android"))]
const UNSENT: u32 = 128 << 10;
