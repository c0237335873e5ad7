//! The tables of `docs/src/design.md`: fenced blocks that start with "```layers" and a crate's name.
//!
//! ````text
//! ```layers some-crate
//! 0  error printable
//! 1  blob+store               `+`: one unit, whose modules import each other
//! never copy -> memory layout
//! apart command               the children of `command` never import each other
//! only transport::wire -> reqwest
//! ```
//! ````
//!
//! The block "layers crates" lists the allowed dependencies of each crate (`a -> b c`), and the
//! forbidden direct and indirect dependencies (`never a -> b c`).

use std::collections::BTreeMap;

use crate::failure::Failure;

/// All tables.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Table {
    /// The layers of each crate.
    pub(super) crates: BTreeMap<String, CrateLayers>,
    /// The allowed dependencies of each workspace crate.
    pub(super) dependencies: BTreeMap<String, Vec<String>>,
    /// The forbidden dependencies of crates.
    pub(super) never_depend: Vec<Rule>,
}

/// The layers of one crate, and further rules for its modules.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct CrateLayers {
    units: Vec<Unit>,
    pub(super) never: Vec<Rule>,
    pub(super) apart: Vec<String>,
    pub(super) only: Vec<Rule>,
}

/// Modules that count as one module, and their layer.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Unit {
    pub(super) layer: usize,
    modules: Vec<String>,
}

/// A rule for a module or crate, and the other modules or crates that it names.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Rule {
    pub(super) module: String,
    pub(super) others: Vec<String>,
}

impl Table {
    /// Parses all tables of a document.
    pub(super) fn parse(document: &str) -> Result<Self, Failure> {
        let mut table = Self::default();
        let mut block: Option<&str> = None;
        for line in document.lines() {
            match block {
                None => {
                    block = line.strip_prefix("```layers ").map(str::trim);
                    if let Some(name) = block.filter(|name| *name != CRATES) {
                        table.crates.entry(name.to_owned()).or_default();
                    }
                }
                Some(_) if line.starts_with("```") => block = None,
                Some(CRATES) => table.crate_line(line)?,
                Some(name) => table.crates.entry(name.to_owned()).or_default().line(line)?,
            }
        }
        if table.crates.is_empty() || table.dependencies.is_empty() {
            return Err(Failure::new("the document has no ```layers blocks"));
        }
        Ok(table)
    }

    fn crate_line(&mut self, line: &str) -> Result<(), Failure> {
        if let Some(rest) = line.strip_prefix("never ") {
            self.never_depend.push(Rule::parse(rest)?);
        } else if !line.trim().is_empty() {
            let Rule { module, others } = Rule::parse(line)?;
            self.dependencies.insert(module, others);
        }
        Ok(())
    }
}

impl CrateLayers {
    fn line(&mut self, line: &str) -> Result<(), Failure> {
        let Some((first, rest)) = line.trim().split_once(' ') else {
            return if line.trim().is_empty() { Ok(()) } else { Err(not_understood(line)) };
        };
        match first {
            "never" => self.never.push(Rule::parse(rest)?),
            "only" => self.only.push(Rule::parse(rest)?),
            "apart" => self.apart.extend(words(rest)),
            _ => {
                let layer = first.parse().map_err(|_| not_understood(line))?;
                self.units.extend(rest.split_whitespace().map(|unit| Unit {
                    layer,
                    modules: unit.split('+').map(str::to_owned).collect(),
                }));
            }
        }
        Ok(())
    }

    /// Returns the unit of a module: the unit that lists the longest prefix of its path.
    pub(super) fn unit(&self, module: &str) -> Option<&Unit> {
        let listed = self.units.iter().filter_map(|unit| {
            let parts = unit.modules.iter().filter(|listed| is_within(module, listed));
            Some((parts.map(String::len).max()?, unit))
        });
        listed.max_by_key(|(length, _)| *length).map(|(_, unit)| unit)
    }

    /// Returns all listed modules.
    pub(super) fn modules(&self) -> impl Iterator<Item = &str> {
        self.units.iter().flat_map(|unit| unit.modules.iter().map(String::as_str))
    }
}

impl Rule {
    fn parse(text: &str) -> Result<Self, Failure> {
        let (module, others) = text.split_once("->").ok_or_else(|| not_understood(text))?;
        Ok(Self { module: module.trim().to_owned(), others: words(others) })
    }
}

/// Returns true if a module is `parent`, or within it.
pub(super) fn is_within(module: &str, parent: &str) -> bool {
    let rest = module.strip_prefix(parent);
    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with("::"))
}

fn words(text: &str) -> Vec<String> {
    text.split_whitespace().map(str::to_owned).collect()
}

fn not_understood(line: &str) -> Failure {
    Failure::new(format!("docs/src/design.md: invalid line in a layers block: {line}"))
}

/// The name of the block for whole crates.
const CRATES: &str = "crates";
