//! The pools of SGLang: how the memory that is left after loading becomes tokens, tokens of windows, slots of states and
//! rows of the request table (kvcache-ai/sglang @04653fa `model_executor/model_runner_kv_cache_mixin.py` init_memory_pool,
//! set_num_tokens_hybrid_swa, handle_max_mamba_cache; `mem_cache/memory_pool.py`).

use super::super::super::job::InferenceJob;
use super::cells::Cells;
use super::settings::Settings;
use super::{Options, settings::Speculation};
use crate::units::Bytes;

/// What the pools hold.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Pools {
    /// `max_total_num_tokens`.
    pub tokens: u64,
    /// Tokens of the pool of window layers; zero without one.
    pub window_tokens: u64,
    /// Slots of states; zero without states.
    pub slots: u64,
    /// `max_running_requests`.
    pub running: u64,
    /// Bytes of the pools of keys and values.
    pub kept: Bytes,
    /// Bytes of the pool of states.
    pub states: Bytes,
    /// Bytes of the request table.
    pub table: Bytes,
    /// Bytes of the drafter's pool.
    pub draft: Bytes,
}

/// A tree of prefixes keeps states, too: so many slots per running request (MAMBA_CACHE_SIZE_MAX_RUNNING_REQUESTS_RATIO).
pub const SLOTS_PER_REQUEST: u64 = 3;

/// A share of a count, rounded down.
#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
fn part(count: f64) -> u64 {
    count.max(0.0) as u64
}

const fn whole_pages(tokens: u64, page: u64) -> u64 {
    let page = if page == 0 { 1 } else { page };
    tokens / page * page
}

/// The pools of so many bytes; nothing where none are left.
pub fn pools(
    rest: i64,
    asked: &InferenceJob,
    options: &Options,
    settings: &Settings,
    cells: &Cells,
) -> Pools {
    let mut rest = u64::try_from(rest).unwrap_or(0);
    let mut pools = Pools::default();
    if cells.slot > 0 {
        // The states between the drafts of a step are set aside first.
        if options.speculation.is_some_and(|kind| kind != Speculation::Ngram) {
            let requests = options.running.unwrap_or(0) / options.attention_copies.max(1);
            let between = cells
                .slot
                .saturating_mul(requests)
                .saturating_mul(options.drafts.max(1));
            rest = rest.saturating_sub(between);
        }
        pools.slots = slots(rest, options, cells.slot);
        pools.states = Bytes::new(cells.slot.saturating_mul(pools.slots.saturating_add(1)));
        rest = rest.saturating_sub(cells.slot.saturating_mul(pools.slots));
    }
    let capped = |tokens: u64| match options.most_tokens {
        Some(most) => tokens.min(most),
        None => tokens,
    };
    if let Some(each) = cells.compressed {
        let share = match options.speculation {
            Some(Speculation::Eagle) => {
                let layers = asked.network.depth() as f64;
                layers / (layers + 1.0)
            }
            _ => 1.0,
        };
        pools.tokens = whole_pages(capped(part(rest as f64 * share / each.max(1.0))), settings.page);
        pools.window_tokens = part(options.window_share.unwrap_or(0.1) * pools.tokens as f64);
        pools.kept = Bytes::new(part(each * pools.tokens as f64));
    } else if cells.window > 0 {
        split(rest, options, settings, cells, capped, &mut pools);
    } else if let Some(tokens) = rest.checked_div(cells.full) {
        pools.tokens = whole_pages(capped(tokens), settings.page);
        pools.kept = held(cells.full, pools.tokens, settings.page);
    } else {
        // States alone: tokens cost nothing but their place in the request table.
        pools.tokens = whole_pages(
            capped(settings.context.saturating_mul(pools.slots)),
            settings.page,
        );
    }
    pools.draft = match pools.tokens {
        0 => Bytes::ZERO,
        tokens => held(cells.draft, tokens, settings.page),
    };
    let context = settings.context.max(1);
    let usual = part(pools.tokens as f64 / context as f64 * 512.0).clamp(2048, 4096);
    pools.running = options.running.unwrap_or(usual) / options.attention_copies.max(1);
    if cells.slot > 0 {
        let each = if options.radix { SLOTS_PER_REQUEST } else { 1 };
        pools.running = pools.running.min(pools.slots / each);
    }
    pools.table = table(pools.running, options, settings);
    pools
}

/// Slots of states: as many as are asked for, or a share of what is left.
fn slots(rest: u64, options: &Options, slot: u64) -> u64 {
    let copies = options.attention_copies.max(1);
    let fixed = match (options.slots, options.running) {
        (Some(slots), _) => Some(slots / copies),
        (None, Some(running)) if !options.radix => Some(running / copies),
        _ => None,
    };
    let ratio = options.state_share.unwrap_or(0.9);
    let afforded = rest / slot.max(1);
    match fixed {
        Some(slots) => slots.min(afforded),
        None => part(rest as f64 * ratio / (1.0 + ratio) / slot.max(1) as f64),
    }
}

/// The pools of full and of window layers: the second has a share of the tokens of the first.
fn split(
    rest: u64,
    options: &Options,
    settings: &Settings,
    cells: &Cells,
    capped: impl Fn(u64) -> u64,
    pools: &mut Pools,
) {
    let tokens = whole_pages(capped(rest / cells.all().max(1)), settings.page);
    if cells.full == 0 {
        pools.tokens = tokens;
        pools.window_tokens = tokens;
    } else {
        let share = options.window_share.unwrap_or(0.8);
        let memory = tokens as f64 * cells.all() as f64;
        let full = part(memory / (cells.full as f64 + share * cells.window as f64));
        pools.tokens = whole_pages(full, settings.page);
        pools.window_tokens = whole_pages(part(full as f64 * share), settings.page);
    }
    pools.kept = held(cells.full, pools.tokens, settings.page)
        + held(cells.window, pools.window_tokens, settings.page);
}

/// The pool has a page more than its tokens.
fn held(cell: u64, tokens: u64, page: u64) -> Bytes {
    Bytes::new(cell.saturating_mul(tokens.saturating_add(page)))
}

/// Four bytes for each position of each request (`ReqToTokenPool`).
fn table(running: u64, options: &Options, settings: &Settings) -> Bytes {
    let rows = running.saturating_add(u64::from(options.release.extra_row));
    let drafts = if options.speculation.is_some() {
        options.drafts
    } else {
        0
    };
    let columns = settings.context.saturating_add(4).saturating_add(drafts);
    Bytes::new(rows.saturating_mul(columns).saturating_mul(4))
}
