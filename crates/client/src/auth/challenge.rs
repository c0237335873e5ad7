//! Parses `WWW-Authenticate` headers, including the malformed headers that real registries send.

use http::HeaderMap;
use http::header::WWW_AUTHENTICATE;
use serde::{Deserialize, Serialize};

use super::scope::Scopes;

/// An authentication scheme that a server offers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Challenge {
    /// A user name and a password.
    Basic,
    /// A token from a token service.
    Bearer(Bearer),
    /// Any other scheme, by its name.
    Other(String),
}

/// The parameters of a Bearer challenge.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Bearer {
    /// The token service's URL, unparsed.
    pub(crate) realm: String,
    /// The name that the token service uses for the registry.
    pub(crate) service: Option<String>,
    /// The scopes that the registry requires.
    pub(crate) scopes: Scopes,
}

/// A Bearer challenge of a registry, without the scopes, which belong to a request.
///
/// A Basic challenge is not remembered. It does not show whether a later request needs credentials,
/// and a registry that lets everyone read refuses a wrong password even for a read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct KnownChallenge {
    /// The token service's URL, as in the challenge.
    pub(crate) realm: String,
    /// The name that the token service uses for the registry.
    pub(crate) service: Option<String>,
    /// True if the registry also accepts Basic.
    pub(crate) basic: bool,
    /// True if the challenge was received over verified TLS. Anyone on the network path can write
    /// other challenges.
    pub(crate) is_verified: bool,
}

impl KnownChallenge {
    /// Returns true if the challenge may direct the credentials of a registry. A challenge that anyone
    /// on the network path could write must not direct credentials that verified TLS protects.
    pub(crate) fn is_usable(&self, over_verified_tls: bool) -> bool {
        self.is_verified || !over_verified_tls
    }
}

impl Challenge {
    /// Returns the scheme in lower case.
    pub(crate) fn scheme(&self) -> &str {
        match self {
            Self::Basic => "basic",
            Self::Bearer(_) => "bearer",
            Self::Other(scheme) => scheme,
        }
    }

    /// Parses all challenges in a reply's headers.
    ///
    /// # Errors
    /// A clause that describes the malformed part.
    ///
    /// Source: RFC 9110, section 11.6.1; RFC 6750, section 3.
    pub(crate) fn all(headers: &HeaderMap) -> Result<Vec<Self>, &'static str> {
        let mut challenges = Vec::new();
        for value in headers.get_all(WWW_AUTHENTICATE) {
            if value.len() > HEADER_LIMIT {
                return Err("the challenge is longer than 16 KiB");
            }
            let text = std::str::from_utf8(value.as_bytes())
                .map_err(|_| "the challenge is not valid UTF-8")?;
            let mut parser = Parser { rest: text };
            while let Some(challenge) = parser.challenge()? {
                challenges.push(challenge);
                if challenges.len() > CHALLENGE_LIMIT {
                    return Err("there are more than 16 challenges");
                }
            }
        }
        Ok(challenges)
    }

    /// Returns the parts of a registry's challenges that later clients can use.
    pub(crate) fn remember(challenges: &[Self], is_verified: bool) -> Option<KnownChallenge> {
        let bearer = challenges.iter().find_map(|challenge| match challenge {
            Self::Bearer(bearer) => Some(bearer),
            _ => None,
        })?;
        let (realm, service) = (bearer.realm.clone(), bearer.service.clone());
        let basic = challenges.contains(&Self::Basic);
        Some(KnownChallenge { realm, service, basic, is_verified })
    }

    /// Returns the challenges that an earlier client received.
    pub(crate) fn remembered(known: KnownChallenge) -> Vec<Self> {
        let KnownChallenge { realm, service, basic, .. } = known;
        let bearer = Self::Bearer(Bearer { realm, service, scopes: Scopes::default() });
        [bearer].into_iter().chain(basic.then_some(Self::Basic)).collect()
    }
}

struct Parser<'a> {
    rest: &'a str,
}

