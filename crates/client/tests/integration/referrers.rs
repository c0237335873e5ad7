//! Referrers: the registry's listing, and the fallback index that clients maintain.

use bytes::Bytes;
use longshore::{
    Descriptor, Digest, ErrorKind, Index, MediaType, RawManifest, Source as _, Target as _, graph,
};
use longshore_testkit::script::{Exchange, Script};

use crate::remote;

const INDEX: &str = "application/vnd.oci.image.index.v1+json";

fn subject() -> Digest {
    Digest::sha256(b"subject")
}

fn fallback() -> String {
    format!("/v2/a/b/manifests/{}", subject().as_str().replace(':', "-"))
}

/// Returns an artifact that refers to the subject.
fn artifact(kind: &str) -> RawManifest {
    referring(&Descriptor::new(MediaType::OCI_MANIFEST, subject(), 7), kind)
}

fn referring(subject: &Descriptor, kind: &str) -> RawManifest {
    let config = Descriptor::from_bytes(kind.parse().unwrap(), b"{}");
    let json = format!(
        "{{\"schemaVersion\":2,\"mediaType\":\"{}\",\"config\":{},\"layers\":[],\"subject\":{}}}",
        MediaType::OCI_MANIFEST,
        serde_json::to_string(&config).unwrap(),
        serde_json::to_string(subject).unwrap(),
    );
    RawManifest::from_bytes(Bytes::from(json), None).unwrap()
}

fn listed(manifest: &RawManifest) -> Descriptor {
    graph::referrer(manifest).unwrap().unwrap().1
}

fn index(of: &[Descriptor]) -> Vec<u8> {
    serde_json::to_vec(&Index::new(of.to_vec())).unwrap()
}

fn api(query: &str) -> Exchange {
    Exchange::new("GET", format!("/v2/a/b/referrers/{}{query}", subject()))
}

async fn kinds(server: &Script, wanted: Option<&str>) -> longshore::Result<Vec<String>> {
    let wanted = wanted.map(|kind| kind.parse::<MediaType>().unwrap());
    let all = remote(server).referrers(&subject(), wanted.as_ref()).all().await?;
    Ok(all.iter().map(|d| d.artifact_type.as_ref().unwrap().to_string()).collect())
}

#[tokio::test]
async fn the_registry_or_the_client_filters_the_listing() {
    let both = [listed(&artifact("a/sbom")), listed(&artifact("a/signature"))];
    let server = Script::start().await;
    server.expect(api("").header("content-type", INDEX).body(index(&both)));
    assert_eq!(kinds(&server, None).await.unwrap(), ["a/sbom", "a/signature"]);

    server.expect(api("?artifactType=a%2Fsbom").body(index(&both)));
    assert_eq!(kinds(&server, Some("a/sbom")).await.unwrap(), ["a/sbom"]);

    server.expect(
        api("?artifactType=a%2Fsbom")
            .header("oci-filters-applied", "artifactType")
            .header("link", format!("</v2/a/b/referrers/{}?next=2>; rel=\"next\"", subject()))
            .body(index(&both[..1])),
    );
    server.expect(
        api("?next=2").header("oci-filters-applied", "artifactType").body(index(&both[..1])),
    );
    assert_eq!(kinds(&server, Some("a/sbom")).await.unwrap(), ["a/sbom", "a/sbom"]);
    server.finish();
}

