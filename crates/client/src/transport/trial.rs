//! What was decided about certificates while asking a registry what it speaks.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};

use crate::origin::Origin;

/// A request that any certificate will do for, carried in its extensions. It is sent once, and never
/// on to another origin.
#[derive(Clone, Copy, Debug)]
pub(crate) struct AnyCertificate;

/// A request that carries what no merely accepted certificate may see, carried in its extensions.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ValidCertificate;

/// The origins whose certificate is not valid and was accepted.
#[derive(Clone, Debug, Default)]
pub(crate) struct Accepted(Arc<Mutex<HashSet<Origin>>>);

impl Accepted {
    pub(crate) fn add(&self, origin: Origin) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(origin);
    }

    pub(crate) fn contains(&self, origin: &Origin) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).contains(origin)
    }
}
