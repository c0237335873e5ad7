//! `kill -9` of either end, at any moment: nothing incomplete is ever seen.

use std::time::Duration;

use longshore::{Layout, Tag};
use longshore_testkit::fixture::{Image, Layer};
use longshore_testkit::process::Process;
use longshore_testkit::random;

use crate::program::{DEADLINE, Program};

/// An image of four layers of 4 MiB, in a layout of the home.
fn packed(program: &Program) -> String {
    let mut image = Image::new("linux/amd64".parse().unwrap());
    for seed in 0..4 {
        image = image.layer(Layer::plain(&random::bytes(seed, 4 << 20)));
    }
    let path = program.path("packed");
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
        let layout = Layout::create(&path).await.unwrap();
        image.build().push(&layout, Some(&Tag::parse("v1").unwrap())).await;
    });
    format!("oci:{}:v1", path.display())
}

#[test]
fn a_killed_pull_leaves_no_tag_and_the_next_one_completes() {
    let program = Program::new();
    let server = program.serve(None);
    let app = format!("{}/app:v1", server.address);
    program.ok(&format!("push -q {} {app}", packed(&program)));
    let digest = program.ok(&format!("digest {app}"));
    let target = program.local("oci", "pulled");
    for milliseconds in [1, 3, 6, 10, 15, 20, 30, 45] {
        let mut command = program.command();
        let mut pull = Process::start(command.args(["pull", "-q", &app, &format!("{target}:v1")]));
        std::thread::sleep(Duration::from_millis(milliseconds));
        pull.kill();
        if !program.path("pulled/index.json").exists() {
            continue;
        }
        // What is listed is whole: it can be pushed, which reads and checks everything.
        for tag in program.ok(&format!("ls {target}")).lines() {
            program.ok(&format!("push -q {target}:{tag} {}/check:{tag}", server.address));
        }
    }
    program.ok(&format!("pull -q {app} {target}:v1"));
    assert_eq!(program.ok(&format!("digest {target}:v1")), digest);
}

#[test]
fn a_killed_registry_has_everything_it_acknowledged() {
    let program = Program::new();
    let source = packed(&program);
    let digest = program.ok(&format!("digest {source}"));
    for milliseconds in [5, 20, 40, 80] {
        let mut server = program.serve(Some("registry"));
        let app = format!("{}/app", server.address);
        let mut command = program.command();
        let mut push = Process::start(command.args([
            "push",
            "-q",
            &source,
            &format!("{app}:m{milliseconds}"),
        ]));
        std::thread::sleep(Duration::from_millis(milliseconds));
        server.process.kill();
        push.kill();
        let server = program.serve(Some("registry"));
        let app = format!("{}/app", server.address);
        // A tag that shows stands for an image that is all there.
        for tag in program.run(["ls", app.as_str()]).stdout.lines() {
            let target = program.local("oci", &format!("check-{milliseconds}"));
            program.ok(&format!("pull -q {app}:{tag} {target}"));
        }
        // And the next push completes.
        program.ok(&format!("push -q {source} {app}:acknowledged-{milliseconds}"));
    }
    let mut server = program.serve(Some("registry"));
    let tags = program.ok(&format!("ls {}/app", server.address));
    assert_eq!(tags.matches("acknowledged-").count(), 4, "{tags}");
    for tag in tags.lines() {
        assert_eq!(program.ok(&format!("digest {}/app:{tag}", server.address)), digest);
    }
    assert!(server.process.terminate(DEADLINE).success(), "SIGTERM ends it cleanly");
}
