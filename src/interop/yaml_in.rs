//! YAML in: the subset that configurations use. Block mappings and sequences, flow lists and mappings on one line, plain and
//! quoted scalars, block scalars, comments. No anchors, no tags, no documents after the first.

use serde_json::{Map, Number, Value};

/// What is wrong, and in which line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The line, counted from one.
    pub line: usize,
    /// What is wrong.
    pub words: &'static str,
}

/// Deepest nesting that is read.
const DEEPEST: usize = 40;

struct Line<'a> {
    number: usize,
    indent: usize,
    text: &'a str,
}

/// The first document of a text.
pub fn parse(text: &str) -> Result<Value, Problem> {
    let text = text.trim_start_matches('\u{feff}');
    let mut lines = Vec::new();
    for (index, raw) in text.lines().enumerate() {
        let number = index + 1;
        let trimmed = raw.trim_end();
        let body = trimmed.trim_start_matches(' ');
        if body.starts_with('\t') {
            return Err(Problem {
                line: number,
                words: "YAML is indented by spaces, not by tabs",
            });
        }
        if body.starts_with("---") && body.trim_matches('-').trim().is_empty() {
            let blank = |line: &Line<'_>| line.text.is_empty() || line.text.starts_with('#');
            if lines.iter().all(blank) {
                continue;
            }
            break;
        }
        lines.push(Line {
            number,
            indent: trimmed.len() - body.len(),
            text: body,
        });
    }
    let mut reader = Reader {
        lines,
        next: 0,
        owned: Vec::new(),
    };
    reader.skip();
    let Some(first) = reader.peek() else {
        return Ok(Value::Null);
    };
    let indent = first.indent;
    let value = reader.block(indent, 0)?;
    reader.skip();
    match reader.peek() {
        Some(line) => Err(Problem {
            line: line.number,
            words: "this line is indented less than the block that it follows",
        }),
        None => Ok(value),
    }
}

struct Reader<'a> {
    lines: Vec<Line<'a>>,
    next: usize,
    /// A line that a dash left behind, with the place of its text.
    owned: Vec<Line<'a>>,
}

impl<'a> Reader<'a> {
    fn peek(&self) -> Option<&Line<'a>> {
        self.owned.last().or_else(|| self.lines.get(self.next))
    }

    fn take(&mut self) -> Option<Line<'a>> {
        if let Some(line) = self.owned.pop() {
            return Some(line);
        }
        let line = self.lines.get(self.next)?;
        self.next += 1;
        Some(Line {
            number: line.number,
            indent: line.indent,
            text: line.text,
        })
    }

    /// Leaves out empty lines and comments.
    fn skip(&mut self) {
        while self
            .peek()
            .is_some_and(|line| line.text.is_empty() || line.text.starts_with('#'))
        {
            self.take();
        }
    }

    fn block(&mut self, indent: usize, depth: usize) -> Result<Value, Problem> {
        self.skip();
        let Some(line) = self.peek() else {
            return Ok(Value::Null);
        };
        let number = line.number;
        if depth > DEEPEST {
            return Err(Problem {
                line: number,
                words: "this is nested too deeply",
            });
        }
        if line.text == "-" || line.text.starts_with("- ") {
            self.sequence(indent, depth)
        } else if split_key(line.text).is_some() {
            self.mapping(indent, depth)
        } else {
            let text = self.take().map_or("", |line| line.text);
            scalar(text, number)
        }
    }

    fn sequence(&mut self, indent: usize, depth: usize) -> Result<Value, Problem> {
        let mut items = Vec::new();
        loop {
            self.skip();
            let Some(line) = self.peek() else { break };
            if line.indent != indent || !(line.text == "-" || line.text.starts_with("- ")) {
                break;
            }
            let Some(line) = self.take() else { break };
            let rest = line.text.strip_prefix('-').unwrap_or_default();
            let body = rest.trim_start();
            let inner = line.indent + line.text.len() - body.len();
            if body.is_empty() || body.starts_with('#') {
                items.push(self.below(indent, depth)?);
            } else if split_key(body).is_some() || body.starts_with("- ") {
                self.owned.push(Line {
                    number: line.number,
                    indent: inner,
                    text: body,
                });
                items.push(self.block(inner, depth + 1)?);
            } else {
                items.push(scalar(body, line.number)?);
            }
        }
        Ok(Value::Array(items))
    }

    fn mapping(&mut self, indent: usize, depth: usize) -> Result<Value, Problem> {
        let mut fields = Map::new();
        loop {
            self.skip();
            let Some(line) = self.peek() else { break };
            if line.indent != indent {
                break;
            }
            let number = line.number;
            let Some((key, rest)) = split_key(line.text) else {
                return Err(Problem {
                    line: number,
                    words: "a key with a colon is expected here",
                });
            };
            self.take();
            let key = match scalar(key, number)? {
                Value::String(key) => key,
                other => other.to_string(),
            };
            let rest = rest.trim_start();
            let value = if rest.is_empty() || rest.starts_with('#') {
                self.below(indent, depth)?
            } else if rest.starts_with('|') || rest.starts_with('>') {
                self.literal(indent, rest.starts_with('>'))
            } else {
                scalar(rest, number)?
            };
            fields.insert(key, value);
        }
        Ok(Value::Object(fields))
    }

    /// The block below a key or dash: deeper, or a sequence at the same depth.
    fn below(&mut self, indent: usize, depth: usize) -> Result<Value, Problem> {
        self.skip();
        match self.peek() {
            Some(line) if line.indent > indent => {
                let deeper = line.indent;
                self.block(deeper, depth + 1)
            }
            Some(line) if line.indent == indent && (line.text == "-" || line.text.starts_with("- ")) => {
                self.sequence(indent, depth + 1)
            }
            _ => Ok(Value::Null),
        }
    }

    /// A block scalar.
    fn literal(&mut self, indent: usize, folded: bool) -> Value {
        let mut text = String::new();
        let mut own = None;
        while let Some(line) = self.peek() {
            if line.indent <= indent && !line.text.is_empty() {
                break;
            }
            let margin = *own.get_or_insert(line.indent);
            let pad = " ".repeat(line.indent.saturating_sub(margin));
            text.push_str(&pad);
            text.push_str(line.text);
            text.push(if folded { ' ' } else { '\n' });
            self.take();
        }
        Value::String(text)
    }
}

