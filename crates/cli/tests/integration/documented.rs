//! Compares the tables in `docs/src/json.md` with the JSON that the program writes.

use std::collections::{BTreeMap, BTreeSet};

use longshore::{Layout, Tag};
use longshore_testkit::fixture::Image;
use serde_json::Value;

use crate::described::{backticked, cells, root, unbarred};
use crate::program::Program;

/// The tables of the chapter, by command or event.
struct Chapter(BTreeMap<String, Vec<Field>>);

/// A row of a table.
#[derive(Debug)]
struct Field {
    path: Vec<Step>,
    text: String,
    types: String,
    is_optional: bool,
}

/// A step of a path, such as `tags`, `[]`, `{}` or `…`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Step {
    Key(String),
    Item,
    AnyKey,
    /// Another document, whose fields another specification defines.
    Rest,
}

impl Chapter {
    fn read() -> Self {
        let text = std::fs::read_to_string(root().join("docs/src/json.md")).unwrap();
        let mut tables = BTreeMap::<String, Vec<Field>>::new();
        let mut names = Vec::new();
        for line in text.lines() {
            if let Some(heading) = line.strip_prefix("### ") {
                names = backticked(heading);
            } else if line.starts_with("| `") {
                for name in &names {
                    tables.entry(name.clone()).or_default().push(Field::parse(line));
                }
            }
        }
        Self(tables)
    }

    /// Returns the commands and events that the chapter describes.
    fn names(&self) -> BTreeSet<&str> {
        self.0.keys().map(String::as_str).collect()
    }

    /// Returns how documents of a command differ from its table: fields that are missing in the
    /// table or have another type, and fields that no document has.
    fn differences(&self, name: &str, documents: &[Value]) -> Vec<String> {
        let Some(table) = self.0.get(name) else { return vec![format!("{name}: no table")] };
        let mut found = BTreeMap::<Vec<Step>, BTreeSet<&str>>::new();
        for document in documents {
            collect(document, &mut Vec::new(), &mut found);
        }
        let mut differences = Vec::new();
        for (path, types) in &found {
            let rows: Vec<&Field> = table.iter().filter(|field| field.covers(path)).collect();
            if rows.is_empty() {
                differences.push(format!("{name}: {} is not in the table", shown(path)));
            }
            let exact = rows.iter().find(|field| field.is_exactly(path));
            for (field, ty) in exact.iter().flat_map(|field| types.iter().map(move |t| (field, t)))
            {
                if !field.types.contains(*ty) {
                    let (path, types) = (shown(path), &field.types);
                    differences.push(format!("{name}: {path} is {ty}, the table says {types}"));
                }
            }
        }
        for field in table.iter().filter(|field| !field.is_optional) {
            if !found.keys().any(|path| field.is_exactly(path)) {
                differences.push(format!("{name}: no document has {}", field.text));
            }
        }
        differences
    }
}

impl Field {
    fn parse(line: &str) -> Self {
        let line = unbarred(line);
        let cells = cells(&line);
        let text = backticked(cells[0]).remove(0);
        let is_optional = cells[1].contains("optional");
        Self { path: parse(&text), text, types: cells[1].to_owned(), is_optional }
    }

    /// Returns true if the field is at this path, is within it, or contains it as another document.
    fn covers(&self, path: &[Step]) -> bool {
        for (at, step) in self.path.iter().enumerate() {
            match (step, path.get(at)) {
                (Step::Rest, _) | (_, None) => return true,
                (documented, Some(found)) if !documented.fits(found) => return false,
                _ => {}
            }
        }
        self.path.len() == path.len()
    }

    fn is_exactly(&self, path: &[Step]) -> bool {
        let own: Vec<&Step> = self.path.iter().filter(|step| **step != Step::Rest).collect();
        own.len() == path.len() && own.iter().zip(path).all(|(step, found)| step.fits(found))
    }
}

impl Step {
    fn fits(&self, found: &Self) -> bool {
        self == found || (*self == Self::AnyKey && matches!(found, Self::Key(_)))
    }
}

fn parse(text: &str) -> Vec<Step> {
    let mut steps = Vec::new();
    for part in text.split('.') {
        let mut name = part;
        let mut suffixes = Vec::new();
        loop {
            let suffix = [("[]", Step::Item), ("{}", Step::AnyKey), ("…", Step::Rest)]
                .into_iter()
                .find_map(|(text, step)| Some((name.strip_suffix(text)?, step)));
            let Some((before, step)) = suffix else { break };
            name = before;
            suffixes.push(step);
        }
        if !name.is_empty() {
            steps.push(Step::Key(name.to_owned()));
        }
        steps.extend(suffixes.into_iter().rev());
    }
    steps
}

