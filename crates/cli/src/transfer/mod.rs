//! What copy, pull and push share: the options, the run, the result.

mod outcome;

use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::sync::Arc;

use clap::Args;
use longshore::{
    Copier, CopyOptions, CopySummary, Digest, Error, ErrorKind, Platform, Reference, Result, Side,
    Source, Tag, TagOrDigest,
};

use self::outcome::{Copied, Failure, Outcome};
use crate::context::{Context, Destination, Named, Names};
use crate::exit;
use crate::location::Location;
use crate::progress;

/// The options of copy, pull and push.
#[derive(Clone, Debug, Args)]
pub(crate) struct Options {
    /// Only this platform of a multi-platform image (`local`: this machine).
    #[arg(long, value_name = "OS/ARCH[/VARIANT]", conflicts_with = "all_tags")]
    platform: Option<Platform>,

    /// Copy all tags of the repository, or all names between layouts.
    #[arg(long)]
    all_tags: bool,

    /// Copy referrers too: signatures, SBOMs, attestations.
    #[arg(long)]
    referrers: bool,

    /// Check every blob, even below manifests that the target already has.
    #[arg(long)]
    recheck: bool,

    /// Copy non-distributable layers too.
    #[arg(long)]
    nondistributable: bool,

    /// Number of parallel blob transfers.
    #[arg(long, value_name = "N")]
    parallel: Option<NonZeroUsize>,
}

impl Options {
    fn of_copy(&self) -> CopyOptions {
        let mut options = CopyOptions::default();
        options.platform.clone_from(&self.platform);
        options.referrers = self.referrers;
        options.recheck = self.recheck;
        options.nondistributable = self.nondistributable;
        options.parallel = self.parallel.unwrap_or(options.parallel);
        options
    }
}

/// Carries out several copies, one after another; all that go into one archive make it at once.
///
/// One that fails does not keep the others from being made: each failure is told in a line, and an
/// archive gets what succeeded. If nothing did, no archive is made. A copy that is the only one fails
/// as it is.
pub(crate) async fn run_all(
    context: &Context,
    transfers: Vec<Transfer>,
    target: String,
) -> Result<()> {
    for transfer in &transfers {
        transfer.check()?;
        context.check_target(&transfer.target).await?;
    }
    let mut opened = None;
    let mut outcome = Outcome::new(target);
    for transfer in &transfers {
        match transfer.copy(context, &mut opened).await {
            Ok(copies) => copies.into_iter().for_each(|copy| outcome.add(copy)),
            Err(e) if transfers.len() == 1 || exit::is_interrupt(&e) => return Err(e),
            Err(error) => outcome.add(Err(Failure::new(&transfer.source, None, error))),
        }
    }
    if let Some(opened) = opened {
        opened.finish().await?;
    }
    outcome.tell_failures();
    context.output().report(&outcome)?;
    outcome.verdict()
}

/// The targets of copies, for people.
pub(crate) fn targets(transfers: &[Transfer]) -> String {
    let targets: Vec<String> = transfers.iter().map(|t| t.target.to_string()).collect();
    targets.join(", ")
}

/// A target that stays open for the next copy, if that goes to the same file.
struct Opened {
    file: Option<PathBuf>,
    destination: Destination,
    /// Whether there is something to finish.
    is_used: bool,
}

impl Opened {
    /// The destination of a location: the one that is open, if it is that. Another is finished first.
    async fn reopen<'a>(
        opened: &'a mut Option<Self>,
        context: &Context,
        location: &Location,
    ) -> Result<&'a Destination> {
        let file = location.archive_file();
        match opened.take() {
            Some(open) if open.file.is_some() && open.file.as_deref() == file => {
                return Ok(&opened.insert(open).destination);
            }
            Some(other) => other.finish().await?,
            None => {}
        }
        let destination = context.target(location).await?;
        let file = file.map(ToOwned::to_owned);
        Ok(&opened.insert(Self { file, destination, is_used: false }).destination)
    }

    async fn finish(self) -> Result<()> {
        match self.is_used {
            true => self.destination.finish().await,
            false => Ok(()),
        }
    }
}

/// A copy from one location to another.
pub(crate) struct Transfer {
    source: Location,
    target: Location,
    options: Options,
}

impl Transfer {
    pub(crate) fn new(source: Location, target: Location, options: Options) -> Self {
        Self { source, target, options }
    }

    /// Carries out one copy.
    pub(crate) async fn run(self, context: &Context) -> Result<()> {
        let shown = self.target.to_string();
        run_all(context, vec![self], shown).await
    }

