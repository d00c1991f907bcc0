//! The families of models that the first answer does not need: a part of the module of its own. Loading it brings them.

use super::super::part::part;
use crate::api;

part!(families holds bool: api::bring_families());
