//! Follows redirects without sending credentials to other origins.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use http::header::{AUTHORIZATION, COOKIE, LOCATION, PROXY_AUTHORIZATION};
use http::{Method, Request, Response, StatusCode, Uri};
use longshore_core::Error;

use super::{Body, Transport, TransportError, protocol_error, replay};
use crate::origin::{Origin, check_hop, resolve};
use crate::redact::redacted;

/// The layer that follows redirects: at most ten per request, and never from https to http. The
/// layer never changes the method. It refuses a 301, 302 or 303 for methods other than GET and
/// HEAD.
///
/// Credentials are dropped as soon as the scheme, host or port changes. They stay dropped even if a
/// later redirect returns to the first origin.
#[derive(Debug)]
pub(crate) struct Redirect {
    inner: Arc<dyn Transport>,
}

/// The final URL of a reply, stored in the reply's extensions. Relative links are resolved against
/// this URL.
#[derive(Clone, Debug)]
pub(crate) struct FinalUri(pub(crate) Uri);

impl Redirect {
    pub(crate) fn new(inner: Arc<dyn Transport>) -> Self {
        Self { inner }
    }
}

#[async_trait]
impl Transport for Redirect {
    async fn send(&self, mut request: Request<Body>) -> Result<Response<Body>, TransportError> {
        for _ in 0..=HOP_LIMIT {
            let uri = request.uri().clone();
            let method = request.method().clone();
            let again = replay(&request);
            let mut reply = self.inner.send(request).await?;
            let Some(location) = reply.headers().get(LOCATION).filter(|_| redirects(&reply)) else {
                reply.extensions_mut().insert(FinalUri(uri));
                return Ok(reply);
            };
            let refused = |clause: &str| protocol_error(&uri, format!("the redirect {clause}"));
            check_method(reply.status(), &method).map_err(refused)?;
            let next = resolve(&uri, location.as_bytes()).map_err(refused)?;
            check_hop(&uri, &next).map_err(refused)?;
            let Some(mut again) = again else {
                return Err(refused(TOO_LATE).with_source(Moved(next)).into());
            };
            if Origin::of(&uri) != Origin::of(&next) {
                if again.extensions().get::<KeepOrigin>().is_some() {
                    return Err(
                        refused("leads to another origin, and the request holds a secret").into()
                    );
                }
                for header in [AUTHORIZATION, COOKIE, PROXY_AUTHORIZATION] {
                    again.headers_mut().remove(header);
                }
            }
            *again.uri_mut() = next;
            reply.into_body().drain().await;
            request = again;
        }
        let clause = format!("redirected more than {HOP_LIMIT} times");
        Err(protocol_error(request.uri(), clause).into())
    }
}

/// The redirect target of a request whose body can be read only once. The target is the source of
/// the error. A caller that can recreate the body sends the request to this target.
#[derive(Debug)]
struct Moved(Uri);

impl fmt::Display for Moved {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the redirect leads to {}", redacted(&self.0))
    }
}

impl std::error::Error for Moved {}

/// Returns the redirect target from the error of a request whose body can be read only once.
pub(crate) fn moved(error: &Error) -> Option<&Uri> {
    let source = std::error::Error::source(error)?;
    source.downcast_ref().map(|Moved(to)| to)
}

/// The mark of a request whose body holds a secret. Such a request is redirected only within its
/// origin.
#[derive(Clone, Copy, Debug)]
pub(crate) struct KeepOrigin;

fn redirects(reply: &Response<Body>) -> bool {
    matches!(reply.status().as_u16(), 301 | 302 | 303 | 307 | 308)
}

/// Refuses a 301, 302 or 303 for methods other than GET and HEAD. In practice, such a redirect
/// changes the method to GET, and an upload would be lost silently.
fn check_method(status: StatusCode, method: &Method) -> Result<(), &'static str> {
    match status.as_u16() {
        307 | 308 => Ok(()),
        _ if matches!(*method, Method::GET | Method::HEAD) => Ok(()),
        _ => Err("would change the request's method"),
    }
}

