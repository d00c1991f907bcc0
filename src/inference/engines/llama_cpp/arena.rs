//! The allocator that plans a graph's buffer (ggml-org/llama.cpp `ggml/src/ggml-alloc.c`, ggml_gallocr_reserve_n): tensors in the
//! order of computation, the smallest free block that is large enough, results in place of an operand that nobody else
//! needs. What the engine prints as its compute buffer is the highest end that was reached. Which tensors there are is in
//! `graph`.

/// Blocks start at multiples of so many bytes (ggml-org/llama.cpp `ggml/src/ggml-cuda/ggml-cuda.cu`,
/// ggml_backend_cuda_buffer_type_get_alignment).
const ALIGNMENT: u64 = 128;

/// A tensor by its place in the order of computation.
pub type Id = usize;

#[derive(Clone, Debug, Default)]
struct Node {
    size: u64,
    sources: Vec<Id>,
    /// The tensor whose memory it looks at.
    of: Option<Id>,
    in_place: bool,
    readers: u64,
    views: u64,
    at: Option<u64>,
}

/// Tensors in the order of computation.
#[derive(Clone, Debug, Default)]
pub struct Graph {
    nodes: Vec<Node>,
}

impl Graph {
    fn push(&mut self, node: Node) -> Id {
        let id = self.nodes.len();
        for source in &node.sources {
            if let Some(source) = self.nodes.get_mut(*source) {
                source.readers = source.readers.saturating_add(1);
            }
        }
        if let Some(root) = node.of.and_then(|of| self.nodes.get_mut(of)) {
            root.views = root.views.saturating_add(1);
        }
        self.nodes.push(node);
        id
    }

    /// A tensor with memory of its own.
    pub fn tensor(&mut self, size: u64, sources: &[Id]) -> Id {
        self.push(Node {
            size,
            sources: sources.to_vec(),
            ..Node::default()
        })
    }

    /// A result that may take the memory of an operand.
    pub fn in_place(&mut self, size: u64, sources: &[Id]) -> Id {
        self.push(Node {
            size,
            sources: sources.to_vec(),
            in_place: true,
            ..Node::default()
        })
    }

    /// Another look at the memory of a tensor.
    pub fn view(&mut self, of: Id) -> Id {
        let (size, root) = match self.nodes.get(of) {
            Some(node) => (node.size, node.of.unwrap_or(of)),
            None => (0, of),
        };
        self.push(Node {
            size,
            sources: vec![of],
            of: Some(root),
            ..Node::default()
        })
    }

    /// A result that goes into memory outside of the buffer: the cache.
    pub fn stored(&mut self, source: Id) {
        self.tensor(0, &[source]);
    }

    /// Bytes of the buffer.
    pub fn reserve(mut self) -> u64 {
        let mut arena = Arena {
            free: vec![(0, u64::MAX)],
            most: 0,
        };
        for id in 0..self.nodes.len() {
            let Some(sources) = self.nodes.get(id).map(|node| node.sources.clone()) else {
                continue;
            };
            self.place(id, &sources, &mut arena);
            for source in sources {
                self.read(source, &mut arena);
            }
        }
        arena.most
    }

    /// Finds memory for a tensor.
    fn place(&mut self, id: Id, sources: &[Id], arena: &mut Arena) {
        let Some(node) = self.nodes.get(id) else {
            return;
        };
        if node.of.is_some() || node.size == 0 {
            return;
        }
        let size = node.size;
        let reused = node
            .in_place
            .then(|| sources.iter().find_map(|source| self.reusable(*source, size)))
            .flatten();
        let at = match reused {
            Some((root, at)) => {
                if let Some(root) = self.nodes.get_mut(root) {
                    root.at = None;
                }
                at
            }
            None => arena.take(size),
        };
        if let Some(node) = self.nodes.get_mut(id) {
            node.at = Some(at);
        }
    }

    /// The memory of an operand that nobody else reads or looks at.
    fn reusable(&self, source: Id, size: u64) -> Option<(Id, u64)> {
        let node = self.nodes.get(source)?;
        let (root, alone) = match node.of {
            None => (source, node.readers == 1 && node.views == 0),
            Some(root) => {
                let whole = self.nodes.get(root)?;
                (root, whole.views == 1 && whole.readers == 0)
            }
        };
        let memory = self.nodes.get(root)?;
        (alone && memory.size == size)
            .then_some(memory.at)
            .flatten()
            .map(|at| (root, at))
    }

