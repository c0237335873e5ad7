//! `Link` headers. Each line of the input is the value of one header.

use http::header::LINK;
use longshore::fuzzing::next_link;

use super::{headers, texts};

/// Checks that the target is part of the header, and that a plain link to it has the same target.
pub fn run(data: &[u8]) -> bool {
    let Some(lines) = headers(&LINK, data) else {
        return false;
    };
    let Ok(Some(target)) = next_link(&lines) else {
        return false;
    };
    assert!(!target.is_empty() && target.len() <= data.len(), "{target}");
    let printed = format!("<{target}>; rel=\"next\"");
    let lines = headers(&LINK, printed.as_bytes()).expect("the target was in a header");
    assert_eq!(next_link(&lines), Ok(Some(target)));
    true
}

/// The rows of the parser's tables.
pub fn seeds() -> Vec<Vec<u8>> {
    texts(&[
        "</v2/a?last=x>; rel=\"next\"",
        "</x>;REL=\"NEXT\"",
        "</x>; title=\"a;b,c\"; rel=\"last next\"",
        "</p>; rel=prev, </x>; rel=next",
        "</p>; rel=prev\n</x>; rel=next",
        "<https://r/v2/_catalog?n=2&last=x%2Fy>; rel=next",
        "<>; rel=\"next\"",
        "</x>; rel",
        "</x; rel=next",
        "</x>; rel=\"next",
    ])
}
