//! The library without async has everything that the async one has: the sources are read, and
//! compared by type and name.
//!
//! What is read is what rustfmt writes: items at the margin, their functions four columns in.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// Functions that have another name there, each as `Type::name`; a function without a type by its
/// name alone.
const RENAMED: &[(&str, &str)] = &[
    // A value of its own here, an operation of the store there.
    ("Image::read", "Store::image"),
    ("Pack::push", "Store::push_pack"),
    ("Pack::of_held", "Store::pack_of_held"),
    ("Pack::file_at", "file_at"),
    ("Placed::write", "Store::write_placed"),
    ("Pages::all", "Listing::all"),
    ("Layout::open", "Store::open"),
    ("Layout::create", "Store::create"),
    ("Layout::can_create", "Store::can_create"),
    ("Layout::entries", "Store::entries"),
    ("Layout::only_manifest", "Store::only_manifest"),
    // Streams here, readers there.
    ("Store::push_stream", "Store::push_reader"),
    ("Upload::append_stream", "Upload::append_reader"),
    ("Upload::finish_with_stream", "Upload::finish_with_reader"),
    ("RawReply::into_stream", "RawReply::into_reader"),
    ("v1::Layer::into_stream", "v1::Layer::into_reader"),
];

/// Functions that have none there, each with the reason.
const WITHOUT: &[(&str, &str)] = &[
    ("BlobBody::open", "for those who write a store, which is async"),
    ("BlobBody::open_at", "for those who write a store, which is async"),
    ("Spooled::write", "for those who write a store, which is async"),
    ("blob_file::stream", "a file is a reader: `blob_file::open` opens it"),
    ("blob_file::replace", "`blob_file::replace_now` does not wait"),
    ("offload", "gets blocking work off async threads"),
    ("Body::into_stream", "sends nothing; `blocking::BlobStream::from` reads it"),
    ("Resolver::resolve", "for those who write one, which is async"),
    ("Transport::send", "for those who write one, which is async"),
];

#[test]
fn every_operation_is_there_without_async() {
    let (here, there) = (operations(), counterparts());
    assert!(here.len() > 100 && there.len() > 100, "{} and {} were read", here.len(), there.len());
    let known = |name: &str| WITHOUT.iter().any(|(without, _)| *without == name);
    let missing: Vec<_> =
        here.iter().filter(|name| !known(name) && !there.contains(counterpart(name))).collect();
    assert!(missing.is_empty(), "give these a counterpart in `blocking`: {missing:#?}");
}

#[test]
fn the_exceptions_are_functions_that_there_are() {
    let (here, there) = (operations(), counterparts());
    for name in RENAMED.iter().chain(WITHOUT).map(|(name, _)| *name) {
        assert!(here.contains(name), "{name} is gone");
    }
    for (name, _) in WITHOUT {
        assert!(!there.contains(*name), "{name} has a counterpart now");
    }
}

fn counterpart(name: &str) -> &str {
    RENAMED.iter().find(|(here, _)| *here == name).map_or(name, |(_, there)| there)
}

/// Public functions that are async, or give what is read asynchronously.
fn operations() -> BTreeSet<String> {
    let client = root().join("client/src");
    let mut files = sources(&client);
    files.retain(|file| !file.starts_with(client.join("blocking")));
    files.extend(sources(&root().join("core/src")));
    let streams = ["Pages<", "BlobReader", "BlobStream", "Cached<"];
    functions(&files, |function| {
        let gives = function.rsplit_once(") -> ").map_or("", |(_, gives)| gives);
        function.contains("async fn ") || streams.iter().any(|stream| gives.contains(stream))
    })
}