fn collect<'v>(
    value: &'v Value,
    path: &mut Vec<Step>,
    found: &mut BTreeMap<Vec<Step>, BTreeSet<&'v str>>,
) {
    let ty = match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "list",
        Value::Object(_) => "object",
    };
    if !path.is_empty() {
        found.entry(path.clone()).or_default().insert(ty);
    }
    let mut below = |step: Step, value: &'v Value| {
        path.push(step);
        collect(value, path, found);
        path.pop();
    };
    match value {
        Value::Array(items) => items.iter().for_each(|item| below(Step::Item, item)),
        Value::Object(fields) => {
            fields.iter().for_each(|(key, value)| below(Step::Key(key.clone()), value));
        }
        _ => {}
    }
}

fn shown(path: &[Step]) -> String {
    let mut text = String::new();
    for step in path {
        match step {
            Step::Key(key) if text.is_empty() => text.push_str(key),
            Step::Key(key) => text = format!("{text}.{key}"),
            Step::Item => text.push_str("[]"),
            Step::AnyKey => text.push_str("{}"),
            Step::Rest => text.push('…'),
        }
    }
    text
}

#[test]
fn differences_between_a_table_and_a_document_are_found() {
    let row = |path: &str, ty: &str| Field::parse(&format!("| `{path}` | {ty} | x |"));
    let table = vec![
        row("tags[].name", "string"),
        row("tags[].size", "number or null"),
        row("labels{}", "string"),
        row("config…", "object"),
        row("never", "string"),
        row("seldom", "string, optional"),
    ];
    let chapter = Chapter(BTreeMap::from([("ls".to_owned(), table)]));
    let document = serde_json::json!({
        "tags": [{ "name": 1, "size": null, "new": true }],
        "labels": { "a.b": "x" },
        "config": { "os": "linux", "rootfs": { "type": "layers" } },
    });
    let differences = chapter.differences("ls", &[document]);
    assert_eq!(
        differences,
        [
            "ls: tags[].name is number, the table says string",
            "ls: tags[].new is not in the table",
            "ls: no document has never",
        ]
    );
    assert_eq!(chapter.differences("rm", &[]), ["rm: no table"]);
}

/// Runs commands, and keeps their documents by the command that the chapter names.
struct Runs {
    program: Program,
    documents: BTreeMap<&'static str, Vec<Value>>,
    events: BTreeMap<String, Vec<Value>>,
}

impl Runs {
    fn run(&mut self, command: &'static str, arguments: &str) {
        let line = format!("{command} {arguments} --json --events");
        let ended = self.program.run(line.split_whitespace().skip(1));
        assert!([0, 1].contains(&ended.code), "{line}: {ended:?}");
        let documents = serde_json::Deserializer::from_str(&ended.stdout).into_iter::<Value>();
        let documents = documents.map(|document| document.expect(&line));
        self.documents.entry(command).or_default().extend(documents);
        for line in ended.stderr.lines() {
            let Ok(event) = serde_json::from_str::<Value>(line) else { continue };
            let name = event["event"].as_str().expect("an event has a name").to_owned();
            self.events.entry(name).or_default().push(event);
        }
    }
}

#[test]
fn every_field_of_the_json_output_is_documented() {
    let program = Program::new();
    let server = program.serve(None);
    prepare(&program);
    let mut runs = Runs { program, documents: BTreeMap::new(), events: BTreeMap::new() };
    let (address, app) = (&*server.address, &*format!("{}/team/app", server.address));
    transfer(&mut runs, address, app);
    read(&mut runs, address, app);
    change(&mut runs, address, app);

    let chapter = Chapter::read();
    let mut differences = Vec::new();
    for (command, documents) in &runs.documents {
        differences.extend(chapter.differences(command, documents));
    }
    for (event, documents) in &runs.events {
        differences.extend(chapter.differences(event, documents));
    }
    assert!(differences.is_empty(), "{differences:#?}");
    let run: BTreeSet<&str> =
        runs.documents.keys().copied().chain(runs.events.keys().map(String::as_str)).collect();
    let documented: BTreeSet<&str> = chapter.names().difference(&run).copied().collect();
    let expected: BTreeSet<&str> = NOT_RUN.into_iter().collect();
    assert_eq!(documented, expected, "the tables without a run");
}

/// Writes an image for two platforms and some files.
fn prepare(program: &Program) {
    let content = Image::small_index(7);
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
        let layout = Layout::create(program.path("img")).await.unwrap();
        content.push(&layout, Some(&Tag::parse("v1").unwrap())).await;
    });
    for (file, text) in [("notes.txt", "notes"), ("bom.json", "{}"), ("layer.tar", "")] {
        std::fs::write(program.path(file), text).unwrap();
    }
    let layer = longshore_testkit::fixture::layer_tar(&[("file", b"content")]);
    std::fs::write(program.path("layer.tar"), layer).unwrap();
}

