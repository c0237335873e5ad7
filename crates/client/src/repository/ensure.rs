//! Pushes a blob unless the repository has it, with as few requests as the registry allows.
//!
//! Owns the rule that chooses the first request for a blob without a recorded session. `push` sends
//! the content.

use std::mem;
use std::sync::Arc;
use std::time::Duration;

use longshore_core::{BlobBody, Descriptor, Error, ErrorCode, Pushed, Result};
use tokio::sync::OwnedMutexGuard;
use tokio::time::timeout;

use super::RemoteRepository;
use super::mount::SelfMount;
use super::push::{continue_in, earlier_session, push_anew, send};
use super::upload::Session;
use crate::capabilities::Capabilities;
use crate::config::UploadMethod;

/// The first request for a blob.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum First {
    /// A `POST` with the content.
    Post,
    /// A mount from the repository itself: it shows whether the repository has the blob, and begins
    /// an upload if not.
    SelfMount,
    /// A `HEAD`, before a push as configured.
    Head,
}

/// The properties of a blob that the choice depends on.
#[derive(Clone, Copy, Debug)]
struct Blob {
    size: u64,
    /// True if the content can be read again.
    replayable: bool,
    /// True if the content may be anything else than a mount from another repository.
    has_content: bool,
    /// True if another repository of the same registry has the blob. A push mounts it from there.
    can_be_mounted: bool,
}

/// Chooses the first request for a blob.
fn first(blob: Blob, method: UploadMethod, known: &Capabilities) -> First {
    // zot refuses an empty single request.
    let is_small = (1..=SINGLE_POST_LIMIT).contains(&blob.size) && blob.replayable;
    match method {
        _ if blob.can_be_mounted || !blob.has_content => First::Head,
        // The caller chose the method, or the registry accepts no other.
        UploadMethod::SinglePost | UploadMethod::Chunked(_) => First::Head,
        UploadMethod::PostThenPut if is_small && known.single_post != Some(false) => First::Post,
        UploadMethod::PostThenPut if known.self_mount == Some(true) => First::SelfMount,
        UploadMethod::PostThenPut => First::Head,
    }
}

/// Pushes a blob unless the repository has it. A small blob may be sent although it exists.
pub(super) async fn ensure(
    repository: &RemoteRepository,
    descriptor: &Descriptor,
    body: BlobBody,
) -> Result<Pushed> {
    if let Some(session) = earlier_session(repository, descriptor, &body).await {
        return continue_in(session, repository, descriptor, body).await;
    }
    let here = repository.repository().registry();
    let blob = Blob {
        size: descriptor.size,
        replayable: body.is_replayable(),
        has_content: body.has_content(),
        can_be_mounted: body.origin().is_some_and(|from| from.registry() == here),
    };
    let method = repository.upload_method();
    let _first_contact = first_contact(repository, blob, method).await;
    let pushed = match first(blob, method, &repository.known().capabilities) {
        First::Post => post(repository, descriptor, body).await?,
        First::Head => check_then_push(repository, descriptor, body).await?,
        First::SelfMount => match repository.mount_from_itself(descriptor).await? {
            SelfMount::Exists => Pushed::Existing,
            SelfMount::Begun(session) => {
                send(repository, descriptor, body, session.map(|session| *session)).await?
            }
            SelfMount::Unsupported => {
                repository.learn(|known| known.capabilities.self_mount = Some(false));
                check_then_push(repository, descriptor, body).await?
            }
            SelfMount::Failed => check_then_push(repository, descriptor, body).await?,
        },
    };
    if pushed == Pushed::Sent {
        probe(repository, descriptor).await;
    }
    Ok(pushed)
}

/// At the first contact with a registry, lets the push of a small blob determine what the registry
/// supports, while larger blobs wait for it. Larger blobs then need no `HEAD`.
///
/// The caller holds the result until the end of its push.
async fn first_contact(
    repository: &RemoteRepository,
    blob: Blob,
    method: UploadMethod,
) -> Option<OwnedMutexGuard<()>> {
    let known = repository.known();
    if known.capabilities.self_mount.is_some() || method != UploadMethod::PostThenPut {
        return None;
    }
    let registry = repository.repository().registry().clone();
    let contact = repository.shared().first_contacts.get_or_insert_with(registry, Arc::default);
    match first(blob, method, &known.capabilities) {
        First::Post if !known.self_mount_probed => contact.try_lock_owned().ok(),
        First::Head if blob.has_content && !blob.can_be_mounted => {
            // The wait saves one request, so it must not be long.
            drop(timeout(CONTACT_WAIT, contact.lock()).await);
            None
        }
        _ => None,
    }
}

