//! F43 to F50 and F64: success without content, redirects, upload sessions and mounts.

use longshore::ErrorKind::{DigestMismatch, Invalid, Protocol, SizeMismatch};
use longshore_testkit::fault::{Fault, Reply};

use super::{BLOBS, HEADS, UPLOADS};
use crate::matrix::case::Outcome::{self, Fails, Ok};
use crate::matrix::case::{At, Case, Injection};
use crate::matrix::operation::Operation::{
    BlobHead, Catalog, Chunked, Copy, Delete, DigestGet, ManifestHead, ManifestPut, Monolithic,
    Mount, Ping, Referrers, TagGet, Tags,
};
use crate::matrix::setting::{Setting, Wire};

/// F43 to F49: success without content, and redirects.
pub(super) fn redirects() -> Vec<Case> {
    let page = Reply::new(200).with("content-type", "text/html").body("<html>log in</html>");
    let empty = Fault::Reply(200, vec![]);
    let far = |times, after: &'static str| {
        move |setting: &Setting<'_>| {
            let fault = Fault::Redirect(setting.far_url(), after);
            vec![Injection { at: At::Main, times, fault }]
        }
    };
    let odd = Fails(&[Protocol], "");
    let mut cases = vec![
        Case::new(43, "a web page from every URL")
            .times(At::Any, usize::MAX, Fault::Write(page.bytes().into()))
            .on(BLOBS, Fails(&[SizeMismatch, Protocol], ""))
            .on(&[BlobHead], Fails(&[SizeMismatch], ""))
            .all(Fails(&[Protocol], "web page")),
        Case::new(44, "nothing from every URL")
            .times(At::Any, usize::MAX, empty)
            .on(&[Ping], Ok)
            .on(BLOBS, Fails(&[SizeMismatch, Protocol, Invalid], ""))
            .on(&[BlobHead], Fails(&[SizeMismatch], ""))
            .on(&[DigestGet], Fails(&[DigestMismatch], "digest"))
            .on(&[ManifestHead, TagGet, Tags, Catalog, Referrers], Fails(&[Protocol, Invalid], ""))
            .on(&[Monolithic, Chunked, Mount, ManifestPut], Fails(&[Protocol], "200"))
            .none("an empty reply with status 200 is a valid reply to a deletion"),
        Case::new(45, "202 instead of 200 or 201")
            .once(Fault::change(|reply| {
                if matches!(reply.status, 200 | 201 | 206) {
                    reply.status = 202;
                }
            }))
            .on(&[ManifestHead, ManifestPut, Chunked, Delete], Ok)
            .on(&[Mount], Ok)
            .all(Fails(&[Protocol], "202")),
        Case::new(45, "201 instead of 202")
            .once(Fault::change(|reply| {
                if reply.status == 202 {
                    reply.status = 201;
                }
            }))
            .on(&[Chunked], Ok)
            .none("the reply has another status"),
        Case::new(45, "204 instead of 201")
            .once(Fault::change(|reply| {
                if reply.status == 201 {
                    reply.status = 204;
                }
            }))
            .on(&[Monolithic, ManifestPut], Ok)
            .none("the reply has another status"),
        Case::new(46, "a redirect to a storage service")
            .with(far(usize::MAX, ""))
            .redirects()
            .all(Ok),
        Case::new(47, "a redirect loop")
            .always(Fault::Redirect(String::new(), ""))
            .redirects()
            .all(odd),
        Case::new(47, "10 redirects")
            .times(At::Main, 10, Fault::Redirect(String::new(), ""))
            .redirects()
            .on(UPLOADS, odd)
            .all(Ok),
        Case::new(47, "11 redirects")
            .times(At::Main, 11, Fault::Redirect(String::new(), ""))
            .redirects()
            .on(HEADS, odd)
            .all(odd),
        Case::new(48, "a redirect from https to http")
            .with(|setting| {
                let to = format!("http://127.0.0.1:{}", setting.far.port);
                let fault = Fault::Redirect(to, "");
                vec![Injection { at: At::Main, times: usize::MAX, fault }]
            })
            .only(Wire::Tls)
            .redirects()
            .all(Fails(&[Protocol], "from https to http")),
        Case::new(48, "a redirect to another port and back")
            .with(|setting| {
                let back = setting.url("127.0.0.1", setting.near.port);
                vec![
                    Injection {
                        at: At::Main,
                        times: 1,
                        fault: Fault::Redirect(setting.far_url(), ""),
                    },
                    Injection { at: At::Far("", ""), times: 1, fault: Fault::Redirect(back, "") },
                ]
            })
            .redirects()
            .all(Ok),
    ];
    for (name, before, after, outcome) in [("relative", "", "", Ok), ("a fragment", "", "#x", Ok)] {
        cases.push(
            Case::new(49, name)
                .once(Fault::Redirect(before.to_owned(), after))
                .redirects()
                .all(outcome),
        );
    }
    type Form = fn(&Setting<'_>) -> String;
    let forms: [(&'static str, Form); 4] = [
        ("absolute", |setting| setting.url("127.0.0.1", setting.near.port)),
        ("without a scheme", |setting| format!("//127.0.0.1:{}", setting.near.port)),
        ("another host", |setting| setting.url("localhost", setting.far.port)),
        ("another port", |setting| setting.far_url()),
    ];
    for (name, form) in forms {
        cases.push(
            Case::new(49, name)
                .with(move |setting| {
                    let fault = Fault::Redirect(form(setting), "");
                    vec![Injection { at: At::Main, times: 1, fault }]
                })
                .redirects()
                .all(Ok),
        );
    }
    for (name, location) in [("empty", ""), ("junk", "http://[::bad/"), ("a script", "js:x")] {
        cases.push(
            Case::new(49, name)
                .once(Fault::Reply(307, vec![("location", location)]))
                .redirects()
                .all(Fails(&[Protocol], "redirect")),
        );
    }
    cases
}

/// F49 and F50 in replies to uploads, and F64.
pub(super) fn uploads() -> Vec<Case> {
    let begun = At::Written("POST", "/uploads/");
    let mut cases = Vec::new();
    type Form = fn(&str) -> String;
    let forms: [(&'static str, Form, Outcome); 6] = [
        ("session: relative", path_of, Ok),
        ("session: a query", |url| format!("{url}?x=%2B"), Ok),
        ("session: a fragment", |url| format!("{url}#x"), Ok),
        ("session: empty", |_| String::new(), Fails(&[Protocol], "Location")),
        ("session: junk", |_| "http://[::bad/".to_owned(), Fails(&[Protocol], "Location")),
        (
            "session: a user",
            |_| "http://u:p@127.0.0.1/x".to_owned(),
            Fails(&[Protocol], "Location"),
        ),
    ];
    for (name, form, outcome) in forms {
        let fault = Fault::change(move |reply: &mut Reply| {
            if let Some(url) = reply.header("location").filter(|_| reply.status == 202) {
                reply.set("location", form(url));
            }
        });
        cases.push(
            Case::new(49, name)
                .times(begun, usize::MAX, fault)
                .on(UPLOADS, outcome)
                .on(&[Copy], outcome)
                .none("the operation begins no upload"),
        );
    }
    for (name, range) in [
        ("no range", None),
        ("0-0", Some("0-0")),
        ("0--1", Some("0--1")),
        ("bytes=0-9", Some("bytes=0-8")),
        ("only the last chunk", Some("5-9")),
        ("beyond the end", Some("0-999999999")),
    ] {
        let fault = Fault::change(move |reply| match range {
            None => reply.remove("range"),
            Some("bytes=0-8") => {
                let range = reply.header("range").unwrap_or("0-0").to_owned();
                reply.set("range", format!("bytes={range}"));
            }
            Some(range) => reply.set("range", range),
        });
        cases.push(
            Case::new(50, name)
                .with(move |_| {
                    let at = |method| At::Written(method, "/uploads/");
                    let reset = || Fault::ResetRequest(70_000);
                    vec![
                        Injection { at: at("PUT"), times: 1, fault: reset() },
                        Injection { at: at("PATCH"), times: 1, fault: Fault::ResetRequest(9) },
                        Injection { at: at("GET"), times: 1, fault: fault.clone() },
                    ]
                })
                .on(UPLOADS, Ok)
                .on(&[Copy], Ok)
                .none("the operation sends no content in an upload"),
        );
    }
    cases.push(
        Case::new(50, "stuck")
            .times(
                At::Written("PATCH", "/uploads/"),
                usize::MAX,
                Fault::change(|reply| reply.set("range", "0-9")),
            )
            .on(&[Chunked], Ok)
            .none("the operation sends no chunks"),
    );
    for (name, status) in
        [("400", 400), ("404", 404), ("405", 405), ("500", 500), ("no mount", 202)]
    {
        let fault = match status {
            202 => Fault::change(|reply| {
                reply.status = 202;
            }),
            status => Fault::Reply(status, vec![]),
        };
        cases.push(Case::new(64, name).always(fault).on(&[Mount], Ok).none("no blob is mounted"));
    }
    cases
}

/// Returns the path and query of a URL.
fn path_of(url: &str) -> String {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    rest.find('/').map_or_else(|| url.to_owned(), |start| rest[start..].to_owned())
}
