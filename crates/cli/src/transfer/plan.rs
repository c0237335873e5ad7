//! Prints plans of transfers.

use std::fmt;

use longshore::{EscapedText, LeftBehind, PlannedAction, PlannedCopy, PlannedTag, TransferPlan};
use serde::Serialize;

use super::left_behind;
use crate::output::{Report, size};

/// A plan to print. Its JSON is the document that `longshore apply` reads.
#[derive(Serialize)]
pub(super) struct Plan(pub(super) TransferPlan);

impl Report for Plan {
    fn text(&self, to: &mut dyn fmt::Write) -> fmt::Result {
        for item in &self.0.items {
            copy(item, to)?;
        }
        left(&self.0.left_behind, "", to)?;
        let total = |action| {
            let copies = self.0.items.iter().map(|item| &item.copy);
            let (count, bytes) = copies.fold((0, 0_u64), |(count, bytes), copy| {
                let of_copy = copy.steps.iter().filter(|step| step.action == action).count();
                (count + of_copy, bytes.saturating_add(copy.bytes(action)))
            });
            format!("{count} ({})", size(bytes))
        };
        let (sent, mounted) = (total(PlannedAction::Send), total(PlannedAction::Mount));
        let (held, left_out) = (total(PlannedAction::Skip), total(PlannedAction::LeaveOut));
        writeln!(
            to,
            "total blobs and manifests: {sent} to send, {mounted} to mount, {held} already there, \
             {left_out} left out"
        )
    }
}

/// Writes the source, the target, the change of the tag, and the steps of a copy.
fn copy(item: &PlannedCopy, to: &mut dyn fmt::Write) -> fmt::Result {
    let [source, target] = [&item.source, &item.target].map(ToString::to_string);
    writeln!(to, "{} to {}", EscapedText(&source), EscapedText(&target))?;
    let (root, copy) = (&item.copy.root.digest, &item.copy);
    match (&copy.tag, &copy.tag_before) {
        (None, _) => writeln!(to, "  no tag    {root}")?,
        (Some(tag), None) => writeln!(to, "  new tag   {tag}: {root}")?,
        (Some(tag), Some(before)) if before == root => {
            writeln!(to, "  same tag  {tag}: {root}")?;
        }
        (Some(tag), Some(before)) => writeln!(to, "  move tag  {tag}: {before} -> {root}")?,
    }
    for step in &copy.steps {
        let action = match step.action {
            PlannedAction::Send => "send",
            PlannedAction::Mount => "mount",
            PlannedAction::LeaveOut => "leave out",
            _ => continue,
        };
        let content = &step.content;
        let media_type = EscapedText(content.media_type.as_str());
        writeln!(to, "  {action:9} {}  {}  {media_type}", content.digest, size(content.size))?;
    }
    for PlannedTag { tag, digest, before, .. } in &copy.digest_tags {
        match before {
            None => writeln!(to, "  new tag   {tag}: {digest}")?,
            Some(before) => writeln!(to, "  move tag  {tag}: {before} -> {digest}")?,
        }
    }
    left(&copy.left_behind, "  ", to)
}

/// Writes a line about what would not be copied, if there is any.
fn left(content: &[LeftBehind], indent: &str, to: &mut dyn fmt::Write) -> fmt::Result {
    if content.is_empty() {
        return Ok(());
    }
    let mut line = String::new();
    left_behind(content, &mut line)?;
    writeln!(to, "{indent}{}", line.trim_start_matches(", "))
}
