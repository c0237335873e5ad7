//! Chooses names by a regular expression.

use regex_lite::{Regex, RegexBuilder};

use crate::error::{ParseError, Result};

/// A regular expression that chooses names of repositories or tags.
///
/// The time for matching is proportional to the length of the name, for every expression. Matching
/// ignores case in filters from [`at_start`](Self::at_start), and if the expression begins with
/// `(?i)`.
///
/// ```
/// use longshore_core::Filter;
///
/// let releases = Filter::anywhere(r"^v\d+$")?;
/// assert!(releases.matches("v12") && !releases.matches("v12-rc1"));
/// # Ok::<(), longshore_core::ParseError>(())
/// ```
#[derive(Clone, Debug)]
pub struct Filter {
    expression: Regex,
    at_start: bool,
}

impl Filter {
    /// Creates a filter for names that contain a match of the expression. `^` and `$` anchor the
    /// match.
    ///
    /// # Errors
    /// [`ParseError`] that states the problem in the expression.
    pub fn anywhere(expression: &str) -> Result<Self, ParseError> {
        Self::build(expression, false)
    }

    /// Creates a filter for names that begin with a match of the expression. Ignores case.
    ///
    /// # Errors
    /// [`ParseError`] that states the problem in the expression.
    pub fn at_start(expression: &str) -> Result<Self, ParseError> {
        Self::build(expression, true)
    }

    /// Returns true if the filter matches the name.
    #[must_use]
    pub fn matches(&self, name: &str) -> bool {
        match self.at_start {
            false => self.expression.is_match(name),
            // `find` returns the match that starts first.
            true => self.expression.find(name).is_some_and(|found| found.start() == 0),
        }
    }

    fn build(expression: &str, at_start: bool) -> Result<Self, ParseError> {
        let built = RegexBuilder::new(expression).case_insensitive(at_start).build();
        let built =
            built.map_err(|e| ParseError::new("regular expression", expression, e.to_string()))?;
        Ok(Self { expression: built, at_start })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_expression_matches_anywhere_or_at_the_start() {
        for (expression, name, anywhere, at_start) in [
            ("^repository2", "repository2/image1", true, true),
            ("^repository2", "repository1/image1", false, false),
            ("^LIB", "lib/img", false, true),
            ("LIB", "lib/img", false, true),
            ("one", "a/one", true, false),
            ("a|one", "b/one", true, false),
            ("", "anything", true, true),
            ("^v1$", "v1", true, true),
            // A trailing comment must not affect where the expression has to match.
            ("(?x) v1 # one", "v1.1", true, true),
            ("(?x) v1 # one", "rv1", true, false),
            ("^v1$", "v1.1", false, false),
        ] {
            assert_eq!(Filter::anywhere(expression).unwrap().matches(name), anywhere, "{name}");
            assert_eq!(Filter::at_start(expression).unwrap().matches(name), at_start, "{name}");
        }
    }

    #[test]
    fn an_invalid_expression_is_quoted_with_its_problem() {
        for bad in ["(", "a)(b", "[", "*", "a{9999999}{9999999}"] {
            for built in [Filter::anywhere(bad), Filter::at_start(bad)] {
                let shown = built.unwrap_err().to_string();
                assert!(
                    shown.contains(&format!("invalid regular expression \"{bad}\": ")),
                    "{shown}"
                );
            }
        }
    }
}
