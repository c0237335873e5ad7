//! `cargo xtask bench`: compares longshore with other programs in one run, as ratios.
//!
//! Owns the list of measurements. Each measurement runs whole processes against registries on
//! loopback, in turn (A B C, A B C, …), so that changes in the machine's speed affect all programs.
//! The benchmark is not a test: it fails only if a program fails.

mod content;
mod contestant;
mod delay;
mod measure;
mod server;

use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::failure::Failure;
use contestant::Contestant;
use delay::Delay;
use measure::{Row, measure};
use server::{Kind, Server};

/// The result of a measurement.
type Result<T> = std::result::Result<T, Failure>;

/// Runs all measurements, and prints one table in Markdown.
pub(crate) fn run(arguments: &[String]) -> Result<()> {
    let options = Options::parse(arguments)?;
    let tools = Tools::build(options.before.clone())?;
    let folder = content::scratch()?;
    let bench = Bench { tools, folder, options };
    println!("{}", measure::machine());
    println!("{}", Row::HEAD);
    let result = bench.all();
    std::fs::remove_dir_all(&bench.folder).ok();
    result
}

/// The options of `cargo xtask bench`.
struct Options {
    rounds: usize,
    /// Another build of longshore, measured in the same run.
    before: Option<PathBuf>,
    /// The rows to measure: those whose name contains this text.
    only: String,
    /// The kind of registry that programs copy from and to.
    registry: Kind,
}

impl Options {
    fn parse(arguments: &[String]) -> Result<Self> {
        let mut options =
            Self { rounds: ROUNDS, before: None, only: String::new(), registry: Kind::Longshore };
        let mut words = arguments.iter();
        while let Some(word) = words.next() {
            let mut value = || words.next().ok_or_else(|| Failure::new(USAGE));
            match word.as_str() {
                "--before" => {
                    let path = PathBuf::from(value()?);
                    options.before = Some(path.canonicalize().map_err(|e| Failure::io(&path, &e))?);
                }
                "--only" => options.only.clone_from(value()?),
                "--registry" => options.registry = Kind::parse(value()?)?,
                rounds => options.rounds = rounds.parse().map_err(|_| Failure::new(USAGE))?,
            }
        }
        Ok(options)
    }
}

/// The measured programs.
struct Tools {
    longshore: PathBuf,
    before: Option<PathBuf>,
    oci_client: PathBuf,
}

impl Tools {
    fn build(before: Option<PathBuf>) -> Result<Self> {
        // The target folders are fixed, because the paths below would be wrong if CARGO_TARGET_DIR
        // were used.
        for (manifest, folder) in [("Cargo.toml", TARGET), (OCI_CLIENT, OCI_CLIENT_TARGET)] {
            let build = ["build", "--release", "--manifest-path", manifest, "--target-dir", folder];
            measure::succeed("cargo", &build)?;
        }
        Ok(Self {
            longshore: Path::new(TARGET).join("release/longshore"),
            before,
            oci_client: Path::new(OCI_CLIENT_TARGET).join("release/oci-client-bench"),
        })
    }
}

struct Bench {
    tools: Tools,
    folder: PathBuf,
    options: Options,
}

impl Bench {
    fn all(&self) -> Result<()> {
        let source = self.start(&self.folder.join("source"))?;
        content::big(&self.tools.longshore, &self.folder, &source)?;
        self.transfers(&source, "big", "1 GiB, 8 layers", false)?;
        content::small(&self.tools.longshore, &self.folder, &source, "small", 200)?;
        self.transfers(&source, "small", "200 tags of 3 × 20 KiB", true)?;
        self.nothing_to_do(&source)?;
        content::small(&self.tools.longshore, &self.folder, &source, "few", 40)?;
        self.far_away(&source)?;
        self.serve(&source)?;
        content::many_tags(&self.tools.longshore, &source)?;
        self.questions(&source)
    }

