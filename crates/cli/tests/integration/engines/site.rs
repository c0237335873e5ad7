//! Registries for the engines.

use std::net::SocketAddr;
use std::path::PathBuf;

use longshore_testkit::fixture::{Image, Layer, layer_tar};
use longshore_testkit::random;
use longshore_testkit::tls::Authority;

use super::archive::Stored;
use crate::program::{Program, Server};
use crate::transfers::layout;

/// A registry served by the program, with its credentials and certificates.
pub(super) struct Site {
    pub(super) program: Program,
    server: Server,
    /// The name of the registry: host and port.
    pub(super) name: String,
    /// The user name and password, if the registry requires them.
    pub(super) user: Option<(&'static str, &'static str)>,
    /// The folder with the CA certificate at `host:port/ca.crt`, if the registry uses TLS.
    pub(super) certificates: Option<PathBuf>,
}

impl Site {
    /// Starts a registry without access control.
    pub(super) fn open() -> Self {
        Self::serving(Program::new(), &[])
    }

    /// Starts a registry with the user `ann`. The program stores the password.
    pub(super) fn with_users() -> Self {
        let program = Program::new();
        std::fs::write(program.path("people"), format!("ann:{SECRET}\n")).unwrap();
        let site = Self::serving(program, &["--users", "people"]);
        let login = ["login", "-u", "ann", "--password-stdin", &site.name];
        let stored = site.program.run_with(login, b"secret");
        assert_eq!(stored.code, 0, "{stored:?}");
        Self { user: Some(("ann", "secret")), ..site }
    }

    /// Starts a registry that uses TLS, with a certificate for this host name.
    pub(super) fn with_tls(host: &str) -> Self {
        let (program, authority) = (Program::new(), Authority::new());
        let pair = authority.issue(&[host]);
        for (name, pem) in [("host.pem", &pair.certificate), ("host.key", &pair.key)] {
            std::fs::write(program.path(name), pem).unwrap();
        }
        let mut site = Self::serving(program, &["--tls-cert", "host.pem", "--tls-key", "host.key"]);
        site.name = format!("{host}:{}", site.address().port());
        site.certificates = Some(site.program.path("certs.d"));
        std::fs::create_dir_all(site.authority().parent().unwrap()).unwrap();
        std::fs::write(site.authority(), authority.certificate()).unwrap();
        site
    }

    fn serving(program: Program, arguments: &[&str]) -> Self {
        let server = program.serve_with(None, arguments);
        let name = server.address.clone();
        Self { program, server, name, user: None, certificates: None }
    }

    /// Returns the socket address.
    pub(super) fn address(&self) -> SocketAddr {
        self.server.address.parse().unwrap()
    }

    /// Returns the reference of `name` at the registry.
    pub(super) fn reference(&self, name: &str) -> String {
        format!("{}/{name}", self.name)
    }

    /// Returns the path of the CA certificate.
    pub(super) fn authority(&self) -> PathBuf {
        self.certificates.as_ref().unwrap().join(&self.name).join("ca.crt")
    }

    /// Runs a command line of the program, which trusts the CA.
    pub(super) fn ok(&self, line: &str) -> String {
        match &self.certificates {
            None => self.program.ok(line),
            Some(folder) => {
                let resolve = format!("--resolve {}:{}", self.name, self.address().ip());
                let trust = format!("--scheme https --cert-dir {}", folder.display());
                self.program.ok(&format!("{line} {trust} {resolve}"))
            }
        }
    }
}

/// The bcrypt hash of `secret`, written by `htpasswd -nbBC 4`.
const SECRET: &str = "$2y$04$wQ.d8FTkNda2B6LZaNaXU.wm8ZgVA1pcVdxS2I5NzLwyHYTOjVHEi";

/// An image in a layout.
pub(super) struct Packed {
    pub(super) location: String,
    pub(super) stored: Stored,
}

impl Packed {
    /// Packs an image with gzip layers only, because some engines cannot unpack zstd. `seed`
    /// determines the content.
    pub(super) fn new(program: &Program, seed: u64) -> Self {
        let own = random::bytes(seed, 3000);
        let image = Image::new("linux/amd64".parse().unwrap())
            .layer(Layer::gzip(&layer_tar(&[("etc/os-release", b"ID=longshore\n")])))
            .layer(Layer::gzip(&layer_tar(&[("app/data", &own)])))
            .build();
        let location = layout(program, &format!("packed-{seed}"), &image, "v1");
        Self { location, stored: Stored::of(&image) }
    }
}
