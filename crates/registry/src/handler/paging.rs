//! Pages of a listing: how many, from where, and whether there are more.

use futures_util::TryStreamExt as _;
use http::header::LINK;
use http::{Response, StatusCode};
use longshore_core::{ErrorCode, Pages};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use super::Call;
use crate::reply::{self, About, Body, Refusal};

/// One page, and whether another follows.
pub(super) struct Slice<T> {
    pub(super) items: Vec<T>,
    pub(super) more: bool,
}

/// How many items a request asks for, at most as many as the registry gives.
pub(super) fn count(call: &Call<'_>) -> Result<usize, Refusal> {
    let refused = |message: String| {
        Refusal::new(StatusCode::BAD_REQUEST, ErrorCode::PAGINATION_NUMBER_INVALID, message)
    };
    let asked = call.query.one("n").map_err(|e| refused(e.to_string()))?;
    let Some(asked) = asked else {
        return Ok(call.limits.page);
    };
    let digits = asked.bytes().all(|b| b.is_ascii_digit());
    match asked.parse::<i64>() {
        Ok(n) if digits => {
            Ok(usize::try_from(n).map_or(call.limits.page, |n| n.min(call.limits.page)))
        }
        _ => Err(refused("expected n to be a whole number".to_owned())),
    }
}

/// Where a request wants the listing to go on: after this, or from the start.
pub(super) fn last<'c>(call: &'c Call<'_>) -> Result<Option<&'c str>, Refusal> {
    let last = call.query.one("last");
    let last = last.map_err(|e| Refusal::invalid(ErrorCode::PAGINATION_NUMBER_INVALID, &e))?;
    Ok(last.filter(|last| !last.is_empty()))
}

/// The first `count` items, and whether there are more.
pub(super) async fn slice<T: Send + 'static>(
    pages: Pages<T>,
    count: usize,
) -> Result<Slice<T>, Refusal> {
    let mut listed = pages.items();
    let (mut items, mut more) = (Vec::new(), false);
    while count > 0 && !more {
        match listed.try_next().await {
            Ok(Some(item)) if items.len() < count => items.push(item),
            Ok(Some(_)) => more = true,
            Ok(None) => break,
            Err(e) => return Err(About::Repository.refuse(&e)),
        }
    }
    Ok(Slice { items, more })
}

/// Says where the next page is.
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

/// All but RFC 3986's unreserved characters.
const ESCAPED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');
