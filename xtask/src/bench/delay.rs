//! A delayed network connection: a TCP proxy on loopback that delivers every byte late.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

use super::Result;
use crate::failure::Failure;

/// A proxy in front of a server. Its threads end with the process.
pub(super) struct Delay {
    address: SocketAddr,
}

impl Delay {
    /// Starts a proxy that delays both directions by half of `round_trip`.
    pub(super) fn start(server: &str, round_trip: Duration) -> Result<Self> {
        let failed = |e: std::io::Error| Failure::new(format!("the delaying proxy: {e}"));
        let listener = TcpListener::bind("127.0.0.1:0").map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        let server = server.to_owned();
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                if let Ok(server) = TcpStream::connect(&server) {
                    connect(&client, &server, round_trip / 2);
                }
            }
        });
        Ok(Self { address })
    }

    pub(super) fn address(&self) -> String {
        self.address.to_string()
    }
}

fn connect(client: &TcpStream, server: &TcpStream, delay: Duration) {
    for (from, to) in [(client, server), (server, client)] {
        to.set_nodelay(true).ok();
        let (Ok(from), Ok(to)) = (from.try_clone(), to.try_clone()) else { return };
        let (sender, receiver) = channel();
        thread::spawn(move || receive(from, &sender, delay));
        thread::spawn(move || deliver(to, &receiver));
    }
}

/// Bytes, and the time at which to deliver them. No bytes mean the end of the stream.
type Late = (Instant, Vec<u8>);

fn receive(mut from: TcpStream, sender: &Sender<Late>, delay: Duration) {
    let mut buffer = vec![0; 64 << 10];
    loop {
        let read = from.read(&mut buffer).unwrap_or(0);
        if sender.send((Instant::now() + delay, buffer[..read].to_vec())).is_err() || read == 0 {
            return;
        }
    }
}

fn deliver(mut to: TcpStream, receiver: &Receiver<Late>) {
    for (due, bytes) in receiver {
        thread::sleep(due.saturating_duration_since(Instant::now()));
        if bytes.is_empty() || to.write_all(&bytes).is_err() {
            break;
        }
    }
    to.shutdown(Shutdown::Write).ok();
}
