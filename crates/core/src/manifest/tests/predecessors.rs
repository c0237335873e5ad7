//! Documents from the tests of six earlier clients.

use serde_json::{Value, json};

use super::*;
use crate::manifest::canonical_json;

const LIST: &str = r#"{"manifests":[{"digest":"sha256:e692418e4cbaf90ca69d05a66403747baa33ee08806650b51fab815ad7fc331f","mediaType":"application/vnd.docker.distribution.manifest.v2+json","platform":{"architecture":"ppc64le","os":"linux"},"size":7143},{"digest":"sha256:5b0bcabd1ed22e9fb1310cf6c2dec7cdef19f0ad69efa1f392e94a4333501270","mediaType":"application/vnd.docker.distribution.manifest.v2+json","platform":{"architecture":"amd64","features":["sse4"],"os":"linux"},"size":7682}],"mediaType":"application/vnd.docker.distribution.manifest.list.v2+json","schemaVersion":2}"#;
const SCHEMA2: &str = r#"{"config":{"digest":"sha256:b5b2b2c507a0944348e0303114d8d93aaaa081732b86451d9bce1f432a537bc7","mediaType":"application/vnd.docker.container.image.v1+json","size":7023},"layers":[{"digest":"sha256:e692418e4cbaf90ca69d05a66403747baa33ee08806650b51fab815ad7fc331f","mediaType":"application/vnd.docker.image.rootfs.diff.tar.gzip","size":32654},{"digest":"sha256:3c3a4604a545cdc127456d94e421cd355bca5b528f4a9c1905b15da2eb4a4c6b","mediaType":"application/vnd.docker.image.rootfs.diff.tar.gzip","size":16724},{"digest":"sha256:ec4b8955958665577945c89419d1af06b5f7636b4ac3da7f12184802ad867736","mediaType":"application/vnd.docker.image.rootfs.diff.tar.gzip","size":73109}],"mediaType":"application/vnd.docker.distribution.manifest.v2+json","schemaVersion":2}"#;
const INDEX: &str = r#"{"annotations":{"com.example.key1":"value1","com.example.key2":"value2"},"manifests":[{"digest":"sha256:e692418e4cbaf90ca69d05a66403747baa33ee08806650b51fab815ad7fc331f","mediaType":"application/vnd.oci.image.manifest.v1+json","platform":{"architecture":"ppc64le","os":"linux"},"size":7143},{"digest":"sha256:5b0bcabd1ed22e9fb1310cf6c2dec7cdef19f0ad69efa1f392e94a4333501270","mediaType":"application/vnd.oci.image.manifest.v1+json","platform":{"architecture":"amd64","os":"linux"},"size":7682}],"schemaVersion":2}"#;
const OCI: &str = r#"{"annotations":{"com.example.key1":"value1","com.example.key2":"value2"},"config":{"digest":"sha256:b5b2b2c507a0944348e0303114d8d93aaaa081732b86451d9bce1f432a537bc7","mediaType":"application/vnd.oci.image.config.v1+json","size":7023},"layers":[{"digest":"sha256:9834876dcfb05cb167a5c24953eba58c4ac89b1adf57f28f2f9d09af107ee8f0","mediaType":"application/vnd.oci.image.layer.v1.tar+gzip","size":32654},{"digest":"sha256:3c3a4604a545cdc127456d94e421cd355bca5b528f4a9c1905b15da2eb4a4c6b","mediaType":"application/vnd.oci.image.layer.v1.tar+gzip","size":16724},{"digest":"sha256:ec4b8955958665577945c89419d1af06b5f7636b4ac3da7f12184802ad867736","mediaType":"application/vnd.oci.image.layer.v1.tar+gzip","size":73109}],"schemaVersion":2}"#;