/// Sends a small blob in a single `POST`. If the registry does not store it, sends it as any other
/// blob.
async fn post(
    repository: &RemoteRepository,
    descriptor: &Descriptor,
    mut body: BlobBody,
) -> Result<Pushed> {
    // Content in memory is verified before it is sent, and can be sent again after a challenge.
    let limit = usize::try_from(descriptor.size).unwrap_or(usize::MAX);
    let content = match body.open(descriptor).await {
        Ok(reader) => reader.bytes(limit).await,
        Err(e) => Err(e),
    };
    // The registry may have a blob that the source lacks.
    let Ok(content) = content else {
        return check_then_push(repository, descriptor, body).await;
    };
    // If the registry does not store it, the content need not be read again.
    let body = BlobBody::from(content.clone());
    match repository.post_bytes(descriptor, content).await {
        Ok(None) => {
            repository.learn(|known| known.capabilities.single_post = Some(true));
            Ok(Pushed::Sent)
        }
        Ok(Some(upload)) => {
            repository.learn(|known| known.capabilities.single_post = Some(false));
            send(repository, descriptor, body, Some(Session::of(upload))).await
        }
        Err(error) if refuses_single_post(&error) => {
            tracing::debug!(digest = %descriptor.digest, %error, "the single request failed");
            // A 404 may mean that the repository does not exist, so it shows nothing about the registry.
            if error.status() != Some(404) {
                repository.learn(|known| known.capabilities.single_post = Some(false));
            }
            check_then_push(repository, descriptor, body).await
        }
        // Another push would fail for the same reason, after the same number of attempts.
        Err(error) => Err(error),
    }
}

/// Returns true if a registry may accept the blob in another form than a single `POST`.
fn refuses_single_post(error: &Error) -> bool {
    let is_about_form = matches!(error.status(), Some(400 | 404 | 405 | 411 | 415 | 501));
    is_about_form && !OTHER_REASONS.iter().any(|code| error.has_code(code))
}

/// Pushes a blob as configured, unless the repository has it.
async fn check_then_push(
    repository: &RemoteRepository,
    descriptor: &Descriptor,
    body: BlobBody,
) -> Result<Pushed> {
    match repository.has(descriptor).await? {
        true => Ok(Pushed::Existing),
        false => push_anew(repository, descriptor, body).await,
    }
}

/// Determines once whether the registry mounts a blob from the repository itself, with a blob that
/// was just sent. A blob that a manifest references would not show this, because some registries
/// mount only such blobs (ECR, 2025). A failure shows nothing, and is not stored.
async fn probe(repository: &RemoteRepository, descriptor: &Descriptor) {
    let is_used = repository.upload_method() == UploadMethod::PostThenPut;
    if !is_used || repository.learn(|known| mem::replace(&mut known.self_mount_probed, true)) {
        return;
    }
    let supported = match repository.mount_from_itself(descriptor).await {
        Ok(SelfMount::Exists) => true,
        Ok(SelfMount::Unsupported) => false,
        Ok(SelfMount::Begun(session)) => {
            if let Some(session) = session {
                session.cancel().await;
            }
            false
        }
        Ok(SelfMount::Failed) | Err(_) => return,
    };
    repository.learn(|known| known.capabilities.self_mount = Some(supported));
}

/// 2 s: about the time of two requests to a slow registry.
const CONTACT_WAIT: Duration = Duration::from_secs(2);
/// 64 KiB: the content that is wasted if the registry ignores the body of a `POST`, or has the blob.
const SINGLE_POST_LIMIT: u64 = 64 << 10;

/// Codes of refusals that do not depend on the form of the request.
const OTHER_REASONS: [ErrorCode; 4] =
    [ErrorCode::DENIED, ErrorCode::UNAUTHORIZED, ErrorCode::NAME_INVALID, ErrorCode::NAME_UNKNOWN];

#[cfg(test)]
mod tests {
    use std::num::NonZeroU64;

    use super::*;

    #[test]
    fn the_first_request_depends_on_the_blob_and_on_what_the_registry_supports() {
        let small = Blob { size: 10, replayable: true, has_content: true, can_be_mounted: false };
        let large = Blob { size: 1 << 20, ..small };
        let plain = UploadMethod::PostThenPut;
        let known = |single_post, self_mount| Capabilities {
            single_post,
            self_mount,
            ..Capabilities::default()
        };
        let (yes, no) = (Some(true), Some(false));
        for (blob, method, known, expected) in [
            (small, plain, known(None, None), First::Post),
            (Blob { size: 0, ..small }, plain, known(yes, None), First::Head),
            (small, plain, known(yes, None), First::Post),
            (small, plain, known(no, None), First::Head),
            (small, plain, known(no, yes), First::SelfMount),
            (large, plain, known(yes, None), First::Head),
            (large, plain, known(yes, yes), First::SelfMount),
            (large, plain, known(yes, no), First::Head),
            (Blob { replayable: false, ..small }, plain, known(yes, yes), First::SelfMount),
            (Blob { has_content: false, ..small }, plain, known(yes, yes), First::Head),
            (Blob { can_be_mounted: true, ..large }, plain, known(yes, yes), First::Head),
            (small, UploadMethod::SinglePost, known(yes, yes), First::Head),
            (large, UploadMethod::Chunked(NonZeroU64::MIN), known(yes, yes), First::Head),
        ] {
            assert_eq!(first(blob, method, &known), expected, "{blob:?} {method:?} {known:?}");
        }
    }
}
