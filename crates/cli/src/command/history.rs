use std::fmt;

use clap::Args;
use longshore::{
    Digest, Error, ErrorKind, EscapedText, History, Image, Location, Manifest, Platform, Result,
    Schema1,
};
use serde::Serialize;

use crate::context::Context;
use crate::defaults;
use crate::output::{Report, size};

/// The arguments of `longshore history`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  longshore history nginx:1.27
  longshore history nginx:1.27 --platform linux/arm64 --no-trunc
  longshore history nginx:1.27 --json --no-empty

The command prints one line per step, oldest first: the layer, the layer's stored size, the \
creation time, and the instruction without the text that builders add. --json adds the original \
text of each step and the chain ID of each layer. A chain ID identifies a layer together with all \
layers below it.")]
pub(crate) struct Arguments {
    /// The image.
    #[arg(value_parser = defaults::location)]
    location: Location,
    /// Select this platform of a multi-platform image [default: this machine].
    #[arg(long, value_name = "OS/ARCH[/VARIANT]")]
    platform: Option<Platform>,
    /// Hide steps without a layer.
    #[arg(long)]
    no_empty: bool,
    /// Print digests and instructions in full.
    #[arg(long)]
    no_trunc: bool,
}

pub(crate) async fn run(context: &Context, arguments: Arguments) -> Result<()> {
    let located = context.stores().locate(&arguments.location).await?;
    let manifest = located.image(arguments.platform.as_ref()).await?;
    let mut history = match manifest.parse()? {
        Manifest::Schema1(schema1) => of_schema1(schema1)?,
        Manifest::Image(_) => of_image(&Image::read(&*located.source, manifest).await?),
        _ => {
            return Err(Error::new(ErrorKind::Unsupported)
                .at(&arguments.location)
                .detail(format!("{} has no history", manifest.media_type())));
        }
    };
    if arguments.no_empty {
        history.retain(|row| !row.empty_layer);
    }
    context.output().report(&Answer { history, full: arguments.no_trunc })
}

#[derive(Serialize)]
struct Answer {
    history: Vec<Row>,
    #[serde(skip)]
    full: bool,
}

/// A build step of the image.
#[derive(Serialize)]
struct Row {
    created: Option<String>,
    /// The instruction as stored in the config.
    created_by: Option<String>,
    /// The instruction without the text that builders add.
    instruction: Option<String>,
    comment: Option<String>,
    empty_layer: bool,
    /// The digest of the layer as stored.
    digest: Option<Digest>,
    size: Option<u64>,
    diff_id: Option<Digest>,
    chain_id: Option<Digest>,
    /// The id of the v1 image, for schema 1 only.
    id: Option<String>,
}

impl Row {
    fn of(history: Option<&History>) -> Self {
        let text = |field: fn(&History) -> &Option<String>| history.and_then(|h| field(h).clone());
        Self {
            created: text(|h| &h.created),
            created_by: text(|h| &h.created_by),
            instruction: history.and_then(History::instruction).map(Into::into),
            comment: text(|h| &h.comment),
            empty_layer: history.is_some_and(|h| h.empty_layer),
            digest: None,
            size: None,
            diff_id: None,
            chain_id: None,
            id: None,
        }
    }
}

fn of_image(image: &Image) -> Vec<Row> {
    let mut chain = image.config().rootfs.chain_ids().into_iter();
    let rows = image.steps().into_iter().map(|step| {
        let mut row = Row::of(step.history);
        if let Some(layer) = step.layer {
            row.digest = Some(layer.descriptor.digest.clone());
            row.size = Some(layer.descriptor.size);
            row.diff_id = layer.diff_id.cloned();
            row.chain_id = chain.next();
        }
        row
    });
    rows.collect()
}

/// Reads the history of a schema 1 manifest, which lists layers newest first and has no sizes.
fn of_schema1(schema1: &Schema1) -> Result<Vec<Row>> {
    let mut rows = Vec::new();
    let mut layers = schema1.fs_layers.iter().map(|layer| layer.blob_sum.clone());
    for ancestor in schema1.ancestors()? {
        let mut row = Row::of(Some(&ancestor.history));
        row.digest = layers.next();
        row.id = Some(ancestor.id);
        rows.push(row);
    }
    rows.reverse();
    Ok(rows)
}

impl Report for Answer {
    fn text(&self, to: &mut dyn fmt::Write) -> fmt::Result {
        for row in &self.history {
            let digest = match &row.digest {
                Some(digest) if self.full => digest.as_str(),
                Some(digest) => digest.short(),
                None => "-",
            };
            let size = row.size.map_or_else(|| "-".to_owned(), size);
            let created = row.created.as_deref().map_or("-", |text| text.get(..19).unwrap_or(text));
            let instruction = row.instruction.as_deref().unwrap_or("-");
            let shown = if self.full { usize::MAX } else { SHOWN };
            writeln!(
                to,
                "{digest:<12}  {size:>10}  {:<19}  {}",
                EscapedText(created).to_string(),
                EscapedText(instruction).at_most(shown)
            )?;
        }
        Ok(())
    }
}

/// Maximum number of characters of an instruction in the text output.
const SHOWN: usize = 100;
