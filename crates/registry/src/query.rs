//! Query parameters.

use std::borrow::Cow;

use longshore_core::ParseError;
use percent_encoding::percent_decode_str;

/// The parameters of a request, percent-decoded once.
///
/// `+` is not decoded to a space, because media types contain `+`. Clients must encode a space as
/// `%20`.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Query<'a>(Vec<(Cow<'a, str>, Cow<'a, str>)>);

impl<'a> Query<'a> {
    /// Parses the text after the `?`.
    pub(crate) fn parse(text: &'a str) -> Result<Self, ParseError> {
        let decode = |part: &'a str| {
            percent_decode_str(part)
                .decode_utf8()
                .map_err(|_| ParseError::new("query", part, "not valid UTF-8"))
        };
        let pairs = text.split('&').filter(|pair| !pair.is_empty());
        let pairs = pairs.map(|pair| {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            Ok((decode(key)?, decode(value)?))
        });
        pairs.collect::<Result<_, _>>().map(Self)
    }

    /// Returns the value of a parameter. Fails if the parameter occurs more than once.
    pub(crate) fn one(&self, key: &str) -> Result<Option<&str>, ParseError> {
        let mut values = self.all(key);
        let first = values.next();
        match values.next() {
            Some(second) => {
                Err(ParseError::new("query", second, format!("duplicate parameter {key:?}")))
            }
            None => Ok(first),
        }
    }

    /// Returns the values of a parameter, in order.
    pub(crate) fn all(&self, key: &str) -> impl Iterator<Item = &str> {
        let of_key = self.0.iter().filter(move |(k, _)| k == key);
        of_key.map(|(_, value)| &**value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_decoded_once() {
        let query = Query::parse("a=1&b=x%2By&c=x+y&d=%2525&e&&f==").unwrap();
        for (key, value) in
            [("a", "1"), ("b", "x+y"), ("c", "x+y"), ("d", "%25"), ("e", ""), ("f", "=")]
        {
            assert_eq!(query.one(key).unwrap(), Some(value), "{key}");
        }
        assert_eq!(query.one("z").unwrap(), None);
        assert_eq!(Query::parse("").unwrap(), Query::default());
    }

    #[test]
    fn duplicate_parameters_are_refused() {
        let query = Query::parse("digest=a&digest=b").unwrap();
        assert!(query.one("digest").is_err());
        assert_eq!(query.all("digest").collect::<Vec<_>>(), ["a", "b"]);
        assert!(Query::parse("a=%ff").is_err());
    }
}