impl<'a> Parser<'a> {
    fn challenge(&mut self) -> Result<Option<Challenge>, &'static str> {
        self.skip_separators();
        if self.rest.is_empty() {
            return Ok(None);
        }
        let scheme = self.token().to_ascii_lowercase();
        if scheme.is_empty() {
            return Err("the challenge has no scheme");
        }
        let (mut realm, mut service, mut scopes) = (None, None, Scopes::default());
        while let Some((name, value)) = self.parameter()? {
            match name.to_ascii_lowercase().as_str() {
                "realm" if realm.is_some() => return Err("the challenge has two realms"),
                "realm" => realm = Some(value),
                "service" => service = Some(value),
                "scope" => scopes = scopes.and(&Scopes::parse(&value)),
                _ => {}
            }
        }
        match (scheme.as_str(), realm) {
            ("basic", _) => Ok(Some(Challenge::Basic)),
            ("bearer", Some(realm)) => {
                Ok(Some(Challenge::Bearer(Bearer { realm, service, scopes })))
            }
            ("bearer", None) => Err("the Bearer challenge has no realm"),
            _ => Ok(Some(Challenge::Other(scheme))),
        }
    }

    /// Reads `name=value`. Returns `None` at the end, and at the scheme of the next challenge.
    ///
    /// Parameters are separated by commas. Some registries use spaces instead.
    fn parameter(&mut self) -> Result<Option<(&'a str, String)>, &'static str> {
        self.skip_separators();
        let before = self.rest;
        let name = self.token();
        let Some(value) = self.rest.trim_start().strip_prefix('=') else {
            // A token without '=' is the scheme of the next challenge. If there is no token, only
            // the end of the header is valid here.
            self.rest = before;
            if name.is_empty() && !before.is_empty() {
                return Err("the challenge has an unexpected character");
            }
            return Ok(None);
        };
        self.rest = value.trim_start();
        // Skip the padding of a token68, as in `Negotiate abc==`.
        self.rest = self.rest.trim_start_matches('=');
        let value = match self.rest.strip_prefix('"') {
            Some(quoted) => self.quoted(quoted)?,
            None => {
                let end = self.rest.find([',', ' ', '\t']).unwrap_or(self.rest.len());
                let (value, rest) = self.rest.split_at(end);
                self.rest = rest;
                value.to_owned()
            }
        };
        if value.contains(char::is_control) {
            return Err("the challenge has a control character");
        }
        Ok(Some((name, value)))
    }

    fn quoted(&mut self, text: &'a str) -> Result<String, &'static str> {
        let mut value = String::new();
        let mut characters = text.char_indices();
        while let Some((at, c)) = characters.next() {
            match c {
                '"' => {
                    self.rest = &text[at + 1..];
                    return Ok(value);
                }
                '\\' => match characters.next() {
                    Some((_, escaped)) => value.push(escaped),
                    None => break,
                },
                c => value.push(c),
            }
        }
        Err("the challenge has an unclosed quote")
    }

    fn token(&mut self) -> &'a str {
        let is_token = |c: char| c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~/".contains(c);
        let end = self.rest.find(|c| !is_token(c)).unwrap_or(self.rest.len());
        let (token, rest) = self.rest.split_at(end);
        self.rest = rest;
        token
    }

    fn skip_separators(&mut self) {
        self.rest = self.rest.trim_start_matches([' ', '\t', ',']);
    }
}

