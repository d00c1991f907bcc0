//! One number of an answer taken apart: what it means, how it is made, the tensors behind it with their formulas, and where each
//! comes from. The same for training and inference, because both answers are views of a ledger.

use serde::Serialize;

use super::explain::{line, other};
use crate::request::{Answer, Component, FormulaLine, InferenceAnswer, InstantRow, LedgerRow, Meters, Range};
use crate::units::Bytes;

/// A number taken apart.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Account {
    /// Its name in a link: `need`, `meter-device`, `group-activations`, `instant-loss_backward`, `part-kv_cache`.
    pub id: String,
    /// For a person.
    pub title: String,
    /// What it means, and what it is not.
    pub meaning: String,
    /// The number with its bounds.
    pub bytes: Range,
    /// How it is made of its lines.
    pub formula: String,
    /// The same with numbers.
    pub substituted: String,
    /// Its lines; they add up to the expected number.
    pub lines: Vec<FormulaLine>,
}

/// What both kinds of answers have.
struct View<'a> {
    ledger: &'a [LedgerRow],
    instants: &'a [InstantRow],
    components: &'a [Component],
    meters: &'a Meters,
    need: Range,
}

/// A number of a training answer; nothing where it has no such number.
pub fn account(answer: &Answer, id: &str) -> Option<Account> {
    let view = View {
        ledger: &answer.ledger,
        instants: &answer.instants,
        components: &answer.components,
        meters: &answer.meters,
        need: answer.need,
    };
    view.account(id)
}

/// A number of an inference answer; nothing where it has no such number.
pub fn account_served(answer: &InferenceAnswer, id: &str) -> Option<Account> {
    let view = View {
        ledger: &answer.ledger,
        instants: &answer.instants,
        components: &answer.components,
        meters: &answer.meters,
        need: answer.need,
    };
    if let Some(part) = id.strip_prefix("part-") {
        let row = answer.parts.iter().find(|row| row.id == part)?;
        let (group, meaning) = match part {
            "weights" => ("model_params", "What the engine has loaded."),
            "kv_cache" | "state" => (
                "kv_cache",
                "What the asked sequences keep when they are longest; an engine with a pool holds room for more.",
            ),
            "activations" => (
                "activations",
                "What one pass needs while it runs, and gives back.",
            ),
            _ => ("", "What the engine holds beside the tensors of the model."),
        };
        let lines: Vec<FormulaLine> = view
            .all()
            .into_iter()
            .filter(|line| line.id == part || line.group == group)
            .collect();
        return Some(view.made(id, row.label, meaning.to_string(), row.bytes, lines));
    }
    view.account(id)
}