/// A key and what stands behind its colon.
fn split_key(text: &str) -> Option<(&str, &str)> {
    if text.starts_with(['{', '[', '#', '&', '*', '!']) {
        return None;
    }
    let mut quote = None;
    for (place, char) in text.char_indices() {
        match (quote, char) {
            (Some(open), _) if char == open => quote = None,
            (Some(_), _) => {}
            (None, '"' | '\'') if place == 0 => quote = Some(char),
            (None, ':') => {
                let (key, rest) = (text.get(..place)?, text.get(place + 1..)?);
                if rest.is_empty() || rest.starts_with(' ') {
                    return (!key.is_empty()).then_some((key, rest));
                }
            }
            (None, '#') if text.get(..place).is_some_and(|before| before.ends_with(' ')) => return None,
            (None, _) => {}
        }
    }
    None
}

/// A scalar or a flow value, to the end of its line.
fn scalar(text: &str, line: usize) -> Result<Value, Problem> {
    let mut rest = text;
    let value = flow(&mut rest, line, 0, false)?;
    let rest = rest.trim_start();
    if rest.is_empty() || rest.starts_with('#') {
        Ok(value)
    } else {
        Err(Problem {
            line,
            words: "something follows the value that does not belong to it",
        })
    }
}

/// One value; inside of brackets a comma ends it.
fn flow(rest: &mut &str, line: usize, depth: usize, inside: bool) -> Result<Value, Problem> {
    let problem = |words| Err(Problem { line, words });
    *rest = rest.trim_start();
    if depth > DEEPEST {
        return problem("this is nested too deeply");
    }
    let Some(first) = rest.chars().next() else {
        return Ok(Value::Null);
    };
    match first {
        '"' | '\'' => quoted(rest, first, line),
        '[' => {
            *rest = rest.get(1..).unwrap_or_default();
            let mut items = Vec::new();
            loop {
                *rest = rest.trim_start();
                if let Some(after) = rest.strip_prefix(']') {
                    *rest = after;
                    return Ok(Value::Array(items));
                }
                if rest.is_empty() {
                    return problem("a list in brackets ends on its own line here");
                }
                items.push(flow(rest, line, depth + 1, true)?);
                *rest = rest.trim_start();
                *rest = rest.strip_prefix(',').unwrap_or(rest);
            }
        }
        '{' => {
            *rest = rest.get(1..).unwrap_or_default();
            let mut fields = Map::new();
            loop {
                *rest = rest.trim_start();
                if let Some(after) = rest.strip_prefix('}') {
                    *rest = after;
                    return Ok(Value::Object(fields));
                }
                if rest.is_empty() {
                    return problem("a mapping in braces ends on its own line here");
                }
                let key = match flow(rest, line, depth + 1, true)? {
                    Value::String(key) => key,
                    other => other.to_string(),
                };
                *rest = rest.trim_start();
                let Some(after) = rest.strip_prefix(':') else {
                    return problem("a colon is expected behind a key in braces");
                };
                *rest = after;
                fields.insert(key, flow(rest, line, depth + 1, true)?);
                *rest = rest.trim_start();
                *rest = rest.strip_prefix(',').unwrap_or(rest);
            }
        }
        '&' | '*' | '!' => problem("anchors, aliases and tags are not read"),
        _ => {
            let end = plain_end(rest, inside);
            let (word, after) = rest.split_at(end);
            if word.is_empty() {
                return problem("a value is expected here");
            }
            *rest = after;
            Ok(plain(word.trim_end()))
        }
    }
}

