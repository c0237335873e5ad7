//! Decides to which URLs a request may be sent, and with which credentials: the same-origin rule
//! and the rule for hops.
//!
//! Compares origins, parses `Location` headers, and decides whether to follow them. The same rules
//! apply to redirects, upload sessions, listings and token services. Sends nothing.

use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr};

use http::Uri;
use url::{Host, Url};

/// A scheme, host and port. Credentials are bound to an origin.
///
/// Source: RFC 6454, section 4.
#[derive(Clone, PartialEq, Eq, Hash)]
pub(crate) struct Origin {
    scheme: String,
    host: String,
    port: u16,
}

impl Origin {
    /// Returns the origin of an absolute http or https URL.
    pub(crate) fn of(uri: &Uri) -> Option<Self> {
        let scheme = uri.scheme_str()?.to_ascii_lowercase();
        let default = default_port(&scheme)?;
        Some(Self {
            host: uri.host()?.to_ascii_lowercase(),
            port: uri.port_u16().unwrap_or(default),
            scheme,
        })
    }

    /// Returns true if requests to the origin are encrypted.
    pub(crate) fn is_https(&self) -> bool {
        self.scheme == "https"
    }

    /// Returns the host; an IPv6 address keeps its brackets.
    pub(crate) fn host(&self) -> &str {
        &self.host
    }

    /// Returns the port, including an implied one.
    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// Returns the host, and the port unless the scheme implies it.
    pub(crate) fn address(&self) -> String {
        match self.has_default_port() {
            true => self.host.clone(),
            false => format!("{}:{}", self.host, self.port),
        }
    }

    /// Returns true if the port is the one that its scheme implies.
    pub(crate) fn has_default_port(&self) -> bool {
        default_port(&self.scheme) == Some(self.port)
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}", self.scheme, self.address())
    }
}

impl fmt::Debug for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

/// Resolves the text of a `Location`, `Link` or realm against the URL of its reply.
///
/// Drops the fragment and keeps the query unchanged. Upgrades an http URL to https if the reply
/// came over https from the same host and port, because registries behind proxies that terminate
/// TLS send such URLs (Harbor, distribution).
///
/// # Errors
/// A clause that says why the URL is invalid.
///
/// Source: RFC 9110, section 10.2.2.
pub(crate) fn resolve(base: &Uri, text: &[u8]) -> Result<Uri, &'static str> {
    if text.len() > URL_LIMIT {
        return Err("is longer than 16 KiB");
    }
    let text = std::str::from_utf8(text).map_err(|_| "is not text")?.trim();
    if text.is_empty() {
        return Err("is empty");
    }
    if text.starts_with("///") {
        return Err("has no host");
    }
    let base_url = Url::parse(&base.to_string()).map_err(|_| "came from an unreadable URL")?;
    let mut url = base_url.join(text).map_err(|_| "is not a URL")?;
    url.set_fragment(None);
    if base_url.scheme() == "https" && url.scheme() == "http" && same_address(&base_url, &url) {
        url.set_scheme("https").map_err(|()| "is not a URL")?;
    }
    if !matches!(url.scheme(), "http" | "https") {
        return Err("is neither http nor https");
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err("has a user name or password in it");
    }
    url.as_str().parse().map_err(|_| "is not a URL")
}

/// Decides whether a request may continue from `from` to `to`, as a redirect or the URL of an
/// upload.
///
/// Refuses every hop from https to http. Refuses a hop from a public host to this machine or to a
/// link-local address, because servers there are for this machine alone (an administration port, a
/// cloud's metadata service). Other addresses in a private network are allowed, because the
/// registry's storage may be there. A hop to another origin carries no credentials.
///
/// # Errors
/// A clause that says why the hop is refused.
pub(crate) fn check_hop(from: &Uri, to: &Uri) -> Result<(), &'static str> {
    let (origin, next) = reaches(from, to)?;
    if next == Reach::Machine && origin == Reach::Public {
        return Err("leads to this machine or to a link-local address");
    }
    Ok(())
}

