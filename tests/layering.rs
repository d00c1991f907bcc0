//! The rooms of `src/` import in one direction, and each file says what lives in it and stays short enough to read.
//!
//! The table of rooms below is the one of `CONTRIBUTING.md`. Paths are read from the source text: `crate::room`,
//! `gpu_mem_calc::room`, `use crate::{a, b}`, and `super::super::room` that leaves its room.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a test fails by a panic"
)]

use std::fs;
use std::path::{Path, PathBuf};

/// The longest a source file may be.
const LONGEST: usize = 600;

/// Rooms of plain data at the bottom: all that `request` may import.
const COMMON: &[&str] = &["units", "cite", "warn"];

/// The rooms of the core, from the lowest to the highest: a room may import those before it.
const ROOMS: &[&str] = &[
    "units",
    "cite",
    "warn",
    "messages",
    "model",
    "hardware",
    "parallel",
    "memory",
    "training",
    "inference",
    "network",
    "planner",
    "request",
    "interop",
    "api",
    "accuracy",
    "calls",
];

/// Thin shells over the core, and the only rooms they import.
const SHELLS: &[&str] = &["js", "cli", "ui"];
const BELOW_SHELLS: &[&str] = &["calls", "accuracy", "api", "units", "messages"];

/// Whether `room` may import `other`; `None` where one of them is not in the table.
fn allowed(room: &str, other: &str) -> Option<bool> {
    let known = |name: &str| ROOMS.contains(&name) || SHELLS.contains(&name);
    if !known(room) || !known(other) {
        return None;
    }
    if room == other {
        return Some(true);
    }
    let rank = |name: &str| ROOMS.iter().position(|own| *own == name);
    Some(match room {
        // The exports for JavaScript mount the page, too.
        "js" if other == "ui" => true,
        _ if SHELLS.contains(&room) => BELOW_SHELLS.contains(&other),
        "cite" | "warn" => other == "units",
        "request" => COMMON.contains(&other),
        "inference" if other == "training" => false,
        _ => rank(other) < rank(room) && rank(other).is_some(),
    })
}

/// A path that leads into a room: its line and the room's name.
#[derive(Debug, PartialEq)]
struct Import {
    line: usize,
    room: String,
}

/// Every path of a source text that starts at one of the roots. `depth` is the depth of the file's module.
fn imports(text: &str, depth: usize, roots: &[&str]) -> Vec<Import> {
    let code: String = text
        .lines()
        .map(|line| without_comment(line).to_owned() + "\n")
        .collect();
    let mut found = Vec::new();
    for root in roots {
        for (start, _) in code.match_indices(root) {
            let before = code[..start].chars().next_back();
            if before.is_some_and(|char| char.is_alphanumeric() || char == '_') {
                continue;
            }
            let line = code[..start].lines().count().max(1) + usize::from(code[..start].ends_with('\n'));
            found.extend(
                names(&code[start + root.len()..])
                    .into_iter()
                    .map(|room| Import { line, room }),
            );
        }
    }
    // Only lines at the margin: an indented `use super::super` may stand in an inline module.
    let margin = code
        .lines()
        .enumerate()
        .filter(|(_, line)| line.contains("use super::") && !line.starts_with(' '));
    for (index, line) in margin {
        let path = &line[line.find("super::").unwrap_or_default()..];
        let up = path.split("::").take_while(|part| *part == "super").count();
        if up >= depth {
            let rest = &path[up * "super::".len()..];
            found.extend(names(rest).into_iter().map(|room| Import {
                line: index + 1,
                room,
            }));
        }
    }
    found
}

/// A line up to its comment; a `//` inside a text of the source would cut it short, which hides no `use`.
fn without_comment(line: &str) -> &str {
    line.split("//").next().unwrap_or_default()
}

/// The first names of a path's rest: one, or those of a group in braces.
fn names(rest: &str) -> Vec<String> {
    let name = |text: &str| -> String {
        text.trim_start()
            .chars()
            .take_while(|char| char.is_alphanumeric() || *char == '_')
            .collect()
    };
    let Some(group) = rest.strip_prefix('{') else {
        return vec![name(rest)];
    };
    let mut parts = vec![String::new()];
    let mut depth = 0;
    for char in group.chars() {
        match char {
            '{' => depth += 1,
            '}' if depth == 0 => break,
            '}' => depth -= 1,
            ',' if depth == 0 => {
                parts.push(String::new());
                continue;
            }
            _ => {}
        }
        if let Some(part) = parts.last_mut() {
            part.push(char);
        }
    }
    parts
        .iter()
        .map(|part| name(part))
        .filter(|part| !part.is_empty())
        .collect()
}

