//! Certificates that the client trusts, and certificates that it presents.

use longshore::{
    CertificateFolders, ClientBuilder, ClientCertificate, RegistryName, RegistrySettings, Result,
    RootCertificates,
};
use longshore_testkit::script::{Exchange, Script};
use longshore_testkit::tls::{Authority, Dates, Front, Pair};

use crate::quick;

/// A registry that requires client certificates of a separate authority.
struct Guarded {
    server: Script,
    authority: Authority,
    clients: Authority,
    front: Front,
}

impl Guarded {
    async fn start() -> Self {
        let (authority, clients) = (Authority::new(), Authority::new());
        let server = Script::start().await;
        let pair = authority.for_loopback();
        let front = Front::for_clients_of(&clients, &pair, server.address()).await;
        Self { server, authority, clients, front }
    }

    fn name(&self) -> RegistryName {
        self.front.address().to_string().parse().unwrap()
    }

    fn settings(&self, shown: Option<&Pair>) -> RegistrySettings {
        let mut settings = RegistrySettings::default();
        let pem = self.authority.certificate();
        settings.root_certificates = Some(RootCertificates::from_pem(pem.as_bytes()).unwrap());
        settings.client_certificate = shown.map(|pair| {
            let (certificate, key) = (pair.certificate.as_bytes(), pair.key.as_bytes());
            ClientCertificate::from_pem(certificate, key).unwrap()
        });
        settings
    }

    /// Writes a `certs.d` folder for this registry.
    fn folder(&self, shown: &Pair) -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        let folder = root.path().join(self.name().as_str());
        std::fs::create_dir(&folder).unwrap();
        for (name, content) in [
            ("ca.crt", &self.authority.certificate()),
            ("client.cert", &shown.certificate),
            ("client.key", &shown.key),
        ] {
            std::fs::write(folder.join(name), content).unwrap();
        }
        root
    }

    async fn ping(&self, client: ClientBuilder) -> Result<()> {
        client.build().ping(&self.name()).await.map(drop)
    }
}

#[tokio::test]
async fn a_client_presents_its_certificate() {
    let guarded = Guarded::start().await;
    let pair = guarded.clients.issue(&["client"]);
    guarded.server.expect(Exchange::new("GET", "/v2/"));
    let shows = guarded.settings(Some(&pair));
    guarded.ping(quick().settings(guarded.name(), shows)).await.unwrap();
    let strangers = Authority::new().issue(&["client"]);
    for shown in [None, Some(&strangers)] {
        let settings = guarded.settings(shown);
        assert!(guarded.ping(quick().settings(guarded.name(), settings)).await.is_err());
    }
    guarded.server.finish();
}

#[tokio::test]
async fn certificate_folders_are_read_if_configured_and_settings_override_them() {
    let guarded = Guarded::start().await;
    let folder = guarded.folder(&guarded.clients.issue(&["client"]));
    let folders = || CertificateFolders::new([folder.path().to_owned()]);
    let mut tls = RegistrySettings::default();
    tls.scheme = Some(longshore::Scheme::Https);
    let client = || quick().settings(guarded.name(), tls.clone());
    guarded.server.expect(Exchange::new("GET", "/v2/"));
    guarded.ping(client().certificate_folders(folders())).await.unwrap();
    assert!(guarded.ping(client()).await.is_err(), "folders are read only if configured");
    let strangers = Authority::new().issue(&["client"]);
    let settings = guarded.settings(Some(&strangers));
    let set = quick().settings(guarded.name(), settings).certificate_folders(folders());
    assert!(guarded.ping(set).await.is_err(), "the client presents the configured certificate");
    guarded.server.finish();
}

/// Pings a server that presents the certificate `pair`, with a client that trusts `trusted`.
async fn ping_server(pair: &Pair, trusted: &[&str]) -> Result<(), String> {
    let server = Script::start().await;
    let front = Front::start(pair, server.address()).await;
    let name: RegistryName = format!("localhost:{}", front.address().port()).parse().unwrap();
    let mut settings = RegistrySettings::default();
    settings.scheme = Some(longshore::Scheme::Https);
    settings.root_certificates = trusted
        .iter()
        .map(|pem| RootCertificates::from_pem(pem.as_bytes()).unwrap())
        .reduce(|all, more| all.and(&more));
    server.expect(Exchange::new("GET", "/v2/"));
    let pinged = quick().settings(name.clone(), settings).build().ping(&name).await;
    if pinged.is_err() {
        // The script still expects one request, which is sent here.
        quick().build().ping(&server.address().to_string().parse().unwrap()).await.unwrap();
    }
    server.finish();
    pinged.map(drop).map_err(|e| format!("{e}; {}", e.hint().unwrap_or_default()))
}

#[tokio::test]
async fn a_configured_certificate_is_accepted_as_a_server_certificate() {
    let own = Authority::with_names(&["localhost"], Dates::Now);
    let strangers = Authority::new();
    ping_server(&own.itself(), &[&own.certificate()]).await.unwrap();
    ping_server(&own.itself(), &[&strangers.certificate(), &own.certificate()]).await.unwrap();
    // A certificate that is signed by an unknown authority and configured by the user.
    let signed = strangers.issue(&["localhost"]);
    ping_server(&signed, &[&signed.certificate]).await.unwrap();
    let below = strangers.authority_below(&["localhost"]);
    ping_server(&below, &[&below.certificate]).await.unwrap();
    // A configured authority can still sign other certificates.
    ping_server(&own.issue(&["localhost"]), &[&own.certificate()]).await.unwrap();
}

#[tokio::test]
async fn a_configured_certificate_must_match_exactly_and_have_a_valid_name_and_dates() {
    let own = Authority::with_names(&["localhost"], Dates::Now);
    let elsewhere = Authority::with_names(&["r.example"], Dates::Now);
    let (past, future) = (
        Authority::with_names(&["localhost"], Dates::Past),
        Authority::with_names(&["localhost"], Dates::Future),
    );
    // A certificate with the same name and another key.
    let twin = Authority::with_names(&["localhost"], Dates::Now);
    let below = own.authority_below(&["localhost"]);
    let named = [&own, &elsewhere, &past, &future].map(Authority::certificate);
    let named: Vec<_> = named.iter().map(String::as_str).collect();
    for (pair, reason) in [
        (elsewhere.itself(), "is for other names: r.example"),
        (past.itself(), "expired"),
        (future.itself(), "becomes valid in"),
        (twin.itself(), "is not trusted: self-signed"),
        (below, "is not trusted: it is a CA certificate, not a server certificate"),
        (Authority::new().issue(&["localhost"]), "is not trusted: bad signature"),
    ] {
        let refused = ping_server(&pair, &named).await.unwrap_err();
        assert!(refused.contains(reason), "{reason}: {refused}");
    }
    let refused = ping_server(&own.itself(), &[]).await.unwrap_err();
    assert!(refused.contains("is not trusted: self-signed; Trust the server's root"), "{refused}");
}

#[tokio::test]
async fn a_server_without_the_key_of_a_configured_certificate_is_refused() {
    let own = Authority::with_names(&["localhost"], Dates::Now);
    let key = Authority::with_names(&["localhost"], Dates::Now).itself().key;
    let refused =
        ping_server(&Pair { key, ..own.itself() }, &[&own.certificate()]).await.unwrap_err();
    assert!(refused.contains("bad signature"), "{refused}");
}
