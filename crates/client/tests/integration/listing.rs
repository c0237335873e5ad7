//! Tags and catalog: pages followed lazily, and never for ever.

use std::num::NonZeroUsize;

use futures_util::StreamExt as _;
use longshore::{ErrorKind, Source as _, Tag};
use longshore_testkit::script::{Exchange, Script};

use crate::{place, quick, remote};

fn tags(query: &str) -> Exchange {
    Exchange::new("GET", format!("/v2/a/b/tags/list?{query}"))
}

async fn names(server: &Script) -> longshore::Result<Vec<String>> {
    let all = remote(server).tags(None).all().await?;
    Ok(all.iter().map(ToString::to_string).collect())
}

#[tokio::test]
async fn pages_are_followed_and_only_when_asked_for() {
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
async fn none_is_written_in_several_ways() {
    for body in ["{\"tags\":null}", "{\"tags\":[]}", "{}", "{\"name\":\"other\"}"] {
        let server = Script::start().await;
        server.expect(tags("n=1000").body(body));
        assert!(names(&server).await.unwrap().is_empty(), "{body}");
        server.finish();
    }
}

#[tokio::test]
async fn what_is_no_list_is_an_error_and_what_is_no_tag_is_left_out() {
    for body in ["{\"tags\":{}}", "{\"tags\":[1]}", "<html>", "", "{\"tags\":[\"a\""] {
        let server = Script::start().await;
        server.expect(tags("n=1000").body(body));
        assert_eq!(names(&server).await.unwrap_err().kind(), ErrorKind::Protocol, "{body}");
        server.finish();
    }
    let server = Script::start().await;
    server.expect(tags("n=1000").body("{\"tags\":[\"v1\",\"sha256:abc\",\"\\u001b[2J\",\"v2\"]}"));
    assert_eq!(names(&server).await.unwrap(), ["v1", "v2"]);
    server.finish();
}

#[tokio::test]
async fn a_page_that_names_itself_ends_the_listing() {
    let server = Script::start().await;
    for query in ["n=1000", "last=a"] {
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
    server.expect(tags("n=1000").header("link", link).body("{\"tags\":[\"a\"]}"));
    let e = names(&server).await.unwrap_err();
    assert!(e.to_string().contains("another host"), "{e}");
    server.finish();
    other.finish();
}

#[tokio::test]
async fn a_page_is_bounded() {
    let server = Script::start().await;
    server.expect(tags("n=1000").body(vec![b' '; (8 << 20) + 1]));
    assert_eq!(names(&server).await.unwrap_err().kind(), ErrorKind::TooLarge);
    server.finish();
}

#[tokio::test]
async fn the_catalog_is_listed_alike() {
    let server = Script::start().await;
    let registry = place(&server).registry().clone();
    server.expect(
        Exchange::new("GET", "/v2/_catalog?n=1000")
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
async fn a_full_page_without_a_link_may_not_be_the_last() {
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
    // One that does not know `last` begins anew, and is not followed in a circle.
    server.expect(page("n=2", "[\"a\",\"b\"]"));
    server.expect(page("n=2&last=b", "[\"a\",\"b\"]"));
    assert_eq!(all().await, ["a", "b"]);
    // One that does not know `n` either has told everything.
    server.expect(page("n=2", "[\"a\",\"b\",\"c\"]"));
    assert_eq!(all().await, ["a", "b", "c"]);
    server.finish();
}
