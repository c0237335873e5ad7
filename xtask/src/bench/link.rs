//! A slow network connection: a TCP proxy on loopback that delivers bytes late, or at a limited
//! rate.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

use super::Result;
use crate::failure::Failure;

/// The properties of a connection.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Link {
    /// The delay of both directions together.
    pub(super) round_trip: Duration,
    /// The limit for each connection and direction.
    pub(super) bytes_per_second: Option<u64>,
}

/// A proxy in front of a server. Its threads end with the process.
pub(super) struct Proxy {
    address: SocketAddr,
}

impl Proxy {
    pub(super) fn start(server: &str, link: Link) -> Result<Self> {
        let failed = |e: std::io::Error| Failure::new(format!("the proxy of a slow link: {e}"));
        let listener = TcpListener::bind("127.0.0.1:0").map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        let server = server.to_owned();
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                if let Ok(server) = TcpStream::connect(&server) {
                    connect(&client, &server, link);
                }
            }
        });
        Ok(Self { address })
    }

    pub(super) fn address(&self) -> String {
        self.address.to_string()
    }
}

fn connect(client: &TcpStream, server: &TcpStream, link: Link) {
    for (from, to) in [(client, server), (server, client)] {
        to.set_nodelay(true).ok();
        let (Ok(from), Ok(to)) = (from.try_clone(), to.try_clone()) else { return };
        let (sender, receiver) = sync_channel(IN_FLIGHT);
        thread::spawn(move || receive(from, &sender, link));
        thread::spawn(move || deliver(to, &receiver));
    }
}

/// Bytes, and the time at which to deliver them. No bytes mean the end of the stream.
type Late = (Instant, Vec<u8>);

fn receive(mut from: TcpStream, sender: &SyncSender<Late>, link: Link) {
    let mut buffer = vec![0; READ_SIZE];
    let mut bucket = Bucket::new(link.bytes_per_second, Instant::now());
    loop {
        let read = from.read(&mut buffer).unwrap_or(0);
        let due = bucket.take(read as u64, Instant::now()) + link.round_trip / 2;
        if sender.send((due, buffer[..read].to_vec())).is_err() || read == 0 {
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

/// A token bucket: when bytes may pass, at a limited rate with bursts of at most [`BURST`].
struct Bucket {
    bytes_per_second: Option<u64>,
    /// The time at which all bytes so far have passed at exactly the limited rate.
    free: Instant,
}

impl Bucket {
    fn new(bytes_per_second: Option<u64>, now: Instant) -> Self {
        Self { bytes_per_second, free: now }
    }

    /// Returns when `size` bytes that arrive now may pass.
    fn take(&mut self, size: u64, now: Instant) -> Instant {
        let Some(rate) = self.bytes_per_second else { return now };
        let earliest = now.checked_sub(BURST).unwrap_or(now);
        self.free = self.free.max(earliest) + Duration::from_nanos(size * 1_000_000_000 / rate);
        self.free.max(now)
    }
}

const READ_SIZE: usize = 64 << 10;
/// The number of reads that wait for delivery: at most 32 MiB for each connection and direction. A
/// proxy without this limit would hold whole blobs in memory if the rate is limited.
const IN_FLIGHT: usize = 512;
/// 10 ms: a sender that paused may catch up this much, as with the queues of real networks.
const BURST: Duration = Duration::from_millis(10);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_lets_bytes_pass_at_its_rate() {
        let start = Instant::now();
        let mut bucket = Bucket::new(Some(1000), start);
        let after = |milliseconds| start + Duration::from_millis(milliseconds);
        assert_eq!(bucket.take(100, start), after(100));
        assert_eq!(bucket.take(100, start), after(200));
        // After a pause, only the bytes of the last 10 ms pass at once.
        assert_eq!(bucket.take(10, after(1000)), after(1000));
        assert_eq!(bucket.take(100, after(1000)), after(1100));
    }

    #[test]
    fn a_bucket_without_a_rate_never_waits() {
        let now = Instant::now();
        assert_eq!(Bucket::new(None, now).take(u64::MAX, now), now);
    }
}
