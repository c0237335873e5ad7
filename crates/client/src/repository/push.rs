//! Pushes a blob: the loop around upload sessions, and the rule that decides how to continue after
//! a failure.
//!
//! After a transient failure, the registry is queried for the number of bytes that it has, and the
//! push resumes there. A push also resumes a session that an earlier push recorded
//! (`upload_records`). If the session is lost, the push begins a new session. If the registry
//! refuses the upload method, the push uses another method.

use std::num::NonZeroU64;
use std::time::Duration;

use longshore_core::{
    BlobBody, BlobStream, Descriptor, Error, ErrorCode, ErrorKind, Pushed, Result, Side,
};

use super::chunks::Rest;
use super::mount::Mount;
use super::upload::Session;
use super::{RemoteRepository, Upload};
use crate::attempts::{Series, is_broken, is_transient, may_pass};
use crate::config::UploadMethod;
use crate::exchange::Exchange;
use crate::transport::redirect::moved;

/// Pushes a blob. Continues the session of an interrupted push, if there is one. If the body comes
/// from another repository of the registry, the push begins with a mount.
pub(super) async fn push(
    repository: &RemoteRepository,
    descriptor: &Descriptor,
    body: BlobBody,
) -> Result<Pushed> {
    match earlier_session(repository, descriptor, &body).await {
        None => push_anew(repository, descriptor, body).await,
        Some(session) => continue_in(session, repository, descriptor, body).await,
    }
}

/// Completes a blob in the session of an earlier push, unless the repository has the blob by now.
pub(super) async fn continue_in(
    session: Session,
    repository: &RemoteRepository,
    descriptor: &Descriptor,
    body: BlobBody,
) -> Result<Pushed> {
    match repository.has(descriptor).await? {
        true => {
            session.cancel().await;
            Ok(Pushed::Existing)
        }
        false => send(repository, descriptor, body, Some(session)).await,
    }
}

/// Pushes a blob without looking for the session of an interrupted push.
pub(super) async fn push_anew(
    repository: &RemoteRepository,
    descriptor: &Descriptor,
    body: BlobBody,
) -> Result<Pushed> {
    let here = repository.repository();
    let from = body.origin().filter(|from| from.registry() == here.registry() && *from != here);
    let session = match from {
        None => None,
        Some(from) => match repository.mount(descriptor, from).await? {
            Mount::Done(pushed) => return Ok(pushed),
            Mount::Declined(session) => session.map(|session| *session),
            Mount::Failed(error) if !body.has_content() => return Err(error),
            Mount::Failed(_) => None,
        },
    };
    if !body.has_content() {
        if let Some(session) = session {
            session.cancel().await;
        }
        return Err(Error::new(ErrorKind::Unsupported)
            .at(repository.blob_name(&descriptor.digest))
            .detail("the registry declined to mount the blob"));
    }
    send(repository, descriptor, body, session).await
}

/// Returns the session of an earlier push in which the blob can be completed, if there is one.
///
/// This is no `async fn`, because a future that holds a reference to a body cannot move between
/// threads.
pub(super) fn earlier_session<'a>(
    repository: &'a RemoteRepository,
    descriptor: &'a Descriptor,
    body: &BlobBody,
) -> impl Future<Output = Option<Session>> + Send + use<'a> {
    let can_continue = body.is_replayable() && body.has_content();
    async move {
        match can_continue {
            true => Session::recorded(repository, descriptor).await,
            false => None,
        }
    }
}

/// Sends the content of a blob. Uses the session that a declined mount or an earlier push began, if
/// there is one.
pub(super) async fn send(
    repository: &RemoteRepository,
    descriptor: &Descriptor,
    body: BlobBody,
    session: Option<Session>,
) -> Result<Pushed> {
    let series = Series::default();
    let repository = &repository.in_series(&series);
    let method = match repository.upload_method() {
        // A registry may ignore the body of a single request and require it again.
        UploadMethod::SinglePost if !body.is_replayable() => UploadMethod::PostThenPut,
        method => method,
    };
    let continued = session.as_ref().is_some_and(|session| session.upload.offset() > 0);
    let state = State { method, switched: false, lost: 0, continued };
    let mut push = Push { repository, descriptor, body, state, series };
    let sent = push.run(session).await;
    let used = push.state.method;
    if let (Err(error), UploadMethod::Chunked(_)) = (&sent, used)
        && matches!(error.status(), Some(413 | 416))
    {
        // The registry no longer accepts chunks of the size that it accepted before.
        repository.learn(|known| {
            (known.upload_method, known.capabilities.chunk_size) = (None, None);
        });
    }
    sent.map_err(|e| e.at(repository.blob_name(&descriptor.digest)))?;
    if used != method {
        repository.learn(|known| {
            known.upload_method = Some(used);
            known.capabilities.chunk_size = match used {
                UploadMethod::Chunked(size) => Some(size),
                _ => None,
            };
        });
    }
    Ok(Pushed::Sent)
}

