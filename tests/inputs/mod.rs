//! For each input a question on which it matters, and the value that it gets: what tests of every input have in common.

use serde_json::Value;

/// Questions and changes; those on plans stand in a file of their own, which no exporter reads.
pub fn changes() -> Value {
    let mut all: Value = serde_json::from_str(include_str!("changes.json")).expect("valid JSON");
    let plans: Value = serde_json::from_str(include_str!("plans.json")).expect("valid JSON");
    for part in ["questions", "changes"] {
        let more = plans[part].as_object().expect("an object").clone();
        all[part].as_object_mut().expect("an object").extend(more);
    }
    all
}
