//! Parses the `Link` header, including the nonstandard forms that registries send.

use http::HeaderMap;
use http::header::LINK;

/// Returns the target of the link to the next page, if there is one.
///
/// Accepts several links in one or more header lines. Relation types may be in any case, quoted or
/// unquoted, and several in one value. A link without `rel` is ignored. A link to the next page
/// that has an empty target ends the listing.
///
/// # Errors
/// A clause that describes the malformed part.
///
/// Source: RFC 8288, section 3; distribution-spec v1.1.1, "Listing Tags".
pub(crate) fn next(headers: &HeaderMap) -> Result<Option<String>, &'static str> {
    for value in headers.get_all(LINK) {
        let text = std::str::from_utf8(value.as_bytes()).map_err(|_| "is not text")?;
        let mut rest = text.trim_start_matches(SEPARATORS);
        while !rest.is_empty() {
            let (target, is_next, after) = link(rest)?;
            // An empty target marks the last page.
            if is_next {
                return Ok(Some(target.to_owned()).filter(|target| !target.is_empty()));
            }
            rest = after.trim_start_matches(SEPARATORS);
        }
    }
    Ok(None)
}

/// Parses one link. Returns its target, whether it leads to the next page, and the text after it.
fn link(text: &str) -> Result<(&str, bool, &str), &'static str> {
    let text = text.strip_prefix('<').ok_or("does not start with '<'")?;
    let (target, mut rest) = text.split_once('>').ok_or("has '<' without '>'")?;
    let mut is_next = false;
    while let Some(parameter) = rest.trim_start().strip_prefix(';') {
        let (name, value, after) = parameter_of(parameter)?;
        if name.eq_ignore_ascii_case("rel") {
            is_next |= value.split_ascii_whitespace().any(|r| r.eq_ignore_ascii_case("next"));
        }
        rest = after;
    }
    Ok((target, is_next, rest))
}

/// Parses `name=value`, with a quoted or unquoted value, and returns the text after it.
fn parameter_of(text: &str) -> Result<(&str, &str, &str), &'static str> {
    let end = text.find(['=', ';', ',']).unwrap_or(text.len());
    let (name, rest) = (text[..end].trim(), &text[end..]);
    let Some(value) = rest.strip_prefix('=') else {
        return Ok((name, "", rest));
    };
    match value.trim_start().strip_prefix('"') {
        Some(quoted) => {
            let (value, rest) = quoted.split_once('"').ok_or("has a quote that is not closed")?;
            Ok((name, value, rest))
        }
        None => {
            let end = value.find([';', ',']).unwrap_or(value.len());
            Ok((name, value[..end].trim(), &value[end..]))
        }
    }
}

const SEPARATORS: [char; 3] = [' ', '\t', ','];

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn of(lines: &[&'static str]) -> Result<Option<String>, &'static str> {
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append(LINK, HeaderValue::from_static(line));
        }
        next(&headers)
    }

    #[test]
    fn only_a_link_to_the_next_page_is_returned() {
        for (lines, expected) in [
            (&[][..], None),
            (&["</v2/a?last=x>; rel=\"next\""], Some("/v2/a?last=x")),
            (&["</x>; rel=next"], Some("/x")),
            (&["</x>;REL=\"NEXT\""], Some("/x")),
            (&["</x>; title=\"a;b,c\"; rel=\"last next\""], Some("/x")),
            (&["</p>; rel=prev, </x>; rel=next"], Some("/x")),
            (&["</p>; rel=prev", "</x>; rel=next"], Some("/x")),
            (&["</x?a=1,2>; rel=next"], Some("/x?a=1,2")),
            (&["</v2/_catalog?last=b&n=2>; rel=\"next\""], Some("/v2/_catalog?last=b&n=2")),
            (
                &["<https://r/v2/_catalog?n=2&last=x%2Fy>; rel=next"],
                Some("https://r/v2/_catalog?n=2&last=x%2Fy"),
            ),
            (&["</v2/a>; rel=\"prev\", </v2/b>; rel=\"next\""], Some("/v2/b")),
            (&["<>; rel=\"next\""], None),
            (&["</x>"], None),
            (&["</x>; rel"], None),
            (&["</x>; rel=prev"], None),
        ] {
            assert_eq!(of(lines).unwrap().as_deref(), expected, "{lines:?}");
        }
    }

    #[test]
    fn a_malformed_link_is_an_error() {
        for bad in ["</x; rel=next", "/x; rel=next", "</x>; rel=\"next"] {
            assert!(of(&[bad]).is_err(), "{bad}");
        }
    }
}
