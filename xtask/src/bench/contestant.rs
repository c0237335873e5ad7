//! The measured programs, and their command lines for the same tasks.
//!
//! The command lines are those of skopeo 1.9 (its manual pages), crane 0.20 (`cmd/crane/doc` of
//! go-containerregistry), regctl 0.8 (`cmd/regctl` of regclient) and oras 1.3
//! (<https://oras.land/docs/commands>).

use std::path::{Path, PathBuf};

use super::Tools;
use super::task::{Action, Task, Who};

/// A program, and the image or repository that it transfers or queries.
pub(super) struct Contestant {
    pub(super) program: Program,
    path: PathBuf,
    repository: &'static str,
    all_tags: bool,
    /// The certificate to trust. Without it, registries are reached by plain HTTP.
    certificate: Option<PathBuf>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Program {
    Longshore,
    /// Another build of longshore.
    Before,
    Skopeo,
    OciClient,
    Crane,
    Regctl,
    Oras,
}

impl Program {
    /// The programs that take part if they are installed.
    pub(super) const OPTIONAL: [Self; 3] = [Self::Crane, Self::Regctl, Self::Oras];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Longshore => "longshore",
            Self::Before => "before",
            Self::Skopeo => "skopeo",
            Self::OciClient => "oci-client",
            Self::Crane => "crane",
            Self::Regctl => "regctl",
            Self::Oras => "oras",
        }
    }

    fn is_longshore(self) -> bool {
        matches!(self, Self::Longshore | Self::Before)
    }

    /// Returns whether the program hashes the content that it transfers, and is compared with
    /// longshore's aims. crane does not hash the layers of a layout that it pushes. oras hashes
    /// only what it writes to a layout.
    pub(super) fn verifies(self, action: Action) -> bool {
        match self {
            Self::Longshore | Self::Before | Self::Skopeo | Self::OciClient | Self::Regctl => true,
            Self::Crane => action != Action::Push,
            Self::Oras => !matches!(action, Action::Copy | Action::CopyAgain | Action::Push),
        }
    }
}

/// Returns the programs of a task.
pub(super) fn of_task(tools: &Tools, task: &Task, certificate: Option<&Path>) -> Vec<Contestant> {
    tools
        .programs
        .iter()
        .filter(|(program, _)| task.who == Who::All || program.is_longshore())
        .map(|(program, path)| Contestant::new(*program, path, task, certificate))
        .collect()
}

/// A command line; `None` if the program does not support the task.
pub(super) type CommandLine = Option<Vec<String>>;

