//! Translates the README of python-dxf to longshore, call by call.
//!
//! ```sh
//! cargo run -p longshore-legacy --example from_python_dxf -- localhost:5000
//! ```

use std::io::{Read as _, Write};

use longshore::{
    BlobBody, Client, Descriptor, FileBody, Manifest, MediaType, MemoryCredentials, Pack, Pushed,
    RegistryName, Secret, Tag, blocking,
};

type Result<T = ()> = std::result::Result<T, Box<dyn std::error::Error>>;

fn main() -> Result {
    let registry = std::env::args().nth(1).ok_or("expected a registry, such as localhost:5000")?;
    run(&registry, &mut std::io::stdout())
}

/// Creates `fred/datalogger` in the registry, and runs the README's calls on it.
pub(crate) fn run(registry: &str, out: &mut impl Write) -> Result {
    let folder = tempfile::tempdir()?;
    let logger = folder.path().join("logger.dat");
    std::fs::write(&logger, "21.5 °C\n")?;

    // def auth(dxf, response): dxf.authenticate('fred', 'somepassword', response=response)
    // dxf = DXF('registry-1.docker.io', 'fred/datalogger', auth)
    let registry: RegistryName = registry.parse()?;
    let fred = MemoryCredentials::new().with(registry.clone(), "fred", Secret::new("somepassword"));
    let client = Client::builder().credentials(fred).build_blocking();
    let dxf = client.repository(&format!("{registry}/fred/datalogger").parse()?);

    // dgst = dxf.push_blob('logger.dat')
    let (dgst, _) = dxf.push_file(&FileBody::new(&logger, MediaType::OCTET_STREAM))?;
    writeln!(out, "blob: {} bytes", dgst.size)?;
    // dxf.blob_size(dgst)
    writeln!(out, "size: {:?}", dxf.blob_size(&dgst.digest)?)?;

    // dxf.set_alias('may15-readings', dgst)
    let readings: Tag = "may15-readings".parse()?;
    let pack = Pack::artifact("application/vnd.example.readings".parse()?);
    dxf.push_pack(pack.file_at(&logger, MediaType::OCTET_STREAM)?, Some(&readings))?;

    // assert dxf.get_alias('may15-readings') == [dgst]
    let layers = layers(&dxf, &readings)?;
    writeln!(out, "alias: {}", layers.iter().map(|l| &l.digest).eq([&dgst.digest]))?;

    // for chunk in dxf.pull_blob(dgst): sys.stdout.write(chunk)
    let mut content = String::new();
    dxf.blob(&dgst)?.read_to_string(&mut content)?;
    write!(out, "{content}")?;

    // dxf.mount_blob('fred/datalogger', dgst)
    let archive = client.repository(&format!("{registry}/fred/archive").parse()?);
    let from: longshore::Repository = format!("{registry}/fred/datalogger").parse()?;
    writeln!(
        out,
        "mounted: {}",
        archive.push_blob(&dgst, BlobBody::mount(from))? == Pushed::Mounted
    )?;

    // dxf.list_aliases(); dxf.list_repos()
    writeln!(out, "aliases: {}", dxf.tags(None).all()?.len())?;
    let repositories = client.catalog(&registry).all()?;
    writeln!(out, "listed: {}", repositories.iter().any(|r| r.as_str() == "fred/datalogger"))?;

    // dxf.set_manifest('may', dxf.get_manifest('may15-readings'))
    let manifest = dxf.manifest(&readings.clone().into())?;
    dxf.push_manifest(&manifest, Some(&"may".parse()?))?;
    // dxf.del_alias('may15-readings')                        theirs: also removes `may`
    dxf.untag(&readings)?;
    writeln!(out, "left: {}", dxf.tags(None).all()?.len())?;
    // dxf.del_blob(dgst)
    archive.delete_blob(&dgst.digest)?;
    writeln!(out, "gone: {:?}", archive.blob_size(&dgst.digest)?)?;
    Ok(())
}

fn layers(dxf: &blocking::RemoteRepository, alias: &Tag) -> Result<Vec<Descriptor>> {
    match dxf.manifest(&alias.clone().into())?.parse()? {
        Manifest::Image(image) => Ok(image.layers.clone()),
        _ => Err("expected the manifest of one image".into()),
    }
}
