//! The store suites for the stores of longshore-core, and a copy of a real image through these
//! stores.

#![allow(clippy::unwrap_used, reason = "tests fail by panicking")]

use std::sync::Arc;

use longshore_core::{Copier, Layout, Memory, Tag};
use longshore_testkit::suite::Fresh;
use longshore_testkit::{delete_suite, fixture};

delete_suite!(memory, async || Fresh::of(Memory::new()));

delete_suite!(layout, async || {
    let folder = tempfile::tempdir().unwrap();
    let layout = Layout::create(folder.path()).await.unwrap();
    Fresh::keeping(layout, folder)
});

#[tokio::test]
async fn a_real_image_is_copied_unchanged() {
    let image = fixture::real_image();
    let v1 = Tag::parse("v1").unwrap();
    let packed = Memory::new();
    image.push(&packed, Some(&v1)).await;

    let folder = tempfile::tempdir().unwrap();
    let layout = Layout::create(folder.path()).await.unwrap();
    let back = Memory::new();
    let to_layout = Copier::new(Arc::new(packed), Arc::new(layout.clone()));
    to_layout.copy(&v1.clone().into(), Some(&v1)).await.unwrap();
    let from_layout = Copier::new(Arc::new(layout), Arc::new(back.clone()));
    from_layout.copy(&v1.clone().into(), Some(&v1)).await.unwrap();
    image.assert_in(&back, &v1.into()).await;
}