    /// One reader of a tensor is done; the last one frees it.
    fn read(&mut self, id: Id, arena: &mut Arena) {
        let Some(node) = self.nodes.get_mut(id) else {
            return;
        };
        node.readers = node.readers.saturating_sub(1);
        if node.readers > 0 || node.views > 0 {
            return;
        }
        let root = match node.of {
            None => id,
            Some(root) => {
                let Some(whole) = self.nodes.get_mut(root) else {
                    return;
                };
                whole.views = whole.views.saturating_sub(1);
                if whole.views > 0 || whole.readers > 0 {
                    return;
                }
                root
            }
        };
        if let Some(memory) = self.nodes.get_mut(root)
            && let Some(at) = memory.at.take()
        {
            arena.give(at, memory.size);
        }
    }
}

/// Free blocks by their start; the last is the rest of the buffer.
struct Arena {
    free: Vec<(u64, u64)>,
    most: u64,
}

const fn aligned(size: u64) -> u64 {
    size.div_ceil(ALIGNMENT).saturating_mul(ALIGNMENT)
}

impl Arena {
    fn take(&mut self, size: u64) -> u64 {
        let size = aligned(size);
        let last = self.free.len().saturating_sub(1);
        let best = self
            .free
            .iter()
            .take(last)
            .enumerate()
            .filter(|(_, (_, free))| *free >= size)
            .min_by_key(|(place, (_, free))| (*free, std::cmp::Reverse(*place)))
            .map_or(last, |(place, _)| place);
        let Some((start, free)) = self.free.get_mut(best) else {
            return 0;
        };
        let at = *start;
        *start = start.saturating_add(size);
        *free = free.saturating_sub(size);
        let used_up = *free == 0 && best < last;
        if used_up {
            self.free.remove(best);
        }
        self.most = self.most.max(at.saturating_add(size));
        at
    }

    fn give(&mut self, at: u64, size: u64) {
        let size = aligned(size);
        let place = self.free.partition_point(|(start, _)| *start < at);
        self.free.insert(place, (at, size));
        self.join(place);
        if let Some(before) = place.checked_sub(1) {
            self.join(before);
        }
    }

    /// Joins a block with the next where they touch.
    fn join(&mut self, place: usize) {
        let next = self.free.get(place.saturating_add(1)).copied();
        let Some((start, size)) = self.free.get_mut(place) else {
            return;
        };
        if let Some((after, more)) = next
            && start.saturating_add(*size) == after
        {
            *size = size.saturating_add(more);
            self.free.remove(place.saturating_add(1));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_result_takes_the_place_of_its_operand() {
        let mut graph = Graph::default();
        let first = graph.tensor(1024, &[]);
        let second = graph.in_place(1024, &[first]);
        graph.tensor(512, &[second]);
        assert_eq!(graph.reserve(), 1536);
    }

    #[test]
    fn an_operand_that_is_read_again_is_kept() {
        let mut graph = Graph::default();
        let first = graph.tensor(1024, &[]);
        let second = graph.in_place(1024, &[first]);
        graph.tensor(512, &[first, second]);
        assert_eq!(graph.reserve(), 2560);
    }

    #[test]
    fn the_smallest_hole_is_filled_first() {
        let mut graph = Graph::default();
        let large = graph.tensor(4096, &[]);
        let between = graph.tensor(128, &[]);
        let small = graph.tensor(1024, &[]);
        let end = graph.tensor(128, &[]);
        graph.stored(large);
        graph.stored(small);
        // The hole of 1,024 bytes, not the one of 4,096.
        let filled = graph.tensor(1024, &[]);
        let also = graph.tensor(4096, &[]);
        graph.tensor(128, &[between, end, filled, also]);
        assert_eq!(graph.reserve(), 4096 + 128 + 1024 + 128 + 128);
    }

    #[test]
    fn a_view_keeps_what_it_looks_at() {
        let mut graph = Graph::default();
        let first = graph.tensor(1024, &[]);
        let view = graph.view(first);
        let other = graph.tensor(1024, &[]);
        graph.tensor(1024, &[view, other]);
        assert_eq!(graph.reserve(), 3072);
    }
}
