//! The smallest card on which a question fits, as a change of it.

use super::change::{Change, Effect, Time};
use crate::hardware::{self, Gpu};
use crate::request::{InputId, Request};
use crate::units::Bytes;

/// The smallest of these cards that can be rented in place of the question's own: a whole one that can be had, with memory of its own, and of the
/// same vendor where the question names one.
pub fn smallest<'a>(request: &Request, fitting: impl Iterator<Item = (Bytes, &'a str)>) -> Option<Change> {
    let named = request.get(InputId::Gpu).and_then(|value| value.as_str());
    let vendor = named.and_then(hardware::find).map(|gpu| gpu.vendor.as_str());
    let takes =
        |gpu: &Gpu| !gpu.unified && gpu.slice.is_none() && vendor.is_none_or(|vendor| gpu.vendor == vendor);
    let (_, gpu) = fitting
        .filter_map(|(usable, id)| Some((usable, hardware::find(id)?)))
        .filter(|(_, gpu)| takes(gpu))
        .min_by_key(|(usable, _)| *usable)?;
    let words = "The smallest card of the table on which it surely fits.";
    let change = Change::one(InputId::Gpu, gpu.id.clone(), Effect::Hardware, Time::Same, words);
    Some(Change {
        title: format!("{}: {}", InputId::Gpu.input().label, gpu.name),
        ..change
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slices_shared_memory_and_other_vendors_are_not_proposed() {
        let request = Request::new().with(InputId::Gpu, "rtx-4090");
        let bytes = |gib: u64| Bytes::new(gib << 30);
        let fitting = [
            (bytes(20), "a100-sxm-40gb-mig-3g.20gb"),
            (bytes(60), "jetson-agx-orin-64gb"),
            (bytes(256), "instinct-mi325x"),
            (bytes(79), "a100-pcie-80gb"),
            (bytes(80), "h100-sxm-80gb"),
        ];
        let change = smallest(&request, fitting.into_iter()).expect("a card");
        assert_eq!(change.title, "GPU: A100 PCIe 80GB");
    }
}
