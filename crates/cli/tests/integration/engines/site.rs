//! Where engines pull from and push to.

use std::net::SocketAddr;
use std::path::PathBuf;

use longshore_testkit::fixture::{Image, Layer, layer_tar};
use longshore_testkit::random;
use longshore_testkit::tls::Authority;

use super::archive::Stored;
use crate::program::{Program, Server};
use crate::transfers::layout;

/// A registry that the program serves, and what one needs to know to be let in.
pub(super) struct Site {
    pub(super) program: Program,
    server: Server,
    /// What it is called: a host and a port.
    pub(super) name: String,
    /// A name and a password.
    pub(super) user: Option<(&'static str, &'static str)>,
    /// The folder whose `host:port/ca.crt` is the certificate of who is trusted: it speaks TLS.
    pub(super) certificates: Option<PathBuf>,
}

impl Site {
    /// One that lets everybody in.
    pub(super) fn open() -> Self {
        Self::serving(Program::new(), &[])
    }

    /// One that lets `ann` in. The program has her password.
    pub(super) fn with_users() -> Self {
        let program = Program::new();
        std::fs::write(program.path("people"), format!("ann:{SECRET}\n")).unwrap();
        let site = Self::serving(program, &["--users", "people"]);
        let login = ["login", "-u", "ann", "--password-stdin", &site.name];
        let stored = site.program.run_with(login, b"secret");
        assert_eq!(stored.code, 0, "{stored:?}");
        Self { user: Some(("ann", "secret")), ..site }
    }

    /// One that speaks TLS, at this host of this machine.
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

    /// Where it listens.
    pub(super) fn address(&self) -> SocketAddr {
        self.server.address.parse().unwrap()
    }

    /// `name` at the registry.
    pub(super) fn reference(&self, name: &str) -> String {
        format!("{}/{name}", self.name)
    }

    /// The certificate of the authority that is trusted.
    pub(super) fn authority(&self) -> PathBuf {
        self.certificates.as_ref().unwrap().join(&self.name).join("ca.crt")
    }

    /// Runs a line of words of the program, which trusts the authority.
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

/// `secret`, as `htpasswd -nbBC 4` wrote it.
const SECRET: &str = "$2y$04$wQ.d8FTkNda2B6LZaNaXU.wm8ZgVA1pcVdxS2I5NzLwyHYTOjVHEi";

/// An image in a layout of the program's home.
pub(super) struct Packed {
    pub(super) location: String,
    pub(super) stored: Stored,
}

impl Packed {
    /// One that every engine unpacks: with gzip, not zstd. `seed` alone decides it.
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