struct Push<'a> {
    repository: &'a RemoteRepository,
    descriptor: &'a Descriptor,
    body: BlobBody,
    state: State,
    series: Series,
}

/// The state of a push that the rule depends on.
#[derive(Clone, Copy, Debug)]
struct State {
    method: UploadMethod,
    /// True if the upload method was switched.
    switched: bool,
    /// The number of lost sessions.
    lost: usize,
    /// True if the session has content that an earlier request or process sent.
    continued: bool,
}

/// The properties of a failure that the rule depends on.
#[derive(Clone, Copy, Debug)]
struct Failure {
    status: Option<u16>,
    /// True if the connection broke.
    broken: bool,
    /// True if the request was redirected.
    moved: bool,
    /// True if the registry's error code is `UNSUPPORTED`.
    unsupported: bool,
    /// True if the registry stated another digest.
    mismatch: bool,
}

impl Failure {
    fn of(error: &Error) -> Self {
        Self {
            status: error.status(),
            broken: is_broken(error),
            moved: moved(error).is_some(),
            unsupported: error.has_code(&ErrorCode::UNSUPPORTED),
            mismatch: error.kind() == ErrorKind::DigestMismatch,
        }
    }
}

/// The next step after a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    /// Query the session's offset, and continue there.
    Resume,
    /// Send the same content to the new location.
    Follow,
    /// Begin a new session, because the session is gone.
    Restart,
    /// Cancel the session, whose content is wrong, and begin a new one.
    Replace,
    /// Begin a new session with another upload method.
    Switch(UploadMethod),
    /// Return the failure.
    GiveUp,
}

/// Decides how to continue after a failure, for a body that can be sent again.
fn step(failure: Failure, state: State) -> Step {
    let switch = |method| if state.switched { Step::GiveUp } else { Step::Switch(method) };
    match failure.status {
        _ if failure.moved => Step::Follow,
        _ if failure.broken => Step::Resume,
        Some(401) => Step::Resume,
        Some(status) if is_transient(status) => Step::Resume,
        Some(404) if state.lost < MAX_LOST => Step::Restart,
        // The registry may have stored more bytes of the earlier request after it stated its offset,
        // or may refuse to continue the session of another process.
        status
            if state.continued
                && state.lost < MAX_LOST
                && (status.is_some() || failure.mismatch) =>
        {
            Step::Replace
        }
        Some(404 | 405 | 411 | 501) => switch(other(state.method)),
        Some(_) if failure.unsupported => switch(other(state.method)),
        // The request is too large. GHCR answers 416 beyond 4 MiB, and proxies answer 413.
        Some(413 | 416) if !matches!(state.method, UploadMethod::Chunked(_)) => {
            switch(UploadMethod::Chunked(SMALL_CHUNK))
        }
        Some(416) => Step::Resume,
        _ => Step::GiveUp,
    }
}

/// Returns the alternative to an upload method that a registry does not support.
fn other(method: UploadMethod) -> UploadMethod {
    match method {
        UploadMethod::PostThenPut => UploadMethod::Chunked(NonZeroU64::MAX),
        UploadMethod::Chunked(_) | UploadMethod::SinglePost => UploadMethod::PostThenPut,
    }
}

