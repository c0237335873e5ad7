//! Manifests with a subject, and the listing of referrers.

use http::Method;
use longshore_core::Digest;

use crate::harness::{INDEX, Manifest, Reply, on_each_storage};

fn digests(reply: &Reply) -> Vec<String> {
    let manifests = reply.json()["manifests"].as_array().unwrap().clone();
    let digests = manifests.iter().map(|m| m["digest"].as_str().unwrap().to_owned());
    digests.collect()
}

#[tokio::test]
async fn referrers_are_listed_before_and_after_their_subject_is_pushed() {
    on_each_storage(async |client| {
        let subject = Manifest::image(&[b"subject"]);
        let digest = subject.digest();
        let path = format!("/v2/a/referrers/{digest}");
        let none = client.get(&path).await.expect(200);
        assert_eq!(none.header("content-type"), INDEX);
        assert_eq!(none.json()["mediaType"], INDEX);
        assert_eq!(none.json()["schemaVersion"], 2);
        assert!(digests(&none).is_empty());

        client.push_blob("a", b"{}").await;
        let refers = |more: &str| {
            let more = format!(r#","subject":{}{more}"#, subject.descriptor());
            Manifest::image_with(&[], &more)
        };
        let typed =
            refers(r#","artifactType":"application/vnd.example.sbom","annotations":{"k":"v"}"#);
        let untyped = refers("");
        for referrer in [&typed, &untyped] {
            let put = client.put_manifest("a", referrer.digest().as_str(), referrer).await;
            assert_eq!(put.expect(201).header("oci-subject"), digest.as_str());
        }
        let all = client.get(&path).await.expect(200);
        let mut expected = [typed.digest().to_string(), untyped.digest().to_string()];
        expected.sort();
        assert_eq!(digests(&all), expected);
        assert!(!all.headers.contains_key("oci-filters-applied"));
        let manifests = all.json()["manifests"].as_array().unwrap().clone();
        let of = |digest: &Digest| {
            let mut found = manifests.iter().filter(|m| m["digest"] == digest.as_str());
            found.next().unwrap().clone()
        };
        assert_eq!(of(&typed.digest())["annotations"]["k"], "v");
        assert_eq!(of(&typed.digest())["artifactType"], "application/vnd.example.sbom");
        // Without an artifact type, the media type of the config is used.
        assert_eq!(
            of(&untyped.digest())["artifactType"],
            "application/vnd.oci.image.config.v1+json"
        );

        client.push_blob("a", b"subject").await;
        let put = client.put_manifest("a", "v1", &subject).await.expect(201);
        assert!(!put.headers.contains_key("oci-subject"));
        assert_eq!(digests(&client.get(&path).await), expected);

        let gone = format!("/v2/a/manifests/{}", typed.digest());
        client.delete(&gone).await.expect(202);
        assert_eq!(digests(&client.get(&path).await), [untyped.digest().to_string()]);
    })
    .await;
}

#[tokio::test]
async fn an_artifact_type_filter_matches_literally_and_is_reported_as_applied() {
    on_each_storage(async |client| {
        client.push_blob("a", b"{}").await;
        let subject = Manifest::image(&[b"absent"]);
        let refers = |artifact_type: &str| {
            let subject = subject.descriptor();
            let more = format!(r#","subject":{subject},"artifactType":"{artifact_type}""#);
            Manifest::image_with(&[], &more)
        };
        let (sbom, signature) = (refers("application/x.sbom+json"), refers("application/x.sig"));
        for referrer in [&sbom, &signature] {
            client.put_manifest("a", referrer.digest().as_str(), referrer).await.expect(201);
        }
        for (filter, expected) in [
            ("application/x.sbom+json", vec![sbom.digest()]),
            ("application%2Fx.sbom%2Bjson", vec![sbom.digest()]),
            ("application/x.sig", vec![signature.digest()]),
            ("application/other", vec![]),
            ("a%26b", vec![]),
            ("%1b%5b31m", vec![]),
        ] {
            let path = format!("/v2/a/referrers/{}?artifactType={filter}", subject.digest());
            let reply = client.get(&path).await.expect(200);
            assert_eq!(reply.header("oci-filters-applied"), "artifactType");
            let expected: Vec<_> = expected.iter().map(ToString::to_string).collect();
            assert_eq!(digests(&reply), expected, "{filter}");
        }
        let bad = client.get("/v2/a/referrers/sha256:bad").await;
        bad.expect_error(400, "DIGEST_INVALID");
        let posted = client.request(Method::POST, "/v2/a/referrers/sha256:bad", &[], "").await;
        posted.expect(400);
    })
    .await;
}

#[tokio::test]
async fn a_page_of_referrers_links_to_the_next_page() {
    on_each_storage(async |client| {
        client.push_blob("a", b"{}").await;
        let subject = Manifest::image(&[b"absent"]);
        let mut expected = Vec::new();
        // Each referrer has more than 1 MiB of annotations, so that three fit on a page of 4 MiB.
        for i in 0..6 {
            let subject = subject.descriptor();
            let long = "x".repeat(1 << 20);
            let more = format!(r#","subject":{subject},"annotations":{{"k":"{i}{long}"}}"#);
            let referrer = Manifest::image_with(&[], &more);
            let digest = referrer.digest().to_string();
            client.put_manifest("a", &digest, &referrer).await.expect(201);
            expected.push(digest);
        }
        expected.sort();
        let (mut path, mut found) = (format!("/v2/a/referrers/{}", subject.digest()), Vec::new());
        let mut pages = 0;
        loop {
            let reply = client.get(&path).await.expect(200);
            found.extend(digests(&reply));
            pages += 1;
            let Some(link) = reply.headers.get("link") else { break };
            let link = link.to_str().unwrap();
            path = link[1..link.find('>').unwrap()].to_owned();
        }
        assert_eq!((pages, found), (2, expected));
    })
    .await;
}
