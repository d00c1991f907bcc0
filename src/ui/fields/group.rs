//! Groups of questions that open on demand. A group is built when it is first opened.

use leptos::ev::Event;
use leptos::prelude::*;
use leptos::wasm_bindgen::JsCast;

use super::super::dom;
use super::super::part::part;
use super::super::state::{Form, PageStoreFields, use_form};
use super::super::tabs::{NODES, Tab};
use super::field::{control_id, field};
use super::mesh;
use super::messages::message;
use crate::api::{FormGroup, Input, InputId, Level, Section, Task};
use crate::units::sort_by_key;

/// The inputs that everybody sees.
const ESSENTIAL: [InputId; 13] = [
    InputId::ModelId,
    InputId::NumParameters,
    InputId::Gpu,
    InputId::GpuMemoryGb,
    InputId::NumGpus,
    InputId::SeqLength,
    InputId::BatchSize,
    InputId::EngineType,
    InputId::ServerType,
    InputId::Sequences,
    InputId::TotalTokens,
    InputId::WeightFormat,
    InputId::KvCacheType,
];

/// Inputs with a control of their own elsewhere.
const ELSEWHERE: [InputId; 1] = [InputId::HfConfig];

/// The groups of training below the essential questions, in the order of how often they are needed.
const GROUPS: [FormGroup; FormGroup::ALL.len()] = [
    FormGroup::Precision,
    FormGroup::Activations,
    FormGroup::Optimizer,
    FormGroup::Adapters,
    FormGroup::Workload,
    FormGroup::Engine,
    FormGroup::EngineSettings,
    FormGroup::Parallelism,
    FormGroup::Hardware,
    FormGroup::Nodes,
    FormGroup::Speed,
    FormGroup::Planner,
    FormGroup::Source,
    FormGroup::Architecture,
    FormGroup::Attention,
    FormGroup::Experts,
    FormGroup::ExportsOnly,
    FormGroup::Requests,
    FormGroup::Formats,
    FormGroup::Server,
    FormGroup::ServerSettings,
    FormGroup::Sharding,
    FormGroup::Traffic,
];

/// Where it is remembered that all settings are shown.
const SHOWN: &str = "gpu-mem-calc.settings";

/// All settings: closed for a newcomer, and remembered. Every group that holds more than the essential questions; they are built when
/// they are first shown.
pub fn groups() -> AnyView {
    let form = use_form();
    let remembered = dom::stored(SHOWN).is_some();
    let built = RwSignal::new(remembered);
    let on_toggle = move |event: Event| {
        if let Some(open) = is_open(&event) {
            dom::store(SHOWN, open.then_some("open"));
            if open {
                built.set(true);
            }
        }
    };
    let set = move || {
        let count = form.page.request().with(|request| {
            GROUPS
                .iter()
                .flat_map(|group| Input::of_group(*group))
                .filter(|input| !ESSENTIAL.contains(&input.id) && request.has(input.id))
                .count()
        });
        (count > 0).then(|| view! { <span class="tag">{format!("{count} set")}</span> })
    };
    let all = move || built.get().then(|| form.settings.view(|groups| groups()));
    view! {
        <details class="all-settings" id="all-settings" open=remembered on:toggle=on_toggle>
            <summary>
                <span>"All settings"</span>
                <span class="group-state">{set}</span>
            </summary>
            <div class="groups">{all}</div>
        </details>
    }
    .into_any()
}

/// What the part holds: the groups.
pub type Settings = fn() -> AnyView;

fn all() -> AnyView {
    GROUPS.into_iter().map(group).collect_view().into_any()
}

part!(settings holds Settings: all);

/// Whether the element of a toggle event is open now.
pub fn is_open(event: &Event) -> Option<bool> {
    let details = event.target()?.dyn_into::<web_sys::Element>().ok()?;
    Some(details.has_attribute("open"))
}