impl View<'_> {
    fn account(&self, id: &str) -> Option<Account> {
        if id == "need" {
            let meaning = "What the verdict judges: what is allocated at the tightest instant, what the allocator is expected to lose to fragmentation when memory is short, and what lies outside it.";
            return Some(self.made(id, "Need of one GPU", meaning.to_string(), self.need, self.all()));
        }
        let (kind, name) = id.split_once('-')?;
        match kind {
            "meter" => self.meter(id, name),
            "group" => self.group(id, name),
            "instant" => self.instant(id, name),
            "line" => {
                let found: Vec<FormulaLine> = self.all().into_iter().filter(|line| line.id == name).collect();
                let first = found.first()?;
                let (title, meaning) = (first.name.clone(), first.description.clone());
                let bytes = exactly(found.iter().map(|line| line.bytes).sum());
                Some(self.made(id, &title, meaning, bytes, found))
            }
            _ => None,
        }
    }

    /// The lines of the expected need: tensors at the tightest instant, then what is no tensor.
    fn all(&self) -> Vec<FormulaLine> {
        let mut lines = self.tensors();
        let alive = lines.len();
        for component in self.components.iter().skip(alive) {
            let listed: Bytes = lines.iter().map(|line| line.bytes).sum();
            lines.push(other(component, self.need.expected_bytes, listed));
        }
        lines
    }

    /// The tensors that are alive at the tightest instant.
    fn tensors(&self) -> Vec<FormulaLine> {
        self.ledger
            .iter()
            .filter(|row| row.bytes > Bytes::ZERO)
            .map(|row| line(row, row.held))
            .collect()
    }

    fn meter(&self, id: &str, name: &str) -> Option<Account> {
        let allocated = self.meters.allocated;
        let tensors = self.tensors();
        let held: Bytes = tensors.iter().map(|line| line.bytes).sum();
        let rest = |lines: &mut Vec<FormulaLine>, total: Bytes, name: &str, words: &str| {
            let listed: Bytes = lines.iter().map(|line| line.bytes).sum();
            if total > listed {
                lines.push(difference(name, words, total, listed));
            }
        };
        match name {
            "allocated" => {
                let mut lines = tensors;
                rest(
                    &mut lines,
                    allocated.expected_bytes,
                    "compiled",
                    "what compiled code adds",
                );
                let meaning = "torch.cuda.max_memory_allocated(): bytes in blocks that hold a tensor, at the tightest instant.";
                Some(self.made(id, "Allocated", meaning.to_string(), allocated, lines))
            }
            "reserved" => {
                let mut lines = tensors;
                rest(
                    &mut lines,
                    allocated.expected_bytes,
                    "compiled",
                    "what compiled code adds",
                );
                let total = self.meters.reserved.expected_bytes;
                rest(
                    &mut lines,
                    total,
                    "kept",
                    "blocks that the allocator keeps for reuse",
                );
                let meaning = "torch.cuda.max_memory_reserved(): segments that the caching allocator has from the driver, on a card with room to spare. Where memory is short it gives back what it only keeps.";
                Some(self.made(id, "Reserved", meaning.to_string(), self.meters.reserved, lines))
            }
            "device" => {
                let mut lines = tensors;
                let outside: Vec<FormulaLine> = self
                    .all()
                    .into_iter()
                    .skip(lines.len())
                    .filter(|line| line.id != "fragmentation")
                    .collect();
                let beyond: Bytes = outside.iter().map(|line| line.bytes).sum();
                let total = self.meters.device.expected_bytes;
                let inside = total.saturating_sub(beyond).max(held);
                rest(
                    &mut lines,
                    inside,
                    "kept",
                    "blocks that the allocator keeps for reuse",
                );
                lines.extend(outside);
                rest(
                    &mut lines,
                    total,
                    "beyond",
                    "what else lies outside the allocator",
                );
                let meaning = "What nvidia-smi shows for the process, on a card with room to spare: reserved memory, the CUDA context, libraries and communicators.";
                Some(self.made(id, "Device", meaning.to_string(), self.meters.device, lines))
            }
            _ => None,
        }
    }

    fn group(&self, id: &str, name: &str) -> Option<Account> {
        let (title, meaning) = match name {
            "model_params" => (
                "Weights",
                "Weights that stay, and copies that are gathered or cast while they are used.",
            ),
            "gradients" => (
                "Gradients",
                "Gradients and the buckets in which they are reduced.",
            ),
            "optimizer_states" => (
                "Optimizer states",
                "What the optimizer keeps for each trained parameter, master weights among it.",
            ),
            "activations" => (
                "Activations",
                "What the forward pass keeps for the backward pass, and logits and loss.",
            ),
            "kv_cache" => ("Keys and values", "What the asked sequences keep."),
            "overhead" => (
                "Overhead",
                "Temporaries, buffers, fragmentation, and what lies outside the allocator.",
            ),
            _ => return None,
        };
        let lines: Vec<FormulaLine> = self.all().into_iter().filter(|line| line.group == name).collect();
        let bytes = exactly(lines.iter().map(|line| line.bytes).sum());
        Some(self.made(id, title, meaning.to_string(), bytes, lines))
    }

    fn instant(&self, id: &str, name: &str) -> Option<Account> {
        let instant = self.instants.iter().find(|instant| instant.id == name)?;
        let lines: Vec<FormulaLine> = self
            .ledger
            .iter()
            .filter_map(|row| {
                let held = row.held_at.get(name).copied().filter(|held| *held > 0)?;
                Some(line(row, held))
            })
            .collect();
        let meaning = if instant.binding {
            "Allocated at this instant. It is the tightest: it decides the peak."
        } else {
            "Allocated at this instant."
        };
        let bytes = exactly(instant.allocated_bytes);
        Some(self.made(id, &instant.label, meaning.to_string(), bytes, lines))
    }

    /// An account whose number is the sum of its lines.
    fn made(&self, id: &str, title: &str, meaning: String, bytes: Range, lines: Vec<FormulaLine>) -> Account {
        let (formula, substituted) = match lines.as_slice() {
            [one] => (one.formula.clone(), one.substituted.clone()),
            _ => sums(&lines),
        };
        Account {
            id: id.to_string(),
            title: title.to_string(),
            meaning,
            bytes,
            formula,
            substituted,
            lines,
        }
    }
}

