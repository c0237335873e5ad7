//! Listings of tags and repositories: pages are requested only when needed, and endless listings
//! fail.

use std::num::NonZeroUsize;

use futures_util::StreamExt as _;
use longshore::{ErrorKind, Filter, ListOptions, Namespaces, RepositoryName, Source as _, Tag};
use longshore_testkit::script::{Exchange, Script};

use crate::{place, quick, remote};

fn tags(query: &str) -> Exchange {
    let mark = if query.is_empty() { "" } else { "?" };
    Exchange::new("GET", format!("/v2/a/b/tags/list{mark}{query}"))
}

async fn names(server: &Script) -> longshore::Result<Vec<String>> {
    let all = remote(server).tags(None).all().await?;
    Ok(all.iter().map(ToString::to_string).collect())
}

#[tokio::test]
async fn pages_are_requested_only_when_needed() {
    let server = Script::start().await;
    let repository =
        quick().page_size(NonZeroUsize::new(2).unwrap()).build().repository(&place(&server));
    server.expect(
        tags("n=2&last=a")
            .header("link", "</v2/a/b/tags/list?n=2&last=c>; rel=\"next\"")
            .body("{\"name\":\"a/b\",\"tags\":[\"b\",\"c\"]}"),
    );
    let after = Tag::parse("a").unwrap();
    let mut items = repository.tags(Some(&after)).items();
    for expected in ["b", "c"] {
        assert_eq!(items.next().await.unwrap().unwrap().as_str(), expected);
    }
    server.expect(tags("n=2&last=c").body("{\"tags\":[\"d\"]}"));
    assert_eq!(items.next().await.unwrap().unwrap().as_str(), "d");
    assert!(items.next().await.is_none());
    server.finish();
}

#[tokio::test]
async fn every_form_of_an_empty_list_is_accepted() {
    for body in ["{\"tags\":null}", "{\"tags\":[]}", "{}", "{\"name\":\"other\"}"] {
        let server = Script::start().await;
        server.expect(tags("").body(body));
        assert!(names(&server).await.unwrap().is_empty(), "{body}");
        server.finish();
    }
}

#[tokio::test]
async fn a_malformed_list_is_an_error_and_an_invalid_tag_is_skipped() {
    for body in ["{\"tags\":{}}", "{\"tags\":[1]}", "<html>", "", "{\"tags\":[\"a\""] {
        let server = Script::start().await;
        server.expect(tags("").body(body));
        assert_eq!(names(&server).await.unwrap_err().kind(), ErrorKind::Protocol, "{body}");
        server.finish();
    }
    let server = Script::start().await;
    server.expect(tags("").body("{\"tags\":[\"v1\",\"sha256:abc\",\"\\u001b[2J\",\"v2\"]}"));
    assert_eq!(names(&server).await.unwrap(), ["v1", "v2"]);
    server.finish();
}

#[tokio::test]
async fn a_page_that_links_to_itself_ends_the_listing_with_an_error() {
    let server = Script::start().await;
    for query in ["", "last=a"] {
        let link = "</v2/a/b/tags/list?last=a>; rel=\"next\"";
        server.expect(tags(query).header("link", link).body("{\"tags\":[\"a\"]}"));
    }
    assert_eq!(names(&server).await.unwrap_err().kind(), ErrorKind::Protocol);
    server.finish();
}

#[tokio::test]
async fn a_link_to_another_host_is_not_followed() {
    let (server, other) = (Script::start().await, Script::start().await);
    let link = format!("<{}>; rel=\"next\"", other.url("/v2/a/b/tags/list?last=a"));
    server.expect(tags("").header("link", link).body("{\"tags\":[\"a\"]}"));
    let e = names(&server).await.unwrap_err();
    assert!(e.to_string().contains("another host"), "{e}");
    server.finish();
    other.finish();
}

