//! The floors of a pull: the simplest programs that receive or hash the same bytes.

use std::path::{Path, PathBuf};

use super::contestant::CommandLine;

/// The name of the program that receives the blobs.
pub(super) const CURL: &str = "curl to nowhere";
/// The name of the program that hashes the blobs.
pub(super) const SHA256SUM: &str = "sha256sum";

/// Receives all blobs of a repository one after the other, over one connection.
pub(super) fn curl(source: &str, repository: &str, digests: &[String]) -> CommandLine {
    let mut line = words("curl --silent --show-error --fail");
    for digest in digests {
        line.extend(words("--output /dev/null"));
        line.push(format!("http://{source}/v2/{repository}/blobs/{digest}"));
    }
    Some(line)
}

/// Hashes all blobs in a layout.
pub(super) fn sha256sum(layout: &Path, digests: &[String]) -> CommandLine {
    let mut line = words("sha256sum");
    line.extend(digests.iter().map(|digest| blob(layout, digest).display().to_string()));
    Some(line)
}

/// Returns the path of a blob in a layout.
///
/// Source: image-spec v1.1.1, "Image Layout".
pub(super) fn blob(layout: &Path, digest: &str) -> PathBuf {
    layout.join("blobs").join(digest.replace(':', "/"))
}

fn words(text: &str) -> Vec<String> {
    text.split(' ').map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_floors_work_on_the_same_blobs() {
        let digests = ["sha256:aa".to_owned(), "sha256:bb".to_owned()];
        assert_eq!(
            curl("h:1", "big", &digests).unwrap().join(" "),
            "curl --silent --show-error --fail \
             --output /dev/null http://h:1/v2/big/blobs/sha256:aa \
             --output /dev/null http://h:1/v2/big/blobs/sha256:bb"
        );
        assert_eq!(
            sha256sum(Path::new("l"), &digests).unwrap().join(" "),
            "sha256sum l/blobs/sha256/aa l/blobs/sha256/bb"
        );
    }
}