/// The inputs of a group that mean something to the engine, basic ones first.
fn inputs(form: Form, group: FormGroup) -> Vec<InputId> {
    let task = form.task();
    // What the multi-node tab asks at once is not asked again in a group.
    let above = form.page.tab().get() == Tab::MultiNode;
    let (engine, server) = (form.engine(), form.server());
    let mut inputs: Vec<&'static Input> = Input::of_group(group)
        .filter(|input| !ESSENTIAL.contains(&input.id) && !ELSEWHERE.contains(&input.id))
        .filter(|input| !(above && NODES.contains(&input.id)))
        .filter(|input| input.section.belongs_to(task))
        .filter(|input| match task {
            Task::Training | Task::Plan => engine.is_none_or(|engine| input.engines.to(engine)),
            Task::Inference => server.is_none_or(|server| input.engines.serves(server)),
        })
        .collect();
    sort_by_key(&mut inputs, |input| input.level == Level::Advanced);
    inputs.into_iter().map(|input| input.id).collect()
}

fn title(group: FormGroup) -> &'static str {
    match group {
        FormGroup::Source => "Name",
        FormGroup::Hardware => "More on the GPU",
        FormGroup::Workload => "More on the workload",
        FormGroup::Requests => "More on the requests",
        FormGroup::Server => "Version of the inference engine",
        FormGroup::Engine => "Versions",
        other => other.title(),
    }
}

fn group(group: FormGroup) -> AnyView {
    let form = use_form();
    let shown = Memo::new(move |_| inputs(form, group));
    let built = RwSignal::new(false);
    let open = RwSignal::new(false);
    // A rule over several inputs of the group is named by their section.
    let whole =
        move || form.issues_where(|issue| issue.is_error() && section(group) == Some(issue.path.as_str()));
    let errors = move || {
        let of_inputs = shown.with(|shown| {
            shown
                .iter()
                .filter(|id| form.issues(**id).iter().any(|issue| issue.is_error()))
                .count()
        });
        let count = of_inputs + whole().len();
        (count > 0).then(|| {
            let text = if count == 1 {
                "1 error".to_owned()
            } else {
                format!("{count} errors")
            };
            view! { <span class="tag tag-error">{text}</span> }
        })
    };
    let changed = move || {
        let count = shown.with(|shown| shown.iter().filter(|id| form.is_set(**id)).count());
        (count > 0).then(|| view! { <span class="tag">{format!("{count} set")}</span> })
    };
    let body = move || {
        built.get().then(|| {
            let fields = shown.with(|shown| shown.iter().map(|id| field(*id)).collect_view());
            let mesh = (group == FormGroup::Parallelism && form.task() == Task::Training)
                .then(|| mesh::sizes(form, open));
            let rules = move || whole().iter().map(|issue| message(form, issue)).collect_view();
            view! {
                <div class="messages">{rules}</div>
                <div class="field-grid">{fields}</div>
                {mesh}
            }
        })
    };
    let on_toggle = move |event: Event| {
        let now = is_open(&event) == Some(true);
        open.set(now);
        if now {
            built.set(true);
        }
    };
    view! {
        <details
            class="group"
            id=format!("group-{}", slug(group))
            data-inputs=move || shown.with(|shown| {
                shown.iter().map(|id| control_id(id.input())).collect::<Vec<_>>().join(" ")
            })
            hidden=move || shown.with(Vec::is_empty)
            on:toggle=on_toggle
        >
            <summary>
                <span>{title(group)}</span>
                <span class="group-state">{errors} {changed}</span>
            </summary>
            <div class="group-body">{body}</div>
        </details>
    }
    .into_any()
}

/// The section whose rules stand above the fields of the group.
fn section(group: FormGroup) -> Option<&'static str> {
    (group == FormGroup::Parallelism).then(|| Section::Parallelism.key())
}

/// The group's name in ids.
fn slug(group: FormGroup) -> String {
    title(group).to_ascii_lowercase().replace(' ', "-")
}
