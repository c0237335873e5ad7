//! Certificates: whom the client trusts, and what it shows.

use longshore::{
    CertificateFolders, ClientBuilder, ClientCertificate, RegistryName, RegistrySettings, Result,
    RootCertificates,
};
use longshore_testkit::script::{Exchange, Script};
use longshore_testkit::tls::{Authority, Dates, Front, Pair};

use crate::quick;

/// A registry that asks for certificates of an authority of its own.
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

    /// Writes `certs.d` for this registry.
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
async fn a_client_shows_its_certificate() {
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
async fn folders_of_other_tools_are_read_on_request_and_settings_beat_them() {
    let guarded = Guarded::start().await;
    let folder = guarded.folder(&guarded.clients.issue(&["client"]));
    let folders = || CertificateFolders::new([folder.path().to_owned()]);
    let mut tls = RegistrySettings::default();
    tls.scheme = Some(longshore::Scheme::Https);
    let client = || quick().settings(guarded.name(), tls.clone());
    guarded.server.expect(Exchange::new("GET", "/v2/"));
    guarded.ping(client().certificate_folders(folders())).await.unwrap();
    assert!(guarded.ping(client()).await.is_err(), "not unless asked for");
    let strangers = Authority::new().issue(&["client"]);
    let settings = guarded.settings(Some(&strangers));
    let set = quick().settings(guarded.name(), settings).certificate_folders(folders());
    assert!(guarded.ping(set).await.is_err(), "what was set is shown");
    guarded.server.finish();
}

/// Pings a server that shows this, by a client that was told to trust these.
async fn shown(pair: &Pair, trusted: &[&str]) -> Result<(), String> {
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
        // The script wants its request all the same.
        quick().build().ping(&server.address().to_string().parse().unwrap()).await.unwrap();
    }
    server.finish();
    pinged.map(drop).map_err(|e| format!("{e}; {}", e.hint().unwrap_or_default()))
}

#[tokio::test]
async fn a_certificate_that_is_named_and_shown_is_taken_though_it_is_an_authority() {
    let own = Authority::with_names(&["localhost"], Dates::Now);
    let strangers = Authority::new();
    shown(&own.itself(), &[&own.certificate()]).await.unwrap();
    shown(&own.itself(), &[&strangers.certificate(), &own.certificate()]).await.unwrap();
    // One that an authority signed which nobody knows, and that is named by itself.
    let signed = strangers.issue(&["localhost"]);
    shown(&signed, &[&signed.certificate]).await.unwrap();
    let below = strangers.authority_below(&["localhost"]);
    shown(&below, &[&below.certificate]).await.unwrap();
    // What an authority is for stays as it was.
    shown(&own.issue(&["localhost"]), &[&own.certificate()]).await.unwrap();
}

#[tokio::test]
async fn nothing_but_the_very_certificate_with_its_name_and_dates_is_taken_for_itself() {
    let own = Authority::with_names(&["localhost"], Dates::Now);
    let elsewhere = Authority::with_names(&["r.example"], Dates::Now);
    let (past, future) = (
        Authority::with_names(&["localhost"], Dates::Past),
        Authority::with_names(&["localhost"], Dates::Future),
    );
    // The same name, another key.
    let twin = Authority::with_names(&["localhost"], Dates::Now);
    let below = own.authority_below(&["localhost"]);
    let named = [&own, &elsewhere, &past, &future].map(Authority::certificate);
    let named: Vec<_> = named.iter().map(String::as_str).collect();
    for (pair, told) in [
        (elsewhere.itself(), "is for other names: r.example"),
        (past.itself(), "expired"),
        (future.itself(), "becomes valid in"),
        (twin.itself(), "is not trusted: self-signed"),
        (below, "is not trusted: it is a CA certificate, not a server certificate"),
        (Authority::new().issue(&["localhost"]), "is not trusted: bad signature"),
    ] {
        let refused = shown(&pair, &named).await.unwrap_err();
        assert!(refused.contains(told), "{told}: {refused}");
    }
    let refused = shown(&own.itself(), &[]).await.unwrap_err();
    assert!(refused.contains("is not trusted: self-signed; Trust its root"), "{refused}");
}

#[tokio::test]
async fn a_named_certificate_does_not_do_without_its_key() {
    let own = Authority::with_names(&["localhost"], Dates::Now);
    let key = Authority::with_names(&["localhost"], Dates::Now).itself().key;
    let refused = shown(&Pair { key, ..own.itself() }, &[&own.certificate()]).await.unwrap_err();
    assert!(refused.contains("bad signature"), "{refused}");
}
