//! The fault matrix: each fault of a catalogue of 64, in each operation of 17 that it can affect.
//!
//! The catalogue numbers the faults (F01 to F64) and the operations (O1 to O17). `faults` states the
//! expected outcome of every cell, `operation` what the operations do, and `cell` runs one cell and
//! checks it. `profile` imitates 16 registries. Each test of an operation runs the cells of one operation, over plain HTTP and over TLS, and writes
//! its row of the table, which `cargo xtask matrix` prints.

mod case;
mod cell;
mod faults;
mod operation;
mod profile;
mod setting;
mod unreachable;

use std::fmt::Write as _;
use std::path::Path;

use futures_util::StreamExt as _;

use self::case::{Case, Outcome};
use self::cell::Seen;
use self::operation::{ALL, Operation};
use self::setting::{Ground, Wire};

/// Runs all cells of an operation. Fails with a line for each cell that has another outcome.
async fn run(operation: Operation) {
    let (log, _recording) = cell::Log::start();
    let ground = Ground::new().await;
    let cases = faults::cases();
    let affected: Vec<_> =
        cases.iter().filter_map(|case| Some((case, case.outcome(operation)?))).collect();
    let runs = affected.iter().enumerate().flat_map(|(at, (case, outcome))| {
        let is_first = affected[..at].iter().all(|(other, _)| other.fault != case.fault);
        wires(case, is_first).map(move |wire| (*case, *outcome, wire))
    });
    let (ground, log) = (&ground, &log);
    let seen: Vec<_> = futures_util::stream::iter(runs)
        .map(|(case, outcome, wire)| async move {
            let seen = cell::run(ground, log, operation, case, outcome, wire).await;
            (case, wire, seen)
        })
        .buffer_unordered(CONCURRENT)
        .collect()
        .await;
    let mut wrong = String::new();
    for (case, wire, seen) in &seen {
        if let Err(why) = seen {
            writeln!(wrong, "F{:02} {} over {wire:?}: {why}", case.fault, case.name).unwrap();
        }
    }
    let shown = log.secrets_shown();
    assert!(shown.is_empty(), "the log shows secrets: {shown:?}");
    let row = row(&seen, operation, &cases);
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("fault-matrix");
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join(operation.name()), row).unwrap();
    assert!(wrong.is_empty(), "\n{wrong}");
}

/// Returns the schemes over which a case runs. Only the first case of a fault also runs over TLS,
/// unless the fault needs TLS: the others would show the same, and each TLS client parses the
/// certificates of the system.
fn wires(case: &Case, is_first: bool) -> impl Iterator<Item = Wire> + use<> {
    let only = case.wire;
    [Wire::Plain, Wire::Tls].into_iter().filter(move |wire| match only {
        Some(only) => only == *wire,
        None => is_first || *wire == Wire::Plain,
    })
}

/// Returns the row of an operation in the table: a line for each fault, with the numbers of runs
/// that succeeded, that recovered, that failed with the expected error, and that had another
/// outcome. The reason follows if the fault does not affect the operation.
fn row(
    seen: &[(&Case, Wire, Result<Seen, String>)],
    operation: Operation,
    cases: &[Case],
) -> String {
    let mut row = String::new();
    for fault in 1..=FAULTS {
        let runs = || seen.iter().filter(|(case, ..)| case.fault == fault);
        let of = |wanted: Seen| runs().filter(|(.., seen)| *seen == Ok(wanted)).count();
        let wrong = runs().filter(|(.., seen)| seen.is_err()).count();
        let (ok, recovered, failed) = (of(Seen::Ok), of(Seen::Recovered), of(Seen::Failed));
        let reason = exclusion(cases, fault, operation).unwrap_or_default();
        let line = format!("F{fault:02} {ok} {recovered} {failed} {wrong} {reason}");
        writeln!(row, "{}", line.trim_end()).unwrap();
    }
    row
}

/// Returns the reason why a cell is left out, or `None` if the fault affects the operation.
fn exclusion(cases: &[Case], fault: usize, operation: Operation) -> Option<&'static str> {
    let mut of = cases.iter().filter(|case| case.fault == fault);
    match of.clone().any(|case| case.outcome(operation).is_some()) {
        true => None,
        false => Some(of.find(|case| !case.reason.is_empty()).map_or("", |case| case.reason)),
    }
}

#[test]
fn at_least_900_of_1088_cells_are_run_and_the_others_have_a_reason() {
    let cases = faults::cases();
    let (mut run, mut left_out) = (0, 0);
    for fault in 1..=FAULTS {
        for operation in ALL {
            match exclusion(&cases, fault, *operation) {
                None => run += 1,
                Some("") => panic!("F{fault:02} has no reason for {operation:?}"),
                Some(_) => left_out += 1,
            }
        }
    }
    assert_eq!(run + left_out, 1088);
    assert!(run >= 900, "{run} cells are run, {left_out} are left out");
    // Only a defect of a registry explains a wrong success, so most faults have an error or none.
    let failing =
        |case: &Case| ALL.iter().any(|o| matches!(case.outcome(*o), Some(Outcome::Fails(..))));
    assert!(cases.iter().filter(|case| failing(case)).count() > 40);
}

#[tokio::test]
async fn without_faults_each_operation_makes_its_number_of_requests() {
    let (_log, _recording) = cell::Log::start();
    let mut made = Vec::new();
    for operation in ALL {
        let ground = Ground::new().await;
        made.push((*operation, cell::clean(&ground, *operation).await));
    }
    let stated = ALL.iter().map(|operation| (*operation, Ok(operation.clean_requests())));
    assert_eq!(made, stated.collect::<Vec<_>>());
}

macro_rules! operations {
    ($($test:ident: $operation:ident,)*) => {
        $(
            #[tokio::test]
            async fn $test() {
                run(Operation::$operation).await;
            }
        )*
    };
}

operations! {
    each_fault_of_a_ping_has_its_outcome: Ping,
    each_fault_of_a_resolution_has_its_outcome: ManifestHead,
    each_fault_of_a_manifest_by_tag_has_its_outcome: TagGet,
    each_fault_of_a_manifest_by_digest_has_its_outcome: DigestGet,
    each_fault_of_a_blob_check_has_its_outcome: BlobHead,
    each_fault_of_a_blob_download_has_its_outcome: BlobGet,
    each_fault_of_a_resumed_download_has_its_outcome: BlobResume,
    each_fault_of_a_monolithic_upload_has_its_outcome: Monolithic,
    each_fault_of_a_chunked_upload_has_its_outcome: Chunked,
    each_fault_of_a_mount_has_its_outcome: Mount,
    each_fault_of_a_manifest_push_has_its_outcome: ManifestPut,
    each_fault_of_a_tag_listing_has_its_outcome: Tags,
    each_fault_of_a_catalog_has_its_outcome: Catalog,
    each_fault_of_a_referrers_listing_has_its_outcome: Referrers,
    each_fault_of_a_deletion_has_its_outcome: Delete,
    each_fault_of_a_copy_has_its_outcome: Copy,
    each_fault_of_a_pull_has_its_outcome: Pull,
}

/// The number of faults in the catalogue.
const FAULTS: usize = 64;
/// 16 cells at a time: most of them wait.
const CONCURRENT: usize = 16;
