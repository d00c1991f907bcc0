//! Links that were ever written keep their meaning: every key of each version, and whole links with the questions they stand
//! for.

use gpu_mem_calc::api::{Input, Request, share};
use serde_json::{Value, json};

#[test]
fn every_key_of_a_link_stands_for_the_input_it_was_made_for() {
    let table = include_str!("links/version-1.tsv");
    let rows = table
        .lines()
        .filter(|line| !line.starts_with('#') && !line.is_empty());
    let mut seen = 0;
    for row in rows {
        let (key, path) = row.split_once('\t').expect("a key and an input");
        let (request, issues) = share::from_fragment(&format!("{key}=1"));
        assert_eq!(issues, vec![], "{key}");
        let input = Input::by_key(path).unwrap_or_else(|| panic!("{path} is no input any more"));
        assert_eq!(request, Request::new().with(input.id, 1), "{key}");
        seen += 1;
    }
    assert!(seen >= 277, "{seen} keys: a line was taken away");
}

#[test]
fn links_of_every_version_are_read() {
    for line in include_str!("links/questions.jsonl").lines() {
        let row: Value = serde_json::from_str(line).expect("a line of JSON");
        let link = row["link"].as_str().expect("a link");
        let (request, issues) = share::from_fragment(link);
        let expected = Request::from_json(&row["config"]).expect("a question");
        assert_eq!(request, expected, "{link}");
        let unknown: Vec<&str> = issues.iter().map(|issue| issue.path.as_str()).collect();
        let said = row.get("unknown").cloned().unwrap_or_else(|| json!([]));
        assert_eq!(json!(unknown), said, "{link}");
        // What is written now is read as the same question.
        assert_eq!(
            share::from_fragment(&share::to_fragment(&request)),
            (request, vec![])
        );
    }
}
