//! Runs the tests with nextest where it is installed, else with cargo's own runner.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, IsTerminal};
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

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
    let commit = said(&["git", "describe", "--always", "--dirty"]);
    // A check that cannot run passes for the runner, so that it is counted here.
    let file = std::env::temp_dir().join(format!("farrier-skipped-{}", std::process::id()));
    command.env("FARRIER_SKIPPED", &file);
    let passed = run(&mut command, &file)?;
    let skipped = skipped(&file);
    let _ = std::fs::remove_file(&file);
    // Of a part nothing is written down: it would read as if it were the whole.
    if all && filter.is_empty() {
        evidence(passed, &commit, begun.elapsed().as_secs(), &skipped)?;
    }
    if !passed {
        bail!("tests failed");
    }
    Ok(())
}

/// Runs the tests and says what of them could not run. The runner's summary is the last that is said,
/// save on a terminal, where the runner draws what it is at.
fn run(command: &mut Command, file: &Path) -> Result<bool> {
    let shown = format!("{command:?}");
    let started = || format!("{shown} could not be started");
    if std::io::stderr().is_terminal() {
        let status = command.status().with_context(started)?;
        say(&skipped(file));
        return Ok(status.success());
    }
    let mut child = command
        .stderr(Stdio::piped())
        .spawn()
        .with_context(started)?;
    let lines = child.stderr.take().context("the runner's words")?;
    let (mut last, mut over) = (Vec::new(), false);
    for line in BufReader::new(lines).split(b'\n') {
        let line = String::from_utf8_lossy(&line?).into_owned();
        let rule = !line.is_empty() && line.trim().chars().all(|c| c == '\u{2500}');
        over = over || line.trim_start().starts_with("Summary [");
        if !rule && !over {
            last.drain(..).for_each(|held: String| eprintln!("{held}"));
            eprintln!("{line}");
        } else {
            last.push(line);
        }
    }
    let status = child.wait()?;
    say(&skipped(file));
    last.iter().for_each(|line| eprintln!("{line}"));
    Ok(status.success())
}

/// What could not run, and how often that was said.
fn skipped(file: &Path) -> BTreeMap<String, usize> {
    let mut all = BTreeMap::new();
    for line in std::fs::read_to_string(file).unwrap_or_default().lines() {
        *all.entry(line.trim_start_matches("SKIPPED ").to_string())
            .or_default() += 1;
    }
    all
}

fn say(skipped: &BTreeMap<String, usize>) {
    for (what, times) in skipped {
        eprintln!("     SKIPPED {what} ({times})");
    }
}

/// What a command prints, without the line's end; nothing if it cannot be run.
fn said(args: &[&str]) -> String {
    let out = Command::new(args[0]).args(&args[1..]).output();
    out.map(|o| String::from_utf8_lossy(&o.stdout).trim().to_string())
        .unwrap_or_default()
}

/// Writes the line of the last whole run into `docs/evidence.md`.
fn evidence(
    passed: bool,
    commit: &str,
    seconds: u64,
    skipped: &BTreeMap<String, usize>,
) -> Result<()> {
    let date = said(&["date", "--utc", "+%F"]);
    let verdict = if passed { "passed" } else { "failed" };
    let path = "docs/evidence.md";
    let text = std::fs::read_to_string(path).context(path)?;
    const MARK: &str = "Last `cargo xtask test --all`:";
    let skipped: Vec<&str> = skipped.keys().map(String::as_str).collect();
    let skipped = match skipped.is_empty() {
        true => "nothing".to_string(),
        false => skipped.join("; "),
    };
    let line = format!(
        "{MARK} {verdict}, {date}, commit {commit}, {seconds} s. What could not run there: {skipped}."
    );
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
