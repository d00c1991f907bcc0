//! Any result as rows for a spreadsheet or a report: a list of objects is a table of their members; anything else is a
//! table of paths and values. Nothing is left out.

use serde_json::Value;

/// Comma-separated values, quoted where RFC 4180 wants it.
pub fn csv(value: &Value) -> String {
    let quoted = |cell: &String| match cell.contains([',', '"', '\n', '\r']) {
        true => format!("\"{}\"", cell.replace('"', "\"\"")),
        false => cell.clone(),
    };
    let line = |row: &Vec<String>| row.iter().map(quoted).collect::<Vec<_>>().join(",") + "\n";
    rows(value).iter().map(line).collect()
}

/// A table of Markdown.
pub fn markdown(value: &Value) -> String {
    let escaped = |cell: &String| cell.replace('|', "\\|").replace(['\n', '\r'], " ");
    let mut text = String::new();
    for (index, row) in rows(value).iter().enumerate() {
        let cells: Vec<String> = row.iter().map(escaped).collect();
        text.push_str(&format!("| {} |\n", cells.join(" | ")));
        if index == 0 {
            text.push_str(&format!("|{}\n", " --- |".repeat(row.len())));
        }
    }
    text
}

/// The rows, the heading first.
fn rows(value: &Value) -> Vec<Vec<String>> {
    match value {
        Value::Array(items) if !items.is_empty() && items.iter().all(Value::is_object) => table(items),
        other => {
            let mut cells = Vec::new();
            flatten("", other, &mut cells);
            let heading = ["path", "value"].map(str::to_owned).to_vec();
            let rows = cells.into_iter().map(|(path, value)| vec![path, value]);
            std::iter::once(heading).chain(rows).collect()
        }
    }
}

/// One row per object, one column per member of any of them.
fn table(items: &[Value]) -> Vec<Vec<String>> {
    let flat: Vec<Vec<(String, String)>> = items
        .iter()
        .map(|item| {
            let mut cells = Vec::new();
            flatten("", item, &mut cells);
            cells
        })
        .collect();
    let mut columns: Vec<String> = Vec::new();
    for (path, _) in flat.iter().flatten() {
        if !columns.contains(path) {
            columns.push(path.clone());
        }
    }
    let cell = |row: &Vec<(String, String)>, column: &String| {
        let found = row.iter().find(|(path, _)| path == column);
        found.map(|(_, value)| value.clone()).unwrap_or_default()
    };
    let body = flat
        .iter()
        .map(|row| columns.iter().map(|column| cell(row, column)).collect());
    std::iter::once(columns.clone()).chain(body).collect()
}

/// Every value that is no object and no list of them, with its path.
fn flatten(path: &str, value: &Value, cells: &mut Vec<(String, String)>) {
    let below = |name: &str| {
        if path.is_empty() {
            name.to_owned()
        } else {
            format!("{path}.{name}")
        }
    };
    match value {
        Value::Object(fields) => fields
            .iter()
            .for_each(|(key, value)| flatten(&below(key), value, cells)),
        Value::Array(items) if items.iter().any(|item| item.is_object() || item.is_array()) => items
            .iter()
            .enumerate()
            .for_each(|(at, item)| flatten(&below(&at.to_string()), item, cells)),
        Value::Array(items) => {
            let words: Vec<String> = items.iter().map(word).collect();
            cells.push((path.to_owned(), words.join("; ")));
        }
        other => cells.push((path.to_owned(), word(other))),
    }
}

fn word(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn lists_are_tables_and_other_things_are_paths() {
        let list = json!([{"id": "a", "x": {"y": 1}}, {"id": "b, c", "z": ["p", "q"]}]);
        assert_eq!(csv(&list), "id,x.y,z\na,1,\n\"b, c\",,p; q\n");
        let one = json!({"a": {"b": [{"c": "x|y"}]}, "d": null});
        assert_eq!(
            markdown(&one),
            "| path | value |\n| --- | --- |\n| a.b.0.c | x\\|y |\n| d |  |\n"
        );
    }
}
