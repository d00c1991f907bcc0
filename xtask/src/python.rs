//! Python environments for the frameworks that exports are for: made with the machine's own Python, which is completed from the
//! distribution's packages where that is possible without asking.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail};

use crate::browser::is_root;
use crate::place;
use crate::step::{command, output, run, step};

const INSTALL: &str = "apt-get install -y python3 python3-venv";

/// Packages that one call of pip fetches: what it has fetched and not yet unpacked takes room beside the environment.
const AT_ONCE: usize = 10;

/// What only a GPU loads, below `site-packages`: libraries that are opened when a kernel starts, headers, and compilers of
/// kernels. A third of the environment, of which a machine without a GPU opens nothing.
const ONLY_FOR_GPUS: [&str; 19] = [
    "nvidia/cudnn/include",
    "nvidia/cudnn/lib/libcudnn_adv",
    "nvidia/cudnn/lib/libcudnn_cnn",
    "nvidia/cudnn/lib/libcudnn_engines",
    "nvidia/cudnn/lib/libcudnn_ext",
    "nvidia/cudnn/lib/libcudnn_graph",
    "nvidia/cudnn/lib/libcudnn_heuristic",
    "nvidia/cudnn/lib/libcudnn_ops",
    "nvidia/cu13/include",
    "nvidia/cu13/lib/libcusolver",
    "nvidia/cu13/lib/libnvperf",
    "nvidia/nvshmem/lib/libnvshmem_device",
    "torch/include",
    "torch/lib/libtorch_cuda_linalg",
    "triton/_C/libproton",
    "triton/backends/amd/lib",
    "triton/backends/nvidia/bin",
    "triton/backends/nvidia/lib",
    "bitsandbytes/libbitsandbytes_cuda",
];

/// Makes an environment in a folder.
pub fn environment(folder: &Path) -> Result<()> {
    let folder = folder.to_string_lossy();
    let probe = || output(&mut command("python3", &["-c", "import ensurepip, venv"])).is_ok();
    if !probe() {
        if place::on_path("apt-get").is_none() || !is_root() {
            bail!("the frameworks need Python with its module venv. Install it with\n    sudo {INSTALL}");
        }
        step("Python's module venv", || {
            let install: Vec<&str> = INSTALL.split(' ').collect();
            run(&mut command("apt-get", &["update", "-q"]))?;
            run(command("apt-get", install.get(1..).unwrap_or_default())
                .env("DEBIAN_FRONTEND", "noninteractive"))
        })?;
    }
    run(&mut command("python3", &["-m", "venv", &folder]))
}

/// Puts packages into an environment, a few at a time, at the versions that a file names and without what only a GPU loads.
pub fn install(folder: &Path, packages: &str, versions: &str) -> Result<()> {
    let python = folder.join("bin/python");
    let names: Vec<&str> = packages.lines().filter(|line| !line.is_empty()).collect();
    for some in names.chunks(AT_ONCE) {
        let install = [
            "-m",
            "pip",
            "install",
            "--quiet",
            "--no-deps",
            "--no-compile",
            "--no-cache-dir",
            "--constraint",
            versions,
        ];
        run(command(&python, &install).args(some))?;
        slim(folder)?;
    }
    Ok(())
}

/// Takes away what only a GPU loads.
fn slim(folder: &Path) -> Result<()> {
    let library = folder.join("lib");
    for python in fs::read_dir(&library).with_context(|| format!("reading {}", library.display()))? {
        let packages = python?.path().join("site-packages");
        for beginning in ONLY_FOR_GPUS {
            let path = packages.join(beginning);
            let (Some(parent), Some(start)) = (path.parent(), path.file_name()) else {
                continue;
            };
            // A package that is not there yet.
            let Ok(entries) = fs::read_dir(parent) else {
                continue;
            };
            for entry in entries {
                let entry = entry?;
                if !entry
                    .file_name()
                    .to_string_lossy()
                    .starts_with(&*start.to_string_lossy())
                {
                    continue;
                }
                let gone = if entry.file_type()?.is_dir() {
                    fs::remove_dir_all(entry.path())
                } else {
                    fs::remove_file(entry.path())
                };
                gone.with_context(|| format!("removing {}", entry.path().display()))?;
            }
        }
    }
    Ok(())
}
