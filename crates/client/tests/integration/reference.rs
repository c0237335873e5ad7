//! Resolving a reference, and fetching its manifest.

use longshore::{Client, ErrorKind, ManifestReference, Pack};
use longshore_registry::TestRegistry;

#[tokio::test]
async fn a_reference_is_resolved_and_its_manifest_fetched() {
    let registry = TestRegistry::start().await.unwrap();
    let client = Client::new();
    let at = |rest: &str| -> ManifestReference {
        format!("{}/team/notes{rest}", registry.address()).parse().unwrap()
    };
    let v1 = at(":v1");
    let pack = Pack::artifact("text/plain".parse().unwrap()).file("notes", "hello");
    let packed = pack.push(&client.repository(v1.repository()), v1.tag()).await.unwrap();

    let by_digest = at(&format!("@{}", packed.digest));
    for reference in [&v1, &by_digest] {
        assert_eq!(client.resolve(reference).await.unwrap().digest, packed.digest);
        assert_eq!(client.manifest(reference).await.unwrap().digest(), &packed.digest);
    }
    let missing = client.resolve(&at(":v2")).await.unwrap_err();
    assert_eq!(missing.kind(), ErrorKind::NotFound);
    registry.stop().await.unwrap();
}
