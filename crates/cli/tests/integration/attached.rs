//! Referrers, the tags of cosign, and the selection of platforms.

use bytes::Bytes;
use longshore::{Descriptor, Digest, ImageConfig, Layout, Pack, Platform, Tag};
use longshore_testkit::peer::DockerRegistry;
use serde_json::Value;

use crate::program::Program;

const SPDX: &str = "application/spdx+json";
const SIGNING: &str = "application/vnd.dev.cosign.simplesigning.v1+json";

/// A layout that was filled as a build with BuildKit and cosign would fill it.
struct Built {
    location: String,
    index: Digest,
    images: Vec<Digest>,
    attestations: Vec<Digest>,
}

fn tag(text: &str) -> Tag {
    Tag::parse(text).unwrap()
}

fn signature_tag(digest: &Digest) -> String {
    format!("{}.sig", Tag::for_referrers(digest).unwrap())
}

/// Writes `v1`: an index of three images, each with an attestation of BuildKit. The index and the
/// image for linux/arm64 have cosign's signatures, and the index also has an SBOM as a referrer.
fn build(program: &Program, name: &str) -> Built {
    let path = program.path(name);
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(async {
        let layout = Layout::create(&path).await.unwrap();
        let (mut entries, mut images, mut attestations) = (Vec::new(), Vec::new(), Vec::new());
        for architecture in ["amd64", "arm64", "s390x"] {
            let platform = Platform::new("linux", architecture, None);
            let mut config = ImageConfig::default();
            config.platform = platform.clone();
            let mut image = Pack::image(&config).unwrap().push(&layout, None).await.unwrap();
            image.platform = Some(platform);
            let pack = Pack::artifact("application/vnd.in-toto+json".parse().unwrap());
            let pack = pack.file("provenance", architecture.to_owned());
            let mut attestation = pack.push(&layout, None).await.unwrap();
            attestation.platform = Some(Platform::new("unknown", "unknown", None));
            let annotations = &mut attestation.annotations;
            annotations.insert("vnd.docker.reference.type", "attestation-manifest");
            annotations.insert("vnd.docker.reference.digest", image.digest.as_str());
            images.push(image.digest.clone());
            attestations.push(attestation.digest.clone());
            entries.extend([image, attestation]);
        }
        let index = Pack::index(entries).push(&layout, Some(&tag("v1"))).await.unwrap();
        sign(&layout, &index.digest, "one").await;
        sign(&layout, &images[1], "two").await;
        let sbom = Pack::artifact(SPDX.parse().unwrap()).file("sbom", "{}");
        sbom.subject(index.clone()).push(&layout, None).await.unwrap();
        let location = format!("oci:{}:v1", path.display());
        Built { location, index: index.digest, images, attestations }
    })
}

/// Pushes a signature as cosign does.
async fn sign(layout: &Layout, subject: &Digest, signature: &str) {
    let payload = Bytes::from_static(b"payload");
    let mut layer = Descriptor::from_bytes(SIGNING.parse().unwrap(), &payload);
    layer.annotations.insert("dev.cosignproject.cosign/signature", signature);
    let pack = Pack::image(&ImageConfig::default()).unwrap().layer(layer, payload.into());
    pack.push(layout, Some(&tag(&signature_tag(subject)))).await.unwrap();
}

