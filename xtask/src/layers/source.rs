//! Finds the names of modules and other crates in the sources of a crate.
//!
//! Follows paths, `use` trees and `pub use` through a file's tokens. A syntax tree would not
//! include the names in macro arguments. Macros are not expanded.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use super::table::is_within;
use super::token::{Token, tokens};
use crate::failure::Failure;

/// The sources of a crate, without their tests.
#[derive(Debug)]
pub(super) struct CrateSource {
    files: Vec<SourceFile>,
    modules: BTreeSet<String>,
    /// Targets of `pub use`, by module and name.
    reexports: BTreeMap<(String, String), Vec<String>>,
}

/// One file.
#[derive(Debug)]
pub(super) struct SourceFile {
    /// The path from the workspace's root.
    pub(super) path: String,
    /// The module, such as `auth::scope`; empty for the crate's root.
    pub(super) module: String,
    tokens: Vec<Token>,
}

/// A place where one module names another.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Edge {
    pub(super) path: String,
    pub(super) line: usize,
    pub(super) from: String,
    pub(super) to: String,
}

/// A place where a module names another crate.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct OutsideName {
    pub(super) path: String,
    pub(super) line: usize,
    pub(super) module: String,
    pub(super) name: String,
}

/// A path in the source, made absolute within the crate.
struct Named {
    line: usize,
    path: Vec<String>,
    /// The exported name, if a `pub use` exports it.
    exported_as: Option<String>,
}

impl CrateSource {
    /// Reads every file below `folder`.
    pub(super) fn read(folder: &Path) -> Result<Self, Failure> {
        let mut files = Vec::new();
        collect(folder, folder, &mut files)?;
        Self::new(files)
    }

    /// Parses files, each given as a path for messages, the path below `src`, and the text.
    pub(super) fn new(files: Vec<(String, String, String)>) -> Result<Self, Failure> {
        let files = files.into_iter().map(|(path, below, text)| {
            let tokens = tokens(&text).map_err(|e| Failure::new(format!("{path}: {e}")))?;
            Ok(SourceFile { path, module: module(&below), tokens })
        });
        let mut files = files.collect::<Result<Vec<_>, Failure>>()?;
        files.retain(|file| !file.is_test());
        let modules: BTreeSet<String> = files.iter().map(|file| file.module.clone()).collect();
        let mut reexports = BTreeMap::new();
        for file in &files {
            for named in file.named(&modules) {
                if let Some(name) = named.exported_as {
                    reexports.insert((file.module.clone(), name), named.path);
                }
            }
        }
        Ok(Self { files, modules, reexports })
    }

    /// Returns the files, except those of modules named `tests` and of their children.
    pub(super) fn files(&self) -> &[SourceFile] {
        &self.files
    }

    /// Returns every place where one module names another.
    pub(super) fn edges(&self) -> Vec<Edge> {
        let mut edges = Vec::new();
        for file in &self.files {
            for named in file.named(&self.modules) {
                let to = self.resolve(&named.path);
                // A `pub use` of a child's items is not an import.
                let shows = named.exported_as.is_some() && is_within(&to, &file.module);
                if to != file.module && !shows {
                    edges.push(Edge {
                        path: file.path.clone(),
                        line: named.line,
                        from: file.module.clone(),
                        to,
                    });
                }
            }
        }
        edges
    }

    /// Returns every place where one of these crates is named.
    pub(super) fn outside_names(&self, crates: &[String]) -> Vec<OutsideName> {
        let mut found = Vec::new();
        for file in &self.files {
            for (line, name) in file.outside(crates) {
                found.push(OutsideName {
                    path: file.path.clone(),
                    line,
                    module: file.module.clone(),
                    name,
                });
            }
        }
        found
    }

    /// Returns the module that defines the target of a path, through any `pub use`.
    fn resolve(&self, path: &[String]) -> String {
        let mut path = path.to_vec();
        // A longer chain of re-exports is a cycle.
        for _ in 0..8 {
            let depth = longest_module(&self.modules, &path);
            let module = path[..depth].join("::");
            let Some(next) = path.get(depth) else {
                return module;
            };
            match self.reexports.get(&(module.clone(), next.clone())) {
                Some(target) if *target != path => {
                    let rest = path.split_off(depth + 1);
                    path = [target.clone(), rest].concat();
                }
                _ => return module,
            }
        }
        path.join("::")
    }
}

impl SourceFile {
    fn is_test(&self) -> bool {
        self.module.split("::").any(|part| part == "tests")
    }

    /// Returns all paths that start with `crate`, `super`, `self` or (in a `use`) a child module.
    fn named(&self, modules: &BTreeSet<String>) -> Vec<Named> {
        let mut named = Vec::new();
        let mut at = 0;
        while at < self.tokens.len() {
            if let Some(end) = self.end_of_macro(at) {
                at = end;
                continue;
            }
            let start = self.start_of_path(at, modules);
            let Some((base, first)) = start else {
                at += 1;
                continue;
            };
            let exported = self.is_exported(at);
            let line = self.tokens[at].line;
            let mut leaves = Vec::new();
            at = self.tree(first, &base, &mut leaves).max(at + 1);
            named.extend(leaves.into_iter().map(|(path, name)| Named {
                line,
                path,
                exported_as: exported.then_some(name),
            }));
        }
        named
    }

