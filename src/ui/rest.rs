//! What waits until typing rests: one run at a time, and none after the view is gone.

use std::time::Duration;

use leptos::leptos_dom::helpers::{TimeoutHandle, set_timeout_with_handle};
use leptos::prelude::*;

/// A run that waits.
#[derive(Clone, Copy)]
pub struct Rest(StoredValue<Option<TimeoutHandle>>);

impl Rest {
    /// One that lives as long as the view in which it is made.
    pub fn new() -> Self {
        let rest = Self(StoredValue::new(None));
        on_cleanup(move || rest.cancel());
        rest
    }

    /// Runs after a while, instead of what has waited so far.
    pub fn after(self, pause: Duration, run: impl FnOnce() + 'static) {
        self.cancel();
        self.0.set_value(set_timeout_with_handle(run, pause).ok());
    }

    /// Drops what waits.
    pub fn cancel(self) {
        if let Some(handle) = self.0.get_value() {
            handle.clear();
        }
    }
}
