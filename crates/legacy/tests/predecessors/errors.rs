//! Compares the error classes of all clients.

use super::*;

use longshore::{
    Authentication, Delete as _, Descriptor, Digest, InitialAuth, MediaType, Result, RetryPolicy,
};
use longshore_testkit::script::{Exchange, Script};

/// Starts Python with a variable for each client, with this address and, where possible, this user.
fn everyone(address: SocketAddr, user: &str) -> Predecessor {
    let mut python = Predecessor::start(&[("DRCA_DEFAULT_PROTOCOL", "http")]);
    python.run("import docker_registry_client_async as drca, moby_distribution, base64");
    python.run("from dreg_client import Client; from dxf import DXF");
    python.run("from docker_registry_client._BaseClient import BaseClientV2");
    python.run(&format!("host, user, word = '{address}', '{user}', '{PASSWORD}'"));
    python.run("url = f'http://{host}'");
    python.run("login = base64.b64encode(f'{user}:{word}'.encode()).decode()");
    python.run("crashvb = drca.DockerRegistryClientAsync()");
    python.run("if user: await crashvb.add_credentials(endpoint=host, credentials=login)");
    python.run("image = drca.ImageName.parse(f'{host}/team/app:v1')");
    python
        .run("dreg = Client.build_with_session(f'{url}/v2/', auth=(user, word) if user else None)");
    python.run("yodle = BaseClientV2(url, username=user, password=word)");
    python.run("client = moby_distribution.DockerRegistryV2Client(url, user, word)");
    python.run("moby = lambda kind, *words: getattr(moby_distribution, kind)('team/app', *words, client=client)");
    python.run("dxf = DXF(host, 'team/app', insecure=True)");
    python
}

