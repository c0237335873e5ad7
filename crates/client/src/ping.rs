//! Whether a registry is there, and who one is to it.

use http::Method;
use longshore_core::{Error, ErrorKind, Result};

use crate::auth::{Challenge, Scopes};
use crate::config::Verification;
use crate::exchange::{Ask, Exchange};
use crate::reply::Reply;
use crate::scheme::Scheme;

/// What a registry says of itself, asked without credentials.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Ping {
    /// How it was reached: [`Scheme::Http`] or [`Scheme::Https`].
    pub scheme: Scheme,
    /// What was checked of its certificate, where that scheme has one.
    pub verification: Verification,
    /// Whether scheme and verification were detected, not chosen.
    pub detected: bool,
    /// Whether what is sent there can be read on its way: it goes over plain HTTP, and does not stay
    /// within this machine.
    pub exposed: bool,
    /// The `Docker-Distribution-API-Version` header, such as `registry/2.0`.
    pub api_version: Option<String>,
    /// The schemes it authenticates by, in lower case, such as `bearer`; none where it answers
    /// everybody.
    pub authentication: Vec<String>,
}

/// Asks a registry for its root.
pub(crate) async fn ping(exchange: &Exchange) -> Result<Ping> {
    let about = format!("registry {}", exchange.registry());
    let host = exchange.host().await?;
    let ask = Ask::new(Method::GET, host.endpoint.root(), Scopes::default(), &about);
    let reply = exchange.send_anonymously(ask).await?;
    if !reply.is(&[200, 401]) {
        return Err(reply.into_error().await.at(about));
    }
    let challenges = Challenge::all(&reply.headers)
        .map_err(|clause| Error::new(ErrorKind::Protocol).at(&about).detail(clause))?;
    let api_version = reply.header(API_VERSION).map(str::to_owned);
    if reply.is(&[401]) && challenges.is_empty() && api_version.is_none() {
        return Err(reply.into_error().await.at(about));
    }
    refuse_page(&reply).map_err(|e| e.at(about))?;
    let authentication = challenges.iter().map(|c| c.scheme().to_owned()).collect();
    reply.body.drain().await;
    Ok(Ping {
        scheme: if host.https { Scheme::Https } else { Scheme::Http },
        verification: host.verification,
        detected: host.detected,
        exposed: host.exposed,
        api_version,
        authentication,
    })
}

/// Asks a registry for its root, as the user that the credentials name.
pub(crate) async fn authenticate(exchange: &Exchange) -> Result<()> {
    let about = format!("registry {}", exchange.registry());
    let ask = Ask::new(Method::GET, exchange.endpoint().await?.root(), Scopes::default(), about);
    let reply = exchange.expect(ask, &[200]).await?;
    refuse_page(&reply).map_err(|e| e.at(format!("registry {}", exchange.registry())))?;
    reply.body.drain().await;
    Ok(())
}

/// Checks that it is a registry that answered, not a login page or proxy: some registries call their
/// root a page too, but state what they are.
fn refuse_page(reply: &Reply) -> Result<()> {
    let is_page = reply.header("content-type").is_some_and(|t| t.contains("text/html"));
    if is_page && reply.header(API_VERSION).is_none() {
        let error = Error::new(ErrorKind::Protocol).detail("answered with a web page");
        return Err(error.with_hint("Check the address: this is not a registry."));
    }
    Ok(())
}

const API_VERSION: &str = "docker-distribution-api-version";
