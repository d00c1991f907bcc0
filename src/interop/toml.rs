//! TOML out: a JSON object of sections as TOML tables. Values of a section are scalars and lists, which is all that the
//! configurations written here need.

use serde_json::Value;

/// An object of sections as TOML.
pub fn emit(value: &Value) -> String {
    let mut text = String::new();
    for (section, fields) in value.as_object().into_iter().flatten() {
        if !text.is_empty() {
            text.push('\n');
        }
        text.push_str(&format!("[{section}]\n"));
        for (key, value) in fields.as_object().into_iter().flatten() {
            text.push_str(&format!("{key} = {}\n", inline(value)));
        }
    }
    text
}

fn inline(value: &Value) -> String {
    match value {
        Value::Array(items) => {
            let items: Vec<String> = items.iter().map(inline).collect();
            format!("[{}]", items.join(", "))
        }
        // A JSON string without control characters is a basic TOML string, and numbers are written alike.
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn sections_are_tables() {
        let value =
            json!({"model": {"name": "llama3", "parts": ["a", "b"]}, "training": {"steps": 10, "lr": 0.1}});
        let text = emit(&value);
        assert_eq!(
            text,
            "[model]\nname = \"llama3\"\nparts = [\"a\", \"b\"]\n\n[training]\nsteps = 10\nlr = 0.1\n"
        );
        let read: Value = ::toml::from_str(&text).unwrap();
        assert_eq!(read, value);
    }
}
