//! `cargo xtask bench`: compares longshore with other programs in one run, as ratios.
//!
//! Owns the measurement of each task. A measurement runs whole processes against registries on
//! loopback, in turn (A B C, A B C, …), so that changes in the machine's speed affect all programs.
//! The benchmark is not a test: it fails only if a program fails.

mod certificate;
mod content;
mod contestant;
mod floor;
mod link;
mod measure;
mod options;
mod plot;
mod python;
mod row;
mod server;
mod task;

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use crate::failure::Failure;
use crate::step::works;
use certificate::Certificate;
use contestant::{CommandLine, Contestant, Program};
use link::Proxy;
use measure::{Sample, measure};
use options::Options;
use row::{Column, Judged, Row, Who};
use server::{Kind, Server};
use task::{Action, Network, Task};

/// The result of a measurement.
type Result<T> = std::result::Result<T, Failure>;

/// Runs all measurements, and prints a table of the results and a table of the aims in Markdown.
/// The word `python` selects the comparison of the Python package.
pub(crate) fn run(arguments: &[String]) -> Result<()> {
    if let Some(("python", rest)) = arguments.split_first().map(|(word, rest)| (&**word, rest)) {
        return python::run(rest);
    }
    let options = Options::parse(arguments)?;
    let tools = Tools::find(&options)?;
    let folder = content::scratch()?;
    let result = Certificate::create(&folder).and_then(|certificate| {
        let contents = HashMap::new();
        Bench { tools, certificate, folder: folder.clone(), options, contents }.all()
    });
    std::fs::remove_dir_all(&folder).ok();
    result
}

/// The measured programs.
struct Tools {
    longshore: PathBuf,
    programs: Vec<(Program, PathBuf)>,
}

impl Tools {
    /// Finds the programs, and builds longshore and the program that uses the crate `oci-client`.
    /// With a given build of longshore, nothing is built.
    fn find(options: &Options) -> Result<Self> {
        let oci_client = Path::new(OCI_CLIENT_TARGET).join("release/oci-client-bench");
        let longshore = match &options.longshore {
            Some(program) => program.clone(),
            None => {
                build(OCI_CLIENT, OCI_CLIENT_TARGET, "release")?;
                build("Cargo.toml", TARGET, PROFILE)?;
                Path::new(TARGET).join(PROFILE).join("longshore")
            }
        };
        let mut programs = vec![(Program::Longshore, longshore.clone())];
        programs.extend(options.before.clone().map(|path| (Program::Before, path)));
        programs.push((Program::Skopeo, PathBuf::from(Program::Skopeo.name())));
        if oci_client.exists() {
            programs.push((Program::OciClient, oci_client));
        }
        for program in Program::OPTIONAL {
            if works(program.name(), &["version"]) {
                programs.push((program, PathBuf::from(program.name())));
            }
        }
        Ok(Self { longshore, programs })
    }
}

/// Builds the programs of a manifest. The target folder is fixed, because the paths of the programs
/// would be wrong if `CARGO_TARGET_DIR` were used.
fn build(manifest: &str, target: &str, profile: &str) -> Result<()> {
    let build =
        ["build", "--profile", profile, "--manifest-path", manifest, "--target-dir", target];
    measure::succeed("cargo", &build).map(drop)
}

struct Bench {
    tools: Tools,
    certificate: Certificate,
    folder: PathBuf,
    options: Options,
    /// The digests of the layers, for each repository that the source already has.
    contents: HashMap<&'static str, Vec<String>>,
}

/// A registry, and the address at which programs reach it.
struct End {
    server: Server,
    address: String,
}

