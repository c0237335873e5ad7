//! `.netrc` files.

use longshore::fuzzing::netrc;

use super::{quoted, texts};

/// Checks that entries, printed one per line with all words quoted, parse to the same values.
pub fn run(data: &[u8]) -> bool {
    let Ok(text) = str::from_utf8(data) else {
        return false;
    };
    let entries = netrc(text);
    let line = |(machine, login, password): &(String, String, Option<String>)| {
        let password = password.iter().map(|password| format!(" password {}", quoted(password)));
        let password: String = password.collect();
        format!("machine {} login {}{password}\n", quoted(machine), quoted(login))
    };
    let printed: String = entries.iter().map(line).collect();
    assert_eq!(netrc(&printed), entries, "{printed}");
    let size =
        entries.iter().map(|(m, l, p)| m.len() + l.len() + p.as_ref().map_or(0, String::len));
    assert!(size.sum::<usize>() <= text.len());
    !entries.is_empty()
}

/// The file of the parser's tests, and unusual forms.
pub fn seeds() -> Vec<Vec<u8>> {
    texts(&[
        "# mine\nmachine r.example login me password \"p w#\\\"\" # a comment\n",
        "machine r.example:5000\n  login other\n  account x\n  password q\n",
        "macdef init\nmachine evil.example login x password y\n\nmachine a login b password c\n",
        "machine hash.example login h password #1 # a comment\n",
        "machine empty.example login e\ndefault login anybody password s3cret\n",
        "machine r.example password",
        "machine \\",
        "\"",
    ])
}
