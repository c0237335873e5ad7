//! The registry cache of BuildKit: an index that lists blobs in place of manifests.

use bytes::Bytes;
use longshore::{Descriptor, Digest, Layout, MediaType, RawManifest, Tag, Target as _};
use longshore_testkit::peer::DockerRegistry;
use serde_json::{Value, json};

use crate::program::Program;

/// A build cache in a layout, under the name `cache`: two layers and a config.
struct Cache {
    location: String,
    index: Digest,
    blobs: Vec<Descriptor>,
}

impl Cache {
    fn new(program: &Program) -> Self {
        let layers = [&b"\x1f\x8b one"[..], b"\x1f\x8b two"].map(Bytes::from_static);
        let listed = layers.iter().map(|layer| json!({"blob": Digest::sha256(layer)}));
        let config = json!({"layers": listed.collect::<Vec<_>>(), "records": []}).to_string();
        let config_type = MediaType::parse("application/vnd.buildkit.cacheconfig.v0").unwrap();
        let mut contents = layers.map(|layer| (MediaType::OCI_LAYER_GZIP, layer)).to_vec();
        contents.push((config_type, Bytes::from(config)));
        let blobs: Vec<_> =
            contents.iter().map(|(kind, c)| Descriptor::from_bytes(kind.clone(), c)).collect();
        let document = json!({
            "schemaVersion": 2, "mediaType": MediaType::OCI_INDEX, "manifests": blobs,
        });
        let index = RawManifest::from_document(&document, None).unwrap();
        let path = program.path("packed");
        tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
            let layout = Layout::create(&path).await.unwrap();
            for (blob, (_, content)) in blobs.iter().zip(contents) {
                layout.push_blob(blob, content.into()).await.unwrap();
            }
            layout.push_manifest(&index, Some(&Tag::parse("cache").unwrap())).await.unwrap();
        });
        let location = format!("oci:{}:cache", path.display());
        Self { location, index: index.digest().clone(), blobs }
    }

    /// Checks that a location has the index and all its blobs.
    fn is_at(&self, program: &Program, location: &str) {
        assert_eq!(program.ok(&format!("digest {location}")), self.index.as_str(), "{location}");
        let repository = location.strip_suffix(":cache").unwrap();
        for Descriptor { digest, size, .. } in &self.blobs {
            let bytes = program.run(["blob", "get", &format!("{repository}@{digest}")]);
            assert_eq!(bytes.code, 0, "{location}: {bytes:?}");
            let head = program.ok(&format!("blob head --json {repository}@{digest}"));
            let head: Value = serde_json::from_str(&head).unwrap();
            assert_eq!(head["size"].as_u64(), Some(*size), "{location}: {head}");
        }
    }
}

fn copied(json: &str) -> Value {
    let outcome: Value = serde_json::from_str(json).unwrap();
    outcome["copies"][0].clone()
}

#[test]
fn a_build_cache_is_copied_through_registry_layout_and_archive() {
    let program = Program::new();
    let server = program.serve(Some("registry"));
    let cache = Cache::new(&program);
    let at = |name: &str| format!("{}/{name}:cache", server.address);
    let (layout, archive) =
        (program.local("oci", "pulled:cache"), program.local("oci-archive", "cache.tar:cache"));
    let way = [&cache.location, &at("pushed"), &at("mounted"), &layout, &archive, &at("back")];
    for pair in way.windows(2) {
        program.ok(&format!("copy -q {} {}", pair[0], pair[1]));
        assert_eq!(program.ok(&format!("digest {}", pair[1])), cache.index.as_str());
    }
    for location in [at("pushed"), at("mounted"), layout.clone(), at("back")] {
        cache.is_at(&program, &location);
    }
    // Blobs are mounted within a registry, and existing blobs are not sent again.
    let first = copied(&program.ok(&format!("copy -q --json {} {}", at("back"), at("more"))));
    assert_eq!((first["blobs_mounted"].as_u64(), first["blobs_sent"].as_u64()), (Some(3), Some(0)));
    for (again, held) in [("", 0), ("--recheck", 3)] {
        let line = format!("copy -q --json {again} {layout} {}", at("back"));
        let again = copied(&program.ok(&line));
        let counts = ["manifests_held", "manifests_sent", "blobs_sent", "blobs_held"];
        let counts = counts.map(|name| again[name].as_u64().unwrap());
        assert_eq!(counts, [1, 0, 0, held], "{line}");
    }
}

#[test]
fn a_build_cache_can_be_inspected_and_has_no_platforms() {
    let program = Program::new();
    let server = program.serve(Some("registry"));
    let cache = Cache::new(&program);
    let there = format!("{}/team/app:cache", server.address);
    let copied = program.run(["push", "--events", &cache.location, &there]);
    assert_eq!(copied.code, 0, "{copied:?}");
    for blob in &cache.blobs {
        let told = copied.stderr.lines().any(|line| {
            line.contains(r#""event":"listed_blob""#) && line.contains(blob.digest.as_str())
        });
        assert!(told, "{copied:?}");
    }
    for place in [&cache.location, &there] {
        assert_eq!(program.ok(&format!("platforms {place}")), "", "{place}");
        let shown = program.ok(&format!("inspect {place}"));
        assert!(shown.contains("vnd.buildkit.cacheconfig.v0"), "{shown}");
        let line = format!("digest --platform linux/amd64 {place}");
        let told = program.fails(3, &line);
        assert!(told.contains("the index has no platforms"), "{told}");
    }
}

#[test]
fn untagging_a_build_cache_keeps_its_index_and_blobs() {
    let program = Program::new();
    let server = program.serve(Some("registry"));
    let cache = Cache::new(&program);
    let there = format!("{}/team/app:cache", server.address);
    program.ok(&format!("push -q {} {there}", cache.location));
    program.ok(&format!("tag {there} other"));
    program.ok(&format!("untag {there}"));
    let other = there.replace(":cache", ":other");
    program.ok(&format!("copy -q {other} {there}"));
    cache.is_at(&program, &there);
    let layout = cache.location.strip_suffix(":cache").unwrap();
    program.ok(&format!("untag {}", cache.location));
    program.ok(&format!("copy -q {layout}@{} {layout}:cache", cache.index));
    cache.is_at(&program, &cache.location);
}

#[test]
fn docker_registry_stores_and_returns_a_build_cache() {
    let program = Program::new();
    let cache = Cache::new(&program);
    let theirs = DockerRegistry::start();
    let there = format!("{}/team/app:cache", theirs.address());
    program.ok(&format!("push -q {} {there}", cache.location));
    cache.is_at(&program, &there);
    let copy = format!("{}/team/copy:cache", theirs.address());
    program.ok(&format!("copy -q {there} {copy}"));
    cache.is_at(&program, &copy);
    program.ok(&format!("pull -q {copy} {}", program.local("oci", "pulled:cache")));
    cache.is_at(&program, &program.local("oci", "pulled:cache"));
    assert_eq!(program.ok(&format!("platforms {copy}")), "");
    // The registry replies 500 to a request for a blob as a manifest. The client sent no such
    // request.
    let log = theirs.log();
    assert!(log.contains("HTTP/1.1\" 200"), "{log}");
    assert!(!log.contains("HTTP/1.1\" 500"), "{log}");
}