#[tokio::test]
async fn the_size_of_a_page_is_limited() {
    let server = Script::start().await;
    // A listing that is too large in one reply is requested in pages.
    let too_much = || vec![b' '; (8 << 20) + 1];
    server.expect(tags("").body(too_much()));
    server.expect(tags("n=1000").body("{\"tags\":[\"v1\"]}"));
    assert_eq!(names(&server).await.unwrap(), ["v1"]);
    server.expect(tags("").body(too_much()));
    server.expect(tags("n=1000").body(too_much()));
    assert_eq!(names(&server).await.unwrap_err().kind(), ErrorKind::TooLarge);
    server.finish();
}

#[tokio::test]
async fn the_catalog_is_listed_like_tags() {
    let server = Script::start().await;
    let registry = place(&server).registry().clone();
    server.expect(
        Exchange::new("GET", "/v2/_catalog")
            .header("link", "</v2/_catalog?last=b&n=1000>; rel=\"next\"")
            .body("{\"repositories\":[\"a\",\"Not/Valid\",\"b\"]}"),
    );
    server.expect(
        Exchange::new("GET", "/v2/_catalog?last=b&n=1000").body("{\"repositories\":[\"c/d\"]}"),
    );
    let names = quick().build().catalog(&registry).all().await.unwrap();
    let names: Vec<_> = names.iter().map(|name| name.as_str()).collect();
    assert_eq!(names, ["a", "b", "c/d"]);
    server.finish();
}

#[tokio::test]
async fn after_a_full_page_without_a_link_the_next_page_is_requested() {
    let server = Script::start().await;
    let two =
        || quick().page_size(NonZeroUsize::new(2).unwrap()).build().repository(&place(&server));
    let page = |query: &str, tags: &str| {
        Exchange::new("GET", format!("/v2/a/b/tags/list?{query}"))
            .body(format!("{{\"tags\":{tags}}}"))
    };
    let all = async || {
        let tags = two().tags(None).all().await.unwrap();
        tags.iter().map(ToString::to_string).collect::<Vec<_>>()
    };
    server.expect(page("n=2", "[\"a\",\"b\"]"));
    server.expect(page("n=2&last=b", "[\"c\"]"));
    assert_eq!(all().await, ["a", "b", "c"]);
    // A registry that ignores `last` sends the first page again. The client then ends the listing.
    server.expect(page("n=2", "[\"a\",\"b\"]"));
    server.expect(page("n=2&last=b", "[\"a\",\"b\"]"));
    assert_eq!(all().await, ["a", "b"]);
    // A registry that also ignores `n` sends all tags in the first page.
    server.expect(page("n=2", "[\"a\",\"b\",\"c\"]"));
    assert_eq!(all().await, ["a", "b", "c"]);
    server.finish();
}

fn catalog(query: &str) -> Exchange {
    let mark = if query.is_empty() { "" } else { "?" };
    Exchange::new("GET", format!("/v2/_catalog{mark}{query}"))
}

fn page_of(n: usize) -> Option<NonZeroUsize> {
    NonZeroUsize::new(n)
}

#[tokio::test]
async fn the_start_and_the_page_size_of_a_listing_can_be_set() {
    let server = Script::start().await;
    let place = place(&server);
    let client = quick().build();
    let mut options = ListOptions::default();
    options.after = Some(RepositoryName::parse("a/one").unwrap());
    options.page_size = page_of(1);
    let link = |last: &str| format!("</v2/_catalog?last={last}&n=1>; rel=\"next\"");
    server.expect(
        catalog("n=1&last=a%2Fone")
            .header("link", link("b%2Ftwo"))
            .body("{\"repositories\":[\"b/two\"]}"),
    );
    server.expect(catalog("last=b%2Ftwo&n=1").body("{\"repositories\":[\"lib/img\"]}"));
    let names = client.catalog_with(place.registry(), options).all().await.unwrap();
    assert_eq!(names.iter().map(RepositoryName::as_str).collect::<Vec<_>>(), ["b/two", "lib/img"]);

    let mut options = ListOptions::default();
    options.after = Some(Tag::parse("v1").unwrap());
    options.page_size = page_of(2);
    server.expect(tags("n=2&last=v1").body("{\"tags\":[\"v2\",\"v3\"]}"));
    // The previous page is full and has no link, so the next page is requested.
    server.expect(tags("n=2&last=v3").body("{\"tags\":[\"v4\"]}"));
    let found = client.repository(&place).tags_with(options).all().await.unwrap();
    assert_eq!(found.iter().map(Tag::as_str).collect::<Vec<_>>(), ["v2", "v3", "v4"]);
    server.finish();
}