impl Push<'_> {
    async fn run(&mut self, mut begun: Option<Session>) -> Result<()> {
        loop {
            let mut session = match begun.take() {
                Some(session) => session,
                // If only the reply to the last request was lost, the blob exists.
                None if self.state.lost > 0 && self.repository.has(self.descriptor).await? => {
                    return Ok(());
                }
                None => match self.begin().await? {
                    Some(session) => session,
                    None => return Ok(()),
                },
            };
            if self.body.is_replayable() {
                session.record(self.descriptor);
            }
            let Err(error) = self.send(&mut session).await else {
                let is_confirmed = session.upload.is_confirmed();
                session.forget();
                return self.check_stored(is_confirmed).await;
            };
            self.series.reach(session.upload.offset());
            let (next, wait) = self.next(&error);
            tracing::debug!(digest = %self.descriptor.digest, %error, ?next, "the upload failed");
            if next == Step::GiveUp {
                match may_pass(&error) {
                    true => session.leave().await,
                    false => session.cancel().await,
                }
                return Err(self.explained(error));
            }
            if next != Step::Follow {
                self.exchange().pause(wait, Some(&error), "the upload continues").await;
            }
            match next {
                Step::Resume => begun = self.resume(session).await,
                Step::Follow => begun = Some(session),
                Step::Switch(method) => {
                    (self.state.method, self.state.switched) = (method, true);
                    session.cancel().await;
                }
                Step::Replace => {
                    self.lose();
                    session.cancel().await;
                }
                Step::Restart | Step::GiveUp => {
                    self.lose();
                    session.forget();
                }
            }
        }
    }

    /// Queries the size of the stored blob, if the registry did not state its digest. A registry may
    /// accept a blob and lose it (GHCR, 2026).
    async fn check_stored(&mut self, is_confirmed: bool) -> Result<()> {
        let Descriptor { digest, size, .. } = self.descriptor;
        if is_confirmed || *size < CHECKED_SIZE {
            return Ok(());
        }
        let clause = match self.repository.stated_size(digest).await {
            Ok(Some(found)) if found == *size => return Ok(()),
            Ok(Some(found)) => format!(
                "the registry accepted the blob of {size} bytes, but states a size of {found} bytes"
            ),
            Ok(None) => "the registry accepted the blob, but does not have it".to_owned(),
            // The push succeeded, and its result cannot be checked.
            Err(error) => {
                tracing::debug!(%digest, %error, "the stored blob is not checked");
                return Ok(());
            }
        };
        Err(Error::new(ErrorKind::Protocol).detail(clause))
    }

    /// Begins a session, unless the blob was sent in a single request.
    async fn begin(&mut self) -> Result<Option<Session>> {
        while self.state.method == UploadMethod::SinglePost {
            let error = match self.post().await {
                Ok(None) => return Ok(None),
                Ok(Some(upload)) => {
                    self.state.method = UploadMethod::PostThenPut;
                    return Ok(Some(Session::of(upload)));
                }
                Err(error) => error,
            };
            let (next, wait) = self.next(&error);
            tracing::debug!(digest = %self.descriptor.digest, %error, ?next, "the single request failed");
            match next {
                Step::GiveUp => return Err(self.explained(error)),
                Step::Switch(method) => (self.state.method, self.state.switched) = (method, true),
                Step::Restart | Step::Replace => self.state.lost += 1,
                // The first request of a session has no body, so the transport follows its
                // redirect.
                Step::Follow => self.state.method = UploadMethod::PostThenPut,
                Step::Resume => {}
            }
            self.exchange().pause(wait, Some(&error), "the upload is restarted").await;
        }
        Ok(Some(Session::of(self.repository.begin_upload().await?)))
    }

    async fn post(&mut self) -> Result<Option<Upload>> {
        let content = BlobStream::new(self.body.open(self.descriptor).await?);
        self.repository.post_blob(self.descriptor, content).await
    }

    /// Sends the rest to a session, and completes it.
    async fn send(&mut self, session: &mut Session) -> Result<()> {
        let upload = &mut session.upload;
        let Descriptor { digest, size, .. } = self.descriptor;
        let rest = match upload.offset() {
            0 => BlobStream::new(self.body.open(self.descriptor).await?),
            offset => self.body.open_at(self.descriptor, offset).await?,
        };
        let UploadMethod::Chunked(chunk) = self.state.method else {
            return upload.finish_with(digest, rest, size - upload.offset()).await;
        };
        let chunk = chunk.get().max(upload.min_chunk_size().unwrap_or(0));
        let mut rest = Rest::new(rest);
        while session.upload.offset() < *size {
            let size = chunk.min(size - session.upload.offset());
            session.upload.append(rest.first(size), size).await?;
            session.store_location();
        }
        session.upload.finish(digest).await
    }

    /// Returns the next step after a failure, and the wait before this step.
    fn next(&mut self, error: &Error) -> (Step, Duration) {
        // The source has already retried, so its failure is final here.
        let is_own = error.side() != Some(Side::Source);
        let step = match self.body.is_replayable() && is_own {
            true => step(Failure::of(error), self.state),
            false => Step::GiveUp,
        };
        let policy = self.repository.exchange().retry();
        match (step, self.series.fail(policy, error.retry_after())) {
            (step, Some(wait)) => (step, wait),
            // The state limits the number of these steps, so earlier failures do not prevent them.
            (Step::Restart | Step::Replace | Step::Switch(_), None) => (step, Duration::ZERO),
            (_, None) => (Step::GiveUp, Duration::ZERO),
        }
    }

    fn exchange(&self) -> &Exchange {
        self.repository.exchange()
    }

    /// Queries the offset at which the upload continues. Returns `None` if a new session is needed.
    async fn resume(&mut self, mut session: Session) -> Option<Session> {
        match session.upload.status().await {
            Ok(Some(offset)) if offset <= self.descriptor.size => {
                self.series.reach(offset);
                self.state.continued = true;
                session.store_location();
                Some(session)
            }
            Ok(_) => {
                session.cancel().await;
                None
            }
            Err(error) => {
                tracing::debug!(digest = %self.descriptor.digest, %error, "the session is lost");
                self.lose();
                match may_pass(&error) {
                    true => session.leave().await,
                    false => session.forget(),
                }
                None
            }
        }
    }

    /// Counts a lost session.
    fn lose(&mut self) {
        (self.state.lost, self.state.continued) = (self.state.lost + 1, false);
    }

    /// Adds a hint if the push failed because its body cannot be sent again.
    fn explained(&self, error: Error) -> Error {
        if !self.body.is_replayable() && is_broken(&error) {
            return error.with_hint("The blob came from a stream, which cannot be sent again.");
        }
        error
    }
}

