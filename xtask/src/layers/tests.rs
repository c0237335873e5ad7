use super::*;

const DOCUMENT: &str = "\
Some words.

```layers crates
core ->
client -> core
never core -> http reqwest
```

```layers client
0  error auth::scope
1  transport blob+store
2  transport::retry transport::wire
3  auth
4  command
never auth -> transport::wire
apart command
only transport::wire -> reqwest tower-service
```
";

fn table() -> Table {
    Table::parse(DOCUMENT).unwrap()
}

/// Returns the complaints about a crate with these files, as printed.
fn complaints(files: &[(&str, &str)]) -> Vec<String> {
    let skeleton = [
        ("lib.rs", ""),
        ("error.rs", ""),
        ("auth/mod.rs", ""),
        ("auth/scope.rs", ""),
        ("transport/mod.rs", ""),
        ("transport/retry.rs", ""),
        ("transport/wire.rs", ""),
        ("blob.rs", ""),
        ("store.rs", ""),
        ("command/mod.rs", ""),
        ("command/ls.rs", ""),
        ("command/rm/mod.rs", ""),
    ];
    let given = |path: &str| files.iter().any(|(given, _)| *given == path);
    let rest = skeleton.iter().filter(|(path, _)| !given(path));
    let files = files.iter().chain(rest);
    let files = files.map(|(path, text)| {
        let shown = format!("src/{path}");
        (shown, (*path).to_owned(), (*text).to_owned())
    });
    let source = CrateSource::new(files.collect()).unwrap();
    let found = modules("client", &table().crates["client"], &source);
    found.iter().map(ToString::to_string).collect()
}

#[test]
fn paths_in_a_macro_definition_are_not_imports() {
    let body = "macro_rules! tests { ($name:ident) => { mod $name { use super::*; } } }";
    assert_eq!(complaints(&[("error.rs", body)]), [""; 0]);
    let after = format!("{body} use crate::auth::Auth;");
    assert_eq!(complaints(&[("error.rs", &after)]).len(), 1);
}

#[test]
fn imports_from_lower_layers_are_accepted() {
    let files = [
        ("lib.rs", "pub use auth::Auth; pub use error::Error;"),
        (
            "transport/retry.rs",
            "use crate::transport::Transport;\nuse crate::error::{self, Error};",
        ),
        ("auth/mod.rs", "mod scope;\nuse crate::transport::retry::Retry; use self::scope::Scope;"),
        ("blob.rs", "use crate::store::Source;"),
        ("store.rs", "fn f() -> crate::blob::Reader { todo() }"),
        ("transport/wire.rs", "use reqwest::Client; use tower_service::Service;"),
        ("command/ls.rs", "use super::Context; use crate::auth::Auth;"),
        (
            "error.rs",
            "// use crate::auth::Auth;\n#[cfg(test)]\nmod tests { use crate::auth::Auth; }",
        ),
        ("error/tests.rs", "use crate::auth::Auth;"),
        ("error/tests/kind.rs", "use crate::auth::Auth;"),
    ];
    assert_eq!(complaints(&files), Vec::<String>::new());
}

#[test]
fn an_import_from_a_higher_layer_is_reported_with_its_position() {
    let files = [("auth/scope.rs", "\nuse crate::{auth::scope,\n  transport::Body};")];
    let told = "src/auth/scope.rs:2: auth::scope (layer 0) imports transport (layer 1): \
        only lower layers may be imported";
    assert_eq!(complaints(&files), [told]);
}

#[test]
fn a_violation_of_each_rule_is_reported() {
    for (path, text, told) in [
        ("error.rs", "fn f(s: crate::store::Store) {}", "error (layer 0) imports store"),
        ("auth/scope.rs", "use super::Token;", "auth::scope (layer 0) imports auth (layer 3)"),
        (
            "transport/retry.rs",
            "use super::wire::Wire;",
            "transport::retry (layer 2) imports transport::wire",
        ),
        ("auth/mod.rs", "use crate::transport::wire::Wire;", "forbidden for auth"),
        (
            "command/ls.rs",
            "use crate::command::rm;",
            "the modules of command must not import each other",
        ),
        ("command/rm/mod.rs", "use super::super::command::ls::Ls;", "must not import each other"),
        ("error.rs", "use crate::Client;", "from the crate's root"),
        (
            "auth/mod.rs",
            "fn f(e: reqwest::Error) {}",
            "names reqwest: allowed only in transport::wire",
        ),
        ("auth/mod.rs", "use tower_service as t;", "names tower-service"),
        ("new.rs", "", "the module new of client is in no layer"),
    ] {
        let found = complaints(&[(path, text)]);
        assert!(matches!(&found[..], [one] if one.contains(told)), "{text}: {found:?}");
    }
}

#[test]
fn a_reexport_is_followed_to_the_defining_module() {
    let files = [
        ("lib.rs", "pub use auth::Auth;"),
        ("transport/mod.rs", "mod wire; pub(crate) use wire::Wire as Connection;"),
        ("error.rs", "use crate::Auth;"),
        ("transport/retry.rs", "use crate::transport::Connection;"),
    ];
    let found = complaints(&files);
    assert_eq!(found.len(), 2, "{found:?}");
    assert!(found[0].contains("error (layer 0) imports auth"), "{found:?}");
    assert!(found[1].contains("transport::retry (layer 2) imports transport::wire"), "{found:?}");
}

#[test]
fn a_listed_module_must_exist() {
    let source = CrateSource::new(vec![("lib.rs".into(), "lib.rs".into(), String::new())]).unwrap();
    let layers = Table::parse("```layers crates\na ->\n```\n```layers a\n0  gone\n```\n").unwrap();
    let found = modules("a", &layers.crates["a"], &source);
    assert_eq!(found, [Complaint::of_table("a has no module gone".to_owned())]);
}

#[test]
fn forbidden_crate_dependencies_are_reported() {
    let set = |names: &[&str]| names.iter().map(|n| (*n).to_owned()).collect();
    let on = |direct: &[&str], all: &[&str]| Dependencies { direct: set(direct), all: set(all) };
    let good = [
        ("core".to_owned(), on(&["bytes"], &["bytes"])),
        ("client".to_owned(), on(&["core", "reqwest"], &["core", "reqwest", "http"])),
    ];
    assert_eq!(crates(&table(), &good.into()), []);

    let bad = [
        ("core".to_owned(), on(&["client"], &["client", "http"])),
        ("client".to_owned(), on(&[], &[])),
        ("new".to_owned(), on(&[], &[])),
    ];
    let told: Vec<String> = crates(&table(), &bad.into()).iter().map(ToString::to_string).collect();
    assert_eq!(
        told,
        [
            "core: depends on client, which docs/src/design.md does not allow",
            "core: depends on http, directly or indirectly, which is forbidden",
            "docs/src/design.md: the crate new is not listed",
        ]
    );
}

#[test]
fn an_invalid_line_is_an_error() {
    for line in ["zero error", "never copy memory", "error"] {
        let text = format!("```layers crates\na ->\n```\n```layers a\n{line}\n```\n");
        assert!(Table::parse(&text).is_err(), "{line}");
    }
}
