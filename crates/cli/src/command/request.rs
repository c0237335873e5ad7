use std::collections::BTreeMap;
use std::fmt;
use std::io::Read as _;
use std::path::PathBuf;
use std::str::FromStr;

use clap::Args;
use longshore::http::{HeaderName, HeaderValue, Method};
use longshore::{
    Body, Error, ErrorKind, ParseError, RawReply, RawRequest, RegistryName, Result, run_blocking,
};
use serde::Serialize;

use crate::context::Context;
use crate::message::say;
use crate::output::{self, Report};

/// The arguments of `longshore request`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  longshore request GET ghcr.io /v2/example/app/tags/list --scope repository:example/app:pull
  longshore request POST localhost:5000 /v2/app/blobs/uploads/ --include
  longshore request PUT localhost:5000 /v2/app/manifests/v1 \\
    -H 'Content-Type: application/vnd.oci.image.manifest.v1+json' --data @manifest.json

Credentials, redirects and retries work as in every other command. The body is printed for every \
status, and the exit code reflects the status.")]
pub(crate) struct Arguments {
    /// The method: GET, HEAD, PUT, …
    method: Method,
    /// The registry.
    registry: RegistryName,
    /// The path and query, or a URL of the registry.
    path: String,
    /// Header to send. An Authorization header replaces the stored credentials, but other users of
    /// this machine can see it in the list of processes. To keep its value secret, set
    /// LONGSHORE_AUTHORIZATION=REGISTRY=VALUE instead.
    #[arg(long, short = 'H', value_name = "NAME: VALUE")]
    header: Vec<Header>,
    /// Body to send: text, @FILE, or - for standard input.
    #[arg(long, short, value_name = "TEXT|@FILE|-")]
    data: Option<String>,
    /// Scope of the token, such as repository:a/b:pull,push; repeat the option for several.
    #[arg(long, value_name = "TYPE:NAME:ACTIONS")]
    scope: Vec<String>,
    /// Also print the status and headers to stderr.
    #[arg(long, short)]
    include: bool,
    /// Write the body to this file.
    #[arg(long, short, value_name = "FILE", conflicts_with = "json")]
    output: Option<PathBuf>,
}

pub(crate) async fn run(context: &Context, arguments: Arguments) -> Result<()> {
    let mut request = RawRequest::new(arguments.method, arguments.path);
    for Header(name, value) in arguments.header {
        request = request.header(name, value);
    }
    for scope in &arguments.scope {
        request = request.scope(scope)?;
    }
    if let Some(data) = arguments.data {
        request = request.body(Body::Bytes(body(data).await?.into()));
    }
    let reply = context.client()?.request(&arguments.registry, request).await?;
    if arguments.include {
        say(format_args!("{}", reply.status));
        for (name, value) in &reply.headers {
            say(format_args!("{name}: {}", longshore::EscapedText(&text(value))));
        }
    }
    if context.is_formatted() {
        return answer(context, reply).await;
    }
    let refused = refusal(&reply);
    output::answer(reply.into_stream(), arguments.output.as_deref()).await?;
    refused.map_or(Ok(()), Err)
}

/// Returns an error if the status is not a success. The error does not quote the body, because the
/// body is printed.
fn refusal(reply: &RawReply) -> Option<Error> {
    let status = reply.status.as_u16();
    let kind = match status {
        200..=299 => return None,
        401 => ErrorKind::Unauthorized,
        403 => ErrorKind::Denied,
        404 => ErrorKind::NotFound,
        409 => ErrorKind::Conflict,
        429 => ErrorKind::RateLimited,
        500..=599 => ErrorKind::Transport,
        _ => ErrorKind::Invalid,
    };
    Some(Error::new(kind).at("the request").with_status(status))
}

async fn answer(context: &Context, reply: RawReply) -> Result<()> {
    let refused = refusal(&reply);
    let status = reply.status.as_u16();
    let mut headers = BTreeMap::<_, Vec<String>>::new();
    for (name, value) in &reply.headers {
        headers.entry(name.to_string()).or_default().push(text(value));
    }
    let bytes = reply.bytes(BODY_LIMIT).await?;
    let body = String::from_utf8(bytes.into()).map_err(|e| {
        Error::new(ErrorKind::Unsupported)
            .at("the reply's body")
            .detail("expected UTF-8 text for JSON output")
            .with_source(e)
            .with_hint("Leave out --json, and name a file with --output.")
    })?;
    context.output().report(&Answer { status, headers, body })?;
    refused.map_or(Ok(()), Err)
}

/// A complete reply.
#[derive(Serialize)]
struct Answer {
    status: u16,
    headers: BTreeMap<String, Vec<String>>,
    body: String,
}

impl Report for Answer {
    fn text(&self, to: &mut dyn fmt::Write) -> fmt::Result {
        to.write_str(&self.body)
    }
}

fn text(value: &HeaderValue) -> String {
    String::from_utf8_lossy(value.as_bytes()).into_owned()
}

/// Reads the body of a request. Reading may block, so this runs on another thread.
async fn body(data: String) -> Result<Vec<u8>> {
    run_blocking(move || match data.strip_prefix('@') {
        Some(path) => std::fs::read(path).map_err(|e| Error::io(path.as_ref(), e)),
        None if data == "-" => {
            let mut read = Vec::new();
            let stdin = std::io::stdin().read_to_end(&mut read);
            stdin.map_err(|e| Error::io("standard input".as_ref(), e))?;
            Ok(read)
        }
        None => Ok(data.as_bytes().to_vec()),
    })
    .await
}

/// A header: `NAME: VALUE`.
#[derive(Clone, Debug)]
struct Header(HeaderName, HeaderValue);

impl FromStr for Header {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        // The value may be a password, so the error does not quote it.
        let bad = || ParseError::new("header", "…", "expected NAME: VALUE");
        let (name, value) = text.split_once(':').ok_or_else(bad)?;
        let name = name.trim().parse().map_err(|_| bad())?;
        let mut value = HeaderValue::from_str(value.trim()).map_err(|_| bad())?;
        value.set_sensitive(name == longshore::http::header::AUTHORIZATION);
        Ok(Self(name, value))
    }
}

/// 8 MiB for a body in JSON output, like the limit for a page of a listing.
const BODY_LIMIT: usize = 8 << 20;
