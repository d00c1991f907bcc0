//! What brings tokens to the experts of other ranks, and what that keeps beside the experts' own tensors.
//!
//! Read in NVIDIA/Megatron-LM core/transformer/moe/token_dispatcher.py, core/tensor_parallel/mappings.py and core/utils.py
//! (`GlobalMemoryBuffer`): the all-gather dispatcher gathers all tokens of the expert ranks into a buffer that stays, and the
//! gradient of their sum in backward into a tensor of its own; the all-to-all dispatcher has the rows twice while they are sent
//! and sorted. In Megatron's functional tests what lies between two steps is more by that buffer: 33.6 MB with 8 expert ranks.
//! DeepEP's buffers (`MoEFlexTokenDispatcher`, core/transformer/moe/fused_a2a.py) lie outside of torch's allocator: the sizes
//! that deepseek-ai/DeepEP csrc/legacy/config.hpp asks for, with the configurations of deep_ep/buffers/legacy.py.

use super::Megatron;
use super::saved::{Part, Saved, Setting};
use super::settings::Dispatcher;
use super::stage::setting;
use crate::cite::{Citation, Evidence};
use crate::memory::allocator::block;
use crate::memory::{Group, Symbol};
use crate::model::Moe;
use crate::training::TrainingJob;
use crate::training::sheet::Item;
use crate::units::Bytes;

impl Setting {
    /// Tokens of all ranks among which experts are divided.
    const fn dispatched(&self) -> u64 {
        self.own().saturating_mul(self.settings.expert_group())
    }

    /// What a dispatcher keeps of a layer for backward: where each routed row came from, and with gathered tokens the
    /// probabilities of the rank's own experts.
    pub(super) fn dispatcher(&self, moe: &Moe, all: &mut Vec<Saved>) {
        let rows = self.routed(moe);
        let row = |label, bytes, width, rows, row| Saved {
            id: "dispatcher.map",
            label,
            bytes,
            width,
            meaning: "values per row",
            rows,
            row,
            part: Part::Experts,
        };
        all.push(row(
            "order of the routed rows",
            8,
            1,
            rows,
            "routed rows on the rank",
        ));
        if self.settings.dispatcher == Dispatcher::Gathered && self.settings.expert_group() > 1 {
            let own = moe.experts.div_ceil(self.settings.expert.max(1));
            let tokens = self.dispatched();
            let label = "gathered probabilities of the rank's experts, and their mask";
            all.push(row(label, 5, own, tokens, "tokens of all expert ranks"));
        }
    }

    /// What backward holds of the dispatcher when it comes to the experts, none of whose tensors it has used yet.
    pub(super) fn combining(&self, moe: &Moe) -> u64 {
        if self.settings.expert_group() <= 1 {
            return 0;
        }
        let rows = self.routed(moe);
        let before = match self.settings.dispatcher {
            Dispatcher::Gathered => self.dispatched(),
            Dispatcher::Exchanged => rows,
            // A token comes once, however many of the rank's experts it chose.
            Dispatcher::Flex => rows.min(self.dispatched()),
        };
        let width = self.bytes.saturating_mul(moe.model_width);
        width.saturating_mul(rows.saturating_add(before))
    }
}

/// The buffer into which tokens are gathered; nothing where they are not.
pub fn gathered(job: &TrainingJob, settings: &Megatron) -> Option<Item> {
    let uses = settings.dispatcher == Dispatcher::Gathered && settings.expert_group() > 1;
    if !uses || !job.network.has_experts() {
        return None;
    }
    let setting = setting(job, settings);
    let (each, tokens) = (setting.bytes, setting.dispatched());
    let all = each.saturating_mul(setting.hidden).saturating_mul(tokens);
    Some(Item {
        id: "dispatcher.gathered",
        label: "tokens gathered from all expert ranks",
        group: Group::Overhead,
        dtype: None,
        unit: block(Bytes::new(all)),
        formula: "β·h·T",
        symbols: vec![
            Symbol::new("β", "bytes per element", each),
            Symbol::new("h", "hidden size", setting.hidden),
            Symbol::new("T", "tokens of all expert ranks", tokens),
        ],
        terms: Vec::new(),
        citation: Citation::new(
            Evidence::Source,
            "NVIDIA/Megatron-LM core/transformer/moe/token_dispatcher.py: MoEAllGatherTokenDispatcher, use_global_buffer; records megatron-golden-moe of tests/measured/training.jsonl",
        ),
    })
}

