//! Replies that a test writes or changes.

use std::fmt::Display;

/// A reply. A test creates replies, or changes those of the server.
#[derive(Clone, Debug)]
pub struct Reply {
    /// The status.
    pub status: u16,
    /// The headers in order, with names in lower case.
    pub headers: Vec<(String, String)>,
    /// The bytes after the head. They need not agree with the headers.
    pub body: Vec<u8>,
}

impl Reply {
    /// Creates a reply without headers and body. Its body ends with the connection.
    #[must_use]
    pub fn new(status: u16) -> Self {
        Self { status, headers: Vec::new(), body: Vec::new() }
    }

    /// Returns the reply with one more header.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl Display) -> Self {
        self.headers.push((name.to_owned(), value.to_string()));
        self
    }

    /// Returns the reply with this body and its length.
    #[must_use]
    pub fn body(mut self, body: impl AsRef<[u8]>) -> Self {
        self.set_body(body.as_ref().to_vec());
        self
    }

    /// Returns the first value of a header. `name` must be in lower case.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(n, _)| n == name);
        found.map(|(_, value)| value.as_str())
    }

    /// Replaces all values of a header.
    pub fn set(&mut self, name: &str, value: impl Display) {
        self.remove(name);
        self.headers.push((name.to_owned(), value.to_string()));
    }

    /// Removes a header.
    pub fn remove(&mut self, name: &str) {
        self.headers.retain(|(n, _)| n != name);
    }

    /// Replaces the body, and states its length.
    pub fn set_body(&mut self, body: Vec<u8>) {
        self.set("content-length", body.len());
        self.body = body;
    }

    /// Sends the body as one chunk, followed by the last chunk.
    pub fn chunk(&mut self) {
        self.remove("content-length");
        self.set("transfer-encoding", "chunked");
        if !self.body.is_empty() {
            let size = format!("{:x}\r\n", self.body.len());
            self.body.splice(..0, size.into_bytes());
            self.body.extend_from_slice(b"\r\n");
        }
        self.body.extend_from_slice(LAST_CHUNK);
    }

    /// Sends the body as one chunk, without the last chunk.
    pub fn chunk_without_end(&mut self) {
        self.chunk();
        self.body.truncate(self.body.len() - LAST_CHUNK.len());
    }

    /// Compresses the body with gzip, and states this content coding. Sends the body as a chunk. A
    /// reply without a body stays without.
    pub fn compress(&mut self, coding: &str) {
        self.set("content-encoding", coding);
        if !self.body.is_empty() {
            self.body = crate::fixture::Layer::gzip(&self.body).content.to_vec();
            self.chunk();
        }
    }

    /// Returns the reply in HTTP/1.1, for a connection with a single exchange.
    #[must_use]
    pub fn bytes(&self) -> Vec<u8> {
        let mut reply = format!("HTTP/1.1 {} Fault\r\nconnection: close\r\n", self.status);
        let kept = self.headers.iter().filter(|(name, _)| name != "connection");
        for (name, value) in kept {
            reply.push_str(&format!("{name}: {value}\r\n"));
        }
        reply.push_str("\r\n");
        [reply.as_bytes(), &self.body].concat()
    }
}

const LAST_CHUNK: &[u8] = b"0\r\n\r\n";
