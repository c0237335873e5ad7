//! Compares python-dxf's program `dxf` with longshore's library. `docs/src/migrating.md` lists the
//! commands.

use super::*;

use std::fs::File;
use std::process::Command;

use longshore::{
    Credential, Delete as _, Descriptor, Manifest, MediaType, MemoryCredentials, Secret,
};
use longshore_testkit::peer::installed_program;
use serde_json::json;

/// The program in its own folder, with access to a registry.
struct Program<'a> {
    place: &'a Place,
    home: tempfile::TempDir,
}

impl<'a> Program<'a> {
    fn new(place: &'a Place) -> Self {
        Self { place, home: tempfile::tempdir().unwrap() }
    }

    /// Runs the program, and returns the output and the exit code.
    fn ends(&self, arguments: &str, environment: &[(&str, &str)]) -> (String, Option<i32>) {
        let output = self.command(arguments, environment).output().unwrap();
        (text(&output.stdout), output.status.code())
    }

    fn command(&self, arguments: &str, environment: &[(&str, &str)]) -> Command {
        let mut dxf = installed_program("dxf", self.home.path());
        let address = self.place.address.to_string();
        dxf.env("DXF_HOST", address).env("DXF_INSECURE", "1");
        dxf.envs(environment.iter().copied()).args(arguments.split(' '));
        dxf
    }

    /// Runs the program with this file as stdin, and returns the output. The run must succeed.
    fn reads(&self, file: &str, arguments: &str, environment: &[(&str, &str)]) -> String {
        let file = File::open(self.home.path().join(file)).unwrap();
        let output = self.command(arguments, environment).stdin(file).output().unwrap();
        assert!(output.status.success(), "dxf {arguments}: {}", text(&output.stderr));
        text(&output.stdout)
    }

    /// Runs the program, and returns the output. The run must succeed.
    fn prints(&self, arguments: &str) -> String {
        let (printed, code) = self.ends(arguments, &[]);
        assert_eq!(code, Some(0), "dxf {arguments}");
        printed
    }
}

