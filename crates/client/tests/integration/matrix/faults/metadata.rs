//! F51 to F63: metadata, tokens, and the rest.

use longshore::ErrorKind::{
    DigestMismatch, Invalid, NotFound, Protocol, Timeout, TooLarge, Transport, Unauthorized,
};
use longshore_testkit::fault::{Fault, Reply};

use super::{BLOBS, HEADS, INVALID_TOKEN, MANIFESTS, WRITES};
use crate::matrix::case::Outcome::{Fails, Ok};
use crate::matrix::case::{At, Case, Injection};
use crate::matrix::operation::Operation::{
    self, BlobHead, BlobResume, Catalog, Chunked, Copy, Delete, ManifestPut, Monolithic, Mount,
    Ping, Pull, Referrers, Tags,
};

/// F51 to F53: metadata that is missing or wrong.
pub(super) fn metadata() -> Vec<Case> {
    let zeros = |algorithm: &str, digits| format!("{algorithm}:{}", "0".repeat(digits));
    let set = |name: &'static str, value: String| Fault::change(move |r| r.set(name, &value));
    let unseen = "only the client's caller can compare this header";
    let mut cases = vec![
        Case::new(51, "no digest")
            .always(Fault::change(|reply| reply.remove("docker-content-digest")))
            .all(Ok),
        Case::new(51, "a wrong digest")
            .always(set("docker-content-digest", zeros("sha256", 64)))
            .on(MANIFESTS, Fails(&[DigestMismatch], "digest"))
            .on(&[Monolithic, ManifestPut], Fails(&[DigestMismatch], "digest"))
            .on(&[Ping, BlobHead, Tags, Catalog, Referrers, Chunked, Mount, Delete], Ok)
            .on(BLOBS, Ok)
            .none(unseen),
        Case::new(51, "a digest of another algorithm")
            .always(set("docker-content-digest", zeros("sha512", 128)))
            .on(&[Ping, BlobHead, Tags, Catalog, Referrers], Ok)
            .on(MANIFESTS, Ok)
            .on(BLOBS, Ok)
            .on(WRITES, Ok)
            .none(unseen),
        Case::new(51, "a malformed digest")
            .always(set("docker-content-digest", "sha256:x".to_owned()))
            .all(Ok),
        Case::new(52, "no type")
            .always(Fault::change(|reply| reply.remove("content-type")))
            .all(Ok),
        Case::new(52, "a wrong type")
            .always(set("content-type", INDEX.to_owned()))
            .on(MANIFESTS, Fails(&[Invalid], "type"))
            .all(Ok),
        Case::new(52, "a type with parameters")
            .always(Fault::change(|reply| {
                let media_type = reply.header("content-type").unwrap_or("text/plain").to_owned();
                reply.set("content-type", format!("{media_type}; charset=utf-8"));
            }))
            .all(Ok),
        Case::new(52, "a generic type")
            .always(set("content-type", "application/octet-stream".to_owned()))
            .all(Ok),
    ];
    let link = |form: fn(&str) -> String| {
        Fault::change(move |reply| {
            if let Some(link) = reply.header("link") {
                reply.set("link", form(link));
            }
        })
    };
    let pages: &[Operation] = &[Tags, Catalog];
    let no_pages = "the operation does not read several pages";
    cases.extend([
        Case::new(53, "another host")
            .always(link(|link| link.replacen("</", "<http://other.example/", 1)))
            .on(pages, Fails(&[Protocol], "another host"))
            .none(no_pages),
        Case::new(53, "no rel")
            .always(link(|link| link.split(';').next().unwrap_or_default().to_owned()))
            .on(&[Tags], Ok)
            .none("the listing ends where the registry states no next page"),
        Case::new(53, "junk")
            .always(link(|_| "<http://[::bad/>; rel=\"next\"".to_owned()))
            .on(pages, Fails(&[Protocol], "Link"))
            .none(no_pages),
        Case::new(53, "another path")
            .always(link(|link| link.replacen("/v2/", "/proxy/v2/", 1)))
            .on(pages, Ok)
            .none(no_pages),
        Case::new(53, "itself")
            .always(Fault::change(|reply| {
                reply.set("link", "<?n=2&last=a>; rel=\"next\"");
            }))
            .on(pages, Fails(&[Protocol], "same page"))
            .none(no_pages),
    ]);
    cases
}

