//! Runs a target for a limited time without libFuzzer. Works with stable Rust, and does not measure
//! coverage.
//!
//! `longshore-fuzz TARGET SECONDS SEED` mutates the target's seeds; the same seed produces the same
//! inputs. `longshore-fuzz seeds FOLDER` writes all seeds to files, for libFuzzer.

use std::fs;
use std::panic::catch_unwind;
use std::path::Path;
use std::process::ExitCode;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use fastrand::Rng;
use longshore_fuzz::mutate::mutate;
use longshore_fuzz::target::{TARGETS, Target};

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let outcome = match words[..] {
        ["targets"] => {
            TARGETS.iter().for_each(|target| println!("{}", target.name));
            Ok(())
        }
        ["seeds", folder] => write_seeds(Path::new(folder)),
        [name, seconds, seed] => run(name, seconds, seed),
        _ => Err("usage: longshore-fuzz targets | seeds FOLDER | TARGET SECONDS SEED".to_owned()),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(problem) => {
            eprintln!("{problem}");
            ExitCode::FAILURE
        }
    }
}

fn run(name: &str, seconds: &str, seed: &str) -> Result<(), String> {
    let target = TARGETS.into_iter().find(|target| target.name == name);
    let target = target.ok_or_else(|| format!("there is no target {name}"))?;
    let seconds = seconds.parse().map_err(|_| format!("{seconds} is not a number of seconds"))?;
    let seed = seed.parse().map_err(|_| format!("{seed} is not a valid seed"))?;
    let current = Current::default();
    let watched = current.clone();
    let worker = thread::spawn(move || fuzz(target, seed, Duration::from_secs(seconds), &current));
    // A thread that is stuck cannot be stopped, so the loop only reports its input.
    while !worker.is_finished() {
        thread::sleep(Duration::from_millis(50));
        if let Some(input) = watched.stuck() {
            return Err(format!("{name}, seed {seed}: more than {STUCK:?} for\n{}", shown(&input)));
        }
    }
    worker.join().unwrap_or_else(|_| Err("the thread of the target panicked".to_owned()))
}

/// Runs the seeds, and then mutations of the seeds until the time is over.
fn fuzz(target: Target, seed: u64, time: Duration, current: &Current) -> Result<(), String> {
    let mut corpus = (target.seeds)();
    let originals = corpus.clone();
    let mut rng = Rng::with_seed(seed);
    let (start, mut count, mut accepted) = (Instant::now(), 0_u64, 0_u64);
    while count < originals.len() as u64 || start.elapsed() < time {
        let original = usize::try_from(count).ok().and_then(|at| originals.get(at));
        let input = original.cloned().unwrap_or_else(|| mutate(&corpus, &mut rng));
        current.set(&input);
        let good = catch_unwind(|| (target.run)(&input))
            .map_err(|_| format!("{}, seed {seed}:\n{}", target.name, shown(&input)))?;
        accepted += u64::from(good);
        count += 1;
        // Accepted inputs are good starting points for mutations.
        if good && corpus.len() < originals.len() + GROWN && rng.u8(..16) == 0 {
            corpus.push(input);
        }
    }
    println!("{}, seed {seed}: {count} inputs, {accepted} of them accepted", target.name);
    Ok(())
}

/// The current input.
#[derive(Clone, Default)]
struct Current(Arc<Mutex<Option<Input>>>);

struct Input {
    bytes: Vec<u8>,
    since: Instant,
}

impl Current {
    fn set(&self, bytes: &[u8]) {
        *self.lock() = Some(Input { bytes: bytes.to_vec(), since: Instant::now() });
    }

    /// Returns the current input if it takes too long.
    fn stuck(&self) -> Option<Vec<u8>> {
        let current = self.lock();
        let stuck = current.as_ref().filter(|input| input.since.elapsed() > STUCK)?;
        Some(stuck.bytes.clone())
    }

    fn lock(&self) -> MutexGuard<'_, Option<Input>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Formats an input as a Rust byte string, for a row of a test.
fn shown(input: &[u8]) -> String {
    format!("b\"{}\"", input.escape_ascii())
}

fn write_seeds(folder: &Path) -> Result<(), String> {
    for target in TARGETS {
        let folder = folder.join(target.name);
        fs::create_dir_all(&folder).map_err(|e| format!("{}: {e}", folder.display()))?;
        for (at, seed) in (target.seeds)().iter().enumerate() {
            let file = folder.join(format!("seed-{at}"));
            fs::write(&file, seed).map_err(|e| format!("{}: {e}", file.display()))?;
        }
    }
    Ok(())
}

/// 10 s: a thousand times the usual time of an input.
const STUCK: Duration = Duration::from_secs(10);
/// 1,000 inputs in addition to the seeds.
const GROWN: usize = 1_000;