impl Contestant {
    pub(super) fn new(
        program: Program,
        path: &Path,
        task: &Task,
        certificate: Option<&Path>,
    ) -> Self {
        Self {
            program,
            path: path.to_owned(),
            repository: task.content.repository,
            all_tags: task.all_tags(),
            certificate: certificate.map(Path::to_owned),
        }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn copy(&self, source: &str, target: &str) -> CommandLine {
        let name = self.repository;
        let (from, to) = (format!("{source}/{name}"), format!("{target}/{name}"));
        let arguments = match (self.program, self.all_tags) {
            (Program::Longshore | Program::Before, true) => {
                format!("copy --quiet --all-tags {from} {to}")
            }
            (Program::Longshore | Program::Before, false) => {
                format!("copy --quiet {from}:v1 {to}:v1")
            }
            (Program::Skopeo, true) => format!(
                "sync {} --src docker --dest docker {from} {target}",
                self.plain("--src-tls-verify=false --dest-tls-verify=false")
            ),
            (Program::Skopeo, false) => format!(
                "copy --quiet {} docker://{from}:v1 docker://{to}:v1",
                self.plain("--src-tls-verify=false --dest-tls-verify=false")
            ),
            (Program::Crane, true) => format!("copy --all-tags {from} {to}"),
            (Program::OciClient | Program::Crane, false) => format!("copy {from}:v1 {to}:v1"),
            (Program::Regctl, false) => {
                format!("{} image copy {from}:v1 {to}:v1", self.hosts(&[source, target]))
            }
            (Program::Oras, false) => format!(
                "cp --no-tty {} {from}:v1 {to}:v1",
                self.plain("--from-plain-http --to-plain-http")
            ),
            (Program::OciClient | Program::Regctl | Program::Oras, true) => return None,
        };
        self.line(&arguments)
    }

    pub(super) fn pull(&self, source: &str, folder: &Path) -> CommandLine {
        let (from, folder) = (format!("{source}/{}", self.repository), folder.display());
        let arguments = match (self.program, self.all_tags) {
            (Program::Longshore | Program::Before, true) => {
                format!("pull --quiet --all-tags {from} oci:{folder}")
            }
            (Program::Longshore | Program::Before, false) => {
                format!("pull --quiet {from}:v1 oci:{folder}:v1")
            }
            (Program::Skopeo, true) => format!(
                "sync {} --src docker --dest dir {from} {folder}",
                self.plain("--src-tls-verify=false")
            ),
            (Program::Skopeo, false) => format!(
                "copy --quiet {} docker://{from}:v1 oci:{folder}:v1",
                self.plain("--src-tls-verify=false")
            ),
            (Program::OciClient, false) => format!("pull {from}:v1 {folder}"),
            (Program::Crane, false) => format!("pull --format=oci {from}:v1 {folder}"),
            (Program::Regctl, false) => {
                format!("{} image copy {from}:v1 ocidir://{folder}:v1", self.hosts(&[source]))
            }
            (Program::Oras, false) => format!(
                "cp --no-tty {} --to-oci-layout {from}:v1 {folder}:v1",
                self.plain("--from-plain-http")
            ),
            (Program::OciClient | Program::Crane | Program::Regctl | Program::Oras, true) => {
                return None;
            }
        };
        self.line(&arguments)
    }

    /// Pulls eight blobs at a time, with a build of longshore.
    pub(super) fn pull_eight(&self, source: &str, folder: &Path) -> CommandLine {
        let mut line = self.pull(source, folder)?;
        line.extend(["--parallel", "8"].map(str::to_owned));
        Some(line)
    }

    /// Pushes the content of a folder that the same program pulled.
    pub(super) fn push(&self, folder: &Path, target: &str) -> CommandLine {
        let (to, folder) = (format!("{target}/{}", self.repository), folder.display());
        let arguments = match (self.program, self.all_tags) {
            (Program::Longshore | Program::Before, true) => {
                format!("push --quiet --all-tags oci:{folder} {to}")
            }
            (Program::Longshore | Program::Before, false) => {
                format!("push --quiet oci:{folder}:v1 {to}:v1")
            }
            (Program::Skopeo, true) => format!(
                "sync {} --src dir --dest docker {folder} {target}",
                self.plain("--dest-tls-verify=false")
            ),
            (Program::Skopeo, false) => format!(
                "copy --quiet {} oci:{folder}:v1 docker://{to}:v1",
                self.plain("--dest-tls-verify=false")
            ),
            (Program::Crane, false) => format!("push {folder} {to}:v1"),
            (Program::Regctl, false) => {
                format!("{} image copy ocidir://{folder}:v1 {to}:v1", self.hosts(&[target]))
            }
            (Program::Oras, false) => format!(
                "cp --no-tty --from-oci-layout {} {folder}:v1 {to}:v1",
                self.plain("--to-plain-http")
            ),
            // The crate `oci-client` does not read layouts.
            (Program::OciClient, _) | (Program::Crane | Program::Regctl | Program::Oras, true) => {
                return None;
            }
        };
        self.line(&arguments)
    }

    pub(super) fn ls(&self, source: &str) -> CommandLine {
        let from = format!("{source}/{}", self.repository);
        self.line(&match self.program {
            Program::Skopeo => {
                format!("list-tags {} docker://{from}", self.plain("--tls-verify=false"))
            }
            Program::Longshore | Program::Before | Program::OciClient | Program::Crane => {
                format!("ls {from}")
            }
            Program::Regctl => format!("{} tag ls {from}", self.hosts(&[source])),
            Program::Oras => format!("repo tags {} {from}", self.plain("--plain-http")),
        })
    }

    pub(super) fn digest(&self, source: &str) -> CommandLine {
        let from = format!("{source}/{}:v1", self.repository);
        self.line(&match self.program {
            Program::Skopeo => format!(
                "inspect --no-tags {} --format {{{{.Digest}}}} docker://{from}",
                self.plain("--tls-verify=false")
            ),
            Program::Longshore | Program::Before | Program::OciClient | Program::Crane => {
                format!("digest {from}")
            }
            Program::Regctl => format!("{} image digest {from}", self.hosts(&[source])),
            Program::Oras => format!("resolve {} {from}", self.plain("--plain-http")),
        })
    }

    /// Uploads a file as a blob, with a build of longshore.
    pub(super) fn blob_put(&self, file: &Path, target: &str) -> CommandLine {
        self.line(&format!("blob put --quiet {target}/{} {}", self.repository, file.display()))
    }

    /// Downloads a blob to a file, with a build of longshore.
    pub(super) fn blob_get(&self, source: &str, digest: &str, file: &Path) -> CommandLine {
        let (name, file) = (self.repository, file.display());
        self.line(&format!("blob get --quiet -o {file} {source}/{name} {digest}"))
    }

    /// Returns the options for plain HTTP, or nothing if the registries use TLS.
    fn plain<'a>(&self, options: &'a str) -> &'a str {
        if self.certificate.is_some() { "" } else { options }
    }

    /// Returns regctl's options for plain HTTP, or nothing if the registries use TLS.
    fn hosts(&self, registries: &[&str]) -> String {
        let options = registries.iter().map(|host| format!("--host reg={host},tls=disabled"));
        self.plain(&options.collect::<Vec<_>>().join(" ")).to_owned()
    }

    /// Splits a command line at spaces, and adds the certificate. No path of the benchmark contains
    /// a space. Programs in Go read their certificates from `SSL_CERT_FILE`.
    fn line(&self, arguments: &str) -> CommandLine {
        let path = self.path.display();
        let line = match (&self.certificate, self.program) {
            (None, _) => format!("{path} {arguments}"),
            (Some(_), Program::OciClient) => return None,
            (Some(certificate), Program::Longshore | Program::Before) => {
                format!("{path} {arguments} --ca-file {}", certificate.display())
            }
            (Some(certificate), _) => {
                format!("env SSL_CERT_FILE={} {path} {arguments}", certificate.display())
            }
        };
        Some(line.split_whitespace().map(str::to_owned).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::super::task::select;
    use super::*;

    fn contestant(program: Program, task: &str, certificate: Option<&str>) -> Contestant {
        let task = select(task, false, 1.0)[0];
        Contestant::new(program, Path::new("P"), &task, certificate.map(Path::new))
    }

    fn text(line: CommandLine) -> String {
        line.map_or_else(|| "cannot".to_owned(), |words| words.join(" "))
    }

    #[test]
    fn every_program_has_its_own_command_line_for_a_copy() {
        for (program, expected) in [
            (Program::Longshore, "P copy --quiet a/big:v1 b/big:v1"),
            (
                Program::Skopeo,
                "P copy --quiet --src-tls-verify=false --dest-tls-verify=false \
                 docker://a/big:v1 docker://b/big:v1",
            ),
            (Program::OciClient, "P copy a/big:v1 b/big:v1"),
            (Program::Crane, "P copy a/big:v1 b/big:v1"),
            (
                Program::Regctl,
                "P --host reg=a,tls=disabled --host reg=b,tls=disabled \
                 image copy a/big:v1 b/big:v1",
            ),
            (Program::Oras, "P cp --no-tty --from-plain-http --to-plain-http a/big:v1 b/big:v1"),
        ] {
            assert_eq!(text(contestant(program, "copy, 1 GiB", None).copy("a", "b")), expected);
        }
    }

    #[test]
    fn programs_trust_the_certificate_in_their_own_way() {
        for (program, expected) in [
            (Program::Longshore, "P copy --quiet a/big:v1 b/big:v1 --ca-file C"),
            (
                Program::Skopeo,
                "env SSL_CERT_FILE=C P copy --quiet docker://a/big:v1 docker://b/big:v1",
            ),
            (Program::OciClient, "cannot"),
            (Program::Regctl, "env SSL_CERT_FILE=C P image copy a/big:v1 b/big:v1"),
            (Program::Oras, "env SSL_CERT_FILE=C P cp --no-tty a/big:v1 b/big:v1"),
        ] {
            assert_eq!(
                text(contestant(program, "copy, 1 GiB", Some("C")).copy("a", "b")),
                expected
            );
        }
    }

    #[test]
    fn a_program_without_the_operation_has_no_command_line() {
        let all_tags = |program| contestant(program, "copy, 200 tags", None).copy("a", "b");
        assert_eq!(text(all_tags(Program::Crane)), "P copy --all-tags a/small b/small");
        for program in [Program::OciClient, Program::Regctl, Program::Oras] {
            assert_eq!(text(all_tags(program)), "cannot", "{program:?}");
        }
    }
}
