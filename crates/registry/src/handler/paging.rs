//! Pages of name listings: the count, the start, and the link to the next page.

use std::fmt::Display;

use bytes::Bytes;
use futures_util::{Stream, StreamExt as _, TryStreamExt as _, future, stream};
use http::header::{CONTENT_TYPE, LINK};
use http::{HeaderValue, Response, StatusCode};
use longshore_core::{BlobStream, ErrorCode, Pages, Result as Listed};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Serialize;

use super::{Answer, Call};
use crate::reply::{self, About, Refusal};
use crate::response_body::Body;

/// Answers with a JSON object whose last member is a list of names.
///
/// - `count`: the result of [`count`].
/// - `path`: the path of this listing.
/// - `start`: the JSON of the object up to the opening bracket of the list.
/// - `list`: returns the names in order from the requested start. It is called twice: to find the
///   end of the page, and to send it.
///
/// With `n`, sends one page. Without `n`, sends all names up to
/// [`listing_size`](crate::RegistryLimits::listing_size) bytes, because many clients never request
/// a second page. A listing of more than 64 KiB is read while it is sent.
pub(super) async fn names<T>(
    call: &Call<'_>,
    count: Option<usize>,
    path: &str,
    start: String,
    list: impl Fn() -> Pages<T>,
) -> Answer
where
    T: Clone + Display + Ord + Serialize + Send + Sync + 'static,
{
    let fitting = fitting(list(), count, call.limits.listing_size).await?;
    let mut response = reply::empty(StatusCode::OK);
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    if let Some(last) = fitting.last.as_ref().filter(|_| fitting.more) {
        let (last, n) = (last.to_string(), count.map(|n| n.to_string()));
        let n = n.as_ref().map(|n| ("n", n.as_str()));
        let parameters: Vec<_> = [("last", last.as_str())].into_iter().chain(n).collect();
        link(&mut response, path, &parameters)?;
    }
    let last = fitting.last;
    // A name after `last` that was added in the meantime belongs to the next page.
    let within = move |name: &T| {
        fitting.more.then_some(&last).is_none_or(|last| Some(name) <= last.as_ref())
    };
    let document = BlobStream::new(document(start, list(), within));
    *response.body_mut() = match fitting.size {
        size if size > STREAMED => Body::stream(document),
        _ => {
            Body::of(document.bytes(2 * STREAMED).await.map_err(|e| About::Repository.refuse(&e))?)
        }
    };
    Ok(response)
}

/// The names of a listing that fit into one reply.
struct Fitting<T> {
    last: Option<T>,
    /// The size of the names as JSON, in bytes.
    size: usize,
    /// True if the listing has more names.
    more: bool,
}

/// Determines which names fit into one reply.
async fn fitting<T: Serialize + Send + 'static>(
    mut names: Pages<T>,
    count: Option<usize>,
    limit: usize,
) -> Result<Fitting<T>, Refusal> {
    let mut fitting = Fitting { last: None, size: 0, more: false };
    let (mut left, limit) = count.map_or((usize::MAX, limit), |count| (count, usize::MAX));
    let mut text = Vec::new();
    while let Some(page) = names.try_next().await.map_err(|e| About::Repository.refuse(&e))? {
        for name in page.items {
            text.clear();
            add_json(&mut text, &name);
            let size = fitting.size + text.len() + 1;
            if left == 0 || size > limit {
                fitting.more = true;
                return Ok(fitting);
            }
            left -= 1;
            fitting.size = size;
            fitting.last = Some(name);
        }
    }
    Ok(fitting)
}

/// Returns the JSON document in chunks, one for each page of the listing.
fn document<T: Serialize + Send + Sync + 'static>(
    start: String,
    names: Pages<T>,
    within: impl Fn(&T) -> bool + Clone + Send + 'static,
) -> impl Stream<Item = Listed<Bytes>> + Send {
    let one = |text: String| stream::iter([Ok(text.into())]);
    let mut is_first = true;
    let reaches = within.clone();
    let pages = names.try_take_while(move |page| {
        // The names are in order, so no name follows a page that starts after the last one.
        future::ready(Ok(page.items.first().is_none_or(&reaches)))
    });
    let chunks = pages.map_ok(move |page| {
        let mut text = Vec::new();
        for name in page.items.iter().take_while(|name| within(name)) {
            if !std::mem::take(&mut is_first) {
                text.push(b',');
            }
            add_json(&mut text, name);
        }
        Bytes::from(text)
    });
    one(start + "[").chain(chunks).chain(one("]}".to_owned()))
}

/// Adds a name as JSON. Names that follow the specification's grammar always have a JSON form.
fn add_json(text: &mut Vec<u8>, name: &impl Serialize) {
    serde_json::to_writer(text, name).ok();
}

/// Returns the requested number of items, limited to the registry's maximum, or `None` without `n`.
pub(super) fn count(call: &Call<'_>) -> Result<Option<usize>, Refusal> {
    let refused = |message: String| {
        Refusal::new(StatusCode::BAD_REQUEST, ErrorCode::PAGINATION_NUMBER_INVALID, message)
    };
    let asked = call.query.one("n").map_err(|e| refused(e.to_string()))?;
    let Some(asked) = asked else {
        return Ok(None);
    };
    let digits = asked.bytes().all(|b| b.is_ascii_digit());
    match asked.parse::<i64>() {
        Ok(n) if digits => {
            Ok(Some(usize::try_from(n).map_or(call.limits.page, |n| n.min(call.limits.page))))
        }
        _ => Err(refused("expected n to be a whole number".to_owned())),
    }
}

/// Returns the name after which the listing starts, or `None` for the beginning.
pub(super) fn last<'c>(call: &'c Call<'_>) -> Result<Option<&'c str>, Refusal> {
    let last = call.query.one("last");
    let last = last.map_err(|e| Refusal::invalid(ErrorCode::PAGINATION_NUMBER_INVALID, &e))?;
    Ok(last.filter(|last| !last.is_empty()))
}

/// Adds a link to the next page.
pub(super) fn link(
    response: &mut Response<Body>,
    path: &str,
    parameters: &[(&str, &str)],
) -> Result<(), Refusal> {
    let query: Vec<_> = parameters
        .iter()
        .map(|(key, value)| format!("{key}={}", utf8_percent_encode(value, ESCAPED)))
        .collect();
    let link = format!("<{path}?{}>; rel=\"next\"", query.join("&"));
    response.headers_mut().insert(LINK, reply::header_value(&link)?);
    Ok(())
}

/// All characters except the unreserved characters of RFC 3986.
const ESCAPED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');
/// 64 KiB: shorter listings are built in memory and sent with their length.
const STREAMED: usize = 64 << 10;
