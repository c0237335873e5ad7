//! The measured programs, and their command lines for the same tasks.

use std::path::{Path, PathBuf};

use super::Tools;

/// A program, and the image or repository that it transfers or queries.
pub(super) struct Contestant {
    program: Program,
    path: PathBuf,
    repository: String,
    all_tags: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Program {
    Longshore,
    /// Another build of longshore.
    Before,
    Skopeo,
    OciClient,
}

/// Returns the programs that support these transfers. The crate `oci-client` copies only single
/// images.
pub(super) fn of_transfers(tools: &Tools, repository: &str, all_tags: bool) -> Vec<Contestant> {
    let mut who = all(tools, repository, all_tags);
    who.retain(|c| !all_tags || c.program != Program::OciClient);
    who
}

/// Returns the programs that query a registry.
pub(super) fn of_questions(tools: &Tools) -> Vec<Contestant> {
    all(tools, "many", false)
}

/// Returns the programs that are registries.
pub(super) fn of_servers(tools: &Tools) -> Vec<Contestant> {
    let mut who = all(tools, "", false);
    who.retain(|c| matches!(c.program, Program::Longshore | Program::Before));
    who
}

/// Returns longshore as a client.
pub(super) fn longshore(tools: &Tools, repository: &str, all_tags: bool) -> Contestant {
    Contestant::new(Program::Longshore, &tools.longshore, repository, all_tags)
}

fn all(tools: &Tools, repository: &str, all_tags: bool) -> Vec<Contestant> {
    let before = tools.before.as_deref().map(|path| (Program::Before, path));
    [(Program::Longshore, &*tools.longshore)]
        .into_iter()
        .chain(before)
        .chain([(Program::Skopeo, Path::new("skopeo")), (Program::OciClient, &*tools.oci_client)])
        .map(|(program, path)| Contestant::new(program, path, repository, all_tags))
        .collect()
}

/// A command line; `None` if the program does not support the task.
pub(super) type CommandLine = Option<Vec<String>>;

impl Contestant {
    fn new(program: Program, path: &Path, repository: &str, all_tags: bool) -> Self {
        let (path, repository) = (path.to_owned(), repository.to_owned());
        Self { program, path, repository, all_tags }
    }

    pub(super) fn name(&self) -> &'static str {
        match self.program {
            Program::Longshore => "longshore",
            Program::Before => "before",
            Program::Skopeo => "skopeo",
            Program::OciClient => "oci-client",
        }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn copy(&self, source: &str, target: &str) -> CommandLine {
        let name = &self.repository;
        match (self.program, self.all_tags) {
            (Program::Longshore | Program::Before, true) => {
                self.line(&format!("copy --quiet --all-tags {source}/{name} {target}/{name}"))
            }
            (Program::Longshore | Program::Before, false) => {
                self.line(&format!("copy --quiet {source}/{name}:v1 {target}/{name}:v1"))
            }
            (Program::Skopeo, true) => self.line(&format!(
                "sync --src-tls-verify=false --dest-tls-verify=false --src docker --dest docker \
                 {source}/{name} {target}"
            )),
            (Program::Skopeo, false) => self.line(&format!(
                "copy --quiet --src-tls-verify=false --dest-tls-verify=false \
                 docker://{source}/{name}:v1 docker://{target}/{name}:v1"
            )),
            (Program::OciClient, _) => {
                self.line(&format!("copy {source}/{name}:v1 {target}/{name}:v1"))
            }
        }
    }

    pub(super) fn pull(&self, source: &str, folder: &Path) -> CommandLine {
        let (name, folder) = (&self.repository, folder.display());
        match (self.program, self.all_tags) {
            (Program::Longshore | Program::Before, true) => {
                self.line(&format!("pull --quiet --all-tags {source}/{name} oci:{folder}"))
            }
            (Program::Longshore | Program::Before, false) => {
                self.line(&format!("pull --quiet {source}/{name}:v1 oci:{folder}:v1"))
            }
            (Program::Skopeo, true) => self.line(&format!(
                "sync --src-tls-verify=false --src docker --dest dir {source}/{name} {folder}"
            )),
            (Program::Skopeo, false) => self.line(&format!(
                "copy --quiet --src-tls-verify=false docker://{source}/{name}:v1 oci:{folder}:v1"
            )),
            (Program::OciClient, _) => self.line(&format!("pull {source}/{name}:v1 {folder}")),
        }
    }

    pub(super) fn push(&self, folder: &Path, target: &str) -> CommandLine {
        let (name, folder) = (&self.repository, folder.display());
        match (self.program, self.all_tags) {
            (Program::Longshore | Program::Before, true) => {
                self.line(&format!("push --quiet --all-tags oci:{folder} {target}/{name}"))
            }
            (Program::Longshore | Program::Before, false) => {
                self.line(&format!("push --quiet oci:{folder}:v1 {target}/{name}:v1"))
            }
            (Program::Skopeo, true) => self.line(&format!(
                "sync --dest-tls-verify=false --src dir --dest docker {folder} {target}"
            )),
            (Program::Skopeo, false) => self.line(&format!(
                "copy --quiet --dest-tls-verify=false oci:{folder}:v1 docker://{target}/{name}:v1"
            )),
            (Program::OciClient, _) => None,
        }
    }

    pub(super) fn ls(&self, source: &str) -> CommandLine {
        let name = &self.repository;
        match self.program {
            Program::Skopeo => {
                self.line(&format!("list-tags --tls-verify=false docker://{source}/{name}"))
            }
            Program::Longshore | Program::Before | Program::OciClient => {
                self.line(&format!("ls {source}/{name}"))
            }
        }
    }

    pub(super) fn digest(&self, source: &str) -> CommandLine {
        let name = &self.repository;
        match self.program {
            Program::Skopeo => self.line(&format!(
                "inspect --no-tags --tls-verify=false --format {{{{.Digest}}}} \
                 docker://{source}/{name}:v1"
            )),
            Program::Longshore | Program::Before | Program::OciClient => {
                self.line(&format!("digest {source}/{name}:v1"))
            }
        }
    }

    /// Splits a command line at spaces. No path of the benchmark contains a space.
    fn line(&self, arguments: &str) -> CommandLine {
        let words = arguments.split_whitespace().map(str::to_owned);
        Some(std::iter::once(self.path.display().to_string()).chain(words).collect())
    }
}
