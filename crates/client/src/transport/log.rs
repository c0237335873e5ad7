//! Logs one line per request, without secrets.

use std::sync::Arc;

use async_trait::async_trait;
use http::{Request, Response};
use tokio::time::Instant;

use super::{Body, Transport, TransportError};
use crate::redact::redacted;

/// The layer that logs each request at debug level, including retries and redirected requests.
#[derive(Debug)]
pub(crate) struct Log {
    inner: Arc<dyn Transport>,
}

impl Log {
    pub(crate) fn new(inner: Arc<dyn Transport>) -> Self {
        Self { inner }
    }
}

#[async_trait]
impl Transport for Log {
    async fn send(&self, request: Request<Body>) -> Result<Response<Body>, TransportError> {
        if !tracing::enabled!(tracing::Level::DEBUG) {
            return self.inner.send(request).await;
        }
        let (method, url) = (request.method().clone(), redacted(request.uri()));
        let start = Instant::now();
        let result = self.inner.send(request).await;
        let ms = u64::try_from(start.elapsed().as_millis()).unwrap_or(u64::MAX);
        match &result {
            Ok(reply) => tracing::debug!(%method, url, status = reply.status().as_u16(), ms),
            Err(error) => tracing::debug!(%method, url, %error, ms),
        }
        result
    }
}
