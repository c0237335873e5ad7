use std::net::{Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use crate::error::{ParseError, Result, parsed_text};

/// A registry's address, `host[:port]`. The host is a name, an IPv4 address, or an IPv6 address in
/// brackets.
///
/// The name is stored in lower case. The aliases of Docker Hub (`index.docker.io`,
/// `registry-1.docker.io` and `registry.hub.docker.com`) are parsed as `docker.io`.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RegistryName {
    text: Arc<str>,
    host_length: usize,
}

impl RegistryName {
    /// Parses `host[:port]`.
    ///
    /// # Errors
    /// [`ParseError`] if the host or the port is invalid.
    pub fn parse(text: &str) -> Result<Self, ParseError> {
        let bad = |reason: &'static str| ParseError::new("registry", text, reason);
        let (host, port) = split_port(text)?;
        if let Some(inside) = host.strip_prefix('[') {
            let inside = inside.strip_suffix(']').ok_or_else(|| bad("'[' without ']'"))?;
            if inside.contains('%') {
                return Err(bad("IPv6 zones are not supported"));
            }
            if inside.parse::<Ipv6Addr>().is_err() {
                return Err(bad("no IPv6 address between the brackets"));
            }
        } else {
            check_host(host, text)?;
        }
        if let Some(port) = port {
            let digits = !port.is_empty() && port.bytes().all(|b| b.is_ascii_digit());
            if !digits || port.parse::<u16>().unwrap_or(0) == 0 {
                return Err(bad("expected a port from 1 to 65535").at(host.len() + 1));
            }
        }
        let lower = text.to_ascii_lowercase();
        match lower.as_str() {
            "index.docker.io" | "registry-1.docker.io" | "registry.hub.docker.com" => {
                Ok(Self::docker_hub())
            }
            _ => Ok(Self { text: lower.into(), host_length: host.len() }),
        }
    }

    /// Returns Docker Hub, `docker.io`.
    #[must_use]
    pub fn docker_hub() -> Self {
        Self { text: DOCKER_HUB.into(), host_length: DOCKER_HUB.len() }
    }

    /// Returns true if this is Docker Hub.
    #[must_use]
    pub fn is_docker_hub(&self) -> bool {
        &*self.text == DOCKER_HUB
    }

    /// Returns the host without the port. An IPv6 address keeps its brackets.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.text[..self.host_length]
    }

    /// Returns the port, if the name has one.
    #[must_use]
    pub fn port(&self) -> Option<u16> {
        self.text.get(self.host_length + 1..)?.parse().ok()
    }

    /// Returns the whole text, `host[:port]`.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Returns true if the name always means this machine: `localhost`, `*.localhost` or a loopback
    /// address.
    ///
    /// Source: RFC 6761, section 6.3; RFC 1122, section 3.2.1.3; RFC 4291, section 2.5.3.
    #[must_use]
    pub fn is_loopback(&self) -> bool {
        let host = self.host();
        host == "localhost"
            || host.ends_with(".localhost")
            || host.parse::<Ipv4Addr>().is_ok_and(|ip| ip.is_loopback())
            || host.trim_matches(['[', ']']).parse::<Ipv6Addr>().is_ok_and(|ip| ip.is_loopback())
    }
}

/// Splits the host from the port at the colon that is not part of an IPv6 address.
fn split_port(text: &str) -> Result<(&str, Option<&str>), ParseError> {
    let bad = |reason: &'static str| ParseError::new("registry", text, reason);
    if text.starts_with('[') {
        let end = text.find(']').ok_or_else(|| bad("'[' without ']'"))? + 1;
        return match &text[end..] {
            "" => Ok((text, None)),
            rest => match rest.strip_prefix(':') {
                Some(port) => Ok((&text[..end], Some(port))),
                None => Err(bad("expected ':' and a port after ']'").at(end)),
            },
        };
    }
    match text.split_once(':') {
        Some((host, port)) => Ok((host, Some(port))),
        None => Ok((text, None)),
    }
}

/// Checks a host name: labels of 1 to 63 letters, digits and inner hyphens.
///
/// Source: RFC 1123, section 2.1.
fn check_host(host: &str, text: &str) -> Result<(), ParseError> {
    let bad = |reason: &'static str| ParseError::new("registry", text, reason);
    if host.is_empty() {
        return Err(bad("the host is empty"));
    }
    if host.len() > 253 {
        return Err(bad("the host is longer than 253 characters"));
    }
    if let Some(at) = host.find(|c: char| !(c.is_ascii_alphanumeric() || matches!(c, '.' | '-'))) {
        return Err(bad("a host may contain only letters, digits, '.' and '-'").at(at));
    }
    let good = |label: &str| {
        (1..=63).contains(&label.len()) && !label.starts_with('-') && !label.ends_with('-')
    };
    if host.split('.').all(good) {
        return Ok(());
    }
    Err(bad("each part of a host has 1 to 63 characters and no '-' at its ends"))
}

parsed_text!(RegistryName);

const DOCKER_HUB: &str = "docker.io";
