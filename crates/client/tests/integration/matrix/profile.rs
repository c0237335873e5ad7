//! Quirks of 16 registries and proxies, each with everything that a user does at a registry.
//!
//! The profiles imitate the quirks that users reported, in front of the embedded registry. They do
//! not replace tests with the registries themselves.

use std::sync::Arc;

use longshore::{
    Copier, Delete as _, ErrorKind, MediaType, Memory, Source, Tag, TagOrDigest, Target,
};
use longshore_testkit::fault::{Fault, Reply};
use longshore_testkit::fixture::{Content, Image, Layer};
use longshore_testkit::random;

use super::operation::Operation;
use super::setting::{Ground, Route, Setting, Wire, patient};

/// A registry, with its reply to some requests.
type Quirks = fn(&Setting<'_>) -> Vec<Quirk>;

/// The method and a part of the path of requests, their number, and what happens to them.
type Quirk = (&'static str, &'static str, usize, Fault);

macro_rules! profiles {
    ($($test:ident: $quirks:expr,)*) => {
        $(
            #[tokio::test]
            async fn $test() {
                run($quirks).await;
            }
        )*
    };
}

profiles! {
    everything_works_at_docker_hub: |_| vec![
        ("GET", "/manifests/", 1, Fault::Reply(429, vec![("retry-after", "1")])),
        ("", "/manifests/", ALWAYS, Fault::change(|reply| {
            reply.remove("docker-content-digest");
            reply.set("ratelimit-remaining", "76;w=21600");
        })),
    ],
    everything_works_at_ghcr: |_| vec![
        ("PUT", "/uploads/", ALWAYS, Fault::RefuseLarger(4 << 20, 416)),
        ("PATCH", "/uploads/", ALWAYS, Fault::RefuseLarger(4 << 20, 416)),
        no_referrers(),
        no_subject(),
    ],
    everything_works_at_ecr: |setting| vec![
        ("PATCH", "/uploads/", ALWAYS, Fault::change(|reply| {
            if reply.status == 202 {
                reply.status = 201;
                reply.set("range", "0-9");
            }
        })),
        ("PUT", "/uploads/", ALWAYS, Fault::RefuseLarger(5 << 20, 405)),
        ("PUT", "/manifests/", ALWAYS, Fault::change(|reply| reply.remove("location"))),
        ("GET", "/blobs/sha256", ALWAYS, Fault::Redirect(setting.far_url(), "")),
    ],
    everything_but_the_tag_list_works_at_ecr_public: |_| vec![
        ("GET", "/tags/list", ALWAYS, text(404, "404 page not found")),
    ],
    everything_works_at_acr: |setting| vec![
        ("PUT", "/uploads/", 1, Fault::Reply(401, vec![("www-authenticate", BOTH)])),
        ("GET", "/blobs/sha256", ALWAYS, Fault::Redirect(setting.far_url(), "")),
    ],
    everything_works_at_google: |_| vec![
        ("PATCH", "/uploads/", ALWAYS, Fault::Reply(405, vec![])),
        ("HEAD", "/blobs/", 1, Fault::Reply(401, vec![])),
        ("POST", "/uploads/", ALWAYS, Fault::change(|reply| {
            if let Some(url) = reply.header("location").filter(|_| reply.status == 202) {
                let long = format!("{url}?state={}", "x".repeat(4 << 10));
                reply.set("location", long);
            }
        })),
    ],
    everything_works_at_quay: |_| vec![
        ("POST", "mount=", ALWAYS, text(400, "mount without from")),
    ],
    everything_works_at_harbor: |_| vec![
        ("PUT", "/uploads/", 1, Fault::Reply(401, vec![])),
        ("POST", "/uploads/", ALWAYS, Fault::change(relative)),
        ("PATCH", "/uploads/", ALWAYS, Fault::change(relative)),
        ("HEAD", "/manifests/", ALWAYS, Fault::change(|reply| reply.set("content-length", 7))),
    ],
    everything_works_at_gitlab: |_| vec![
        ("PUT", "/uploads/", 3, Fault::Reply(401, vec![("www-authenticate", EXPIRED)])),
    ],
    everything_works_at_artifactory: |_| vec![
        ("PUT", "/uploads/", ALWAYS, Fault::RefuseLarger(0, 405)),
        ("PATCH", "/uploads/", 1, Fault::Reply(404, vec![])),
        ("GET", "/tags/list", ALWAYS, Fault::change(|reply| {
            let body = String::from_utf8_lossy(&reply.body).into_owned();
            reply.set_body(body.replacen("[", "[\"sha256:0123\",", 1).into_bytes());
        })),
    ],
    everything_works_at_nexus: |_| vec![
        ("HEAD", "/manifests/", ALWAYS, Fault::Reply(404, vec![])),
        ("GET", "/tags/list", ALWAYS, Fault::change(|reply| reply.remove("link"))),
        no_referrers(),
        no_subject(),
    ],
    everything_works_at_zot: |_| vec![
        ("PUT", "/uploads/", 1, Fault::ResetRequest(70_000)),
        ("GET", "/uploads/", ALWAYS, Fault::change(|reply| reply.set("range", "0--1"))),
    ],
    everything_works_at_distribution_2: |_| vec![
        ("POST", "?digest=", ALWAYS, Fault::Reply(400, vec![])),
        no_referrers(),
        no_subject(),
    ],
    everything_works_at_distribution_3: |_| vec![
        ("PUT", "/uploads/", 1, Fault::ResetRequest(70_000)),
        ("GET", "/uploads/", ALWAYS, Fault::change(|reply| reply.set("range", "0-0"))),
        ("DELETE", "/uploads/", ALWAYS, Fault::Reply(403, vec![])),
    ],
    everything_works_at_olareg: |_| vec![
        ("POST", "/uploads/", 2, Fault::Reply(429, vec![])),
    ],
    everything_works_behind_a_compressing_proxy: |_| vec![
        ("GET", "/v2/", ALWAYS, Fault::Compress("gzip")),
    ],
}

/// Logs in, pushes an image and an index, pulls both, lists tags and referrers, deletes, and copies.
async fn run(quirks: Quirks) {
    let ground = Ground::new().await;
    let setting =
        Setting::new(&ground, Operation::Ping, Wire::Plain, Route::Proxy, patient()).await;
    let quirks = quirks(&setting);
    let lists_tags = !quirks
        .iter()
        .any(|quirk| matches!(&quirk.3, Fault::Write(b) if b.starts_with(b"HTTP/1.1 404")));
    for (method, path, times, fault) in quirks {
        setting.near.proxy.inject(method, path, times, fault);
    }
    let own = Arc::new(setting.own());
    let (image, index) = (image(), Image::small_index(5));
    let (local, here) = (Arc::new(Memory::new()), Arc::new(Memory::new()));
    let (image_tag, index_tag) = (tag("image"), tag("index"));
    image.push(&*local, Some(&image_tag)).await;
    index.push(&*local, Some(&index_tag)).await;

    setting.client.check_credentials(&setting.name).await.unwrap();
    for tag in [&image_tag, &index_tag] {
        copy(&local, &own, tag).await;
        copy(&own, &here, tag).await;
    }
    image.assert_in(&*here, &image_tag.clone().into()).await;
    index.assert_in(&*here, &index_tag.clone().into()).await;

    let signature = Image::new("linux/amd64".parse().unwrap())
        .artifact_type("application/x")
        .subject(image.root.descriptor())
        .build();
    signature.push(&*own, None).await;
    let listed = own.referrers(image.root.digest(), None).all().await.unwrap();
    assert_eq!(listed.len(), 1, "{listed:?}");
    let wanted = MediaType::parse("application/y").unwrap();
    assert!(own.referrers(image.root.digest(), Some(&wanted)).all().await.unwrap().is_empty());

    match own.tags(None).all().await {
        Ok(tags) if lists_tags => {
            assert!([&image_tag, &index_tag].iter().all(|tag| tags.contains(tag)), "{tags:?}");
        }
        Err(e) if !lists_tags => assert_eq!(e.kind(), ErrorKind::NotFound),
        other => panic!("{other:?}"),
    }
    copy(&own, &Arc::new(setting.target()), &image_tag).await;
    image.assert_in(&setting.target(), &image_tag.into()).await;

    own.delete_manifest(index.root.digest()).await.unwrap();
    setting.clear_faults();
    let gone = own.manifest(&TagOrDigest::from(index_tag)).await.unwrap_err();
    assert_eq!(gone.kind(), ErrorKind::NotFound);
    assert!(setting.near.proxy.faults_made() > 0, "the registry has no quirk");
}

async fn copy<S, T>(source: &Arc<S>, target: &Arc<T>, tag: &Tag)
where
    S: Source + 'static,
    T: Target + 'static,
{
    let copier = Copier::new(Arc::clone(source) as _, Arc::clone(target) as _);
    copier.copy(&tag.clone().into(), Some(tag)).await.unwrap();
}

/// Returns an image with three layers, of which one has 6 MB.
fn image() -> Content {
    let layer = |seed, size| Layer::gzip(&random::bytes(seed, size));
    let image = Image::new("linux/amd64".parse().unwrap());
    image.layer(layer(1, 100)).layer(layer(2, 6_000_000)).layer(layer(3, 100_000)).build()
}

fn tag(text: &str) -> Tag {
    Tag::parse(text).unwrap()
}

fn text(status: u16, text: &str) -> Fault {
    let reply = Reply::new(status).with("content-type", "text/plain").body(text);
    Fault::Write(reply.bytes().into())
}

fn no_referrers() -> Quirk {
    ("GET", "/referrers/", ALWAYS, Fault::Reply(404, vec![]))
}

fn no_subject() -> Quirk {
    ("PUT", "/manifests/", ALWAYS, Fault::change(|reply| reply.remove("oci-subject")))
}

/// Removes the scheme and host from a `Location`.
fn relative(reply: &mut Reply) {
    let Some(url) = reply.header("location") else { return };
    let path = url.splitn(4, '/').nth(3).map(|path| format!("/{path}"));
    if let Some(path) = path.filter(|_| url.starts_with("http")) {
        reply.set("location", path);
    }
}

const ALWAYS: usize = usize::MAX;
const EXPIRED: &str = "Bearer realm=\"/token\",service=\"longshore\",error=\"invalid_token\"";
const BOTH: &str = "Basic realm=\"r\", Bearer realm=\"/token\",service=\"longshore\"";
