use std::io;
use std::net::SocketAddr;

use futures_util::future::BoxFuture;
use http::uri::Scheme;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};

/// Where connections come from: a socket, or something that speaks TLS on one.
///
/// [`serve`](super::serve) takes any. Implemented for [`TcpListener`], which speaks plain HTTP.
pub trait Listener: Send + Sync {
    /// A connection that is ready for HTTP.
    type Stream: AsyncRead + AsyncWrite + Unpin + Send + 'static;

    /// Waits for the next connection.
    ///
    /// # Errors
    /// That of the socket. [`serve`](super::serve) logs it, pauses, and goes on.
    ///
    /// # Cancellation
    /// A future that is dropped must lose no connection.
    fn accept(&self) -> impl Future<Output = io::Result<Accepted<Self::Stream>>> + Send;
}

/// A connection that a [`Listener`] accepted.
pub struct Accepted<S> {
    /// The address of the other end.
    pub peer: SocketAddr,
    /// How the client reached the listener: `http`, or `https` where it speaks TLS.
    pub scheme: Scheme,
    /// Makes the connection ready for HTTP, by a TLS handshake for example.
    ///
    /// [`serve`](super::serve) gives it 10 s, and accepts other connections meanwhile.
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
        // Small answers follow each other; waiting to join them only costs time.
        let _ = stream.set_nodelay(true);
        hold_little_unsent(&stream);
        let opening = Box::pin(std::future::ready(Ok(stream)));
        Ok(Accepted { peer, scheme: Scheme::HTTP, opening })
    }
}

/// Has the system take no more than it can send soon: what it takes counts as progress of the client.
/// Where that cannot be set, a slow client is noticed later.
#[cfg(any(target_os = "linux", target_os = "android"))]
fn hold_little_unsent(stream: &TcpStream) {
    let _ = socket2::SockRef::from(stream).set_tcp_notsent_lowat(UNSENT);
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
fn hold_little_unsent(_: &TcpStream) {}

/// 128 KiB: less costs speed.
#[cfg(any(target_os = "linux", target_os = "android"))]
const UNSENT: u32 = 128 << 10;
