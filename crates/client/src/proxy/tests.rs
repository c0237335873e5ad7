use super::*;

#[test]
fn proxies_are_parsed_with_and_without_optional_parts() {
    for (text, url, login) in [
        ("proxy", "http://proxy", None),
        ("proxy:3128", "http://proxy:3128", None),
        ("http://proxy:80/", "http://proxy:80", None),
        ("HTTPS://u:p%40w@Proxy.example:8443", "https://proxy.example:8443", Some(("u", "p@w"))),
        ("socks5://u@127.0.0.1:1080", "socks5://127.0.0.1:1080", Some(("u", ""))),
        ("socks5h://[::1]:1080", "socks5h://[::1]:1080", None),
    ] {
        let proxy = Proxy::parse(text).unwrap();
        assert_eq!(proxy.to_string(), url, "{text}");
        let found = proxy.as_login().map(|l| (l.user.as_str(), l.password.expose()));
        assert_eq!(found, login, "{text}");
    }
    for bad in ["", "http://", "ftp://proxy", "proxy:port", "http://proxy/path", "http://:hunter2@"]
    {
        let e = Proxy::parse(bad).unwrap_err();
        assert!(!e.to_string().contains("hunter2"), "{e}");
    }
    let shown = Proxy::parse("http://u:hunter2@p").unwrap();
    assert!(!format!("{shown} {shown:?}").contains("hunter2"));
    assert_eq!(Proxy::parse("https://[::1]:3128").unwrap().tls_host(), Some("::1"));
    assert_eq!(Proxy::parse("https://p").unwrap().tls_host(), Some("p"));
    assert_eq!(Proxy::parse("http://p").unwrap().tls_host(), None);
}

/// Returns the URL of the chosen proxy.
fn proxy_host(variables: &[(&str, &str)], https: bool, host: &str, port: u16) -> Option<String> {
    let environment = variables.iter().fold(Environment::empty(), |e, (k, v)| e.with(*k, *v));
    let proxies = Proxies::from_environment(&environment).unwrap();
    let loopback = host == "localhost" || host == "127.0.0.1";
    proxies.of(https, host, port, loopback).map(Proxy::to_string)
}

#[test]
fn environment_variables_determine_the_proxy() {
    let secure = |variables: &[(&str, &str)]| proxy_host(variables, true, "r.example", 443);
    let plain = |variables: &[(&str, &str)]| proxy_host(variables, false, "r.example", 80);
    let some = |host: &str| Some(format!("http://{host}"));
    assert_eq!(secure(&[]), None);
    assert_eq!(secure(&[("HTTPS_PROXY", "a")]), some("a"));
    assert_eq!(secure(&[("https_proxy", "a")]), some("a"));
    assert_eq!(secure(&[("HTTPS_PROXY", "a"), ("https_proxy", "b")]), some("a"));
    assert_eq!(secure(&[("HTTPS_PROXY", ""), ("https_proxy", "b")]), some("b"));
    assert_eq!(secure(&[("HTTP_PROXY", "a")]), None);
    assert_eq!(plain(&[("HTTPS_PROXY", "a")]), None);
    assert_eq!(plain(&[("HTTP_PROXY", "a"), ("ALL_PROXY", "b")]), some("a"));
    assert_eq!(plain(&[("all_proxy", "b")]), some("b"));
    assert_eq!(secure(&[("HTTP_PROXY", "a"), ("ALL_PROXY", "b")]), some("b"));
    // httpoxy: in a CGI script, the variable may come from a request header of an untrusted client.
    assert_eq!(plain(&[("HTTP_PROXY", "a"), ("REQUEST_METHOD", "GET")]), None);
    assert_eq!(plain(&[("http_proxy", "a"), ("REQUEST_METHOD", "GET")]), some("a"));
    assert_eq!(secure(&[("HTTPS_PROXY", "a"), ("REQUEST_METHOD", "GET")]), some("a"));
    // These hosts are reached without a proxy.
    assert_eq!(secure(&[("HTTPS_PROXY", "a"), ("NO_PROXY", "x, r.example")]), None);
    assert_eq!(secure(&[("HTTPS_PROXY", "a"), ("no_proxy", ".example")]), None);
    assert_eq!(proxy_host(&[("HTTP_PROXY", "a")], false, "127.0.0.1", 5000), None);
    let bad = Environment::empty().with("HTTPS_PROXY", "ftp://u:hunter2@x");
    let e = Proxies::from_environment(&bad).unwrap_err().to_string();
    assert!(e.contains("socks5") && !e.contains("hunter2"), "{e}");
}

#[test]
fn configured_proxies_also_apply_to_this_machine() {
    let proxy = |text: &str| Proxy::parse(text).unwrap();
    let proxies = Proxies::all(proxy("a"));
    assert!(proxies.of(true, "localhost", 5000, true).is_some());
    assert!(Proxies::none().of(true, "r.example", 443, false).is_none());
    let split = Proxies::none().http(proxy("a")).https(proxy("b"));
    assert_eq!(split.of(true, "r", 443, false), Some(&proxy("b")));
    assert_eq!(split.of(false, "r", 80, false), Some(&proxy("a")));
    let except = Proxies::all(proxy("a")).except(NoProxy::parse("r.example:5000"));
    assert!(except.of(true, "r.example", 5000, false).is_none());
    assert!(except.of(true, "r.example", 443, false).is_some());
}
