//! Prices of GPU-hours by GPU, as they are typed: `h100-sxm-80gb=2.5`.

use std::collections::BTreeMap;

use super::super::given::Given;
use super::super::read::Typed;
use crate::hardware;
use crate::request::InputId;
use crate::units::Decimal;
use crate::warn::Issue;

/// The price of an hour by the id of a GPU; what cannot be read is an issue.
pub fn prices(given: &Given, issues: &mut Vec<Issue>) -> BTreeMap<String, f64> {
    let mut found = BTreeMap::new();
    let Some(Typed::List(words)) = given.get(InputId::GpuPrices) else {
        return found;
    };
    for word in words {
        match price(word) {
            Ok((gpu, price)) => {
                found.insert(gpu, price);
            }
            Err(issue) => issues.push(issue.with_value(word.as_str())),
        }
    }
    found
}

fn price(word: &str) -> Result<(String, f64), Issue> {
    let key = InputId::GpuPrices.key();
    let wrong = || {
        let words = format!("{word:?} is no price: write an id and a number, such as h100-sxm-80gb=2.5.");
        Issue::error("wrong_type", key, words)
    };
    let (name, number) = word.split_once(['=', ':']).ok_or_else(wrong)?;
    let price = Decimal::parse(number).ok_or_else(wrong)?.to_f64();
    if !(price > 0.0 && price <= 1e6) {
        let words = format!("{price} is no price of a GPU-hour.");
        return Err(Issue::error("out_of_range", key, words));
    }
    match hardware::find(name.trim()) {
        Some(gpu) => Ok((gpu.id.clone(), price)),
        None => Err(Issue::error(
            "unknown_value",
            key,
            format!("{:?} is not in the table of GPUs.", name.trim()),
        )
        .with_allowed(hardware::nearest(name.trim(), 5))),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::request::Request;

    #[test]
    fn prices_are_read_by_gpu_and_wrong_ones_are_named() {
        let read = |words: serde_json::Value| {
            let mut issues = Vec::new();
            let request = Request::new().with(InputId::GpuPrices, words);
            let found = prices(&Given::read(&request, &mut Vec::new()), &mut issues);
            (found, issues)
        };
        let (found, issues) = read(json!(["h100-sxm-80gb=2.5", "l40s: 0.9"]));
        assert_eq!(issues, []);
        assert_eq!(found.into_values().collect::<Vec<_>>(), [2.5, 0.9]);
        for (word, code) in [
            ("h100-sxm-80gb", "wrong_type"),
            ("h100-sxm-80gb=cheap", "wrong_type"),
            ("h100-sxm-80gb=-1", "out_of_range"),
            ("h100-sxm-80gb=NaN", "wrong_type"),
            ("no such card=1", "unknown_value"),
        ] {
            let (found, issues) = read(json!([word]));
            assert!(found.is_empty());
            assert_eq!(issues.first().map(|issue| issue.code), Some(code), "{word}");
        }
    }
}
