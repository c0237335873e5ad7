//! Listings, fetched page by page.

use std::sync::Arc;

use futures_util::stream::BoxStream;
use futures_util::{StreamExt as _, TryStreamExt as _};
use longshore::Result;
use pyo3::prelude::*;
use serde::Serialize;
use tokio::sync::Mutex;

use crate::event_loop::Convert;
use crate::operation::{Operation, document};

/// A listing. Each page is requested when Python asks for it.
#[pyclass(frozen, module = "longshore._core")]
pub(crate) struct Pages(Arc<Mutex<BoxStream<'static, Result<Convert>>>>);

impl Pages {
    /// Wraps a listing of serializable items.
    pub(crate) fn new<T: Serialize + Send + 'static>(pages: longshore::Pages<T>) -> Self {
        let pages = pages.map_ok(|page| -> Convert { Box::new(|py| document(py, page.items)) });
        Self(Arc::new(Mutex::new(pages.boxed())))
    }
}

#[pymethods]
impl Pages {
    /// Returns the items of the next page, or `None` after the last page.
    fn next(&self) -> PyResult<Operation> {
        let pages = Arc::clone(&self.0);
        let next = async move { pages.lock().await.next().await.transpose() };
        Operation::start(next, |py, page| match page {
            Some(convert) => convert(py),
            None => Ok(py.None().into_bound(py)),
        })
    }
}
