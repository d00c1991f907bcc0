//! Plans of serving as a table.

use gpu_mem_calc::api::{ServingPlanAnswer, ServingPlanPoint, ServingPlanRow};

use crate::plan::left_out;
use crate::table::{Align, Table, count, gib};

/// The answer to a search for ways of serving.
pub fn table(answer: &ServingPlanAnswer) -> String {
    let asked = &answer.asked;
    let mut text = format!(
        "{} x {}; prompts of {} tokens, answers of {}; {}\n",
        count(asked.gpus),
        asked.gpu,
        count(asked.prompt_tokens),
        count(asked.new_tokens),
        match asked.rank_by {
            "capacity" => "the most requests at once first",
            _ => "the most tokens per second and GPU first",
        },
    );
    text.push_str(&format!(
        "{} combinations of {} engines, {} calculated, {} fit\n",
        count(answer.space.combinations),
        answer.space.ways,
        count(answer.space.calculated),
        count(answer.space.fitting),
    ));
    if answer.plans.is_empty() {
        text.push_str(&match &answer.nearest {
            Some(nearest) => format!(
                "\nNothing fits. Too large by the least: {}: {} too much.\n",
                nearest.name,
                gib(nearest.shortfall_bytes)
            ),
            None => "\nNo combination is valid.\n".to_owned(),
        });
    } else {
        text.push_str("\nBest plans\n");
        text.push_str(&plans(&answer.plans));
        text.push_str("\nBest for each effect on what the model says\n");
        text.push_str(&points(&answer.by_effect));
    }
    if let Some(why) = &answer.why {
        text.push_str(&format!(
            "\nWhy the first\n  {}\n  Against: {}\n",
            why.words, why.other.name
        ));
    }
    if answer.front.len() > 1 {
        text.push_str(
            "\nMore tokens or sooner: no plan has both more tokens per GPU and each of them sooner\n",
        );
        text.push_str(&points(&answer.front));
    }
    text.push_str(&left_out(&answer.space, &answer.refused));
    for issue in &answer.warnings {
        text.push_str(&format!("Note: {}\n", issue.message));
    }
    text
}

fn number(value: Option<f64>, digits: usize) -> String {
    value.map_or_else(|| "-".to_owned(), |value| format!("{value:.digits$}"))
}

fn plans(plans: &[ServingPlanRow]) -> String {
    let right = Align::Right;
    let mut rows = Table::headed(&[
        ("", right),
        ("plan", Align::Left),
        ("tokens/s/GPU", right),
        ("ms per token", right),
        ("ms to the first", right),
        ("at once", right),
        ("need", right),
        ("effect", Align::Left),
    ]);
    for (place, plan) in plans.iter().enumerate() {
        rows.row([
            (place + 1).to_string(),
            plan.point.name.clone(),
            number(plan.point.tokens_per_second_per_gpu, 0),
            number(plan.point.tpot_ms, 1),
            number(plan.ttft.as_ref().map(|ttft| ttft.expected), 0),
            count(plan.point.at_once),
            gib(plan.point.need_bytes),
            plan.point.effect.to_owned(),
        ]);
    }
    rows.text(2)
}

fn points(points: &[ServingPlanPoint]) -> String {
    let right = Align::Right;
    let mut rows = Table::headed(&[
        ("effect", Align::Left),
        ("plan", Align::Left),
        ("tokens/s/GPU", right),
        ("ms per token", right),
        ("at once", right),
    ]);
    for point in points {
        rows.row([
            point.effect.to_owned(),
            point.name.clone(),
            number(point.tokens_per_second_per_gpu, 0),
            number(point.tpot_ms, 1),
            count(point.at_once),
        ]);
    }
    rows.text(2)
}
