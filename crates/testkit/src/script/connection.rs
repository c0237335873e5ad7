//! A connection of a script: reads requests, compares them with the expected requests, and replies.

use std::io;
use std::sync::Mutex;

use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpStream;

use super::{Exchange, Fault, HangUp, State, compare, lock};

/// A received request, without its body.
pub(crate) struct Request {
    pub(crate) method: String,
    pub(crate) target: String,
    pub(crate) headers: Vec<(String, String)>,
}

impl Request {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(n, _)| n == name).map(|(_, value)| value.as_str())
    }

    pub(crate) fn size(&self) -> usize {
        self.header("content-length").map_or(0, |length| length.parse().unwrap())
    }
}

pub(super) async fn serve(stream: TcpStream, state: &Mutex<State>) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut stream = BufReader::new(stream);
    while let Some(request) = read_head(&mut stream).await? {
        let next = lock(state).expected.pop_front();
        let actual = format!("{} {}", request.method, request.target);
        let Some(exchange) = next else {
            lock(state).faults.push(format!("{actual}, after all expected requests"));
            return stream.write_all(b"HTTP/1.1 418 unexpected\r\ncontent-length: 0\r\n\r\n").await;
        };
        let mut problems = compare(&exchange, &request);
        let body = read_body(&mut stream, &request, exchange.fault).await?;
        if exchange.body.as_ref().is_some_and(|expected| *expected != body) {
            let begin = String::from_utf8_lossy(&body[..body.len().min(BODY_SHOWN)]);
            problems.push(format!("an unexpected body of {} bytes: {begin:?}", body.len()));
        }
        if !problems.is_empty() {
            let fault = format!("{actual}: {}", problems.join("; "));
            lock(state).faults.push(fault);
            return stream.write_all(b"HTTP/1.1 418 unexpected\r\ncontent-length: 0\r\n\r\n").await;
        }
        if let Some(Fault::HangUp(_, how)) = exchange.fault {
            return hang_up(stream, how).await;
        }
        answer(&mut stream, &exchange).await?;
        let closes = request.header("connection").is_some_and(|v| v.eq_ignore_ascii_case("close"));
        if let Some(Fault::Early(_)) = exchange.fault {
            let more = read_on(stream, exchange.closes()).await;
            lock(state).early_bodies.push(body.len() + more);
            return Ok(());
        }
        if closes || exchange.fault.is_some() {
            return stream.shutdown().await;
        }
    }
    Ok(())
}

async fn hang_up(mut stream: BufReader<TcpStream>, how: HangUp) -> io::Result<()> {
    match how {
        HangUp::Close => Ok(()),
        HangUp::Reset => stream.get_ref().set_zero_linger(),
        HangUp::Shutdown => {
            stream.shutdown().await?;
            tokio::io::copy(&mut stream, &mut tokio::io::sink()).await.map(drop)
        }
    }
}

/// Reads until the client closes the connection. Returns the number of bytes.
async fn read_on(mut stream: BufReader<TcpStream>, shuts_down: bool) -> usize {
    if shuts_down {
        stream.shutdown().await.ok();
    }
    let (mut read, mut buffer) = (0, vec![0; 64 << 10]);
    while let Ok(more @ 1..) = stream.read(&mut buffer).await {
        read += more;
    }
    read
}

async fn read_body(
    stream: &mut BufReader<TcpStream>,
    request: &Request,
    fault: Option<Fault>,
) -> io::Result<Vec<u8>> {
    let read = match fault {
        Some(Fault::Early(bytes) | Fault::HangUp(bytes, _)) => bytes.min(request.size()),
        _ if request.header("transfer-encoding") == Some("chunked") => {
            return read_chunks(stream).await;
        }
        _ => request.size(),
    };
    let mut body = vec![0; read];
    stream.read_exact(&mut body).await?;
    Ok(body)
}

/// Reads a chunked body.
///
/// Source: RFC 9112, section 7.1.
async fn read_chunks(stream: &mut BufReader<TcpStream>) -> io::Result<Vec<u8>> {
    let mut body = Vec::new();
    loop {
        let mut line = String::new();
        stream.read_line(&mut line).await?;
        let size = usize::from_str_radix(line.trim_end(), 16).map_err(io::Error::other)?;
        let from = body.len();
        body.resize(from + size + 2, 0);
        stream.read_exact(&mut body[from..]).await?;
        body.truncate(from + size);
        if size == 0 {
            return Ok(body);
        }
    }
}

async fn answer(stream: &mut BufReader<TcpStream>, exchange: &Exchange) -> io::Result<()> {
    let body = &exchange.answer_body;
    let mut head = format!("HTTP/1.1 {} scripted\r\n", exchange.status);
    let is_length = |name: &str| matches!(name, "content-length" | "transfer-encoding");
    let has_length = exchange.answer_headers.iter().any(|(name, _)| is_length(name));
    if !has_length && !matches!(exchange.status, 204 | 304) {
        head.push_str(&format!("content-length: {}\r\n", body.len()));
    }
    let is_sent = |value: &str, name: &str| !(name == "content-length" && value.is_empty());
    for (name, value) in exchange.answer_headers.iter().filter(|(n, v)| is_sent(v, n)) {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    head.push_str("\r\n");
    stream.write_all(head.as_bytes()).await?;
    if exchange.method == "HEAD" {
        return Ok(());
    }
    match exchange.fault {
        Some(Fault::Cut(bytes)) => stream.write_all(&body[..bytes]).await,
        Some(Fault::Stall(bytes)) => {
            stream.write_all(&body[..bytes]).await?;
            stream.flush().await?;
            std::future::pending().await
        }
        _ => stream.write_all(body).await,
    }
}

/// Reads a request's head. Returns `None` if the client closed the connection.
pub(crate) async fn read_head(stream: &mut BufReader<TcpStream>) -> io::Result<Option<Request>> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        match stream.read_u8().await {
            // This is not HTTP, but for example the first byte of TLS. Reply as HTTP servers do,
            // and read to the end so that the client receives the reply.
            Ok(byte) if head.is_empty() && !byte.is_ascii_alphabetic() => {
                stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await?;
                stream.shutdown().await?;
                tokio::io::copy(stream, &mut tokio::io::sink()).await?;
                return Ok(None);
            }
            Ok(byte) => head.push(byte),
            Err(_) if head.is_empty() => return Ok(None),
            Err(e) => return Err(e),
        }
    }
    let text = String::from_utf8(head).map_err(io::Error::other)?;
    let mut lines = text.trim_end().split("\r\n");
    let mut first = lines.next().unwrap_or_default().split(' ');
    let mut word = || first.next().unwrap_or_default().to_owned();
    let (method, target) = (word(), word());
    let headers = lines
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
        .collect();
    Ok(Some(Request { method, target, headers }))
}

/// The number of bytes of an unexpected body that a message shows.
const BODY_SHOWN: usize = 200;
