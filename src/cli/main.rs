//! The native command line `gpu-mem-calc`.
fn main() {}
