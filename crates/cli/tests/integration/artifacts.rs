//! Files as tagged artifacts, and manifests made from existing blobs.

use serde_json::Value;

use crate::program::Program;

fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

#[test]
fn files_are_pushed_listed_and_pulled_as_an_artifact() {
    let program = Program::new();
    let server = program.serve(None);
    let notes = format!("{}/notes:v1", server.address);
    std::fs::write(program.path("notes.txt"), "remember the milk").unwrap();
    std::fs::write(program.path("data.bin"), [0_u8; 1000]).unwrap();
    let digest = program.ok(&format!(
        "artifact push {notes} notes.txt:text/plain data.bin --annotation org.example.by=me"
    ));
    assert_eq!(digest, program.ok(&format!("digest {notes}")));
    let again = program.ok(&format!(
        "artifact push {notes} notes.txt:text/plain data.bin --annotation org.example.by=me"
    ));
    assert_eq!(again, digest, "equal files make equal manifests");

    let listed = program.ok(&format!("artifact ls {notes}"));
    assert!(listed.lines().next().unwrap().ends_with("notes.txt"), "{listed}");
    let listed = json(&program.ok(&format!("artifact ls {notes} --json")));
    assert_eq!(listed["files"][0]["mediaType"], "text/plain");
    assert_eq!(listed["files"][1]["size"], 1000);

    let written = program.ok(&format!("artifact pull {notes} --output back"));
    assert_eq!(written.lines().count(), 2, "{written}");
    let back = std::fs::read_to_string(program.path("back/notes.txt")).unwrap();
    assert_eq!(back, "remember the milk");
    assert_eq!(std::fs::read(program.path("back/data.bin")).unwrap(), [0; 1000]);
    let twice = program.fails(1, &format!("artifact push {notes} notes.txt back/notes.txt"));
    assert!(twice.contains("two files"), "{twice}");
}

#[test]
fn a_pull_refuses_a_title_that_leads_out_of_the_folder() {
    let program = Program::new();
    let server = program.serve(None);
    let evil = format!("{}/evil", server.address);
    std::fs::write(program.path("x"), "x").unwrap();
    let blob = program.ok(&format!("blob put {evil} x"));
    let empty = program.path("empty");
    std::fs::write(&empty, "{}").unwrap();
    program.ok(&format!("blob put {evil} empty"));
    let manifest = serde_json::json!({
        "schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "artifactType": "application/vnd.example",
        "config": {"mediaType": "application/vnd.oci.empty.v1+json", "size": 2,
                   "digest": longshore::Digest::sha256(b"{}")},
        "layers": [{"mediaType": "a/b", "digest": blob, "size": 1,
                    "annotations": {"org.opencontainers.image.title": "../outside"}}],
    });
    let put = program
        .run_with(["manifest", "put", &format!("{evil}:v1"), "-"], manifest.to_string().as_bytes());
    assert_eq!(put.code, 0, "{put:?}");
    std::fs::create_dir(program.path("in")).unwrap();
    let told = program.run(["artifact", "pull", &format!("{evil}:v1"), "--output", "in"]);
    assert_eq!(told.code, 1, "the error is not a usage error: {told:?}");
    assert!(told.stderr.contains("../outside"), "{told:?}");
    assert!(!program.path("outside").exists());
    assert_eq!(std::fs::read_dir(program.path("in")).unwrap().count(), 0);
    // A file named on the command line is written regardless of the title.
    program.ok(&format!("artifact pull {evil}:v1 --output chosen"));
    assert_eq!(std::fs::read_to_string(program.path("chosen")).unwrap(), "x");
}

