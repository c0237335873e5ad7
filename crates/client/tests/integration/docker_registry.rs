//! The client against Debian's `docker-registry`, the reference implementation.

use std::sync::Arc;

use longshore::{
    Client, Copier, Delete as _, ErrorKind, GuardMethod, Index, Memory, MemoryCredentials,
    RegistryName, RegistrySettings, RootCertificates, Source as _, SourceExt as _, Tag, TagGuard,
    Target as _, Verification,
};
use longshore_testkit::fixture::{Content, Image, real_image};
use longshore_testkit::peer::{Authority, DockerRegistry};

use crate::quick;

fn tag(text: &str) -> Tag {
    Tag::parse(text).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_real_image_is_pushed_and_pulled_unchanged() {
    let registry = DockerRegistry::start();
    let client = quick().build();
    let at = |name: &str| {
        Arc::new(client.repository(&format!("{}/{name}", registry.address()).parse().unwrap()))
    };
    let content = real_image();
    let here = Arc::new(Memory::new());
    content.push(&*here, Some(&tag("v1"))).await;

    let push = Copier::new(Arc::clone(&here) as _, at("team/app"));
    push.copy(&tag("v1").into(), Some(&tag("v1"))).await.unwrap();
    content.assert_in(&*at("team/app"), &tag("v1").into()).await;

    let across = Copier::new(at("team/app"), at("team/copy"));
    across.copy(&tag("v1").into(), Some(&tag("v2"))).await.unwrap();
    content.assert_in(&*at("team/copy"), &tag("v2").into()).await;

    let name: RegistryName = registry.address().parse().unwrap();
    let names = client.catalog(&name).all().await.unwrap();
    let names: Vec<_> = names.iter().map(|name| name.as_str()).collect();
    assert_eq!(names, ["team/app", "team/copy"]);
    assert_eq!(at("team/copy").tags(None).all().await.unwrap(), [tag("v2")]);
    let ping = client.ping(&name).await.unwrap();
    assert_eq!(ping.api_version.as_deref(), Some("registry/2.0"));

    // This registry deletes manifests by digest only.
    let e = at("team/app").delete_tag(&tag("v1")).await.unwrap_err();
    assert_eq!(e.kind(), ErrorKind::Unsupported);
    at("team/app").delete_manifest(content.root.digest()).await.unwrap();
    let e = at("team/app").resolve(&tag("v1").into()).await.unwrap_err();
    assert_eq!(e.kind(), ErrorKind::NotFound);
}

#[tokio::test]
async fn docker_registry_ignores_conditions_so_guarded_pushes_are_only_checked() {
    let registry = DockerRegistry::start();
    let repository =
        quick().build().repository(&format!("{}/a", registry.address()).parse().unwrap());
    let [one, two] = [1, 2].map(|seed| Image::small(seed).build());
    two.push(&repository, None).await;
    one.push(&repository, None).await;
    let v1 = tag("v1");
    let at = |content: &Content| TagGuard::PointsAt(content.root.digest().clone());
    for (content, guard, expected) in [
        (&one, TagGuard::Absent, Ok(GuardMethod::Checked)),
        (&two, TagGuard::Absent, Err(ErrorKind::Conflict)),
        (&two, at(&two), Err(ErrorKind::Conflict)),
        (&two, at(&one), Ok(GuardMethod::Checked)),
    ] {
        let pushed = repository.push_guarded(&content.root, &v1, &guard).await;
        assert_eq!(pushed.map_err(|e| e.kind()), expected, "{guard:?}");
    }
    assert_eq!(repository.tagged(&v1).await.unwrap().as_ref(), Some(two.root.digest()));
}

#[tokio::test]
async fn a_blob_is_uploaded_in_chunks() {
    let registry = DockerRegistry::start();
    let form = longshore::UploadMethod::Chunked(std::num::NonZeroU64::new(100).unwrap());
    let client = quick().upload_method(form).build();
    let repository = client.repository(&format!("{}/a", registry.address()).parse().unwrap());
    let content = Image::small(1).build();
    content.push(&repository, Some(&tag("v1"))).await;
    content.assert_in(&repository, &tag("v1").into()).await;
}

#[tokio::test]
async fn referrers_are_stored_under_the_fallback_tag() {
    let registry = DockerRegistry::start();
    let client = quick().build();
    let repository = client.repository(&format!("{}/a", registry.address()).parse().unwrap());
    let subject = Image::small(1).build();
    subject.push(&repository, Some(&tag("v1"))).await;
    for seed in [2, 3] {
        let artifact = Image::small(seed)
            .subject(subject.root.descriptor())
            .artifact_type(&format!("application/vnd.example.{seed}"))
            .build();
        artifact.push(&repository, None).await;
    }
    let found = repository.referrers(subject.root.digest(), None).all().await.unwrap();
    assert_eq!(found.len(), 2);
    let wanted = "application/vnd.example.3".parse().unwrap();
    let found = repository.referrers(subject.root.digest(), Some(&wanted)).all().await.unwrap();
    assert_eq!(found.len(), 1);
    let listed = repository.tags(None).all().await.unwrap();
    let fallback = tag(&subject.root.digest().as_str().replace(':', "-"));
    assert!(listed.contains(&fallback));
    let index = repository.manifest(&fallback.into()).await.unwrap();
    let index: Index = serde_json::from_slice(index.bytes()).unwrap();
    assert_eq!(index.manifests.len(), 2);
}

#[tokio::test]
async fn a_missing_or_wrong_password_is_refused() {
    let registry = DockerRegistry::with_htpasswd("user", "s3cret");
    let name: RegistryName = registry.address().parse().unwrap();
    let client = |password: Option<&str>| {
        let store = match password {
            Some(password) => crate::login(name.clone(), "user", password),
            None => MemoryCredentials::new(),
        };
        quick().credentials(store).build()
    };
    let repository = format!("{name}/a/b").parse().unwrap();
    let content = Image::small(1).build();
    let user = client(Some("s3cret"));
    user.check_credentials(&name).await.unwrap();
    content.push(&user.repository(&repository), Some(&tag("v1"))).await;
    content.assert_in(&user.repository(&repository), &tag("v1").into()).await;

    for (password, as_whom) in [(Some("wr0ng"), "the caller"), (None, "anonymous")] {
        let other = client(password);
        let e = other.repository(&repository).manifest(&tag("v1").into()).await.unwrap_err();
        assert_eq!(e.kind(), ErrorKind::Unauthorized);
        let shown = format!("{e} {e:?}");
        assert!(shown.contains(&format!("{name}/a/b:v1")) && shown.contains(as_whom), "{shown}");
        assert!(!shown.contains("wr0ng"), "{shown}");
        assert!(other.check_credentials(&name).await.is_err());
    }
    assert_eq!(client(None).ping(&name).await.unwrap().authentication, ["basic"]);
}

#[tokio::test]
async fn the_certificate_is_checked_unless_verification_is_skipped() {
    let authority = Authority::new();
    let registry = DockerRegistry::with_tls(&authority);
    let name: RegistryName = registry.address().parse().unwrap();
    let pem = std::fs::read(authority.certificate_file()).unwrap();

    let mut trusting = RegistrySettings::default();
    trusting.root_certificates = Some(RootCertificates::from_pem(&pem).unwrap());
    let mut careless = RegistrySettings::default();
    careless.verification = Some(Verification::Skip);
    for settings in [trusting, careless] {
        let client: Client = quick().settings(name.clone(), settings).build();
        client.ping(&name).await.unwrap();
    }

    let mut checking = RegistrySettings::default();
    checking.verification = Some(Verification::Full);
    let client = quick().settings(name.clone(), checking).build();
    let e = client.ping(&name).await.unwrap_err();
    assert_eq!(e.kind(), ErrorKind::Transport);
    assert!(e.hint().is_some_and(|hint| hint.contains("root certificate")), "{e:?}");

    let e = quick().build().ping(&name).await.unwrap_err();
    assert!(e.hint().is_some_and(|hint| hint.contains("--scheme https")), "{e:?}");
}