/// DeepEP's buffers outside of torch's allocator; nothing with another dispatcher.
pub fn outside(job: &TrainingJob, settings: &Megatron) -> Bytes {
    if settings.dispatcher != Dispatcher::Flex || !job.network.has_experts() {
        return Bytes::ZERO;
    }
    let hidden = job.network.hidden_size.saturating_mul(2);
    deep_ep(hidden, settings.expert_group()).map_or(Bytes::ZERO, Bytes::new)
}

/// Tokens per channel that DeepEP's recommended configurations receive, over NVLink and, ceiled to whole sends, between nodes:
/// the larger of dispatch and combine.
const fn received(ranks: u64) -> Option<(u64, u64)> {
    match ranks {
        2 | 4 | 8 => Some((256, 0)),
        16 => Some((288, 140)),
        24 | 32 | 48 | 64 => Some((288, 128)),
        96 => Some((480, 132)),
        128 => Some((560, 132)),
        144 | 160 => Some((720, 132)),
        _ => None,
    }
}

/// Whether DeepEP has a configuration for so many ranks.
pub const fn has_configuration(ranks: u64) -> bool {
    received(ranks).is_some()
}

/// Ranks of a node, which reach each other over NVLink (deepseek-ai/DeepEP csrc/kernels/legacy/compiled.cuh,
/// `LEGACY_NUM_MAX_NVL_PEERS`).
const PEERS: u64 = 8;
/// Two streaming multiprocessors per channel, of the 20 that are its default and Megatron's (deepseek-ai/DeepEP
/// deep_ep/buffers/legacy.py, `num_sms`).
const CHANNELS: u64 = 10;
/// Places for 128 chosen experts with their weights, and 128 scales (`kNumMaxTopK` and `kNumMaxScales`
/// of deepseek-ai/DeepEP csrc/legacy/config.hpp, asked for by deep_ep/buffers/legacy.py).
const PER_TOKEN: u64 = 128 * (8 + 4 + 4);
/// Where a token came from: two integers (deepseek-ai/DeepEP csrc/kernels/legacy/internode.cu, `SourceMeta`).
const META: u64 = 8;
/// Workspace of its kernels (deepseek-ai/DeepEP csrc/kernels/legacy/compiled.cuh, `LEGACY_NUM_WORKSPACE_BYTES`).
const WORKSPACE: u64 = 32 << 20;

/// Buffers for hidden states of so many bytes, and the workspace.
fn deep_ep(hidden: u64, ranks: u64) -> Option<u64> {
    let (near, far) = received(ranks)?;
    let nodes = (ranks / PEERS).max(1);
    let token = hidden.saturating_add(META).saturating_add(PER_TOKEN);
    let whole = |bytes: u64| bytes.div_ceil(128).saturating_mul(128);
    let over_link = (CHANNELS * ranks.min(PEERS)) * (4 * (2 * nodes + 3));
    let over_link = over_link.saturating_add((CHANNELS * ranks.min(PEERS) * near).saturating_mul(token));
    let between = if ranks <= PEERS {
        0
    } else {
        let heads = CHANNELS * nodes * (2 * PEERS + 2) * 2 * 4;
        let each = token.saturating_add(16).saturating_mul(2);
        heads.saturating_add((CHANNELS * nodes * far).saturating_mul(each))
    };
    Some(
        whole(over_link)
            .saturating_add(whole(between))
            .saturating_add(WORKSPACE),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Hidden states of 7,168 in 16 bits on the 8 ranks of a node: 10 channels to 8 ranks with 256 tokens each, of 14,336 +
    /// 8 + 2,048 bytes, 5 counters of 4 bytes per channel and rank, in whole 128 bytes, and the workspace.
    #[test]
    fn deep_ep_on_a_node() {
        let tokens: u64 = 80 * 256 * (14_336 + 8 + 2_048);
        let counters = 80 * 5 * 4;
        let all: u64 = (tokens + counters).div_ceil(128) * 128 + (32 << 20);
        assert_eq!(deep_ep(2 * 7168, 8), Some(all));
        assert_eq!(all, 369_264_256);
    }

    /// On 8 nodes each channel has 288 tokens of every rank of the node, and 128 of every node, twice, of 16 bytes more.
    #[test]
    fn deep_ep_between_nodes() {
        let near = 80 * 288 * 16_392 + 80 * (2 * 8 + 3) * 4;
        let far = 80 * 128 * 2 * (16_392 + 16) + 80 * 18 * 2 * 4;
        let whole = |bytes: u64| bytes.div_ceil(128) * 128;
        assert_eq!(deep_ep(2 * 7168, 64), Some(whole(near) + whole(far) + (32 << 20)));
        assert_eq!(deep_ep(2 * 7168, 12), None);
    }
}