/// What is wrong with the imports of one file, given by its path below `src/`.
fn faults(file: &str, text: &str) -> Vec<String> {
    let parts: Vec<&str> = file.trim_end_matches(".rs").split('/').collect();
    let room = parts[0];
    if parts == ["lib"] {
        return Vec::new();
    }
    let last = parts.last().is_some_and(|last| *last == "mod" || *last == "main");
    let depth = parts.len() - usize::from(last);
    let judge = |import: Import| {
        let place = format!("src/{file}:{}", import.line);
        match allowed(room, &import.room) {
            Some(true) => None,
            Some(false) => Some(format!("{place}: {room} may not import {}", import.room)),
            None => Some(format!(
                "{place}: {room} or '{}' is not in the table of rooms",
                import.room
            )),
        }
    };
    // The command line is a crate of its own, where `crate` is this room.
    let roots: &[&str] = if room == "cli" {
        &["gpu_mem_calc::"]
    } else {
        &["crate::", "gpu_mem_calc::"]
    };
    imports(text, depth, roots)
        .into_iter()
        .filter_map(judge)
        .collect()
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// All Rust files below a folder.
fn sources(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).expect("a folder of sources") {
        let path = entry.expect("an entry of the folder").path();
        if path.is_dir() {
            found.extend(sources(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
    found.sort();
    found
}

#[test]
fn imports_point_down_only() {
    let source = root().join("src");
    let mut all = Vec::new();
    for path in sources(&source) {
        let file = path
            .strip_prefix(&source)
            .expect("below src")
            .to_string_lossy()
            .replace('\\', "/");
        all.extend(faults(&file, &fs::read_to_string(&path).expect("a source file")));
    }
    assert!(all.is_empty(), "backward arrows:\n{}", all.join("\n"));
}

#[test]
fn files_are_short_and_say_what_lives_in_them() {
    let mut faults = Vec::new();
    for folder in ["src", "tests", "xtask/src"] {
        for path in sources(&root().join(folder)) {
            if path.components().any(|part| part.as_os_str() == "node_modules") {
                continue;
            }
            let text = fs::read_to_string(&path).expect("a source file");
            let lines = text.lines().count();
            if lines > LONGEST {
                faults.push(format!("{}: {lines} lines, at most {LONGEST}", path.display()));
            }
            if !text.starts_with("//!") {
                faults.push(format!("{}: does not begin with a header (//!)", path.display()));
            }
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn a_backward_arrow_is_found_wherever_it_hides() {
    let found = |file, text| faults(file, text).join("; ");
    assert_eq!(
        found(
            "memory/ledger.rs",
            "//! Header.\nuse crate::training::job::Job;\n"
        ),
        "src/memory/ledger.rs:2: memory may not import training"
    );
    assert_eq!(
        found(
            "training/fsdp.rs",
            "use crate::{\n    memory::{Ledger, Entry},\n    api::Answer,\n};\n"
        ),
        "src/training/fsdp.rs:1: training may not import api"
    );
    assert_eq!(
        found("model/mod.rs", "fn f() -> crate::hardware::Gpu {}\n"),
        "src/model/mod.rs:1: model may not import hardware"
    );
    assert_eq!(
        found(
            "model/family/gemma.rs",
            "use super::super::super::memory::Ledger;\n"
        ),
        "src/model/family/gemma.rs:1: model may not import memory"
    );
    assert_eq!(
        found("cli/main.rs", "use gpu_mem_calc::model::Network;\n"),
        "src/cli/main.rs:1: cli may not import model"
    );
    assert_eq!(
        found("training/ddp.rs", "use crate::inference::Cache;\n"),
        "src/training/ddp.rs:1: training may not import inference"
    );
    assert!(found("inference/vllm.rs", "use crate::training::Job;\n").contains("may not"));
    assert!(found("request/mod.rs", "use crate::model::Network;\n").contains("may not"));
    assert!(found("new_room/mod.rs", "use crate::units::Bytes;\n").contains("not in the table"));
}

#[test]
fn a_forward_arrow_is_let_through() {
    for (file, text) in [
        (
            "memory/ledger.rs",
            "use crate::{model::Network, units::Bytes};\nuse super::entry::Entry;\n",
        ),
        (
            "api/read.rs",
            "// crate::ui is a shell\nuse crate::training::Job;\n",
        ),
        ("accuracy/mod.rs", "use crate::api::Request;\n"),
        ("cli/main.rs", "use gpu_mem_calc::{accuracy, api, units};\n"),
        ("cli/table.rs", "use crate::failure::Failure;\n"),
        ("js.rs", "use crate::ui;\nuse crate::api;\n"),
        (
            "model/layer.rs",
            "mod tests {\n    use super::super::tensor::Tensor;\n}\n",
        ),
        ("lib.rs", "pub mod ui;\n"),
    ] {
        assert_eq!(faults(file, text), Vec::<String>::new(), "{file}");
    }
}
