//! What Trunk asks of this program: a hook before each build, so that `trunk build` works when called by hand.

use anyhow::Result;

use crate::{place, tools};

/// Runs before each build of the page (`Trunk.toml`).
///
/// Trunk takes the bindings generator from the search path or from its own cache folder, and downloads it otherwise. It
/// is put into that folder, so that nothing is downloaded and the version is that of the lock file.
pub fn hook() -> Result<()> {
    tools::wasm_target()?;
    let name = format!("{}-{}", tools::WASM_BINDGEN, tools::WASM_BINDGEN_VERSION);
    let wanted = place::trunk_cache()?.join(name).join(tools::WASM_BINDGEN);
    if !wanted.is_file() {
        tools::place_copy(&tools::wasm_bindgen()?, &wanted)?;
    }
    Ok(())
}
