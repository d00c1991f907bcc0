//! The dialog that takes a number apart: what it means, its formula with and without numbers, and the tensors behind it, each with
//! its own formula and source. The number is named in the address, so that a link opens it.

use leptos::html;
use leptos::prelude::*;
use leptos::wasm_bindgen::JsCast;
use web_sys::HtmlDialogElement;

use super::super::dom;
use super::super::format::{exact, gib, gib_number, grouped, readable};
use super::super::state::{Form, PageStoreFields};
use crate::api::{self, Account, FormulaLine, Range, Task};
use crate::units::Bytes;

/// The dialog; it follows the address and the answer.
pub fn dialog(form: Form) -> AnyView {
    let page = form.page;
    let element = NodeRef::<html::Dialog>::new();
    let id = Memo::new(move |_| page.explained().get());
    let account = Memo::new(move |_| {
        let id = id.get()?;
        match form.task() {
            Task::Training | Task::Plan => form.answer.with(|answer| api::account(answer.as_deref()?, &id)),
            Task::Inference => form
                .served
                .with(|answer| api::account_served(answer.as_deref()?, &id)),
        }
    });
    Effect::new(move |_| {
        let wanted = id.with(Option::is_some);
        let Some(element) = element
            .get()
            .and_then(|element| element.dyn_into::<HtmlDialogElement>().ok())
        else {
            return;
        };
        if wanted && !element.open() {
            // A browser without modal dialogs shows it in the page.
            if element.show_modal().is_err() {
                element.set_open(true);
            }
        } else if !wanted && element.open() {
            element.close();
        }
    });
    let close = move || page.explained().set(None);
    let content = move || {
        account.with(|account| match account {
            Some(account) => shown(account),
            None => view! {
                <h2 id="explained-title">"This number is not in the answer"</h2>
                <p>"The question has changed, or there is no answer at present."</p>
            }
            .into_any(),
        })
    };
    let copied = RwSignal::new(false);
    let copy = move |_| {
        dom::copy(&dom::address());
        copied.set(true);
    };
    Effect::new(move |_| {
        id.track();
        copied.set(false);
    });
    view! {
        <dialog class="explained" id="explained" node_ref=element aria-labelledby="explained-title" on:close=move |_| close()>
            <div class="explained-bar">
                <button type="button" class="button button-small" on:click=copy>
                    {move || if copied.get() { "Link copied" } else { "Copy the link to this number" }}
                </button>
                <button type="button" class="button button-small" id="explained-close" on:click=move |_| close()>"Close"</button>
            </div>
            {content}
        </dialog>
    }
    .into_any()
}

/// "55.10 GiB", with its bounds where it has any.
fn bounds(bytes: Range) -> String {
    if bytes.low_bytes == bytes.high_bytes {
        gib(bytes.expected_bytes)
    } else {
        format!(
            "{} expected, {} – {}",
            gib(bytes.expected_bytes),
            gib_number(bytes.low_bytes),
            gib(bytes.high_bytes)
        )
    }
}

fn shown(account: &Account) -> AnyView {
    let mut lines: Vec<&FormulaLine> = account.lines.iter().collect();
    lines.sort_by_key(|line| std::cmp::Reverse(line.bytes));
    let whole: Bytes = account.lines.iter().map(|line| line.bytes).sum();
    let count = lines.len();
    let rows = lines
        .into_iter()
        .map(|line| row(line, whole, count == 1))
        .collect_view();
    let plain = account.formula != account.substituted;
    view! {
        <h2 id="explained-title">{capitalised(&account.title)}</h2>
        <p class="explained-value" title=exact(account.bytes.expected_bytes)>{bounds(account.bytes)}</p>
        <p>{account.meaning.clone()}</p>
        <div class="explained-sum">
            <code>{account.formula.clone()}</code>
            {plain.then(|| view! { <code>{format!("= {}", readable(&account.substituted))}</code> })}
            <code>{format!("= {} = {}", exact(account.bytes.expected_bytes), gib(account.bytes.expected_bytes))}</code>
        </div>
        <h3>{if count == 1 { "What it is made of".to_owned() } else { format!("What it is made of: {count} lines, the largest first") }}</h3>
        <div class="explained-lines">{rows}</div>
    }
    .into_any()
}

fn capitalised(words: &str) -> String {
    let mut letters = words.chars();
    letters
        .next()
        .map(|first| {
            std::iter::once(first.to_ascii_uppercase())
                .chain(letters)
                .collect()
        })
        .unwrap_or_default()
}

fn row(line: &FormulaLine, whole: Bytes, open: bool) -> AnyView {
    let share = super::super::format::share(line.bytes, whole);
    let symbols = line
        .symbols
        .iter()
        .map(|symbol| {
            view! {
                <li>
                    <code>{symbol.name}</code>
                    {format!(" = {} ", grouped(symbol.value))}
                    <span class="soft">{symbol.meaning}</span>
                </li>
            }
        })
        .collect_view();
    view! {
        <details class="explained-line" open=open>
            <summary>
                <span class=format!("swatch group-{}", line.group)></span>
                <span class="explained-name">{line.name.clone()}</span>
                <span class="explained-share" aria-hidden="true"><i style=format!("width:{share}")></i></span>
                <b title=exact(line.bytes)>{gib(line.bytes)}</b>
            </summary>
            <dl>
                <dt>"Formula"</dt>
                <dd>
                    <code>{line.formula.clone()}</code>
                    <code>{format!(" = {}", readable(&line.substituted))}</code>
                    <code>{format!(" = {}", exact(line.bytes))}</code>
                </dd>
                {(!line.symbols.is_empty()).then(|| view! { <dt>"Where"</dt> <dd><ul class="symbols">{symbols}</ul></dd> })}
                <dt>"Is"</dt>
                <dd>{line.description.clone()}</dd>
                <dt>"Source"</dt>
                <dd>{line.source.clone()} " " <span class="tag">{line.evidence.words()}</span></dd>
            </dl>
        </details>
    }
    .into_any()
}
