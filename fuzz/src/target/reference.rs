//! References, in full and in Docker's short forms.

use longshore::{Defaults, Reference};

use super::texts;

/// Checks that a printed reference parses to the same value, and that errors have no control
/// characters.
pub fn run(data: &[u8]) -> bool {
    let Ok(text) = str::from_utf8(data) else {
        return false;
    };
    let defaults = Defaults::docker();
    let mut accepted = false;
    for read in [text.parse::<Reference>(), defaults.parse(text)] {
        match read {
            Ok(reference) => {
                let printed = reference.to_string();
                assert_eq!(printed.parse().as_ref(), Ok(&reference), "{printed}");
                let short = defaults.short(&reference);
                let whole = short == printed;
                assert!(whole || defaults.parse(&short) == Ok(reference), "{short}");
                accepted = true;
            }
            Err(e) => {
                let told = e.to_string();
                assert!(!told.contains(char::is_control), "{}", told.escape_debug());
            }
        }
    }
    accepted
}

/// References of every form, and invalid ones.
pub fn seeds() -> Vec<Vec<u8>> {
    texts(&[
        "nginx",
        "nginx:1.27",
        "docker.io/library/nginx:latest",
        "index.docker.io/nginx",
        "localhost:5000/a/b:v1",
        "[::1]:5000/a",
        "127.0.0.1:443/a__b/c-d.e:V_1.2-3",
        "R.example/a@sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
        "r.example/a:t@sha512:cf83e1357eefb8bdf1542850d66d8007d620e4050b5715dc83f4a921d36ce9ce47d0d13c5d85f2b0ff8318d2877eec2f63b931bd47417a81a538327af927da3e",
        "https://r.example/a",
        "user:secret@r.example/a",
        "/a",
        "a b",
        "r.example/a:\u{1b}[31m",
    ])
}
