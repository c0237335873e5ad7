use async_trait::async_trait;

use super::{Access, AccessRequest, Decision};

/// Allows everything to everyone. Meant for loopback, tests, and registries behind a gateway that
/// controls access.
#[derive(Clone, Copy, Debug, Default)]
pub struct Open;

#[async_trait]
impl Access for Open {
    async fn authorize(&self, _: Option<&str>, _: &AccessRequest<'_>) -> Decision {
        Decision::Granted
    }
}
