//! Builds the release binary and the bench beside it, and hands over to the bench.

use std::process::Command;

use anyhow::Result;

use crate::packages::run;

/// Measures these parts.
pub(crate) fn bench(words: &[String]) -> Result<()> {
    // One build: both share the product's release artefacts.
    run(Command::new("cargo").args([
        "build",
        "--release",
        "--package",
        "farrier",
        "--package",
        "xtask",
        "--features",
        "xtask/bench",
    ]))?;
    run(Command::new("target/release/bench").args(words))
}
