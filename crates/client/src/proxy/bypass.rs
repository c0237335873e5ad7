//! `NO_PROXY`: the hosts that are reached without a proxy.

use std::net::IpAddr;

use ipnet::IpNet;

/// Hosts that are reached without a proxy.
///
/// The hosts are parsed from a comma-separated list. Spaces around entries and letter case are
/// ignored:
/// - `r.example` matches that host and its subdomains. `.r.example` and `*.r.example` match only
///   the subdomains.
/// - An address (IPv6 with or without brackets), or a range in CIDR notation, matches hosts that
///   are addresses. Names are not resolved for the comparison.
/// - An entry that ends with a port, such as `:5000`, applies only to that port.
/// - `*` matches every host.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NoProxy(Vec<Entry>);

#[derive(Clone, Debug, PartialEq, Eq)]
struct Entry {
    hosts: Hosts,
    port: Option<u16>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Hosts {
    All,
    /// A host and its subdomains.
    Domain(String),
    /// The subdomains of a host.
    Below(String),
    Range(IpNet),
}

impl NoProxy {
    /// Parses a list. Ignores invalid entries, because they may be meant for other programs.
    #[must_use]
    pub fn parse(list: &str) -> Self {
        Self(list.split(',').filter_map(|text| Entry::parse(text.trim())).collect())
    }

    /// Returns true if a host is reached without a proxy. An IPv6 address may be in brackets.
    #[must_use]
    pub fn covers(&self, host: &str, port: u16) -> bool {
        let host = host.trim_matches(['[', ']']).trim_end_matches('.').to_ascii_lowercase();
        let address = host.parse::<IpAddr>().ok().map(|address| address.to_canonical());
        self.0.iter().any(|entry| {
            entry.port.is_none_or(|own| own == port)
                && match (&entry.hosts, &address) {
                    (Hosts::All, _) => true,
                    (Hosts::Range(range), Some(address)) => range.contains(address),
                    (Hosts::Domain(name), None) => host == *name || is_below(&host, name),
                    (Hosts::Below(name), None) => is_below(&host, name),
                    _ => false,
                }
        })
    }
}

impl Entry {
    fn parse(text: &str) -> Option<Self> {
        // A range or a single address. It is parsed first, because an IPv6 address contains colons.
        if let Some(range) = range(text) {
            return Some(Self { hosts: Hosts::Range(range), port: None });
        }
        let (host, port) = match text.rsplit_once(':') {
            Some((host, port)) => (host, Some(port.parse().ok()?)),
            None => (text, None),
        };
        let hosts = match (host, range(host)) {
            ("", _) => return None,
            ("*", _) => Hosts::All,
            (_, Some(range)) => Hosts::Range(range),
            (name, None) => {
                let name = name.to_ascii_lowercase();
                match name.strip_prefix("*.").or_else(|| name.strip_prefix('.')) {
                    Some(name) => Hosts::Below(name.to_owned()),
                    None => Hosts::Domain(name.trim_end_matches('.').to_owned()),
                }
            }
        };
        Some(Self { hosts, port })
    }
}

fn range(text: &str) -> Option<IpNet> {
    let inside = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text);
    match inside.parse::<IpAddr>() {
        Ok(address) => Some(IpNet::from(address.to_canonical())),
        Err(_) => text.parse().ok(),
    }
}

fn is_below(host: &str, name: &str) -> bool {
    host.strip_suffix(name).is_some_and(|before| before.len() > 1 && before.ends_with('.'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_of_entry_covers_its_hosts() {
        for (list, host, port, expected) in [
            ("", "a.com", 443, false),
            ("*", "a.com", 443, true),
            (" * ", "10.0.0.1", 80, true),
            ("*:5000", "a.com", 5000, true),
            ("*:5000", "a.com", 443, false),
            ("a.com", "A.com", 443, true),
            ("A.COM", "x.a.com", 443, true),
            ("a.com", "a.com.", 443, true),
            ("a.com.", "a.com", 443, true),
            ("a.com", "xa.com", 443, false),
            ("a.com", "a.com.evil", 443, false),
            (".a.com", "x.y.a.com", 443, true),
            (".a.com", "a.com", 443, false),
            ("*.a.com", "x.a.com", 443, true),
            ("a.com:443", "a.com", 443, true),
            ("a.com:443", "x.a.com", 443, true),
            ("a.com:5000", "a.com", 443, false),
            ("10.0.0.0/8", "10.9.8.7", 443, true),
            ("10.0.0.0/8", "11.0.0.1", 443, false),
            ("10.0.0.0/8", "ten.example", 443, false),
            ("10.0.0.0/8", "::ffff:10.0.0.1", 443, true),
            ("127.0.0.1", "127.0.0.1", 5000, true),
            ("127.0.0.1:5000", "127.0.0.1", 5000, true),
            ("127.0.0.1:5000", "127.0.0.1", 80, false),
            ("::1", "[::1]", 5000, true),
            ("[::1]", "::1", 5000, true),
            ("[::1]:5000", "[::1]", 5000, true),
            ("[::1]:5000", "[::1]", 5001, false),
            ("fd00::/8", "[fd12::1]", 443, true),
            ("fd00::/8", "[fe80::1]", 443, false),
            ("0.1", "10.0.0.1", 443, false),
            (",, ,a.com:x,b.com", "b.com", 443, true),
        ] {
            assert_eq!(NoProxy::parse(list).covers(host, port), expected, "{list} {host}:{port}");
        }
    }

    /// Uses the test vectors of docker-registry-client-async. Some expected results differ, because
    /// that client compares entries exactly and without trimming.
    #[test]
    fn no_proxy_lists_for_docker_registry_client_async_are_parsed() {
        let list = NoProxy::parse("a.com, b.com,127.0.0.1:5000,.corp");
        for (host, port, expected) in [
            ("a.com", 443, true),
            ("b.com", 443, true),
            ("127.0.0.1", 443, false),
            ("127.0.0.1", 5000, true),
            ("x.corp", 443, true),
            ("A.com", 443, true),
            ("c.com", 443, false),
        ] {
            assert_eq!(list.covers(host, port), expected, "{host}:{port}");
        }
    }
}