#[test]
fn artifact_make_tags_existing_blobs_and_untag_keeps_the_blobs() {
    let program = Program::new();
    let server = program.serve(None);
    let data = format!("{}/data", server.address);
    for (name, content) in [("one", "first"), ("two", "second")] {
        std::fs::write(program.path(name), content).unwrap();
    }
    let one = program.ok(&format!("blob put {data} one"));
    let two = program.ok(&format!("blob put {data} two"));
    let made = program.ok(&format!("artifact make {data}:alias {one} {two}=text/plain"));
    assert_eq!(program.ok(&format!("digest {data}:alias")), made);
    let listed = json(&program.ok(&format!("artifact ls {data}:alias --json")));
    let digests: Vec<&str> =
        listed["files"].as_array().unwrap().iter().map(|f| f["digest"].as_str().unwrap()).collect();
    assert_eq!(digests, [one.as_str(), two.as_str()]);
    assert_eq!(listed["files"][0]["size"], 5, "the size comes from the registry");
    let moved = program.ok(&format!("artifact make {data}:alias {two}"));
    assert_ne!(moved, made);
    program.ok(&format!("untag {data}:alias"));
    program.fails(3, &format!("digest {data}:alias"));
    assert_eq!(program.ok(&format!("blob get {data}@{one}")), "first", "the blobs stay");

    let missing = longshore::Digest::sha256(b"missing");
    program.fails(3, &format!("artifact make {data}:alias {missing}"));
    let untitled = program.ok(&format!("artifact make {data}:plain {one}"));
    let written = program.ok(&format!("artifact pull {data}@{untitled} --output plain/"));
    assert!(written.ends_with(&format!("plain/{}", one.replace(':', "-"))), "{written}");
    assert_eq!(std::fs::read_to_string(&written).unwrap(), "first");
}

#[test]
fn an_image_is_made_from_existing_blobs() {
    let program = Program::new();
    let server = program.serve(None);
    let app = format!("{}/app", server.address);
    let layer = longshore_testkit::fixture::Layer::plain(&longshore_testkit::fixture::layer_tar(
        &[("a", b"a")],
    ));
    let config = serde_json::json!({
        "os": "linux", "architecture": "amd64",
        "rootfs": {"type": "layers", "diff_ids": [layer.diff_id]},
    });
    std::fs::write(program.path("config"), config.to_string()).unwrap();
    std::fs::write(program.path("layer"), &layer.content).unwrap();
    let config = program.ok(&format!("blob put {app} config"));
    let layer = program.ok(&format!("blob put {app} layer"));
    program.ok(&format!(
        "artifact make {app}:v1 --image-config {config} {layer}=application/vnd.oci.image.layer.v1.tar"
    ));
    let listed = json(&program.ok(&format!("platforms {app}:v1 --json")));
    assert_eq!(listed["platforms"][0]["platform"]["os"], "linux");
    program.ok(&format!("layer {app}:v1 1 --unpack -o out.tar"));
}

#[test]
fn several_images_are_saved_to_one_docker_archive_and_pushed_from_it() {
    use longshore_testkit::fixture::Image;
    let program = Program::new();
    let server = program.serve(None);
    let address = &server.address;
    let mut configs = Vec::new();
    for (seed, name) in [(1, "a/one:v1"), (2, "two:v2")] {
        let content = Image::small(seed).build();
        configs.push(content.blobs[0].0.digest.to_string());
        let path = program.path(&format!("packed{seed}"));
        tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
            let layout = longshore::Layout::create(&path).await.unwrap();
            content.push(&layout, Some(&longshore::Tag::parse("v1").unwrap())).await;
        });
        program.ok(&format!("push -q oci:{}:v1 {address}/{name}", path.display()));
    }
    let archive = program.local("docker-archive", "both.tar");
    let saved =
        program.ok(&format!("pull -q {address}/a/one:v1 {address}/two:v2 {archive} --json"));
    assert_eq!(json(&saved)["copies"].as_array().unwrap().len(), 2);

    let config = |place: &str| program.ok(&format!("manifest get {place} --field .config.digest"));
    assert_eq!(config(&format!("{archive}:@0")), configs[0]);
    assert_eq!(config(&format!("{archive}:{address}/two:v2")), configs[1]);
    let which = program.fails(6, &format!("digest {archive}"));
    assert!(which.contains(":@0"), "{which}");
    program.fails(3, &format!("digest {archive}:@2"));

    program.ok(&format!("push -q {archive}:@1 {address}/third:v3"));
    assert_eq!(config(&format!("{address}/third:v3")), configs[1]);
    program.ok(&format!("push -q {archive} {address}/mirror --all-images"));
    assert_eq!(config(&format!("{address}/mirror/a/one:v1")), configs[0]);
    assert_eq!(config(&format!("{address}/mirror/two:v2")), configs[1]);
    assert!(crate::program::leftovers(&program.path("")).is_empty());
}