/// A push begins at most two new sessions for those that were lost.
const MAX_LOST: usize = 2;
/// 1 MiB: for a smaller blob, the check would take as long as the push.
const CHECKED_SIZE: u64 = 1 << 20;
/// 4 MiB: GHCR accepts no more in one request.
const SMALL_CHUNK: NonZeroU64 = NonZeroU64::MIN.saturating_add((4 << 20) - 1);

#[cfg(test)]
mod tests {
    use super::*;

    const START: State =
        State { method: UploadMethod::PostThenPut, switched: false, lost: 0, continued: false };

    fn status(status: u16) -> Failure {
        Failure {
            status: Some(status),
            broken: false,
            moved: false,
            unsupported: false,
            mismatch: false,
        }
    }

    #[test]
    fn each_failure_has_a_next_step() {
        let one_chunk = UploadMethod::Chunked(NonZeroU64::MAX);
        let small = UploadMethod::Chunked(SMALL_CHUNK);
        let local = Failure { status: None, ..status(0) };
        let mismatch = Failure { mismatch: true, ..local };
        let continued = State { continued: true, ..START };
        let broken = Failure { broken: true, ..local };
        let moved = Failure { moved: true, ..local };
        let unsupported = Failure { unsupported: true, ..status(400) };
        let lost = State { lost: 2, ..START };
        let chunks = State { method: small, ..START };
        let switched = State { method: small, switched: true, ..START };
        let single = State { method: UploadMethod::SinglePost, ..START };
        for (failure, state, expected) in [
            (broken, START, Step::Resume),
            (local, START, Step::GiveUp),
            (moved, START, Step::Follow),
            (status(401), START, Step::Resume),
            (status(403), START, Step::GiveUp),
            (status(429), START, Step::Resume),
            (status(500), START, Step::Resume),
            (status(503), START, Step::Resume),
            (status(404), START, Step::Restart),
            (status(404), lost, Step::Switch(one_chunk)),
            (status(404), State { lost: 2, ..switched }, Step::GiveUp),
            (status(405), START, Step::Switch(one_chunk)),
            (status(405), chunks, Step::Switch(UploadMethod::PostThenPut)),
            (status(405), switched, Step::GiveUp),
            (status(411), START, Step::Switch(one_chunk)),
            (status(501), START, Step::Switch(one_chunk)),
            (unsupported, START, Step::Switch(one_chunk)),
            (status(400), START, Step::GiveUp),
            (status(400), continued, Step::Replace),
            (status(400), State { continued: true, ..lost }, Step::GiveUp),
            (status(403), continued, Step::Replace),
            (status(416), continued, Step::Replace),
            (status(401), continued, Step::Resume),
            (status(503), continued, Step::Resume),
            (status(404), continued, Step::Restart),
            (broken, continued, Step::Resume),
            (local, continued, Step::GiveUp),
            (mismatch, continued, Step::Replace),
            (mismatch, START, Step::GiveUp),
            (status(405), single, Step::Switch(UploadMethod::PostThenPut)),
            (status(413), single, Step::Switch(small)),
            (status(413), START, Step::Switch(small)),
            (status(413), switched, Step::GiveUp),
            (status(416), START, Step::Switch(small)),
            (status(416), switched, Step::Resume),
        ] {
            assert_eq!(step(failure, state), expected, "{failure:?} {state:?}");
        }
    }
}
