//! Resolves names to addresses according to the settings.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use longshore_core::{Error, ErrorKind, Result};
use reqwest::dns::{Addrs, Name, Resolve, Resolving};

use super::super::activity::Stage;
use super::connect;
use crate::config::Config;
use crate::origin::Origin;
use crate::resolver::{AddressFamily, Resolver};

/// The resolver of one pool. Uses the addresses configured for the host, else the configured
/// resolver, else the system's resolver.
#[derive(Clone)]
pub(super) struct Names {
    set: Option<(String, Vec<IpAddr>)>,
    resolver: Option<Arc<dyn Resolver>>,
    family: AddressFamily,
}

impl Names {
    pub(super) fn of(config: &Config, origin: &Origin) -> Self {
        let set = config.addresses.of(origin.host(), origin.port());
        let set = set.map(|addresses| (origin.host().to_owned(), addresses.to_vec()));
        Self { set, resolver: config.resolver.clone(), family: config.family }
    }

    async fn find(self, host: String) -> Result<Vec<SocketAddr>, io::Error> {
        let found = match (self.set, self.resolver) {
            (Some((name, addresses)), _) if name == host => addresses,
            (_, Some(resolver)) => resolver.resolve(&host).await.map_err(io::Error::other)?,
            _ => tokio::net::lookup_host((host, 0)).await?.map(|address| address.ip()).collect(),
        };
        let allowed: Vec<_> = found
            .into_iter()
            .filter(|address| self.family.allows(address))
            // Port 0 means the port in the URL.
            .map(|address| SocketAddr::new(address, 0))
            .collect();
        match allowed.is_empty() {
            true => Err(io::Error::new(io::ErrorKind::NotFound, self.family.clause())),
            false => Ok(allowed),
        }
    }
}

impl Resolve for Names {
    fn resolve(&self, name: Name) -> Resolving {
        let work = self.clone().find(name.as_str().to_ascii_lowercase());
        let entered = connect::enter(Stage::Address);
        Box::pin(async move {
            let _until_found = entered;
            let found = work.await?;
            Ok(Box::new(found.into_iter()) as Addrs)
        })
    }
}

/// Checks the address family of a host that is a literal address, for which no resolver is called.
pub(super) fn check_literal(origin: &Origin, family: AddressFamily) -> Result<()> {
    match origin.host().trim_matches(['[', ']']).parse::<IpAddr>() {
        Ok(address) if !family.allows(&address) => {
            Err(Error::new(ErrorKind::Invalid).at(origin).detail(family.clause()))
        }
        _ => Ok(()),
    }
}
