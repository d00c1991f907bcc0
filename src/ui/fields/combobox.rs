//! A searchable choice after the ARIA combobox pattern with a listbox: type to filter, arrows to move, Enter to take,
//! Escape to leave it as it was. Used for models and GPUs.

use std::sync::Arc;

use leptos::ev::KeyboardEvent;
use leptos::prelude::*;

use super::super::state::use_form;
use leptos::wasm_bindgen::JsCast;
use leptos::web_sys::HtmlInputElement;

use super::super::dom;
use crate::units::sort_by_key;

/// One line of the list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Choice {
    /// What is stored when it is taken.
    pub value: String,
    /// What the reader sees.
    pub label: String,
    /// A second, quieter text: parameters, memory.
    pub detail: String,
    /// The heading under which it stands.
    pub group: String,
    /// Everything that a search may hit, in lower case.
    pub search: String,
}

impl Choice {
    /// How well it answers a search: 0 is the line itself, then names that begin with the text, lines in which every word
    /// begins a word, and lines that contain every word. `None` where a word is missing.
    fn rank(&self, text: &str, words: &[&str]) -> Option<u8> {
        if !words.iter().all(|word| self.search.contains(word)) {
            return None;
        }
        let (value, label) = (self.value.to_ascii_lowercase(), self.label.to_ascii_lowercase());
        let begins = |word: &&str| {
            self.search
                .split(|letter: char| !letter.is_alphanumeric() && letter != '.')
                .any(|own| own.starts_with(word))
        };
        Some(if value == text || label == text {
            0
        } else if value.starts_with(text) || label.starts_with(text) {
            1
        } else if words.iter().all(begins) {
            2
        } else {
            3
        })
    }
}

/// The lines that a search finds, the best first; lines of a group stay together.
fn search(choices: &[Choice], text: &str) -> Vec<usize> {
    let text = text.trim().to_ascii_lowercase();
    let words: Vec<&str> = text.split_whitespace().collect();
    let mut found: Vec<(u8, usize)> = choices
        .iter()
        .enumerate()
        .filter_map(|(index, choice)| Some((choice.rank(&text, &words)?, index)))
        .collect();
    if !words.is_empty() {
        let mut best = std::collections::BTreeMap::<&str, (u8, usize)>::new();
        let group = |index: usize| choices.get(index).map_or("", |choice| choice.group.as_str());
        for (rank, index) in &found {
            let first = best.entry(group(*index)).or_insert((*rank, *index));
            first.0 = first.0.min(*rank);
        }
        sort_by_key(&mut found, |(rank, index)| {
            (best.get(group(*index)).copied(), *rank, *index)
        });
    }
    found.into_iter().map(|(_, index)| index).collect()
}

/// A searchable choice; the label and help are the caller's.
#[component]
pub fn Combobox(
    /// Id of the input element; the list's ids derive from it.
    id: &'static str,
    /// All lines, in order of groups; made when they are first shown.
    choices: Memo<Arc<Vec<Choice>>>,
    /// The stored value.
    #[prop(into)]
    value: Signal<String>,
    /// What stands in the closed field for the stored value.
    #[prop(into)]
    shown: Signal<String>,
    /// Called with the value of the line that was taken.
    on_choose: Callback<String>,
    /// Ids of help and messages.
    #[prop(into)]
    described_by: Signal<String>,
    /// Whether the value is refused.
    #[prop(into)]
    invalid: Signal<bool>,
    /// Shown while empty.
    placeholder: &'static str,
) -> impl IntoView {
    let typed = RwSignal::new(None::<String>);
    let open = RwSignal::new(false);
    let active = RwSignal::new(0_usize);
    let found = Memo::new(move |_| {
        let all = choices.get();
        typed.with(|typed| search(&all, typed.as_deref().unwrap_or_default()))
    });
    let close = move || {
        open.set(false);
        typed.set(None);
    };
    let show = move || {
        if !open.get_untracked() {
            let all = choices.get_untracked();
            let current = value.get_untracked();
            let at = found.with_untracked(|found| {
                found
                    .iter()
                    .position(|index| all.get(*index).is_some_and(|choice| choice.value == current))
            });
            active.set(at.unwrap_or(0));
            open.set(true);
        }
    };
    let take = move |position: usize| {
        let all = choices.get_untracked();
        let taken = found.with_untracked(|found| found.get(position).copied());
        if let Some(choice) = taken.and_then(|index| all.get(index)) {
            on_choose.run(choice.value.clone());
        }
        close();
    };
    let on_key = move |event: KeyboardEvent| {
        let last = found.with_untracked(Vec::len).saturating_sub(1);
        let at = active.get_untracked();
        let was_open = open.get_untracked();
        let page = 8;
        let to = match event.key().as_str() {
            "ArrowDown" if was_open => {
                if at >= last {
                    0
                } else {
                    at + 1
                }
            }
            "ArrowUp" if was_open => {
                if at == 0 {
                    last
                } else {
                    at - 1
                }
            }
            "ArrowDown" | "ArrowUp" => {
                show();
                active.get_untracked()
            }
            "PageDown" if was_open => (at + page).min(last),
            "PageUp" if was_open => at.saturating_sub(page),
            "Enter" if was_open => {
                event.prevent_default();
                take(at);
                return;
            }
            "Escape" if was_open => {
                event.stop_propagation();
                close();
                return;
            }
            _ => return,
        };
        event.prevent_default();
        active.set(to);
        reveal(id, to);
    };
    // What stands in a field is no text of the document, so it is said here.
    let tongue = use_form().tongue;
    let text = move || typed.get().unwrap_or_else(|| tongue.say(shown.get()));
    let list = move || found.with(|found| lines(id, &choices.get(), found, value, active, take));
    view! {
        <div class="combobox">
            <input
                id=id
                class="input"
                type="text"
                role="combobox"
                autocomplete="off"
                spellcheck="false"
                aria-autocomplete="list"
                aria-haspopup="listbox"
                aria-controls=format!("{id}-list")
                aria-expanded=move || if open.get() { "true" } else { "false" }
                aria-activedescendant=move || {
                    (open.get() && found.with(|found| !found.is_empty()))
                        .then(|| format!("{id}-option-{}", active.get()))
                }
                aria-describedby=move || described_by.get()
                aria-invalid=move || invalid.get().then_some("true")
                placeholder=placeholder
                prop:value=text
                on:input=move |event| {
                    typed.set(Some(event_target_value(&event)));
                    active.set(0);
                    open.set(true);
                }
                on:click=move |event| {
                    let input = event.target().and_then(|target| target.dyn_into::<HtmlInputElement>().ok());
                    if let Some(input) = input {
                        input.select();
                    }
                    show();
                }
                on:keydown=on_key
                on:blur=move |_| close()
            />
            <svg class="combobox-arrow" viewBox="0 0 16 16" aria-hidden="true">
                <path d="M4 6l4 4 4-4" fill="none" stroke="currentColor" stroke-width="1.6" />
            </svg>
            <div
                id=format!("{id}-list")
                class="combobox-list"
                role="listbox"
                aria-label=placeholder
                hidden=move || !open.get()
                on:mousedown=|event| event.prevent_default()
            >
                {move || open.get().then(list)}
            </div>
            <div class="visually-hidden" role="status">
                {move || (open.get() && typed.get().is_some()).then(|| {
                    format!("{} found", found.with(Vec::len))
                })}
            </div>
        </div>
    }
    .into_any()
}

