//! Allowed imports: compares the sources with the tables in `docs/src/design.md`.
//!
//! Owns the rules. `table` parses the tables, and `source` finds the imports. The check is pure: it
//! takes a table and sources, and returns complaints.

mod source;
mod table;
mod token;

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;

use crate::failure::Failure;
use crate::metadata::{Dependencies, Metadata};
use source::{CrateSource, Edge};
use table::{CrateLayers, Table, is_within};

/// Checks every crate in the tables.
pub(crate) fn run() -> Result<(), Failure> {
    let text =
        std::fs::read_to_string(DESIGN).map_err(|e| Failure::new(format!("{DESIGN}: {e}")))?;
    let table = Table::parse(&text)?;
    let metadata = Metadata::load()?;
    let mut complaints = crates(&table, &metadata.normal_dependencies());
    let mut edges = 0;
    for (name, layers) in &table.crates {
        let Some(package) = metadata.members().find(|package| package.name == *name) else {
            complaints.push(Complaint::of_table(format!("there is no crate {name}")));
            continue;
        };
        let folder = package.manifest_path.parent().unwrap_or(Path::new("."));
        let source = CrateSource::read(&folder.join("src"))?;
        edges += source.edges().len();
        complaints.extend(modules(name, layers, &source));
    }
    Failure::unless_empty(&complaints)?;
    println!("{} crates and {edges} imports agree with {DESIGN}", table.crates.len());
    Ok(())
}

/// A violation of a rule, and its place.
#[derive(Debug, PartialEq, Eq)]
struct Complaint {
    place: String,
    text: String,
}

impl Complaint {
    fn of_table(text: String) -> Self {
        Self { place: DESIGN.to_owned(), text }
    }
}

impl fmt::Display for Complaint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.place, self.text)
    }
}

/// Checks the crates' dependencies on each other, and on forbidden crates.
fn crates(table: &Table, found: &BTreeMap<String, Dependencies>) -> Vec<Complaint> {
    let mut complaints = Vec::new();
    for (name, dependencies) in found {
        let Some(allowed) = table.dependencies.get(name) else {
            complaints.push(Complaint::of_table(format!("the crate {name} is not listed")));
            continue;
        };
        let within = dependencies.direct.iter().filter(|d| found.contains_key(*d));
        for other in within.filter(|d| !allowed.contains(d)) {
            complaints.push(Complaint {
                place: name.clone(),
                text: format!("depends on {other}, which {DESIGN} does not allow"),
            });
        }
        let banned = table.never_depend.iter().filter(|ban| ban.module == *name);
        for other in banned.flat_map(|ban| &ban.others) {
            if dependencies.all.contains(other) {
                complaints.push(Complaint {
                    place: name.clone(),
                    text: format!("depends on {other}, directly or indirectly, which is forbidden"),
                });
            }
        }
    }
    complaints
}

/// Checks a crate's modules against its layers.
fn modules(name: &str, layers: &CrateLayers, source: &CrateSource) -> Vec<Complaint> {
    let unlisted = |module: &str| !module.is_empty() && layers.unit(module).is_none();
    let mut complaints = Vec::new();
    for file in source.files() {
        let parent = file.module.rsplit_once("::").map_or("", |(parent, _)| parent);
        if unlisted(&file.module) && !unlisted(parent) {
            complaints.push(Complaint {
                place: file.path.clone(),
                text: format!("the module {} of {name} is in no layer of {DESIGN}", file.module),
            });
        }
    }
    for module in layers.modules() {
        if !source.files().iter().any(|file| is_within(&file.module, module)) {
            complaints.push(Complaint::of_table(format!("{name} has no module {module}")));
        }
    }
    complaints.extend(source.edges().iter().filter_map(|edge| {
        let text = broken_rule(layers, edge)?;
        let place = format!("{}:{}", edge.path, edge.line);
        Some(Complaint { place, text })
    }));
    for only in &layers.only {
        for name in source.outside_names(&only.others) {
            if !is_within(&name.module, &only.module) {
                complaints.push(Complaint {
                    place: format!("{}:{}", name.path, name.line),
                    text: format!("names {}: allowed only in {}", name.name, only.module),
                });
            }
        }
    }
    complaints
}

/// Describes the rule that an import breaks, if any.
fn broken_rule(layers: &CrateLayers, edge: &Edge) -> Option<String> {
    let Edge { from, to, .. } = edge;
    // The crate's root is above every layer, so it may import all modules.
    if from.is_empty() {
        return None;
    }
    if to.is_empty() {
        return Some(format!("{from} imports from the crate's root, which is above every layer"));
    }
    let never = layers.never.iter().find(|never| {
        is_within(from, &never.module) && never.others.iter().any(|o| is_within(to, o))
    });
    if let Some(never) = never {
        return Some(format!("{from} imports {to}: forbidden for {}", never.module));
    }
    if let Some(parent) = layers.apart.iter().find(|p| siblings(p, from, to)) {
        return Some(format!(
            "{from} imports {to}: the modules of {parent} must not import each other"
        ));
    }
    let (lower, upper) = (layers.unit(to)?, layers.unit(from)?);
    let allowed = lower.layer < upper.layer || lower == upper;
    (!allowed).then(|| {
        format!(
            "{from} (layer {}) imports {to} (layer {}): only lower layers may be imported",
            upper.layer, lower.layer
        )
    })
}

/// Returns true if two modules are in different children of `parent`.
fn siblings(parent: &str, one: &str, other: &str) -> bool {
    let child = |module: &str| {
        let within = module.strip_prefix(parent)?.strip_prefix("::")?;
        within.split("::").next().map(str::to_owned)
    };
    match (child(one), child(other)) {
        (Some(one), Some(other)) => one != other,
        _ => false,
    }
}

const DESIGN: &str = "docs/src/design.md";

#[cfg(test)]
mod tests;
