//! Several engines on one GPU. `gpu_memory_utilization` is a share of the total, not of what is free, and each engine checks
//! at its start that this share is free; its context and graphs outside the budget come on top (vllm `v1/worker/utils.py`
//! request_memory). So each gets its own share, they are started one after another, and the shares must leave room.

use crate::memory::Interval;
use crate::units::Bytes;

/// What one engine needs of a GPU.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tenant {
    /// Weights, activations, non-torch memory, graphs in the budget and the wanted cache.
    pub budget: Bytes,
    /// Context and graphs outside the budget.
    pub outside: Bytes,
}

/// The share of one engine.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Share {
    /// Its place in the list of tenants.
    pub tenant: usize,
    /// `gpu_memory_utilization`, rounded up to a thousandth.
    pub utilization: f64,
    /// What is free when it starts.
    pub free: Bytes,
    /// Whether that is enough for its check.
    pub starts: bool,
}

/// The shares in the order in which the engines must be started: the largest budget first, because its check needs the most
/// free memory.
pub fn shares(total: Interval, in_use: Bytes, tenants: &[Tenant]) -> Vec<Share> {
    let total = total.expected;
    let mut order: Vec<(usize, Tenant)> = tenants.iter().copied().enumerate().collect();
    order.sort_by_key(|(_, tenant)| std::cmp::Reverse(tenant.budget));
    let mut free = total.saturating_sub(in_use);
    order
        .into_iter()
        .map(|(place, tenant)| {
            let exact = tenant.budget.get() as f64 / (total.get().max(1)) as f64;
            let utilization = (exact * 1000.0).ceil() / 1000.0;
            let available = free.saturating_sub(tenant.outside);
            let starts = utilization <= 1.0 && total.scaled(utilization) <= available;
            free = available.saturating_sub(total.scaled(utilization));
            Share {
                tenant: place,
                utilization,
                free: available,
                starts,
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tenant(budget: f64) -> Tenant {
        Tenant {
            budget: Bytes::from_gib(budget),
            outside: Bytes::from_gib(1.0),
        }
    }

    #[test]
    fn the_largest_starts_first_and_each_has_a_share_of_the_total() {
        let total = Interval::exact(Bytes::from_gib(80.0));
        let found = shares(total, Bytes::ZERO, &[tenant(20.0), tenant(40.0)]);
        let told: Vec<_> = found
            .iter()
            .map(|share| (share.tenant, share.utilization, share.starts))
            .collect();
        assert_eq!(told, [(1, 0.5, true), (0, 0.25, true)]);
    }

    #[test]
    fn one_too_many_does_not_start() {
        let total = Interval::exact(Bytes::from_gib(80.0));
        let found = shares(total, Bytes::ZERO, &[tenant(40.0), tenant(38.5)]);
        assert_eq!(found.last().map(|share| share.starts), Some(false));
    }
}
