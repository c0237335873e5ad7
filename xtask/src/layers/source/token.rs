//! Rust's words, without comments, strings and what is compiled for tests only.

/// A word or sign of the language, and its line, counted from 1.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Token {
    pub(super) line: usize,
    pub(super) text: String,
}

/// The words and signs of a file that are compiled outside of tests.
pub(super) fn tokens(text: &str) -> Vec<Token> {
    let mut reader = Reader { rest: text, line: 1, tokens: Vec::new() };
    while reader.step() {}
    without_tests(&reader.tokens)
}

struct Reader<'a> {
    rest: &'a str,
    line: usize,
    tokens: Vec<Token>,
}

impl Reader<'_> {
    /// Reads one thing. `false` at the end.
    fn step(&mut self) -> bool {
        let rest = self.rest;
        let Some(first) = rest.chars().next() else {
            return false;
        };
        let end = rest.len();
        if rest.starts_with("//") {
            self.skip(rest.find('\n').unwrap_or(end));
        } else if rest.starts_with("/*") {
            self.skip(block_comment(rest));
        } else if let Some(length) = raw_string(rest) {
            self.skip(length);
        } else if first == '"' {
            self.skip(string(rest));
        } else if first == '\'' {
            self.skip(character(rest));
        } else if first.is_alphanumeric() || first == '_' {
            let not_word = |c: char| !(c.is_alphanumeric() || c == '_');
            self.take(rest.find(not_word).unwrap_or(end));
        } else if rest.starts_with("::") {
            self.take(2);
        } else if first.is_whitespace() {
            self.skip(first.len_utf8());
        } else {
            self.take(first.len_utf8());
        }
        true
    }

    fn take(&mut self, length: usize) {
        self.tokens.push(Token { line: self.line, text: self.rest[..length].to_owned() });
        self.rest = &self.rest[length..];
    }

    fn skip(&mut self, length: usize) {
        let (skipped, rest) = self.rest.split_at(length);
        self.line += skipped.matches('\n').count();
        self.rest = rest;
    }
}

/// Length of a comment that may hold others.
fn block_comment(text: &str) -> usize {
    let mut depth = 0;
    let mut at = 0;
    while let Some(found) = text[at..].find(['/', '*']) {
        at += found;
        if text[at..].starts_with("/*") {
            depth += 1;
            at += 2;
        } else if text[at..].starts_with("*/") {
            depth -= 1;
            at += 2;
            if depth == 0 {
                return at;
            }
        } else {
            at += 1;
        }
    }
    text.len()
}

/// Length of `r"…"`, `r#"…"#`, `br"…"`, …, if there is one.
fn raw_string(text: &str) -> Option<usize> {
    let after_prefix = text.strip_prefix(['b', 'c']).unwrap_or(text).strip_prefix('r')?;
    let hashes = after_prefix.len() - after_prefix.trim_start_matches('#').len();
    let content = after_prefix[hashes..].strip_prefix('"')?;
    let end = format!("\"{}", "#".repeat(hashes));
    let start = text.len() - content.len();
    let length = content.find(&end).map(|at| start + at + end.len());
    Some(length.unwrap_or(text.len()))
}

fn string(text: &str) -> usize {
    let mut escaped = false;
    for (at, c) in text.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => return at + 1,
            _ => {}
        }
    }
    text.len()
}

/// Length of a character literal; of the quote alone where it starts a lifetime.
fn character(text: &str) -> usize {
    let mut characters = text.char_indices().skip(1);
    match (characters.next(), characters.next()) {
        (Some((_, '\\')), Some(_)) => {
            let end = characters.find(|(_, c)| *c == '\'');
            end.map_or(text.len(), |(at, _)| at + 1)
        }
        (Some(_), Some((at, '\''))) => at + 1,
        _ => 1,
    }
}

/// Leaves out each item under `#[cfg(test)]`, or any `cfg` that asks for `test`.
fn without_tests(tokens: &[Token]) -> Vec<Token> {
    let mut kept = Vec::new();
    let mut at = 0;
    while at < tokens.len() {
        if starts_test_item(&tokens[at..]) {
            at += item_length(&tokens[at..]);
        } else {
            kept.push(tokens[at].clone());
            at += 1;
        }
    }
    kept
}

fn starts_test_item(tokens: &[Token]) -> bool {
    let text = |at: usize| tokens.get(at).map_or("", |t| t.text.as_str());
    if (text(0), text(1), text(2)) != ("#", "[", "cfg") {
        return false;
    }
    let attribute = &tokens[..group_length(&tokens[1..]) + 1];
    let has = |word: &str| attribute.iter().any(|t| t.text == word);
    has("test") && !has("not")
}

/// How many tokens an item has, with its attributes: up to its `;`, or the end of its braces.
fn item_length(tokens: &[Token]) -> usize {
    let mut at = 0;
    while at < tokens.len() {
        match tokens[at].text.as_str() {
            ";" => return at + 1,
            "{" => {
                let end = at + group_length(&tokens[at..]);
                let is_use = tokens.get(end).is_some_and(|t| t.text == ";");
                return end + usize::from(is_use);
            }
            "(" | "[" => at += group_length(&tokens[at..]),
            _ => at += 1,
        }
    }
    tokens.len()
}

/// How many tokens there are from an opening bracket to the one that closes it.
fn group_length(tokens: &[Token]) -> usize {
    let mut depth = 0;
    for (at, token) in tokens.iter().enumerate() {
        match token.text.as_str() {
            "(" | "[" | "{" => depth += 1,
            ")" | "]" | "}" => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return at + 1;
        }
    }
    tokens.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> String {
        let words: Vec<String> = tokens(text).into_iter().map(|token| token.text).collect();
        words.join(" ")
    }

    #[test]
    fn comments_and_literals_are_left_out() {
        for (text, kept) in [
            ("a // crate::x\nb", "a b"),
            ("a /* crate::x /* y */ z */ b", "a b"),
            (r#"f("crate::\"x", b"y")"#, "f ( , b )"),
            ("f(r#\"crate::\"x\"#)", "f ( )"),
            (
                "match c { '\"' => 1, '\\'' => 2, '\\u{1b}' => 3 }",
                "match c { = > 1 , = > 2 , = > 3 }",
            ),
            ("fn f<'a>(x: &'a str)", "fn f < a > ( x : & a str )"),
            ("crate::a::B", "crate :: a :: B"),
        ] {
            assert_eq!(words(text), kept, "{text}");
        }
    }

    #[test]
    fn what_only_tests_compile_is_left_out() {
        for (text, kept) in [
            ("#[cfg(test)] mod tests { use super::*; fn f() {} } a", "a"),
            ("#[cfg(test)]\nmod tests;\na", "a"),
            ("#[cfg(all(test, unix))] #[allow(x)] fn f(a: [u8; 2]) { g() } a", "a"),
            ("#[cfg(test)] use crate::{a, b}; c", "c"),
            ("#[cfg(not(test))] a", "# [ cfg ( not ( test ) ) ] a"),
        ] {
            assert_eq!(words(text), kept, "{text}");
        }
    }

    #[test]
    fn lines_are_counted_through_everything() {
        let found = tokens("a\n/* \n */ \"\n\" b");
        assert_eq!((found[0].line, found[1].line), (1, 4));
    }
}
