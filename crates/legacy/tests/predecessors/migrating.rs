//! Checks that `docs/src/migrating.md` names every public call of the predecessors.

use std::path::Path;

use super::*;

/// The classes of each predecessor, and their modules.
const CLASSES: [(&str, &str); 19] = [
    ("docker_registry_client_async", "DockerRegistryClientAsync"),
    ("dreg_client", "Client"),
    ("dreg_client", "Registry"),
    ("dreg_client", "Repository"),
    ("dreg_client", "Image"),
    ("dreg_client", "PlatformImage"),
    ("docker_registry_client", "DockerRegistryClient"),
    ("docker_registry_client._BaseClient", "BaseClientV1"),
    ("docker_registry_client._BaseClient", "BaseClientV2"),
    ("docker_registry_client.Repository", "RepositoryV1"),
    ("docker_registry_client.Repository", "RepositoryV2"),
    ("docker_registry_client.Image", "ImageV1"),
    ("moby_distribution", "DockerRegistryV2Client"),
    ("moby_distribution", "ManifestRef"),
    ("moby_distribution", "Blob"),
    ("moby_distribution", "Tags"),
    ("moby_distribution", "ImageRef"),
    ("dxf", "DXFBase"),
    ("dxf", "DXF"),
];

#[test]
fn every_public_call_of_the_predecessors_is_in_the_migration_tables() {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/src/migrating.md");
    let page = std::fs::read_to_string(page).unwrap();
    let mut python = Predecessor::start(&[]);
    python.run("import importlib, types");
    python.run(
        "callables = (types.FunctionType, classmethod, property)\n\
         def calls(module, name):\n    \
             found = vars(getattr(importlib.import_module(module), name))\n    \
             return [key for key, it in found.items() if key[0] != '_' and isinstance(it, callables)]",
    );
    let mut missing = Vec::new();
    for (module, class) in CLASSES {
        let calls = python.gives(&format!("calls('{module}', '{class}')"));
        let calls = calls.as_array().unwrap();
        let unnamed = calls.iter().filter_map(Value::as_str).filter(|call| !page.contains(call));
        missing.extend(unnamed.map(|call| format!("{class}.{call}")));
        assert!(calls.len() > 1, "{class}");
    }
    for operation in
        python.gives("importlib.import_module('dxf.main')._choices").as_array().unwrap()
    {
        let operation = operation.as_str().unwrap();
        if !page.contains(&format!("dxf {operation}")) {
            missing.push(format!("dxf {operation}"));
        }
    }
    assert!(missing.is_empty(), "{missing:#?}");
}
