//! Tests that container engines pull, push, save and load the same images as longshore. Images are
//! compared by the digests of their configs and of their unpacked layers.

mod archive;
mod containerd;
mod docker;
mod podman;
mod site;

use std::collections::BTreeSet;
use std::path::Path;

use longshore_testkit::peer::Finished;

use archive::{Format, Stored, stored};
use site::{Packed, Site};

/// A container engine, controlled through its own commands.
trait Engine {
    /// Pulls from a registry, with the credentials and the CA certificate that it requires.
    fn pull(&self, site: &Site, reference: &str) -> Finished;
    /// Pushes to a registry.
    fn push(&self, site: &Site, reference: &str) -> Finished;
    /// Adds a name to an image.
    fn name(&self, image: &str, name: &str);
    /// Removes images.
    fn remove(&self, names: &[&str]);
    /// Returns the digest of an image's config.
    fn id(&self, name: &str) -> String;
    /// Writes images into one archive.
    fn save(&self, format: Format, names: &[&str], archive: &Path);
    /// Loads the images of an archive and returns their names.
    fn load(&self, archive: &Path) -> Vec<String>;
}

/// Checks that the engine pulls an image from `longshore serve` and pushes the same image.
fn pulls_and_pushes(engine: &impl Engine, site: &Site) {
    let packed = Packed::new(&site.program, 1);
    let (app, back) = (site.reference("team/app:v1"), site.reference("back/app:v2"));
    site.ok(&format!("push -q {} {app}", packed.location));
    engine.pull(site, &app).succeeded();
    assert_eq!(engine.id(&app), packed.stored.id);
    let saved = site.program.path("pulled.tar");
    engine.save(Format::Docker, &[&app], &saved);
    assert_eq!(stored(&saved, Format::Docker), BTreeSet::from([packed.stored.clone()]));

    engine.name(&app, &back);
    engine.push(site, &back).succeeded();
    let pushed = site.program.path("pushed.tar");
    site.ok(&format!("pull -q {back} docker-archive:{}", pushed.display()));
    assert_eq!(stored(&pushed, Format::Docker), BTreeSet::from([packed.stored]));
}

/// Checks that images stay the same from the engine's archive, through our registry, to an archive
/// that the engine loads.
fn keeps_what_it_saved(engine: &impl Engine, format: Format, images: &[&str]) {
    let site = Site::open();
    let packed: Vec<Packed> =
        (1..).zip(images).map(|(n, _)| Packed::new(&site.program, n)).collect();
    let expected: BTreeSet<Stored> = packed.iter().map(|image| image.stored.clone()).collect();
    let names: Vec<String> = images.iter().map(|image| site.reference(image)).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    for (image, name) in packed.iter().zip(&names) {
        site.ok(&format!("push -q {} {name}", image.location));
        engine.pull(&site, name).succeeded();
    }
    let saved = site.program.path("saved.tar");
    engine.save(format, &names, &saved);
    engine.remove(&names);
    assert_eq!(stored(&saved, format), expected, "the engine's archive");

    let again = site.program.path("again.tar");
    travel(&site, format, images, &saved, &again);
    assert_eq!(stored(&again, format), expected, "longshore's archive");
    let mut loaded = engine.load(&again);
    loaded.sort();
    if format == Format::Docker {
        assert_eq!(
            loaded,
            images.iter().map(|i| site.reference(&format!("new/{i}"))).collect::<Vec<_>>()
        );
    }
    let ids: BTreeSet<String> = loaded.iter().map(|name| engine.id(name)).collect();
    assert_eq!(ids, expected.iter().map(|image| image.id.clone()).collect());
    let loaded: Vec<&str> = loaded.iter().map(String::as_str).collect();
    let last = site.program.path("last.tar");
    engine.save(format, &loaded, &last);
    assert_eq!(stored(&last, format), expected, "the loaded images");
}

/// Pushes the images of an archive below `new`, and pulls them into another archive.
fn travel(site: &Site, format: Format, images: &[&str], from: &Path, to: &Path) {
    let (scheme, from, to) = (format.scheme(), from.display(), to.display());
    for image in images {
        let (source, target) = (site.reference(image), site.reference(&format!("new/{image}")));
        let tag = image.rsplit(':').next().unwrap();
        match format {
            Format::Docker => site.ok(&format!("push -q {scheme}:{from}:{source} {target}")),
            Format::Oci => {
                site.ok(&format!("push -q {scheme}:{from}:{tag} {target}"));
                site.ok(&format!("pull -q {target} {scheme}:{to}:{tag}"))
            }
        };
    }
    if format == Format::Docker {
        let all = images.iter().map(|image| site.reference(&format!("new/{image}")));
        let all = all.collect::<Vec<_>>().join(" ");
        site.ok(&format!("pull -q {all} {scheme}:{to}"));
    }
}
