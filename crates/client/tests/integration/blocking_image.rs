//! Images, files and credentials with the blocking client.

use bytes::Bytes;
use longshore::blocking::{self, Store, blob_file};
use longshore::{
    CredentialKey, Descriptor, Digest, DockerConfig, Error, ErrorKind, ImageConfig, Layout, Login,
    MediaType, Memory, Pack, Platform, RegistryName, Secret, StoredIn, Tag, Target,
};

use crate::blocking::Served;

fn image<S: Target>(store: &Store<S>, platform: &str) -> Descriptor {
    let mut config = ImageConfig::default();
    config.platform = platform.parse().unwrap();
    let layer = Bytes::from_static(b"plain");
    let descriptor = Descriptor::from_bytes(MediaType::OCI_LAYER, &layer);
    let pack = Pack::image(&config).unwrap().layer(descriptor, layer.into());
    let mut image = store.push_pack(pack, None).unwrap();
    image.platform = Some(config.platform);
    image
}

#[test]
fn images_are_selected_listed_and_read_without_async() {
    let served = Served::memory();
    let repository = served.repository("a");
    let images = ["linux/amd64", "linux/arm64"].map(|platform| image(&repository, platform));
    let index = repository.push_pack(Pack::index(images.to_vec()), None).unwrap();
    let index = repository.manifest(&index.digest.into()).unwrap();
    assert_eq!(repository.list_images(&index).unwrap(), images);
    let arm: Platform = "linux/arm64".parse().unwrap();
    let manifest = repository.select_image(index.clone(), &arm).unwrap();
    assert_eq!(manifest.digest(), &images[1].digest);
    let read = repository.image(manifest).unwrap();
    assert_eq!((read.platform(), read.size(), read.steps().len()), (&arm, 5, 1));
    let e = repository.select_image(index.clone(), &"linux/s390x".parse().unwrap()).unwrap_err();
    assert_eq!(e.kind(), ErrorKind::NotFound);
    assert_eq!(repository.image(index).unwrap_err().kind(), ErrorKind::Unsupported);

    // A store of the type `dyn Source`.
    let any: std::sync::Arc<dyn longshore::Source> = repository.shared();
    let any = Store::from(any);
    let one = any.manifest(&images[0].digest.clone().into()).unwrap();
    assert_eq!(any.image(one).unwrap().platform().to_string(), "linux/amd64");
}

#[test]
fn an_image_can_be_packed_with_an_existing_config() {
    let store = Store::new(Memory::new());
    let made = image(&store, "linux/amd64");
    let made = store.image(store.manifest(&made.digest.into()).unwrap()).unwrap();
    let pack = store.pack_of_held(made.id(), MediaType::OCI_CONFIG).unwrap();
    let layer = made.layers().next().unwrap().descriptor.clone();
    let again = store.push_pack(pack.existing_layer(layer), None).unwrap();
    assert_eq!(again.digest, *made.manifest().digest());
    let missing = Digest::sha256(b"none");
    let e = store.pack_of_held(&missing, MediaType::OCI_CONFIG).unwrap_err();
    assert_eq!(e.kind(), ErrorKind::NotFound);
}

#[test]
fn files_are_packed_into_a_manifest_and_pulled_again() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("notes.txt");
    std::fs::write(&path, "hello").unwrap();
    let served = Served::memory();
    let repository = served.repository("a");
    let pack = Pack::artifact("text/plain".parse().unwrap());
    let pack = pack.file_at(&path, MediaType::OCTET_STREAM).unwrap();
    let made = repository.push_pack(pack, None).unwrap();
    let manifest = repository.manifest(&made.digest.into()).unwrap();
    let out = folder.path().join("out");
    let files = repository.pull_files(&manifest, &out).unwrap();
    assert_eq!(files, [out.join("notes.txt")]);
    assert_eq!(std::fs::read(&files[0]).unwrap(), b"hello");

    let described = blob_file::describe(&path, MediaType::OCTET_STREAM, None).unwrap();
    assert!(blob_file::verify(&files[0], &described).unwrap());
    let copy = folder.path().join("copy");
    blob_file::write(&copy, repository.blob(&described).unwrap()).unwrap();
    assert!(blob_file::verify(&copy, &described).unwrap());
    std::fs::write(&copy, "other").unwrap();
    assert!(!blob_file::verify(&copy, &described).unwrap());
}

