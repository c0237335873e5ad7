//! Certificates: whom the client trusts, and what it shows.

use longshore::{
    CertificateFolders, ClientBuilder, ClientCertificate, RegistryName, RegistrySettings, Result,
    RootCertificates,
};
use longshore_testkit::script::{Exchange, Script};
use longshore_testkit::tls::{Authority, Front, Pair};

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
