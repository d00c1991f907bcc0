//! What the command line, the page and the package are made of: every crate of the lock file that reaches them, with version
//! and licence, as CycloneDX 1.6.

#![allow(
    clippy::indexing_slicing,
    reason = "a missing member of a JSON value is null, and nothing else is indexed"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use anyhow::{Context, Result};
use serde_json::{Value, json};

use crate::place;
use crate::step::{cargo, output};

/// Writes `target/sbom.cdx.json`.
pub fn write() -> Result<()> {
    let text = output(&mut cargo(&[
        "metadata",
        "--locked",
        "--format-version",
        "1",
        "--all-features",
    ]))?;
    let metadata: Value = serde_json::from_str(&text).context("cargo metadata")?;
    let sbom = document(&metadata)?;
    fs::create_dir_all(place::target()).context("making the folder of build outputs")?;
    let path = place::target().join("sbom.cdx.json");
    fs::write(&path, format!("{sbom:#}\n")).with_context(|| format!("writing {}", path.display()))?;
    let count = sbom["components"].as_array().map_or(0, Vec::len);
    println!("{count} components in {}", path.display());
    Ok(())
}

fn document(metadata: &Value) -> Result<Value> {
    let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
    let packages: BTreeMap<String, Value> = list(&metadata["packages"])
        .into_iter()
        .filter_map(|package| Some((package["id"].as_str()?.to_owned(), package)))
        .collect();
    // Edges of normal and build dependencies; those of tests do not reach what is published.
    let mut edges: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for node in list(&metadata["resolve"]["nodes"]) {
        let id = node["id"].as_str().unwrap_or_default().to_owned();
        let reaches = |dep: &Value| list(&dep["dep_kinds"]).iter().any(|kind| kind["kind"] != "dev");
        let targets = list(&node["deps"]);
        let targets = targets.iter().filter(|dep| reaches(dep));
        edges.insert(
            id,
            targets
                .filter_map(|dep| dep["pkg"].as_str().map(str::to_owned))
                .collect(),
        );
    }
    let root = packages
        .iter()
        .find(|(_, package)| package["name"] == "gpu-mem-calc")
        .map(|(id, _)| id.clone())
        .context("the package itself")?;
    let mut reached = BTreeSet::new();
    let mut waiting = vec![root.clone()];
    while let Some(id) = waiting.pop() {
        if reached.insert(id.clone()) {
            waiting.extend(edges.get(&id).cloned().unwrap_or_default());
        }
    }
    let name = |id: &str| {
        let package = packages.get(id).unwrap_or(&Value::Null);
        let word = |key: &str| package[key].as_str().unwrap_or_default().to_owned();
        format!("pkg:cargo/{}@{}", word("name"), word("version"))
    };
    let component = |id: &String| {
        let package = packages.get(id).unwrap_or(&Value::Null);
        let licence = package["license"]
            .as_str()
            .unwrap_or("NOASSERTION")
            .replace('/', " OR ");
        json!({
            "type": "library",
            "bom-ref": name(id),
            "name": package["name"],
            "version": package["version"],
            "licenses": [{"expression": licence}],
            "purl": name(id),
        })
    };
    let mut own = component(&root);
    own["type"] = json!("application");
    let dependencies: Vec<Value> = reached
        .iter()
        .map(|id| {
            let on: BTreeSet<String> = edges.get(id).into_iter().flatten().map(|id| name(id)).collect();
            json!({"ref": name(id), "dependsOn": on})
        })
        .collect();
    Ok(json!({
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {"component": own},
        "components": reached.iter().filter(|id| **id != root).map(component).collect::<Vec<_>>(),
        "dependencies": dependencies,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dependencies_of_tests_are_left_out() {
        let package =
            |name: &str| json!({"id": name, "name": name, "version": "1.0.0", "license": "MIT/Apache-2.0"});
        let dep = |name: &str, kind: Value| json!({"pkg": name, "dep_kinds": [{"kind": kind}]});
        let metadata = json!({
            "packages": [package("gpu-mem-calc"), package("a"), package("b"), package("c")],
            "resolve": {"nodes": [
                {"id": "gpu-mem-calc", "deps": [dep("a", Value::Null), dep("b", json!("dev"))]},
                {"id": "a", "deps": [dep("c", json!("build"))]},
                {"id": "b", "deps": []},
                {"id": "c", "deps": []},
            ]},
        });
        let sbom = document(&metadata).unwrap_or_default();
        let names: Vec<&str> = sbom["components"]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(|one| one["name"].as_str())
            .collect();
        assert_eq!(names, ["a", "c"]);
        assert_eq!(
            sbom["components"][0]["licenses"][0]["expression"],
            "MIT OR Apache-2.0"
        );
    }
}
