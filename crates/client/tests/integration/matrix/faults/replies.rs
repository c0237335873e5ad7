//! F06 to F22: connections that break, wrong bytes, and unusual heads.

use bytes::Bytes;
use longshore::ErrorKind::{DigestMismatch, Invalid, Protocol, SizeMismatch, Timeout, Transport};
use longshore_testkit::fault::{Fault, Reply};

use super::{BLOBS, BODIES, DOCUMENTS, HEADS, LISTS, MANIFESTS, UPLOADS, WRITES};
use crate::matrix::case::Outcome::{Fails, Ok};
use crate::matrix::case::{At, Case, Injection};
use crate::matrix::operation::Operation::{BlobResume, Chunked, ManifestPut, Monolithic, Ping};
use crate::matrix::setting::Setting;

/// F06 to F16: connections that break or stall, and wrong bytes.
pub(super) fn bodies() -> Vec<Case> {
    let cut = |times, reset: bool| {
        move |setting: &Setting<'_>| {
            let half = setting.ground.half();
            let fault = if reset { Fault::Reset(half) } else { Fault::Cut(half) };
            vec![Injection { at: At::Main, times, fault }]
        }
    };
    vec![
        Case::new(6, "reset before the reply").once(Fault::LoseReply).all(Ok),
        Case::new(6, "always reset")
            .always(Fault::LoseReply)
            .on(UPLOADS, Ok)
            .all(Fails(&[Transport], "the connection broke")),
        Case::new(7, "closed before the reply").once(Fault::Write(Bytes::new())).all(Ok),
        Case::new(7, "always closed")
            .always(Fault::Write(Bytes::new()))
            .all(Fails(&[Transport], "the connection broke")),
        Case::new(8, "reset after 0 bytes").once(Fault::Reset(0)).all(Ok),
        Case::new(8, "reset after 1 byte")
            .once(Fault::Reset(1))
            .on(BODIES, Ok)
            .none("the reply has no body"),
        Case::new(8, "reset at half")
            .with(cut(1, true))
            .on(BLOBS, Ok)
            .none("the reply has no body of this size"),
        Case::new(8, "reset after 9 bytes, always")
            .always(Fault::Reset(9))
            .on(BLOBS, Fails(&[Transport], "the connection broke"))
            .none("the reply has no body of this size"),
        Case::new(8, "reset before the last byte")
            .with(|setting| {
                let fault = Fault::Reset(setting.ground.layer().0.size - 1);
                vec![Injection { at: At::Main, times: 1, fault }]
            })
            .on(BLOBS, Ok)
            .none("the reply has no body of this size"),
        Case::new(9, "closed after 0 bytes").once(Fault::Cut(0)).all(Ok),
        Case::new(9, "closed after 9 bytes")
            .once(Fault::Cut(9))
            .on(BODIES, Ok)
            .none("the reply has no body"),
        Case::new(9, "closed at half")
            .with(cut(1, false))
            .on(BLOBS, Ok)
            .none("the reply has no body of this size"),
        Case::new(10, "no last chunk")
            .once(Fault::change(Reply::chunk_without_end))
            .on(HEADS, Ok)
            .all(Ok),
        Case::new(10, "never a last chunk")
            .always(Fault::change(Reply::chunk_without_end))
            .on(DOCUMENTS, Fails(&[Transport], "the connection broke"))
            .on(BLOBS, Ok)
            .none("the reply has no body that the operation needs"),
        Case::new(11, "stall after the head").once(Fault::Stall(0)).stalls().all(Ok),
        Case::new(11, "stall after each head")
            .always(Fault::Stall(0))
            .stalls()
            .on(DOCUMENTS, Fails(&[Timeout], "no more data within"))
            .on(BLOBS, Fails(&[Timeout], "no more data within"))
            .all(Ok),
        Case::new(12, "stall in the body")
            .once(Fault::Stall(9))
            .stalls()
            .on(BODIES, Ok)
            .none("the reply has no body"),
        Case::new(12, "stall in the request's body")
            .once(Fault::StallRequest(9))
            .stalls()
            .on(&[Monolithic, Chunked, ManifestPut], Ok)
            .none("the request has no body"),
        Case::new(13, "trickle")
            .once(Fault::Trickle(9))
            .stalls()
            .on(BODIES, Ok)
            .none("the reply has no body"),
        Case::new(14, "a longer body")
            .once(Fault::change(|reply| reply.set_body([&reply.body[..], b"x"].concat())))
            .on(MANIFESTS, Fails(&[DigestMismatch, Invalid], ""))
            .on(BLOBS, Fails(&[SizeMismatch], "bytes"))
            .on(LISTS, Fails(&[Protocol], "not the expected JSON"))
            .on(&[Ping], Ok)
            .on(WRITES, Ok)
            .none("the reply has no body"),
        Case::new(15, "a flipped bit")
            .once(Fault::Flip(0))
            .on(MANIFESTS, Fails(&[DigestMismatch, Invalid], ""))
            .on(BLOBS, Fails(&[DigestMismatch], "digest"))
            .on(LISTS, Fails(&[Protocol], "not the expected JSON"))
            .none("the reply has no body that the operation reads"),
        Case::new(15, "a flipped bit of the request")
            .once(Fault::FlipRequest(9))
            .on(UPLOADS, Fails(&[DigestMismatch], "DIGEST_INVALID"))
            .on(&[ManifestPut], Fails(&[DigestMismatch, Invalid], ""))
            .none("the request has no body"),
        Case::new(16, "another blob")
            .once(Fault::change(|reply| reply.set_body(vec![b'x'; reply.body.len()])))
            .on(MANIFESTS, Fails(&[DigestMismatch, Invalid], ""))
            .on(BLOBS, Fails(&[DigestMismatch], "digest"))
            .none("the operation reads no content that has a digest"),
    ]
}