#[test]
fn artifact_pull_writes_blobs_without_titles() {
    let program = Program::new();
    let server = program.serve(None);
    let data = format!("{}/data", server.address);
    let digests = ["first ", "second"].map(|content| {
        std::fs::write(program.path("blob"), content).unwrap();
        program.ok(&format!("blob put {data} blob"))
    });
    let [one, two] = &digests;
    program.ok(&format!("artifact make {data}:v1 {one} {two}=text/plain {one}"));
    let listed = program.ok(&format!("artifact ls {data}:v1 --quiet"));
    assert_eq!(listed, format!("{one}\n{two}\n{one}"));

    let written = program.ok(&format!("artifact pull {data}:v1 --output all"));
    assert_eq!(written.lines().count(), 2, "a blob listed twice is written once: {written}");
    for (digest, content) in digests.iter().zip(["first ", "second"]) {
        let file = program.path("all").join(digest.replace(':', "-"));
        assert_eq!(std::fs::read_to_string(file).unwrap(), content);
    }
    let all = program.ok(&format!("artifact pull {data}:v1 --output -"));
    assert_eq!(all, "first secondfirst", "the blobs are in the manifest's order");

    // --layer selects one blob, and --output names its file.
    for (layer, content) in [("text/plain", "second"), ("2", "second"), ("3", "first ")] {
        program.ok(&format!("artifact pull {data}:v1 --layer {layer} -o chosen"));
        assert_eq!(std::fs::read_to_string(program.path("chosen")).unwrap(), content, "{layer}");
    }
    let both = program.ok(&format!("artifact pull {data}:v1 --layer 1 --layer text/plain -o -"));
    assert_eq!(both, "first second");
    for missing in ["4", "image/png"] {
        let told = program.fails(3, &format!("artifact pull {data}:v1 --layer {missing}"));
        assert!(told.contains(missing) && told.contains("3 blobs"), "{told}");
    }
    for wrong in ["0", "no type"] {
        let told = program.run(["artifact", "pull", &format!("{data}:v1"), "--layer", wrong]);
        assert_eq!(told.code, 2, "{told:?}");
    }
}

#[test]
fn the_current_folder_is_pushed_and_pulled_as_an_artifact() {
    let program = Program::new();
    let server = program.serve(None);
    let site = format!("{}/site:v1", server.address);
    let tree = program.path("tree");
    std::fs::create_dir_all(tree.join("deep")).unwrap();
    std::fs::write(tree.join("deep/page"), "hello").unwrap();
    for folder in [".", "./", "./."] {
        let mut command = program.command();
        command.current_dir(&tree).args(["artifact", "push", &site, folder]);
        let pushed = crate::program::run_command(&mut command, b"");
        assert_eq!(pushed.code, 0, "{pushed:?}");
        let layer = json(&program.ok(&format!("manifest get {site} --field .layers[0]")));
        assert_eq!(layer["annotations"]["org.opencontainers.image.title"], ".", "{folder}");
    }
    for (target, page) in [("--output back", "back/deep/page"), ("", "deep/page")] {
        program.ok(&format!("artifact pull {site} {target}"));
        assert_eq!(std::fs::read_to_string(program.path(page)).unwrap(), "hello", "{target}");
    }
    let told = program.fails(1, &format!("artifact push {site} . tree"));
    assert!(
        told.contains("another title is a path below it"),
        "a pull would refuse the artifact: {told}"
    );
    // The title "." cannot name a file, so the archive is named by its digest.
    let kept = program.ok(&format!("artifact pull {site} --no-unpack --output kept/"));
    assert!(kept.contains("kept/sha256-"), "{kept}");
    assert!(crate::program::leftovers(&program.path("")).is_empty());
}