/// Returns longshore's repository at the same address, without retries.
fn ours(address: SocketAddr) -> RemoteRepository {
    let mut retry = RetryPolicy::default();
    retry.max_attempts = std::num::NonZeroUsize::MIN;
    let client = quick().retry(retry).build();
    client.repository(&format!("{address}/team/app").parse().unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn all_clients_map_each_error_status_to_an_error_class() {
    const TAGS: &str = "/v2/team/app/tags/list";
    let server = Script::start().await;
    let mut python = everyone(server.address(), "");
    // Before its first call, crashvb requests `/v2/` to get a challenge.
    server.expect(Exchange::new("GET", "/v2/"));
    server.expect(Exchange::new("GET", TAGS).header("content-type", "application/json").body("{}"));
    python.run("await crashvb.get_tags(image)");

    for (status, kind) in [
        (401, ErrorKind::Unauthorized),
        (403, ErrorKind::Denied),
        (404, ErrorKind::NotFound),
        (429, ErrorKind::RateLimited),
        (500, ErrorKind::Transport),
    ] {
        server.expect(Exchange::new("GET", TAGS).answer(status));
        let e = ours(server.address()).tags(None).all().await.unwrap_err();
        let code = Some(u64::from(status));
        let (unknown, by_moby) = match status {
            401 => ("DXFUnauthorizedError", ("KeyError", None)), // there is no challenge
            403 => ("HTTPError", ("PermissionDeny", None)),
            404 => ("HTTPError", ("ResourceNotFound", None)),
            _ => ("HTTPError", ("RequestErrorWithResponse", code)),
        };
        let by_dxf = (unknown, (status != 401).then_some(code).flatten());
        for (call, (class, code)) in [
            ("await crashvb.get_tags(image)", ("ClientResponseError", code)),
            ("dreg.get_repository_tags('team/app')", ("HTTPError", code)),
            ("yodle.get_repository_tags('team/app')", ("HTTPError", code)),
            ("dxf.list_aliases()", by_dxf),
            ("moby('Tags').list()", by_moby),
        ] {
            server.expect(Exchange::new("GET", TAGS).answer(status));
            if status == 403 && call.starts_with("moby") {
                // moby treats 403 as missing credentials, and requests `/v2/` for a challenge.
                server.expect(Exchange::new("GET", "/v2/"));
                server.expect(Exchange::new("GET", TAGS).answer(status));
            }
            same_failure(&python.raises(call), class, code, &e, kind);
        }
    }
    server.finish();
}

#[tokio::test(flavor = "multi_thread")]
async fn crashvb_dreg_yodle_moby_and_longshore_report_a_forbidden_request_as_denied() {
    let place = Place::with(|registry, _| {
        registry.access(users().user("reader", PASSWORD, Permissions::PULL))
    });
    let place = place.await;
    let digest = Digest::parse(&place.digest("team/app", "v1").await).unwrap();
    let mut authentication = Authentication::default();
    authentication.opening = InitialAuth::Basic;
    let store = login(place.registry(), "reader", PASSWORD);
    let ours = quick().credentials(store).authentication(place.registry(), authentication).build();
    let ours = ours.repository(place.at("team/app").repository());
    let e = ours.delete_manifest(&digest).await.unwrap_err();

    let mut python = everyone(place.address, "reader");
    python.run(&format!("digest = '{digest}'; image.set_digest(digest)"));
    for (call, class, status) in [
        // crashvb's deletes return a value where the other clients raise an error.
        (
            "(await crashvb.delete_manifest(image)).client_response.raise_for_status()",
            "ClientResponseError",
            Some(403),
        ),
        ("dreg.delete_manifest('team/app', digest)", "HTTPError", Some(403)),
        ("yodle.delete_manifest('team/app', digest)", "HTTPError", Some(403)),
        ("moby('Tags').untag('v1')", "PermissionDeny", None),
    ] {
        same_failure(&python.raises(call), class, status, &e, ErrorKind::Denied);
    }
    assert_eq!(place.tags("team/app").await, ["v1", "v2"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn only_dxf_and_longshore_refuse_content_with_a_wrong_digest() {
    let server = Script::start().await;
    let mut python = everyone(server.address(), "");
    let blob = Descriptor::from_bytes(MediaType::OCTET_STREAM, b"content");
    let get = || {
        let path = format!("/v2/team/app/blobs/{}", blob.digest);
        Exchange::new("GET", path).body("damaged")
    };
    python.run(&format!("import io; digest = '{}'; to = io.BytesIO()", blob.digest));
    server.expect(get());
    let read: Result<_> = ours(server.address()).blob(&blob).await.unwrap().bytes(64).await;
    assert_eq!(read.unwrap_err().kind(), ErrorKind::DigestMismatch);
    server.expect(get());
    let raised = python.raises("b''.join(dxf.pull_blob(digest))");
    assert!(raised.is("DXFDigestMismatchError"), "{raised:?}");

    server.expect(Exchange::new("GET", "/v2/"));
    python.run("sha256 = drca.FormattedSHA256.parse(digest)");
    for call in [
        "(await crashvb.get_blob(image, sha256)).blob",
        "dreg.get_blob('team/app', digest).content",
        "[moby('Blob', digest, None, to).download(), to.getvalue()][1]",
    ] {
        server.expect(get());
        assert_eq!(python.gives(call), "damaged", "{call}");
    }

    // A manifest whose reply states a wrong digest.
    let (content, other) = (docker_image(1, "amd64").root, docker_image(2, "amd64").root);
    let get = || {
        Exchange::new("GET", "/v2/team/app/manifests/v1")
            .header("content-type", content.media_type().as_str())
            .header("docker-content-digest", other.digest().as_str())
            .body(content.bytes().to_vec())
    };
    server.expect(get());
    let e = ours(server.address()).manifest(&tag("v1").into()).await.unwrap_err();
    assert_eq!(e.kind(), ErrorKind::DigestMismatch, "{e:?}");
    server.expect(get());
    assert!(python.raises("dxf.get_manifest('v1')").is("DXFDigestMismatchError"));
    for (call, digest) in [
        ("(await crashvb.get_manifest(image)).manifest.get_digest()", &content),
        ("dreg.get_manifest('team/app', 'v1').digest", &other),
    ] {
        server.expect(get());
        assert_eq!(python.gives(call), digest.digest().as_str(), "{call}");
    }
    server.expect(get());
    drop(python.gives("moby('ManifestRef', 'v1').get()"));
    server.finish();
}
