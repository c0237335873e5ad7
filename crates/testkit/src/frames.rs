//! An HTTP/2 client that writes single frames. It can send sequences of frames that HTTP libraries
//! do not allow.
//!
//! Source: RFC 9113, sections 4 and 6; RFC 7541, appendix A.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// A connection and its received frames.
#[derive(Debug)]
pub struct Connection {
    stream: TcpStream,
    /// The received frames.
    pub received: Received,
}

/// The content of received frames, by stream.
#[derive(Debug, Default)]
pub struct Received {
    /// Streams that were answered with 200.
    pub answered: Vec<u32>,
    /// The response bodies.
    pub data: BTreeMap<u32, Vec<u8>>,
    /// Streams that ended normally.
    pub ended: Vec<u32>,
    /// Streams that were reset, with the reason.
    pub reset: BTreeMap<u32, u32>,
    /// The initial flow-control window of a new stream, in bytes, if the server set it.
    pub stream_window: Option<u32>,
    /// The number of bytes by which the server increased the window of the connection beyond the
    /// initial 65,535.
    pub connection_window: u64,
}

/// The error code for a stream beyond the server's limit.
pub const REFUSED_STREAM: u32 = 7;
/// The error code for a stream that its client does not read or has canceled.
pub const CANCEL: u32 = 8;

impl Connection {
    /// Connects. The initial window of each stream is `window` bytes.
    pub async fn open(address: SocketAddr, window: u32) -> Self {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.set_nodelay(true).unwrap();
        stream.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await.unwrap();
        let mut connection = Self { stream, received: Received::default() };
        let window = window.to_be_bytes();
        connection.send(4, 0, 0, &[&[0, 4], &window[..]].concat()).await;
        connection
    }

    /// Requests a path on a stream.
    pub async fn get(&mut self, stream: u32, path: &str) {
        // `:method: GET` and `:scheme: http` from the static table, then two literal headers.
        let mut headers = vec![0x82, 0x86];
        for (name, value) in [(":path", path), (":authority", "x")] {
            headers.push(0);
            for text in [name, value] {
                let size = u8::try_from(text.len()).unwrap();
                match size.checked_sub(0x7f) {
                    None => headers.push(size),
                    Some(more) => headers.extend([0x7f, more]),
                }
                headers.extend(text.bytes());
            }
        }
        self.send(1, 5, stream, &headers).await;
    }

    /// Increases the window of a stream, or of the connection if `stream` is 0.
    pub async fn increase_window(&mut self, stream: u32, bytes: u32) {
        self.send(8, 0, stream, &bytes.to_be_bytes()).await;
    }

    /// Cancels a request.
    pub async fn reset(&mut self, stream: u32) {
        self.send(3, 0, stream, &CANCEL.to_be_bytes()).await;
    }

    async fn send(&mut self, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
        let size = u32::try_from(payload.len()).unwrap().to_be_bytes();
        let head = [&size[1..], &[kind, flags], &stream.to_be_bytes()].concat();
        self.stream.write_all(&[&head, payload].concat()).await.unwrap();
    }

    /// Reads frames until `is_enough` returns true.
    pub async fn read_until(&mut self, is_enough: impl Fn(&Received) -> bool + Send + Sync) {
        let reading = async {
            while !is_enough(&self.received) {
                assert!(self.read().await, "the connection was closed: {:?}", self.received);
            }
        };
        let read = tokio::time::timeout(Duration::from_secs(60), reading).await;
        assert!(read.is_ok(), "{:?}", self.received.reset);
    }

    /// Reads until the server closes the connection.
    pub async fn read_to_end(&mut self) {
        while self.read().await {}
    }

    /// Reads a frame. Returns false at the end of the connection.
    async fn read(&mut self) -> bool {
        let mut head = [0; 9];
        if self.stream.read_exact(&mut head).await.is_err() {
            return false;
        }
        let size = u32::from_be_bytes([0, head[0], head[1], head[2]]);
        let (kind, flags) = (head[3], head[4]);
        let stream = u32::from_be_bytes([head[5], head[6], head[7], head[8]]);
        let mut payload = vec![0; size as usize];
        self.stream.read_exact(&mut payload).await.unwrap();
        match kind {
            0 => self.received.data.entry(stream).or_default().extend(payload),
            // `:status: 200`
            1 if payload[0] == 0x88 => self.received.answered.push(stream),
            3 => {
                let reason = u32::from_be_bytes(payload.try_into().unwrap());
                self.received.reset.insert(stream, reason);
            }
            4 if flags & 1 == 0 => {
                let window = payload.chunks(6).find(|setting| setting[..2] == [0, 4]);
                let window = window.map(|setting| setting[2..].try_into().unwrap());
                self.received.stream_window = window.map(u32::from_be_bytes);
                self.send(4, 1, 0, &[]).await;
            }
            8 if stream == 0 => {
                let increment = u32::from_be_bytes(payload.try_into().unwrap());
                self.received.connection_window += u64::from(increment);
            }
            6 if flags & 1 == 0 => self.send(6, 1, 0, &payload).await,
            _ => {}
        }
        if kind <= 1 && flags & 1 == 1 {
            self.received.ended.push(stream);
        }
        true
    }
}
