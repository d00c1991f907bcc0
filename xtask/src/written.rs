//! Files that tests compare, and write anew when they are told to: the schemas of the answers, the conformance vectors.

use anyhow::Result;

use crate::step::{cargo, run, step};

/// Told to by this variable.
const WRITE: (&str, &str) = ("GPU_MEM_CALC_WRITE", "1");

/// `assets/schemas/responses.json`, made of the types of the answers.
pub fn schemas() -> Result<()> {
    write(&["--lib", "the_schema_of_the_answers_is_that_of_their_types"])
}

/// `tests/vectors/*.json`, made of the calls that they name.
pub fn vectors() -> Result<()> {
    write(&["--test", "vectors", "every_vector_gives_what_it_gave"])
}

fn write(test: &[&str]) -> Result<()> {
    step("writing", || {
        let what = ["test", "--locked", "--quiet", "--features", "cli"];
        run(cargo(&what).args(test).env(WRITE.0, WRITE.1))
    })
}