/// The lines that match, under their headings.
fn lines(
    id: &'static str,
    choices: &Arc<Vec<Choice>>,
    found: &[usize],
    value: Signal<String>,
    active: RwSignal<usize>,
    take: impl Fn(usize) + Copy + Send + 'static,
) -> AnyView {
    if found.is_empty() {
        return view! { <p class="combobox-empty">"Nothing found"</p> }.into_any();
    }
    let mut groups: Vec<(String, Vec<AnyView>)> = Vec::new();
    for (position, choice) in found.iter().filter_map(|index| choices.get(*index)).enumerate() {
        let own = choice.value.clone();
        let line = view! {
            <div
                id=format!("{id}-option-{position}")
                class="combobox-option"
                class:active=move || active.get() == position
                role="option"
                aria-selected=move || if value.get() == own { "true" } else { "false" }
                data-value=choice.value.clone()
                on:click=move |_| take(position)
            >
                <span>{choice.label.clone()}</span>
                <span class="combobox-detail">{choice.detail.clone()}</span>
            </div>
        }
        .into_any();
        match groups.last_mut() {
            Some((name, lines)) if *name == choice.group => lines.push(line),
            _ => groups.push((choice.group.clone(), vec![line])),
        }
    }
    groups
        .into_iter()
        .map(|(name, lines)| {
            view! {
                <div role="group" aria-label=name.clone()>
                    <div class="combobox-group" role="presentation">{name.clone()}</div>
                    {lines}
                </div>
            }
        })
        .collect_view()
        .into_any()
}

/// Scrolls the list, and nothing else, until the line is visible.
fn reveal(id: &str, position: usize) {
    let (Some(list), Some(line)) = (
        dom::find(&format!("{id}-list")),
        dom::find(&format!("{id}-option-{position}")),
    ) else {
        return;
    };
    let (top, bottom) = (line.offset_top(), line.offset_top() + line.offset_height());
    if top < list.scroll_top() {
        list.set_scroll_top(top);
    } else if bottom > list.scroll_top() + list.client_height() {
        list.set_scroll_top(bottom - list.client_height());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn choice(value: &str, group: &str) -> Choice {
        Choice {
            value: value.to_owned(),
            label: value.to_owned(),
            detail: String::new(),
            group: group.to_owned(),
            search: value.to_owned(),
        }
    }

    #[test]
    fn the_best_line_comes_first_and_groups_stay_together() {
        let all = [
            choice("llama-13b", "one"),
            choice("llama-30b", "one"),
            choice("llama-2-13b", "two"),
            choice("llama-3-8b", "two"),
        ];
        assert_eq!(search(&all, ""), [0, 1, 2, 3]);
        assert_eq!(search(&all, "llama 3"), [1, 0, 3, 2]);
        assert_eq!(search(&all, "llama-3-8b"), [3]);
        assert_eq!(search(&all, "13b"), [0, 2]);
        assert_eq!(search(&all, "qwen"), Vec::<usize>::new());
    }
}
