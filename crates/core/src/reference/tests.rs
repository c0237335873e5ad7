//! Valid and invalid names.

mod predecessors;

use super::*;

const SHA: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

#[test]
fn familiar_names_are_expanded_as_in_docker() {
    for (text, whole) in [
        ("nginx", "docker.io/library/nginx"),
        ("nginx:1.27", "docker.io/library/nginx:1.27"),
        ("grafana/grafana", "docker.io/grafana/grafana"),
        ("docker.io/nginx", "docker.io/library/nginx"),
        ("index.docker.io/a/b", "docker.io/a/b"),
        ("localhost/a", "localhost/a"),
        ("local/a", "docker.io/local/a"),
        ("localhost:5000/a:b", "localhost:5000/a:b"),
        ("[::1]:5000/a", "[::1]:5000/a"),
        ("GHCR.io/a/b", "ghcr.io/a/b"),
        ("Upper/a", "upper/a"),
        ("127.0.0.1:5000/lib/mylib/img:v1", "127.0.0.1:5000/lib/mylib/img:v1"),
        ("quay.io/a__b/c--d/e.f_g", "quay.io/a__b/c--d/e.f_g"),
    ] {
        assert_eq!(Reference::familiar(text).unwrap().to_string(), whole);
    }
}

#[test]
fn the_digest_of_a_reference_takes_precedence_over_its_tag() {
    let reference = Reference::familiar(&format!("ghcr.io/a/b:v1@{SHA}")).unwrap();
    assert_eq!(reference.tag().unwrap().as_str(), "v1");
    assert_eq!(reference.selector().unwrap().to_string(), SHA);
    assert_eq!(reference.to_string(), format!("ghcr.io/a/b:v1@{SHA}"));
}

#[test]
fn a_default_tag_is_added_only_if_requested() {
    let reference = Reference::familiar("ghcr.io/a/b").unwrap();
    assert_eq!(reference.selector(), None);
    assert_eq!(reference.clone().or_latest().to_string(), "ghcr.io/a/b:latest");
    let pinned = Reference::familiar(&format!("ghcr.io/a/b@{SHA}")).unwrap();
    assert_eq!(pinned.clone().or_latest(), pinned);
    assert_eq!(pinned.or_latest().selector().to_string(), SHA);
    let refused = ManifestReference::try_from(reference).unwrap_err().to_string();
    assert!(refused.contains("expected a tag or a digest"), "{refused}");
}

#[test]
fn invalid_references_are_refused_with_a_reason() {
    let long_tag = format!("ghcr.io/a:{}", "t".repeat(129));
    let long_name = format!("ghcr.io/{}", "a".repeat(256));
    for (text, reason) in [
        ("", "empty"),
        ("   ", "space"),
        ("repo:", "empty"),
        (":tag", "empty"),
        ("repo@", "no ':'"),
        ("repo@sha256:", "takes 64 hex digits"),
        ("ghcr.io/REPO/Name", "lower-case"),
        (&long_tag, "128"),
        ("repo:.tag", "starts with"),
        ("repo:-tag", "starts with"),
        (&long_name, "255"),
        ("a//b", "empty part"),
        ("a/../b", "starts with a letter"),
        ("../../etc/passwd", "host"),
        ("/a", "before the first '/'"),
        ("/", "before the first '/'"),
        ("a%2fb", "allowed"),
        ("a\r\nHost: x", "control character"),
        ("a\0b", "control character"),
        ("a?x=1", "allowed"),
        ("a#f", "allowed"),
        ("user:pw@host/a", "login"),
        ("https://host/a", "scheme"),
        ("host:99999/a", "port"),
        ("host:0/a", "port"),
        ("host:+80/a", "port"),
        ("[::1/a", "']'"),
        ("[fe80::1%25eth0]/a", "zones"),
        ("ho_st.example/a", "letters, digits"),
        ("gһcr.io/a", "letters, digits"),
        ("a___b", "one or two '_'"),
        ("a.-b", "joined by"),
        ("-a", "starts with"),
        ("a-", "ends with"),
        ("a\u{202e}b", "allowed"),
        ("ghcr.io/", "empty"),
    ] {
        let shown = Reference::familiar(text).unwrap_err().to_string();
        assert!(shown.contains(reason), "{text:?}: {shown}");
        assert!(!shown.contains("pw"), "{shown}");
        assert!(!shown.chars().any(char::is_control), "{shown}");
    }
}

#[test]
fn the_strict_form_requires_a_registry() {
    assert!("nginx".parse::<Reference>().is_err());
    assert_eq!("nginx/a".parse::<Reference>().unwrap().registry().as_str(), "nginx");
    assert!("ghcr.io/a:v1".parse::<Repository>().is_err());
}

#[test]
fn display_and_parse_are_inverse() {
    for text in
        ["h/a", "h:1/a/b:t", &format!("[::1]:5000/a:t@{SHA}"), &format!("docker.io/a@{SHA}")]
    {
        assert_eq!(text.parse::<Reference>().unwrap().to_string(), *text);
    }
}

#[test]
fn loopback_is_recognized_by_name_and_by_address() {
    for (name, loopback) in [
        ("localhost", true),
        ("localhost:5000", true),
        ("x.localhost", true),
        ("127.1.2.3:80", true),
        ("[::1]:5000", true),
        ("128.0.0.1", false),
        ("localhost.example", false),
        ("10.0.0.1", false),
    ] {
        assert_eq!(RegistryName::parse(name).unwrap().is_loopback(), loopback, "{name}");
    }
}

#[test]
fn a_registry_name_has_a_host_and_an_optional_port() {
    let name = RegistryName::parse("[::1]:5000").unwrap();
    assert_eq!((name.host(), name.port()), ("[::1]", Some(5000)));
    let name = RegistryName::parse("Ghcr.IO").unwrap();
    assert_eq!((name.host(), name.port()), ("ghcr.io", None));
}
