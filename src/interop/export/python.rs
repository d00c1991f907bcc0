//! Python out: values as literals, calls with keyword arguments.

use serde_json::Value;

/// A value as a Python literal.
pub fn literal(value: &Value) -> String {
    match value {
        Value::Null => "None".to_owned(),
        Value::Bool(true) => "True".to_owned(),
        Value::Bool(false) => "False".to_owned(),
        Value::Array(items) => {
            let items: Vec<String> = items.iter().map(literal).collect();
            format!("[{}]", items.join(", "))
        }
        Value::Object(fields) => {
            let fields: Vec<String> = fields
                .iter()
                .map(|(key, value)| format!("{}: {}", Value::from(key.as_str()), literal(value)))
                .collect();
            format!("{{{}}}", fields.join(", "))
        }
        other => other.to_string(),
    }
}

/// A mapping over several lines, indented by so many spaces.
pub fn mapping(value: &Value, indent: usize) -> String {
    let Some(fields) = value.as_object().filter(|fields| !fields.is_empty()) else {
        return literal(value);
    };
    let space = " ".repeat(indent);
    let mut text = String::from("{\n");
    for (key, value) in fields {
        text.push_str(&format!(
            "{space}    {}: {},\n",
            Value::from(key.as_str()),
            mapping(value, indent + 4)
        ));
    }
    text.push_str(&format!("{space}}}"));
    text
}

/// A call with keyword arguments that are Python already, one to a line.
pub fn call(name: &str, arguments: &[(&str, String)], indent: usize) -> String {
    if arguments.is_empty() {
        return format!("{name}()");
    }
    let space = " ".repeat(indent);
    let mut text = format!("{name}(\n");
    for (key, value) in arguments {
        text.push_str(&format!("{space}    {key}={value},\n"));
    }
    text.push_str(&format!("{space})"));
    text
}

/// `True` or `False`.
pub const fn truth(value: bool) -> &'static str {
    if value { "True" } else { "False" }
}

/// Text as a Python string.
pub fn text(words: &str) -> String {
    Value::from(words).to_string()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn values_are_literals() {
        assert_eq!(
            literal(&json!({"a": [true, null, 1.5, "x"]})),
            "{\"a\": [True, None, 1.5, \"x\"]}"
        );
        assert_eq!(
            mapping(&json!({"a": {"b": 1}}), 0),
            "{\n    \"a\": {\n        \"b\": 1,\n    },\n}"
        );
        assert_eq!(call("f", &[("a", "1".to_owned())], 4), "f(\n        a=1,\n    )");
    }
}
