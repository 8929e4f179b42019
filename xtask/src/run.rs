//! Runs the tests with nextest where it is installed, else with cargo's own runner.

use std::process::Command;

use anyhow::{Context, Result};

use crate::packages::run;

/// Runs the tests; with `all` the long firmware runs too, whose result is written down.
pub(crate) fn tests(all: bool, filter: &[String]) -> Result<()> {
    let nextest = Command::new("cargo")
        .args(["nextest", "--version"])
        .output();
    let mut command = Command::new("cargo");
    if nextest.is_ok_and(|out| out.status.success()) {
        command.args(["nextest", "run", "--workspace", "--no-fail-fast"]);
    } else {
        command.args(["test", "--workspace", "--no-fail-fast", "--"]);
    }
    command.args(filter);
    if all {
        command.env("FARRIER_TEST", "all");
    }
    let begun = std::time::Instant::now();
    let outcome = run(&mut command);
    if all {
        evidence(outcome.is_ok(), begun.elapsed().as_secs())?;
    }
    outcome
}

/// Writes the line of the last whole run into `docs/evidence.md`.
fn evidence(passed: bool, seconds: u64) -> Result<()> {
    let said = |args: &[&str]| -> String {
        let out = Command::new(args[0]).args(&args[1..]).output();
        out.map(|o| String::from_utf8_lossy(&o.stdout).trim().to_string())
            .unwrap_or_default()
    };
    let date = said(&["date", "--utc", "+%F"]);
    let commit = said(&["git", "rev-parse", "--short", "HEAD"]);
    let verdict = if passed { "passed" } else { "failed" };
    let path = "docs/evidence.md";
    let text = std::fs::read_to_string(path).context(path)?;
    const MARK: &str = "Last `cargo xtask test --all`:";
    let line = format!("{MARK} {verdict}, {date}, commit {commit}, {seconds} s.");
    let lines: Vec<&str> = text
        .lines()
        .map(|l| {
            if l.starts_with(MARK) {
                line.as_str()
            } else {
                l
            }
        })
        .collect();
    std::fs::write(path, lines.join("\n") + "\n").context(path)
}
