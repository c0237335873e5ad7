//! Options and output shared by copy, pull and push, and the statistics of all transfers.

mod plan;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt;
use std::num::NonZeroUsize;

use clap::Args;
use longshore::{
    CopyFailure, Digest, EscapedText, LeftBehind, LeftBehindReason, Location, MediaType, Platform,
    ReferrerSelection, Result, Statistics, Tag, Transfer, TransferPlan, TransferReport,
};
use serde::Serialize;

use self::plan::Plan;
use crate::context::Context;
use crate::exit;
use crate::guard::{self, Guard};
use crate::message::say;
use crate::output::{Report, counted, size};

/// The options of copy, pull and push.
#[derive(Clone, Debug, Args)]
pub(crate) struct Options {
    /// Copy only these platforms of multi-platform images, such as `linux/amd64,linux/arm64`
    /// (`local` for this machine). One platform copies its image alone, and several copy an index
    /// of their images.
    #[arg(long, value_name = "OS/ARCH[/VARIANT]", value_delimiter = ',')]
    platform: Vec<Platform>,

    /// Copy all platforms. This is the default.
    #[arg(long, conflicts_with = "platform")]
    all_platforms: bool,

    /// Copy all tags of the source, or all names between layouts.
    #[arg(long)]
    all_tags: bool,

    /// Copy only referrers of this artifact type, such as `application/spdx+json`; may be repeated.
    /// Cosign's tags (`sha256-….sig`) are also selected by the media types of their layers. By
    /// default, all signatures, SBOMs and attestations are copied.
    #[arg(long, value_name = "TYPE", conflicts_with = "no_referrers")]
    referrers: Vec<MediaType>,

    /// Copy no referrers and none of cosign's tags.
    #[arg(long)]
    no_referrers: bool,

    /// Check every blob, even below manifests that the target already has.
    #[arg(long)]
    recheck: bool,

    /// Also copy non-distributable layers.
    #[arg(long)]
    nondistributable: bool,

    #[command(flatten)]
    guard: Guard,

    /// Print what would be done, and do nothing; `longshore apply` carries out the JSON (`--json`).
    #[arg(long)]
    plan: bool,

    /// Number of parallel transfers of blobs above 64 KiB; 1 also transfers manifests and smaller
    /// blobs one at a time [default: 6].
    #[arg(long, value_name = "N")]
    parallel: Option<NonZeroUsize>,
}

impl Options {
    /// Returns true if all tags are copied.
    pub(crate) fn all_tags(&self) -> bool {
        self.all_tags
    }

    /// Makes a transfer with these options.
    pub(crate) fn transfer(&self, source: Location, target: Location) -> Transfer {
        let mut transfer = Transfer::new(source, target);
        transfer.all_tags = self.all_tags;
        if !self.all_platforms {
            transfer.options.platforms.clone_from(&self.platform);
        }
        transfer.options.referrers = self.referrers();
        transfer.options.recheck = self.recheck;
        transfer.options.nondistributable = self.nondistributable;
        transfer.options.guard = self.guard.condition();
        transfer.options.parallel = self.parallel.unwrap_or(transfer.options.parallel);
        transfer
    }

    fn referrers(&self) -> ReferrerSelection {
        match (self.no_referrers, &self.referrers[..]) {
            (true, _) => ReferrerSelection::None,
            (false, []) => ReferrerSelection::All,
            (false, types) => ReferrerSelection::OfTypes(types.to_vec()),
        }
    }
}

/// Runs transfers and prints their results, with one line on stderr for each failure. With
/// `--plan`, only prints what they would do.
///
/// - `target`: the text that stands for all targets in the JSON result.
pub(crate) async fn run(
    context: &Context,
    options: &Options,
    transfers: &[Transfer],
    target: String,
) -> Result<()> {
    if options.plan {
        return context.output().report(&Plan(context.stores().plan(transfers).await?));
    }
    let outcome = Outcome { target: Some(target), report: context.transfer(transfers).await? };
    outcome.print(context)?;
    outcome.verdict()
}

/// Carries out a plan and prints the results in the same way.
pub(crate) async fn apply(context: &Context, plan: &TransferPlan) -> Result<()> {
    let outcome = Outcome { target: None, report: context.apply(plan).await? };
    outcome.print(context)?;
    outcome.verdict_of_plan()
}

/// Prints the result of a transfer: as JSON with the statistics of the client, or as text. Prints the
/// number of requests on stderr after retries or with `--verbose`.
pub(crate) fn report_with_statistics(context: &Context, result: &impl Report) -> Result<()> {
    let statistics = context.statistics();
    if let Some(statistics) = &statistics {
        say_requests(context, statistics);
    }
    context.output().report(&Counted { result, statistics })
}

fn say_requests(context: &Context, statistics: &Statistics) {
    let retries = statistics.retries;
    if context.is_quiet() || (retries == 0 && !context.is_verbose()) {
        return;
    }
    let (requests, waited) = (statistics.all_requests(), statistics.waits.retries);
    say(format_args!(
        "longshore: {requests} requests; retries: {retries}, after waits of {waited:.1?} in total"
    ));
}

/// A result, with the statistics of the client. `None` if no request was possible.
#[derive(Serialize)]
struct Counted<'a, R> {
    #[serde(flatten)]
    result: &'a R,
    #[serde(skip_serializing_if = "Option::is_none")]
    statistics: Option<Statistics>,
}

impl<R: Report> Report for Counted<'_, R> {
    fn text(&self, to: &mut dyn fmt::Write) -> fmt::Result {
        self.result.text(to)
    }
}

