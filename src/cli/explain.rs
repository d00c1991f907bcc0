//! `explain`: the parts of an answer as formulas with numbers put in, as text or as JSON.

use std::process::ExitCode;

use clap::ArgMatches;
use gpu_mem_calc::api::{self, Explanation, FormulaLine};

use crate::failure::Failure;
use crate::{output, sources};

/// Runs the command.
pub fn run(given: &ArgMatches) -> Result<ExitCode, Failure> {
    let explanation = api::explain(&sources::request(given)?).map_err(Failure::Input)?;
    output::answer(given, &explanation, || text(&explanation))?;
    Ok(ExitCode::SUCCESS)
}

/// The parts with their formulas, for a person.
pub fn text(explanation: &Explanation) -> String {
    let mut text = format!(
        "{}\n{}\n\n",
        explanation.engine_name, explanation.formula_description
    );
    text.push_str(&format!("At the tightest instant ({}):\n", explanation.instant));
    explanation
        .formula_components
        .iter()
        .for_each(|part| line(part, &mut text));
    text.push_str(&format!(
        "\nTotal: {} B = {:.2} GiB\n",
        explanation.total_memory_bytes.get(),
        explanation.total_memory_bytes.to_gib()
    ));
    if !explanation.elsewhere.is_empty() {
        text.push_str("\nNot alive at that instant (one of each):\n");
        explanation
            .elsewhere
            .iter()
            .for_each(|part| line(part, &mut text));
    }
    text
}

fn line(part: &FormulaLine, text: &mut String) {
    text.push_str(&format!("\n{}: {}\n", part.name, part.result));
    text.push_str(&format!("  {}\n", part.formula));
    text.push_str(&format!("  = {} = {} B\n", part.substituted, part.bytes.get()));
    for symbol in &part.symbols {
        text.push_str(&format!(
            "  {} = {} {}\n",
            symbol.name, symbol.value, symbol.meaning
        ));
    }
    text.push_str(&format!("  {} ({})\n", part.source, part.evidence.words()));
}