fn lines<T: ToString>(items: &[T]) -> String {
    items.iter().map(|item| format!("{}\n", item.to_string())).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn dxf_program_and_longshore_list_the_same_content() {
    let place = Place::open().await;
    let dxf = Program::new(&place);
    assert_eq!(dxf.prints("list-repos"), lines(&place.repositories().await));
    assert_eq!(dxf.prints("list-aliases team/app"), lines(&place.tags("team/app").await));
    assert_eq!(dxf.prints("get-manifest team/app v1"), place.manifest("team/app", "v1").await);
    let manifest = place.at("team/app").manifest(&tag("v1").into()).await.unwrap();
    let Manifest::Image(image) = manifest.parse().unwrap() else { panic!("not an image") };
    let layers: Vec<_> = image.layers.iter().map(|layer| &layer.digest).collect();
    assert_eq!(dxf.prints("get-alias team/app v1"), lines(&layers));
    assert_eq!(dxf.prints("get-digest team/app v1"), lines(&[&image.config.digest]));
    let size: u64 = image.layers.iter().map(|layer| layer.size).sum();
    assert_eq!(dxf.prints("blob-size team/app @v1"), lines(&[size]));
}

#[tokio::test(flavor = "multi_thread")]
async fn dxf_program_stores_files_that_longshore_reads() {
    let place = Place::open().await;
    let dxf = Program::new(&place);
    std::fs::write(dxf.home.path().join("logger.dat"), "21.5\n").unwrap();
    let blob = Descriptor::from_bytes(MediaType::OCTET_STREAM, b"21.5\n");
    let digest = lines(&[&blob.digest]);
    assert_eq!(dxf.prints("push-blob fred/datalogger logger.dat @may15"), digest);
    let ours = place.at("fred/datalogger").blob(&blob).await.unwrap().bytes(64).await.unwrap();
    assert_eq!(ours, "21.5\n");
    assert_eq!(place.tags("fred/datalogger").await, ["may15"]);
    assert_eq!(dxf.prints("pull-blob fred/datalogger @may15"), "21.5\n");
    let mount = format!("mount-blob fred/other fred/datalogger {} @there", blob.digest);
    assert_eq!(dxf.prints(&mount), digest);
    let both = format!("set-alias fred/datalogger both {0} {0}", blob.digest);
    assert_eq!(dxf.prints(&both), place.manifest("fred/datalogger", "both").await);
    assert_eq!(dxf.prints("del-alias fred/datalogger both"), digest.repeat(2));

    let info = [("DXF_BLOB_INFO", "1")];
    let (printed, _) = dxf.ends(&format!("pull-blob fred/other {}", blob.digest), &info);
    // Defect of dxf: if stdout is not a terminal, the size is printed after the blob instead of
    // before it.
    assert_eq!(printed, format!("21.5\n{} 5\n", blob.digest));
    // Defect of dxf: it does not convert the chunk size of the environment to a number.
    let chunks = [("DXF_CHUNK_SIZE", "2")];
    let (_, code) = dxf.ends(&format!("pull-blob fred/other {}", blob.digest), &chunks);
    assert_eq!(code, Some(1));

    // Defect of dxf: contrary to its README, `del-blob` also removes the alias.
    assert_eq!(dxf.prints("del-blob fred/datalogger @may15"), "");
    // The repository is empty, so it no longer exists.
    let e = place.at("fred/datalogger").tags(None).all().await.unwrap_err();
    assert_eq!(e.kind(), ErrorKind::NotFound);
    let e = place.at("fred/datalogger").delete_blob(&blob.digest).await.unwrap_err();
    assert_eq!(e.kind(), ErrorKind::NotFound);
}

#[tokio::test(flavor = "multi_thread")]
async fn dxf_program_prints_the_manifests_of_all_platforms_or_of_one() {
    let place = Place::open().await;
    let dxf = Program::new(&place);
    let list = place.at("team/list").manifest(&tag("v1").into()).await.unwrap();
    let Manifest::Index(index) = list.parse().unwrap() else { panic!("not an index") };
    let mut by_platform = serde_json::Map::new();
    for entry in &index.manifests {
        let image = place.at("team/list").manifest(&entry.digest.clone().into()).await.unwrap();
        let platform = entry.platform.as_ref().unwrap().to_string();
        by_platform.insert(platform, json!(text(image.bytes())));
    }
    let printed: Value = serde_json::from_str(&dxf.prints("get-manifest team/list v1")).unwrap();
    assert_eq!(printed, Value::Object(by_platform.clone()));
    let (printed, _) = dxf.ends("get-manifest team/list v1", &[("DXF_PLATFORM", "linux/arm64")]);
    assert_eq!(by_platform["linux/arm64"], printed);
}

#[tokio::test(flavor = "multi_thread")]
async fn dxf_program_has_an_exit_code_for_each_failure() {
    let place = Place::open().await;
    let dxf = Program::new(&place);
    for (arguments, expected) in [
        ("get-manifest team/app missing", 2), // ENOENT (longshore: 3)
        ("pull-blob no/where @v1", 2),
        ("push-blob team/app", 2), // usage (longshore: 2)
        ("push-blob team/app a b", 2),
        ("list-aliases team/app more", 2),
    ] {
        assert_eq!(dxf.ends(arguments, &[]).1, Some(expected), "dxf {arguments}");
    }
    let e = place.at("team/app").manifest(&tag("missing").into()).await.unwrap_err();
    assert_eq!(e.kind(), ErrorKind::NotFound);

    // Over plain HTTP, dxf exits with a traceback instead of sending a password.
    let closed = Place::basic().await;
    assert_eq!(Program::new(&closed).ends("list-aliases team/app", &[]).1, Some(1));
    let closed = Place::basic_over_tls().await;
    let dxf = Program::new(&closed);
    let ca = dxf.home.path().join("ca.pem");
    std::fs::write(&ca, closed.certificate()).unwrap();
    let secure = [("DXF_INSECURE", "0"), ("DXF_TLSVERIFY", ca.to_str().unwrap())];
    let wrong = [secure[0], secure[1], ("DXF_USERNAME", USER), ("DXF_PASSWORD", "wrong")];
    for environment in [&secure[..], &wrong] {
        let (_, code) = dxf.ends("list-aliases team/app", environment);
        assert_eq!(code, Some(13), "EACCES (longshore: 4)");
    }
    let trusting = quick().default_settings(trusting(closed.certificate()));
    let ours = trusting.build().repository(closed.at("team/app").repository());
    let e = ours.tags(None).all().await.unwrap_err();
    assert_eq!(e.kind(), ErrorKind::Unauthorized);
}

#[tokio::test(flavor = "multi_thread")]
async fn dxf_program_prints_a_token_that_longshore_can_use() {
    let place = Place::bearer_over_tls().await;
    let dxf = Program::new(&place);
    let ca = dxf.home.path().join("ca.pem");
    std::fs::write(&ca, place.certificate()).unwrap();
    let known = [
        ("DXF_INSECURE", "0"),
        ("DXF_TLSVERIFY", ca.to_str().unwrap()),
        ("DXF_USERNAME", USER),
        ("DXF_PASSWORD", PASSWORD),
    ];
    let (token, code) = dxf.ends("auth team/app pull", &known);
    assert_eq!(code, Some(0));
    let with_token = [known[0], known[1], ("DXF_TOKEN", token.trim())];
    let (printed, _) = dxf.ends("list-aliases team/app", &with_token);
    assert_eq!(printed, lines(&place.tags("team/app").await));

    let credential = Credential::registry_token(Secret::new(token.trim()), "dxf auth");
    let store = MemoryCredentials::new().with_credential(place.registry(), credential);
    let ours = quick().default_settings(trusting(place.certificate())).credentials(store).build();
    let ours = ours.repository(place.at("team/app").repository());
    assert_eq!(ours.tags(None).all().await.unwrap().len(), 2);

    let (_, code) = dxf.ends("list-aliases team/app", &known[..2]);
    assert_eq!(code, Some(13), "EACCES (longshore: 4)");
}

#[tokio::test(flavor = "multi_thread")]
async fn dxf_program_reads_a_manifest_from_stdin() {
    let place = Place::open().await;
    let dxf = Program::new(&place);
    let manifest = place.at("team/app").manifest(&tag("v1").into()).await.unwrap();
    let Manifest::Image(image) = manifest.parse().unwrap() else { panic!("not an image") };
    std::fs::write(dxf.home.path().join("manifest"), manifest.bytes()).unwrap();
    let digests: Vec<_> = image.layers.iter().map(|layer| &layer.digest).collect();
    assert_eq!(dxf.reads("manifest", "get-alias team/app", &[]), lines(&digests));
    let config = lines(&[&image.config.digest]);
    assert_eq!(dxf.reads("manifest", "get-digest team/app", &[]), config);
    let size: u64 = image.layers.iter().map(|layer| layer.size).sum();
    assert_eq!(dxf.reads("manifest", "blob-size team/app", &[]), lines(&[size]));
    let mut content = Vec::new();
    for layer in &image.layers {
        let blob = place.at("team/app").blob(layer).await.unwrap();
        content.extend(blob.bytes(1 << 20).await.unwrap());
    }
    let one = lines(&[image.layers[0].size]);
    assert_eq!(dxf.prints(&format!("blob-size team/app {}", image.layers[0].digest)), one);
    assert_eq!(dxf.reads("manifest", "pull-blob team/app", &[]), text(&content));

    assert_eq!(dxf.reads("manifest", "del-blob team/app", &[]), "");
    let e = place.at("team/app").delete_blob(&image.layers[0].digest).await.unwrap_err();
    assert_eq!(e.kind(), ErrorKind::NotFound);
    assert_eq!(dxf.prints("del-alias team/app v1"), lines(&digests));
}

#[tokio::test(flavor = "multi_thread")]
async fn dxf_program_prints_the_digests_and_sizes_of_each_platform() {
    let place = Place::open().await;
    let dxf = Program::new(&place);
    let list = place.at("team/list").manifest(&tag("v1").into()).await.unwrap();
    let Manifest::Index(index) = list.parse().unwrap() else { panic!("not an index") };
    let (mut digests, mut layers, mut sizes) = <(Value, Value, Value)>::default();
    for entry in &index.manifests {
        let image = place.at("team/list").manifest(&entry.digest.clone().into()).await.unwrap();
        let Manifest::Image(image) = image.parse().unwrap() else { panic!("not an image") };
        let platform = entry.platform.as_ref().unwrap().to_string();
        digests[&platform] = json!(image.config.digest);
        layers[&platform] = image.layers.iter().map(|layer| json!(layer.digest)).collect();
        sizes[&platform] = json!(image.layers.iter().map(|layer| layer.size).sum::<u64>());
    }
    for (command, expected) in [
        ("get-digest team/list v1", digests),
        ("get-alias team/list v1", layers),
        ("blob-size team/list @v1", sizes),
    ] {
        let printed: Value = serde_json::from_str(&dxf.prints(command)).unwrap();
        assert_eq!(printed, expected, "{command}");
    }
    let arm = [("DXF_PLATFORM", "linux/arm64")];
    let (printed, _) = dxf.ends("blob-size team/list @v1", &arm);
    let entry = index.for_platform(&"linux/arm64".parse().unwrap()).unwrap();
    let image = place.at("team/list").manifest(&entry.digest.clone().into()).await.unwrap();
    let Manifest::Image(image) = image.parse().unwrap() else { panic!("not an image") };
    assert_eq!(printed, lines(&[image.layers.iter().map(|layer| layer.size).sum::<u64>()]));
}

#[tokio::test(flavor = "multi_thread")]
async fn dxf_program_reads_credentials_from_its_environment() {
    let place = Place::bearer_over_tls().await;
    let dxf = Program::new(&place);
    let ca = dxf.home.path().join("ca.pem");
    std::fs::write(&ca, place.certificate()).unwrap();
    let (ca, address) = (ca.to_str().unwrap(), place.address.to_string());
    let tags = lines(&place.tags("team/app").await);
    let secure = ("DXF_INSECURE", "0");
    let login = [("DXF_USERNAME", USER), ("DXF_PASSWORD", PASSWORD)];
    for way in [
        vec![("REQUESTS_CA_BUNDLE", ca), login[0], login[1]],
        vec![("DXF_SKIPTLSVERIFY", "1"), login[0], login[1]],
        vec![("DXF_TLSVERIFY", ca), ("DXF_AUTHORIZATION", "Basic dXNlcjpzM2NyZXQ=")],
        vec![("DXF_TLSVERIFY", ca), ("DXF_AUTH_HOST", &address), login[0], login[1]],
        vec![("DXF_TLSVERIFY", ca), ("DXF_PROGRESS", "1"), login[0], login[1]],
    ] {
        let environment: Vec<_> = way.into_iter().chain([secure]).collect();
        let ended = dxf.ends("list-aliases team/app", &environment);
        assert_eq!(ended, (tags.clone(), Some(0)), "{environment:?}");
    }
    // dxf has no exit code for an untrusted certificate. longshore exits with 5.
    let (_, code) = dxf.ends("list-aliases team/app", &[secure, login[0], login[1]]);
    assert_eq!(code, Some(1));
}

#[tokio::test(flavor = "multi_thread")]
async fn dxf_program_accepts_files_instead_of_digests_and_deletes_several_blobs() {
    let place = Place::open().await;
    let dxf = Program::new(&place);
    let blobs = ["a", "b"].map(|name| {
        std::fs::write(dxf.home.path().join(name), name).unwrap();
        dxf.prints(&format!("push-blob files {name}"));
        Descriptor::from_bytes(MediaType::OCTET_STREAM, name.as_bytes())
    });
    // A path with a slash names a file. dxf uses its digest without uploading the file.
    let set = format!("set-alias files both ./a {}", blobs[1].digest);
    assert_eq!(dxf.prints(&set), place.manifest("files", "both").await);
    let manifest = place.at("files").manifest(&tag("both").into()).await.unwrap();
    let Manifest::Image(image) = manifest.parse().unwrap() else { panic!("not an image") };
    let layers: Vec<_> = image.layers.iter().map(|layer| &layer.digest).collect();
    assert_eq!(layers, [&blobs[0].digest, &blobs[1].digest]);

    assert_eq!(dxf.prints("del-alias files both"), lines(&layers));
    let delete = format!("del-blob files {} {}", blobs[0].digest, blobs[1].digest);
    assert_eq!(dxf.prints(&delete), "");
    for blob in &blobs {
        let e = place.at("files").delete_blob(&blob.digest).await.unwrap_err();
        assert_eq!(e.kind(), ErrorKind::NotFound);
    }
    assert_eq!(dxf.ends(&delete, &[]).1, Some(2), "ENOENT (longshore: 3)");
}