    async fn copy(
        &self,
        context: &Context,
        opened: &mut Option<Opened>,
    ) -> Result<Vec<Result<Copied, Failure>>> {
        let (source, what) = if self.options.all_tags {
            let (source, names) = match self.target.keeps_names() {
                true => context.whole_names(&self.source).await?,
                false => context.tagged(&self.source).await?,
            };
            (source, What::All(names))
        } else {
            let named = context.named(&self.source).await?;
            let tag = self.tag(&named)?;
            self.look(&named).await?;
            // Where the target says which digest it is to be, nothing else is copied.
            let stated = self.target.digest().map(TagOrDigest::from);
            (named.source, What::One(stated.unwrap_or(named.selector), tag))
        };
        let target = self.target.clone().named_after(&self.source);
        let destination = Opened::reopen(opened, context, &target).await?;
        let store = destination.within(&target);
        let observer = progress::observer(context.style());
        let copier = Copier::builder(Arc::clone(&source), store)
            .options(self.options.of_copy())
            .on_event(move |event| observer(event))
            .build();
        let told = |copy| Copied::new(&target, copy);
        let copies: Vec<_> = match what {
            What::One(selector, tag) => vec![Ok(told(copier.copy(&selector, tag.as_ref()).await?))],
            What::All(names) => {
                let failed = |name: &str, e| Failure::new(&self.source, Some(name), e);
                let outcomes = copier.copy_tags(names.tags).await.into_iter();
                let mut copies: Vec<_> = outcomes
                    .map(|o| o.result.map(told).map_err(|e| failed(o.tag.as_str(), e)))
                    .collect();
                for (name, digest) in names.whole {
                    let copy = copy_under(&copier, &*source, destination, &name, digest).await;
                    let copy = copy.map_err(|e| failed(&name, e));
                    copies.push(copy.map(|copy| Copied::named(&target, name, copy)));
                }
                copies
            }
        };
        if let Some(opened) = opened {
            opened.is_used |= copies.is_empty() || copies.iter().any(Result::is_ok);
        }
        Ok(copies)
    }

    /// Looks whether what is to be copied is there, where something is made for it here, and whether
    /// it is what the target says it is to be.
    async fn look(&self, named: &Named) -> Result<()> {
        let stated = self.target.digest();
        if stated.is_none() && matches!(self.target, Location::Registry(_)) {
            return Ok(());
        }
        let found = match &self.options.platform {
            None => named.source.resolve(&named.selector).await,
            platform => named.image(platform.as_ref()).await.map(|m| m.descriptor().clone()),
        };
        let found = found.map_err(|e| e.on(Side::Source))?.digest;
        match stated {
            Some(stated) if stated != found => Err(Error::new(ErrorKind::DigestMismatch)
                .at(&self.target)
                .on(Side::Target)
                .detail(format!("expected {stated}, got {found}"))),
            _ => Ok(()),
        }
    }

    /// The tag at the target: the one in its text; else the source's, unless a digest says which
    /// manifest is meant at either end. A name in a docker-archive always has one.
    ///
    /// # Errors
    /// [`Conflict`](ErrorKind::Conflict) with the names of an image that has several.
    fn tag(&self, named: &Named) -> Result<Option<Tag>> {
        let own = match &named.names[..] {
            [name] => name.tag().cloned(),
            _ => named.selector.tag().cloned().or_else(|| self.source.tag()),
        };
        match (self.target.tag(), self.target.digest()) {
            (Some(tag), _) => Ok(Some(tag)),
            (None, Some(_)) => Ok(None),
            (None, None) if named.names.len() > 1 && self.target.keeps_tags() => {
                Err(several_names(&self.source, &named.names))
            }
            (None, None) => Ok(own.or_else(|| self.target.reference().map(|_| Tag::latest()))),
        }
    }

    fn check(&self) -> Result<()> {
        let invalid = |location: &Location, reason: &'static str| {
            Err(longshore::ParseError::new("location", &location.to_string(), reason).into())
        };
        if self.options.all_tags {
            for location in [&self.source, &self.target] {
                if location.tag().is_some() || location.digest().is_some() {
                    return invalid(location, "with --all-tags, neither end has a tag or digest");
                }
            }
            if !self.target.clone().named_after(&self.source).keeps_tags() {
                return invalid(&self.target, NO_NAMES);
            }
        }
        if self.source == self.target && !self.source.is_stream() {
            return invalid(&self.target, "source and target are the same");
        }
        match (self.target.digest(), self.source.digest()) {
            (Some(target), Some(source)) if target != source => Err(Error::new(ErrorKind::Invalid)
                .at(&self.target)
                .detail(format!("a copy of {source} cannot have that digest"))),
            _ => Ok(()),
        }
    }
}

/// Copies an entry of a layout, then lists it under its name, which is no tag.
async fn copy_under(
    copier: &Copier,
    source: &dyn Source,
    destination: &Destination,
    name: &str,
    digest: Digest,
) -> Result<CopySummary> {
    let selector = digest.into();
    let copy = copier.copy(&selector, None).await?;
    let manifest = source.manifest(&selector).await.map_err(|e| e.on(Side::Source))?;
    let named = destination.under(name).push_manifest(&manifest, Some(&Tag::latest())).await;
    named.map(|()| copy).map_err(|e| e.on(Side::Target))
}

fn several_names(source: &Location, names: &[Reference]) -> Error {
    let names: Vec<String> = names.iter().map(ToString::to_string).collect();
    Error::new(ErrorKind::Conflict)
        .at(source)
        .detail(format!("the image has several names: {}", names.join(", ")))
        .with_hint("Choose one: docker-archive:FILE:REPOSITORY:TAG; or give the target a tag.")
}

/// What a transfer copies of its source.
enum What {
    One(TagOrDigest, Option<Tag>),
    All(Names),
}

const NO_NAMES: &str = "tags need a repository; write docker-archive:FILE:REPOSITORY";