/// 16 KiB per header line.
const HEADER_LIMIT: usize = 16 << 10;
const CHALLENGE_LIMIT: usize = 16;

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn read(lines: &[&str]) -> Result<Vec<Challenge>, &'static str> {
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append(WWW_AUTHENTICATE, HeaderValue::from_bytes(line.as_bytes()).unwrap());
        }
        Challenge::all(&headers)
    }

    fn bearer(realm: &str, service: Option<&str>, scope: &str) -> Challenge {
        Challenge::Bearer(Bearer {
            realm: realm.to_owned(),
            service: service.map(str::to_owned),
            scopes: Scopes::parse(scope),
        })
    }

    #[test]
    fn a_challenge_without_verified_tls_does_not_direct_credentials_over_it() {
        let learned = |is_verified| {
            let known =
                Challenge::remember(&[bearer("https://a.example/t", None, "")], is_verified);
            known.unwrap()
        };
        for (is_verified, over_verified_tls, usable) in
            [(true, true, true), (true, false, true), (false, false, true), (false, true, false)]
        {
            assert_eq!(learned(is_verified).is_usable(over_verified_tls), usable);
        }
        assert_eq!(Challenge::remember(&[Challenge::Basic], true), None);
    }

    #[test]
    fn different_spellings_of_challenges_are_parsed() {
        let full = bearer("https://a.example/t", Some("r"), "repository:a:pull,push");
        let bare = bearer("https://a.example/t", None, "");
        let other = |scheme: &str| Challenge::Other(scheme.to_owned());
        for (lines, expected) in [
            (&[][..], vec![]),
            (&["Basic realm=\"x\""], vec![Challenge::Basic]),
            (&["basic"], vec![Challenge::Basic]),
            (
                &[
                    "Bearer realm=\"https://a.example/t\",service=\"r\",scope=\"repository:a:pull,push\"",
                ],
                vec![full.clone()],
            ),
            (
                &["bearer scope=\"repository:a:pull,push\" , service=r, realm=https://a.example/t"],
                vec![full.clone()],
            ),
            (
                &[
                    "Bearer realm=\"https://a.example/t\" service=\"r\" scope=\"repository:a:pull,push\"",
                ],
                vec![full],
            ),
            (&["Bearer realm=\"https:\\/\\/a.example/t\""], vec![bare.clone()]),
            (
                &["Bearer realm=\"https://a.example/t\", Basic realm=\"x, y\""],
                vec![bare.clone(), Challenge::Basic],
            ),
            (
                &["Basic realm=x", "Bearer realm=\"https://a.example/t\""],
                vec![Challenge::Basic, bare.clone()],
            ),
            (&["Negotiate"], vec![other("negotiate")]),
            (
                &["Negotiate YWJj==, Basic realm=x"],
                vec![other("negotiate"), other("ywjj"), Challenge::Basic],
            ),
            (&["Bearer realm=\"https://a.example/t\",error=\"invalid_token\""], vec![bare]),
        ] {
            let found = read(lines).unwrap();
            // A token68 may be parsed as an unknown scheme, so unknown schemes are not compared.
            let usable = |all: &[Challenge]| -> Vec<Challenge> {
                all.iter().filter(|c| !matches!(c, Challenge::Other(_))).cloned().collect()
            };
            assert_eq!(usable(&found), usable(&expected), "{lines:?}");
            assert_eq!(found.is_empty(), expected.is_empty(), "{lines:?}");
        }
    }

    #[test]
    fn challenges_from_the_predecessors_tests_are_parsed() {
        let other = |scheme: &str| Challenge::Other(scheme.to_owned());
        let plain = || bearer("r", Some("s"), "");
        for (line, expected) in [
            (
                r#"Bearer realm="https://auth.docker.io/token",service="registry.docker.io",scope="repository:samalba/my-app:pull,push""#,
                vec![bearer(
                    "https://auth.docker.io/token",
                    Some("registry.docker.io"),
                    "repository:samalba/my-app:pull,push",
                )],
            ),
            (r#"Basic realm="Registry Realm""#, vec![Challenge::Basic]),
            ("Basic", vec![Challenge::Basic]),
            ("Negotiate", vec![other("negotiate")]),
            (r#"Bearer realm="r", service="s""#, vec![plain()]),
            ("bearer realm=r,service=s", vec![plain()]),
            ("BEARER REALM=r,Service=s", vec![plain()]),
            (
                r#"Basic realm="a", Bearer realm="b",service="c""#,
                vec![Challenge::Basic, bearer("b", Some("c"), "")],
            ),
            (
                r#"Bearer realm="a",service="b",error="invalid_token""#,
                vec![bearer("a", Some("b"), "")],
            ),
            (
                r#"Bearer realm="https://x/y?z=1,2",service="s""#,
                vec![bearer("https://x/y?z=1,2", Some("s"), "")],
            ),
            (
                r#"Bearer realm="https://r",service="s",scope="repository:a:pull repository:b:pull,push""#,
                vec![bearer("https://r", Some("s"), "repository:a:pull repository:b:pull,push")],
            ),
            (r#"Digest realm="a", qop="auth,auth-int""#, vec![other("digest")]),
            ("", vec![]),
            (r#"Bearer realm="a\"b""#, vec![bearer("a\"b", None, "")]),
            (
                r#"Bearer realm="https://gcr.io/v2/token",service="gcr.io""#,
                vec![bearer("https://gcr.io/v2/token", Some("gcr.io"), "")],
            ),
        ] {
            assert_eq!(read(&[line]).unwrap(), expected, "{line}");
        }
    }

    #[test]
    fn a_malformed_challenge_is_an_error() {
        let long = format!("Basic realm=\"{}\"", "x".repeat(64 << 10));
        let many = "Basic, ".repeat(1000);
        for bad in [
            "Bearer",
            "Bearer service=\"r\"",
            "Bearer realm=\"https://a.example",
            "Bearer realm=\"https://a.example\\",
            "Bearer realm=\"a\",realm=\"b\"",
            "Bearer realm=\"a\tb\"",
            "=x",
            "Basic \"x\"",
            &long,
            &many,
        ] {
            assert!(read(&[bad]).is_err(), "{}", &bad[..bad.len().min(80)]);
        }
    }
}
