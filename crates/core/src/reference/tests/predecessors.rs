//! Names from the parser tests of six earlier clients.

use std::collections::HashSet;

use crate::{Defaults, Digest, Reference, RegistryName};

const E: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

/// Splits a reference into registry, name, tag and digest.
fn parts(reference: &Reference) -> [String; 4] {
    [
        reference.registry().to_string(),
        reference.name().to_string(),
        reference.tag().map(ToString::to_string).unwrap_or_default(),
        reference.digest().map(ToString::to_string).unwrap_or_default(),
    ]
}

fn refused(text: &str, reason: &str) {
    let shown = Reference::familiar(text).unwrap_err().to_string();
    assert!(shown.contains(reason), "{text:?}: {shown}");
}

/// Uses every combination from the tests of docker-registry-client-async. The placeholder `port` is
/// a number here.
#[test]
fn every_combination_of_parts_is_parsed() {
    let mut read = 0;
    for endpoint in ["endpoint.io/", "endpoint:5000/", "endpoint.io:5000/", ""] {
        for image in ["image", "ns0/image", "ns0/ns1/image", "ns0/ns1/ns2/image"] {
            for (suffix, tag, digest) in [
                (String::new(), "", String::new()),
                (":tag".to_owned(), "tag", String::new()),
                (format!("@sha256:{E}"), "", format!("sha256:{E}")),
                (format!(":tag@sha256:{E}"), "tag", format!("sha256:{E}")),
            ] {
                let text = format!("{endpoint}{image}{suffix}");
                let reference = Reference::familiar(&text).unwrap();
                let (registry, name) = match (endpoint, image) {
                    ("", "image") => ("docker.io", "library/image"),
                    ("", image) => ("docker.io", image),
                    (endpoint, image) => (endpoint.trim_end_matches('/'), image),
                };
                assert_eq!(parts(&reference), [registry, name, tag, &digest], "{text}");
                assert_eq!(Defaults::docker().short(&reference), text, "the short form");
                if endpoint.is_empty() {
                    // An unset `$REGISTRY/image` must not become an image of Docker Hub.
                    refused(&format!("/{text}"), "before the first '/'");
                }
                read += 1;
            }
        }
    }
    assert_eq!(read, 64);
}

/// Uses other names from the tests of docker-registry-client-async, moby-distribution and aysa:
/// text, registry, name, tag.
#[test]
fn names_are_parsed_as_in_other_clients() {
    for (text, registry, name, tag) in [
        ("localhost:5000/image", "localhost:5000", "image", ""),
        ("docker.io/library/busybox", "docker.io", "library/busybox", ""),
        ("busybox:1.30.1", "docker.io", "library/busybox", "1.30.1"),
        ("my.ns/image", "my.ns", "image", ""),
        ("ns:5/image", "ns:5", "image", ""),
        ("[::1]:5000/image", "[::1]:5000", "image", ""),
        ("python", "docker.io", "library/python", ""),
        ("python:latest", "docker.io", "library/python", "latest"),
        ("docker.io/python:latest", "docker.io", "library/python", "latest"),
        ("localhost:5000/python", "localhost:5000", "python", ""),
        ("localhost:5000/python:latest", "localhost:5000", "python", "latest"),
        ("docker.io:5000/python:latest", "docker.io:5000", "python", "latest"),
        ("user/python:1", "docker.io", "user/python", "1"),
        ("localhost/a/b:t", "localhost", "a/b", "t"),
        ("quay.io/a/b/c:t", "quay.io", "a/b/c", "t"),
        (
            "localhost:5000/namespace/sub_namespace/image:tag",
            "localhost:5000",
            "namespace/sub_namespace/image",
            "tag",
        ),
        (
            "aysa.ad:5000/namespace/sub_namespace/image:tag",
            "aysa.ad:5000",
            "namespace/sub_namespace/image",
            "tag",
        ),
        ("localhost:5000/img:v1.2.3_x-y", "localhost:5000", "img", "v1.2.3_x-y"),
        ("registry.example.com/image:1.0", "registry.example.com", "image", "1.0"),
        ("10.0.0.1:5000/a/b:1", "10.0.0.1:5000", "a/b", "1"),
        // aysa refuses these valid names.
        ("registry.example.com/ns/my.image:1.0", "registry.example.com", "ns/my.image", "1.0"),
        ("ns/my.image", "docker.io", "ns/my.image", ""),
        ("i:t", "docker.io", "library/i", "t"),
        ("a/a/b", "docker.io", "a/a/b", ""),
    ] {
        let reference = Reference::familiar(text).unwrap();
        assert_eq!(parts(&reference), [registry, name, tag, ""], "{text}");
    }
}