impl Bench {
    fn all(&mut self) -> Result<()> {
        let Options { only, large, scale, svg, .. } = &self.options;
        let (tasks, svg) = (task::select(only, *large, *scale), svg.clone());
        if tasks.is_empty() {
            return Err(Failure::new(format!("no row's name contains {only:?} (--only)")));
        }
        println!("{}", measure::machine());
        if *scale < 1.0 {
            println!("The content is smaller than the names of the tasks say, by {scale}.\n");
        }
        println!("{}", Row::HEAD);
        let mut rows = Vec::new();
        for task in &tasks {
            let row = self.row(task)?;
            print!("{}", row.lines());
            rows.push(row);
        }
        let judged: Vec<Judged> = rows.iter().flat_map(Row::judged).collect();
        if !judged.is_empty() {
            println!("\n{}", Judged::HEAD);
        }
        for judged in judged {
            println!("{}", judged.line());
        }
        match svg {
            Some(path) => {
                std::fs::write(&path, plot::svg(&rows)).map_err(|e| Failure::io(&path, &e))
            }
            None => Ok(()),
        }
    }

    /// Measures all programs in turn for several rounds.
    fn row(&mut self, task: &Task) -> Result<Row> {
        let source = self.folder.join("source");
        self.create_content(task, &source)?;
        let source = self.start(task.network, &self.tools.longshore, &source)?;
        let certificate = (task.network == Network::Tls).then_some(&*self.certificate.certificate);
        let contestants = contestant::of_task(&self.tools, task, certificate);
        let mut columns: Vec<Column> =
            contestants.iter().map(|c| Column::new(Who::Program(c.program))).collect();
        for round in 0..=self.options.rounds {
            for (contestant, column) in contestants.iter().zip(&mut columns) {
                let sample = self.in_new_folder(|run| self.once(task, contestant, &source, run))?;
                // The first round warms up caches.
                if round > 0 {
                    column.samples.extend(sample);
                }
            }
        }
        if task.has_floors() {
            columns.extend(self.floors(task, &source)?);
        }
        Ok(Row { task: *task, columns })
    }

    /// Pushes the task's content to the source, unless an earlier task did so.
    fn create_content(&mut self, task: &Task, source: &Path) -> Result<()> {
        let repository = task.content.repository;
        if !self.contents.contains_key(repository) {
            let longshore = &self.tools.longshore;
            let server = Server::start(self.options.registry, longshore, source, None)?;
            let layers = content::create(&task.content, longshore, &self.folder, &server)?;
            self.contents.insert(repository, layers);
        }
        Ok(())
    }

    fn layers(&self, task: &Task) -> &[String] {
        self.contents.get(task.content.repository).map_or(&[], Vec::as_slice)
    }

    /// Starts a registry, and a proxy in front of it if the network has one.
    fn start(&self, network: Network, longshore: &Path, root: &Path) -> Result<End> {
        let certificate = (network == Network::Tls).then_some(&self.certificate);
        let server = Server::start(self.options.registry, longshore, root, certificate)?;
        let address = match network {
            Network::Loopback | Network::Tls => server.address().to_owned(),
            Network::Link(link) => Proxy::start(server.address(), link)?.address(),
        };
        Ok(End { server, address })
    }

    /// Measures one program once. All files go to the folder `run`.
    fn once(
        &self,
        task: &Task,
        contestant: &Contestant,
        source: &End,
        run: &Path,
    ) -> Result<Option<Sample>> {
        let (from, pulled) = (&*source.address, run.join("pulled"));
        let target = || self.start(task.network, &self.tools.longshore, &run.join("target"));
        match task.action {
            Action::Copy => {
                let target = target()?;
                counted(&contestant.copy(from, &target.address), &[source, &target])
            }
            Action::CopyAgain => {
                let target = target()?;
                let copy = contestant.copy(from, &target.address);
                measure(&copy)?;
                counted(&copy, &[source, &target])
            }
            Action::Pull => counted(&contestant.pull(from, &pulled), &[source]),
            Action::PullEight => counted(&contestant.pull_eight(from, &pulled), &[source]),
            Action::Push => {
                measure(&contestant.pull(from, &pulled))?;
                let target = target()?;
                counted(&contestant.push(&pulled, &target.address), &[&target])
            }
            Action::Serve => self.serve(task, contestant, source, run),
            Action::Ls => counted(&contestant.ls(from), &[source]),
            Action::Digest => counted(&contestant.digest(from), &[source]),
            Action::BlobPut => {
                measure(&contestant.pull(from, &pulled))?;
                let target = target()?;
                let blob = floor::blob(&pulled, self.first_layer(task)?);
                counted(&contestant.blob_put(&blob, &target.address), &[&target])
            }
            Action::BlobGet => {
                let digest = self.first_layer(task)?;
                counted(&contestant.blob_get(from, digest, &run.join("blob")), &[source])
            }
        }
    }