    /// Returns the end of a `macro_rules` that starts at this token. Paths in the macro belong to
    /// its callers.
    fn end_of_macro(&self, at: usize) -> Option<usize> {
        if self.text(at) != "macro_rules" || self.text(at + 1) != "!" {
            return None;
        }
        let mut depth = 0_usize;
        for end in at + 3..self.tokens.len() {
            match self.text(end) {
                "{" => depth += 1,
                "}" if depth == 1 => return Some(end + 1),
                "}" => depth -= 1,
                _ => {}
            }
        }
        None
    }

    /// Returns the module at which a path into this crate starts, and the position of the rest of
    /// the path. Returns `None` if no such path starts at this token.
    fn start_of_path(&self, at: usize, modules: &BTreeSet<String>) -> Option<(Vec<String>, usize)> {
        let before = at.checked_sub(1).map_or("", |before| self.text(before));
        if matches!(before, "::" | "$" | "in") {
            return None;
        }
        let own: Vec<String> =
            self.module.split("::").filter(|p| !p.is_empty()).map(str::to_owned).collect();
        let mut base = match self.text(at) {
            "crate" => Vec::new(),
            "self" => own,
            "super" => own[..own.len().saturating_sub(1)].to_vec(),
            child if before == "use" => {
                let path = [own.clone(), vec![child.to_owned()]].concat();
                return modules.contains(&path.join("::")).then_some((own, at));
            }
            _ => return None,
        };
        if self.text(at + 1) != "::" {
            return None;
        }
        let mut next = at + 2;
        while self.text(next) == "super" && self.text(next + 1) == "::" {
            base.pop();
            next += 2;
        }
        Some((base, next))
    }

    /// Returns true if the path at this token belongs to a `pub use` of any visibility.
    fn is_exported(&self, at: usize) -> bool {
        let Some(before) = at.checked_sub(2) else {
            return false;
        };
        self.text(at - 1) == "use" && matches!(self.text(before), "pub" | ")")
    }

    /// Follows a `use` tree or a path from `at`. Collects each full path with its local name, and
    /// returns the end position.
    fn tree(
        &self,
        mut at: usize,
        base: &[String],
        leaves: &mut Vec<(Vec<String>, String)>,
    ) -> usize {
        let mut path = base.to_vec();
        loop {
            match self.text(at) {
                "{" => {
                    at += 1;
                    while !matches!(self.text(at), "}" | "") {
                        at = self.tree(at, &path, leaves).max(at + 1);
                        if self.text(at) == "," {
                            at += 1;
                        }
                    }
                    return at + 1;
                }
                "*" => {
                    leaves.push((path, "*".to_owned()));
                    return at + 1;
                }
                "self" => at += 1,
                word if is_word(word) => {
                    path.push(word.to_owned());
                    at += 1;
                }
                _ => break,
            }
            if self.text(at) != "::" {
                break;
            }
            at += 1;
        }
        let mut name = path.last().cloned().unwrap_or_default();
        if self.text(at) == "as" {
            name = self.text(at + 1).to_owned();
            at += 2;
        }
        leaves.push((path, name));
        at
    }

    fn outside(&self, crates: &[String]) -> Vec<(usize, String)> {
        let mut found = Vec::new();
        for at in 0..self.tokens.len() {
            let name = self.text(at);
            let before = at.checked_sub(1).map_or("", |before| self.text(before));
            let starts_path = before != "::" && self.text(at + 1) == "::";
            let whole_use = before == "use" && matches!(self.text(at + 1), ";" | "as");
            let listed = crates.iter().find(|c| c.replace('-', "_") == name);
            if let Some(listed) = listed.filter(|_| starts_path || whole_use) {
                found.push((self.tokens[at].line, listed.clone()));
            }
        }
        found
    }

    fn text(&self, at: usize) -> &str {
        self.tokens.get(at).map_or("", |token| &token.text)
    }
}

fn is_word(text: &str) -> bool {
    text.starts_with(|c: char| c.is_alphabetic() || c == '_') && text != "as"
}

/// Returns the number of leading parts of a path that form a module of this crate.
fn longest_module(modules: &BTreeSet<String>, path: &[String]) -> usize {
    let lengths = (1..=path.len()).rev();
    let mut known = lengths.filter(|n| modules.contains(&path[..*n].join("::")));
    known.next().unwrap_or(0)
}

/// Returns the module of a file below `src`.
fn module(below: &str) -> String {
    let path = below.trim_end_matches(".rs").replace(['/', '\\'], "::");
    match path.as_str() {
        "lib" | "main" => String::new(),
        _ => path.trim_end_matches("::mod").to_owned(),
    }
}

fn collect(
    root: &Path,
    folder: &Path,
    files: &mut Vec<(String, String, String)>,
) -> Result<(), Failure> {
    let broken = |e: std::io::Error| Failure::new(format!("{}: {e}", folder.display()));
    for entry in fs::read_dir(folder).map_err(broken)? {
        let path = entry.map_err(broken)?.path();
        if path.is_dir() {
            collect(root, &path, files)?;
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let below = path.strip_prefix(root).unwrap_or(&path);
            let workspace = crate::metadata::root();
            let shown = path.strip_prefix(&workspace).unwrap_or(&path);
            let text = fs::read_to_string(&path).map_err(broken)?;
            files.push((shown.display().to_string(), below.display().to_string(), text));
        }
    }
    Ok(())
}
