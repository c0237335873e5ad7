use std::io::Write as _;

use super::*;

fn gzip(content: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), flate2::Compression::best());
    encoder.write_all(content).unwrap();
    encoder.finish().unwrap()
}

fn zstd(content: &[u8]) -> Vec<u8> {
    zstd::encode_all(content, 1).unwrap()
}

fn decode(bytes: &[u8]) -> std::result::Result<Vec<u8>, ErrorKind> {
    decode_within(bytes, UnpackLimits::default())
}

fn decode_within(bytes: &[u8], limits: UnpackLimits) -> std::result::Result<Vec<u8>, ErrorKind> {
    let mut content = Vec::new();
    Decoder::new(bytes, limits)
        .map_err(|e| e.kind())?
        .read_to_end(&mut content)
        .map_err(|e| error_of(e).kind())?;
    Ok(content)
}

#[test]
fn the_compression_is_detected_from_the_first_bytes() {
    for (start, expected) in [
        (&b""[..], Some(Compression::None)),
        (b"\x1f", Some(Compression::None)),
        (b"\x1f\x8b\x08", Some(Compression::Gzip)),
        (b"\x28\xb5\x2f\xfd", Some(Compression::Zstd)),
        (b"\x50\x2a\x4d\x18\0\0\0\0", Some(Compression::Zstd)),
        (b"{\"a\":1}", Some(Compression::None)),
        (b"\xfd7zXZ\0\0", None),
        (b"BZh91AY&SY", None),
        (b"BZh9 is a file name", Some(Compression::None)),
    ] {
        match (Compression::detect(start), expected) {
            (Ok(found), Some(expected)) => assert_eq!(found, expected, "{start:?}"),
            (Err(e), None) => assert_eq!(e.kind(), ErrorKind::Unsupported),
            (found, expected) => panic!("{start:?}: {found:?}, expected {expected:?}"),
        }
    }
}

#[test]
fn complete_content_is_decompressed_and_damaged_content_is_an_error() {
    let (one, two) = (gzip(b"one "), gzip(b"two"));
    let cut = |bytes: &[u8], by: usize| bytes[..bytes.len() - by].to_vec();
    let mut wrong_sum = one.clone();
    let sum_at = wrong_sum.len() - 8;
    wrong_sum[sum_at] ^= 1;
    let mut skippable = b"\x50\x2a\x4d\x18\x04\0\0\0skip".to_vec();
    skippable.extend(zstd(b"after"));
    for (bytes, expected) in [
        (b"plain".to_vec(), Ok(&b"plain"[..])),
        (Vec::new(), Ok(b"")),
        (one.clone(), Ok(b"one ")),
        ([one.clone(), two.clone()].concat(), Ok(b"one two")),
        ([one.clone(), vec![0; 70_000]].concat(), Ok(b"one ")),
        ([one.clone(), b"junk".to_vec()].concat(), Err(ErrorKind::Invalid)),
        ([one.clone(), vec![0; 9], two].concat(), Err(ErrorKind::Invalid)),
        (cut(&one, 4), Err(ErrorKind::Invalid)),
        (cut(&one, 8), Err(ErrorKind::Invalid)),
        (wrong_sum, Err(ErrorKind::Invalid)),
        (gzip(&one), Ok(&one)),
        (zstd(b"one"), Ok(b"one")),
        ([zstd(b"one "), zstd(b"two")].concat(), Ok(b"one two")),
        (skippable, Ok(b"after")),
        (cut(&zstd(b"one"), 1), Err(ErrorKind::Invalid)),
        ([zstd(b"one"), b"junk".to_vec()].concat(), Err(ErrorKind::Invalid)),
    ] {
        assert_eq!(decode(&bytes), expected.map(<[u8]>::to_vec), "{bytes:?}");
    }
}

#[test]
fn a_decompression_bomb_fails_at_the_size_limit_and_at_the_ratio_limit() {
    let bomb = gzip(&vec![0; 80 << 20]);
    let mut limits = UnpackLimits::default();
    limits.output = 1 << 20;
    assert_eq!(decode_within(&bomb, limits), Err(ErrorKind::TooLarge));
    assert_eq!(decode(&bomb), Err(ErrorKind::TooLarge));
    assert_eq!(decode(&zstd(&vec![0; 80 << 20])), Err(ErrorKind::TooLarge));
    assert_eq!(decode(&gzip(&vec![0; 1 << 20])).unwrap().len(), 1 << 20);
}

#[test]
fn a_zstd_window_beyond_the_limit_is_refused() {
    // Frame header: single segment off, window descriptor 0xa8 = 2^31 bytes.
    let frame = b"\x28\xb5\x2f\xfd\x00\xa8\x01\x00\x00";
    assert_eq!(decode(frame), Err(ErrorKind::Invalid));
}
