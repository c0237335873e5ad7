//! Escapes untrusted text, so that it is safe to print.
//!
//! Owns the rule that decides which characters may be printed. Error messages and the text that the
//! CLI composes follow this rule.

use std::fmt::{self, Write as _};

/// Untrusted text, displayed with escapes for all characters that could control a terminal.
///
/// Control characters (C0, DEL, C1), line separators, bidirectional marks, zero-width characters
/// and tag characters appear as `\u{..}`. All other characters are unchanged. The result never
/// contains a line break.
///
/// ```
/// use longshore_core::EscapedText;
/// assert_eq!(EscapedText("v1\x1b[2J").to_string(), "v1\\u{1b}[2J");
/// ```
#[derive(Clone, Copy, Debug)]
pub struct EscapedText<'a>(pub &'a str);

impl<'a> EscapedText<'a> {
    /// Truncates the text after `characters` characters, and appends the number of missing bytes.
    #[must_use]
    pub fn at_most(self, characters: usize) -> impl fmt::Display + 'a {
        Cut { text: self.0, characters }
    }

    /// Escapes the text of a JSON document without changing its value. Unsafe characters become
    /// JSON escapes. Line breaks and tabs are kept.
    ///
    /// ```
    /// use longshore_core::EscapedText;
    /// assert_eq!(EscapedText("{\"a\": \"\u{9b}\"}").in_json().to_string(), r#"{"a": "\u009b"}"#);
    /// ```
    #[must_use]
    pub fn in_json(self) -> impl fmt::Display + 'a {
        Json(self.0)
    }
}

impl fmt::Display for EscapedText<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_escaped(f, self.0)
    }
}

struct Cut<'a> {
    text: &'a str,
    characters: usize,
}

impl fmt::Display for Cut<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.text.char_indices().nth(self.characters) {
            None => write_escaped(f, self.text),
            Some((end, _)) => {
                let (shown, rest) = self.text.split_at(end);
                write_escaped(f, shown)?;
                write!(f, "… ({} bytes more)", rest.len())
            }
        }
    }
}

struct Json<'a>(&'a str);

/// Source: RFC 8259, section 7.
impl fmt::Display for Json<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for c in self.0.chars() {
            if !is_unsafe(c) || matches!(c, '\n' | '\t') {
                f.write_char(c)?;
                continue;
            }
            for unit in c.encode_utf16(&mut [0; 2]) {
                write!(f, "\\u{unit:04x}")?;
            }
        }
        Ok(())
    }
}

fn write_escaped(f: &mut fmt::Formatter<'_>, text: &str) -> fmt::Result {
    for c in text.chars() {
        if is_unsafe(c) {
            write!(f, "\\u{{{:x}}}", u32::from(c))?;
        } else {
            f.write_char(c)?;
        }
    }
    Ok(())
}

/// Returns true if printing this character could control the terminal or hide text.
fn is_unsafe(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{200b}'..='\u{200f}'     // zero width, direction marks
            | '\u{2028}'..='\u{202e}'   // line separators, embeddings, overrides
            | '\u{2060}'..='\u{2069}'   // word joiner, isolates
            | '\u{61c}' | '\u{feff}' | '\u{e0000}'..='\u{e007f}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unsafe_characters_are_escaped() {
        for (raw, shown) in [
            ("plain v1.2_x", "plain v1.2_x"),
            ("\x1b]0;title\x07", "\\u{1b}]0;title\\u{7}"),
            ("a\r\nb", "a\\u{d}\\u{a}b"),
            ("\u{9b}31m", "\\u{9b}31m"),
            ("a\u{202e}b\u{2066}", "a\\u{202e}b\\u{2066}"),
            ("zero\u{200d}width", "zero\\u{200d}width"),
            ("ünïcode ✓", "ünïcode ✓"),
        ] {
            assert_eq!(EscapedText(raw).to_string(), shown);
        }
    }

    #[test]
    fn json_is_escaped_without_changing_its_value() {
        let text = "a\u{9b}b\u{202e}c\u{7f}d\u{e0041} ünïcode ✓";
        let json = serde_json::to_string_pretty(&[text]).unwrap();
        let shown = EscapedText(&json).in_json().to_string();
        assert!(shown.contains(r"a\u009bb\u202ec\u007fd\udb40\udc41 ünïcode ✓"), "{shown}");
        assert_eq!(serde_json::from_str::<[String; 1]>(&shown).unwrap(), [text]);
    }

    #[test]
    fn truncated_text_states_the_number_of_missing_bytes() {
        assert_eq!(EscapedText("abcdef").at_most(3).to_string(), "abc… (3 bytes more)");
        assert_eq!(EscapedText("abc").at_most(3).to_string(), "abc");
    }
}
