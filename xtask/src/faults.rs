//! Fifty builds killed at random moments, and every other fault: what `test` takes ten of.

use crate::shell::run_with;

pub(crate) fn run() -> Result<(), String> {
    let args = ["test", "--package", "strake-cli", "--test", "faults", "--test", "bad_bases"];
    run_with("cargo", &args, &[("STRAKE_TEST_KILLS", "50")])
}
