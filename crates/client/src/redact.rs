//! Removes secrets from URLs for errors and logs. This is the only place that decides which parts
//! of a request's URL are shown.

use http::Uri;

/// Returns the URL without user information. Hides the values of query parameters, except for
/// harmless parameters. The values may be signatures of storage services or upload state.
pub(crate) fn redacted(uri: &Uri) -> String {
    let mut shown = String::new();
    if let (Some(scheme), Some(host)) = (uri.scheme_str(), uri.host()) {
        shown = format!("{scheme}://{host}");
        if let Some(port) = uri.port_u16() {
            shown = format!("{shown}:{port}");
        }
    }
    shown.push_str(uri.path());
    for (i, pair) in uri.query().into_iter().flat_map(|q| q.split('&')).enumerate() {
        shown.push(if i == 0 { '?' } else { '&' });
        match pair.split_once('=') {
            Some((key, _)) if !HARMLESS.contains(&key) => {
                shown.push_str(key);
                shown.push_str("=…");
            }
            Some(_) => shown.push_str(pair),
            // A parameter without `=` may be a secret.
            None if !pair.is_empty() => shown.push('…'),
            None => {}
        }
    }
    shown
}

/// Parameters of the registry protocols that only describe the requested item.
const HARMLESS: [&str; 8] =
    ["artifactType", "digest", "from", "last", "mount", "n", "scope", "service"];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_harmless_query_values_are_shown() {
        let uri: Uri = "https://r.example:5000/v2/a?n=2&X-Amz-Signature=s3cret&_state=x&digest=d"
            .parse()
            .unwrap();
        assert_eq!(
            redacted(&uri),
            "https://r.example:5000/v2/a?n=2&X-Amz-Signature=…&_state=…&digest=d"
        );
        let uri: Uri = "https://r.example/x?s3cret&&n=1".parse().unwrap();
        assert_eq!(redacted(&uri), "https://r.example/x?…&&n=1");
        let uri: Uri = "https://user:s3cret@r.example/x".parse().unwrap();
        assert_eq!(redacted(&uri), "https://r.example/x");
    }
}
