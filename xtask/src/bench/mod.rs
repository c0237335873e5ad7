//! `cargo xtask bench`: compares longshore with other programs in one run, as ratios.
//!
//! Owns the list of measurements. Each measures whole processes against registries on loopback, in
//! turn (A B C, A B C, …), so that changes of the machine's speed affect all programs. It is not a
//! test: it fails only if a program fails.

mod content;
mod contestant;
mod measure;
mod server;

use std::path::{Path, PathBuf};

use crate::failure::Failure;
use contestant::Contestant;
use measure::{Row, measure};
use server::Server;

/// The result of a measurement.
type Result<T> = std::result::Result<T, Failure>;

/// Measures everything, and prints one table in Markdown.
pub(crate) fn run(arguments: &[String]) -> Result<()> {
    let rounds = match arguments {
        [] => ROUNDS,
        [n] => n.parse().map_err(|_| Failure::new(format!("not a number of rounds: {n}")))?,
        _ => return Err(Failure::new("usage: cargo xtask bench [ROUNDS]")),
    };
    let tools = Tools::build()?;
    let folder = content::scratch()?;
    let bench = Bench { tools, folder, rounds };
    println!("{}", measure::machine());
    println!("{}", Row::HEAD);
    let result = bench.all();
    std::fs::remove_dir_all(&bench.folder).ok();
    result
}

/// The measured programs.
struct Tools {
    longshore: PathBuf,
    oci_client: PathBuf,
}

impl Tools {
    fn build() -> Result<Self> {
        // Fixed target folders: with CARGO_TARGET_DIR set, the paths below would be wrong.
        for (manifest, folder) in [("Cargo.toml", TARGET), (OCI_CLIENT, OCI_CLIENT_TARGET)] {
            let build = ["build", "--release", "--manifest-path", manifest, "--target-dir", folder];
            measure::succeed("cargo", &build)?;
        }
        Ok(Self {
            longshore: Path::new(TARGET).join("release/longshore"),
            oci_client: Path::new(OCI_CLIENT_TARGET).join("release/oci-client-bench"),
        })
    }
}

struct Bench {
    tools: Tools,
    folder: PathBuf,
    rounds: usize,
}

impl Bench {
    fn all(&self) -> Result<()> {
        let source = Server::start(&self.tools.longshore, &self.folder.join("source"))?;
        content::big(&self.tools.longshore, &self.folder, &source)?;
        self.transfers(&source, "big", "1 GiB, 8 layers", false)?;
        content::small(&self.tools.longshore, &self.folder, &source)?;
        self.transfers(&source, "small", "200 tags of 3 × 20 KiB", true)?;
        content::many_tags(&self.tools.longshore, &source)?;
        self.questions(&source)
    }

    /// Measures copy, pull and push of one repository, each to a new target.
    fn transfers(&self, source: &Server, name: &str, what: &str, all_tags: bool) -> Result<()> {
        let who = contestant::of_transfers(&self.tools, name, all_tags);
        self.row(&format!("copy, {what}"), &who, |c, run| {
            let target = Server::start(&self.tools.longshore, &run.join("target"))?;
            measure(&c.copy(source.address(), target.address()))
        })?;
        self.row(&format!("pull, {what}"), &who, |c, run| {
            measure(&c.pull(source.address(), &run.join("pulled")))
        })?;
        self.row(&format!("push, {what}"), &who, |c, run| {
            // Each program pushes what it pulled itself.
            let pulled = run.join("pulled");
            measure(&c.pull(source.address(), &pulled))?;
            let target = Server::start(&self.tools.longshore, &run.join("target"))?;
            measure(&c.push(&pulled, target.address()))
        })
    }

    fn questions(&self, source: &Server) -> Result<()> {
        let who = contestant::of_questions(&self.tools);
        self.row("ls, 20,000 tags", &who, |c, _| measure(&c.ls(source.address())))?;
        self.row("digest, cold", &who, |c, _| measure(&c.digest(source.address())))
    }

    /// Measures all programs in turn for several rounds, and prints the medians.
    fn row(
        &self,
        what: &str,
        who: &[Contestant],
        mut once: impl FnMut(&Contestant, &Path) -> Result<Option<measure::Sample>>,
    ) -> Result<()> {
        let mut row = Row::new(what, who.iter().map(Contestant::name));
        for round in 0..=self.rounds {
            for (n, contestant) in who.iter().enumerate() {
                let run = self.folder.join("run");
                std::fs::create_dir_all(&run).map_err(|e| Failure::io(&run, &e))?;
                let sample = once(contestant, &run)?;
                std::fs::remove_dir_all(&run).map_err(|e| Failure::io(&run, &e))?;
                // The first round warms up caches.
                if round > 0 {
                    row.add(n, sample);
                }
            }
        }
        row.print();
        Ok(())
    }
}

/// Five rounds, after one round to warm up.
const ROUNDS: usize = 5;
const TARGET: &str = "target";
const OCI_CLIENT: &str = "benches/oci-client/Cargo.toml";
const OCI_CLIENT_TARGET: &str = "benches/oci-client/target";