fn transfer(runs: &mut Runs, address: &str, app: &str) {
    runs.run("longshore push --plan", &format!("oci:img:v1 {app}:v1"));
    runs.run("longshore push", &format!("oci:img:v1 {app}:v1"));
    runs.run("longshore artifact push", &format!("{app} bom.json --subject {app}:v1"));
    runs.run("longshore artifact push", &format!("{address}/notes:v1 notes.txt"));
    runs.run("longshore copy --plan", &format!("{app}:v1 oci:planned --platform linux/arm64"));
    runs.run("longshore copy --plan", &format!("{app}:v1 {address}/copy:v1 --if-absent"));
    let plan = runs.documents["longshore copy --plan"].last().unwrap().to_string();
    std::fs::write(runs.program.path("plan.json"), plan).unwrap();
    runs.run("longshore apply", "plan.json");
    runs.run("longshore copy", &format!("{app}:v1 {address}/other --platform linux/arm64"));
    runs.run("longshore copy", &format!("{app}:v1 oci:whole"));
    runs.run("longshore copy", &format!("{app} {address}/all --all-tags"));
    runs.run("longshore pull --plan", &format!("{app}:v1 oci:again"));
    runs.run("longshore pull", &format!("{app}:v1 oci:again"));
    runs.run("longshore pull", &format!("{app}:v1 oci:again"));
}

fn read(runs: &mut Runs, address: &str, app: &str) {
    for command in ["longshore catalog", "longshore catalog --long", "longshore namespaces"] {
        runs.run(command, address);
    }
    for command in ["longshore ls", "longshore ls --references", "longshore ls --long"] {
        runs.run(command, app);
    }
    runs.run("longshore artifact ls", &format!("{address}/notes:v1"));
    runs.run("longshore artifact pull", &format!("{address}/notes:v1 --output out"));
    for command in ["longshore referrers", "longshore digest", "longshore platforms"] {
        runs.run(command, &format!("{app}:v1"));
    }
}

fn change(runs: &mut Runs, address: &str, app: &str) {
    for (command, arguments) in [
        ("longshore inspect", format!("{app}:v1")),
        ("longshore inspect", format!("{app}:v1 --platform linux/arm64")),
        ("longshore inspect --unpacked", format!("{app}:v1 --platform linux/arm64")),
        ("longshore history", format!("{app}:v1 --platform linux/arm64")),
        ("longshore tag", format!("{app}:v1 v2 v3")),
        ("longshore tag", format!("{app}:v1 v4 --if-absent")),
        ("longshore untag", format!("{app}:v3")),
        (
            "longshore append",
            format!("{app}:v1 --layer layer.tar --platform linux/arm64 --to {app}:more"),
        ),
        ("longshore ping", address.to_owned()),
        ("longshore request", format!("GET {address} /v2/team/app/tags/list")),
        ("longshore blob put", format!("{app} notes.txt")),
    ] {
        runs.run(command, &arguments);
    }
    let digest = |runs: &Runs, command: &str| {
        let document = runs.documents[command].last().unwrap();
        let digest =
            document["digest"].as_str().or_else(|| document["blobs"][0]["digest"].as_str());
        digest.expect(command).to_owned()
    };
    let blob = digest(runs, "longshore blob put");
    runs.run("longshore blob head", &format!("{app}@{blob}"));
    runs.run("longshore blob copy", &format!("{app}@{blob} {address}/copied"));
    runs.run("longshore blob mount", &format!("{app}@{blob} {address}/mounted"));
    runs.run("longshore blob rm", &format!("{address}/copied@{blob}"));
    let manifest = runs.program.ok(&format!("manifest get {app}:v1 --platform linux/arm64"));
    std::fs::write(runs.program.path("manifest.json"), manifest).unwrap();
    std::fs::write(runs.program.path("wrong.json"), r#"{"schemaVersion":2,"layers":7}"#).unwrap();
    runs.run("longshore manifest check", "manifest.json");
    runs.run("longshore manifest check", "wrong.json");
    runs.run("longshore manifest put", &format!("{app}:copied manifest.json"));
    runs.run("longshore artifact make", &format!("{app}:made {blob}"));
    runs.run("longshore rm", &format!("{app}:made --yes"));
}

/// Tables that this test does not compare, because their commands need a token service, credentials,
/// a signing key or a registry of another kind, or because their events occur only after faults.
const NOT_RUN: [&str; 22] = [
    "left_out",
    "listed_blob",
    "longshore auth explain",
    "longshore auth token",
    "longshore login",
    "longshore logout",
    "longshore manifest sign",
    "longshore manifest verify",
    "longshore ping H --api 1",
    "longshore serve",
    "longshore v1 ancestry",
    "longshore v1 images",
    "longshore v1 ping",
    "longshore v1 push",
    "longshore v1 push-json",
    "longshore v1 push-layer",
    "longshore v1 rm",
    "longshore v1 search",
    "longshore v1 tag",
    "longshore v1 tags",
    "longshore v1 untag",
    "waiting",
];
