//! The description of a registry, and the check of credentials.

use longshore::{ErrorKind, RegistryName, RegistrySettings, Scheme};
use longshore_testkit::script::{Exchange, Script};

use crate::{place, quick};

fn registry(server: &Script) -> RegistryName {
    place(server).registry().clone()
}

fn root() -> Exchange {
    Exchange::new("GET", "/v2/")
}

#[tokio::test]
async fn a_registry_is_recognized_by_its_reply() {
    let server = Script::start().await;
    server.expect(root().header("docker-distribution-api-version", "registry/2.0").body("{}"));
    let ping = quick().build().ping(&registry(&server)).await.unwrap();
    assert_eq!((ping.scheme, ping.api_version.as_deref()), (Scheme::Http, Some("registry/2.0")));
    assert!(ping.authentication.is_empty());

    server.expect(
        root()
            .answer(401)
            .header("www-authenticate", "Bearer realm=\"https://auth.example/\"")
            .header("www-authenticate", "Basic realm=\"x\""),
    );
    let ping = quick().build().ping(&registry(&server)).await.unwrap();
    assert_eq!(ping.authentication, ["bearer", "basic"]);

    server.expect(root().header("content-type", "text/html").body("<html>"));
    let e = quick().build().ping(&registry(&server)).await.unwrap_err();
    assert!(e.to_string().contains("web page"), "{e}");
    server.expect(root().answer(404));
    let e = quick().build().ping(&registry(&server)).await.unwrap_err();
    assert_eq!(e.kind(), ErrorKind::NotFound);
    server.finish();
}

#[tokio::test]
async fn credentials_are_checked_with_an_authenticated_request() {
    let server = Script::start().await;
    let client = |password: &str| {
        let store = crate::login(registry(&server), "user", password);
        quick().credentials(store).build()
    };
    let challenge = "Basic realm=\"x\"";
    server.expect(root().answer(401).header("www-authenticate", challenge));
    server.expect(root().with("authorization", "Basic dXNlcjpzM2NyZXQ="));
    client("s3cret").check_credentials(&registry(&server)).await.unwrap();
    server.expect(root().answer(401).header("www-authenticate", challenge));
    server.expect(root().answer(401).header("www-authenticate", challenge));
    let e = client("wrong-one").check_credentials(&registry(&server)).await.unwrap_err();
    assert_eq!(e.kind(), ErrorKind::Unauthorized);
    assert!(!format!("{e:?}").contains("wrong-one"));
    // A reply with a public web page does not confirm the credentials.
    server.expect(root().header("content-type", "text/html").body("<html>welcome"));
    let e = client("s3cret").check_credentials(&registry(&server)).await.unwrap_err();
    assert!(e.to_string().contains("web page"), "{e}");
    server.finish();
}

#[tokio::test]
async fn the_error_for_tls_to_a_plain_http_server_has_a_hint() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let plain = tokio::spawn(async move {
        use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
        let (mut stream, _) = listener.accept().await.unwrap();
        let _ = stream.read(&mut [0; 1024]).await;
        stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await.unwrap();
    });
    let registry: RegistryName = address.to_string().parse().unwrap();
    let mut settings = RegistrySettings::default();
    settings.scheme = Some(Scheme::Https);
    let client = quick().settings(registry.clone(), settings).build();
    let e = client.ping(&registry).await.unwrap_err();
    assert_eq!(e.kind(), ErrorKind::Transport);
    assert!(e.hint().is_some_and(|hint| hint.contains("plain HTTP")), "{e:?}");
    plain.await.unwrap();
}
