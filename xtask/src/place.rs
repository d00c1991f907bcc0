//! Where things are: the project, its build outputs, the cache of tools, programs on the search path.

use std::env;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

/// The folder of the workspace.
pub fn root() -> PathBuf {
    let own = Path::new(env!("CARGO_MANIFEST_DIR"));
    own.parent().unwrap_or(own).to_path_buf()
}

/// The folder cargo builds into.
pub fn target() -> PathBuf {
    match env::var_os("CARGO_TARGET_DIR") {
        Some(folder) => root().join(folder),
        None => root().join("target"),
    }
}

/// The built page.
pub fn dist() -> PathBuf {
    root().join("dist")
}

/// Where the per-user cache folders of programs are.
fn user_cache() -> Result<PathBuf> {
    if let Some(folder) = env::var_os("XDG_CACHE_HOME").filter(|folder| !folder.is_empty()) {
        return Ok(PathBuf::from(folder));
    }
    let home = env::home_dir().context("no home folder to keep the tools in; set XDG_CACHE_HOME")?;
    Ok(home.join(".cache"))
}

/// The folder of one tool in one version; its programs are in `bin` below it.
pub fn tool(name: &str, version: &str) -> Result<PathBuf> {
    Ok(user_cache()?
        .join("gpu-mem-calc/tools")
        .join(format!("{name}-{version}")))
}

/// The folder where Trunk looks for the tools it would otherwise download.
pub fn trunk_cache() -> Result<PathBuf> {
    if cfg!(target_os = "macos") {
        let home = env::home_dir().context("no home folder")?;
        return Ok(home.join("Library/Caches/dev.trunkrs.trunk"));
    }
    Ok(user_cache()?.join("trunk"))
}

/// The first program of that name on the search path.
pub fn on_path(program: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH")?;
    env::split_paths(&path)
        .map(|folder| folder.join(program))
        .find(|candidate| candidate.is_file())
}

/// The search path with the folders of some programs put first.
pub fn path_with<'a>(programs: impl IntoIterator<Item = &'a Path>) -> Result<OsString> {
    let mut folders: Vec<PathBuf> = programs
        .into_iter()
        .filter_map(Path::parent)
        .map(Path::to_path_buf)
        .collect();
    if let Some(path) = env::var_os("PATH") {
        folders.extend(env::split_paths(&path));
    }
    env::join_paths(folders).context("a folder of the search path cannot be written into it")
}
