//! The page's binary: mounts the page into the element that the host document marks for it.
//!
//! A document that embeds the calculator by script has no such element and mounts through the exported `mount` instead.

fn main() {
    console_error_panic_hook::set_once();
    gpu_mem_calc::ui::start();
}
