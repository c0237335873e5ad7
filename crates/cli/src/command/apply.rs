use std::path::PathBuf;

use clap::Args;
use longshore::{Result, TransferPlan};

use crate::context::Context;
use crate::{input, transfer};

/// The arguments of `longshore apply`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  longshore copy nginx:1.27 localhost:5000/nginx --plan --json > plan.json
  longshore apply plan.json

A copy of the plan is refused if the image at the source, or the tag at the target, has changed \
since the plan was made. The other copies are carried out. The exit code is 6 if copies were only \
refused, and 1 if a copy failed for another reason. A plan that was applied cannot be applied \
again, because its tags have changed.")]
pub(crate) struct Arguments {
    /// The plan: the output of copy, pull or push with --plan --json; `-` for standard input.
    plan: PathBuf,
}

pub(crate) async fn run(context: &Context, arguments: Arguments) -> Result<()> {
    let name = arguments.plan.display().to_string();
    let json = input::read(arguments.plan, TransferPlan::SIZE_LIMIT).await?;
    let plan = TransferPlan::parse(&json).map_err(|e| e.at(name))?;
    transfer::apply(context, &plan).await
}