fn plain_end(text: &str, inside: bool) -> usize {
    let mut before = ' ';
    for (place, char) in text.char_indices() {
        let ends = match char {
            '#' => before == ' ' && place > 0,
            ',' | ']' | '}' => inside,
            ':' => {
                let after = text.get(place + 1..).and_then(|rest| rest.chars().next());
                inside && after.is_none_or(|after| after == ' ' || after == '}')
            }
            _ => false,
        };
        if ends {
            return place;
        }
        before = char;
    }
    text.len()
}

fn quoted(rest: &mut &str, quote: char, line: usize) -> Result<Value, Problem> {
    let mut text = String::new();
    let mut chars = rest.char_indices().skip(1).peekable();
    while let Some((place, char)) = chars.next() {
        if char == quote {
            if quote == '\'' && chars.next_if(|(_, next)| *next == '\'').is_some() {
                text.push('\'');
                continue;
            }
            *rest = rest.get(place + 1..).unwrap_or_default();
            return Ok(Value::String(text));
        }
        if quote == '"' && char == '\\' {
            match chars.next().map(|(_, next)| next) {
                Some('n') => text.push('\n'),
                Some('t') => text.push('\t'),
                Some('r') => text.push('\r'),
                Some('b') => text.push('\u{8}'),
                Some('f') => text.push('\u{c}'),
                Some('u') => {
                    let digits: String = chars.by_ref().take(4).map(|(_, digit)| digit).collect();
                    let found = u32::from_str_radix(&digits, 16).ok().and_then(char::from_u32);
                    text.push(found.unwrap_or('\u{fffd}'));
                }
                Some(other) => text.push(other),
                None => break,
            }
            continue;
        }
        text.push(char);
    }
    Err(Problem {
        line,
        words: "a quoted text ends on its own line here",
    })
}

/// A plain scalar by the rules of YAML 1.2, with the truth values that configurations really use.
fn plain(word: &str) -> Value {
    match word {
        "null" | "Null" | "NULL" | "~" => return Value::Null,
        "true" | "True" | "TRUE" => return Value::Bool(true),
        "false" | "False" | "FALSE" => return Value::Bool(false),
        _ => {}
    }
    let digits = word.replace('_', "");
    let numeric = digits
        .trim_start_matches(['-', '+'])
        .starts_with(|first: char| first.is_ascii_digit() || first == '.');
    if numeric {
        if let Ok(whole) = digits.parse::<u64>() {
            return Value::from(whole);
        }
        if let Ok(whole) = digits.parse::<i64>() {
            return Value::from(whole);
        }
        if let Some(number) = digits.parse::<f64>().ok().and_then(Number::from_f64) {
            return Value::Number(number);
        }
    }
    Value::from(word)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;
    use crate::interop::yaml::emit;

    #[test]
    fn configurations_are_read() {
        let text = "# head\n---\na: 1\nb:\n  - x\n  - {c: 2, d: [1, 'two', \"3\"]}\n  - e: true\n    f: ~ # note\ng:\n- 5e-5\nh: |\n  one\n    two\ni: \"q: # r\"\nj: http://x.y/z\n";
        assert_eq!(
            parse(text).unwrap(),
            json!({"a": 1, "b": ["x", {"c": 2, "d": [1, "two", "3"]}, {"e": true, "f": null}],
                "g": [5e-5], "h": "one\n  two\n", "i": "q: # r", "j": "http://x.y/z"})
        );
        assert_eq!(parse("").unwrap(), Value::Null);
    }

    #[test]
    fn what_is_wrong_has_its_line() {
        for (text, line) in [
            ("a: 1\n\tb: 2", 2),
            ("a: [1, 2", 1),
            ("a: 1\nb", 2),
            ("a: *x", 1),
            ("  a: 1\nb: 2", 2),
            ("a: 'x", 1),
        ] {
            assert_eq!(parse(text).unwrap_err().line, line, "{text}");
        }
    }

    fn value() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<u64>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            (-1e9..1e9f64).prop_map(|number| json!((number * 8.0).round() / 8.0)),
            ".{0,8}".prop_map(Value::from),
            prop::sample::select(vec!["no", "1e5", "- a", "a: b", "#", "~", "x # y", "0"])
                .prop_map(Value::from),
        ];
        leaf.prop_recursive(3, 24, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                prop::collection::btree_map("[a-z: #-]{1,5}", inner, 0..4)
                    .prop_map(|fields| Value::Object(fields.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back(value in value()) {
            let text = emit(&value);
            let read = parse(&text);
            prop_assert_eq!(read.as_ref().map(numbers), Ok(numbers(&value)), "{}", text);
        }

        #[test]
        fn no_text_panics(text in "[a-z0-9:\\-\\[\\]{}#'\"| \n,&]{0,60}") {
            let _ = parse(&text);
        }
    }

    /// Numbers as text, for a float that is whole is read as one.
    fn numbers(value: &Value) -> Value {
        match value {
            Value::Number(number) => json!(number.as_f64().map(|number| number.to_string())),
            Value::Array(items) => items.iter().map(numbers).collect(),
            Value::Object(fields) => fields
                .iter()
                .map(|(key, value)| (key.clone(), numbers(value)))
                .collect(),
            other => other.clone(),
        }
    }
}
