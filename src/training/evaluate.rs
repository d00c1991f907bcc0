//! The timeline of a step: at each instant what the engine holds, what the layers saved, and what the computation at hand
//! needs. The result is the ledger.

use super::between::between;
use super::block::Setting;
use super::composed;
use super::engines::{Holder, megatron};
use super::ops::Types;
use super::pass::{Pass, Point};
use super::plan::{Plan, Scope, StateTypes};
use super::profile::Profile;
use super::sheet::{Held, Sheet};
use super::{Engine, Precision, TrainingJob, Widened};
use crate::memory::{InstantId, Ledger};
use crate::units::DType;

/// Every tensor of one training step, and when it is alive. Measured in the second step or a later one: the optimizer's
/// states exist.
pub fn evaluate(job: &TrainingJob) -> Ledger {
    if let Engine::Megatron(settings) = &job.engine {
        return megatron::ledger(job, settings);
    }
    if let Some(pipeline) = job.composed.pipeline.filter(|_| job.has_stages()) {
        return composed::fullest(job, pipeline);
    }
    let mut sheet = Sheet::default();
    let plan = Plan::new(job, setting(job), Scope::Whole, &mut sheet);
    let holder = Holder::new(&plan, &mut sheet);
    let pass = Pass::new(job, &plan, &mut sheet);
    let step = Step {
        plan: &plan,
        holder: &holder,
        pass: &pass,
    };
    step.fill(&mut sheet);
    between(job, &plan, &holder, &mut sheet);
    sheet.finish()
}

/// What all layers of a job have in common.
pub fn setting(job: &TrainingJob) -> Setting {
    let autocast = match job.precision {
        Precision::Autocast(dtype) => Some(dtype),
        Precision::Pure(_) | Precision::Master(_) | Precision::ShardedMixed { .. } => None,
    };
    let widened = job.adapter.map_or(Widened::Nothing, |adapter| adapter.widened);
    let wide = |is: bool| {
        if is {
            DType::Fp32
        } else {
            StateTypes::of(job).computed
        }
    };
    let types = Types {
        weights: wide(widened == Widened::Everything),
        autocast,
        low: job.precision.compute(),
        norms: wide(widened != Widened::Nothing),
    };
    Setting::new(job, types).settled(job.network.kinds.first())
}

struct Step<'a> {
    plan: &'a Plan<'a>,
    holder: &'a Holder,
    pass: &'a Pass<'a>,
}

impl Step<'_> {
    fn held(&self, point: Point) -> Held {
        let mut held = self.holder.at(self.plan, point.moment());
        held.extend(self.pass.at(point));
        held
    }

    /// What is held at the tighter of two points.
    fn tighter(&self, one: Point, other: Point, sheet: &Sheet) -> Held {
        let (one, other) = (self.held(one), self.held(other));
        if sheet.bytes(&one) > sheet.bytes(&other) {
            one
        } else {
            other
        }
    }

    fn fill(&self, sheet: &mut Sheet) {
        let job = self.plan.job;
        let happens = |point: Point| match point {
            Point::Clip => job.gradient_clipping,
            Point::TowerForward => job.images.is_some(),
            Point::ForwardStart => self.plan.gathers_units(),
            Point::BackwardStart => self.holder.gathers_root_again(self.plan),
            Point::ReferenceLayers => self.plan.gathers_reference(),
            Point::ReferenceForward => job.has_reference(),
            _ => true,
        };
        for point in Point::BEFORE.into_iter().chain(Point::AFTER) {
            if let Some((id, label)) = point.instant().filter(|_| happens(point)) {
                let held = match point {
                    Point::ReferenceForward => self.tighter(Point::ReferenceHead, point, sheet),
                    _ => self.held(point),
                };
                sheet.instant(id, label, &held);
            }
        }
        self.layers(sheet);
        self.tower(sheet);
        let (embedding, reduced) = (self.held(Point::Embedding), self.held(Point::EndsReduced));
        let end = if sheet.bytes(&embedding) >= sheet.bytes(&reduced) {
            embedding
        } else {
            reduced
        };
        sheet.instant(InstantId::BackwardEnd, "backward of the embedding", &end);
    }

    /// Backward of the piece of the vision tower at which it is tightest.
    fn tower(&self, sheet: &mut Sheet) {
        let pieces = (0..self.plan.tower.depth()).map(|piece| self.held(Point::Tower(piece)));
        if let Some(tightest) = pieces.max_by_key(|held| sheet.bytes(held)) {
            sheet.instant(
                InstantId::TowerBackward,
                "backward of the vision tower",
                &tightest,
            );
        }
    }

    /// Backward of the last, the first and the tightest layer, each at the tighter of its backward and the reduction after it.
    fn layers(&self, sheet: &mut Sheet) {
        let depth = self.plan.order.len();
        let Some(last) = depth.checked_sub(1) else {
            return;
        };
        let bytes = Profile::of_layers(self.plan, sheet, |point| {
            self.holder.at(self.plan, point.moment())
        })
        .plus(&Profile::of_passes_over_layers(self.pass, self.plan, sheet));
        let tighter = |layer: usize| {
            let (during, after) = bytes.layer(layer);
            let point = if during >= after {
                Point::Layer(layer)
            } else {
                Point::Reduced(layer)
            };
            (point, during.max(after))
        };
        let mut tightest = (last, tighter(last).1);
        for layer in (0..last).rev() {
            let most = tighter(layer).1;
            if most > tightest.1 {
                tightest = (layer, most);
            }
        }
        let mut instants = vec![(InstantId::BackwardLast, last)];
        if last > 0 {
            instants.push((InstantId::BackwardFirst, 0));
        }
        if tightest.0 != 0 && tightest.0 != last {
            instants.push((InstantId::BackwardTightest, tightest.0));
        }
        for (id, layer) in instants {
            let held = self.held(tighter(layer).0);
            sheet.instant(id, format!("backward of layer {} of {depth}", layer + 1), &held);
        }
    }
}
