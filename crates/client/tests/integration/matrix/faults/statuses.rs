//! F23 to F42: refusals, rate limits and failures of servers.

use std::time::Duration;

use longshore::ErrorKind::{
    Conflict, Denied, Invalid, NotFound, RateLimited, TooLarge, Transport, Unauthorized,
    Unsupported,
};
use longshore_testkit::fault::{Fault, Reply};

use super::{HEADS, INVALID_TOKEN, UPLOADS};
use crate::matrix::case::Outcome::{Absent, Fails, Ok};
use crate::matrix::case::{At, Case};
use crate::matrix::operation::Operation::{
    BlobHead, BlobResume, Chunked, Copy, Delete, ManifestHead, Monolithic, Mount, Referrers,
};

/// F23 to F36: refusals.
pub(super) fn statuses() -> Vec<Case> {
    let status = |status| Fault::Reply(status, vec![]);
    let coded = |status: u16, code: &str| {
        let body = format!(r#"{{"errors":[{{"code":"{code}","message":"no"}}]}}"#);
        let reply = Reply::new(status).with("content-type", "application/json").body(body);
        Fault::Write(reply.bytes().into())
    };
    let text = |status: u16, text: &str| {
        let reply = Reply::new(status).with("content-type", "text/plain").body(text);
        Fault::Write(reply.bytes().into())
    };
    let html = |status: u16| {
        let reply = Reply::new(status).with("content-type", "text/html").body("<html>no</html>");
        Fault::Write(reply.bytes().into())
    };
    let challenge = |clause: &'static str| Fault::Reply(401, vec![("www-authenticate", clause)]);
    let refused_token = || challenge(INVALID_TOKEN);
    let unauthorized = Fails(&[Unauthorized], "401");
    let mut cases = vec![
        Case::new(23, "400 with JSON")
            .always(coded(400, "MANIFEST_INVALID"))
            .on(&[Mount], Ok)
            .on(&[Delete], Fails(&[Invalid], "400"))
            // Some servers without a listing of referrers answer unknown paths with 400.
            .on(&[Referrers], Absent)
            .all(Fails(&[Invalid], "400")),
        Case::new(23, "400 with text")
            .always(text(400, "bad"))
            .on(&[Mount], Ok)
            .on(&[Referrers], Absent)
            .all(Fails(&[Invalid], "400")),
        Case::new(24, "401 without a challenge, once").once(status(401)).all(Ok),
        Case::new(24, "401 without a challenge")
            .always(status(401))
            .on(&[Mount], Ok)
            .all(unauthorized),
        Case::new(25, "401 always").always(refused_token()).on(&[Mount], Ok).all(unauthorized),
        Case::new(26, "an expired token").once(refused_token()).all(Ok),
        Case::new(27, "an insufficient scope, once").once(challenge(INSUFFICIENT)).all(Ok),
        Case::new(27, "an insufficient scope")
            .always(challenge(INSUFFICIENT))
            .on(&[Mount], Ok)
            .all(unauthorized),
        Case::new(28, "403 with JSON")
            .always(coded(403, "DENIED"))
            .on(&[Mount], Ok)
            .all(Fails(&[Denied], "403")),
        Case::new(28, "403 with HTML")
            .always(html(403))
            .on(&[Mount], Ok)
            .all(Fails(&[Denied], "403")),
    ];
    for (name, fault) in [
        ("NAME_UNKNOWN", coded(404, "NAME_UNKNOWN")),
        ("MANIFEST_UNKNOWN", coded(404, "MANIFEST_UNKNOWN")),
        ("404 with text", text(404, "page not found")),
    ] {
        cases.push(
            Case::new(29, name)
                .always(fault)
                .on(&[BlobHead, Referrers], Absent)
                .on(&[Mount, Chunked], Ok)
                .all(Fails(&[NotFound], "404")),
        );
    }
    let gone = Fails(&[NotFound], "404");
    cases.extend([
        Case::new(30, "BLOB_UPLOAD_UNKNOWN, once")
            .once(coded(404, "BLOB_UPLOAD_UNKNOWN"))
            .on(UPLOADS, Ok)
            .on(&[Mount, ManifestHead], Ok)
            .on(&[BlobHead, Referrers], Absent)
            .all(gone),
        Case::new(30, "BLOB_UPLOAD_UNKNOWN")
            .always(coded(404, "BLOB_UPLOAD_UNKNOWN"))
            .on(&[Mount], Ok)
            .on(&[BlobHead, Referrers], Absent)
            .on(&[Chunked], Ok)
            .all(gone),
        Case::new(30, "BLOB_UPLOAD_INVALID, once")
            .once(coded(404, "BLOB_UPLOAD_INVALID"))
            .on(UPLOADS, Ok)
            .none("only uploads get this code"),
        Case::new(31, "405, once")
            .once(status(405))
            .on(HEADS, Ok)
            .on(UPLOADS, Ok)
            .on(&[Mount], Ok)
            .on(&[Referrers], Absent)
            .all(Fails(&[Unsupported], "405")),
        Case::new(31, "501")
            .always(status(501))
            .on(&[Mount, Chunked], Ok)
            .on(&[Referrers], Absent)
            .all(Fails(&[Unsupported], "501")),
        Case::new(31, "405 to a POST with a digest")
            .times(At::Written("POST", "?digest="), usize::MAX, status(405))
            .on(&[Copy], Ok)
            .none("the operation sends no content in a POST"),
        Case::new(32, "408, once").once(status(408)).all(Ok),
        Case::new(32, "409").always(status(409)).on(&[Mount], Ok).all(Fails(&[Conflict], "409")),
        Case::new(32, "412").always(status(412)).on(&[Mount], Ok).all(Fails(&[Conflict], "412")),
        Case::new(33, "413").always(status(413)).on(&[Mount], Ok).all(Fails(&[TooLarge], "413")),
        Case::new(33, "413, once").once(status(413)).on(&[Monolithic], Ok).none("see 413"),
        Case::new(34, "416 with text, once")
            .once(text(416, "too large"))
            .on(&[Mount, BlobResume], Ok)
            .on(&[ManifestHead], Ok)
            .on(UPLOADS, Ok)
            .all(Fails(&[Invalid], "416")),
        Case::new(35, "416 with Location and Range, once")
            .once(Fault::Reply(416, vec![("location", "/x"), ("range", "0-9")]))
            .on(&[Mount, BlobResume], Ok)
            .on(&[ManifestHead], Ok)
            .on(UPLOADS, Ok)
            .all(Fails(&[Invalid], "416")),
        Case::new(36, "416, once")
            .once(status(416))
            .on(&[Mount, BlobResume], Ok)
            .on(&[ManifestHead], Ok)
            .on(UPLOADS, Ok)
            .all(Fails(&[Invalid], "416")),
        Case::new(36, "416").always(status(416)).on(&[Mount], Ok).all(Fails(&[Invalid], "416")),
    ]);
    cases
}

/// F37 to F42: rate limits and failures of servers.
pub(super) fn waits() -> Vec<Case> {
    let status = |status| Fault::Reply(status, vec![]);
    let limited = |wait| Fault::Reply(429, vec![("retry-after", wait)]);
    let mut cases = vec![
        Case::new(37, "429 with 2 seconds")
            .once(limited("2"))
            .at_least(Duration::from_secs(2))
            .all(Ok),
        Case::new(38, "429 with a date")
            .once(Fault::Reply(429, vec![("date", DATE), ("retry-after", DATE_AFTER)]))
            .at_least(Duration::from_secs(1))
            .all(Ok),
        Case::new(39, "429 with a day")
            .once(limited("86400"))
            .all(Fails(&[RateLimited], "86400 seconds")),
        Case::new(39, "429 with 2^64 seconds")
            .once(limited("18446744073709551616"))
            .all(Fails(&[RateLimited], "seconds")),
        Case::new(39, "429 with -1").once(limited("-1")).all(Ok),
        Case::new(39, "429 with text").once(limited("soon")).all(Ok),
        Case::new(40, "429 always").always(status(429)).all(Fails(&[RateLimited], "429")),
        Case::new(42, "503 always")
            .always(status(503))
            .on(&[Mount], Ok)
            .all(Fails(&[Transport], "503")),
    ];
    for (name, fault, code) in [
        ("500, once", 41, 500),
        ("502, once", 41, 502),
        ("503, once", 41, 503),
        ("504, once", 41, 504),
        ("499, once", 42, 499),
        ("520, once", 42, 520),
        ("522, once", 42, 522),
        ("524, once", 42, 524),
    ] {
        cases.push(Case::new(fault, name).once(status(code)).all(Ok));
    }
    cases
}

const INSUFFICIENT: &str =
    "Bearer realm=\"/token\",service=\"longshore\",error=\"insufficient_scope\"";
/// The time at the server, and a second later. The clock of the client does not matter.
const DATE: &str = "Fri, 01 Jan 2100 00:00:00 GMT";
const DATE_AFTER: &str = "Fri, 01 Jan 2100 00:00:01 GMT";