#[test]
fn the_parts_of_a_name_are_returned() {
    for (text, namespace, image) in [
        ("r.example/image", None, "image"),
        ("r.example/a/b", Some("a"), "b"),
        ("r.example/a/b/image:tag", Some("a/b"), "image"),
        ("nginx", Some("library"), "nginx"),
    ] {
        let reference = Reference::familiar(text).unwrap();
        assert_eq!((reference.name().namespace(), reference.name().image()), (namespace, image));
    }
}

#[test]
fn a_part_of_a_reference_can_be_replaced_and_the_other_parts_stay() {
    let whole: Reference = format!("r.example/a:v1@sha256:{E}").parse().unwrap();
    let copy = whole.clone();
    assert_eq!(copy.clone().without_digest().to_string(), "r.example/a:v1");
    assert_eq!(copy.clone().without_tag().to_string(), format!("r.example/a@sha256:{E}"));
    let other = Reference::familiar("b").unwrap();
    let moved = copy.clone().without_digest().with_repository(other.repository().clone());
    assert_eq!(moved.to_string(), "docker.io/library/b:v1");
    let retagged = moved.with_tag("v2".parse().unwrap());
    assert_eq!(retagged.to_string(), "docker.io/library/b:v2");
    let pinned = retagged.with_digest(Digest::sha256(b""));
    assert_eq!(pinned.to_string(), format!("docker.io/library/b:v2@sha256:{E}"));
    assert_eq!(copy, whole, "a change of a clone does not change the original");
}

#[test]
fn references_are_ordered_and_hashed_by_their_parts() {
    let sorted = ["a.io/b", "a.io/b:1", "a.io/b:2", "a.io/b/c", "a.io/c", "b.io/a"];
    let mut read: Vec<Reference> = sorted.iter().rev().map(|t| t.parse().unwrap()).collect();
    read.sort();
    assert_eq!(read.iter().map(ToString::to_string).collect::<Vec<_>>(), sorted);
    let same = ["nginx", "docker.io/nginx", "index.docker.io/library/nginx"];
    let set: HashSet<Reference> =
        same.iter().map(|text| Reference::familiar(text).unwrap()).collect();
    assert_eq!(set.len(), 1);
}

/// docker-registry-client-async adds `library/` at every registry, and moby-distribution only at
/// the default registry. Callers can choose either behavior.
#[test]
fn a_namespace_is_added_at_another_registry_only_if_requested() {
    let mut defaults = Defaults::docker();
    assert_eq!(parts(&defaults.parse("endpoint.io/image").unwrap())[1], "image");
    defaults.registry = RegistryName::parse("endpoint.io").unwrap();
    assert_eq!(parts(&defaults.parse("endpoint.io/image").unwrap())[1], "library/image");
    defaults.namespace = None;
    assert_eq!(parts(&defaults.parse("image").unwrap()), ["endpoint.io", "image", "", ""]);
    // Issue 31 of moby-distribution: callers can disable the namespace at Docker Hub too.
    let mut hub = Defaults::docker();
    hub.namespace = None;
    assert_eq!(parts(&hub.parse("image").unwrap()), ["docker.io", "image", "", ""]);
}

/// aysa treats any first part as a registry, as the strict form does.
#[test]
fn the_strict_form_treats_any_first_part_as_the_registry() {
    for (text, familiar, strict) in [
        ("namespace/image:tag", "docker.io/namespace/image:tag", "namespace/image:tag"),
        ("ns/sub/image:tag", "docker.io/ns/sub/image:tag", "ns/sub/image:tag"),
        ("docker.io/python", "docker.io/library/python", "docker.io/python"),
    ] {
        assert_eq!(Reference::familiar(text).unwrap().to_string(), familiar);
        assert_eq!(text.parse::<Reference>().unwrap().to_string(), strict);
    }
    assert_eq!(Reference::familiar("namespace/image").unwrap().registry().as_str(), "docker.io");
    let strict: Reference = "namespace/image".parse().unwrap();
    assert_eq!(parts(&strict), ["namespace", "image", "", ""]);
}

