//! Listings, fetched page by page.

use std::sync::Arc;

use futures_util::stream::BoxStream;
use futures_util::{StreamExt as _, TryStreamExt as _};
use longshore::{Error, ErrorKind, Result};
use pyo3::prelude::*;
use serde::Serialize;
use serde_json::Value;
use tokio::sync::Mutex;

use crate::operation::{Operation, document};

/// A listing. Each page is requested when Python asks for it.
#[pyclass(frozen, module = "longshore._core")]
pub(crate) struct Pages(Arc<Mutex<BoxStream<'static, Result<Vec<Value>>>>>);

impl Pages {
    /// Wraps a listing. Each item becomes its JSON value.
    pub(crate) fn new<T: Serialize + Send + 'static>(pages: longshore::Pages<T>) -> Self {
        let pages = pages.and_then(|page| async move {
            let items = page.items.into_iter().map(serde_json::to_value).collect::<Result<_, _>>();
            items.map_err(|e| Error::new(ErrorKind::Protocol).with_source(e))
        });
        Self(Arc::new(Mutex::new(pages.boxed())))
    }
}

#[pymethods]
impl Pages {
    /// Returns the items of the next page, or `None` after the last page.
    fn next(&self) -> PyResult<Operation> {
        let pages = Arc::clone(&self.0);
        Operation::start(async move { pages.lock().await.next().await.transpose() }, document)
    }
}
