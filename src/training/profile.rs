//! Bytes at every point of a step: of what the engine holds, and of what the passes over the layers hold. Each depends on
//! other settings, so profiles are kept and combined: the peak is the largest sum of two.

use super::TrainingJob;
use super::engines::Holder;
use super::evaluate::setting;
use super::pass::{Pass, Point};
use super::plan::{Plan, Scope};
use super::sheet::{Held, Sheet};
use crate::units::Bytes;

/// Bytes at the points before the layers' backward, at each layer's backward and the reduction after it, and at the points
/// after that.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Profile(Vec<u64>);

impl Profile {
    /// Of what the engine holds.
    pub fn of_engine(job: &TrainingJob) -> Self {
        let mut sheet = Sheet::default();
        let plan = Plan::new(job, setting(job), Scope::Engine, &mut sheet);
        let holder = Holder::new(&plan, &mut sheet);
        let clips = job.gradient_clipping;
        let at = |point: Point| sheet.bytes(&holder.at(&plan, point.moment()));
        let mut bytes = Vec::with_capacity(2 * plan.order.len() + 10);
        bytes.extend(Point::BEFORE.map(|point| at(point).get()));
        bytes.extend(Self::of_layers(&plan, &sheet, |point| holder.at(&plan, point.moment())).0);
        let pieces = (0..plan.tower.depth()).map(Point::Tower);
        bytes.extend(pieces.map(|point| at(point).get()));
        bytes.extend(Point::AFTER.map(|point| match point {
            Point::Clip if !clips => 0,
            other => at(other).get(),
        }));
        Self(bytes)
    }

    /// Of what the passes hold.
    pub fn of_passes(job: &TrainingJob) -> Self {
        let mut sheet = Sheet::default();
        let plan = Plan::new(job, setting(job), Scope::Passes, &mut sheet);
        let pass = Pass::new(job, &plan, &mut sheet);
        let at = |point: Point| sheet.bytes(&pass.at(point)).get();
        let mut bytes = Vec::with_capacity(2 * plan.order.len() + 10);
        bytes.extend(Point::BEFORE.map(at));
        bytes.extend(Self::of_passes_over_layers(&pass, &plan, &sheet).0);
        bytes.extend((0..plan.tower.depth()).map(Point::Tower).map(at));
        bytes.extend(Point::AFTER.map(at));
        Self(bytes)
    }

    /// The layers alone, whatever is held at their points.
    pub fn of_layers(plan: &Plan<'_>, sheet: &Sheet, at: impl Fn(Point) -> Held) -> Self {
        let layers = 0..plan.order.len();
        let bytes = layers.flat_map(|layer| [Point::Layer(layer), Point::Reduced(layer)]);
        Self(bytes.map(|point| sheet.bytes(&at(point)).get()).collect())
    }

    /// The layers alone, of what the passes hold: what each kind of layer keeps is counted once.
    pub fn of_passes_over_layers(pass: &Pass<'_>, plan: &Plan<'_>, sheet: &Sheet) -> Self {
        let kinds: Vec<(u64, u64)> = plan
            .layers
            .iter()
            .map(|kind| {
                (
                    sheet.bytes(&kind.kept).get(),
                    sheet.bytes(&pass.during(kind)).get(),
                )
            })
            .collect();
        let reduced = sheet.bytes(&pass.reduced()).get();
        let outside = sheet.bytes(&pass.outside()).get() + sheet.bytes(&pass.beside_text(false)).get();
        let holds_inputs = plan.holds_inputs();
        let (mut below, mut bytes) = (0_u64, Vec::with_capacity(2 * plan.order.len()));
        for (layer, kind) in plan.order.iter().enumerate() {
            let (kept, during) = kinds.get(*kind).copied().unwrap_or_default();
            let above = if holds_inputs {
                sheet.bytes(&pass.inputs_above(layer + 1)).get()
            } else {
                0
            };
            let in_flight = sheet.bytes(&pass.in_flight(layer)).get();
            let others = below
                .saturating_add(outside)
                .saturating_add(above)
                .saturating_add(in_flight);
            bytes.extend([others.saturating_add(during), others.saturating_add(reduced)]);
            below = below.saturating_add(kept);
        }
        Self(bytes)
    }

    /// The sum with another one of the same network.
    pub fn plus(&self, other: &Self) -> Self {
        Self(self.sums(other).collect())
    }

    /// The largest sum with another one of the same network.
    pub fn peak(&self, other: &Self) -> Bytes {
        Bytes::new(self.sums(other).max().unwrap_or(0))
    }

    fn sums(&self, other: &Self) -> impl Iterator<Item = u64> {
        self.0
            .iter()
            .zip(&other.0)
            .map(|(one, other)| one.saturating_add(*other))
    }

    /// Bytes in the backward pass of a layer, and in the reduction after it, where only layers are counted.
    pub fn layer(&self, layer: usize) -> (u64, u64) {
        let at = |place: usize| self.0.get(place).copied().unwrap_or(0);
        (at(2 * layer), at(2 * layer + 1))
    }
}
