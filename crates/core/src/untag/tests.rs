use std::ops::Range;

use async_trait::async_trait;

use super::*;
use crate::store::{Node, Presence, Pushed, Source, Target};
use crate::{
    BlobBody, BlobReader, BlobStream, Digest, MediaType, Memory, Pages, RawManifest, Repository,
    TagOrDigest,
};

/// A store that can be configured to refuse operations as some registries do.
#[derive(Debug, Default)]
struct Registry {
    memory: Memory,
    refuses_tags: bool,
    refuses_manifests: bool,
}

#[async_trait]
impl Source for Registry {
    fn name(&self) -> String {
        self.memory.name()
    }
    fn origin(&self) -> Option<&Repository> {
        None
    }
    async fn resolve(&self, selector: &TagOrDigest) -> Result<Descriptor> {
        self.memory.resolve(selector).await
    }
    async fn manifest(&self, selector: &TagOrDigest) -> Result<RawManifest> {
        self.memory.manifest(selector).await
    }
    async fn blob(&self, descriptor: &Descriptor) -> Result<BlobReader> {
        self.memory.blob(descriptor).await
    }
    async fn blob_range(&self, descriptor: &Descriptor, range: Range<u64>) -> Result<BlobStream> {
        self.memory.blob_range(descriptor, range).await
    }
    async fn blob_size(&self, digest: &Digest) -> Result<Option<u64>> {
        self.memory.blob_size(digest).await
    }
    fn tags(&self, after: Option<&Tag>) -> Pages<Tag> {
        self.memory.tags(after)
    }
    fn referrers(&self, subject: &Digest, artifact_type: Option<&MediaType>) -> Pages<Descriptor> {
        self.memory.referrers(subject, artifact_type)
    }
}

#[async_trait]
impl Target for Registry {
    async fn holds(&self, node: Node<'_>) -> Result<Presence> {
        self.memory.holds(node).await
    }
    async fn push_blob(&self, descriptor: &Descriptor, body: BlobBody) -> Result<Pushed> {
        self.memory.push_blob(descriptor, body).await
    }
    async fn push_manifest(&self, manifest: &RawManifest, tag: Option<&Tag>) -> Result<()> {
        self.memory.push_manifest(manifest, tag).await
    }
}

#[async_trait]
impl Delete for Registry {
    async fn delete_blob(&self, digest: &Digest) -> Result<()> {
        self.memory.delete_blob(digest).await
    }
    async fn delete_manifest(&self, digest: &Digest) -> Result<()> {
        if self.refuses_manifests {
            return Err(Error::new(ErrorKind::Unsupported).with_status(405));
        }
        self.memory.delete_manifest(digest).await
    }
    async fn delete_tag(&self, tag: &Tag) -> Result<()> {
        if self.refuses_tags {
            return Err(Error::new(ErrorKind::Unsupported).with_status(405));
        }
        self.memory.delete_tag(tag).await
    }
}

fn tag(text: &str) -> Tag {
    Tag::parse(text).unwrap()
}

async fn with_two_tags(registry: &Registry) -> Descriptor {
    let pack = || Pack::artifact("a/b".parse().unwrap()).file("f", "content");
    pack().push(registry, Some(&tag("v1"))).await.unwrap();
    pack().push(registry, Some(&tag("v2"))).await.unwrap()
}

async fn tags(registry: &Registry) -> Vec<Tag> {
    registry.tags(None).all().await.unwrap()
}

#[tokio::test]
async fn other_tags_stay_with_both_methods_of_removal() {
    for (refuses_tags, how) in [(false, UntagMethod::Direct), (true, UntagMethod::Placeholder)] {
        let registry = Registry { refuses_tags, ..Registry::default() };
        let image = with_two_tags(&registry).await;
        assert_eq!(untag(&registry, &tag("v1")).await.unwrap(), how);
        assert_eq!(tags(&registry).await, [tag("v2")]);
        assert_eq!(registry.resolve(&tag("v2").into()).await.unwrap().digest, image.digest);
        assert_eq!(registry.memory.manifest_count(), 1, "no placeholder is left");
    }
}

#[tokio::test]
async fn a_registry_that_refuses_deletes_keeps_the_tag() {
    let registry = Registry { refuses_tags: true, refuses_manifests: true, ..Registry::default() };
    let image = with_two_tags(&registry).await;
    let e = untag(&registry, &tag("v1")).await.unwrap_err();
    assert_eq!(e.kind(), ErrorKind::Unsupported);
    assert!(e.hint().is_some());
    assert_eq!(tags(&registry).await, [tag("v1"), tag("v2")]);
    assert_eq!(registry.resolve(&tag("v1").into()).await.unwrap().digest, image.digest);
}

#[tokio::test]
async fn a_missing_tag_is_not_found() {
    let e = untag(&Registry::default(), &tag("v1")).await.unwrap_err();
    assert_eq!(e.kind(), ErrorKind::NotFound);
}