#[test]
fn signatures_travel_through_a_registry_a_layout_and_an_archive() {
    let program = Program::new();
    let server = program.serve(None);
    let built = build(&program, "built");
    let Built { location, index, images, .. } = &built;
    let at = |name: &str| format!("{}/{name}:v1", server.address);
    let archive = program.local("oci-archive", "image.tar");
    let unpacked = program.local("oci", "unpacked");
    program.ok(&format!("push -q {location} {}", at("one")));
    program.ok(&format!("copy -q {} {}", at("one"), at("two")));
    program.ok(&format!("pull -q {} {archive}:docker.io/library/app:v1", at("two")));
    program.ok(&format!("copy -q {archive} {unpacked}"));
    program.ok(&format!("push -q {unpacked} {}", at("three")));
    let mut tags = [signature_tag(index), signature_tag(&images[1]), "v1".to_owned()];
    tags.sort();
    for name in ["one", "two", "three"] {
        let repository = format!("{}/{name}", server.address);
        assert_eq!(program.ok(&format!("ls {repository}")), tags.join("\n"));
        assert!(program.ok(&format!("referrers {}", at(name))).ends_with(SPDX), "{name}");
        assert_eq!(program.ok(&format!("digest {}", at(name))), index.as_str());
    }
    assert_eq!(
        program
            .ok(&format!("copy -q {} {} --no-referrers", at("one"), at("bare")))
            .matches("left")
            .count(),
        0
    );
    assert_eq!(program.ok(&format!("ls {}/bare", server.address)), "v1");
    assert_eq!(program.ok(&format!("referrers {}", at("bare"))), "");
    // All tags of a repository include those of cosign. They are copied only once.
    let all = format!("copy -q --json --all-tags {0}/one {0}/all", server.address);
    let outcome: Value = serde_json::from_str(&program.ok(&all)).unwrap();
    assert_eq!(outcome["copies"].as_array().unwrap().len(), 3);
    assert_eq!(program.ok(&format!("ls {}/all", server.address)), tags.join("\n"));
    assert!(program.ok(&format!("referrers {}", at("all"))).ends_with(SPDX));
}

#[test]
fn what_was_left_behind_is_printed() {
    let program = Program::new();
    let server = program.serve(None);
    let Built { location, index, images, .. } = build(&program, "built");
    let at = |name: &str| format!("{}/{name}:v1", server.address);
    program.ok(&format!("push -q {location} {}", at("app")));
    let app = at("app");

    let text = program.ok(&format!("copy -q {app} {} --referrers {SIGNING}", at("signed")));
    let expected = format!("1 left behind (of another type): {SPDX}, in {}", at("signed"));
    assert!(text.ends_with(&expected), "{text}");
    assert_eq!(program.ok(&format!("referrers {}", at("signed"))), "");
    let json = program.ok(&format!("copy -q --json {app} {} --referrers {SPDX}", at("listed")));
    let outcome: Value = serde_json::from_str(&json).unwrap();
    let left = outcome["copies"][0]["left_behind"].as_array().unwrap();
    let mut tags: Vec<_> = left.iter().map(|left| left["tag"].as_str().unwrap()).collect();
    tags.sort_unstable();
    let mut expected = [signature_tag(&index), signature_tag(&images[1])];
    expected.sort();
    assert_eq!(tags, expected);
    assert!(left.iter().all(|left| left["reason"] == "other_type"), "{json}");

    let archive = program.local("docker-archive", "image.tar:app:v1");
    let text = program.ok(&format!("pull -q {app} {archive} --platform linux/arm64"));
    let unsupported =
        format!("1 left behind (not supported by the target): {}", signature_tag(&images[1]));
    assert!(text.contains(&unsupported), "{text}");
    assert!(text.contains("left behind (attached to the whole index): "), "{text}");

    let untyped = program.fails(2, &format!("copy {app} {} --referrers x --no-referrers", at("x")));
    assert!(untyped.contains("--no-referrers"), "{untyped}");
}

#[test]
fn several_platforms_are_copied_as_an_index_with_their_attestations() {
    let program = Program::new();
    let server = program.serve(None);
    let Built { location, index, images, attestations } = build(&program, "built");
    let at = |name: &str| format!("{}/{name}:v1", server.address);
    program.ok(&format!("push -q {location} {}", at("app")));
    let two = "--platform linux/amd64 --platform linux/arm64";
    let text = program.ok(&format!("copy -q {} {} {two}", at("app"), at("two")));
    let copied = program.ok(&format!("digest {}", at("two")));
    assert_ne!(copied, index.as_str());
    assert!(text.starts_with(&format!("v1 {copied}  ")), "{text}");
    assert!(text.contains(&format!(", selected from {index}, ")), "{text}");
    let manifest: Value =
        serde_json::from_str(&program.ok(&format!("manifest get {}", at("two")))).unwrap();
    let entries = manifest["manifests"].as_array().unwrap();
    let digests: Vec<_> = entries.iter().map(|entry| entry["digest"].as_str().unwrap()).collect();
    let expected = [&images[0], &attestations[0], &images[1], &attestations[1]];
    assert_eq!(digests, expected.map(Digest::as_str));
    // The image for arm64 is signed, and the signature of the whole index does not apply.
    let mut tags = [signature_tag(&images[1]), "v1".to_owned()];
    tags.sort();
    assert_eq!(program.ok(&format!("ls {}/two", server.address)), tags.join("\n"));

    // A layout and a target with a digest get the same index.
    let local = program.local("oci", "two");
    let comma = "--platform linux/arm64,linux/amd64";
    program.ok(&format!("pull -q {} {local} {comma}", at("app")));
    assert_eq!(program.ok(&format!("digest {local}")), copied);
    program.ok(&format!("copy -q {} {}@{copied} {comma}", at("app"), at("pinned")));
    program.fails(7, &format!("copy -q {} {}@{index} {comma}", at("app"), at("pinned")));
    program.fails(2, &format!("copy -q {} {} {comma} --all-platforms", at("app"), at("x")));
    program.ok(&format!("copy -q {} {} --all-platforms", at("app"), at("whole")));
    assert_eq!(program.ok(&format!("digest {}", at("whole"))), index.as_str());
    let told =
        program.fails(3, &format!("copy -q {} {} {comma},linux/ppc64le", at("app"), at("x")));
    assert!(told.contains("linux/ppc64le") && told.contains("linux/s390x"), "{told}");
}