#[test]
fn names_that_some_clients_misread_are_refused_with_a_reason() {
    let upper = E.to_ascii_uppercase();
    for (text, reason) in [
        ("", "it is empty"),
        ("/", "before the first '/'"),
        ("endpoint.io/", "it is empty"),
        ("image@", "no ':'"),
        (&format!("image@md5:{E}"), "md5 takes 32 hex digits, found 64"),
        (&format!("image:tag@md5:{E}"), "md5 takes 32 hex digits, found 64"),
        ("image@md5:d41d8cd98f00b204e9800998ecf8427e", "md5 digests cannot be verified"),
        (&format!("image:tag@{E}"), "no ':'"),
        (&format!("image@{E}"), "no ':'"),
        ("a/b:c@d", "no ':'"),
        (&format!("image:t@a@b:{E}"), "the algorithm must be"),
        ("https://endpoint.io/image", "no scheme"),
        ("http://localhost:5000/img", "no scheme"),
        ("http://h/x:1", "no scheme"),
        (&format!("image@sha256:{upper}"), "lower-case hex digits (at byte 7)"),
        (&format!("image@sha256:{}", "z".repeat(64)), "lower-case hex digits (at byte 7)"),
        ("a:b:c:d", "only letters, digits, '_', '.' and '-' are allowed (at byte 1)"),
        ("image@sha256:abc", "sha256 takes 64 hex digits, found 3"),
        ("image@foo:bar", "expected sha256, sha384 or sha512"),
        ("img@sha256:abc", "sha256 takes 64 hex digits, found 3"),
        // docker-registry-client-async accepts these invalid names.
        ("UPPER/Image:Tag", "repository names are lower-case (at byte 0)"),
        ("Image:Tag", "repository names are lower-case (at byte 0)"),
        ("endpoint.io//image", "an empty part between slashes (at byte 0)"),
        ("endpoint:port/image", "expected a port from 1 to 65535 (at byte 9)"),
        ("image:", "tag \"\": it is empty"),
        ("python:", "tag \"\": it is empty"),
        ("ns/image:", "tag \"\": it is empty"),
        // aysa refuses or misreads these invalid names.
        ("-bad", "a part starts with a letter or digit (at byte 0)"),
        ("_bad", "a part starts with a letter or digit (at byte 0)"),
        ("/leading", "before the first '/'"),
        ("ns//image", "an empty part between slashes (at byte 3)"),
        ("localhost:5000/", "it is empty"),
        ("ns/ímg", "are allowed (at byte 3)"),
        ("img:-t", "a tag starts with"),
        ("host:123456/img", "expected a port from 1 to 65535"),
        ("ns/image/", "an empty part between slashes (at byte 9)"),
    ] {
        refused(text, reason);
    }
    // The other clients do not support sha512. Longshore accepts sha512, because it is in the
    // specification.
    let sha512 = format!("image@sha512:{}", "a".repeat(128));
    assert!(Reference::familiar(&sha512).is_ok());
}

#[test]
fn trap_14_a_repeated_first_part_is_kept() {
    for (text, name) in [
        ("lib/mylib/img:1", "lib/mylib/img"),
        ("foo/foo/img", "foo/foo/img"),
        ("x/y/x/z", "x/y/x/z"),
    ] {
        let reference = Reference::familiar(text).unwrap();
        assert_eq!(reference.name().as_str(), name);
        let repeated = Reference::familiar(&format!("foo.io/foo.io/{name}")).unwrap();
        assert_eq!(repeated.name().as_str(), format!("foo.io/{name}"));
    }
}

#[test]
fn trap_15_localhost_brackets_dots_and_a_tag_with_a_digest_are_parsed() {
    let sha = format!("sha256:{E}");
    for (text, expected) in [
        ("localhost/x", ["localhost", "x", "", ""]),
        ("localhost:5000/x", ["localhost:5000", "x", "", ""]),
        ("[::1]:5000/x", ["[::1]:5000", "x", "", ""]),
        ("[::1]/x", ["[::1]", "x", "", ""]),
        ("my.image:1", ["docker.io", "library/my.image", "1", ""]),
        ("r.example/ns/my.image:1.0", ["r.example", "ns/my.image", "1.0", ""]),
        (&format!("python@{sha}"), ["docker.io", "library/python", "", &sha]),
        (&format!("quay.io/a/b:t@{sha}"), ["quay.io", "a/b", "t", &sha]),
        (&format!("localhost:5000/ns/img:tag@{sha}"), ["localhost:5000", "ns/img", "tag", &sha]),
    ] {
        assert_eq!(parts(&Reference::familiar(text).unwrap()), expected, "{text}");
    }
}
