//! The measured programs, and their command lines for the same tasks.

use std::path::Path;

use super::Tools;

/// A program, and the image or repository it works on.
pub(super) struct Contestant {
    program: Program,
    path: String,
    repository: String,
    all_tags: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Program {
    Longshore,
    Skopeo,
    OciClient,
}

/// Returns the programs that copy. The crate `oci-client` copies only single images.
pub(super) fn of_transfers(tools: &Tools, repository: &str, all_tags: bool) -> Vec<Contestant> {
    let programs = [Program::Longshore, Program::Skopeo, Program::OciClient];
    let takes_part = |program: &Program| !all_tags || *program != Program::OciClient;
    programs
        .into_iter()
        .filter(takes_part)
        .map(|program| Contestant::new(program, tools, repository, all_tags))
        .collect()
}

/// Returns the programs that answer queries.
pub(super) fn of_questions(tools: &Tools) -> Vec<Contestant> {
    [Program::Longshore, Program::Skopeo, Program::OciClient]
        .into_iter()
        .map(|program| Contestant::new(program, tools, "many", false))
        .collect()
}

/// A command line; `None` if the program does not support the task.
pub(super) type CommandLine = Option<Vec<String>>;

impl Contestant {
    fn new(program: Program, tools: &Tools, repository: &str, all_tags: bool) -> Self {
        let path = match program {
            Program::Longshore => tools.longshore.display().to_string(),
            Program::Skopeo => "skopeo".to_owned(),
            Program::OciClient => tools.oci_client.display().to_string(),
        };
        Self { program, path, repository: repository.to_owned(), all_tags }
    }

    pub(super) fn name(&self) -> &'static str {
        match self.program {
            Program::Longshore => "longshore",
            Program::Skopeo => "skopeo",
            Program::OciClient => "oci-client",
        }
    }

    pub(super) fn copy(&self, source: &str, target: &str) -> CommandLine {
        let name = &self.repository;
        match (self.program, self.all_tags) {
            (Program::Longshore, true) => {
                self.line(&format!("copy --quiet --all-tags {source}/{name} {target}/{name}"))
            }
            (Program::Longshore, false) => {
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
            (Program::Longshore, true) => {
                self.line(&format!("pull --quiet --all-tags {source}/{name} oci:{folder}"))
            }
            (Program::Longshore, false) => {
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
            (Program::Longshore, true) => {
                self.line(&format!("push --quiet --all-tags oci:{folder} {target}/{name}"))
            }
            (Program::Longshore, false) => {
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
            Program::Longshore | Program::OciClient => self.line(&format!("ls {source}/{name}")),
        }
    }

    pub(super) fn digest(&self, source: &str) -> CommandLine {
        let name = &self.repository;
        match self.program {
            Program::Skopeo => self.line(&format!(
                "inspect --no-tags --tls-verify=false --format {{{{.Digest}}}} \
                 docker://{source}/{name}:v1"
            )),
            Program::Longshore | Program::OciClient => {
                self.line(&format!("digest {source}/{name}:v1"))
            }
        }
    }

    /// Splits a command line at spaces; no path here contains any.
    fn line(&self, arguments: &str) -> CommandLine {
        let words = arguments.split_whitespace().map(str::to_owned);
        Some(std::iter::once(self.path.clone()).chain(words).collect())
    }
}
