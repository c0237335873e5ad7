use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use super::*;

/// Puts a helper with this name and script into a folder. Returns a search path with only that
/// folder.
pub(in crate::credentials) fn helper(folder: &Path, name: &str, script: &str) -> Helpers {
    let path = folder.join(format!("docker-credential-{name}"));
    fs::write(&path, format!("#!/bin/sh\n{script}")).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    Helpers::from_environment(&Environment::empty().with("PATH", folder))
}

/// A helper that stores its input in files in its own folder.
pub(in crate::credentials) const KEEPER: &str = r#"
PATH=/usr/bin:/bin
kept="$0.kept"
case "$1" in
store) cat > "$kept" ;;
get) cat > "$0.asked"
  if [ -f "$kept" ]; then cat "$kept"; else echo "credentials not found in native keychain"; exit 1; fi ;;
erase) cat > "$0.erased"; rm "$kept" ;;
list) echo '{"https://b.example":"u","a.example":"v"}' ;;
*) exit 2 ;;
esac
"#;

fn registry() -> RegistryName {
    "r.example:5000".parse().unwrap()
}

#[tokio::test]
async fn a_failed_store_is_an_error_even_if_the_helper_reports_a_missing_entry() {
    let folder = tempfile::tempdir().unwrap();
    let helpers = helper(folder.path(), "broken", "echo credentials not found; exit 1");
    let broken = CredentialHelper::new("broken", &helpers).unwrap();
    let login = Login { user: "me".to_owned(), password: Secret::new("pw") };
    let e = broken.store(&registry(), &login).await.unwrap_err();
    assert_eq!(e.kind(), ErrorKind::Io);
    assert!(!broken.erase(&registry()).await.unwrap());
}

#[tokio::test]
async fn a_helper_stores_returns_and_erases_a_credential() {
    let folder = tempfile::tempdir().unwrap();
    let helpers = helper(folder.path(), "keeper", KEEPER);
    let keeper = CredentialHelper::new("keeper", &helpers).unwrap();
    assert_eq!(keeper.credential(&registry()).await.unwrap(), None);
    assert!(!keeper.erase(&registry()).await.unwrap());

    let login = Login { user: "me".to_owned(), password: Secret::new("p\"w\\") };
    keeper.store(&registry(), &login).await.unwrap();
    let found = keeper.credential(&registry()).await.unwrap().unwrap();
    assert_eq!(found.as_login(), Some(&login));
    assert!(found.source().contains("docker-credential-keeper, entry r.example:5000"));
    let input = |file: &str| fs::read_to_string(folder.path().join(file)).unwrap();
    assert_eq!(input("docker-credential-keeper.asked"), "r.example:5000");

    let listed = keeper.list().await.unwrap();
    assert_eq!(listed[0], ("a.example".to_owned(), "v".to_owned()));
    assert!(keeper.erase(&registry()).await.unwrap());
    assert_eq!(input("docker-credential-keeper.erased"), "r.example:5000");

    let hub = RegistryName::docker_hub();
    keeper.credential(&hub).await.unwrap();
    assert_eq!(input("docker-credential-keeper.asked"), "https://index.docker.io/v1/");
}

#[tokio::test]
async fn the_user_name_token_marks_an_identity_token() {
    let folder = tempfile::tempdir().unwrap();
    let script = r#"echo '{"ServerURL":"x","Username":"<token>","Secret":"s3cret"}'"#;
    let helpers = helper(folder.path(), "t", script);
    let found = CredentialHelper::new("t", &helpers).unwrap().credential(&registry()).await;
    let found = found.unwrap().unwrap();
    assert_eq!(found.kind(), super::super::CredentialKind::IdentityToken);
    assert_eq!(found.identity().unwrap().password.expose(), "s3cret");
}

