//! Scopes: the access that a token grants.

use std::fmt;
use std::str::FromStr;

use longshore_core::{ParseError, RepositoryName};

/// Access to one resource: `type:name:action,action`.
///
/// Source: Docker Registry v2, "Token Scope Documentation".
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Scope {
    kind: String,
    name: String,
    actions: Vec<String>,
}

impl Scope {
    /// Makes a scope for a resource of any type.
    pub(crate) fn new(kind: String, name: String, actions: Vec<String>) -> Self {
        Self { kind, name, actions }
    }

    /// Makes a scope for a repository. Actions are `pull`, `push`, `delete`, or `*` for all.
    #[must_use]
    pub fn repository(name: &RepositoryName, actions: &[&str]) -> Self {
        Self {
            kind: "repository".to_owned(),
            name: name.as_str().to_owned(),
            actions: actions.iter().map(ToString::to_string).collect(),
        }
    }

    /// Makes the scope for the catalog of repositories.
    #[must_use]
    pub fn catalog() -> Self {
        Self {
            kind: "registry".to_owned(),
            name: "catalog".to_owned(),
            actions: vec!["*".to_owned()],
        }
    }

    /// Returns the actions, such as `pull`.
    #[must_use]
    pub fn actions(&self) -> &[String] {
        &self.actions
    }

    /// Parses one scope. The name may contain colons. Returns `None` if the text is not a scope or
    /// has too many actions.
    fn read(text: &str) -> Option<Self> {
        let (kind, rest) = text.split_once(':')?;
        let (name, actions) = rest.rsplit_once(':')?;
        let actions: Vec<_> = actions.split(',').map(str::to_owned).collect();
        let plausible = !kind.is_empty() && !name.is_empty() && actions.len() <= ACTION_LIMIT;
        plausible.then(|| Self { kind: kind.to_owned(), name: name.to_owned(), actions })
    }

    fn allows(&self, action: &String) -> bool {
        self.actions.contains(action) || self.actions.iter().any(|a| a == "*")
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}", self.kind, self.name, self.actions.join(","))
    }
}

impl FromStr for Scope {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        Self::read(text)
            .ok_or_else(|| ParseError::new("scope", text, "expected type:name:action,action"))
    }
}

/// The scopes of one token request, in order, because some services read only the first scope.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Scopes(Vec<Scope>);

impl Scopes {
    pub(crate) fn new(scopes: impl IntoIterator<Item = Scope>) -> Self {
        let mut all = Self::default();
        scopes.into_iter().for_each(|scope| all.add(scope));
        all
    }

    /// Parses the scopes of a challenge, separated by spaces. Skips malformed scopes, and ignores
    /// everything after the 16th scope.
    pub(crate) fn parse(text: &str) -> Self {
        Self::new(text.split_ascii_whitespace().take(SCOPE_LIMIT).filter_map(Scope::read))
    }

    /// Returns these scopes extended by `others`.
    pub(crate) fn and(&self, others: &Self) -> Self {
        Self::new(self.0.iter().chain(&others.0).cloned())
    }

    /// Returns true if a token with these scopes grants all access in `others`.
    pub(crate) fn cover(&self, others: &Self) -> bool {
        others.0.iter().all(|wanted| {
            self.0.iter().any(|scope| {
                scope.kind == wanted.kind
                    && scope.name == wanted.name
                    && wanted.actions.iter().all(|action| scope.allows(action))
            })
        })
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn to_vec(&self) -> Vec<Scope> {
        self.0.clone()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Scope> {
        self.0.iter()
    }

    /// Returns the repository of the first scope.
    pub(crate) fn repository(&self) -> Option<RepositoryName> {
        let first = self.0.first().filter(|scope| scope.kind == "repository")?;
        RepositoryName::parse(&first.name).ok()
    }

    fn add(&mut self, scope: Scope) {
        let same = self.0.iter_mut().find(|s| s.kind == scope.kind && s.name == scope.name);
        match same {
            Some(known) => {
                for action in scope.actions {
                    if !known.allows(&action) {
                        known.actions.push(action);
                    }
                }
            }
            None => self.0.push(scope),
        }
    }
}

/// 64 actions in a scope: real scopes have at most four.
const ACTION_LIMIT: usize = 64;
/// 16 scopes in a challenge: real challenges have one, or two for a mount.
const SCOPE_LIMIT: usize = 16;

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(scopes: &Scopes) -> String {
        scopes.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn scopes_merge_by_resource_and_keep_their_order() {
        let a = Scopes::parse("repository:t:pull,push repository:s:pull");
        let b = Scopes::parse("repository:s:push repository:t:delete registry:catalog:*");
        assert_eq!(
            shown(&a.and(&b)),
            "repository:t:pull,push,delete repository:s:pull,push registry:catalog:*"
        );
        assert_eq!(
            shown(&Scopes::parse("repository:localhost:5000/a:pull")),
            "repository:localhost:5000/a:pull"
        );
        assert_eq!(shown(&Scopes::parse("nonsense :: a:b")), "");
        let many = format!("repository:a:{}", "x,".repeat(10_000));
        assert_eq!(shown(&Scopes::parse(&many)), "");
    }

    #[test]
    fn a_wider_scope_covers_a_narrower_one() {
        for (wide, narrow, expected) in [
            ("repository:a:pull,push", "repository:a:pull", true),
            ("repository:a:pull", "repository:a:pull,push", false),
            ("repository:a:*", "repository:a:push", true),
            ("repository:a:pull", "repository:b:pull", false),
            ("repository:a:pull", "", true),
        ] {
            assert_eq!(
                Scopes::parse(wide).cover(&Scopes::parse(narrow)),
                expected,
                "{wide} {narrow}"
            );
        }
    }
}
