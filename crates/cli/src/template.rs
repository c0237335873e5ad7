//! The templates of `--format`.

use std::str::FromStr;
use std::sync::Arc;

use longshore::{EscapedText, ParseError, Result};
use minijinja::value::{Serde, Value};
use minijinja::{Environment, UndefinedBehavior};
use serde::Serialize;

/// A template for results, in the syntax of Jinja. A field may have a leading dot, as in Go's
/// templates: `{{.digest}}`.
#[derive(Clone, Debug)]
pub(crate) struct Template(Arc<str>);

impl FromStr for Template {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        let source = without_leading_dots(text);
        environment().template_from_str(&source).map_err(|e| malformed(text, &e))?;
        Ok(Self(source.into()))
    }
}

impl Template {
    /// Fills in the fields of a result, which are those of `--json`. Fields of another template
    /// engine, missing ones included, are an error.
    pub(crate) fn render(&self, result: &impl Serialize) -> Result<String> {
        let text = environment().render_str(&self.0, Value::from(Serde(result)));
        let text = text.map_err(|e| malformed(&self.0, &e))?;
        Ok(EscapedText(&text).in_json().to_string())
    }
}

fn environment() -> Environment<'static> {
    let mut environment = Environment::new();
    environment.set_undefined_behavior(UndefinedBehavior::Strict);
    environment
}

fn malformed(text: &str, error: &minijinja::Error) -> ParseError {
    let detail = error.detail().map(|detail| format!(": {detail}")).unwrap_or_default();
    ParseError::new("template", text, format!("{}{detail}", error.kind()))
}

fn without_leading_dots(text: &str) -> String {
    let mut parts = text.split("{{");
    let mut jinja = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let start = part.trim_start_matches(['-', ' ']);
        let (before, field) = part.split_at(part.len() - start.len());
        jinja = format!("{jinja}{{{{{before}{}", field.strip_prefix('.').unwrap_or(field));
    }
    jinja
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_filled_in_with_and_without_a_leading_dot() {
        let result = serde_json::json!({ "digest": "sha256:a", "tags": ["v1", "v2"], "n": 7 });
        for (template, expected) in [
            ("{{.digest}} {{ .n }}", "sha256:a 7"),
            ("{{digest}}", "sha256:a"),
            ("{% for t in tags %}{{t}};{% endfor %}", "v1;v2;"),
            ("{{ tags[0] | upper }}{{- .tags | tojson }}", "V1[\"v1\", \"v2\"]"),
            ("plain .text", "plain .text"),
        ] {
            let template: Template = template.parse().unwrap();
            assert_eq!(template.render(&result).unwrap(), expected);
        }
        assert!("{{ digest".parse::<Template>().is_err());
        let missing: Template = "{{ .size }}".parse().unwrap();
        let e = missing.render(&result).unwrap_err();
        assert_eq!(crate::exit::code(&e), crate::exit::USAGE);
    }
}
