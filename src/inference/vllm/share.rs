//! Several engines on one GPU. `gpu_memory_utilization` is a share of the total, not of what is free, and each engine checks
//! at its start that this share is free; its context and graphs outside the budget come on top (vllm 0.33.0
//! `v1/worker/utils.py` request_memory, `v1/worker/gpu_worker.py`). So each gets its own share, they are started one after
//! another, and the shares must leave room for what lies outside them.
//!
//! The first releases of V1 subtract from the budget everything that is held on the card, by whom ever
//! (0.8.5 `v1/worker/gpu_worker.py`, determine_available_memory: total less free less torch's own): there a share must also
//! cover the engines that run already. Their own context is in what they count.

use crate::memory::Interval;
use crate::units::Bytes;

/// What one engine needs of a GPU.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tenant {
    /// Weights, activations, non-torch memory, graphs in the budget and the wanted cache.
    pub budget: Interval,
    /// Context and graphs outside the budget.
    pub outside: Bytes,
}

/// The share of one engine.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Share {
    /// Its place in the list of tenants.
    pub tenant: usize,
    /// `gpu_memory_utilization`, rounded up to a thousandth: for the low, the expected and the high budget.
    pub utilization: [f64; 3],
    /// What is free when it starts, before its own context.
    pub free: Bytes,
    /// Whether that is enough for its share and what it holds outside.
    pub starts: bool,
}

/// The shares in the order in which the engines are started: the largest budget first, because its check needs the most free
/// memory. `counts_others`: the release subtracts what others hold.
pub fn shares(total: Bytes, in_use: Bytes, counts_others: bool, tenants: &[Tenant]) -> Vec<Share> {
    let mut order: Vec<(usize, Tenant)> = tenants.iter().copied().enumerate().collect();
    order.sort_by_key(|(_, tenant)| std::cmp::Reverse(tenant.budget.expected));
    let mut free = total.saturating_sub(in_use);
    order
        .into_iter()
        .map(|(place, tenant)| {
            let held = if counts_others {
                total.saturating_sub(free)
            } else {
                Bytes::ZERO
            };
            let of = |budget: Bytes| {
                let exact = (budget + held).get() as f64 / total.get().max(1) as f64;
                (exact * 1000.0).ceil() / 1000.0
            };
            let utilization = [
                of(tenant.budget.low),
                of(tenant.budget.expected),
                of(tenant.budget.high),
            ];
            let taken = total
                .scaled(utilization.get(1).copied().unwrap_or(1.0))
                .saturating_sub(held)
                + tenant.outside;
            let share = Share {
                tenant: place,
                utilization,
                free,
                starts: taken <= free,
            };
            // One that does not start holds nothing.
            if share.starts {
                free = free.saturating_sub(taken);
            }
            share
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tenant(budget: f64) -> Tenant {
        Tenant {
            budget: Interval::exact(Bytes::from_gib(budget)),
            outside: Bytes::from_gib(1.0),
        }
    }

    fn of(counts_others: bool, budgets: &[f64]) -> Vec<(usize, f64, f64, bool)> {
        let tenants: Vec<Tenant> = budgets.iter().map(|budget| tenant(*budget)).collect();
        shares(Bytes::from_gib(80.0), Bytes::ZERO, counts_others, &tenants)
            .into_iter()
            .map(|share| {
                let [_, expected, _] = share.utilization;
                (share.tenant, expected, share.free.to_gib(), share.starts)
            })
            .collect()
    }

    #[test]
    fn the_largest_starts_first_and_each_has_a_share_of_the_total() {
        // 40 of 80 and its context of 1; then 20 of 80, with 39 free.
        assert_eq!(
            of(false, &[20.0, 40.0]),
            [(1, 0.5, 80.0, true), (0, 0.25, 39.0, true)]
        );
    }

    #[test]
    fn early_releases_count_what_others_hold() {
        // For the second one 20 and the 41 that the first one holds.
        assert_eq!(
            of(true, &[20.0, 40.0]),
            [(1, 0.5, 80.0, true), (0, 0.763, 39.0, true)]
        );
    }

    #[test]
    fn one_too_many_does_not_start_and_holds_nothing() {
        assert_eq!(
            of(false, &[40.0, 38.5, 10.0]),
            [
                (0, 0.5, 80.0, true),
                (1, 0.482, 39.0, false),
                (2, 0.125, 39.0, true)
            ]
        );
    }
}
