//! Pushes a stream of unknown size and digest. The stream is hashed while it is sent, and the
//! upload is completed with the digest.

use bytes::Bytes;
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use longshore_core::{BlobStream, Descriptor, Digest, Error, Result};

use super::chunks::Rest;
use super::upload::Session;
use super::{RemoteRepository, Upload};
use crate::attempts::is_broken;
use crate::config::UploadMethod;

/// Pushes a stream of any length.
pub(super) async fn push_stream(
    repository: &RemoteRepository,
    stream: BlobStream,
    digest: Option<&Digest>,
) -> Result<Descriptor> {
    let (mut stream, digest_so_far) = stream.digested(digest)?;
    // Read the first chunk before the session begins, so that a stream that fails immediately needs
    // no session.
    let first = first(&mut stream).await?;
    let mut session = Session::of(repository.begin_upload().await?);
    let sent = async {
        if let Some(first) = first {
            let whole = BlobStream::new(stream::iter([Ok(first)]).chain(stream));
            send(repository, &mut session.upload, whole).await?;
        }
        let descriptor = digest_so_far.finish()?;
        session.upload.finish(&descriptor.digest).await?;
        Ok(descriptor)
    };
    match sent.await {
        Ok(descriptor) => {
            session.forget();
            Ok(descriptor)
        }
        Err(error) => {
            session.cancel().await;
            Err(explained(error))
        }
    }
}

async fn first(stream: &mut BlobStream) -> Result<Option<Bytes>> {
    while let Some(chunk) = stream.try_next().await? {
        if !chunk.is_empty() {
            return Ok(Some(chunk));
        }
    }
    Ok(None)
}

/// Sends the whole stream in chunks of the configured size, or of the registry's minimum size if it
/// is larger. Sends the stream in one request if no chunk size is configured, or if the chunks
/// would be larger than [`CHUNK_LIMIT`].
async fn send(repository: &RemoteRepository, upload: &mut Upload, whole: BlobStream) -> Result<()> {
    let form = repository.upload_method();
    let least = upload.min_chunk_size().unwrap_or(0);
    let chunk_size = match form {
        UploadMethod::Chunked(chunk) => usize::try_from(chunk.get().max(least)).ok(),
        UploadMethod::SinglePost | UploadMethod::PostThenPut => None,
    };
    let Some(chunk_size) = chunk_size.filter(|size| *size <= CHUNK_LIMIT) else {
        return upload.append_stream(whole).await.map(drop);
    };
    let mut rest = Rest::new(whole);
    loop {
        let chunk = rest.first(chunk_size as u64).bytes(chunk_size).await?;
        let size = chunk.len();
        if size > 0 {
            upload.append(chunk.into(), size as u64).await?;
        }
        if size < chunk_size {
            return Ok(());
        }
    }
}

fn explained(error: Error) -> Error {
    match is_broken(&error) {
        true => error.with_hint("The blob came from a stream, which cannot be sent again."),
        false => error,
    }
}

/// 64 MiB: each chunk of a stream of unknown size is kept in memory while it is sent.
const CHUNK_LIMIT: usize = 64 << 20;
