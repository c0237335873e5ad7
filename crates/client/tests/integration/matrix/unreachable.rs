//! Servers that a client cannot reach, or cannot trust.

use std::any::Any;
use std::net::{IpAddr, SocketAddr};

use async_trait::async_trait;
use longshore::{RegistryName, Resolver, Result};
use longshore_testkit::tls::{Authority, Dates, Pair};
use tokio::net::{TcpSocket, TcpStream};

use super::setting::{Ground, Route};

/// Returns the certificate that the registry shows on this route.
pub(super) fn certificate(ground: &Ground, route: Route) -> Pair {
    match route {
        Route::UnknownAuthority => Authority::new().for_loopback(),
        Route::Expired => Authority::with_names(&["127.0.0.1"], Dates::Past).itself(),
        Route::WrongName => ground.authority.issue(&["other.example"]),
        _ => ground.pair.clone(),
    }
}

/// Returns the name of a registry that cannot be reached, and the value that keeps it so.
pub(super) async fn name(route: Route) -> Option<(RegistryName, Box<dyn Any + Send + Sync>)> {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let address = socket.local_addr().unwrap();
    let kept: Box<dyn Any + Send + Sync> = match route {
        Route::Refused => Box::new(socket),
        Route::Unresolved => return Some(("r.example:5000".parse().unwrap(), Box::new(()))),
        Route::Silent => Box::new(socket.listen(64).unwrap()),
        Route::BlackHole => {
            let listener = socket.listen(0).unwrap();
            Box::new((listener, fill(address).await))
        }
        Route::Proxy | Route::UnknownAuthority | Route::Expired | Route::WrongName => return None,
    };
    Some((address.to_string().parse().unwrap(), kept))
}

/// Fills the queue of a listener. The system then ignores further attempts to connect.
async fn fill(address: SocketAddr) -> Vec<TcpStream> {
    let mut filled = Vec::new();
    let wait = std::time::Duration::from_millis(100);
    while let Ok(Ok(stream)) = tokio::time::timeout(wait, TcpStream::connect(address)).await {
        filled.push(stream);
    }
    filled
}

/// A resolver that finds no address.
#[derive(Debug)]
pub(super) struct NoAddress;

#[async_trait]
impl Resolver for NoAddress {
    async fn resolve(&self, _: &str) -> Result<Vec<IpAddr>> {
        Ok(Vec::new())
    }
}
