//! Pages of tags and repositories.

use longshore_registry::{RegistryBuilder, RegistryLimits};
use serde_json::json;

use crate::harness::{Client, Manifest, on_each_storage, on_each_storage_with};

#[tokio::test]
async fn tags_are_sorted_and_paged() {
    on_each_storage(async |client| {
        client.get("/v2/a/tags/list").await.expect_error(404, "NAME_UNKNOWN");
        client.push_blob("a", b"{}").await;
        let image = Manifest::image(&[]);
        for tag in ["b", "a", "A", "_x", "1.0", "1.10", "1.9"] {
            client.put_manifest("a", tag, &image).await.expect(201);
        }
        let list = async |query: &str| {
            let reply = client.get(&format!("/v2/a/tags/list{query}")).await.expect(200);
            let link = reply.headers.get("link").map(|l| l.to_str().unwrap().to_owned());
            let tags = reply.json()["tags"].as_array().unwrap().clone();
            let tags: Vec<_> = tags.iter().map(|t| t.as_str().unwrap().to_owned()).collect();
            (tags.join(" "), link.unwrap_or_default())
        };
        assert_eq!(list("").await, ("1.0 1.10 1.9 A _x a b".into(), String::new()));
        let link = "</v2/a/tags/list?last=1.10&n=2>; rel=\"next\"";
        assert_eq!(list("?n=2").await, ("1.0 1.10".into(), link.into()));
        let link = "</v2/a/tags/list?last=A&n=2>; rel=\"next\"";
        assert_eq!(list("?n=2&last=1.10").await, ("1.9 A".into(), link.into()));
        assert_eq!(list("?last=_x").await, ("a b".into(), String::new()));
        assert_eq!(list("?n=7").await.1, "");
        assert_eq!(list("?n=0").await, (String::new(), String::new()));
        assert_eq!(list("?n=99999&last=zz").await, (String::new(), String::new()));
        // A listing can also start after a tag that does not exist.
        assert_eq!(list("?last=1.5").await.0, "1.9 A _x a b");
        for bad in ["-1", "abc", "9223372036854775808", "1.5", "", "+1"] {
            let refused = client.get(&format!("/v2/a/tags/list?n={bad}")).await;
            refused.expect_error(400, "PAGINATION_NUMBER_INVALID");
        }
        client.get("/v2/a/tags/list?last=%1b").await.expect_error(400, "TAG_INVALID");
        client.delete("/v2/a/manifests/A").await.expect(202);
        assert_eq!(list("").await.0, "1.0 1.10 1.9 _x a b");
    })
    .await;
}

/// Many clients send no `n` and never request a second page.
#[tokio::test]
async fn all_tags_are_returned_on_one_page_if_the_request_has_no_limit() {
    on_each_storage(async |client| {
        let tags = push_many_tags(client).await;
        let reply = client.get("/v2/a/tags/list").await.expect(200);
        assert_eq!(reply.json()["name"], "a");
        assert_eq!(reply.json()["tags"], json!(tags));
        assert!(!reply.headers.contains_key("link"));
        let rest = client.get(&format!("/v2/a/tags/list?last={}", tags[1_999])).await;
        assert_eq!(rest.json()["tags"], json!(tags[2_000..]));
        for query in ["?n=1001", "?n=5000"] {
            let reply = client.get(&format!("/v2/a/tags/list{query}")).await.expect(200);
            assert_eq!(reply.json()["tags"], json!(tags[..1_000]));
            let link = format!("</v2/a/tags/list?last={}&n=1000>; rel=\"next\"", tags[999]);
            assert_eq!(reply.header("link"), link);
        }
    })
    .await;
}

#[tokio::test]
async fn a_listing_beyond_the_size_limit_links_to_the_next_page() {
    let set_up = |builder: RegistryBuilder| {
        let mut limits = RegistryLimits::default();
        limits.listing_size = 100_000;
        builder.limits(limits)
    };
    on_each_storage_with(set_up, async |client| {
        let tags = push_many_tags(client).await;
        let (mut path, mut found, mut pages) = ("/v2/a/tags/list".to_owned(), Vec::new(), 0);
        loop {
            let reply = client.get(&path).await.expect(200);
            assert!(reply.body.len() < 100_100);
            found.extend(reply.json()["tags"].as_array().unwrap().clone());
            pages += 1;
            let Some(link) = reply.headers.get("link") else { break };
            path = link.to_str().unwrap()[1..].split('>').next().unwrap().to_owned();
            assert!(!path.contains("n="), "{path}");
        }
        assert_eq!((pages, found.as_slice() == tags.as_slice()), (3, true));
    })
    .await;
}

/// Pushes 2,005 tags of 100 bytes each. Returns the tags in order.
async fn push_many_tags(client: &Client) -> Vec<String> {
    client.push_blob("a", b"{}").await;
    let image = Manifest::image(&[]);
    let tags: Vec<_> = (0..2_005).map(|i| format!("t{i:099}")).collect();
    for tags in tags.chunks(100) {
        let selector = format!("{}?tag={}", image.digest(), tags.join("&tag="));
        client.put_manifest("a", &selector, &image).await.expect(201);
    }
    tags
}

#[tokio::test]
async fn repositories_are_sorted_and_paged() {
    on_each_storage(async |client| {
        let list = async |query: &str| {
            let reply = client.get(&format!("/v2/_catalog{query}")).await.expect(200);
            let link = reply.headers.get("link").map(|l| l.to_str().unwrap().to_owned());
            (reply.json()["repositories"].to_string(), link.unwrap_or_default())
        };
        assert_eq!(list("").await.0, "[]");
        for name in ["b", "a/b", "a", "a-b", "blobs/uploads", "a/b/c"] {
            client.push_image(name, "v1", b"layer").await;
        }
        // A repository that has only blobs is also listed, whether its blobs were pushed or
        // mounted.
        let digest = client.push_blob("only/blobs", b"x").await;
        list("").await;
        let mount = format!("/v2/only/mounted/blobs/uploads/?mount={digest}&from=only/blobs");
        client.post(&mount).await.expect(201);
        // A repository that has only an open upload is not listed.
        let upload = client.begin("only/begun").await;
        let all = r#"["a","a-b","a/b","a/b/c","b","blobs/uploads","only/blobs","only/mounted"]"#;
        assert_eq!(list("").await, (all.into(), String::new()));
        let link = "</v2/_catalog?last=a%2Fb&n=3>; rel=\"next\"";
        assert_eq!(list("?n=3").await, (r#"["a","a-b","a/b"]"#.into(), link.into()));
        assert_eq!(list("?n=3&last=a%2Fb").await.0, r#"["a/b/c","b","blobs/uploads"]"#);
        client.delete(&upload).await.expect(204);
        client.get("/v2/_catalog?last=A").await.expect_error(400, "NAME_INVALID");
        client.get("/v2/_catalog?n=x").await.expect_error(400, "PAGINATION_NUMBER_INVALID");
    })
    .await;
}
