//! The contract of the store traits, as tests for every store. Requires the feature `test-suite`.
//!
//! ```
//! use longshore_core::{Memory, delete_suite, test_suite::Fresh};
//!
//! // One line creates a test for each rule of the contract.
//! delete_suite!(memory, async || Fresh::of(Memory::new()));
//! ```
//!
//! Owns one function for each rule of the contract in [`Source`](crate::Source), [`Target`] and
//! [`Delete`], the macros that create named tests from these functions, and the images that the
//! tests push. Stores may behave differently in some points. For example, some stores check the
//! children of a manifest, and some never remove blobs. The functions accept every allowed
//! behavior.

#![allow(
    clippy::expect_used,
    clippy::missing_panics_doc,
    clippy::unwrap_used,
    reason = "tests fail by panicking"
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

/// A new, empty store, and values that must live as long as the store, such as its folder or its
/// server.
pub struct Fresh<S: ?Sized> {
    store: Arc<S>,
    keep: Box<dyn Any>,
}

impl Fresh<dyn Delete> {
    /// Wraps a store that requires no other value.
    #[must_use]
    pub fn of(store: impl Delete + 'static) -> Self {
        Self::keeping(store, ())
    }

    /// Wraps a store, and a value that is dropped after the store.
    #[must_use]
    pub fn keeping(store: impl Delete + 'static, keep: impl Any) -> Self {
        Self::shared(Arc::new(store), keep)
    }

    /// Wraps a shared store, and a value that is dropped after the store.
    #[must_use]
    pub fn shared(store: Arc<dyn Delete>, keep: impl Any) -> Self {
        Self { store, keep: Box::new(keep) }
    }
}

impl Fresh<dyn Target> {
    /// Wraps a store that does not delete content, and a value that is dropped after the store.
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

/// Runs one test with a new store, on a runtime with two threads.
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

/// Creates a test for each named function. The macros of the suites use this macro.
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

/// Creates the tests for a store that can be read and written: `target_suite!(name, async ||
/// Fresh<dyn Target>)`.
#[macro_export]
macro_rules! target_suite {
    ($name:ident, $make:expr) => {
        mod $name {
            #[allow(
                unused_imports,
                clippy::wildcard_imports,
                reason = "for the names used in `make`"
            )]
            use super::*;

            $crate::suite_tests!(
                source,
                $make,
                [
                    blobs_of_every_size_are_returned_unchanged,
                    a_missing_blob_is_not_found_when_opened,
                    a_blob_of_another_size_is_never_returned_whole,
                    a_range_of_a_blob_returns_exactly_its_bytes,
                    a_range_beyond_the_end_is_invalid,
                    a_manifest_keeps_its_exact_bytes,
                    unknown_manifests_are_not_found,
                    tags_are_ordered_and_start_after_the_given_tag,
                    each_of_many_tags_is_listed_once,
                    referrers_are_listed_and_filtered,
                    content_without_referrers_has_an_empty_list_of_referrers,
                ]
            );
            $crate::suite_tests!(
                target,
                $make,
                [
                    pushed_content_is_held,
                    every_kind_of_body_is_accepted,
                    a_push_of_damaged_content_leaves_nothing,
                    a_push_of_damaged_content_does_not_change_existing_content,
                    a_broken_stream_leaves_nothing,
                    every_supported_digest_algorithm_is_accepted,
                    two_pushes_have_the_same_effect_as_one,
                    parallel_pushes_of_one_blob_succeed,
                    parallel_pushes_of_many_blobs_are_all_stored,
                    tags_that_are_pushed_in_parallel_are_all_kept,
                    a_guarded_push_sets_the_tag_only_if_it_meets_the_guard,
                    parallel_guarded_pushes_are_atomic_or_reported,
                    a_tag_moves_and_the_old_manifest_stays,
                    a_push_without_a_tag_sets_no_tag,
                    an_index_is_stored_with_its_children,
                    a_manifest_with_missing_children_is_accepted_or_stays_invisible,
                    a_referrer_may_be_pushed_before_its_subject,
                    a_mount_from_a_missing_repository_fails,
                    content_that_cannot_be_mounted_is_sent,
                ]
            );
        }
    };
}

/// Creates the tests for a store that can also delete: `delete_suite!(name, async ||
/// Fresh::of(..))`.
#[macro_export]
macro_rules! delete_suite {
    ($name:ident, $make:expr) => {
        mod $name {
            #[allow(
                unused_imports,
                clippy::wildcard_imports,
                reason = "for the names used in `make`"
            )]
            use super::*;

            $crate::target_suite!(target, $make);
            $crate::suite_tests!(
                delete,
                $make,
                [
                    an_untag_keeps_the_other_tags,
                    deleting_a_manifest_deletes_its_tags,
                    a_deleted_referrer_is_no_longer_listed,
                    a_deleted_blob_no_longer_exists,
                    missing_content_cannot_be_deleted,
                    deleted_content_can_be_pushed_again,
                ]
            );
        }
    };
}
