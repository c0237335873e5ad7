//! Pushes a file whose digest is not known. A large file is sent while its digest is computed.
//!
//! Computing the digest is usually much faster than sending. If the digest then shows that the
//! repository has the blob, or that an earlier push has sent a part of it, the request is stopped.

use std::pin::pin;

use futures_util::future::{Either, select};
use longshore_core::{BlobStream, Descriptor, Error, FileBody, Pushed, Result, TargetExt as _};

use super::RemoteRepository;
use super::push::send;
use super::upload::Session;
use crate::attempts::may_pass;
use crate::config::UploadMethod;

/// What is known about a blob as soon as its digest is known.
enum Found {
    /// The repository has the blob.
    Stored,
    /// An earlier push has sent a part of the blob.
    Part(Box<Session>),
    Nothing,
}

/// Pushes a file unless the repository has the blob.
pub(super) async fn push_file(
    repository: &RemoteRepository,
    file: &FileBody,
) -> Result<(Descriptor, Pushed)> {
    let is_plain = repository.upload_method() == UploadMethod::PostThenPut;
    if !is_plain || repository.known().refuses_streams || file.size().await? < STREAMED_SIZE {
        let descriptor = file.describe().await?;
        let pushed = repository.check_then_push(&descriptor, file.body()).await?;
        return Ok((descriptor, pushed));
    }
    let content = file.stream().await?;
    let mut session = Session::of(repository.begin_upload().await?);
    let (descriptor, found, sent) = send_and_look(repository, file, &mut session, content).await?;
    let session = match (found, sent) {
        (Found::Stored, _) => {
            session.cancel().await;
            return Ok((descriptor, Pushed::Existing));
        }
        (Found::Part(part), Some(Ok(_))) => {
            part.cancel().await;
            complete(session, &descriptor).await
        }
        (Found::Part(part), _) => {
            session.cancel().await;
            Some(*part)
        }
        (Found::Nothing, Some(Err(error))) => {
            tracing::debug!(digest = %descriptor.digest, %error, "the stream was not accepted");
            remaining(repository, session, &descriptor, &error).await
        }
        (Found::Nothing, _) => complete(session, &descriptor).await,
    };
    let pushed = send(repository, &descriptor, file.body(), session).await?;
    Ok((descriptor, pushed))
}

/// Sends the content to the session, and meanwhile looks for the blob. Stops sending if there is
/// something to be found. Returns the result of the sending, if it was not stopped.
async fn send_and_look(
    repository: &RemoteRepository,
    file: &FileBody,
    session: &mut Session,
    content: BlobStream,
) -> Result<(Descriptor, Found, Option<Result<u64>>)> {
    let location = session.upload.location();
    let looking = pin!(look(repository, file));
    let sending = pin!(session.upload.append_stream(content));
    let (descriptor, found, sent) = match select(looking, sending).await {
        Either::Right((sent, looking)) => {
            let (descriptor, found) = looking.await?;
            (descriptor, found, Some(sent))
        }
        Either::Left((found, sending)) => match found? {
            (descriptor, Found::Nothing) => {
                // From now on, a later push can continue this one.
                let uploads = &repository.shared().uploads;
                let record = uploads.open(repository.repository(), &descriptor.digest);
                session.record = record.and_then(|record| record.store(location));
                (descriptor, Found::Nothing, Some(sending.await))
            }
            (descriptor, found) => (descriptor, found, None),
        },
    };
    Ok((descriptor, found, sent))
}

/// Computes the digest of the file, and looks for the blob and for a part of it.
async fn look(repository: &RemoteRepository, file: &FileBody) -> Result<(Descriptor, Found)> {
    let descriptor = file.describe().await?;
    // A failure shows nothing. The request that sends the file shows the same problem.
    let found = if repository.has(&descriptor).await.unwrap_or(false) {
        Found::Stored
    } else if let Some(part) = Session::recorded(repository, &descriptor).await {
        Found::Part(Box::new(part))
    } else {
        Found::Nothing
    };
    Ok((descriptor, found))
}

/// Returns the session if it has the whole content. The file may have changed while it was sent.
async fn complete(mut session: Session, descriptor: &Descriptor) -> Option<Session> {
    if session.upload.offset() == descriptor.size {
        session.store_location();
        return Some(session);
    }
    session.cancel().await;
    None
}

/// Returns the session after a failure, if the rest of the content can be sent to it.
async fn remaining(
    repository: &RemoteRepository,
    mut session: Session,
    descriptor: &Descriptor,
    error: &Error,
) -> Option<Session> {
    if matches!(error.status(), Some(404 | 405 | 411 | 413 | 415 | 416 | 501)) {
        repository.learn(|known| known.refuses_streams = true);
    }
    if may_pass(error)
        && let Ok(Some(offset)) = session.upload.status().await
        && offset <= descriptor.size
    {
        session.store_location();
        return Some(session);
    }
    session.cancel().await;
    None
}

/// 4 MiB: the digest of a smaller file is known within a few milliseconds, so its push begins with
/// the digest, and needs no session if the repository has the blob.
const STREAMED_SIZE: u64 = 4 << 20;
