//! `WWW-Authenticate` headers. Each line of the input is the value of one header.

use http::header::WWW_AUTHENTICATE;
use longshore::fuzzing::{Bearer, Offer, challenges};

use super::{headers, quoted, texts};

/// Checks that a parsed challenge, printed in its simplest form, parses to the same value.
pub fn run(data: &[u8]) -> bool {
    let Some(lines) = headers(&WWW_AUTHENTICATE, data) else {
        return false;
    };
    let Ok(offers) = challenges(&lines) else {
        return false;
    };
    let printed: Vec<String> = offers.iter().map(print).collect();
    let printed = printed.join(", ");
    // Quoting may make the text longer than the parser's limit.
    if printed.len() <= HEADER_LIMIT {
        let lines = headers(&WWW_AUTHENTICATE, printed.as_bytes()).expect("no control characters");
        assert_eq!(challenges(&lines).as_ref(), Ok(&offers), "{printed}");
    }
    true
}

fn print(offer: &Offer) -> String {
    let Some(Bearer { realm, service, scopes }) = &offer.bearer else {
        return offer.scheme.clone();
    };
    let mut printed = format!("{} realm={}", offer.scheme, quoted(realm));
    if let Some(service) = service {
        printed += &format!(",service={}", quoted(service));
    }
    for scope in scopes {
        // The parser merges repeated scopes, which may then exceed the limit of one scope.
        let whole = scope.to_string();
        let name = whole.rsplit_once(':').expect("a scope has the form type:name:actions").0;
        for actions in scope.actions().chunks(ACTION_LIMIT) {
            printed += &format!(",scope={}", quoted(&format!("{name}:{}", actions.join(","))));
        }
    }
    printed
}

/// 16 KiB, the limit of the parser.
const HEADER_LIMIT: usize = 16 << 10;
/// 64, the limit of the parser.
const ACTION_LIMIT: usize = 64;

/// Headers of real registries, and rows of the parser's tables.
pub fn seeds() -> Vec<Vec<u8>> {
    texts(&[
        r#"Bearer realm="https://auth.docker.io/token",service="registry.docker.io",scope="repository:samalba/my-app:pull,push""#,
        r#"Bearer realm="https://r",service="s",scope="repository:a:pull repository:b:pull,push""#,
        r#"bearer scope="repository:a:pull,push" , service=r, realm=https://a.example/t"#,
        r#"Bearer realm="https:\/\/a.example/t", Basic realm="x, y""#,
        "Basic realm=x\nBearer realm=\"https://a.example/t\",error=\"invalid_token\"",
        "Negotiate YWJj==, Basic realm=x",
        r#"Digest realm="a", qop="auth,auth-int""#,
        r#"Bearer realm="a",realm="b""#,
        "Bearer realm=\"https://a.example\\",
        "Basic",
        "=x",
    ])
}
