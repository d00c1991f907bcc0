//! Builds, serves and tests the calculator.
fn main() {}