#[derive(Serialize)]
struct Outcome {
    #[serde(skip_serializing_if = "Option::is_none")]
    target: Option<String>,
    #[serde(flatten)]
    report: TransferReport,
}

impl Outcome {
    fn tried(&self) -> impl Iterator<Item = &CopyFailure> {
        self.report.failures.iter().filter(|failure| failure.is_tried())
    }

    /// Prints a line for each failure, and the number of images that were not tried. Then prints the
    /// result.
    fn print(&self, context: &Context) -> Result<()> {
        self.failures().iter().for_each(|line| say(format_args!("longshore: {line}")));
        match self.report.failures.len() - self.tried().count() {
            0 => {}
            left => say(format_args!(
                "longshore: {} not tried, for the same reason",
                counted(left as u64, "image")
            )),
        }
        report_with_statistics(context, self)
    }

    /// Returns a line for each failure. Failures with the same text, such as one of the source, share a
    /// line that names all their targets.
    fn failures(&self) -> Vec<String> {
        let mut targets: HashMap<String, Vec<String>> = HashMap::new();
        for failure in self.tried() {
            targets.entry(failure.to_string()).or_default().push(failure.target.to_string());
        }
        let line = |failure: &CopyFailure| {
            let text = failure.to_string();
            Some(match &targets.remove(&text)?[..] {
                [_] => text,
                several => format!("{text} (for {})", EscapedText(&several.join(", "))),
            })
        };
        self.tried().filter_map(line).collect()
    }

    /// Returns an error if the work is incomplete. If nothing was copied and all failures have the
    /// same exit code, the error has this exit code.
    fn verdict(&self) -> Result<()> {
        let mut codes = self.tried().map(|failure| exit::code(&failure.error));
        match codes.next() {
            None if self.report.failures.is_empty() => Ok(()),
            None => Err(exit::printed(exit::NEGATIVE)),
            Some(code) if self.report.copies.is_empty() && codes.all(|c| c == code) => {
                Err(exit::printed(code))
            }
            Some(_) => Err(exit::printed(exit::NEGATIVE)),
        }
    }

    /// Returns an error if a copy of a plan failed: a conflict if the failed copies were only
    /// refused because their source or target had changed.
    fn verdict_of_plan(&self) -> Result<()> {
        let codes: BTreeSet<u8> = self.tried().map(|failure| exit::code(&failure.error)).collect();
        match codes.into_iter().collect::<Vec<_>>()[..] {
            [] if self.report.failures.is_empty() => Ok(()),
            [exit::CONFLICT] => Err(exit::printed(exit::CONFLICT)),
            _ => Err(exit::printed(exit::NEGATIVE)),
        }
    }
}

impl Report for Outcome {
    fn text(&self, to: &mut dyn fmt::Write) -> fmt::Result {
        for copied in &self.report.copies {
            let (summary, stats) = (&copied.summary, &copied.summary.stats);
            let name = copied.name.as_deref().or_else(|| summary.tag.as_ref().map(Tag::as_str));
            if let Some(name) = name {
                write!(to, "{} ", EscapedText(name))?;
            }
            write!(to, "{}  ", summary.root.digest)?;
            match stats.blobs_sent + stats.blobs_mounted + stats.blobs_held {
                // The manifest was there, so its blobs were not looked up.
                0 => write!(to, "nothing to send")?,
                _ => write!(
                    to,
                    "{} sent ({}), {} mounted, {} already there",
                    size(stats.bytes_sent),
                    counted(stats.blobs_sent, "blob"),
                    stats.blobs_mounted,
                    stats.blobs_held,
                )?,
            }
            if stats.bytes_resumed > 0 {
                write!(to, ", {} resumed", size(stats.bytes_resumed))?;
            }
            if !summary.left_out.is_empty() {
                let digests: Vec<&str> = summary.left_out.iter().map(Digest::as_str).collect();
                write!(to, ", {} left out: {}", digests.len(), digests.join(" "))?;
            }
            if let Some(index) = &summary.selected_from {
                write!(to, ", selected from {index}")?;
            }
            left_behind(&summary.left_behind, to)?;
            if let Some(method) = summary.guard {
                write!(to, ", {}", guard::described(method))?;
            }
            writeln!(to, ", in {}", EscapedText(&copied.target.to_string()))?;
        }
        Ok(())
    }
}

/// Writes the attached content that was not copied, grouped by the reason.
fn left_behind(left: &[LeftBehind], to: &mut dyn fmt::Write) -> fmt::Result {
    let mut by_reason: BTreeMap<LeftBehindReason, Vec<String>> = BTreeMap::new();
    for LeftBehind { subject, digest, artifact_type, tag, reason, .. } in left {
        let name = match (tag, artifact_type, digest) {
            (Some(tag), ..) => tag.to_string(),
            (None, Some(artifact_type), _) => artifact_type.to_string(),
            (None, None, digest) => digest.as_ref().unwrap_or(subject).to_string(),
        };
        by_reason.entry(*reason).or_default().push(name);
    }
    for (reason, names) in by_reason {
        let why = match reason {
            LeftBehindReason::OtherType => "of another type",
            LeftBehindReason::Unsupported => "not supported by the target",
            LeftBehindReason::OtherManifest => "attached to the whole index",
            LeftBehindReason::TargetDiffers => "different at the target",
            LeftBehindReason::NotListed => "not listed by the source",
            LeftBehindReason::Missing => "missing at the source",
            _ => "not copied",
        };
        write!(to, ", {} left behind ({why}): {}", names.len(), names.join(" "))?;
    }
    Ok(())
}
