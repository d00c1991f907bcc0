//! The one place where the door meets the import and the catalogue of models.

use serde_json::Value;

use crate::model::Network;
use crate::request::{InputId, ModelSource};
use crate::warn::Issue;

/// A configuration and where it comes from.
#[derive(Clone, Debug)]
pub struct Source {
    /// Which kind of source.
    pub kind: ModelSource,
    /// Id in the catalogue.
    pub id: Option<String>,
    /// Its name.
    pub name: Option<String>,
    /// The configuration, with typed fields put in.
    pub config: Value,
    /// Whether a width was solved from the parameter count.
    pub solved: bool,
}

impl Source {
    /// A source without a name.
    pub fn new(kind: ModelSource, config: Value) -> Self {
        Self {
            kind,
            id: None,
            name: None,
            config,
            solved: false,
        }
    }
}

/// The catalogue's model of this id, name or alias.
pub fn find(_name: &str) -> Option<Source> {
    None
}

/// Ids that resemble the text.
pub fn suggestions(_name: &str) -> Vec<String> {
    Vec::new()
}

/// The catalogue's typical model nearest to a parameter count.
pub fn nearest(_count: u64) -> Option<Source> {
    None
}

/// The configuration that typed fields start from.
pub fn base_config() -> Value {
    Value::Null
}

/// The value of an input in a configuration.
pub fn read(_config: &Value, _id: InputId) -> Option<Value> {
    None
}

/// Puts the value of an input into a configuration.
pub fn edit(_config: &mut Value, _id: InputId, _value: &Value) -> Result<(), Issue> {
    Ok(())
}

/// The network of a configuration, with warnings.
pub fn network(_config: &Value) -> Result<(Network, Vec<Issue>), Vec<Issue>> {
    Err(vec![Issue::error(
        "not_available_yet",
        "model",
        "The import of models is not built yet.",
    )])
}
