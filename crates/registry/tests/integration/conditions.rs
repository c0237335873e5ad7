//! Conditions of the push of a manifest to a tag.

use http::Method;

use crate::harness::{Manifest, on_each_storage};

#[tokio::test]
async fn a_condition_of_a_push_is_checked_with_the_tag_and_confirmed() {
    on_each_storage(async |client| {
        client.push_blob("a", b"{}").await;
        for layer in [b"one", b"two"] {
            client.push_blob("a", layer).await;
        }
        let [one, two] = [b"one", b"two"].map(|layer| Manifest::image(&[&layer[..]]));
        let at = |manifest: &Manifest| format!("\"{}\"", manifest.digest());
        let put = async |manifest: &Manifest, reference: &str, headers: &[(&str, &str)]| {
            let path = format!("/v2/a/manifests/{reference}");
            client.request(Method::PUT, &path, headers, manifest.json.clone()).await
        };
        for (manifest, header, value, status) in [
            (&one, "if-match", at(&one), 412),
            (&one, "if-none-match", "*".to_owned(), 201),
            (&two, "if-none-match", "*".to_owned(), 412),
            (&two, "if-match", at(&two), 412),
            (&two, "if-match", at(&one), 201),
        ] {
            let reply = put(manifest, "v1", &[(header, &value)]).await.expect(status);
            let confirmed = (status == 201).then_some("atomic");
            let found = reply.headers.get("longshore-tag-guard").map(|v| v.to_str().unwrap());
            assert_eq!(found, confirmed, "{header}: {value}");
        }
        let tagged = client.head("/v2/a/manifests/v1").await.expect(200);
        assert_eq!(tagged.header("docker-content-digest"), two.digest().as_str());
        assert!(
            !put(&one, "v2", &[]).await.expect(201).headers.contains_key("longshore-tag-guard")
        );

        // A condition that the registry does not support is refused, not ignored.
        let by_digest = one.digest();
        for (reference, headers) in [
            ("v1", &[("if-match", "*")][..]),
            ("v1", &[("if-match", "\"junk\"")]),
            ("v1", &[("if-none-match", &at(&two))]),
            ("v1", &[("if-none-match", "*"), ("if-match", &at(&two))]),
            (by_digest.as_str(), &[("if-none-match", "*")]),
        ] {
            let reply = put(&one, reference, headers).await.expect(400);
            assert!(reply.json()["errors"][0]["code"] == "UNSUPPORTED", "{headers:?}");
        }
    })
    .await;
}