/// The error for a redirected request whose body can be read only once.
const TOO_LATE: &str = "comes after the body was sent";

/// 10 hops: the default limit of reqwest and of Go's HTTP client.
const HOP_LIMIT: usize = 10;

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    /// A transport that redirects along a chain, then answers 200. Records the URL of each request,
    /// and whether the request had credentials.
    #[derive(Debug)]
    struct Chain {
        status: u16,
        hops: Vec<&'static str>,
        seen: Mutex<Vec<(String, bool)>>,
    }

    #[async_trait]
    impl Transport for Chain {
        async fn send(&self, request: Request<Body>) -> Result<Response<Body>, TransportError> {
            let mut seen = self.seen.lock().unwrap();
            let credentials = request.headers().contains_key(AUTHORIZATION);
            let mut reply = Response::new(Body::Empty);
            if let Some(next) = self.hops.get(seen.len()) {
                *reply.status_mut() = StatusCode::from_u16(self.status).unwrap();
                reply.headers_mut().insert(LOCATION, next.parse().unwrap());
            }
            seen.push((request.uri().to_string(), credentials));
            Ok(reply)
        }
    }

    async fn follow(
        status: u16,
        method: Method,
        hops: &[&'static str],
    ) -> Result<Vec<(String, bool)>, String> {
        let chain = Arc::new(Chain { status, hops: hops.to_vec(), seen: Mutex::default() });
        let request = Request::builder()
            .method(method)
            .uri("https://r.example/v2/")
            .header(AUTHORIZATION, "Bearer t")
            .body(Body::Empty)
            .unwrap();
        let reply = Redirect::new(Arc::clone(&chain) as _).send(request).await;
        let seen = chain.seen.lock().unwrap().clone();
        reply.map(|_| seen).map_err(|e| e.to_string())
    }

    #[tokio::test]
    async fn credentials_are_not_sent_to_other_origins() {
        let seen = follow(307, Method::GET, &["/other", "https://r.example:444/x"]).await.unwrap();
        assert_eq!(seen.iter().map(|s| s.1).collect::<Vec<_>>(), [true, true, false]);

        let seen = follow(307, Method::GET, &["https://10.0.0.1/storage"]).await.unwrap();
        assert_eq!(seen.iter().map(|s| s.1).collect::<Vec<_>>(), [true, false]);

        let away_and_back = ["https://cdn.example/", "https://r.example/v2/"];
        let seen = follow(302, Method::GET, &away_and_back).await.unwrap();
        assert_eq!(seen.iter().map(|s| s.1).collect::<Vec<_>>(), [true, false, false]);
    }

    #[tokio::test]
    async fn redirect_chains_are_limited() {
        assert_eq!(follow(307, Method::GET, &["/"; 10]).await.unwrap().len(), 11);
        let e = follow(307, Method::GET, &["/"; 11]).await.unwrap_err();
        assert!(e.contains("more than 10 times"), "{e}");
    }

    #[tokio::test]
    async fn unsafe_redirects_and_redirects_that_change_the_method_are_refused() {
        for (status, method, hop) in [
            (302, Method::POST, "/x"),
            (303, Method::PUT, "/x"),
            (301, Method::DELETE, "/x"),
            (307, Method::GET, "http://r.example:80/x y"),
            (307, Method::GET, "http://cdn.example/"),
            (307, Method::GET, "https://127.0.0.1/"),
            (307, Method::GET, "https://169.254.169.254/"),
            (307, Method::GET, "https://u:p@cdn.example/"),
            (307, Method::GET, "ftp://cdn.example/"),
            (307, Method::GET, ""),
        ] {
            let result = follow(status, method, &[hop]).await;
            assert!(result.is_err() != hop.contains("x y"), "{status} {hop}: {result:?}");
        }
        assert!(follow(308, Method::POST, &["https://cdn.example/"]).await.is_ok());
    }
}
