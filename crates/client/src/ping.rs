//! Checks that a registry responds, and whether it accepts the client's credentials.

use http::Method;
use longshore_core::{Error, ErrorKind, Result};

use crate::auth::{Challenge, Scopes};
use crate::config::Verification;
use crate::exchange::{Exchange, RegistryRequest};
use crate::reply::Reply;
use crate::scheme::Scheme;

/// A registry's description of itself, requested without credentials.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Ping {
    /// The scheme used: [`Scheme::Http`] or [`Scheme::Https`].
    pub scheme: Scheme,
    /// The verification of the registry's certificate, if the scheme uses TLS.
    pub verification: Verification,
    /// True if scheme and verification were detected instead of configured.
    pub detected: bool,
    /// True if others on the network path can read the traffic, because it is sent over plain HTTP
    /// and leaves this machine.
    pub exposed: bool,
    /// The `Docker-Distribution-API-Version` header, such as `registry/2.0`.
    pub api_version: Option<String>,
    /// The authentication schemes that the registry offers, in lower case, such as `bearer`. Empty
    /// if the registry sent no challenge.
    pub authentication: Vec<String>,
}

/// Requests the root of a registry.
pub(crate) async fn ping(exchange: &Exchange) -> Result<Ping> {
    let about = format!("registry {}", exchange.registry());
    let host = exchange.host().await?;
    let request =
        RegistryRequest::new(Method::GET, host.endpoint.root(), Scopes::default(), &about);
    let reply = exchange.send_anonymously(request).await?;
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

/// Requests the root of a registry with credentials.
pub(crate) async fn check_credentials(exchange: &Exchange) -> Result<()> {
    let about = format!("registry {}", exchange.registry());
    let request = RegistryRequest::new(
        Method::GET,
        exchange.endpoint().await?.root(),
        Scopes::default(),
        about,
    );
    let reply = exchange.expect(request, &[200]).await?;
    refuse_page(&reply).map_err(|e| e.at(format!("registry {}", exchange.registry())))?;
    reply.body.drain().await;
    Ok(())
}

/// Checks that the reply is from a registry, not from a login page or proxy. Some registries answer
/// with a page too, but the reply has a header that identifies a registry.
fn refuse_page(reply: &Reply) -> Result<()> {
    let is_page = reply.header("content-type").is_some_and(|t| t.contains("text/html"));
    if is_page && reply.header(API_VERSION).is_none() {
        let error = Error::new(ErrorKind::Protocol).detail("answered with a web page");
        return Err(error.with_hint("Check the address: this is not a registry."));
    }
    Ok(())
}

const API_VERSION: &str = "docker-distribution-api-version";