#[tokio::test]
async fn the_fallback_tag_is_read_if_the_registry_has_no_listing() {
    let both = [listed(&artifact("a/sbom")), listed(&artifact("a/signature"))];
    let server = Script::start().await;
    server.expect(api("?artifactType=a%2Fsbom").answer(404));
    server
        .expect(Exchange::new("GET", fallback()).header("content-type", INDEX).body(index(&both)));
    assert_eq!(kinds(&server, Some("a/sbom")).await.unwrap(), ["a/sbom"]);

    server.expect(api("").answer(404));
    server.expect(Exchange::new("GET", fallback()).answer(404));
    assert!(kinds(&server, None).await.unwrap().is_empty());

    let unsupported = "{\"errors\":[{\"code\":\"UNSUPPORTED\"}]}";
    server.expect(api("").answer(400).body(unsupported));
    server.expect(Exchange::new("GET", fallback()).answer(404));
    assert!(kinds(&server, None).await.unwrap().is_empty());

    server.expect(api("").answer(403));
    assert_eq!(kinds(&server, None).await.unwrap_err().kind(), ErrorKind::Denied);

    server.expect(api("").header("content-type", "text/html").body("<html>"));
    assert_eq!(kinds(&server, None).await.unwrap_err().kind(), ErrorKind::Protocol);
    server.finish();
}

#[tokio::test]
async fn a_registry_without_a_listing_refuses_only_one_request() {
    let server = Script::start().await;
    let repository = remote(&server);
    server.expect(api("").answer(404));
    for _ in 0..3 {
        assert!(repository.listed_referrers(&subject()).await.unwrap().is_none());
    }
    let sbom = [listed(&artifact("a/sbom"))];
    server
        .expect(Exchange::new("GET", fallback()).header("content-type", INDEX).body(index(&sbom)));
    assert_eq!(repository.referrers(&subject(), None).all().await.unwrap(), sbom);
    server.finish();
}

#[tokio::test]
async fn a_reply_that_is_no_listing_does_not_show_that_there_is_none() {
    let server = Script::start().await;
    let repository = remote(&server);
    for (status, body) in
        [(404, "{\"errors\":[{\"code\":\"NAME_UNKNOWN\"}]}"), (400, ""), (200, "<html>")]
    {
        server.expect(api("").answer(status).body(body));
        assert!(repository.listed_referrers(&subject()).await.unwrap().is_none(), "{status}");
    }
    let both = [listed(&artifact("a/sbom")), listed(&artifact("a/signature"))];
    let link = format!("</v2/a/b/referrers/{}?next=2>; rel=\"next\"", subject());
    server.expect(api("").header("link", link).body(index(&both[..1])));
    server.expect(api("?next=2").body(index(&both[1..])));
    let found = repository.listed_referrers(&subject()).await.unwrap().unwrap();
    assert_eq!(found.all().await.unwrap(), both);
    // A single refusal does not outweigh a listing.
    server.expect(api("").answer(404));
    assert!(repository.listed_referrers(&subject()).await.unwrap().is_none());
    server.expect(api("").body(index(&both)));
    assert!(repository.listed_referrers(&subject()).await.unwrap().is_some());
    server.finish();
}

#[tokio::test]
async fn the_fallback_index_is_not_written_if_the_registry_lists_referrers() {
    let server = Script::start().await;
    let sbom = artifact("a/sbom");
    server.expect(
        Exchange::new("PUT", format!("/v2/a/b/manifests/{}", sbom.digest()))
            .answer(201)
            .header("oci-subject", subject().as_str()),
    );
    // The client checks only once whether the registry lists referrers.
    server.expect(api("").header("content-type", INDEX).body(index(&[listed(&sbom)])));
    let repository = remote(&server);
    repository.push_manifest(&sbom, None).await.unwrap();
    server.expect(
        Exchange::new("PUT", format!("/v2/a/b/manifests/{}", sbom.digest()))
            .answer(201)
            .header("oci-subject", subject().as_str()),
    );
    repository.push_manifest(&sbom, None).await.unwrap();
    server.finish();
}

#[tokio::test]
async fn the_fallback_index_is_written_if_the_registry_only_claims_support() {
    let server = Script::start().await;
    let repository = remote(&server);
    for (at, kind) in ["a/sbom", "a/signature"].into_iter().enumerate() {
        let manifest = artifact(kind);
        let content = index(&[listed(&manifest)]);
        server.expect(
            Exchange::new("PUT", format!("/v2/a/b/manifests/{}", manifest.digest()))
                .answer(201)
                .header("oci-subject", subject().as_str()),
        );
        if at == 0 {
            server.expect(api("").answer(404));
        }
        server.expect(Exchange::new("GET", fallback()).answer(404));
        server.expect(Exchange::new("PUT", fallback()).sending(content.clone()).answer(201));
        let existing = Exchange::new("GET", fallback()).header("content-type", INDEX).body(content);
        server.expect(existing);
        repository.push_manifest(&manifest, None).await.unwrap();
    }
    server.finish();
}

