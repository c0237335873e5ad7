//! Compares `auth_service_url` of docker-registry-client 0.5.2 with [`TokenService`].

use super::*;

use std::sync::{Mutex, PoisonError};

use longshore::{Authentication, Delete as _, Digest, TokenService};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, copy_bidirectional};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;

/// A token service at `/v2/token`, the path that yodle expects. The service forwards requests to
/// the registry's token service.
struct Service {
    address: SocketAddr,
    asked: Arc<Mutex<Vec<String>>>,
    server: JoinHandle<()>,
}

impl Service {
    async fn of(place: &Place) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (asked, registry) = (Arc::<Mutex<Vec<String>>>::default(), place.address);
        let list = Arc::clone(&asked);
        let server = tokio::spawn(async move {
            while let Ok((mut inside, _)) = listener.accept().await {
                let head = read_head(&mut inside).await;
                let query = head.strip_prefix("GET /v2/token?").unwrap();
                let asked = query.split(' ').next().unwrap().to_owned();
                list.lock().unwrap_or_else(PoisonError::into_inner).push(asked);
                let mut outside = TcpStream::connect(registry).await.unwrap();
                // Each connection carries one request, because only the first line of a connection
                // is rewritten.
                let head = format!("GET /token?{query}");
                let head = head.replacen("\r\n", "\r\nconnection: close\r\n", 1);
                outside.write_all(head.as_bytes()).await.unwrap();
                tokio::spawn(async move { copy_bidirectional(&mut inside, &mut outside).await });
            }
        });
        Self { address, asked, server }
    }

    /// Returns the recorded queries, and clears the record.
    fn asked(&self) -> Vec<String> {
        std::mem::take(&mut *self.asked.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn url(&self, login: &str) -> String {
        format!("http://{login}{}", self.address)
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        self.server.abort();
    }
}

async fn read_head(stream: &mut TcpStream) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.unwrap());
    }
    String::from_utf8(head).unwrap()
}

fn yodle(place: &Place, url: &str, arguments: &str) -> Predecessor {
    let mut yodle = Predecessor::start(&[]);
    yodle.run("from docker_registry_client import *");
    yodle.run(&format!(
        "base = BaseClient('http://{}', auth_service_url='{url}', api_version=2, {arguments})",
        place.address
    ));
    yodle
}

/// Returns longshore's client with the token service at this URL.
fn ours(place: &Place, url: &str) -> Client {
    let service = place.address.to_string();
    let mut authentication = Authentication::default();
    authentication.token_service =
        Some(TokenService::new(&format!("{url}/v2/token"), Some(&service)).unwrap());
    quick().authentication(place.registry(), authentication).build()
}

#[tokio::test(flavor = "multi_thread")]
async fn yodle_and_longshore_authenticate_with_a_token_of_a_configured_service() {
    let place = Place::bearer().await;
    let service = Service::of(&place).await;
    let url = service.url("user:s3cret@");
    let mut yodle = yodle(&place, &url, "");
    let client = ours(&place, &url);
    let app = client.repository(place.at("team/app").repository());
    let registry = place.address;

    let tags = app.tags(None).all().await.unwrap();
    let tags: Vec<String> = tags.iter().map(ToString::to_string).collect();
    let escaped = registry.to_string().replace(':', "%3A");
    let scope = "repository%3Ateam%2Fapp%3Apull";
    assert_eq!(service.asked(), [format!("service={escaped}&scope={scope}")]);
    assert_texts(&yodle.gives("base.get_repository_tags('team/app')['tags']"), &tags);
    let digest = place.digest("team/app", "v1").await;
    assert_eq!(yodle.gives("base.get_manifest('team/app', 'v1')._digest"), *digest);
    // Both calls of yodle use one token. The scope always has the action `*`, and is not escaped.
    let all_of = |scope: &str| format!("service={registry}&scope={scope}");
    assert_eq!(service.asked(), [all_of("repository:team/app:*")]);

    // yodle stores only the last token, and requests a new token for another scope. longshore
    // stores one token per scope.
    let repositories = client.catalog(&place.registry()).all().await.unwrap();
    app.tags(None).all().await.unwrap();
    assert_eq!(service.asked().len(), 1);
    let names: Vec<String> = repositories.iter().map(ToString::to_string).collect();
    assert_texts(&yodle.gives("base.catalog()['repositories']"), &names);
    drop(yodle.gives("base.get_repository_tags('team/app')"));
    let asked = [all_of("registry:catalog:*"), all_of("repository:team/app:*")];
    assert_eq!(service.asked(), asked);

    // In both clients, the token allows deletion.
    drop(yodle.gives(&format!("base.delete_manifest('team/app', '{digest}')")));
    let digest = Digest::parse(&digest).unwrap();
    let raised = yodle.raises(&format!("base.delete_manifest('team/app', '{digest}')"));
    let e = app.delete_manifest(&digest).await.unwrap_err();
    same_failure(&raised, "HTTPError", Some(404), &e, ErrorKind::NotFound);
}

#[tokio::test(flavor = "multi_thread")]
async fn yodle_prefers_its_password_to_the_token_and_longshore_does_not() {
    let place = Place::bearer().await;
    let service = Service::of(&place).await;
    // Defect of yodle: with a user and a password, it fetches a token but sends the password.
    let mut both = yodle(&place, &service.url(""), "username='user', password='s3cret'");
    let raised = both.raises("base.get_repository_tags('team/app')");
    assert!(raised.is("HTTPError") && raised.status == Some(401), "{raised:?}");
    assert_eq!(service.asked().len(), 1);
    let authenticated = {
        let mut authentication = Authentication::default();
        let url = format!("{}/v2/token", service.url(""));
        authentication.token_service = Some(TokenService::new(&url, None).unwrap());
        let store = login(place.registry(), USER, PASSWORD);
        quick().credentials(store).authentication(place.registry(), authentication).build()
    };
    let app = authenticated.repository(place.at("team/app").repository());
    assert_eq!(app.tags(None).all().await.unwrap().len(), 2);

    // Defect of yodle: it reads any reply of the service as a token.
    let url = service.url("user:wrong@");
    let raised = yodle(&place, &url, "").raises("base.get_repository_tags('team/app')");
    assert!(raised.is("KeyError") || raised.is("ValueError"), "{raised:?}");
    let wrong = ours(&place, &url).repository(place.at("team/app").repository());
    let e = wrong.tags(None).all().await.unwrap_err();
    assert_eq!(e.kind(), ErrorKind::Unauthorized, "{e:?}");
}