/// The four documents with their types and the digests of their canonical forms.
const DOCUMENTS: [(&str, MediaType, &str); 4] = [
    (
        LIST,
        MediaType::DOCKER_LIST,
        "0f4900b42967751b964af17bb2bda2fe8a6440037f0fb9605b6170c1a481f1dd",
    ),
    (
        SCHEMA2,
        MediaType::DOCKER_MANIFEST,
        "d87a047757f0350304b54e40101886b3b2bc8ce54d117c6252dfe5497c0f7ae0",
    ),
    (
        INDEX,
        MediaType::OCI_INDEX,
        "e2b5759a750fe5f3e6d500ba5e7ba174141683869fcd40095916c664be0307eb",
    ),
    (
        OCI,
        MediaType::OCI_MANIFEST,
        "f810100ab3d69832b01e2a59e2c2fcb9c57649f25d1795b4d11fdeaf723c37d1",
    ),
];

#[test]
fn docker_and_oci_images_and_indexes_are_recognized_and_parsed() {
    for (text, media_type, digest) in DOCUMENTS {
        let manifest = raw(text).unwrap();
        assert_eq!(*manifest.media_type(), media_type);
        assert_eq!(manifest.digest().encoded(), digest);
        assert_eq!(manifest.problems(), [""; 0]);
        match manifest.parse().unwrap() {
            Manifest::Image(image) => {
                assert_eq!(image.config.size, 7023);
                let sizes: Vec<u64> = image.layers.iter().map(|layer| layer.size).collect();
                assert_eq!(sizes, [32654, 16724, 73109]);
            }
            Manifest::Index(index) => {
                let platforms: Vec<_> = index.platforms().map(ToString::to_string).collect();
                assert_eq!(platforms, ["linux/ppc64le", "linux/amd64"]);
            }
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn an_edited_document_is_written_in_canonical_form() {
    for (text, media_type, digest) in DOCUMENTS {
        let value: Value = serde_json::from_str(text).unwrap();
        let spaced = raw(&serde_json::to_string_pretty(&value).unwrap()).unwrap();
        assert_ne!(spaced.digest().encoded(), digest);
        let edited = spaced.edited(|_| {}).unwrap();
        assert_eq!((edited.digest().encoded(), edited.media_type()), (digest, &media_type));
    }
    let manifest = raw(OCI).unwrap();
    let edited = manifest.edited(|document| document["annotations"] = json!({"é": "z"})).unwrap();
    assert!(edited.bytes().starts_with("{\"annotations\":{\"é\":\"z\"},\"config\"".as_bytes()));
    assert_eq!(*edited.media_type(), MediaType::OCI_MANIFEST);
    assert_ne!(edited.digest(), manifest.digest());
    // The media type in the document takes precedence.
    let typed = manifest.edited(|d| d["mediaType"] = json!("application/x.y")).unwrap();
    assert_eq!(typed.media_type().as_str(), "application/x.y");
}

#[test]
fn canonical_json_matches_that_of_other_clients() {
    for (text, canonical) in [
        (r#"{"foo": "bar"}"#, r#"{"foo":"bar"}"#),
        (r#"{"b":1,"a":"é"}"#, r#"{"a":"é","b":1}"#),
        (r#"{"a":[1,2,{"z":null,"y":true}]}"#, r#"{"a":[1,2,{"y":true,"z":null}]}"#),
        (r#"{"x":1.5}"#, r#"{"x":1.5}"#),
        (r#"{"€":1,"z":2}"#, r#"{"z":2,"€":1}"#),
        (r#"["\n\"\\\/"]"#, r#"["\n\"\\/"]"#),
        (r#"["\u2028"]"#, "[\"\u{2028}\"]"),
        (r#"["\u0001\b\f\r\t"]"#, r#"["\u0001\b\f\r\t"]"#),
    ] {
        let value: Value = serde_json::from_str(text).unwrap();
        assert_eq!(canonical_json(&value).unwrap(), canonical);
    }
    assert_eq!(
        Digest::sha256(&canonical_json(&json!({"foo": "bar"})).unwrap()).encoded(),
        "7a38bf81f383f69433ad6e900d35b3e2385593f76a7b7ab5d4355b8ba41ee24b"
    );
    assert_eq!(
        Digest::sha256(br#"{"foo": "bar"}"#).encoded(),
        "426fc04f04bf8fdb5831dc37bbb6dcf70f63a37e05a68c6ea5f63e85ae579376"
    );
}

#[test]
fn the_kind_of_a_document_is_determined_by_its_fields() {
    for (text, expected) in [
        (r#"{"fsLayers":[]}"#, "application/vnd.docker.distribution.manifest.v1+prettyjws"),
        (r#"{"layers":[]}"#, "application/vnd.oci.image.manifest.v1+json"),
        (r#"{"manifests":[]}"#, "application/vnd.oci.image.index.v1+json"),
        (r#"{"mediaType":"x/y","fsLayers":[]}"#, "x/y"),
        (r#"{"mediaType":null,"manifests":[]}"#, "application/vnd.oci.image.index.v1+json"),
    ] {
        assert_eq!(raw(text).unwrap().media_type().as_str(), expected, "{text}");
    }
    // Other clients recognize these documents as `application/json`, `null`, or an index, but the
    // documents are not manifests.
    for (text, reason) in [
        ("{}", "neither the store nor the document states"),
        ("[]", "not a valid manifest"),
        (r#"{"mediaType":null}"#, "neither the store nor the document states"),
        (r#"{"manifests":[],"layers":[]}"#, "both \"manifests\" and \"layers\""),
    ] {
        let shown = raw(text).unwrap_err().to_string();
        assert!(shown.contains(reason), "{text}: {shown}");
    }
}

/// The response of Docker Hub for `ubuntu:22.04`, with escaped slashes.
pub(crate) const HUB_INDEX: &str = r#"{"manifests":[{"digest":"sha256:7a57c69fe1e9d5b97c5fe649849e79f2cfc3bf11d10bbd5218b4eb61716aebe6","mediaType":"application\/vnd.oci.image.manifest.v1+json","platform":{"architecture":"amd64","os":"linux"},"size":424},{"digest":"sha256:ad18cfdb19dac67bf0072dacea661a817330e5c955d081f4d09914e743ae5d4a","mediaType":"application\/vnd.oci.image.manifest.v1+json","platform":{"architecture":"arm","os":"linux","variant":"v7"},"size":424},{"digest":"sha256:537da24818633b45fcb65e5285a68c3ec1f3db25f5ae5476a7757bc8dfae92a3","mediaType":"application\/vnd.oci.image.manifest.v1+json","platform":{"architecture":"arm64","os":"linux","variant":"v8"},"size":424},{"digest":"sha256:f23b7ade9f88f91c8d5932a48b721712ed509a607d9a05cdeae4cd06de09e5f7","mediaType":"application\/vnd.oci.image.manifest.v1+json","platform":{"architecture":"ppc64le","os":"linux"},"size":424},{"digest":"sha256:b351315d950a4da70f19d62f4da5dd7f9a445eb8c8d6851a5b6cdddbdafb13cf","mediaType":"application\/vnd.oci.image.manifest.v1+json","platform":{"architecture":"s390x","os":"linux"},"size":424}],"mediaType":"application\/vnd.oci.image.index.v1+json","schemaVersion":2}"#;

#[test]
fn documents_of_docker_hub_have_the_stated_digests() {
    let index = raw(HUB_INDEX).unwrap();
    assert_eq!(
        index.digest().encoded(),
        "67211c14fa74f070d27cc59d69a7fa9aeff8e28ea118ef3babc295a0428a6d21"
    );
    assert_eq!((index.descriptor().size, index.media_type()), (1133, &MediaType::OCI_INDEX));
    let Manifest::Index(index) = index.parse().unwrap() else { panic!("expected an index") };
    for (platform, config, layer) in [
        (
            "linux/amd64",
            (2298, "08d22c0ceb150ddeb2237c5fa3129c0183f3cc6f5eeb2e7aa4016da3ad02140a"),
            (29_533_950, "2ab09b027e7f3a0c2e8bb1944ac46de38cebab7145f0bd6effebfe5492c818b6"),
        ),
        (
            "linux/arm/v7",
            (2314, "2bf0095935ffb29018664cf219d8c1b2c890e3e3c4af89113df23e7330397187"),
            (26_140_319, "aea1895b7fd03ef3bc263eef4b6f1dd219fc3286f3ff79495aadb81a88650723"),
        ),
        (
            "linux/arm64/v8",
            (2316, "bab8ce5c00ca3ef91e0d3eb4c6e6d6ec7cffa9574c447fd8d54a8d96e7c1c80e"),
            (27_347_481, "cd741b12a7eaa64357041c2d3f4590c898313a7f8f65cd1577594e6ee03a8c38"),
        ),
        (
            "linux/ppc64le",
            (2301, "4220c61b3ab7b82dd3ff3395f9efe2b63e730c3f24284d1519013cf3cda822f8"),
            (34_593_661, "2561b3b559ec9b25bafa07804afa433803291265f7dd847de711224b0f238237"),
        ),
        (
            "linux/s390x",
            (2299, "63ad39053efde0c294433cd8f9709c6d69a36e1f0af4ffbf81c3d261caffb615"),
            (28_015_959, "15f635e04e894b7646b4ebca40424ddf244867fc663429ea8b877eca172a7cf1"),
        ),
    ] {
        let text = format!(
            r#"{{"schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json", "config": {{"mediaType": "application/vnd.oci.image.config.v1+json", "size": {}, "digest": "sha256:{}"}}, "layers": [{{"mediaType": "application/vnd.oci.image.layer.v1.tar+gzip", "size": {}, "digest": "sha256:{}"}}]}}"#,
            config.0, config.1, layer.0, layer.1
        );
        let listed = index.for_platform(&platform.parse().unwrap()).unwrap();
        let child = RawManifest::new(text.into(), None, listed.digest.clone()).unwrap();
        assert_eq!(child.descriptor().size, listed.size, "{platform}");
    }
}

#[test]
fn a_schema_2_manifest_of_docker_hub_has_the_stated_digest() {
    let layers = [
        (39_096_921, "d8868e50ac4c7104d2200d42f432b661b2da8c1e417ccfae217e6a1e04bb9295"),
        (57_938, "83251ac64627fc331584f6c498b3aba5badc01574e2c70b2499af3af16630eed"),
        (423, "589bba2f1b36ae56f0152c246e2541c5aa604b058febfcf2be32e9a304fec610"),
        (680, "d62ecaceda3964b735cdd2af613d6bb136a52c1da0838b2ff4b4dab4212bcb1c"),
        (162, "6d93b41cfc6bf0d2522b7cf61588de4cd045065b36c52bd3aec2ba0622b2b22b"),
    ];
    let layers: Vec<String> = layers
        .iter()
        .map(|(size, digest)| {
            format!(
                "      {{\n         \"mediaType\": \"application/vnd.docker.image.rootfs.diff.tar.gzip\",\n         \"size\": {size},\n         \"digest\": \"sha256:{digest}\"\n      }}"
            )
        })
        .collect();
    let text = format!(
        "{{\n   \"schemaVersion\": 2,\n   \"mediaType\": \"application/vnd.docker.distribution.manifest.v2+json\",\n   \"config\": {{\n      \"mediaType\": \"application/vnd.docker.container.image.v1+json\",\n      \"size\": 3621,\n      \"digest\": \"sha256:5b117edd0b767986092e9f721ba2364951b0a271f53f1f41aff9dd1861c2d4fe\"\n   }},\n   \"layers\": [\n{}\n   ]\n}}",
        layers.join(",\n")
    );
    let manifest = raw(&text).unwrap();
    assert_eq!(manifest.descriptor().size, 1359);
    assert_eq!(
        manifest.digest().encoded(),
        "18305429afa14ea462f810146ba44d4363ae76e4c8dfc38288cf73aa07485005"
    );
    let Manifest::Image(image) = manifest.parse().unwrap() else { panic!("expected an image") };
    assert_eq!(image.layers.iter().map(|layer| layer.size).sum::<u64>(), 39_156_124);
}

#[test]
fn strict_checks_report_problems_that_are_otherwise_ignored() {
    let config = |name: &str| format!("application/vnd.{name}");
    let docker = "application/vnd.docker.distribution.manifest.v2+json";
    let oci = "application/vnd.oci.image.manifest.v1+json";
    let docker_config = config("docker.container.image.v1+json");
    let oci_config = config("oci.image.config.v1+json");
    let gzip = config("docker.image.rootfs.diff.tar.gzip");
    let document = |version: u64, media_type: &str, config: &str, layer: &str| {
        let text = format!(
            r#"{{"schemaVersion":{version},"mediaType":"{media_type}","config":{},"layers":[{}]}}"#,
            descriptor(config),
            descriptor(layer)
        );
        raw(&text).unwrap().problems()
    };
    assert_eq!(document(2, docker, &docker_config, &gzip), [""; 0]);
    assert_eq!(document(2, oci, &oci_config, &config("oci.image.layer.v1.tar")), [""; 0]);
    // The current specification allows these types.
    assert_eq!(document(2, oci, &oci_config, &config("oci.image.layer.v1.tar+zstd")), [""; 0]);
    assert_eq!(document(2, oci, &config("cncf.helm.config.v1+json"), "a/b"), [""; 0]);
    for (problems, reason) in [
        (document(1, docker, &docker_config, &gzip), "schemaVersion"),
        (document(2, docker, &oci_config, &gzip), "the config is"),
        (
            document(2, docker, &docker_config, &config("docker.image.rootfs.diff.tar")),
            "layers[0] is application/vnd.docker.image.rootfs.diff.tar, which is not a layer type",
        ),
        (document(2, oci, &oci_config, &gzip), "layers[0] is"),
        (document(2, oci, &docker_config, &gzip), "the config is"),
        (document(2, oci, &config("oci.empty.v1+json"), "a/b"), "artifactType is missing"),
    ] {
        assert!(problems.len() == 1 && problems[0].contains(reason), "{reason}: {problems:?}");
    }
    let list = r#"{"schemaVersion":2,"mediaType":"application/vnd.docker.distribution.manifest.list.v2+json","manifests":[ENTRY]}"#;
    let list = raw(&list.replace("ENTRY", &descriptor(docker))).unwrap();
    assert_eq!(list.problems(), ["manifests[0] has no platform"]);
    let broken =
        RawManifest::from_bytes(r#"{"schemaVersion":1}"#.into(), Some(MediaType::DOCKER_MANIFEST));
    assert!(broken.unwrap().problems()[0].contains("missing field `config`"));
}

#[test]
fn trap_22_attestations_and_entries_without_a_platform_are_not_chosen() {
    let entry = |platform: &str| {
        format!(r#"{{"mediaType":"{OCI_TYPE}","digest":"{SHA}","size":0{platform}}}"#)
    };
    let entries = [
        entry(""),
        entry(r#","platform":{"os":"unknown","architecture":"unknown"}"#),
        entry(r#","platform":null"#),
        entry(r#","platform":{}"#),
        entry(r#","platform":{"os":"linux","architecture":"arm64"}"#),
    ];
    let text = format!(r#"{{"schemaVersion":2,"manifests":[{}]}}"#, entries.join(","));
    let index = raw(&text).unwrap();
    let Manifest::Index(index) = index.parse().unwrap() else { panic!("expected an index") };
    assert_eq!(index.manifests.len(), 5);
    let platforms: Vec<_> = index.platforms().map(ToString::to_string).collect();
    assert_eq!(platforms, ["linux/arm64"]);
    assert!(index.for_platform(&"linux/arm64".parse().unwrap()).is_ok());
    let e = index.for_platform(&"linux/amd64".parse().unwrap()).unwrap_err();
    assert_eq!(e.kind(), ErrorKind::NotFound);
    assert!(e.to_string().ends_with("the index has linux/arm64"), "{e}");
    let e = Index::new(Vec::new()).for_platform(&"linux/amd64".parse().unwrap()).unwrap_err();
    assert!(e.to_string().ends_with("the index has no platforms"), "{e}");
}

const OCI_TYPE: &str = "application/vnd.oci.image.manifest.v1+json";
