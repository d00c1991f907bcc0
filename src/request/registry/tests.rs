//! What must hold for every input, with the missing place named.

use std::collections::BTreeMap;

use super::*;

#[test]
fn every_input_is_specified_under_its_own_id() {
    assert_eq!(InputId::ALL.len(), INPUTS.len());
    for id in InputId::ALL {
        assert_eq!(id.input().id, *id, "{id:?} points at another specification");
    }
}

#[test]
fn every_input_has_key_label_help_flag_and_url() {
    for input in INPUTS {
        let key = input.key;
        assert!(
            key.starts_with(&format!("{}.", input.section.key())),
            "{key}: key is not in its section"
        );
        assert!(!input.label.is_empty(), "{key}: label is missing");
        assert!(
            input.words().help.ends_with('.'),
            "{key}: help is missing or no sentence"
        );
        assert!(input.words().help.len() > 30, "{key}: help says too little");
        assert!(input.flag.starts_with("--"), "{key}: flag is missing");
        assert!(
            input
                .flag
                .chars()
                .skip(2)
                .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-'),
            "{key}: flag {}",
            input.flag
        );
        assert!(
            (1..=4).contains(&input.url.len()) && input.url.chars().all(|c| c.is_ascii_alphanumeric()),
            "{key}: url key {}",
            input.url
        );
        assert!(
            FormGroup::ALL.contains(&input.group),
            "{key}: its group is not on the form"
        );
    }
}

#[test]
fn keys_flags_and_url_keys_are_unique() {
    let mut seen: BTreeMap<String, &str> = BTreeMap::new();
    for input in INPUTS {
        let names = input
            .aliases
            .iter()
            .chain([&input.key, &input.flag])
            .map(ToString::to_string)
            .chain([format!("url:{}", input.url)]);
        for name in names {
            if let Some(other) = seen.insert(name.clone(), input.key) {
                unreachable!("{name} is used by {other} and {}", input.key);
            }
        }
    }
}

#[test]
fn every_choice_is_unambiguous_and_explained() {
    for input in INPUTS {
        let mut seen: BTreeMap<String, &str> = BTreeMap::new();
        for choice in input.kind.choices() {
            assert!(
                !choice.label.is_empty() && choice.help.ends_with('.'),
                "{}: {}",
                input.key,
                choice.value
            );
            for name in choice.aliases.iter().chain([&choice.value]) {
                let lower = name.to_ascii_lowercase();
                if let Some(other) = seen.insert(lower, choice.value) {
                    unreachable!("{}: {name} means {other} and {}", input.key, choice.value);
                }
            }
        }
    }
}

#[test]
fn keys_flags_and_url_keys_find_their_input() {
    for input in INPUTS {
        assert_eq!(Input::by_key(input.key).map(|found| found.id), Some(input.id));
        assert_eq!(Input::by_flag(input.flag).map(|found| found.id), Some(input.id));
        assert_eq!(Input::by_url(input.url).map(|found| found.id), Some(input.id));
    }
    assert!(Input::by_key("training.nothing").is_none());
    assert_eq!(
        FormGroup::ALL
            .iter()
            .map(|group| Input::of_group(*group).count())
            .sum::<usize>(),
        INPUTS.len()
    );
}
