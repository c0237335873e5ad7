//! What a token says of itself.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;

use super::scope::Scope;

/// The access that a token claims to give, if it is a JSON Web Token that tells.
///
/// Its signature is not looked at: this is for people to read, and decides nothing.
///
/// Source: Docker Registry v2, "Token Authentication Implementation"; RFC 7519.
pub(super) fn access(token: &str) -> Option<Vec<Scope>> {
    #[derive(Deserialize)]
    struct Claims {
        access: Option<Vec<Access>>,
    }
    #[derive(Deserialize)]
    struct Access {
        #[serde(rename = "type")]
        kind: String,
        name: String,
        actions: Option<Vec<String>>,
    }
    let mut parts = token.split('.');
    let (_header, claims, _signature) = (parts.next()?, parts.next()?, parts.next()?);
    let claims = URL_SAFE_NO_PAD.decode(claims.trim_end_matches('=')).ok()?;
    let claims: Claims = serde_json::from_slice(&claims).ok()?;
    let access = claims.access?.into_iter();
    Some(access.map(|a| Scope::new(a.kind, a.name, a.actions.unwrap_or_default())).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token(claims: &str) -> String {
        format!("e30.{}.c2ln", URL_SAFE_NO_PAD.encode(claims))
    }

    #[test]
    fn a_token_tells_its_access_or_does_not() {
        let told = token(
            r#"{"access":[{"type":"repository","name":"a/b","actions":["pull","push"]},
                {"type":"registry","name":"catalog","actions":null}]}"#,
        );
        let told: Vec<_> = access(&told).unwrap().iter().map(ToString::to_string).collect();
        assert_eq!(told, ["repository:a/b:pull,push", "registry:catalog:"]);
        assert_eq!(access(&token(r#"{"access":[]}"#)), Some(Vec::new()));
        for silent in ["opaque", "a.b.c", "..", &token("{}"), &token("[]"), &token("x")] {
            assert_eq!(access(silent), None, "{silent}");
        }
    }
}
