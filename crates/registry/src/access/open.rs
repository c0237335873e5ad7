use async_trait::async_trait;

use super::{Access, Need, Verdict};

/// Allows everything to everyone: for loopback, tests, and registries behind their own gateway.
#[derive(Clone, Copy, Debug, Default)]
pub struct Open;

#[async_trait]
impl Access for Open {
    async fn judge(&self, _: Option<&str>, _: &Need<'_>) -> Verdict {
        Verdict::Granted
    }
}
