//! The contract of the store traits, as tests that every store runs. Needs the feature `test-suite`.
//!
//! ```
//! use longshore_core::{Memory, delete_suite, test_suite::Fresh};
//!
//! // One line makes a test of every sentence of the contract.
//! delete_suite!(memory, async || Fresh::of(Memory::new()));
//! ```
//!
//! Owns one function for each sentence of the contract in [`Source`](crate::Source), [`Target`] and
//! [`Delete`], the macros that make named tests of them, and the images that they push. Where a store may
//! choose (whether it checks the children of a manifest, whether it ever removes a blob), the functions
//! accept either way.

#![allow(
    clippy::expect_used,
    clippy::missing_panics_doc,
    clippy::unwrap_used,
    reason = "a failed test is a panic"
)]

mod content;
pub mod delete;
mod image;
mod layer;
pub mod random;
pub mod source;
pub mod target;

pub use content::Content;
pub use image::Image;
pub use layer::{Layer, layer_tar};

use std::any::Any;
use std::fmt;
use std::sync::Arc;

use crate::{Delete, Tag, Target};

/// A new, empty store, and what must live as long as it does: its folder, its server.
pub struct Fresh<S: ?Sized> {
    store: Arc<S>,
    keep: Box<dyn Any>,
}

impl Fresh<dyn Delete> {
    /// A store that stands by itself.
    #[must_use]
    pub fn of(store: impl Delete + 'static) -> Self {
        Self::keeping(store, ())
    }

    /// A store, and what is dropped after it.
    #[must_use]
    pub fn keeping(store: impl Delete + 'static, keep: impl Any) -> Self {
        Self::shared(Arc::new(store), keep)
    }

    /// A store of a kind that only its maker can name, and what is dropped after it.
    #[must_use]
    pub fn shared(store: Arc<dyn Delete>, keep: impl Any) -> Self {
        Self { store, keep: Box::new(keep) }
    }
}

impl Fresh<dyn Target> {
    /// A store that nothing can be removed from, and what is dropped after it.
    #[must_use]
    pub fn without_delete(store: impl Target + 'static, keep: impl Any) -> Self {
        Self { store: Arc::new(store), keep: Box::new(keep) }
    }
}

impl<S: ?Sized> fmt::Debug for Fresh<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Fresh(..)")
    }
}

/// Runs one test on a new store, on a runtime of two threads.
pub fn run<S: ?Sized>(make: impl AsyncFnOnce() -> Fresh<S>, test: impl AsyncFnOnce(Arc<S>)) {
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        let Fresh { store, keep } = make().await;
        test(store).await;
        drop(keep);
    });
}

fn tag(text: &str) -> Tag {
    Tag::parse(text).unwrap()
}

/// Makes a test of each function named: the machinery of the suites' macros.
#[doc(hidden)]
#[macro_export]
macro_rules! suite_tests {
    ($suite:ident, $make:expr, [$($test:ident),* $(,)?]) => {
        $(
            #[test]
            fn $test() {
                $crate::test_suite::run($make, async |store| {
                    $crate::test_suite::$suite::$test(store).await;
                });
            }
        )*
    };
}

/// Tests of a store that can be written and read: `target_suite!(name, async || Fresh<dyn Target>)`.
#[macro_export]
macro_rules! target_suite {
    ($name:ident, $make:expr) => {
        mod $name {
            #[allow(
                unused_imports,
                clippy::wildcard_imports,
                reason = "for what `make` names"
            )]
            use super::*;

            $crate::suite_tests!(
                source,
                $make,
                [
                    blobs_of_every_size_come_back,
                    a_blob_that_is_not_there_is_not_found_at_once,
                    a_blob_of_another_size_never_comes_out_whole,
                    parts_of_a_blob_are_its_bytes,
                    a_part_beyond_the_end_is_invalid,
                    a_manifest_is_its_exact_bytes,
                    what_nobody_pushed_is_not_found,
                    tags_are_ordered_and_start_after_one,
                    many_tags_come_each_once,
                    referrers_are_listed_and_filtered,
                    nothing_refers_to_what_nobody_refers_to,
                ]
            );
            $crate::suite_tests!(
                target,
                $make,
                [
                    what_was_pushed_is_held,
                    every_kind_of_body_arrives,
                    a_damaged_push_leaves_nothing,
                    a_damaged_push_does_not_harm_what_is_there,
                    a_broken_stream_leaves_nothing,
                    every_computable_digest_is_accepted,
                    pushing_twice_is_pushing_once,
                    parallel_pushes_of_one_blob_agree,
                    parallel_pushes_of_many_blobs_all_arrive,
                    parallel_tags_are_all_kept,
                    a_tag_moves_and_the_old_manifest_stays,
                    a_push_without_tag_names_nothing,
                    an_index_comes_with_its_children,
                    a_manifest_without_its_children_shows_whole_or_not_at_all,
                    a_referrer_may_come_before_its_subject,
                    a_mount_from_nowhere_fails,
                    what_cannot_be_mounted_is_sent,
                ]
            );
        }
    };
}

/// Tests of a store that things can be removed from, too: `delete_suite!(name, async || Fresh::of(..))`.
#[macro_export]
macro_rules! delete_suite {
    ($name:ident, $make:expr) => {
        mod $name {
            #[allow(
                unused_imports,
                clippy::wildcard_imports,
                reason = "for what `make` names"
            )]
            use super::*;

            $crate::target_suite!(target, $make);
            $crate::suite_tests!(
                delete,
                $make,
                [
                    an_untag_leaves_the_siblings,
                    a_deleted_manifest_takes_its_tags,
                    a_deleted_referrer_is_listed_no_more,
                    a_deleted_blob_is_gone,
                    what_is_not_there_cannot_be_deleted,
                    what_was_deleted_can_come_back,
                ]
            );
        }
    };
}