/// Public functions of `blocking`.
fn counterparts() -> BTreeSet<String> {
    functions(&sources(&root().join("client/src/blocking")), |function| {
        assert!(!function.contains("async fn "), "{function}");
        true
    })
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn sources(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(sources(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
    found
}

/// The public functions in these files whose signature is `wanted`, by type and name.
fn functions(files: &[PathBuf], wanted: impl Fn(&str) -> bool) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for file in files {
        let text = fs::read_to_string(file).unwrap();
        let space = space_of(file);
        let mut owner = None;
        let mut lines = text.lines();
        while let Some(line) = lines.next() {
            if line.starts_with('}') {
                owner = None;
            } else if let Some(opened) = Owner::of(line) {
                owner = Some(opened);
            } else if let Some(name) = function(line, owner.as_ref()) {
                let signature = signature(line, &mut lines);
                if wanted(&signature) {
                    found.insert(qualified(space, owner.as_ref(), name));
                }
            }
        }
    }
    found
}

/// The part of the library that has types or functions of the same names as another.
fn space_of(file: &Path) -> &'static str {
    let within = |part: &str| file.components().any(|component| component.as_os_str() == part);
    match () {
        () if within("v1") => "v1::",
        () if within("blob_file") || within("blob_file.rs") => "blob_file::",
        () => "",
    }
}

/// The item that functions belong to.
struct Owner {
    name: String,
    is_trait: bool,
}

impl Owner {
    fn of(line: &str) -> Option<Self> {
        let named = |text: &str| {
            let end = text.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(text.len());
            text[..end].to_owned()
        };
        if let Some(rest) = line.strip_prefix("pub trait ") {
            return Some(Self { name: named(rest), is_trait: true });
        }
        let rest = line.strip_prefix("impl")?;
        let rest = match rest.strip_prefix('<') {
            Some(generics) => &generics[closing(generics)..],
            None => rest,
        };
        // What a trait asks of a type is listed with the trait.
        let name = if rest.contains(" for ") { String::new() } else { named(rest.trim_start()) };
        Some(Self { name, is_trait: false })
    }
}

/// Where a bracket that is open ends.
fn closing(text: &str) -> usize {
    let mut depth = 1;
    for (at, c) in text.char_indices() {
        match c {
            '<' => depth += 1,
            '>' => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return at + 1;
        }
    }
    text.len()
}

/// The name of the public function that a line begins.
fn function<'a>(line: &'a str, owner: Option<&Owner>) -> Option<&'a str> {
    let line = match owner {
        Some(_) => line.strip_prefix("    ").filter(|line| !line.starts_with(' '))?,
        None => line,
    };
    let line = match owner {
        Some(owner) if owner.is_trait => line,
        Some(owner) if owner.name.is_empty() => return None,
        _ => line.strip_prefix("pub ")?,
    };
    let line = line.strip_prefix("async ").or_else(|| line.strip_prefix("const ")).unwrap_or(line);
    let name = line.strip_prefix("fn ")?;
    name.split(['(', '<']).next()
}

/// A signature to its end, on one line.
fn signature<'a>(first: &str, rest: &mut impl Iterator<Item = &'a str>) -> String {
    let mut all = first.to_owned();
    while !all.contains('{') && !all.contains(';') {
        let Some(line) = rest.next() else { break };
        all.push(' ');
        all.push_str(line.trim());
    }
    all
}

fn qualified(space: &str, owner: Option<&Owner>, name: &str) -> String {
    match owner.map(|owner| owner.name.as_str()) {
        // Over all stores, here as functions or traits, there as methods.
        Some("Source" | "Target" | "Delete" | "RemoteRepository" | "Store") => {
            format!("Store::{name}")
        }
        None if OVER_STORES.contains(&name) => format!("Store::{name}"),
        Some("DockerConfig" | "CredentialHelper") => format!("CredentialStore::{name}"),
        Some(owner @ ("Spooled" | "BlobStream" | "BlobReader")) => format!("{owner}::{name}"),
        Some(owner) => format!("{space}{owner}::{name}"),
        None => format!("{space}{name}"),
    }
}

/// Functions of core whose first argument is a store.
const OVER_STORES: &[&str] =
    &["delete_with_tags", "image_for", "images_of", "pull_files", "put_tags", "tags_of", "untag"];