#[cfg(unix)]
#[test]
fn push_and_pull_keep_the_files_links_and_modes_of_a_folder() {
    use std::os::unix::fs::{PermissionsExt, symlink};
    let program = Program::new();
    let server = program.serve(None);
    let site = format!("{}/site:v1", server.address);
    let public = program.path("public");
    std::fs::create_dir_all(public.join("deep/empty")).unwrap();
    std::fs::write(public.join("index.html"), "hello").unwrap();
    std::fs::write(public.join("run"), "#!/bin/sh").unwrap();
    std::fs::set_permissions(public.join("run"), PermissionsExt::from_mode(0o4755)).unwrap();
    std::fs::hard_link(public.join("index.html"), public.join("deep/same.html")).unwrap();
    symlink("../index.html", public.join("deep/link.html")).unwrap();
    std::fs::write(program.path("notes.txt"), "notes").unwrap();

    let digest = program.ok(&format!("artifact push {site} public notes.txt"));
    std::fs::write(public.join("index.html"), "hello").unwrap();
    let again = program.ok(&format!("artifact push {site} public/ notes.txt"));
    assert_eq!(again, digest, "equal folders make equal manifests");
    let layer =
        |field: &str| program.ok(&format!("manifest get {site} --field .layers[0].{field}"));
    assert_eq!(layer("mediaType"), "application/vnd.oci.image.layer.v1.tar+gzip");
    let annotations = json(&layer("annotations"));
    assert_eq!(annotations["org.opencontainers.image.title"], "public");
    assert_eq!(annotations["io.deis.oras.content.unpack"], "true");

    let written = program.ok(&format!("artifact pull {site} --output back"));
    let lines: Vec<_> = written.lines().map(|line| line.rsplit('/').next().unwrap()).collect();
    assert_eq!(lines, ["public", "notes.txt"]);
    let back = program.path("back/public");
    assert_eq!(std::fs::read_to_string(back.join("deep/same.html")).unwrap(), "hello");
    let link = std::fs::read_link(back.join("deep/link.html")).unwrap();
    assert_eq!(link.to_str(), Some("../index.html"));
    assert!(back.join("deep/empty").is_dir());
    let mode = |name| std::fs::metadata(back.join(name)).unwrap().permissions().mode() & 0o7777;
    assert_eq!((mode("run"), mode("index.html") & 0o111), (0o755, 0), "the setuid bit is not kept");

    // Unpacking over an existing folder keeps files that the archive does not have.
    std::fs::write(back.join("own"), "mine").unwrap();
    std::fs::write(back.join("index.html"), "changed").unwrap();
    program.ok(&format!("artifact pull {site} --output back"));
    assert_eq!(std::fs::read_to_string(back.join("own")).unwrap(), "mine");
    assert_eq!(std::fs::read_to_string(back.join("index.html")).unwrap(), "hello");

    program.ok(&format!("artifact pull {site} --no-unpack --layer 1 --output public.tar.gz"));
    program.ok(&format!("artifact pull {site} --no-unpack --output kept"));
    let kept = std::fs::read(program.path("kept/public")).unwrap();
    assert_eq!(kept, std::fs::read(program.path("public.tar.gz")).unwrap());
    assert_eq!(kept[..2], [0x1f, 0x8b]);
    assert_eq!(kept[4..8], [0; 4], "the gzip header has no time");

    symlink("/etc/passwd", public.join("out")).unwrap();
    let told = program.fails(1, &format!("artifact push {site} public"));
    assert!(told.contains("out") && told.contains("absolute"), "{told}");
    assert!(crate::program::leftovers(&program.path("")).is_empty());
}
