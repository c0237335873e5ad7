//! The time for which a token is used.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use async_trait::async_trait;
use longshore::{Client, Result};

use super::{list, listed};

#[tokio::test(start_paused = true)]
async fn a_token_is_used_until_shortly_before_it_expires() {
    // dreg keeps a token for max(expires_in - 5, 55) seconds, and so uses a short-lived token after
    // its expiry. longshore uses the real expiry. For a validity of at least 60 seconds, both
    // clients renew the token at the same time.
    for (validity, valid_for, renewed) in
        [(60, 54, 55), (61, 55, 56), (90, 84, 85), (30, 24, 25), (6, 0, 1)]
    {
        let tokens = Arc::new(AtomicU32::new(0));
        let registry = FakeRegistry { validity, tokens: Arc::clone(&tokens) };
        let client = Client::builder().transport(registry).build();
        let repository = client.repository(&"r.example/a".parse().unwrap());
        list(&repository).await.unwrap();
        tokio::time::advance(std::time::Duration::from_secs(valid_for)).await;
        list(&repository).await.unwrap();
        assert_eq!(tokens.load(Ordering::Relaxed), 1, "{validity} after {valid_for} s");
        tokio::time::advance(std::time::Duration::from_secs(renewed - valid_for)).await;
        list(&repository).await.unwrap();
        assert_eq!(tokens.load(Ordering::Relaxed), 2, "{validity} after {renewed} s");
    }
}

/// A registry without a network, for tests with a paused clock.
#[derive(Debug)]
struct FakeRegistry {
    validity: u64,
    tokens: Arc<AtomicU32>,
}

#[async_trait]
impl longshore::Transport for FakeRegistry {
    async fn send(
        &self,
        request: http::Request<longshore::Body>,
    ) -> Result<http::Response<longshore::Body>, longshore::TransportError> {
        let answer = |body: String| http::Response::new(longshore::Body::Bytes(body.into()));
        if request.uri().path() == "/token" {
            self.tokens.fetch_add(1, Ordering::Relaxed);
            return Ok(answer(format!("{{\"token\":\"t\",\"expires_in\":{}}}", self.validity)));
        }
        if request.headers().contains_key("authorization") {
            return Ok(answer(listed().to_owned()));
        }
        let mut reply = answer(String::new());
        *reply.status_mut() = http::StatusCode::UNAUTHORIZED;
        let challenge = "Bearer realm=\"https://r.example/token\"".parse().unwrap();
        reply.headers_mut().insert("www-authenticate", challenge);
        Ok(reply)
    }
}
