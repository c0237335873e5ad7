//! Cargo's metadata of the workspace and its dependencies.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::process::Stdio;

use serde::Deserialize;

use crate::failure::Failure;
use crate::step::cargo;

/// Returns the workspace's root, the folder of its `Cargo.toml`.
///
/// Reads `CARGO_MANIFEST_DIR` at run time, because two checkouts that share a target folder also
/// share this program.
pub(crate) fn root() -> PathBuf {
    let own = std::env::var_os("CARGO_MANIFEST_DIR");
    let own = own.map_or_else(|| PathBuf::from("xtask"), PathBuf::from);
    own.parent().unwrap_or(&own).to_owned()
}

/// The packages of a workspace and all their dependencies, with all features.
#[derive(Debug, Deserialize)]
pub(crate) struct Metadata {
    pub(crate) packages: Vec<Package>,
    /// Cargo's target folder.
    pub(crate) target_directory: PathBuf,
    workspace_members: Vec<String>,
    resolve: Resolve,
}

/// One version of a package.
#[derive(Debug, Deserialize)]
pub(crate) struct Package {
    id: String,
    pub(crate) name: String,
    pub(crate) version: String,
    /// An SPDX expression.
    pub(crate) license: Option<String>,
    /// The registry or Git repository; `None` for a folder.
    pub(crate) source: Option<String>,
    pub(crate) manifest_path: PathBuf,
}

#[derive(Debug, Deserialize)]
struct Resolve {
    nodes: Vec<Node>,
}

#[derive(Debug, Deserialize)]
struct Node {
    id: String,
    deps: Vec<Dependency>,
}

#[derive(Debug, Deserialize)]
struct Dependency {
    pkg: String,
    dep_kinds: Vec<DependencyKind>,
}

#[derive(Debug, Deserialize)]
struct DependencyKind {
    kind: Option<String>,
}

impl Metadata {
    /// Loads the metadata of the workspace from cargo.
    pub(crate) fn load() -> Result<Self, Failure> {
        Self::load_with(&[])
    }

    /// Loads the metadata with additional arguments for `cargo metadata`.
    pub(crate) fn load_with(arguments: &[&str]) -> Result<Self, Failure> {
        let mut command = cargo();
        command.args(["metadata", "--format-version", "1", "--all-features"]).args(arguments);
        let output = command.stdin(Stdio::null()).stderr(Stdio::inherit()).output();
        let output = output.map_err(|e| Failure::new(format!("cargo metadata: {e}")))?;
        if !output.status.success() {
            return Err(Failure::new(format!("cargo metadata: {}", output.status)));
        }
        serde_json::from_slice(&output.stdout)
            .map_err(|e| Failure::new(format!("cargo metadata: {e}")))
    }

    /// Returns the packages of the workspace.
    pub(crate) fn members(&self) -> impl Iterator<Item = &Package> {
        self.packages.iter().filter(|package| self.is_member(package))
    }

    /// Returns the packages that are not members of the workspace.
    pub(crate) fn dependencies(&self) -> impl Iterator<Item = &Package> {
        self.packages.iter().filter(|package| !self.is_member(package))
    }

    /// Returns the names of each member's direct and transitive dependencies, without those of
    /// tests and build scripts.
    pub(crate) fn normal_dependencies(&self) -> BTreeMap<String, Dependencies> {
        self.members()
            .map(|member| {
                let direct = self.normal(&member.id);
                let mut all: BTreeSet<&str> = BTreeSet::new();
                let mut open = direct.clone();
                while let Some(id) = open.pop() {
                    if all.insert(id) {
                        open.extend(self.normal(id));
                    }
                }
                let dependencies =
                    Dependencies { direct: self.names(direct), all: self.names(all) };
                (member.name.clone(), dependencies)
            })
            .collect()
    }

    fn is_member(&self, package: &Package) -> bool {
        self.workspace_members.contains(&package.id)
    }

    fn normal(&self, id: &str) -> Vec<&str> {
        let nodes = self.resolve.nodes.iter().filter(|node| node.id == id);
        nodes
            .flat_map(|node| &node.deps)
            .filter(|dependency| dependency.dep_kinds.iter().any(|k| k.kind.is_none()))
            .map(|dependency| dependency.pkg.as_str())
            .collect()
    }

    fn names<'a>(&self, ids: impl IntoIterator<Item = &'a str>) -> BTreeSet<String> {
        let name = |id: &str| {
            let package = self.packages.iter().find(|package| package.id == id);
            package.map(|package| package.name.clone())
        };
        ids.into_iter().filter_map(name).collect()
    }
}

/// The dependencies of a package, by name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Dependencies {
    /// Dependencies in the package's `Cargo.toml`.
    pub(crate) direct: BTreeSet<String>,
    /// Direct and transitive dependencies.
    pub(crate) all: BTreeSet<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn metadata() -> Metadata {
        let package = |name: &str| {
            serde_json::json!({"id": name, "name": name, "version": "1.0.0",
                "license": "MIT", "manifest_path": "Cargo.toml"})
        };
        let on = |name: &str, kind: Option<&str>| serde_json::json!({"pkg": name, "dep_kinds": [{"kind": kind}]});
        let packages = ["own", "near", "far", "testing"].map(package);
        let json = serde_json::json!({
            "packages": packages,
            "target_directory": "target",
            "workspace_members": ["own"],
            "resolve": {"nodes": [
                {"id": "own", "deps": [on("near", None), on("testing", Some("dev"))]},
                {"id": "near", "deps": [on("far", None)]},
                {"id": "far", "deps": []},
                {"id": "testing", "deps": []},
            ]},
        });
        serde_json::from_value(json).unwrap()
    }

    #[test]
    fn normal_dependencies_exclude_dev_dependencies() {
        let found = metadata().normal_dependencies();
        let set = |names: &[&str]| names.iter().map(|n| (*n).to_owned()).collect();
        assert_eq!(found["own"].direct, set(&["near"]));
        assert_eq!(found["own"].all, set(&["near", "far"]));
        assert_eq!(metadata().dependencies().count(), 3);
    }
}
