//! Compares time limits of the clients built on `requests` with [`Limits`], for a silent server.

use super::*;

use std::time::Duration;

use longshore::{Limits, RetryPolicy};

#[tokio::test(flavor = "multi_thread")]
async fn yodle_dxf_moby_and_longshore_respect_time_limits() {
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let host = silent.local_addr().unwrap();
    let (mut limits, mut retry) = (Limits::default(), RetryPolicy::default());
    limits.response = Duration::from_millis(200);
    retry.max_attempts = std::num::NonZeroUsize::MIN;
    let ours = quick().limits(limits).retry(retry).build();
    let ours = ours.repository(&format!("{host}/a/b").parse().unwrap());
    let e = ours.tags(None).all().await.unwrap_err();

    let moby = |client: &str, tags: &str| {
        let client = format!("client=DockerRegistryV2Client('http://{host}'{client})");
        format!("Tags('a/b', {client}{tags}).list()")
    };
    for (module, call) in [
        (
            "docker_registry_client",
            format!("BaseClient('http://{host}', api_version=2, api_timeout=0.2).catalog()"),
        ),
        ("dxf", format!("DXF('{host}', 'a/b', insecure=True, timeout=0.2).list_aliases()")),
        // moby's limit applies to a client or to one object.
        ("moby_distribution", moby(", default_timeout=0.2", "")),
        ("moby_distribution", moby("", ", timeout=0.2")),
    ] {
        let mut client = Predecessor::start(&[]);
        client.run(&format!("from {module} import *"));
        same_failure(&client.raises(&call), "Timeout", None, &e, ErrorKind::Timeout);
    }
}
