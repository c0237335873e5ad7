//! Looks up a value of a JSON document by its path.

use serde_json::Value;

use crate::error::{Error, ErrorKind, ParseError, Result};

/// Returns the value at a path in a document.
///
/// The path is a JSON Pointer (`/config/Env/0`), or names joined by dots with an optional leading
/// dot (`.config.Env[0]`, `config.Env.0`). A name that contains dots is written in quotes and
/// brackets (`.config.Labels["org.example.name"]`). An empty path or `.` selects the whole
/// document.
///
/// # Errors
/// [`Invalid`](ErrorKind::Invalid) if the path cannot be parsed; [`NotFound`](ErrorKind::NotFound),
/// with the names that exist, if there is no such value.
///
/// Source: RFC 6901; the dotted form is based on that of `jq`.
pub fn json_field<'a>(document: &'a Value, path: &str) -> Result<&'a Value> {
    let mut value = document;
    for name in names(path)? {
        let next = match value {
            Value::Object(object) => object.get(&name),
            Value::Array(items) => name.parse::<usize>().ok().and_then(|index| items.get(index)),
            _ => None,
        };
        value = next.ok_or_else(|| not_found(path, &name, value))?;
    }
    Ok(value)
}

/// Returns the names in a path, outermost first.
fn names(path: &str) -> Result<Vec<String>, ParseError> {
    if path.starts_with('/') {
        let parts = path.split('/').skip(1);
        return Ok(parts.map(|part| part.replace("~1", "/").replace("~0", "~")).collect());
    }
    let bad = |reason: &'static str, at: usize| ParseError::new("field", path, reason).at(at);
    let mut names = Vec::new();
    let mut rest = path.strip_prefix('.').unwrap_or(path);
    while !rest.is_empty() {
        let at = path.len() - rest.len();
        let (name, after) = if let Some(bracketed) = rest.strip_prefix('[') {
            let (name, after) = match bracketed.strip_prefix('"') {
                Some(quoted) => quoted.split_once("\"]"),
                None => bracketed.split_once(']'),
            }
            .ok_or_else(|| bad("the bracket is not closed", at))?;
            (name, after)
        } else {
            let end = rest.find(['.', '[']).unwrap_or(rest.len());
            rest.split_at(end)
        };
        if name.is_empty() {
            return Err(bad("a name is missing", at));
        }
        names.push(name.to_owned());
        rest = match after.strip_prefix('.') {
            Some("") => return Err(bad("a name is missing after the last '.'", path.len() - 1)),
            Some(next) => next,
            None => after,
        };
    }
    Ok(names)
}

fn not_found(path: &str, name: &str, within: &Value) -> Error {
    let available = match within {
        Value::Object(object) => {
            let names: Vec<&str> = object.keys().map(String::as_str).take(SHOWN).collect();
            format!("expected one of: {}", names.join(", "))
        }
        Value::Array(items) => format!("the array has {} items, indexed from 0", items.len()),
        _ => "the value is neither an object nor an array".to_owned(),
    };
    Error::new(ErrorKind::NotFound)
        .at(format!("field {path}"))
        .detail(format!("no {name:?}; {available}"))
}

/// 40: the maximum number of names that an error lists.
const SHOWN: usize = 40;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_a_pointer_or_names_joined_by_dots() {
        let document = serde_json::json!({
            "config": {"Env": ["A=1", "B=2"], "Labels": {"a.b/c~d": "x"}}, "created": "now"
        });
        for (path, expected) in [
            ("created", "\"now\""),
            (".created", "\"now\""),
            ("/created", "\"now\""),
            (".config.Env[1]", "\"B=2\""),
            ("config.Env.0", "\"A=1\""),
            ("/config/Env/0", "\"A=1\""),
            (".config.Labels[\"a.b/c~d\"]", "\"x\""),
            ("/config/Labels/a.b~1c~0d", "\"x\""),
            (".config.Env", "[\"A=1\",\"B=2\"]"),
        ] {
            assert_eq!(json_field(&document, path).unwrap().to_string(), expected, "{path}");
        }
        assert_eq!(json_field(&document, "").unwrap(), &document);
        assert_eq!(json_field(&document, ".").unwrap(), &document);
    }

    #[test]
    fn errors_list_the_names_that_exist() {
        let document = serde_json::json!({"os": "linux", "list": [1]});
        for (path, kind, word) in [
            ("arch", ErrorKind::NotFound, "list, os"),
            (".list[1]", ErrorKind::NotFound, "1 items"),
            (".os.x", ErrorKind::NotFound, "neither an object nor an array"),
            (".list[0", ErrorKind::Invalid, "not closed"),
            ("a..b", ErrorKind::Invalid, "missing"),
            ("os.", ErrorKind::Invalid, "after the last"),
        ] {
            let e = json_field(&document, path).unwrap_err();
            assert_eq!(e.kind(), kind, "{path}");
            let why = std::error::Error::source(&e).map(ToString::to_string);
            let message = format!("{e} {}", why.unwrap_or_default());
            assert!(message.contains(word), "{path}: {message}");
        }
    }
}