/// F17 to F22: heads that are large, malformed or unusual.
pub(super) fn headers() -> Vec<Case> {
    let write = |text: String| Fault::Write(Bytes::from(text));
    let broken = Fails(&[Transport, Protocol], "");
    let flood = format!("HTTP/1.1 200 OK\r\nx: {}\r\n\r\n", "x".repeat(1 << 20));
    let lines = format!("HTTP/1.1 200 OK\r\n{}\r\n", "x: y\r\n".repeat(10_000));
    vec![
        Case::new(17, "a header of 1 MiB").always(write(flood)).all(broken),
        Case::new(17, "10,000 headers").always(write(lines)).all(broken),
        Case::new(18, "version 9.9")
            .always(write("HTTP/9.9 200 OK\r\n\r\n".to_owned()))
            .all(broken),
        Case::new(18, "no version").always(write("200\r\n\r\n".to_owned())).all(broken),
        Case::new(18, "a header without a colon")
            .always(write("HTTP/1.1 200 OK\r\nx y\r\n\r\n".to_owned()))
            .all(broken),
        Case::new(19, "GOAWAY").none("the client speaks only HTTP/1.1"),
        Case::new(20, "100 Continue").once(Fault::Precede("HTTP/1.1 100 Continue\r\n\r\n")).all(Ok),
        Case::new(20, "103 Early Hints")
            .once(Fault::Precede("HTTP/1.1 103 Early Hints\r\nlink: </x>; rel=preload\r\n\r\n"))
            .all(Ok),
        Case::new(21, "gzip").once(Fault::Compress("gzip")).all(Ok),
        Case::new(21, "double gzip")
            .once(Fault::change(|reply| {
                reply.body = match reply.body.is_empty() {
                    true => Vec::new(),
                    false => longshore_testkit::fixture::Layer::gzip(&reply.body).content.to_vec(),
                };
                reply.compress("gzip, gzip");
            }))
            .on(DOCUMENTS, Fails(&[Protocol], "gzip"))
            // An encoded part is refused, and the whole blob is requested.
            .on(&[BlobResume], Ok)
            .on(BLOBS, Fails(&[Protocol, DigestMismatch, SizeMismatch], ""))
            .all(Ok),
        Case::new(22, "no length").once(Fault::change(|r| r.remove("content-length"))).all(Ok),
        Case::new(22, "too large a length")
            .once(Fault::change(|reply| {
                let length = reply.body.len() + 5;
                if !reply.body.is_empty() {
                    reply.set("content-length", length);
                }
            }))
            .on(DOCUMENTS, Ok)
            // All bytes of the part arrived.
            .on(&[BlobResume], Ok)
            .on(BLOBS, Fails(&[SizeMismatch], "bytes"))
            .all(Ok),
    ]
}
