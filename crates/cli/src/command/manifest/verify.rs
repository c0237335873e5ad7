use std::fmt;
use std::path::Path;

use clap::Args;
use longshore::{EscapedText, MANIFEST_LIMIT, RawManifest, Result};
use longshore_legacy::schema1::VerifySignatures as _;
use serde::Serialize;

use crate::context::Context;
use crate::defaults;
use crate::input;
use crate::output::Report;

/// The arguments of `longshore manifest verify`.
#[derive(Debug, Args)]
#[command(after_help = "\
The exit code is 7 if a signature is invalid, or if the manifest has no signatures. The command \
prints the IDs of the keys, but does not decide whether the keys are trusted.

Examples:
  longshore manifest verify r.example/a:v1
  longshore manifest verify schema1.json --json")]
pub(crate) struct Arguments {
    /// The manifest: an existing file, `-` for standard input, or a location.
    #[arg(value_name = "REF|FILE")]
    manifest: String,
}

pub(super) async fn run(context: &Context, arguments: Arguments) -> Result<()> {
    let path = Path::new(&arguments.manifest).to_owned();
    let manifest = if arguments.manifest == "-" || path.is_file() {
        RawManifest::from_bytes(input::read(path, MANIFEST_LIMIT).await?, None)?
    } else {
        let located = context.stores().locate(&defaults::location(&arguments.manifest)?).await?;
        located.source.manifest(&located.selector).await?
    };
    let verified = manifest.verify_signatures()?;
    let signers = verified
        .signers
        .iter()
        .map(|signer| By { key_id: signer.key.id(), algorithm: signer.algorithm.clone() });
    context.output().report(&Answer {
        digest: verified.digest.to_string(),
        payload_size: verified.payload.len(),
        signatures: signers.collect(),
    })
}

/// The valid signatures.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Answer {
    digest: String,
    payload_size: usize,
    signatures: Vec<By>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct By {
    key_id: String,
    algorithm: String,
}

impl Report for Answer {
    fn text(&self, to: &mut dyn fmt::Write) -> fmt::Result {
        writeln!(to, "{}", self.digest)?;
        for by in &self.signatures {
            writeln!(to, "{} {}", EscapedText(&by.algorithm), by.key_id)?;
        }
        Ok(())
    }
}
