use std::fmt;
use std::path::{Path, PathBuf};

use clap::Args;
use longshore::{
    Error, ErrorKind, EscapedText, MANIFEST_LIMIT, Manifest, RawManifest, Result, Tag,
};
use longshore_legacy::schema1::{Sign as _, SigningKey};
use serde::Serialize;

use crate::context::Context;
use crate::input;
use crate::message;
use crate::output::{self, Report};

/// The arguments of `longshore manifest sign`.
#[derive(Debug, Args)]
#[command(after_help = "\
The signed content keeps its bytes and its digest, unless --tag or --name changes it. Without \
--key, the command generates a key for this signature and does not store the key: registries \
require a signature, but accept any key.

Examples:
  longshore manifest sign schema1.json --key key.pem > signed.json
  longshore manifest get r.example/a:v1 | longshore manifest sign - --tag v2 \\
    | longshore manifest put r.example/a:v2 -")]
pub(crate) struct Arguments {
    /// The manifest file, signed or not; `-` for standard input.
    file: PathBuf,
    /// Private key file in PEM: EC (P-256, P-384) or RSA.
    #[arg(long, value_name = "PEM", env = "LONGSHORE_SIGNING_KEY")]
    key: Option<PathBuf>,
    /// File with the key's password, if the key has one.
    #[arg(long, value_name = "FILE", requires = "key")]
    password_file: Option<PathBuf>,
    /// Set the manifest's tag before signing.
    #[arg(long)]
    tag: Option<Tag>,
    /// Set the manifest's repository name before signing.
    #[arg(long)]
    name: Option<String>,
    /// Write the signed manifest to this file [default: standard output].
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,
}

pub(super) async fn run(context: &Context, arguments: Arguments) -> Result<()> {
    let bytes = input::read(arguments.file.clone(), MANIFEST_LIMIT).await?;
    let manifest = RawManifest::from_bytes(bytes, None)?;
    let key = key(&arguments)?;
    let signed = signed(&manifest, &key, &arguments)?;
    if let Some(path) = &arguments.output {
        std::fs::write(path, signed.bytes()).map_err(|e| Error::io(path, e))?;
    }
    let report = Signed {
        digest: signed.digest().to_string(),
        key_id: key.public().id(),
        algorithm: key.public().algorithm(),
    };
    match arguments.output {
        None => {
            message::say(format_args!("signed {} with key {}", report.digest, report.key_id));
            output::bytes(signed.bytes())
        }
        Some(_) => context.output().report(&report),
    }
}

fn key(arguments: &Arguments) -> Result<SigningKey> {
    let Some(path) = &arguments.key else { return SigningKey::generate() };
    let text = |path: &Path| std::fs::read_to_string(path).map_err(|e| Error::io(path, e));
    let pem = text(path)?;
    let password = arguments.password_file.as_deref().map(text).transpose()?;
    let password = password.as_deref().map(|text| text.trim_end_matches(['\r', '\n']));
    SigningKey::from_pem(&pem, password)
        .map_err(|e| e.at(path.display()).with_hint("A key with a password needs --password-file."))
}

fn signed(manifest: &RawManifest, key: &SigningKey, arguments: &Arguments) -> Result<RawManifest> {
    if arguments.tag.is_none() && arguments.name.is_none() {
        return manifest.sign(key);
    }
    let Manifest::Schema1(schema1) = manifest.parse()? else {
        return Err(Error::new(ErrorKind::Unsupported)
            .at(arguments.file.display())
            .detail(format!("{} has no signatures", manifest.media_type())));
    };
    let mut schema1 = schema1.clone();
    if let Some(tag) = &arguments.tag {
        schema1.tag = tag.to_string();
    }
    if let Some(name) = &arguments.name {
        schema1.name.clone_from(name);
    }
    schema1.sign(key)
}

/// A signed manifest.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Signed {
    digest: String,
    key_id: String,
    algorithm: &'static str,
}

impl Report for Signed {
    fn text(&self, to: &mut dyn fmt::Write) -> fmt::Result {
        message::say(format_args!("signed by key {} ({})", self.key_id, self.algorithm));
        writeln!(to, "{}", EscapedText(&self.digest))
    }
}
