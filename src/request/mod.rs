//! What can be asked and what is answered, as plain data: the input registry, the request and the answer.
//!
//! Nothing here computes. `api` turns a request into a job and a ledger into an answer.

mod answer;
mod backing;
mod cheapest_answer;
mod explanation;
mod host;
mod inference_answer;
mod ledger_rows;
mod mesh_answer;
mod model_summary;
mod network_answer;
mod plan_answer;
pub mod registry;
mod serving_plan;
mod side_by_side;
mod speed_answer;
mod values;

pub use answer::{
    Answer, Assumed, Breakdown, Capacity, Checked, Meters, MultiNodeInfo, Range, Validation, Verdict,
};
pub use backing::{Backing, BackingStatus, ExpertRow, RankRow, StageRow, Unproven};
pub use cheapest_answer::{Cheapest, CheapestLeftOut, CheapestRow};
pub use explanation::{Degrees, Explanation, FormulaLine, Reference};
pub use host::{HostNeed, HostRow};
pub use inference_answer::{
    CardRow, DeviceRow, InferenceAnswer, InferenceBreakdown, PartRow, Pool, ShareRow, Sharing,
};
pub use ledger_rows::{Component, GroupBytes, InstantRow, LedgerRow, SymbolRow};
pub use mesh_answer::{MeshHint, MeshSize, ScheduleCell, SchedulePicture, ScheduleRow};
pub use model_summary::{ModelField, ModelSource, ModelSummary};
pub use network_answer::{
    Alternative, Figures, MultiNodeAnswer, NetworkOverhead, RateRow, RunBudget, Segment, StepAnswer,
    TimePart, TrafficRow,
};
pub use plan_answer::{
    LeftOut, PlanAnswer, PlanMesh, PlanPart, PlanPoint, PlanProgress, PlanQuestion, PlanReason, PlanRefusal,
    PlanRow, PlanSpace,
};
pub use registry::{
    Applies, Availability, Choice, EngineId, FormGroup, INPUTS, Input, InputDefault, InputId, InputKind,
    Level, Section, ServerId, Task, Words, bring_words,
};
pub use serving_plan::{
    Planned, ServingNearest, ServingPlanAnswer, ServingPlanPoint, ServingPlanQuestion, ServingPlanReason,
    ServingPlanRow,
};
pub use side_by_side::{Difference, ServerAnswer, ServerRow, SideBySide};
pub use speed_answer::{ServingSpeed, Sizing};
pub use values::{OTHER_SECTIONS, Request, json_invalid};