#[test]
fn platforms_are_selected_for_each_of_all_tags() {
    let program = Program::new();
    let server = program.serve(None);
    let Built { location, images, index, .. } = build(&program, "built");
    let app = format!("{}/app", server.address);
    program.ok(&format!("push -q {location} {app}:v1"));
    program.ok(&format!("push -q {location} {app}:arm --platform linux/arm64"));
    program.ok(&format!("push -q {location} {app}:ibm --platform linux/s390x"));
    let copy = format!("{}/copy", server.address);
    let line = format!("copy -q --all-tags {app} {copy} --platform linux/amd64,linux/arm64");
    let ended = program.run(line.split_whitespace());
    // Only one tag fails. The tags of cosign have no platform, and are copied.
    assert_eq!((ended.code, ended.stderr.lines().count()), (1, 1), "{ended:?}");
    let expected = format!("longshore: tag ibm of {app}: source: not found: platform linux/amd64");
    assert!(ended.stderr.starts_with(&expected), "{ended:?}");
    assert!(ended.stderr.contains("the image is for linux/s390x"), "{ended:?}");
    assert_eq!(program.ok(&format!("digest {copy}:arm")), images[1].as_str());
    let signatures = [signature_tag(&images[1]), signature_tag(&index)];
    let mut tags = [&signatures[..], &["arm".to_owned(), "v1".to_owned()]].concat();
    tags.sort();
    assert_eq!(program.ok(&format!("ls {copy}")), tags.join("\n"));
}

#[test]
fn docker_registry_keeps_referrers_and_the_tags_of_cosign() {
    let program = Program::new();
    let (source, target) = (DockerRegistry::start(), DockerRegistry::start());
    let Built { location, index, images, .. } = build(&program, "built");
    let at = |registry: &DockerRegistry| format!("{}/app", registry.address());
    program.ok(&format!("push -q {location} {}", at(&source)));
    program.ok(&format!("copy -q {}:v1 {}:v1", at(&source), at(&target)));
    let fallback = Tag::for_referrers(&index).unwrap().to_string();
    let mut tags = [fallback, signature_tag(&index), signature_tag(&images[1]), "v1".to_owned()];
    tags.sort();
    for registry in [&source, &target] {
        let listed = program.ok(&format!("ls {}", at(registry)));
        // This registry lists tags in any order.
        let mut listed: Vec<_> = listed.lines().collect();
        listed.sort_unstable();
        assert_eq!(listed, tags);
        assert!(program.ok(&format!("referrers {}:v1", at(registry))).ends_with(SPDX));
    }
    // A second copy sends nothing, and finds a signature that was added in between.
    let again = format!("copy -q --json {}:v1 {}:v1", at(&source), at(&target));
    let outcome: Value = serde_json::from_str(&program.ok(&again)).unwrap();
    assert_eq!(outcome["copies"][0]["manifests_sent"], 0, "{outcome}");
    let signed = signature_tag(&images[0]);
    program.ok(&format!("copy -q {0}:{1} {0}:{signed}", at(&source), signature_tag(&images[1])));
    program.ok(&again);
    program.ok(&format!("digest {}:{signed}", at(&target)));
}
