//! The calculator's own files: what was asked, whole, to be read back.

use super::Body;
use super::sheet::Sheet;
use crate::request::INPUTS;

fn all(sheet: &mut Sheet<'_>) -> serde_json::Value {
    for input in INPUTS {
        sheet.tell(&[input.id]);
    }
    sheet.settings().request.to_json()
}

pub(super) fn json(sheet: &mut Sheet<'_>) -> Body {
    Body::Json(all(sheet))
}

pub(super) fn yaml(sheet: &mut Sheet<'_>) -> Body {
    Body::Yaml(all(sheet))
}
