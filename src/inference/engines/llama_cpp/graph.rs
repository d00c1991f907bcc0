//! The graph of one pass on one device: which tensors a layer makes, in the order in which the engine computes them
//! (ggml-org/llama.cpp `src/llama-graph.cpp`, `src/llama-model.cpp`, the classes of the families). What lies in the cache and the
//! weights is outside of it. `arena` plans the memory.

use super::arena::{Graph, Id};
use super::options::{Latent as Cached, Options};
use super::types::{F16, GgmlType};
use crate::model::{Dense, FeedForward, Latent, Layer, Mixer, Moe, QkNorm};

/// What all layers of a pass share.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pass {
    /// Tokens of the physical batch.
    pub tokens: u64,
    /// Cells that layers without and with a window look at.
    pub cells: (u64, u64),
    /// Width of the residual stream.
    pub hidden: u64,
    /// Rows of the output; zero where the device has none.
    pub vocabulary: u64,
    /// Tokens whose logits are computed.
    pub outputs: u64,
    /// Copies of every input.
    pub copies: u64,
    /// Whether the mask is cast to 16 bits here; else it comes so.
    pub cast: bool,
}

/// A layer on a device.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Part<'a> {
    /// The layer.
    pub layer: &'a Layer,
    /// Where its experts are on the host: bytes of the largest of their tensors, which is copied here for the prompt.
    pub copied: u64,
    /// Where the whole layer is on the host and its prompt computed here: bytes of the largest other matrix.
    pub matrix: u64,
    /// Whether the experts are computed on the host.
    pub elsewhere: bool,
    /// Whether the layer is on the host and only its products are here.
    pub away: bool,
}

/// The masks: as they come in fp32, and as flash attention takes them.
#[derive(Clone, Copy, Debug, Default)]
struct Mask {
    wide: Option<Id>,
    narrow: Option<Id>,
}

struct Builder<'a> {
    graph: Graph,
    pass: Pass,
    options: &'a Options,
    masks: [Mask; 2],
    /// Whether attention of the layer at work is computed on the host.
    away: bool,
}

