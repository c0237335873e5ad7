//! Stores opened by their locations, and copies between them.

use std::path::Path;
use std::sync::Arc;

use longshore::{
    Client, CopyFailure, CopyOptions, Digest, ErrorKind, Location, Stores, Tag, Transfer, blocking,
};
use longshore_registry::TestRegistry;
use longshore_testkit::fixture::Image;

/// Starts a registry whose repository `a/b` has two images, with the tags `v1` and `v2`.
async fn registry() -> (TestRegistry, Client) {
    let (registry, client) = (TestRegistry::start().await.unwrap(), Client::new());
    let repository = client.repository(&format!("{}/a/b", registry.address()).parse().unwrap());
    for seed in [1, 2] {
        let tag = Tag::parse(&format!("v{seed}")).unwrap();
        Image::small(seed).build().push(&repository, Some(&tag)).await;
    }
    (registry, client)
}

fn at(kind: &str, folder: &Path, rest: &str) -> Location {
    format!("{kind}:{}/{rest}", folder.display()).parse().unwrap()
}

async fn digest(stores: &Stores, location: &Location) -> Digest {
    let located = stores.locate(location).await.unwrap();
    located.source.resolve(&located.selector).await.unwrap().digest
}

async fn run(stores: &Stores, transfers: &[Transfer]) -> longshore::TransferReport {
    stores.transfer(transfers, Arc::new(|_| {})).await.unwrap()
}

#[tokio::test]
async fn an_image_is_copied_between_registries_layouts_and_archives() {
    let (registry, client) = registry().await;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    let image = |name: &str| format!("{}/{name}", registry.address()).parse::<Location>().unwrap();
    let way = [
        image("a/b:v1"),
        at("oci", path, "layout"),
        at("oci", path, "layout:example.org/team/app:v9"),
        at("oci-archive", path, "archive.tar"),
        image("c/d"),
    ];
    let source = digest(&client.stores(), &way[0]).await;
    let mut from = &way[0];
    for to in &way[1..] {
        let copied = client.copy(from, to, CopyOptions::default()).await;
        assert_eq!(copied.unwrap().root.digest, source, "{from} to {to}");
        from = to;
    }
    // The name in the layout is a reference. The image gets the tag of this reference at the
    // registry.
    assert_eq!(digest(&client.stores(), &image("c/d:v9")).await, source);
    let names = client.stores().names(&at("oci", path, "layout")).await.unwrap();
    let names: Vec<String> = names.iter().map(|image| image.name.to_string()).collect();
    assert_eq!(names, ["example.org/team/app:v9", "v1"]);
}

#[tokio::test]
async fn transfers_share_an_archive_and_report_failures() {
    let (registry, client) = registry().await;
    let folder = tempfile::tempdir().unwrap();
    let target = at("docker-archive", folder.path(), "images.tar");
    let names = ["a/b:v1", "a/b:v9", "a/b:v2"].map(|name| {
        let source = format!("{}/{name}", registry.address()).parse().unwrap();
        Transfer::new(source, target.clone())
    });
    let report = run(&client.stores(), &names).await;
    let targets: Vec<String> = report.copies.iter().map(|copy| copy.target.to_string()).collect();
    let expected = ["v1", "v2"].map(|tag| format!("{target}:{}/a/b:{tag}", registry.address()));
    assert_eq!(targets, expected);
    let [failure] = &report.failures[..] else { panic!("{report:?}") };
    assert!(failure.is_tried());
    assert_eq!((failure.error.kind(), &failure.source), (ErrorKind::NotFound, &names[1].source));
    let references = client.stores().references(&target).await.unwrap();
    assert_eq!(references.len(), 2);
}

#[tokio::test]
async fn an_archive_is_not_created_if_every_copy_fails() {
    let (registry, client) = registry().await;
    let folder = tempfile::tempdir().unwrap();
    let target = at("oci-archive", folder.path(), "none.tar");
    let missing = ["a/b:v8", "a/b:v9"].map(|name| {
        let source = format!("{}/{name}", registry.address()).parse().unwrap();
        Transfer::new(source, target.clone())
    });
    let report = run(&client.stores(), &missing).await;
    assert_eq!((report.copies.len(), report.failures.len()), (0, 2));
    let alone = client.copy(&missing[0].source, &target, CopyOptions::default()).await;
    assert_eq!(alone.unwrap_err().kind(), ErrorKind::NotFound);
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[tokio::test]
async fn copying_all_tags_is_refused_if_a_location_has_a_tag() {
    let (registry, client) = registry().await;
    let folder = tempfile::tempdir().unwrap();
    let source: Location = format!("{}/a/b", registry.address()).parse().unwrap();
    let target = at("oci", folder.path(), "layout");
    let mut all = Transfer::new(source, target.clone());
    all.all_tags = true;
    assert_eq!(run(&client.stores(), &[all.clone()]).await.copies.len(), 2);
    assert_eq!(client.stores().tags(&target).await.unwrap().len(), 2);
    all.target = target.with_tag(&Tag::latest());
    let refused = client.stores().transfer(&[all], Arc::new(|_| {})).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Invalid);
    let why = std::error::Error::source(&refused).unwrap().to_string();
    assert!(why.contains("no tag or digest"), "{why}");
}

#[tokio::test]
async fn a_failure_names_its_image_once() {
    let (registry, client) = registry().await;
    let source: Location = format!("{}/a/b:v9", registry.address()).parse().unwrap();
    let transfers = ["oci:unused", "oci:other"]
        .map(|target| Transfer::new(source.clone(), target.parse().unwrap()));
    let report = run(&client.stores(), &transfers).await;
    let messages: Vec<String> = report.failures.iter().map(CopyFailure::to_string).collect();
    assert_eq!(messages[0].matches("a/b:v9").count(), 1, "{messages:?}");
    assert!(messages[0].starts_with(&format!("{source}: source: not found")), "{messages:?}");
}

#[tokio::test]
async fn local_places_need_no_client() {
    let folder = tempfile::tempdir().unwrap();
    let stores = Stores::with_client(|| Err(longshore::Error::new(ErrorKind::Invalid)));
    let layout = at("oci", folder.path(), "layout:v1");
    let target = stores.create(&layout).await.unwrap();
    Image::small(1).build().push(&*target, Some(&Tag::parse("v1").unwrap())).await;
    let archive = at("oci-archive", folder.path(), "archive.tar");
    let copy = Transfer::new(layout.clone(), archive.clone());
    run(&stores, &[copy]).await;
    assert_eq!(digest(&stores, &archive).await, digest(&stores, &layout).await);
    let registry = stores.open(&"r.example/a/b".parse().unwrap()).await;
    assert_eq!(registry.unwrap_err().kind(), ErrorKind::Invalid);
}

#[test]
fn an_image_is_copied_without_async() {
    let (registry, _client) = blocking::wait(async { Ok(registry().await) }).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let client = blocking::Client::new();
    let source = format!("{}/a/b:v1", registry.address()).parse().unwrap();
    let target = at("oci", folder.path(), "layout");
    let copied = client.copy(&source, &target, CopyOptions::default()).unwrap();
    let tags = client.stores().open(&target).unwrap().tags(None).all().unwrap();
    assert_eq!((tags, copied.stats.manifests_sent), (vec![Tag::parse("v1").unwrap()], 1));
}