#[tokio::test]
async fn a_fallback_tag_that_resolves_to_the_subject_is_ignored_and_not_written() {
    let child = Descriptor::from_bytes(MediaType::OCI_MANIFEST, b"child");
    let own = index(std::slice::from_ref(&child));
    // The registry interprets the tag as the digest. It returns the subject, or a rewritten
    // document with the same children.
    let rewritten = [&own[..], b"\n"].concat();
    for served in [own.clone(), rewritten.clone()] {
        let is_other = served != own;
        let subject = Digest::sha256(&own);
        let tag = format!("/v2/a/b/manifests/{}", subject.as_str().replace(':', "-"));
        let get = |at: &str, body: &[u8]| {
            Exchange::new("GET", at).header("content-type", INDEX).body(body.to_vec())
        };
        let server = Script::start().await;
        server.expect(Exchange::new("GET", format!("/v2/a/b/referrers/{subject}")).answer(404));
        server.expect(get(&tag, &served));
        if is_other {
            server.expect(get(&format!("/v2/a/b/manifests/{subject}"), &own));
        }
        let listed = remote(&server).referrers(&subject, None).all().await.unwrap();
        assert!(listed.is_empty(), "{listed:?}");

        let of = Descriptor::new(MediaType::OCI_INDEX, subject.clone(), own.len() as u64);
        let sbom = referring(&of, "a/sbom");
        let put = Exchange::new("PUT", format!("/v2/a/b/manifests/{}", sbom.digest())).answer(201);
        server.expect(put);
        server.expect(get(&tag, &served));
        if is_other {
            server.expect(get(&format!("/v2/a/b/manifests/{subject}"), &own));
        }
        let e = remote(&server).push_manifest(&sbom, None).await.unwrap_err();
        assert_eq!(e.kind(), ErrorKind::Unsupported, "{e}");
        server.finish();
    }
}

#[tokio::test]
async fn without_referrers_support_the_fallback_index_is_merged_and_read_again() {
    let server = Script::start().await;
    let (sbom, signature) = (artifact("a/sbom"), artifact("a/signature"));
    let put = |content: &[Descriptor]| {
        Exchange::new("PUT", fallback())
            .with("content-type", INDEX)
            .sending(index(content))
            .answer(201)
    };
    let get = |content: &[Descriptor]| {
        Exchange::new("GET", fallback()).header("content-type", INDEX).body(index(content))
    };
    let push = |manifest: &RawManifest| {
        Exchange::new("PUT", format!("/v2/a/b/manifests/{}", manifest.digest())).answer(201)
    };
    // Push the first referrer of the subject.
    server.expect(push(&sbom));
    server.expect(Exchange::new("GET", fallback()).answer(404));
    server.expect(put(&[listed(&sbom)]));
    server.expect(get(&[listed(&sbom)]));
    remote(&server).push_manifest(&sbom, None).await.unwrap();
    // Another client overwrites the index. This client then adds its entry to the other client's
    // index.
    server.expect(push(&signature));
    server.expect(Exchange::new("GET", fallback()).answer(404));
    server.expect(put(&[listed(&signature)]));
    server.expect(get(&[listed(&sbom)]));
    server.expect(put(&[listed(&sbom), listed(&signature)]));
    server.expect(get(&[listed(&sbom), listed(&signature)]));
    remote(&server).push_manifest(&signature, None).await.unwrap();
    // Pushing the same referrer again changes nothing.
    server.expect(push(&signature));
    server.expect(get(&[listed(&sbom), listed(&signature)]));
    remote(&server).push_manifest(&signature, None).await.unwrap();
    server.finish();
}
