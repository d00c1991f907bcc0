//! The page's binary: mounts the page into the element that the host document marks for it.

fn main() {
    console_error_panic_hook::set_once();
    gpu_mem_calc::ui::start();
}
