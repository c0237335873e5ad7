//! Completion in shells: answers the script that `longshore completion` prints.
//!
//! Repositories and tags are requested from the registry, and kept for a minute. A request that
//! fails or takes too long offers no candidates, and prints nothing.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::io::Write as _;
use std::path::PathBuf;
use std::time::Duration;

use clap::Command;
use clap_complete::engine::{ArgValueCompleter, CompletionCandidate};
use clap_complete::env::Shells;
use futures_util::{StreamExt as _, TryStreamExt as _};
use longshore::{
    Digest, Environment, ListOptions, RegistryName, Repository, Result, Source as _, blob_file,
};

use crate::arguments::Arguments;
use crate::context::Context;

/// Completes the words after `--`, if the script of a shell asks for it. Returns false otherwise.
pub(crate) fn answer(words: &[OsString]) -> bool {
    let shell = std::env::var(VARIABLE).unwrap_or_default();
    let shells = Shells::builtins();
    let Some(shell) = shells.completer(&shell) else { return false };
    let words = words.iter().skip_while(|word| *word != "--").skip(1).cloned().collect();
    let folder = std::env::current_dir().ok();
    let mut shown = Vec::new();
    // A shell has no place to show an error.
    shell.write_complete(&mut command(), words, folder.as_deref(), &mut shown).ok();
    std::io::stdout().write_all(&shown).ok();
    true
}

/// Writes the script for a shell.
pub(crate) fn script(shell: &str) -> std::io::Result<Vec<u8>> {
    let mut script = Vec::new();
    if shell == "bash" {
        // Otherwise, bash splits names at the colon of a port or tag.
        writeln!(script, "COMP_WORDBREAKS=${{COMP_WORDBREAKS//:/}}")?;
    }
    if let Some(shell) = Shells::builtins().completer(shell) {
        shell.write_registration(VARIABLE, "longshore", "longshore", "longshore", &mut script)?;
    }
    Ok(script)
}

/// Returns the commands, whose locations and registries are completed.
fn command() -> Command {
    fn completed(command: Command) -> Command {
        let command = command.mut_args(|arg| match arg.get_id().as_str() {
            "location" | "locations" | "source" | "sources" | "target" | "to" | "reference"
            | "repository" | "subject" | "registry" => arg.add(ArgValueCompleter::new(candidates)),
            _ => arg,
        });
        command.mut_subcommands(completed)
    }
    completed(Arguments::laid_out())
}

/// Returns the repositories or tags that continue a name at a registry.
fn candidates(typed: &OsStr) -> Vec<CompletionCandidate> {
    let typed = typed.to_str().unwrap_or_default();
    let Some(listing) = Listing::of(typed) else { return Vec::new() };
    let names = listing.kept().or_else(|| listing.fetch()).unwrap_or_default();
    let names = names.lines().map(|name| format!("{}{name}", listing.before));
    names.filter(|name| name.starts_with(typed)).map(CompletionCandidate::new).collect()
}

/// What continues a typed name.
struct Listing {
    what: What,
    /// The text before each name.
    before: String,
}

enum What {
    Repositories(RegistryName),
    Tags(Repository),
}

impl Listing {
    fn of(typed: &str) -> Option<Self> {
        let (registry, rest) = typed.split_once('/')?;
        // Other first components are namespaces of the default registry, which lists nothing.
        if !(registry.contains(['.', ':']) || registry == "localhost") {
            return None;
        }
        let Some((repository, _)) = rest.rsplit_once(':') else {
            let what = What::Repositories(registry.parse().ok()?);
            return Some(Self { what, before: format!("{registry}/") });
        };
        let what = What::Tags(format!("{registry}/{repository}").parse().ok()?);
        Some(Self { what, before: format!("{registry}/{repository}:") })
    }

    /// Returns the names that an earlier completion stored, one per line.
    fn kept(&self) -> Option<String> {
        let file = self.file()?;
        let age = fs::metadata(&file).ok()?.modified().ok()?.elapsed().ok()?;
        (age < KEPT).then(|| fs::read_to_string(&file).ok())?
    }

    /// Requests the names, and stores them.
    fn fetch(&self) -> Option<String> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().ok()?;
        let fetch = async { tokio::time::timeout(LIMIT, self.request()).await };
        let names = runtime.block_on(fetch);
        // Otherwise, dropping the runtime would wait for the resolution of a name.
        runtime.shutdown_background();
        let names = names.ok()?.ok()?.join("\n");
        if let Some(file) = self.file() {
            let folder = file.parent().map(blob_file::create_folder);
            folder.and_then(|_| blob_file::replace_now(&file, names.as_bytes()).ok());
        }
        Some(names)
    }

    async fn request(&self) -> Result<Vec<String>> {
        let options = ["longshore", "catalog", "localhost"].map(OsString::from);
        let Ok(arguments) = Arguments::parse(options) else { return Ok(Vec::new()) };
        let context = Context::new(arguments.global, None);
        let client = context.client()?;
        match &self.what {
            What::Repositories(registry) => {
                let names = client.catalog_with(registry, ListOptions::default());
                let names = names.items().take(NAMES).map_ok(|name| name.to_string());
                names.try_collect().await
            }
            What::Tags(repository) => {
                let tags = client.repository(repository).tags(None).items();
                tags.take(NAMES).map_ok(|tag| tag.to_string()).try_collect().await
            }
        }
    }

    fn file(&self) -> Option<PathBuf> {
        let name = Digest::sha256(self.before.as_bytes()).file_name();
        Some(Environment::from_process().cache_folder()?.join("completion").join(name))
    }
}

/// The variable in which the scripts name the shell.
const VARIABLE: &str = "LONGSHORE_COMPLETE";
/// 2 s, because the user waits.
const LIMIT: Duration = Duration::from_secs(2);
/// One minute, in which the names are not requested again.
const KEPT: Duration = Duration::from_secs(60);
/// More names would not help.
const NAMES: usize = 10_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_at_registries_are_completed() {
        for (typed, expected) in [
            ("localhost:5000/te", Some("localhost:5000/")),
            ("localhost:5000/team/app:v", Some("localhost:5000/team/app:")),
            ("ghcr.io/a/b:", Some("ghcr.io/a/b:")),
            ("nginx:1", None),
            ("library/nginx:1", None),
            ("oci:folder/x", None),
        ] {
            let before = Listing::of(typed).map(|listing| listing.before);
            assert_eq!(before.as_deref(), expected, "{typed}");
        }
    }

    #[test]
    fn the_script_of_each_shell_names_the_program() {
        for shell in ["bash", "elvish", "fish", "powershell", "zsh"] {
            let script = String::from_utf8(script(shell).unwrap()).unwrap();
            assert!(script.contains(VARIABLE) && script.contains("longshore"), "{script}");
        }
    }
}