#[tokio::test]
async fn an_error_names_the_helper_that_failed() {
    for (script, kind, expected) in [
        ("exec sleep 60 <&- >&- 2>&-", ErrorKind::Timeout, "too long"),
        ("sleep 60 & exec sleep 60", ErrorKind::Timeout, "too long"),
        ("exec yes", ErrorKind::TooLarge, "64 KiB"),
        ("echo hello; echo '{}'", ErrorKind::Protocol, "JSON"),
        ("printf %s '{\"Username\":\"a\\nb\",\"Secret\":\"x\"}'", ErrorKind::Protocol, "control"),
        ("echo 'the keychain is locked' >&2; exit 3", ErrorKind::Io, "the keychain is locked"),
        ("echo '\u{1b}[2J'; exit 3", ErrorKind::Io, "\\u{1b}"),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let script = format!("PATH=/usr/bin:/bin\n{script}");
        let limit = Duration::from_millis(if kind == ErrorKind::Timeout { 300 } else { 30_000 });
        let helpers = helper(folder.path(), "bad", &script).timeout(limit);
        let e = CredentialHelper::new("bad", &helpers).unwrap().credential(&registry()).await;
        let e = e.unwrap_err();
        assert_eq!(e.kind(), kind, "{script}: {e}");
        let shown = e.to_string();
        assert!(shown.contains("docker-credential-bad") && shown.contains(expected), "{shown}");
    }
}

#[tokio::test]
async fn a_helper_that_does_not_read_its_input_is_killed() {
    let folder = tempfile::tempdir().unwrap();
    let script = "PATH=/usr/bin:/bin; exec sleep 60";
    let helpers = helper(folder.path(), "deaf", script).timeout(Duration::from_millis(300));
    // 1 MiB does not fit into a pipe's buffer.
    let login = Login { user: "me".to_owned(), password: Secret::new("x".repeat(1 << 20)) };
    let name = registry();
    let deaf = CredentialHelper::new("deaf", &helpers).unwrap();
    let ended = tokio::time::timeout(Duration::from_secs(30), deaf.store(&name, &login));
    assert_eq!(ended.await.unwrap().unwrap_err().kind(), ErrorKind::Timeout);
}

#[tokio::test]
async fn a_failed_store_does_not_repeat_the_secret() {
    let folder = tempfile::tempdir().unwrap();
    let helpers = helper(folder.path(), "echo", "/bin/cat; /bin/cat >&2; exit 1");
    let login = Login { user: "me".to_owned(), password: Secret::new("s3cret") };
    let echo = CredentialHelper::new("echo", &helpers).unwrap();
    let e = echo.store(&registry(), &login).await.unwrap_err();
    assert!(!format!("{e} {e:?}").contains("s3cret"), "{e:?}");
}

#[tokio::test]
async fn only_a_program_on_the_path_with_a_valid_name_is_run() {
    let folder = tempfile::tempdir().unwrap();
    let helpers = helper(folder.path(), "there", "exit 0");
    for bad in ["", "../there", "a/b", "a b", "a;b", "a\\b", &"x".repeat(300)] {
        assert!(CredentialHelper::new(bad, &helpers).is_err(), "{bad}");
    }
    let missing = CredentialHelper::new("missing", &helpers).unwrap();
    assert!(!missing.is_installed());
    let e = missing.credential(&registry()).await.unwrap_err();
    assert_eq!(e.kind(), ErrorKind::NotFound);
    assert!(e.to_string().contains("docker-credential-missing"), "{e}");
}

#[tokio::test(start_paused = true)]
async fn a_slow_helper_is_reported_once() {
    let folder = tempfile::tempdir().unwrap();
    let helpers = helper(folder.path(), "slow", "/bin/sleep 0.3; cat >/dev/null; echo no; exit 1");
    let slow = CredentialHelper::new("slow", &helpers).unwrap();
    let reported = longshore_testkit::wait_log::WaitLog::listen();
    // The helper takes real time. The client's clock is paused, and only the test advances it.
    let get = async |passing: Duration| {
        let registry = registry();
        tokio::join!(slow.credential(&registry), tokio::time::advance(passing)).0.unwrap_err()
    };
    get(wait::LONG - Duration::from_secs(1)).await;
    assert!(reported.take().is_empty());
    get(2 * wait::LONG).await;
    let line = "waiting for docker-credential-slow: no answer for 5 s (gives up after 30 s)";
    assert_eq!(reported.take(), [line]);
}
