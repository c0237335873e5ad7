use async_trait::async_trait;

use super::{Access, AccessRequest, Decision};

/// Allows everything to everyone: for loopback, tests, and registries behind their own gateway.
#[derive(Clone, Copy, Debug, Default)]
pub struct Open;

#[async_trait]
impl Access for Open {
    async fn authorize(&self, _: Option<&str>, _: &AccessRequest<'_>) -> Decision {
        Decision::Granted
    }
}