/// Decides whether credentials for the registry at `registry` may be sent to its token service at
/// `realm`.
///
/// Same as [`check_hop`]. In addition, a realm with a numeric address in a private network is
/// refused if the registry is at a public host.
///
/// # Errors
/// A clause that says why the realm is refused.
pub(crate) fn check_realm(registry: &Uri, realm: &Uri) -> Result<(), &'static str> {
    let (origin, next) = reaches(registry, realm)?;
    if next != Reach::Public && origin == Reach::Public {
        return Err("leads into a private network");
    }
    Ok(())
}

/// Returns the reach of both ends, unless the hop loses encryption.
fn reaches(from: &Uri, to: &Uri) -> Result<(Reach, Reach), &'static str> {
    let (Some(origin), Some(next)) = (Origin::of(from), Origin::of(to)) else {
        return Err("is neither http nor https");
    };
    if origin.is_https() && !next.is_https() {
        return Err("leads from https to http");
    }
    Ok((Reach::of(&origin.host), Reach::of(&next.host)))
}

/// Returns true if both URLs name the same host and port, explicit or implied.
fn same_address(a: &Url, b: &Url) -> bool {
    a.host_str() == b.host_str()
        && (a.port() == b.port() || a.port_or_known_default() == b.port_or_known_default())
}

/// The network from which a host can be reached, judged by its name or address alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reach {
    /// From this machine, or from hosts on the same link.
    Machine,
    /// From a private network.
    Private,
    /// From anywhere. A name other than `localhost` and `*.localhost` is treated as public,
    /// although it may resolve to any address.
    Public,
}

impl Reach {
    fn of(host: &str) -> Self {
        // A trailing dot makes a name absolute, but it is still the same name.
        match Host::parse(host.trim_end_matches('.')) {
            Ok(Host::Domain(name)) if name == "localhost" || name.ends_with(".localhost") => {
                Self::Machine
            }
            Ok(Host::Domain(_)) => Self::Public,
            Ok(Host::Ipv4(ip)) => Self::of_v4(ip),
            Ok(Host::Ipv6(ip)) => Self::of_v6(ip),
            Err(_) => Self::Machine,
        }
    }

    /// Returns the reach of an IPv4 address.
    ///
    /// Source: RFC 6890; 100.64.0.0/10 is shared address space (RFC 6598).
    fn of_v4(ip: Ipv4Addr) -> Self {
        let [a, b, ..] = ip.octets();
        if ip.is_loopback() || ip.is_link_local() || ip.is_broadcast() || a == 0 {
            return Self::Machine;
        }
        match ip.is_private() || (a == 100 && (64..128).contains(&b)) {
            true => Self::Private,
            false => Self::Public,
        }
    }

    /// Returns the reach of an IPv6 address.
    ///
    /// Source: RFC 4291, section 2.5; RFC 4193 (unique local).
    fn of_v6(ip: Ipv6Addr) -> Self {
        if let Some(v4) = ip.to_ipv4() {
            return Self::of_v4(v4);
        }
        if ip.is_loopback() || ip.is_unspecified() || ip.is_unicast_link_local() {
            return Self::Machine;
        }
        match ip.is_unique_local() {
            true => Self::Private,
            false => Self::Public,
        }
    }
}

fn default_port(scheme: &str) -> Option<u16> {
    match scheme {
        "https" => Some(443),
        "http" => Some(80),
        _ => None,
    }
}

/// 16 KiB: the longest URLs that real registries send (Google's) are a few KiB.
const URL_LIMIT: usize = 16 << 10;

#[cfg(test)]
mod tests {
    use super::*;

    fn uri(text: &str) -> Uri {
        text.parse().unwrap()
    }