/// Bytes of the compute buffer of a device with these layers.
pub fn buffer(parts: &[Part<'_>], pass: Pass, options: &Options) -> u64 {
    let mut builder = Builder {
        graph: Graph::default(),
        pass,
        options,
        masks: [Mask::default(); 2],
        away: false,
    };
    let size = builder.each(pass.hidden);
    let more = pass.copies.saturating_sub(1);
    let mut kept = vec![builder.graph.tensor(size.saturating_mul(more), &[])];
    let mut stream = builder.graph.tensor(size, &[]);
    builder.graph.tensor(pass.tokens.saturating_mul(4), &[]);
    for (place, windowed) in [(0, false), (1, true)] {
        let used = parts
            .iter()
            .any(|part| !part.away && looks(&part.layer.mixer, windowed));
        if used {
            let narrow = options.flash && !pass.cast;
            let size = builder.pairs(windowed, if narrow { 2 } else { 4 });
            let input = builder.graph.tensor(size, &[]);
            if pass.copies > 1 {
                kept.push(input);
                kept.push(builder.graph.tensor(size.saturating_mul(more), &[]));
            }
            if let Some(mask) = builder.masks.get_mut(place) {
                *mask = Mask {
                    wide: (!narrow).then_some(input),
                    narrow: narrow.then_some(input),
                };
            }
        }
    }
    // Rows are chosen only where not all are wanted.
    let chosen = pass.vocabulary > 0 && pass.outputs < pass.tokens;
    let rows = chosen.then(|| builder.graph.tensor(pass.outputs.saturating_mul(4), &[]));
    for (place, part) in parts.iter().enumerate() {
        let last = place.saturating_add(1) == parts.len();
        stream = builder.layer(part, stream, rows.filter(|_| last));
    }
    if pass.vocabulary > 0 {
        let size = builder.outputs(pass.hidden);
        let normed = builder.graph.in_place(size, &[stream]);
        // The fork keeps the normed rows for itself.
        let scaled = if options.fork {
            builder.graph.tensor(size, &[normed])
        } else {
            builder.graph.in_place(size, &[normed])
        };
        let logits = builder.outputs(pass.vocabulary);
        builder.graph.tensor(logits, &[scaled]);
    }
    for input in kept {
        builder.graph.stored(input);
    }
    builder.graph.reserve()
}

fn looks(mixer: &Mixer, windowed: bool) -> bool {
    match mixer {
        Mixer::Attention(attention) => (attention.span != crate::model::Span::Full) == windowed,
        Mixer::Latent(_) => !windowed,
        Mixer::Several(parts) => parts.iter().any(|part| looks(part, windowed)),
        _ => false,
    }
}

impl Builder<'_> {
    /// fp32 rows of this width for every token.
    const fn each(&self, width: u64) -> u64 {
        width.saturating_mul(self.pass.tokens).saturating_mul(4)
    }

    /// The same for the tokens whose logits are computed.
    const fn outputs(&self, width: u64) -> u64 {
        width.saturating_mul(self.pass.outputs).saturating_mul(4)
    }

    const fn cells(&self, windowed: bool) -> u64 {
        if windowed {
            self.pass.cells.1
        } else {
            self.pass.cells.0
        }
    }

    const fn pairs(&self, windowed: bool, bytes: u64) -> u64 {
        self.cells(windowed)
            .saturating_mul(self.pass.tokens)
            .saturating_mul(bytes)
    }

    /// The mask as attention takes it: flash attention casts it to 16 bits where it is first used.
    fn mask(&mut self, windowed: bool) -> Option<Id> {
        let place = usize::from(windowed);
        let mask = self.masks.get(place).copied().unwrap_or_default();
        if !self.options.flash {
            return mask.wide;
        }
        if mask.narrow.is_some() {
            return mask.narrow;
        }
        let narrow = self.graph.tensor(self.pairs(windowed, 2), &[mask.wide?]);
        if let Some(mask) = self.masks.get_mut(place) {
            mask.narrow = Some(narrow);
        }
        Some(narrow)
    }

    fn layer(&mut self, part: &Part<'_>, stream: Id, rows: Option<Id>) -> Id {
        let layer = part.layer;
        self.away = part.away;
        let hidden = self.each(self.pass.hidden);
        let normed = self.graph.in_place(hidden, &[stream]);
        let normed = self.graph.in_place(hidden, &[normed]);
        let mut mixed = self.mixer(&layer.mixer, normed);
        let mut kept = stream;
        let mut width = hidden;
        let tokens = self.pass.tokens;
        if let Some(rows) = rows {
            width = self.outputs(self.pass.hidden);
            mixed = self.graph.tensor(width, &[mixed, rows]);
            kept = self.graph.tensor(width, &[kept, rows]);
            self.pass.tokens = self.pass.outputs;
        }
        let joined = self.graph.in_place(width, &[mixed, kept]);
        let normed = self.graph.in_place(width, &[joined]);
        let normed = self.graph.in_place(width, &[normed]);
        let fed = self.feed_forward(&layer.feed_forward, part, normed);
        let found = self.graph.in_place(width, &[fed, joined]);
        self.pass.tokens = tokens;
        found
    }

    fn mixer(&mut self, mixer: &Mixer, input: Id) -> Id {
        match mixer {
            Mixer::None => input,
            Mixer::Attention(attention) => {
                let windowed = attention.span != crate::model::Span::Full;
                let queries = self.each(attention.heads.saturating_mul(attention.head_dim));
                let keys = self.each(attention.kv_heads.saturating_mul(attention.head_dim));
                let values = self.each(attention.kv_heads.saturating_mul(attention.value_dim));
                let normed = attention.qk_norm != QkNorm::None;
                let q = self.graph.tensor(queries, &[input]);
                let k = self.graph.tensor(keys, &[input]);
                let v = self.graph.tensor(values, &[input]);
                let q = self.turned(q, queries, normed);
                let k = self.turned(k, keys, normed);
                self.graph.stored(k);
                let v = self.graph.view(v);
                self.graph.stored(v);
                let out = attention.heads.saturating_mul(attention.value_dim);
                let mixed = self.attend(q, attention.heads, out, windowed);
                self.graph.tensor(self.each(self.pass.hidden), &[mixed])
            }
            Mixer::Latent(one) if self.at_once(one) => self.every_head(one, input),
            Mixer::Latent(_) => self.latent(mixer, input),
            Mixer::Several(parts) => {
                let mut found = input;
                for part in parts {
                    found = self.mixer(part, input);
                }
                found
            }
            other => self.recurrent(other, input),
        }
    }

    /// Norms per head and rotation, both in place.
    fn turned(&mut self, of: Id, size: u64, normed: bool) -> Id {
        let mut found = self.graph.view(of);
        if normed {
            found = self.graph.in_place(size, &[found]);
            found = self.graph.in_place(size, &[found]);
        }
        self.graph.in_place(size, &[found])
    }

    /// Attention over the cache, with or without scores in memory.
    fn attend(&mut self, queries: Id, heads: u64, out: u64, windowed: bool) -> Id {
        let queries = self.graph.view(queries);
        let size = self.each(out);
        if self.away {
            self.graph.stored(queries);
            return self.graph.tensor(size, &[]);
        }
        if self.options.flash {
            let mask = self.mask(windowed);
            let sources: Vec<Id> = [Some(queries), mask].into_iter().flatten().collect();
            let found = self.graph.tensor(size, &sources);
            return self.graph.view(found);
        }
        let all = self.pairs(windowed, 4).saturating_mul(heads);
        // The fork slices the scores by heads, too.
        let scores = match self.options.slice {
            mebibytes if self.options.fork && mebibytes > 0 => all.min(mebibytes << 20),
            _ => all,
        };
        let found = self.graph.tensor(scores, &[queries]);
        let mask = self.mask(windowed);
        let sources: Vec<Id> = [Some(found), mask].into_iter().flatten().collect();
        let found = self.graph.in_place(scores, &sources);
        let mixed = self.graph.tensor(size, &[found]);
        let mixed = self.graph.view(mixed);
        self.graph.tensor(size, &[mixed])
    }

    /// Latent attention: absorbed (one head of the latent's width), or with keys and values of every head.
    fn latent(&mut self, mixer: &Mixer, input: Id) -> Id {
        let Mixer::Latent(one) = mixer else {
            return input;
        };
        let heads = one.heads;
        let query = self.each(heads.saturating_mul(one.nope_dim.saturating_add(one.rope_dim)));
        let turned = self.each(heads.saturating_mul(one.rope_dim));
        let joint = self.each(one.kv_rank.saturating_add(one.rope_dim));
        let latent = self.each(one.kv_rank);
        let mut source = input;
        if let Some(rank) = one.query_rank {
            let down = self.graph.tensor(self.each(rank), &[input]);
            let down = self.graph.in_place(self.each(rank), &[down]);
            source = self.graph.in_place(self.each(rank), &[down]);
        }
        let q = self.graph.tensor(query, &[source]);
        let (nope, rope) = (self.graph.view(q), self.graph.view(q));
        let kv = self.graph.tensor(joint, &[input]);
        let (low, pe) = (self.graph.view(kv), self.graph.view(kv));
        let q_pe = self.graph.tensor(turned, &[rope]);
        let k_pe = self.graph.tensor(self.each(one.rope_dim), &[pe]);
        let low = self.graph.tensor(latent, &[low]);
        let low = self.graph.in_place(latent, &[low]);
        let out = heads.saturating_mul(one.value_dim);
        let every = self.options.unabsorbed(self.pass.tokens);
        if self.options.latent == Cached::PerHead || every {
            let q = self.graph.tensor(query, &[q_pe, nope]);
            let k = self.graph.tensor(query, &[k_pe, low]);
            self.graph.stored(k);
            let expanded = if every { self.expanded(mixer) } else { None };
            let queries = match expanded {
                Some((keys, values)) => {
                    let q = self.graph.in_place(query, &[q]);
                    // Read by attention, so that they live until then.
                    let mixed = self.attend(q, heads, out, false);
                    self.graph.stored(keys);
                    self.graph.stored(values);
                    mixed
                }
                None => self.attend(q, heads, out, false),
            };
            return self.graph.tensor(self.each(self.pass.hidden), &[queries]);
        }
        let absorbed = self
            .graph
            .tensor(self.each(heads.saturating_mul(one.kv_rank)), &[nope]);
        let absorbed = self.graph.view(absorbed);
        let width = one.kv_rank.saturating_add(one.rope_dim);
        let q = self
            .graph
            .tensor(self.each(heads.saturating_mul(width)), &[q_pe, absorbed]);
        let k = self.graph.tensor(joint, &[k_pe, low]);
        self.graph.stored(k);
        let mixed = self.attend(q, heads, heads.saturating_mul(one.kv_rank), false);
        let mixed = self.graph.tensor(self.each(out), &[mixed]);
        let mixed = self.graph.view(mixed);
        let mixed = self.graph.tensor(self.each(out), &[mixed]);
        self.graph.tensor(self.each(self.pass.hidden), &[mixed])
    }

    /// Whether keys and values of all heads are made from the latent at once: without a limit, or below it.
    fn at_once(&self, one: &Latent) -> bool {
        let cells = one.heads.saturating_mul(self.pass.cells.0);
        let each = one.nope_dim.saturating_add(one.value_dim).saturating_mul(4);
        let mebibytes = cells.saturating_mul(each) >> 20;
        let limit = self.options.slice;
        self.options.unabsorbed(self.pass.tokens) && !self.away && (limit == 0 || mebibytes <= limit)
    }

    /// The type of keys and values that are made from the latent.
    const fn made(&self) -> GgmlType {
        match self.options.place.gpus {
            0 => self.options.type_k,
            _ => F16,
        }
    }

    /// Latent attention with keys and values of every head made at once: both in fp32, then each in the type of the cache where there
    /// is no GPU, and in 16 bits else (ikawrakow/ik_llama.cpp 0158d38 `src/graphs/build_deepseek2.cpp`
    /// build_deepseek2_layer_attention).
    fn every_head(&mut self, one: &Latent, input: Id) -> Id {
        let heads = one.heads;
        let query = self.each(heads.saturating_mul(one.nope_dim.saturating_add(one.rope_dim)));
        let joint = self.each(one.kv_rank.saturating_add(one.rope_dim));
        let latent = self.each(one.kv_rank);
        let down = one.query_rank.map(|rank| {
            let size = self.each(rank);
            (size, self.graph.tensor(size, &[input]))
        });
        let kv = self.graph.tensor(joint, &[input]);
        let source = down.map_or(input, |(size, down)| {
            let down = self.graph.in_place(size, &[down]);
            self.graph.in_place(size, &[down])
        });
        let q = self.graph.tensor(query, &[source]);
        let (nope, rope) = (self.graph.view(q), self.graph.view(q));
        let (low, pe) = (self.graph.view(kv), self.graph.view(kv));
        let q_pe = self
            .graph
            .tensor(self.each(heads.saturating_mul(one.rope_dim)), &[rope]);
        let k_pe = self.graph.tensor(self.each(one.rope_dim), &[pe]);
        let low = self.graph.tensor(latent, &[low]);
        let low = self.graph.in_place(latent, &[low]);
        let cached = self.graph.tensor(joint, &[k_pe, low]);
        self.graph.stored(cached);
        let q = self.graph.tensor(query, &[q_pe, nope]);
        let cells = heads.saturating_mul(self.pass.cells.0);
        let kind = self.made();
        let wide = one.nope_dim.saturating_add(one.value_dim).saturating_mul(4);
        let wide = self.graph.tensor(cells.saturating_mul(wide), &[]);
        let (of_values, of_keys) = (self.graph.view(wide), self.graph.view(wide));
        let plain = self.graph.tensor(kind.size(one.nope_dim, cells), &[of_keys]);
        let values = self.graph.tensor(kind.size(one.value_dim, cells), &[of_values]);
        let turned = self.graph.tensor(kind.size(one.rope_dim, cells), &[]);
        let width = one.nope_dim.saturating_add(one.rope_dim);
        let keys = self.graph.tensor(kind.size(width, cells), &[turned, plain]);
        let mut sources = vec![q, keys, values];
        sources.extend(self.mask(false));
        let mixed = self
            .graph
            .tensor(self.each(heads.saturating_mul(one.value_dim)), &sources);
        let mixed = self.graph.view(mixed);
        self.graph.tensor(self.each(self.pass.hidden), &[mixed])
    }

    /// Keys and values of all heads and cells in 16 bits, made from the latent in slices of so many MiB (ik_llama.cpp
    /// `src/graphs/build_deepseek2.cpp`, `-mla 2` and `3` with `-amb`).
    fn expanded(&mut self, mixer: &Mixer) -> Option<(Id, Id)> {
        let Mixer::Latent(one) = mixer else {
            return None;
        };
        let all = one.heads.saturating_mul(self.pass.cells.0);
        let wide = all
            .saturating_mul(one.nope_dim.saturating_add(one.value_dim))
            .saturating_mul(4);
        let slice = match self.options.slice {
            0 => wide,
            mebibytes => wide.min(mebibytes << 20),
        };
        let kind = self.made();
        let width = one.nope_dim.saturating_add(one.rope_dim);
        let keys = self.graph.tensor(kind.size(width, all), &[]);
        let values = self.graph.tensor(kind.size(one.value_dim, all), &[]);
        let slice = self.graph.tensor(slice, &[]);
        self.graph.stored(slice);
        Some((keys, values))
    }

    /// Mixers with a state: projections, convolution and scan each make a tensor of their width.
    fn recurrent(&mut self, mixer: &Mixer, input: Id) -> Id {
        let (projected, inner) = match *mixer {
            Mixer::Mamba1 { inner, .. } => (inner.saturating_mul(2), inner),
            Mixer::Mamba2 {
                heads,
                head_dim,
                groups,
                state,
                ..
            } => {
                let inner = heads.saturating_mul(head_dim);
                let more = groups
                    .saturating_mul(state)
                    .saturating_mul(2)
                    .saturating_add(heads);
                (inner.saturating_mul(2).saturating_add(more), inner)
            }
            Mixer::GatedDelta {
                key_heads,
                value_heads,
                key_dim,
                value_dim,
                ..
            } => {
                let inner = value_heads.saturating_mul(value_dim);
                let keys = key_heads.saturating_mul(key_dim).saturating_mul(2);
                (inner.saturating_mul(2).saturating_add(keys), inner)
            }
            Mixer::Lightning { heads, head_dim } => {
                let inner = heads.saturating_mul(head_dim);
                (inner.saturating_mul(3), inner)
            }
            Mixer::ShortConvolution { width, .. } => (width.saturating_mul(3), width),
            _ => return input,
        };
        let all = self.graph.tensor(self.each(projected), &[input]);
        let parts = self.graph.view(all);
        let joined = self.graph.tensor(self.each(projected), &[parts]);
        let turned = self.graph.tensor(self.each(projected), &[joined]);
        let scanned = self.graph.tensor(self.each(inner), &[turned]);
        let gate = self.graph.view(all);
        let gated = self.graph.in_place(self.each(inner), &[scanned, gate]);
        self.graph.tensor(self.each(self.pass.hidden), &[gated])
    }

    fn feed_forward(&mut self, of: &FeedForward, part: &Part<'_>, input: Id) -> Id {
        match of {
            FeedForward::None => input,
            FeedForward::Dense(dense) => self.dense((dense.width, dense.gated), part, input),
            FeedForward::Moe(moe) => self.experts(moe, part, input),
            FeedForward::Several(parts) => {
                let mut found = input;
                for one in parts {
                    found = self.feed_forward(one, part, input);
                }
                found
            }
        }
    }

    fn dense(&mut self, (width, gated): (u64, bool), part: &Part<'_>, input: Id) -> Id {
        let size = self.each(width);
        let up = self.product(size, &[input], part.matrix);
        let inner = if gated {
            let gate = self.product(size, &[input], part.matrix);
            let gate = self.activated(size, gate);
            self.multiplied(size, [gate, up])
        } else {
            self.graph.in_place(size, &[up])
        };
        self.product(self.each(self.pass.hidden), &[inner], part.matrix)
    }

    fn experts(&mut self, moe: &Moe, part: &Part<'_>, input: Id) -> Id {
        let hidden = self.each(self.pass.hidden);
        let used = moe.top_k;
        let all = self.each(moe.experts.saturating_add(moe.zero_experts));
        let logits = self.graph.tensor(all, &[input]);
        let shares = self.graph.in_place(all, &[logits]);
        let sorted = self.graph.tensor(all, &[shares]);
        let chosen = self.graph.view(sorted);
        let looked = self.graph.view(shares);
        let weights = self.graph.tensor(self.each(used), &[looked, chosen]);
        let weights = self.graph.view(weights);
        let outer = self.each(used.saturating_mul(moe.model_width));
        let down = if part.elsewhere {
            // The host gets rows and choices, and sends back a row per token and expert.
            self.graph.stored(chosen);
            self.graph.stored(input);
            self.graph.tensor(outer, &[])
        } else {
            let inside = self.inside(moe, part, (input, chosen));
            self.product(outer, &[inside, chosen], part.copied)
        };
        let down = self.graph.in_place(outer, &[down, weights]);
        let views: Vec<Id> = (0..used.min(64)).map(|_| self.graph.view(down)).collect();
        let found = match views.split_first() {
            None => input,
            Some((first, rest)) => rest
                .iter()
                .fold(*first, |sum, one| self.graph.in_place(hidden, &[sum, *one])),
        };
        let shared = moe.shared.as_ref().map(|shared| shared.width);
        let beside = moe.dense.as_ref().map(|dense: &Dense| dense.width);
        shared.into_iter().chain(beside).fold(found, |sum, width| {
            let one = self.dense((width, moe.gated), part, input);
            self.graph.in_place(hidden, &[sum, one])
        })
    }

    /// Gates and ups of the chosen experts. The fork computes both at once, so that it copies both where they are on the host.
    fn inside(&mut self, moe: &Moe, part: &Part<'_>, (input, chosen): (Id, Id)) -> Id {
        let rows = self.graph.view(input);
        let inner = self.each(moe.top_k.saturating_mul(moe.width));
        let together = self.options.fork && part.copied > 0 && moe.gated;
        let first: Vec<Id> = (0..if together { 2 } else { 0 })
            .map(|_| self.graph.tensor(part.copied, &[]))
            .collect();
        let copied = if together { 0 } else { part.copied };
        let with = |place: usize| -> Vec<Id> {
            let mut sources = vec![rows, chosen];
            sources.extend(first.get(place));
            sources
        };
        let up = self.product(inner, &with(0), copied);
        if !moe.gated {
            return self.graph.in_place(inner, &[up]);
        }
        let gate = self.product(inner, &with(1), copied);
        let gate = self.activated(inner, gate);
        self.multiplied(inner, [up, gate])
    }

    /// The gate's activation, where it is not computed with the product.
    fn activated(&mut self, size: u64, gate: Id) -> Id {
        if self.options.gated_apart() {
            gate
        } else {
            self.graph.in_place(size, &[gate])
        }
    }

    /// Gate and up multiplied: a tensor of its own, or in place of the first that nobody else needs.
    fn multiplied(&mut self, size: u64, both: [Id; 2]) -> Id {
        if self.options.gated_apart() {
            self.graph.tensor(size, &both)
        } else {
            self.graph.in_place(size, &both)
        }
    }

    /// A product with weights that are copied here for it where they are on the host.
    fn product(&mut self, size: u64, sources: &[Id], copied: u64) -> Id {
        if copied == 0 {
            return self.graph.tensor(size, sources);
        }
        let weights = self.graph.tensor(copied, &[]);
        let mut all = sources.to_vec();
        all.push(weights);
        self.graph.tensor(size, &all)
    }
}
