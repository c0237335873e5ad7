//! The registry's password file.

use longshore_registry::fuzzing::htpasswd;

use super::texts;

/// Checks that printed names and hashes parse to the same values.
pub fn run(data: &[u8]) -> bool {
    let Ok(text) = str::from_utf8(data) else {
        return false;
    };
    let Ok(entries) = htpasswd(text) else {
        return false;
    };
    let printed: String = entries.iter().map(|(name, hash)| format!("{name}:{hash}\n")).collect();
    assert_eq!(htpasswd(&printed).expect("printed entries can be parsed"), entries, "{printed}");
    true
}

/// The rows of the parser's tables.
pub fn seeds() -> Vec<Vec<u8>> {
    texts(&[
        "# people\r\n\r\nann:$2y$05$91hwPJGXgN/rDX1lWKN8QOiH9vJxE/XP2tSkyrcTzZXLS9DDb3lKC\r\n",
        "b o:$2a$10$91hwPJGXgN/rDX1lWKN8QOiH9vJxE/XP2tSkyrcTzZXLS9DDb3lKC\n\
         ann:$2b$17$91hwPJGXgN/rDX1lWKN8QOiH9vJxE/XP2tSkyrcTzZXLS9DDb3lKC",
        "bob:$apr1$Zx$secret",
        "bob:$2y$05$secret",
        ":x",
    ])
}
