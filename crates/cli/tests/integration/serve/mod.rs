//! The options of `longshore serve`.

mod observed;
mod offers;
#[cfg(target_os = "linux")]
mod slow;
mod tls;
mod users;

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use longshore::Digest;

use crate::program::DEADLINE;

/// The reply of a server.
#[derive(Debug)]
struct Reply {
    status: u16,
    /// The head, in lower case.
    head: String,
    body: String,
}

/// Sends a request (`METHOD PATH`, headers and body) over a new connection.
fn ask(address: &str, request: &str, headers: &[&str], body: &[u8]) -> Reply {
    ask_over(&mut TcpStream::connect(address).unwrap(), request, headers, body)
}

fn ask_over(
    stream: &mut (impl Read + Write),
    request: &str,
    headers: &[&str],
    body: &[u8],
) -> Reply {
    let mut head = format!("{request} HTTP/1.1\r\nHost: registry\r\nConnection: close\r\n");
    for header in headers {
        head += &format!("{header}\r\n");
    }
    if !body.is_empty() {
        head += &format!("Content-Length: {}\r\n", body.len());
    }
    stream.write_all(format!("{head}\r\n").as_bytes()).unwrap();
    // A server that refuses a request early may close the connection before it has read the body.
    stream.write_all(body).ok();
    stream.flush().ok();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).ok();
    let answer = String::from_utf8_lossy(&answer);
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or_else(|| panic!("{answer:?}"));
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    Reply { status, head: head.to_lowercase(), body: body.to_owned() }
}

/// Returns the header for this user name and password.
fn basic(name: &str, password: &str) -> String {
    format!("Authorization: Basic {}", STANDARD.encode(format!("{name}:{password}")))
}

/// Waits until a condition holds.
#[track_caller]
fn eventually(what: &str, holds: impl Fn() -> bool) {
    let started = Instant::now();
    while !holds() {
        assert!(started.elapsed() < DEADLINE, "{what}: not within {DEADLINE:?}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Returns the request that pushes a blob in one step.
fn post(name: &str, content: &[u8]) -> String {
    format!("POST /v2/{name}/blobs/uploads/?digest={}", Digest::sha256(content))
}
