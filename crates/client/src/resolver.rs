//! Name resolution that replaces the system's resolver.

use std::collections::HashMap;
use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use async_trait::async_trait;
use longshore_core::{ParseError, RegistryName, Result};

/// A resolver of host names that replaces the system's resolver.
///
/// Not called for hosts that are addresses, that have configured addresses, or that a proxy
/// resolves.
#[async_trait]
pub trait Resolver: fmt::Debug + Send + Sync {
    /// Returns the addresses of a host, in the order in which to try them.
    ///
    /// # Errors
    /// Any error of the lookup. A name without addresses is not an error; return an empty list for
    /// it.
    async fn resolve(&self, host: &str) -> Result<Vec<IpAddr>>;
}

/// The address family to use.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum AddressFamily {
    /// All addresses.
    #[default]
    Any,
    /// IPv4 only.
    Ipv4,
    /// IPv6 only.
    Ipv6,
}

impl AddressFamily {
    pub(crate) fn allows(self, address: &IpAddr) -> bool {
        match self {
            Self::Any => true,
            Self::Ipv4 => address.is_ipv4(),
            Self::Ipv6 => address.is_ipv6(),
        }
    }

    /// Returns the error text for a host without an allowed address.
    pub(crate) fn clause(self) -> &'static str {
        match self {
            Self::Any => "there is no address",
            Self::Ipv4 => "there is no IPv4 address, and no other address is allowed",
            Self::Ipv6 => "there is no IPv6 address, and no other address is allowed",
        }
    }
}

/// The configured addresses of one host: `HOST:PORT:ADDRESS[,ADDRESS]`, as in curl's `--resolve`,
/// or `HOST:ADDRESS[,ADDRESS]` for every port. IPv6 addresses are written in brackets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostAddresses {
    host: String,
    port: Option<u16>,
    addresses: Vec<IpAddr>,
}

impl HostAddresses {
    /// Creates the addresses of a host for one port or for all ports.
    #[must_use]
    pub fn new(host: &str, port: Option<u16>, addresses: Vec<IpAddr>) -> Self {
        Self { host: host.to_ascii_lowercase(), port, addresses }
    }
}

impl FromStr for HostAddresses {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        let bad = |reason: &'static str| ParseError::new("address of a host", text, reason);
        let shape = || bad("expected HOST:PORT:ADDRESS or HOST:ADDRESS");
        let (host, rest) = text.split_once(':').ok_or_else(shape)?;
        RegistryName::parse(host).map_err(|_| bad("the host is not valid"))?;
        let (port, addresses) = match rest.split_once(':') {
            Some((port, addresses)) if port.parse::<u16>().is_ok() => {
                (port.parse().ok(), addresses)
            }
            _ => (None, rest),
        };
        let address = |text: &str| text.trim_matches(['[', ']']).parse().map_err(|_| shape());
        let addresses = addresses.split(',').map(address).collect::<Result<_, _>>()?;
        Ok(Self::new(host, port, addresses))
    }
}

/// All configured addresses.
#[derive(Clone, Debug, Default)]
pub(crate) struct SetAddresses(HashMap<(String, Option<u16>), Vec<IpAddr>>);

impl SetAddresses {
    pub(crate) fn add(&mut self, set: HostAddresses) {
        self.0.entry((set.host, set.port)).or_default().extend(set.addresses);
    }

    /// Returns the configured addresses of a host on a port, if there are any.
    pub(crate) fn of(&self, host: &str, port: u16) -> Option<&[IpAddr]> {
        let find = |port| self.0.get(&(host.to_owned(), port));
        find(Some(port)).or_else(|| find(None)).map(Vec::as_slice)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn configured_addresses_are_found_by_host_and_port() {
        let mut set = SetAddresses::default();
        for text in [
            "R.example:443:10.0.0.1",
            "r.example:443:[fd00::1]",
            "r.example:10.0.0.2",
            "v6.example:[::1],127.0.0.1",
        ] {
            set.add(text.parse().unwrap());
        }
        let of = |host, port| {
            set.of(host, port).map(|all| all.iter().map(ToString::to_string).collect::<Vec<_>>())
        };
        assert_eq!(of("r.example", 443).unwrap(), ["10.0.0.1", "fd00::1"]);
        assert_eq!(of("r.example", 5000).unwrap(), ["10.0.0.2"]);
        assert_eq!(of("v6.example", 80).unwrap(), ["::1", "127.0.0.1"]);
        assert_eq!(of("x.example", 443), None);
        for bad in ["", "r.example", "r.example:443", "r.example:443:x", "r.example:99999:10.0.0.1"]
        {
            assert!(bad.parse::<HostAddresses>().is_err(), "{bad}");
        }
    }
}