/// The largest lines by name and the rest in one word, and the same with numbers.
fn sums(lines: &[FormulaLine]) -> (String, String) {
    const SHOWN: usize = 4;
    let mut sorted: Vec<&FormulaLine> = lines.iter().collect();
    sorted.sort_by_key(|line| std::cmp::Reverse(line.bytes));
    let (shown, rest) = sorted.split_at(SHOWN.min(sorted.len()));
    let mut names: Vec<String> = shown.iter().map(|line| line.name.clone()).collect();
    let mut numbers: Vec<String> = shown
        .iter()
        .map(|line| format!("{:.2}", line.bytes.to_gib()))
        .collect();
    if !rest.is_empty() {
        let sum: Bytes = rest.iter().map(|line| line.bytes).sum();
        names.push(format!("{} more", rest.len()));
        numbers.push(format!("{:.2}", sum.to_gib()));
    }
    (names.join(" + "), numbers.join(" + "))
}

const fn exactly(bytes: Bytes) -> Range {
    Range {
        low_bytes: bytes,
        expected_bytes: bytes,
        high_bytes: bytes,
    }
}

/// What a total has beyond its lines.
fn difference(id: &str, words: &str, total: Bytes, listed: Bytes) -> FormulaLine {
    other(
        &Component {
            id: id.to_string(),
            label: words.to_string(),
            group: "overhead",
            bytes: total.saturating_sub(listed),
            formula: "expected total - what is listed".to_string(),
            source: "measured: how far the meters of traced and published runs lie apart".to_string(),
        },
        total,
        listed,
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::{InputId, Request, calculate, calculate_inference};
    use crate::warn::Issue;

    #[track_caller]
    fn adds_up(account: Option<Account>, id: &str) {
        let sum = account
            .as_ref()
            .map(|account| account.lines.iter().map(|line| line.bytes).sum::<Bytes>());
        let expected = account.as_ref().map(|account| account.bytes.expected_bytes);
        assert_eq!(sum, expected, "{id}");
        assert!(
            account.is_some_and(|account| account.lines.iter().all(|line| !line.source.is_empty())),
            "{id}: a line without a source"
        );
    }

    #[test]
    fn every_number_of_a_training_answer_opens_and_adds_up() -> Result<(), Vec<Issue>> {
        let question = Request::new()
            .with(InputId::ModelId, "llama-3.1-8b")
            .with(InputId::EngineType, "fsdp")
            .with(InputId::NumGpus, 8);
        let answer = calculate(&question)?;
        let mut ids: Vec<String> = ["need", "meter-allocated", "meter-reserved", "meter-device"]
            .map(String::from)
            .into();
        ids.extend(
            answer
                .instants
                .iter()
                .map(|instant| format!("instant-{}", instant.id)),
        );
        ids.extend(
            answer
                .components
                .iter()
                .map(|part| format!("group-{}", part.group)),
        );
        ids.extend(answer.components.iter().map(|part| format!("line-{}", part.id)));
        for id in ids {
            adds_up(account(&answer, &id), &id);
        }
        assert_eq!(account(&answer, "meter-nothing"), None);
        Ok(())
    }

    #[test]
    fn every_part_of_a_served_answer_opens() -> Result<(), Vec<Issue>> {
        for engine in ["vllm", "huggingface", "llama_cpp"] {
            let question = Request::new()
                .with(InputId::ModelId, "llama-3.1-8b")
                .with(InputId::Gpu, "h100-sxm-80gb")
                .with(InputId::ServerType, engine)
                .with(InputId::TotalTokens, 8192);
            let answer = calculate_inference(&question)?;
            adds_up(account_served(&answer, "need"), engine);
            for part in answer
                .parts
                .iter()
                .filter(|part| part.bytes.expected_bytes > Bytes::ZERO)
            {
                let id = format!("part-{}", part.id);
                assert!(account_served(&answer, &id).is_some(), "{engine} {id}");
            }
        }
        Ok(())
    }
}