    #[test]
    fn origins_compare_scheme_host_and_port() {
        let same = |a, b| Origin::of(&uri(a)) == Origin::of(&uri(b));
        assert!(same("https://a.example/x", "https://A.example:443/y?z"));
        assert!(!same("https://a.example/", "http://a.example/"));
        assert!(!same("https://a.example/", "https://a.example:5000/"));
        assert!(!same("https://a.example/", "https://b.example/"));
        assert_eq!(Origin::of(&uri("/relative")), None);
    }

    #[test]
    fn locations_are_resolved_with_an_unchanged_query() {
        let base = uri("https://r.example/v2/a/blobs/uploads/");
        for (location, expected) in [
            ("/v2/x?a=%2B+b;c&a=2", "https://r.example/v2/x?a=%2B+b;c&a=2"),
            ("?only=query", "https://r.example/v2/a/blobs/uploads/?only=query"),
            ("//evil.example/x", "https://evil.example/x"),
            ("https://o.example:444/x#f", "https://o.example:444/x"),
            ("http://r.example/x", "https://r.example/x"),
            ("http://r.example:443/x", "https://r.example/x"),
            ("http://r.example:80/x", "https://r.example/x"),
            ("http://o.example/x", "http://o.example/x"),
            ("/ünï", "https://r.example/%C3%BCn%C3%AF"),
        ] {
            assert_eq!(resolve(&base, location.as_bytes()).unwrap(), expected, "{location}");
        }
        for bad in [
            "",
            "///x",
            "http://[::bad/",
            "javascript:alert(1)",
            "file:///etc/passwd",
            "data:,x",
            "null://",
            "https://user:secret@r.example/",
            &format!("/{}", "x".repeat(64 << 10)),
        ] {
            assert!(resolve(&base, bad.as_bytes()).is_err(), "{bad}");
        }
        assert!(resolve(&base, b"/\xff\xfe").is_err());
    }

    #[test]
    fn hops_and_realms_are_checked_for_encryption_and_reach() {
        for (from, to, hop, realm) in [
            ("https://r.example/", "https://cdn.example/", true, true),
            ("https://r.example/", "http://cdn.example/", false, false),
            ("http://r.example/", "https://cdn.example/", true, true),
            ("http://r.example/", "http://cdn.example/", true, true),
            ("https://r.example/", "https://8.8.8.8/", true, true),
            ("https://r.example/", "https://[2001:4860:4860::8888]/", true, true),
            // The storage of an internal registry may be in the same network.
            ("https://r.example/", "https://10.1.2.3/", true, false),
            ("https://r.example/", "http://10.1.2.3/", false, false),
            ("http://r.example/", "http://192.168.0.1:9000/", true, false),
            ("https://r.example/", "https://100.64.0.1/", true, false),
            ("https://r.example/", "https://[::ffff:10.0.0.1]/", true, false),
            ("https://r.example/", "https://[fd00::1]/", true, false),
            ("http://r.example/", "http://[::1]/", false, false),
            ("http://r.example/", "http://[::ffff:127.0.0.1]/", false, false),
            ("http://r.example/", "http://[fe80::1]/", false, false),
            ("http://r.example/", "http://0.0.0.0/", false, false),
            ("http://r.example/", "http://localhost/", false, false),
            ("http://r.example/", "http://localhost./", false, false),
            ("http://r.example/", "http://a.localhost./", false, false),
            ("https://r.example/", "https://169.254.169.254/", false, false),
            ("https://r.example/", "https://2852039166/", false, false),
            ("http://127.0.0.1:5000/", "http://127.0.0.1:6000/", true, true),
            ("http://10.0.0.1/", "http://10.0.0.2/", true, true),
        ] {
            assert_eq!(check_hop(&uri(from), &uri(to)).is_ok(), hop, "{from} {to}");
            assert_eq!(check_realm(&uri(from), &uri(to)).is_ok(), realm, "{from} {to}");
        }
    }
}
