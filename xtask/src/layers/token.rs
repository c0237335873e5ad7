//! The tokens of a Rust file, read with `proc_macro2`: without comments, literals and test-only
//! code, but with the tokens in macro arguments.

use std::iter::Peekable;

use proc_macro2::token_stream::IntoIter;
use proc_macro2::{Delimiter, Group, LexError, Spacing, Span, TokenStream, TokenTree};

/// A token, and its line, counted from 1.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Token {
    pub(super) line: usize,
    pub(super) text: String,
}

/// Returns the tokens of a file that are compiled outside of tests.
pub(super) fn tokens(text: &str) -> Result<Vec<Token>, LexError> {
    let mut tokens = Vec::new();
    add(text.parse()?, &mut tokens);
    Ok(tokens)
}

fn add(stream: TokenStream, tokens: &mut Vec<Token>) {
    let mut trees = stream.into_iter().peekable();
    while let Some(tree) = trees.next() {
        let mut take = |span: Span, text: &str| {
            tokens.push(Token { line: span.start().line, text: text.to_owned() });
        };
        match tree {
            TokenTree::Punct(sign) if sign.as_char() == '#' && is_for_tests(trees.peek()) => {
                skip_item(&mut trees);
            }
            // The second half of `::` is a separate token.
            TokenTree::Punct(sign) if sign.as_char() == ':' && sign.spacing() == Spacing::Joint => {
                take(sign.span(), "::");
                trees.next();
            }
            TokenTree::Punct(sign) => take(sign.span(), &sign.to_string()),
            TokenTree::Ident(word) => take(word.span(), &word.to_string()),
            TokenTree::Literal(_) => {}
            TokenTree::Group(group) => {
                let (open, close) = match group.delimiter() {
                    Delimiter::Parenthesis => ("(", ")"),
                    Delimiter::Brace => ("{", "}"),
                    Delimiter::Bracket => ("[", "]"),
                    Delimiter::None => ("", ""),
                };
                take(group.span_open(), open);
                add(group.stream(), tokens);
                tokens
                    .push(Token { line: group.span_close().start().line, text: close.to_owned() });
            }
        }
    }
}

/// Returns true if an attribute is a `cfg` that contains `test` and no `not`, such as `cfg(test)`.
fn is_for_tests(attribute: Option<&TokenTree>) -> bool {
    let Some(TokenTree::Group(attribute)) = attribute else { return false };
    let mut parts = attribute.stream().into_iter();
    let is_cfg = parts.next().is_some_and(|word| word.to_string() == "cfg");
    let Some(TokenTree::Group(condition)) = parts.next().filter(|_| is_cfg) else { return false };
    has(&condition, "test") && !has(&condition, "not")
}

fn has(group: &Group, word: &str) -> bool {
    group.stream().into_iter().any(|tree| match tree {
        TokenTree::Group(inner) => has(&inner, word),
        other => other.to_string() == word,
    })
}

/// Skips an item with its attributes: up to and including its `;` or its braces.
fn skip_item(trees: &mut Peekable<IntoIter>) {
    let ends = |tree: &TokenTree| matches!(tree, TokenTree::Punct(sign) if sign.as_char() == ';');
    for tree in trees.by_ref() {
        match tree {
            TokenTree::Group(group) if group.delimiter() == Delimiter::Brace => break,
            tree if ends(&tree) => return,
            _ => {}
        }
    }
    // The `;` of `use crate::{a, b};`.
    trees.next_if(ends);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> String {
        let words: Vec<String> =
            tokens(text).unwrap().into_iter().map(|token| token.text).collect();
        words.join(" ")
    }

    #[test]
    fn comments_literals_and_test_code_are_skipped() {
        for (text, kept) in [
            ("a /* crate::x */ f(\"crate::x\", 1)", "a f ( , )"),
            ("crate::a::B; m!(crate::c)", "crate :: a :: B ; m ! ( crate :: c )"),
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
    fn lines_are_counted_in_skipped_text_too() {
        let found = tokens("a\n/* \n */ \"\n\" b").unwrap();
        assert_eq!((found[0].line, found[1].line), (1, 4));
    }
}
