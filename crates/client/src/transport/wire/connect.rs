//! Records connection attempts in the activity of the request that makes them.

use std::pin::Pin;
use std::task::{Context, Poll};

use tower_layer::Layer;
use tower_service::Service;

use super::super::activity::{Activity, Entered, Stage};

tokio::task_local! {
    /// The activity of the request that this task sends.
    static CURRENT: Activity;
}

/// Sends a request, and records the stages of its connection in `activity`.
pub(super) async fn with_stages<T>(activity: Activity, send: impl Future<Output = T> + Send) -> T {
    CURRENT.scope(activity, send).await
}

/// Enters a stage of the current request until the returned value is dropped. Returns `None` in a
/// connection attempt whose request already uses another connection.
pub(super) fn enter(stage: Stage) -> Option<Entered> {
    CURRENT.try_with(|activity| activity.enter(stage)).ok()
}

/// The layer around the connector that records stages.
#[derive(Clone, Copy, Debug)]
pub(super) struct StageLayer;

impl<S> Layer<S> for StageLayer {
    type Service = StageService<S>;

    fn layer(&self, inner: S) -> StageService<S> {
        StageService(inner)
    }
}

#[derive(Clone, Debug)]
pub(super) struct StageService<S>(S);

impl<S, R> Service<R> for StageService<S>
where
    S: Service<R>,
    S::Future: Send + 'static,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<S::Response, S::Error>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.0.poll_ready(cx)
    }

    fn call(&mut self, target: R) -> Self::Future {
        let activity = CURRENT.try_with(Activity::clone).ok();
        if let Some(activity) = &activity {
            activity.set_connecting(true);
        }
        let (entered, connecting) = (enter(Stage::Connection), self.0.call(target));
        Box::pin(async move {
            let _until_connected = entered;
            let connection = connecting.await?;
            if let Some(activity) = activity {
                activity.set_connecting(false);
            }
            Ok(connection)
        })
    }
}
