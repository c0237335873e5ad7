//! Heads of requests and replies.

use std::io;

use tokio::io::{AsyncRead, AsyncReadExt as _};

use super::{Reply, Request};

/// The head of a request or reply, and the bytes of the body read with it.
pub(super) struct Head {
    text: String,
    pub(super) rest: Vec<u8>,
}

impl Head {
    /// Reads up to the empty line. Returns `None` if the connection ends earlier or the head is too
    /// large.
    pub(super) async fn read(from: &mut (impl AsyncRead + Unpin)) -> io::Result<Option<Self>> {
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

    pub(super) fn request(&self) -> Request {
        let mut words = self.text.split(' ');
        let mut word = || words.next().unwrap_or_default().to_owned();
        Request { method: word(), path: word(), headers: self.in_lower_case() }
    }

    /// Returns a reply with the part of its body that was read with the head.
    pub(super) fn into_reply(self) -> Reply {
        let status = self.text.split(' ').nth(1).and_then(|status| status.parse().ok());
        Reply { status: status.unwrap_or_default(), headers: self.in_lower_case(), body: self.rest }
    }

    fn in_lower_case(&self) -> Vec<(String, String)> {
        let owned =
            |(name, value): (&str, &str)| (name.to_ascii_lowercase(), value.trim().to_owned());
        self.headers().map(owned).collect()
    }

    /// Returns the head in this HTTP version, for a connection with a single exchange. Replaces the
    /// headers in `set`, and removes the headers whose value in `set` is empty.
    pub(super) fn closing(&self, version: &str, set: &[(&str, &str)]) -> Vec<u8> {
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
