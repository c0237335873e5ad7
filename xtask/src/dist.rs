//! `cargo xtask dist`: builds a release for this machine into `target/dist-packages`.
//!
//! - `longshore-VERSION-TARGET.tar.gz`: the program, its man pages and its completion scripts;
//! - `longshore_VERSION_ARCHITECTURE.deb`, if `dpkg-deb` is installed;
//! - `SHA256SUMS`.
//!
//! The program is static if Rust's target for musl is installed.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use sha2::{Digest as _, Sha256};

use crate::failure::Failure;
use crate::step::{cargo, output, succeed};

type Result<T> = std::result::Result<T, Failure>;

/// Builds the release, and prints its files with their sizes.
///
/// # Errors
/// The errors of cargo and of the packaging programs.
pub(crate) fn run() -> Result<()> {
    let release = Release::build()?;
    fs::remove_dir_all(PACKAGES).ok();
    create(Path::new(PACKAGES))?;
    let mut packages = vec![release.archive()?];
    match Command::new("dpkg-deb").arg("--version").output() {
        Ok(_) if cfg!(target_os = "linux") => packages.push(release.debian_package()?),
        _ => println!("no Debian package was built, because dpkg-deb is not installed"),
    }
    let mut sums = String::new();
    for package in &packages {
        let content = fs::read(package).map_err(|e| Failure::io(package, &e))?;
        println!("{}: {} bytes", package.display(), content.len());
        let name = package.file_name().unwrap_or_default().display();
        for byte in Sha256::digest(&content) {
            let _ = write!(sums, "{byte:02x}");
        }
        let _ = writeln!(sums, "  {name}");
    }
    write_file(&Path::new(PACKAGES).join("SHA256SUMS"), &sums)
}

/// The built program.
struct Release {
    program: PathBuf,
    /// The target in Rust's terms, such as `x86_64-unknown-linux-musl`.
    target: String,
    version: String,
}

impl Release {
    fn build() -> Result<Self> {
        let host = output(Command::new("rustc").arg("--print=host-tuple"))?.trim().to_owned();
        let target = static_target(&host).unwrap_or(host);
        let build = ["build", "--locked", "--profile", "dist", "-p", "longshore-cli", "--target"];
        succeed(cargo().args(build).arg(&target))?;
        let program = Path::new("target").join(&target).join("dist").join(file_name());
        let version = output(Command::new(&program).arg("--version"))?;
        let version = version.trim().trim_start_matches("longshore ").to_owned();
        Ok(Self { program, target, version })
    }

    /// Packs the program with its man pages and completion scripts.
    fn archive(&self) -> Result<PathBuf> {
        let name = format!("longshore-{}-{}", self.version, self.target);
        let folder = Path::new(PACKAGES).join(&name);
        self.install(&folder, &folder.join("man"), &folder.join("completions"))?;
        for file in ["README.md", "CHANGELOG.md", "LICENSE-APACHE", "LICENSE-MIT"] {
            copy(Path::new(file), &folder.join(file))?;
        }
        let archive = format!("{name}.tar.gz");
        let mut tar = Command::new("tar");
        succeed(tar.args(["-C", PACKAGES, "-czf", &format!("{PACKAGES}/{archive}"), &name]))?;
        fs::remove_dir_all(&folder).map_err(|e| Failure::io(&folder, &e))?;
        Ok(Path::new(PACKAGES).join(archive))
    }

    fn debian_package(&self) -> Result<PathBuf> {
        let root = Path::new(PACKAGES).join("debian");
        let shared = root.join("usr/share");
        let (man, completions) = (shared.join("man/man1"), root.join("completions"));
        self.install(&root.join("usr/bin"), &man, &completions)?;
        for (script, place) in [
            ("longshore.bash", "bash-completion/completions/longshore"),
            ("_longshore", "zsh/vendor-completions/_longshore"),
            ("longshore.fish", "fish/vendor_completions.d/longshore.fish"),
        ] {
            copy(&completions.join(script), &shared.join(place))?;
        }
        fs::remove_dir_all(&completions).map_err(|e| Failure::io(&completions, &e))?;
        let mut gzip = Command::new("gzip");
        let pages = fs::read_dir(&man).map_err(|e| Failure::io(&man, &e))?;
        succeed(gzip.arg("-9n").args(pages.filter_map(|page| Some(page.ok()?.path()))))?;
        let copyright = shared.join("doc/longshore/copyright");
        copy(Path::new("LICENSE-MIT"), &copyright)?;
        let architecture = output(Command::new("dpkg").arg("--print-architecture"))?;
        let architecture = architecture.trim();
        // A static program needs no other package.
        let depends = match self.target.ends_with("musl") {
            true => "",
            false => "Depends: libc6\n",
        };
        let control = format!(
            "Package: longshore\nVersion: {}\nArchitecture: {architecture}\n{depends}\
             Maintainer: The longshore developers <noreply@longshore.invalid>\n\
             Section: utils\nPriority: optional\nRecommends: ca-certificates\n\
             Description: client and registry for container images\n \
             Copies, pulls, pushes and serves container images and other OCI artifacts.\n",
            self.version
        );
        write_file(&root.join("DEBIAN/control"), &control)?;
        let name = format!("longshore_{}_{architecture}.deb", self.version);
        let package = Path::new(PACKAGES).join(name);
        let mut build = Command::new("dpkg-deb");
        succeed(build.args(["--root-owner-group", "--build"]).arg(&root).arg(&package))?;
        fs::remove_dir_all(&root).map_err(|e| Failure::io(&root, &e))?;
        Ok(package)
    }

    /// Copies the program, and lets it write its man pages and completion scripts.
    fn install(&self, programs: &Path, man: &Path, completions: &Path) -> Result<()> {
        copy(&self.program, &programs.join(file_name()))?;
        create(man)?;
        succeed(Command::new(&self.program).arg("man").arg(man))?;
        for (shell, script) in
            [("bash", "longshore.bash"), ("zsh", "_longshore"), ("fish", "longshore.fish")]
        {
            let content = output(Command::new(&self.program).args(["completion", shell]))?;
            write_file(&completions.join(script), &content)?;
        }
        Ok(())
    }
}

/// Returns the target for static programs on this machine, if it is installed.
fn static_target(host: &str) -> Option<String> {
    let target = host.strip_suffix("-gnu").map(|start| format!("{start}-musl"))?;
    let print = ["--print=target-libdir", "--target", &target];
    let folder = output(Command::new("rustc").args(print)).ok()?;
    Path::new(folder.trim()).is_dir().then_some(target)
}

fn file_name() -> &'static str {
    if cfg!(windows) { "longshore.exe" } else { "longshore" }
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    create(to.parent().unwrap_or(Path::new(".")))?;
    fs::copy(from, to).map(drop).map_err(|e| Failure::io(from, &e))
}

fn write_file(path: &Path, content: &str) -> Result<()> {
    create(path.parent().unwrap_or(Path::new(".")))?;
    fs::write(path, content).map_err(|e| Failure::io(path, &e))
}

fn create(folder: &Path) -> Result<()> {
    fs::create_dir_all(folder).map_err(|e| Failure::io(folder, &e))
}

const PACKAGES: &str = "target/dist-packages";
