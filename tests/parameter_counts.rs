//! The parameters of every model of the catalogue, counted from its tensors, against the counts of the reference classes
//! (`tests/model/parameter_counts.csv`): equal to the last digit.

use gpu_mem_calc::model::catalogue;
use gpu_mem_calc::model::import::network_from_config;
use gpu_mem_calc::model::{Network, Role};

/// Cells that differ for a stated reason: model, column, reason.
const EXCEPTIONS: &[(&str, &str, &str)] = &[
    ("step-3.7-flash", "exact_total", STEP),
    ("step-3.7-flash", "exact_active", STEP),
    ("step-3.7-flash", "embedding", STEP),
    ("step-3.7-flash", "lm_head", STEP),
];

/// The table was counted with the default vocabulary of the class.
const STEP: &str =
    "its file states 128,896 rows, the table has the class default of 128,815: 2 x 81 x 4,096 fewer";

fn cell(network: &Network, column: &str) -> Option<u64> {
    let role = |wanted: Role| network.parameters_where(|tensor| tensor.role == wanted).get();
    Some(match column {
        "exact_total" => network.total_parameters().get(),
        "exact_active" => network.active_parameters().get(),
        "embedding" => network.embedding_parameters().get(),
        "lm_head" => network.head_parameters().get(),
        "routed_expert_params" => network.routed_expert_parameters().get(),
        "vision_audio_params" => role(Role::Tower),
        "mtp_formula" => network.next_token_parameters().get(),
        _ => return None,
    })
}

#[test]
fn every_count_is_exact() {
    let table = include_str!("model/parameter_counts.csv");
    let mut lines = table.lines();
    let header: Vec<&str> = lines.next().unwrap().split(',').collect();
    let (mut exact, mut with_total, mut wrong) = (0, 0, Vec::new());
    for line in lines {
        let cells: Vec<&str> = line.split(',').collect();
        let id = cells[0];
        with_total += usize::from(!cells[1].is_empty());
        let entry = catalogue::find(id).unwrap_or_else(|| panic!("{id} is not in the catalogue"));
        let imported = match network_from_config(&entry.config) {
            Ok(imported) => imported,
            Err(issues) => {
                wrong.push(format!("{id}: {issues:?}"));
                continue;
            }
        };
        assert!(!imported.generic, "{id} is read as a generic decoder");
        let unknown: Vec<_> = imported.warnings.iter().map(|w| &w.message).collect();
        if !unknown.is_empty() {
            println!("{id}: {unknown:?}");
        }
        for (column, text) in header
            .iter()
            .zip(&cells)
            .skip(1)
            .filter(|(_, text)| !text.is_empty())
        {
            if EXCEPTIONS.iter().any(|(m, c, _)| m == &id && c == column) {
                continue;
            }
            let expected: u64 = text.parse().unwrap();
            let found = cell(&imported.network, column).unwrap();
            if found == expected {
                exact += usize::from(*column == "exact_total");
            } else {
                let difference = i128::from(found) - i128::from(expected);
                wrong.push(format!(
                    "{id}: {column} is {found}, not {expected} ({difference:+})"
                ));
            }
        }
    }
    println!("{exact} totals exact");
    let exceptions = EXCEPTIONS.iter().filter(|exception| exception.1 == "exact_total");
    assert!(with_total >= 226, "rows have been lost: {with_total}");
    assert_eq!(exact + exceptions.count(), with_total);
    assert!(wrong.is_empty(), "{} wrong:\n{}", wrong.len(), wrong.join("\n"));
}