    /// Measures how fast the embedded registry of a build accepts a push from the same client.
    fn serve(
        &self,
        task: &Task,
        contestant: &Contestant,
        source: &End,
        run: &Path,
    ) -> Result<Option<Sample>> {
        let client = Contestant::new(Program::Longshore, &self.tools.longshore, task, None);
        let pulled = run.join("pulled");
        measure(&client.pull(&source.address, &pulled))?;
        let root = run.join("target");
        let server = Server::start(Kind::Longshore, contestant.path(), &root, None)?;
        let target = End { address: server.address().to_owned(), server };
        counted(&client.push(&pulled, &target.address), &[&target])
    }

    fn first_layer(&self, task: &Task) -> Result<&str> {
        let first = self.layers(task).first();
        first.map(String::as_str).ok_or_else(|| Failure::new("the image has no layers"))
    }

    /// Measures the floors of a pull, for the same number of rounds.
    fn floors(&self, task: &Task, source: &End) -> Result<[Column; 2]> {
        let layers = self.layers(task);
        let mut columns = [floor::CURL, floor::SHA256SUM].map(|name| Column::new(Who::Floor(name)));
        self.in_new_folder(|run| {
            let client = Contestant::new(Program::Longshore, &self.tools.longshore, task, None);
            measure(&client.pull(&source.address, run))?;
            let curl = floor::curl(&source.address, task.content.repository, layers);
            let sha256sum = floor::sha256sum(run, layers);
            for round in 0..=self.options.rounds {
                let samples = [counted(&curl, &[source])?, measure(&sha256sum)?];
                for (column, sample) in columns.iter_mut().zip(samples) {
                    column.samples.extend(sample.filter(|_| round > 0));
                }
            }
            Ok(())
        })?;
        Ok(columns)
    }

    /// Calls a function with a new folder, and removes the folder.
    fn in_new_folder<T>(&self, call: impl FnOnce(&Path) -> Result<T>) -> Result<T> {
        let run = self.folder.join("run");
        std::fs::create_dir_all(&run).map_err(|e| Failure::io(&run, &e))?;
        let result = call(&run)?;
        std::fs::remove_dir_all(&run).map_err(|e| Failure::io(&run, &e))?;
        Ok(result)
    }
}

/// Measures a command line, and counts the requests that it sends to these registries.
fn counted(line: &CommandLine, ends: &[&End]) -> Result<Option<Sample>> {
    let before = requests(ends)?;
    let Some(mut sample) = measure(line)? else { return Ok(None) };
    let after = requests(ends)?;
    sample.requests = before.zip(after).map(|(before, after)| after - before);
    Ok(Some(sample))
}

/// Returns the number of requests to all registries; `None` if one of them does not count.
fn requests(ends: &[&End]) -> Result<Option<u64>> {
    let counts: Result<Vec<Option<u64>>> = ends.iter().map(|end| end.server.requests()).collect();
    Ok(counts?.into_iter().sum())
}

/// The profile of releases.
const PROFILE: &str = "dist";
const TARGET: &str = "target";
const OCI_CLIENT: &str = "benches/oci-client/Cargo.toml";
const OCI_CLIENT_TARGET: &str = "benches/oci-client/target";