#[tokio::test]
async fn a_filter_selects_items_of_a_listing() {
    let server = Script::start().await;
    let registry = place(&server).registry().clone();
    let all = r#"{"repositories":["repository1/image1","repository1/image2","repository2/image1","repository3/image2"]}"#;
    for (filter, expected) in [
        (Filter::anywhere("^repository2"), vec!["repository2/image1"]),
        (Filter::anywhere("image2$"), vec!["repository1/image2", "repository3/image2"]),
        (Filter::at_start("REPOSITORY3"), vec!["repository3/image2"]),
        (Filter::at_start("image"), vec![]),
    ] {
        server.expect(catalog("").body(all));
        let filter = filter.unwrap();
        let names = quick().build().catalog(&registry);
        let names = names.filter(move |name| filter.matches(name.as_str())).all().await.unwrap();
        assert_eq!(names.iter().map(RepositoryName::as_str).collect::<Vec<_>>(), expected);
    }
    server.finish();
}

#[tokio::test]
async fn namespaces_are_read_from_the_catalog_and_a_cached_catalog_can_be_refreshed() {
    let server = Script::start().await;
    let registry = place(&server).registry().clone();
    let client = quick().build();
    let all = r#"{"repositories":["debian","testns1/a","testns2/b","testns1/c","bitnami/redis"]}"#;
    server.expect(catalog("").body(all));
    let namespaces = client.namespaces(&registry).await.unwrap();
    assert_eq!(namespaces.names(), ["bitnami", "testns1", "testns2"]);
    assert_eq!(namespaces.repositories("testns1").len(), 2);

    // All five reads require only one request.
    let cached = client.cached_catalog(&registry);
    server.expect(catalog("").body(all));
    for _ in 0..5 {
        assert_eq!(cached.all().await.unwrap().len(), 5);
    }
    server.expect(catalog("").body(r#"{"repositories":["testns1/a"]}"#));
    cached.refresh().await.unwrap();
    let left: Namespaces = cached.all().await.unwrap().iter().cloned().collect();
    assert_eq!(left.names(), ["testns1"], "removed repositories are no longer listed");

    let tags_kept = client.repository(&place(&server)).cached_tags();
    server.expect(tags("").body("{\"tags\":[\"2019\",\"2020\"]}"));
    for _ in 0..2 {
        assert_eq!(tags_kept.all().await.unwrap().len(), 2);
    }
    server.expect(tags("").body("{\"tags\":null}"));
    assert!(tags_kept.refresh().await.unwrap().is_empty());
    server.finish();
}

#[tokio::test]
async fn a_listing_with_another_content_type_is_parsed() {
    for content_type in ["text/plain", "text/html", "application/octet-stream", "junk", "x; y"] {
        let server = Script::start().await;
        server.expect(tags("").header("content-type", content_type).body("{\"tags\":[\"a\"]}"));
        assert_eq!(names(&server).await.unwrap(), ["a"], "{content_type}");
        let registry = place(&server).registry().clone();
        server.expect(
            catalog("").header("content-type", content_type).body("{\"repositories\":[\"a\"]}"),
        );
        assert_eq!(quick().build().catalog(&registry).all().await.unwrap().len(), 1);
        server.finish();
    }
}

#[tokio::test]
async fn trap_08_null_is_an_empty_list() {
    let server = Script::start().await;
    server.expect(tags("").body("{\"name\":\"a/b\",\"tags\":null}"));
    assert!(names(&server).await.unwrap().is_empty());
    let registry = place(&server).registry().clone();
    for body in ["{\"repositories\":null}", "{\"repositories\":[]}", "{}"] {
        server.expect(catalog("").body(body));
        assert!(quick().build().catalog(&registry).all().await.unwrap().is_empty());
    }
    server.finish();
}

#[tokio::test]
async fn trap_18_links_are_followed_only_to_the_next_page_of_the_same_listing() {
    let server = Script::start().await;
    let registry = place(&server).registry().clone();
    let here = server.url("/v2/_catalog");
    let one = || catalog("").body("{\"repositories\":[\"a\"]}");
    let all = async || quick().build().catalog(&registry).all().await;
    // These links are followed: absolute or relative, with parameters in any order, or with a path
    // that a proxy did not rewrite.
    for (link, next) in [
        ("</v2/_catalog?last=b&n=2>; rel=\"next\"".to_owned(), "last=b&n=2"),
        (format!("<{here}?n=2&last=x%2Fy>; rel=\"next\""), "n=2&last=x%2Fy"),
        ("</v2/_catalog?last=b&extra=1&n=2>; rel=next".to_owned(), "last=b&extra=1&n=2"),
        ("</repository/x/v2/_catalog?last=b>; rel=\"next\"".to_owned(), "last=b"),
        ("</v2/a>; rel=\"prev\", </v2/_catalog?last=b>; rel=\"next\"".to_owned(), "last=b"),
    ] {
        server.expect(one().header("link", link));
        server.expect(catalog(next).body("{\"repositories\":[\"b\"]}"));
        assert_eq!(all().await.unwrap().len(), 2, "{next}");
    }
    // These links end the listing: no relation, another relation, an empty target.
    for link in ["</v2/_catalog?last=b>", "</v2/_catalog?last=b>; rel=\"prev\"", "<>; rel=\"next\""]
    {
        server.expect(one().header("link", link));
        assert_eq!(all().await.unwrap().len(), 1, "{link}");
    }
    // These links are refused: another host, another listing.
    for link in ["<https://r.example/v2/_catalog?n=2>; rel=next", "</v2/x/tags/list?n=2>; rel=next"]
    {
        server.expect(one().header("link", link));
        assert_eq!(all().await.unwrap_err().kind(), ErrorKind::Protocol, "{link}");
    }
    // Two pages link to each other.
    server.expect(one().header("link", "</v2/_catalog?last=a>; rel=next"));
    for (query, next) in [("last=a", "last=b"), ("last=b", "last=a")] {
        let link = format!("</v2/_catalog?{next}>; rel=next");
        server.expect(catalog(query).header("link", link).body("{\"repositories\":[\"a\"]}"));
    }
    let e = all().await.unwrap_err();
    assert!(e.to_string().contains("same page token twice"), "{e}");
    server.finish();
}

#[tokio::test]
async fn trap_18_more_than_a_thousand_pages_are_read_to_the_end() {
    let server = Script::start().await;
    let pages = 1_200;
    for n in 0..pages {
        let query = if n == 0 { String::new() } else { format!("last=t{n}&n=1000") };
        let page = tags(&query).body(format!("{{\"tags\":[\"t{}\"]}}", n + 1));
        server.expect(match n + 1 < pages {
            true => {
                let link = format!("</v2/a/b/tags/list?last=t{}&n=1000>; rel=next", n + 1);
                page.header("link", link)
            }
            false => page,
        });
    }
    let mut items = remote(&server).tags(None).items();
    let mut read = 0;
    while let Some(tag) = items.next().await {
        read += 1;
        assert_eq!(tag.unwrap().as_str(), format!("t{read}"));
    }
    assert_eq!(read, pages);
    server.finish();
}
