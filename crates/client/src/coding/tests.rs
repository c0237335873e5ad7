use std::io::Write as _;

use flate2::write::GzEncoder;
use http::HeaderValue;

use super::*;

fn gzip(content: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(content).unwrap();
    encoder.finish().unwrap()
}

fn of(lines: &[&'static str]) -> Coding {
    let mut headers = HeaderMap::new();
    for line in lines {
        headers.append(CONTENT_ENCODING, HeaderValue::from_static(line));
    }
    Coding::of(&headers)
}

/// Returns the body in chunks of `size` bytes.
fn chunks(body: &[u8], size: usize) -> BlobStream {
    let chunks: Vec<_> = body.chunks(size).map(|p| Ok(Bytes::copy_from_slice(p))).collect();
    BlobStream::new(stream::iter(chunks))
}

async fn decoded(body: &[u8], size: usize) -> Result<Bytes> {
    Coding::Gzip.decode(chunks(body, size)).bytes(1 << 20).await
}

#[test]
fn content_encoding_is_parsed_as_identity_gzip_or_another_coding() {
    for (lines, expected) in [
        (&[][..], Coding::Identity),
        (&["identity"], Coding::Identity),
        (&[""], Coding::Identity),
        (&["gzip"], Coding::Gzip),
        (&["x-gzip"], Coding::Gzip),
        (&[" GZip "], Coding::Gzip),
        (&["identity, gzip"], Coding::Gzip),
        (&["br"], Coding::Other("br".to_owned())),
        (&["gzip, gzip"], Coding::Other("gzip, gzip".to_owned())),
        (&["gzip", "x-gzip"], Coding::Other("gzip, x-gzip".to_owned())),
        (&["deflate"], Coding::Other("deflate".to_owned())),
        (&["zstd,gzip"], Coding::Other("zstd, gzip".to_owned())),
    ] {
        assert_eq!(of(lines), expected, "{lines:?}");
    }
}

#[tokio::test]
async fn gzip_is_decoded_with_any_chunk_size() {
    let content = b"some content, some content".repeat(9_000);
    let members = [gzip(b"some content, "), gzip(b""), gzip(&content)].concat();
    let padded = [gzip(&content), vec![0; 1024]].concat();
    for size in [1, 7, 1 << 20] {
        assert_eq!(decoded(&gzip(&content), size).await.unwrap(), content);
        assert_eq!(decoded(&padded, size).await.unwrap(), content);
        let whole = [b"some content, ", &content[..]].concat();
        assert_eq!(decoded(&members, size).await.unwrap(), whole);
        // This content is only labelled as gzip.
        assert_eq!(decoded(b"{\"a\":1}", size).await.unwrap(), &b"{\"a\":1}"[..]);
    }
    assert_eq!(decoded(b"", 1).await.unwrap(), "");
}

#[tokio::test]
async fn broken_gzip_is_an_error() {
    let right = gzip(b"some content");
    let mut flipped = right.clone();
    let crc = flipped.len() - 8;
    flipped[crc] ^= 1;
    for (body, kind) in [
        (right[..right.len() - 1].to_vec(), ErrorKind::Transport),
        (right[..5].to_vec(), ErrorKind::Transport),
        ([&right[..], &right[..9]].concat(), ErrorKind::Transport),
        (flipped, ErrorKind::Protocol),
        ([&right[..], b"more"].concat(), ErrorKind::Protocol),
        ([&right[..], &[0; 9], b"more"].concat(), ErrorKind::Protocol),
        (b"\x1f\x8b\x08 and no more".to_vec(), ErrorKind::Protocol),
    ] {
        for size in [1, 1 << 20] {
            assert_eq!(decoded(&body, size).await.unwrap_err().kind(), kind, "{body:?}");
        }
    }
}

#[tokio::test]
async fn a_decompression_bomb_is_stopped_at_the_limit() {
    let bomb = gzip(&vec![0; 64 << 20]);
    let mut most = 0;
    let mut stream = Coding::Gzip.decode(chunks(&bomb, 1 << 20));
    while let Some(chunk) = stream.next().await {
        most = most.max(chunk.unwrap().len());
    }
    assert_eq!(most, CHUNK_SIZE);
    let error = Coding::Gzip.document(chunks(&bomb, 1 << 20), 1 << 20).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TooLarge);
    // An endless series of empty members must fail too.
    let empty = gzip(b"");
    let endless = stream::repeat(Bytes::from(empty.repeat(1000))).map(Ok);
    let error = Coding::Gzip.document(BlobStream::new(endless), 100).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Protocol);
}

#[tokio::test]
async fn another_coding_is_an_error_unless_the_document_is_json() {
    let coding = Coding::Other("br".to_owned());
    let error = coding.document(chunks(b"\x0b\x02\x80{}\x03", 9), 100).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Protocol);
    assert!(error.to_string().contains("coding \"br\", which was not requested"), "{error}");
    assert!(error.hint().unwrap().contains("proxy"));
    assert_eq!(coding.document(chunks(b"{\"a\":1}", 9), 100).await.unwrap(), "{\"a\":1}");
}