/// F54 to F56: tokens.
pub(super) fn tokens() -> Vec<Case> {
    let status = |status| Fault::Reply(status, vec![]);
    let document = |body: &str| {
        let reply = Reply::new(200).with("content-type", "application/json").body(body);
        Fault::Write(reply.bytes().into())
    };
    let page = Reply::new(200).with("content-type", "text/html").body("<html>log in</html>");
    let no_token = |clause| Fails(&[Unauthorized], clause);
    let token = |name, times, fault| Case::new(54, name).times(At::Token, times, fault).fresh();
    let mut cases = vec![
        token("404", usize::MAX, status(404)).all(no_token("404")),
        token("500, once", 1, status(500)).all(Ok),
        token("500", usize::MAX, status(500)).all(Fails(&[Transport], "token service")),
        token("a web page", usize::MAX, Fault::Write(page.bytes().into()))
            .all(no_token("web page")),
        token("nothing", usize::MAX, document("")).all(no_token("token service")),
        token("no end", usize::MAX, Fault::Endless).all(Fails(&[TooLarge], "token service")),
        token("no token", usize::MAX, document("{}")).all(no_token("without a token")),
        token("slow", usize::MAX, Fault::StallRequest(0))
            .stalls()
            .all(Fails(&[Timeout], "token service")),
    ];
    cases.extend([
        Case::new(55, "at the second request")
            .with(|_| {
                let fault = || Fault::Reply(401, vec![("www-authenticate", INVALID_TOKEN)]);
                vec![
                    Injection { at: At::Main, times: 1, fault: Fault::Precede("") },
                    Injection { at: At::Main, times: 1, fault: fault() },
                ]
            })
            .on(&[Chunked, Tags, Catalog], Ok)
            .none("the operation has no second request of this kind"),
        Case::new(55, "at the last request")
            .times(
                At::Written("PUT", "/uploads/"),
                1,
                Fault::Reply(401, vec![("www-authenticate", INVALID_TOKEN)]),
            )
            .on(&[Chunked, Monolithic], Ok)
            .none("the operation has no such request"),
        Case::new(55, "before a later request")
            .once(Fault::Reply(401, vec![("www-authenticate", INVALID_TOKEN)]))
            .on(&[BlobResume, Copy, Pull], Ok)
            .none("the operation has no such request"),
    ]);
    let short = Fault::change(|reply| {
        let text =
            String::from_utf8_lossy(&reply.body).replace("\"expires_in\":300", "\"expires_in\":1");
        reply.set_body(text.into_bytes());
    });
    cases.push(
        Case::new(55, "a lifetime of 1 second").times(At::Token, usize::MAX, short).fresh().all(Ok),
    );
    for (name, time) in [("+1 h", "2100-01-01T00:00:00Z"), ("-1 h", "2001-01-01T00:00:00Z")] {
        let fault = Fault::change(move |reply| {
            let text = String::from_utf8_lossy(&reply.body).into_owned();
            let text = text.replacen('{', &format!("{{\"issued_at\":\"{time}\","), 1);
            reply.set_body(text.into_bytes());
        });
        cases.push(Case::new(56, name).times(At::Token, usize::MAX, fault).fresh().all(Ok));
    }
    cases
}

/// F57 to F63.
pub(super) fn rest() -> Vec<Case> {
    let unknown = r#"{"errors":[{"code":"MANIFEST_BLOB_UNKNOWN","message":"no"}]}"#;
    let unknown = Reply::new(404).with("content-type", "application/json").body(unknown);
    let unknown = move || Fault::Write(unknown.bytes().into());
    let put = At::Written("PUT", "/manifests/");
    vec![
        Case::new(57, "a signed URL expires")
            .with(|setting| {
                let far = |times, after| Injection {
                    at: At::Main,
                    times,
                    fault: Fault::Redirect(setting.far_url(), after),
                };
                let (half, expired) = (setting.ground.half(), Fault::Reply(403, vec![]));
                let first = At::Far("GET", "sig=1");
                vec![
                    far(1, "?sig=1"),
                    far(usize::MAX, "?sig=2"),
                    Injection { at: first, times: 1, fault: Fault::Cut(half / 2) },
                    Injection { at: first, times: usize::MAX, fault: expired },
                ]
            })
            .redirects()
            .on(BLOBS, Ok)
            .none("the operation resumes no download"),
        Case::new(58, "HEAD is refused after a redirect")
            .with(|setting| {
                vec![
                    Injection {
                        at: At::Main,
                        times: usize::MAX,
                        fault: Fault::Redirect(setting.far_url(), ""),
                    },
                    Injection {
                        at: At::Far("HEAD", ""),
                        times: usize::MAX,
                        fault: Fault::Reply(403, vec![]),
                    },
                ]
            })
            .redirects()
            .on(HEADS, Ok)
            .none("the operation sends no HEAD to a storage service"),
        Case::new(58, "the same at the target of a copy")
            .with(|setting| {
                let fault = Fault::Redirect(setting.far_url(), "");
                let refused = Fault::Reply(403, vec![]);
                // A registry that does not mount from the repository itself is queried by HEAD.
                let unsupported = Fault::Reply(405, vec![]);
                vec![
                    Injection {
                        at: At::Written("POST", "?mount="),
                        times: usize::MAX,
                        fault: unsupported,
                    },
                    Injection { at: At::Written("HEAD", "/blobs/"), times: usize::MAX, fault },
                    Injection { at: At::Far("HEAD", ""), times: usize::MAX, fault: refused },
                ]
            })
            .redirects()
            .on(&[Copy], Ok)
            .none("the operation does not check blobs"),
        Case::new(59, "MANIFEST_BLOB_UNKNOWN, once")
            .times(put, 1, unknown())
            .on(&[ManifestPut], Fails(&[NotFound], "MANIFEST_BLOB_UNKNOWN"))
            .on(&[Copy], Ok)
            .none("the operation pushes no manifest"),
        Case::new(59, "MANIFEST_BLOB_UNKNOWN")
            .times(put, usize::MAX, unknown())
            .on(&[ManifestPut, Copy], Fails(&[NotFound], "MANIFEST_BLOB_UNKNOWN"))
            .none("the operation pushes no manifest"),
        Case::new(60, "no space")
            .none("a full disk needs a file system of its own, or a preloaded library"),
        Case::new(61, "EIO")
            .none("a broken disk needs a device of its own, or a preloaded library"),
        // The test `dropped` makes this fault.
        Case::new(62, "a dropped future").all(Ok),
        Case::new(63, "SIGKILL")
            .none("it needs a process of its own: see the program's test `crash`"),
    ]
}

const INDEX: &str = "application/vnd.oci.image.index.v1+json";