#[test]
fn a_failed_read_leaves_no_file() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::new(Memory::new());
    let descriptor = store.push_bytes(MediaType::OCTET_STREAM, "hello").unwrap();
    let broken = std::io::Read::chain(
        store.blob(&descriptor).unwrap(),
        Failing(Some(Error::new(ErrorKind::DigestMismatch))),
    );
    let path = folder.path().join("file");
    // The error of the reader is returned instead of an I/O error.
    let e = blob_file::write(&path, broken).unwrap_err();
    assert_eq!(e.kind(), ErrorKind::DigestMismatch);
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
}

struct Failing(Option<Error>);

impl std::io::Read for Failing {
    fn read(&mut self, _: &mut [u8]) -> std::io::Result<usize> {
        self.0.take().map_or(Ok(0), |error| Err(std::io::Error::other(error)))
    }
}

#[test]
fn a_layout_is_opened_and_listed_without_async() {
    let folder = tempfile::tempdir().unwrap();
    let missing = folder.path().join("none");
    assert_eq!(Store::<Layout>::open(&missing).unwrap_err().kind(), ErrorKind::NotFound);
    let layout = Store::<Layout>::create(folder.path().join("new")).unwrap();
    assert_eq!(layout.only_manifest().unwrap_err().kind(), ErrorKind::NotFound);
    let pack = Pack::artifact("text/plain".parse().unwrap()).file("file", "x");
    let made = layout.push_pack(pack, Some(&Tag::latest())).unwrap();
    let again = Store::<Layout>::open(layout.shared().path()).unwrap();
    assert_eq!(again.only_manifest().unwrap(), Tag::latest().into());
    assert_eq!(again.entries().unwrap()[0].digest, made.digest);
}

#[test]
fn a_login_is_stored_found_and_removed_without_async() {
    let folder = tempfile::tempdir().unwrap();
    let config = DockerConfig::load_from(folder.path().join("config.json")).unwrap();
    let mut store = blocking::CredentialStore::from(config);
    let key = CredentialKey::parse("r.example").unwrap();
    let registry: RegistryName = "r.example".parse().unwrap();
    let login = Login { user: "me".to_owned(), password: Secret::new("password") };
    assert_eq!(store.set(&key, &login).unwrap(), StoredIn::File);
    assert_eq!(store.get(&registry, None).unwrap().as_login(), Some(&login));
    let results = store.look(&registry, Some(&"a/b".parse().unwrap()));
    assert_eq!(results.last().unwrap().as_ref().unwrap().user(), Some("me"));
    assert!(store.remove(&key).unwrap());
    assert!(!store.remove(&key).unwrap());
    assert!(store.get(&registry, None).unwrap().is_anonymous());
    assert!(store.into_inner().path().starts_with(folder.path()));
}

#[cfg(unix)]
#[test]
fn a_credential_helper_is_called_without_async() {
    use std::os::unix::fs::PermissionsExt as _;

    use longshore::{CredentialHelper, Environment, Helpers};

    let folder = tempfile::tempdir().unwrap();
    let program = folder.path().join("docker-credential-keeper");
    let script = r#"#!/bin/sh
PATH=/usr/bin:/bin
case "$1" in
store) cat > "$0.kept" ;;
get) cat > /dev/null
  if [ -f "$0.kept" ]; then cat "$0.kept"
  else echo "credentials not found in native keychain"; exit 1; fi ;;
erase) cat > /dev/null; rm "$0.kept" ;;
list) echo '{"r.example":"me"}' ;;
esac
"#;
    std::fs::write(&program, script).unwrap();
    std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
    let helpers = Helpers::from_environment(&Environment::empty().with("PATH", folder.path()));
    let helper = CredentialHelper::new("keeper", &helpers).unwrap();
    let helper = blocking::CredentialStore::from(helper);
    let registry: RegistryName = "r.example".parse().unwrap();
    assert_eq!(helper.credential(&registry).unwrap(), None);
    let login = Login { user: "me".to_owned(), password: Secret::new("password") };
    helper.store(&registry, &login).unwrap();
    assert_eq!(helper.credential(&registry).unwrap().unwrap().as_login(), Some(&login));
    assert_eq!(helper.list().unwrap(), [("r.example".to_owned(), "me".to_owned())]);
    assert!(helper.erase(&registry).unwrap());
    assert!(!helper.erase(&registry).unwrap());
}
