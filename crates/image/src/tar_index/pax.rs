//! Extended headers: records with further attributes of the next entry.

use longshore_core::{Error, ErrorKind, Result};

/// The attributes of the next entry that extended headers and long-name entries set.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Overrides {
    pub(super) name: Option<Vec<u8>>,
    pub(super) link: Option<Vec<u8>>,
    pub(super) size: Option<u64>,
}

impl Overrides {
    /// Returns true if no attribute is set.
    pub(super) fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Adds the records of an extended header.
    ///
    /// # Errors
    /// [`Invalid`](ErrorKind::Invalid) if the format is violated;
    /// [`Unsupported`](ErrorKind::Unsupported) for sparse files, whose content is not stored
    /// completely.
    ///
    /// Source: POSIX.1-2024, pax, "pax Extended Header". The record `size` determines how many
    /// bytes are read and skipped.
    pub(super) fn read(&mut self, mut records: &[u8]) -> Result<()> {
        while !records.is_empty() {
            let (key, value, rest) = record(records)?;
            records = rest;
            match key {
                b"path" => self.name = Some(text(value)?),
                b"linkpath" => self.link = Some(text(value)?),
                b"size" => self.size = Some(number(value).ok_or_else(|| bad("an invalid size"))?),
                key if key.starts_with(b"GNU.sparse.") => return Err(sparse()),
                _ => {}
            }
        }
        Ok(())
    }
}

/// Builds the error for sparse files, of which only parts are stored.
pub(super) fn sparse() -> Error {
    Error::new(ErrorKind::Unsupported)
        .detail("the archive has a sparse file")
        .with_hint("Create the archive without tar's option --sparse.")
}

/// Splits off one record, `LENGTH KEY=VALUE\n`. The length counts the whole record.
fn record(records: &[u8]) -> Result<(&[u8], &[u8], &[u8])> {
    let split = || {
        let space = records.iter().take(LENGTH_DIGITS).position(|b| *b == b' ')?;
        let length = usize::try_from(number(&records[..space])?).ok()?;
        if length > records.len() || length < space + 2 {
            return None;
        }
        let (record, rest) = records.split_at(length);
        let pair = record[space + 1..].strip_suffix(b"\n")?;
        let equals = pair.iter().position(|b| *b == b'=')?;
        Some((&pair[..equals], &pair[equals + 1..], rest))
    };
    split().ok_or_else(|| bad("an invalid record"))
}

fn number(digits: &[u8]) -> Option<u64> {
    if !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    str::from_utf8(digits).ok()?.parse().ok()
}

fn text(value: &[u8]) -> Result<Vec<u8>> {
    if value.contains(&0) {
        return Err(bad("a name with a zero byte"));
    }
    Ok(value.to_vec())
}

fn bad(what: &str) -> Error {
    Error::new(ErrorKind::Invalid)
        .detail(format!("the tar file has an extended header with {what}"))
}

/// The maximum length of the length field of a record, including the space. Nine digits are
/// sufficient for the size limit of extended headers.
const LENGTH_DIGITS: usize = 10;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_are_applied_or_refused() {
        let read = |records: &[u8]| {
            let mut overrides = Overrides::default();
            overrides.read(records).map(|()| overrides).map_err(|e| e.kind())
        };
        let named =
            Overrides { name: Some(b"a\nb".to_vec()), size: Some(7), ..Overrides::default() };
        assert_eq!(read(b"12 path=a\nb\n9 size=7\n"), Ok(named));
        assert_eq!(read(b"16 comment=\0\n=x\n"), Ok(Overrides::default()));
        for bad in [
            &b"x path=a\n"[..],
            b"8 path=a\n",
            b"11 path=a\n",
            b"10 path=a ",
            b"10 path=\0\n",
            b"11 size=-1\n",
            b"11 size=+1\n",
            b"11 size=0x\n",
            b"29 size=99999999999999999999\n",
            b"99999999999999999999 a=b\n",
            b"3 \n",
            b"\0\0\0",
        ] {
            assert_eq!(read(bad), Err(ErrorKind::Invalid), "{}", bad.escape_ascii());
        }
        assert_eq!(read(b"22 GNU.sparse.major=1\n"), Err(ErrorKind::Unsupported));
    }
}
