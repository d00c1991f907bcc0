//! Texts and spoken names of an element's content in another language, also when they change: an observer hears of each change
//! before it is painted. What they were is remembered, so that the page can be shown in English again.

use std::cell::RefCell;

use js_sys::{Array, WeakMap};
use leptos::wasm_bindgen::closure::Closure;
use leptos::wasm_bindgen::{JsCast, JsValue};
use web_sys::{Element, HtmlElement, MutationObserver, MutationObserverInit, MutationRecord, Node};

use crate::messages::Table;

/// The one table of messages.
const CHINESE: &str = include_str!("../../../assets/messages/zh-hans.json");

/// Attributes that a reader sees or hears.
const ATTRIBUTES: [&str; 6] = [
    "aria-label",
    "title",
    "placeholder",
    "alt",
    "aria-valuetext",
    "label",
];

/// What is the same in all languages: code, what the reader types, and what says so itself.
const LEFT_ALONE: &str = "[translate=no], code, pre, textarea, script, style";

type Heard = Closure<dyn Fn(Array)>;

/// An element whose content is watched.
struct Watched {
    root: HtmlElement,
    observer: MutationObserver,
    _heard: Heard,
}

/// What was shown in English, by node, for texts and for each attribute.
struct Remembered {
    texts: WeakMap,
    attributes: [WeakMap; ATTRIBUTES.len()],
}

thread_local! {
    static TABLE: Option<Table> = Table::from_json(CHINESE).ok();
    static WATCHED: RefCell<Vec<Watched>> = const { RefCell::new(Vec::new()) };
    static REMEMBERED: Remembered = Remembered {
        texts: WeakMap::new(),
        attributes: std::array::from_fn(|_| WeakMap::new()),
    };
}

/// A text in Chinese, where the table has it.
pub fn say(text: &str) -> Option<String> {
    TABLE.with(|table| table.as_ref()?.translate(text))
}

/// Shows what stands in an element in Chinese, and what comes into it later.
pub fn show(root: &HtmlElement) {
    let already = WATCHED.with_borrow(|watched| watched.iter().any(|one| one.root.is_same_node(Some(root))));
    if already {
        return;
    }
    each(root, &say_text, &say_attribute);
    let heard = Heard::new(|records: Array| {
        for record in records.iter() {
            changed(&record.unchecked_into());
        }
    });
    let Ok(observer) = MutationObserver::new(heard.as_ref().unchecked_ref()) else {
        return;
    };
    let init = MutationObserverInit::new();
    init.set_child_list(true);
    init.set_subtree(true);
    init.set_character_data(true);
    let filter: Array = ATTRIBUTES.iter().map(|name| JsValue::from_str(name)).collect();
    init.set_attribute_filter(&filter);
    if observer.observe_with_options(root, &init).is_ok() {
        let root = root.clone();
        WATCHED.with_borrow_mut(|watched| {
            watched.push(Watched {
                root,
                observer,
                _heard: heard,
            });
        });
    }
}

/// Shows what stands in an element in English again.
pub fn undo(root: &HtmlElement) {
    WATCHED.with_borrow_mut(|watched| {
        watched.retain(|one| {
            let other = !one.root.is_same_node(Some(root));
            if !other {
                one.observer.disconnect();
            }
            other
        });
    });
    each(root, &restore_text, &restore_attribute);
}

/// What an observer tells of.
fn changed(record: &MutationRecord) {
    let Some(target) = record.target() else { return };
    match record.type_().as_str() {
        "childList" => {
            if left_alone(&target) {
                return;
            }
            let added = record.added_nodes();
            for node in (0..added.length()).filter_map(|at| added.get(at)) {
                each(&node, &say_text, &say_attribute);
            }
        }
        "characterData" if !left_alone(&target) => say_text(&target),
        "attributes" => {
            let name = record.attribute_name();
            let place = ATTRIBUTES.iter().position(|own| Some(*own) == name.as_deref());
            if let (Some(place), Some(element)) = (place, target.dyn_ref::<Element>())
                && !left_alone(element)
            {
                say_attribute(element, place);
            }
        }
        _ => {}
    }
}

/// Whether a node is, or stands in, what is the same in all languages.
fn left_alone(node: &Node) -> bool {
    let element = node
        .dyn_ref::<Element>()
        .cloned()
        .or_else(|| node.parent_element());
    element.is_some_and(|element| matches!(element.closest(LEFT_ALONE), Ok(Some(_))))
}

/// Goes through a node and all below it.
fn each(node: &Node, text: &dyn Fn(&Node), attribute: &dyn Fn(&Element, usize)) {
    if node.node_type() == Node::TEXT_NODE {
        text(node);
        return;
    }
    let Some(element) = node.dyn_ref::<Element>() else {
        return;
    };
    if element.matches(LEFT_ALONE).unwrap_or(false) {
        return;
    }
    for place in 0..ATTRIBUTES.len() {
        attribute(element, place);
    }
    let mut child = node.first_child();
    while let Some(one) = child {
        each(&one, text, attribute);
        child = one.next_sibling();
    }
}

/// What a text becomes, unless it is what was put there; remembers what it was.
fn said(memory: &WeakMap, key: &Node, now: &str) -> Option<String> {
    let before = memory.get(key);
    if !before.is_undefined() && Array::from(&before).get(1).as_string().as_deref() == Some(now) {
        return None;
    }
    let said = say(now);
    match &said {
        Some(said) => {
            let pair = Array::of2(&JsValue::from_str(now), &JsValue::from_str(said));
            memory.set(key, &pair);
        }
        None => {
            memory.delete(key);
        }
    }
    said
}

/// What stood there in English, where something else stands there now.
fn original(memory: &WeakMap, key: &Node, now: &str) -> Option<String> {
    let before = memory.get(key);
    memory.delete(key);
    if before.is_undefined() {
        return None;
    }
    let pair = Array::from(&before);
    (pair.get(1).as_string().as_deref() == Some(now)).then(|| pair.get(0).as_string())?
}

fn say_text(node: &Node) {
    let Some(now) = node.node_value() else { return };
    if let Some(said) = REMEMBERED.with(|all| said(&all.texts, node, &now)) {
        node.set_node_value(Some(&said));
    }
}

fn restore_text(node: &Node) {
    let Some(now) = node.node_value() else { return };
    if let Some(original) = REMEMBERED.with(|all| original(&all.texts, node, &now)) {
        node.set_node_value(Some(&original));
    }
}

/// Replaces an attribute by what `made` makes of it.
fn replace(element: &Element, place: usize, made: fn(&WeakMap, &Node, &str) -> Option<String>) {
    let Some(name) = ATTRIBUTES.get(place) else { return };
    let Some(now) = element.get_attribute(name) else {
        return;
    };
    let value = REMEMBERED.with(|all| made(all.attributes.get(place)?, element, &now));
    if let Some(value) = value {
        let _ = element.set_attribute(name, &value);
    }
}

fn say_attribute(element: &Element, place: usize) {
    replace(element, place, said);
}

fn restore_attribute(element: &Element, place: usize) {
    replace(element, place, original);
}