    fn start(&self, root: &Path) -> Result<Server> {
        Server::start(self.options.registry, &self.tools.longshore, root)
    }

    /// Measures copy, pull and push of one repository, each to a new target.
    fn transfers(&self, source: &Server, name: &str, what: &str, all_tags: bool) -> Result<()> {
        let who = contestant::of_transfers(&self.tools, name, all_tags);
        self.row(&format!("copy, {what}"), &who, |c, run| {
            let target = self.start(&run.join("target"))?;
            measure(&c.copy(source.address(), target.address()))
        })?;
        self.row(&format!("pull, {what}"), &who, |c, run| {
            measure(&c.pull(source.address(), &run.join("pulled")))
        })?;
        self.row(&format!("push, {what}"), &who, |c, run| {
            // Each program pushes the content that it pulled itself.
            let pulled = run.join("pulled");
            measure(&c.pull(source.address(), &pulled))?;
            let target = self.start(&run.join("target"))?;
            measure(&c.push(&pulled, target.address()))
        })
    }

    /// Measures a copy to a target that already has all content.
    fn nothing_to_do(&self, source: &Server) -> Result<()> {
        let who = contestant::of_transfers(&self.tools, "small", true);
        self.row("copy again, 200 tags", &who, |c, run| {
            let target = self.start(&run.join("target"))?;
            let copy = c.copy(source.address(), target.address());
            measure(&copy)?;
            measure(&copy)
        })
    }

    /// Measures a copy between registries with a delayed network connection.
    fn far_away(&self, source: &Server) -> Result<()> {
        let who = contestant::of_transfers(&self.tools, "few", true);
        let far = Delay::start(source.address(), ROUND_TRIP)?;
        let what = format!("copy, 40 tags of 3 × 20 KiB, {} ms away", ROUND_TRIP.as_millis());
        self.row(&what, &who, |c, run| {
            let target = self.start(&run.join("target"))?;
            let target = Delay::start(target.address(), ROUND_TRIP)?;
            measure(&c.copy(&far.address(), &target.address()))
        })
    }

    /// Measures how fast the embedded registry of each build accepts a push from the same client.
    fn serve(&self, source: &Server) -> Result<()> {
        let servers = contestant::of_servers(&self.tools);
        for (name, what, all_tags) in
            [("small", "200 tags of 3 × 20 KiB", true), ("big", "1 GiB, 8 layers", false)]
        {
            let pulled = self.folder.join(name);
            let client = contestant::longshore(&self.tools, name, all_tags);
            measure(&client.pull(source.address(), &pulled))?;
            self.row(&format!("serve takes {what}"), &servers, |server, run| {
                let target = Server::start(Kind::Longshore, server.path(), &run.join("target"))?;
                measure(&client.push(&pulled, target.address()))
            })?;
        }
        Ok(())
    }

    fn questions(&self, source: &Server) -> Result<()> {
        let who = contestant::of_questions(&self.tools);
        self.row("ls, 20,000 tags", &who, |c, _| measure(&c.ls(source.address())))?;
        self.row("digest, cold", &who, |c, _| measure(&c.digest(source.address())))
    }

    /// Measures all programs in turn for several rounds, and prints the results.
    fn row(
        &self,
        what: &str,
        who: &[Contestant],
        mut once: impl FnMut(&Contestant, &Path) -> Result<Option<measure::Sample>>,
    ) -> Result<()> {
        if !what.contains(&self.options.only) {
            return Ok(());
        }
        let mut row = Row::new(what, who.iter().map(Contestant::name));
        for round in 0..=self.options.rounds {
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
const ROUND_TRIP: Duration = Duration::from_millis(40);
const USAGE: &str = "usage: cargo xtask bench [ROUNDS] [--before PROGRAM] [--only TEXT] \
    [--registry longshore|docker-registry]";
const TARGET: &str = "target";
const OCI_CLIENT: &str = "benches/oci-client/Cargo.toml";
const OCI_CLIENT_TARGET: &str = "benches/oci-client/target";
