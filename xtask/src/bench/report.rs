//! The figures as text, and their place in `docs/benchmarks.md`.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail};

use crate::figures::Section;

/// One part's section: when, on what, the table, the method, the commands.
pub(crate) fn section(section: &Section, rounds: usize, took: Duration) -> String {
    let date = jiff::Timestamp::now().strftime("%Y-%m-%d %H:%M UTC");
    let mut out = format!(
        "## {}\n\nMeasured {date}, commit {}, on {}; {rounds} rounds in alternation, {} s in all.\n\n",
        section.title,
        commit(),
        machine(),
        took.as_secs()
    );
    out.push_str("| what | Farrier | peer | ratio | target | | processor, Farrier and peer |\n|---|---|---|---|---|---|---|\n");
    for row in &section.rows {
        out.push_str(&row.line());
        out.push('\n');
    }
    out.push('\n');
    for paragraph in &section.method {
        out.push_str(paragraph);
        out.push_str("\n\n");
    }
    out.push_str("```sh\n");
    for command in &section.commands {
        out.push_str(command);
        out.push('\n');
    }
    out.push_str("```\n");
    out
}

/// Puts a part's section between its two marks; everything else stays as it is.
pub(crate) fn write(path: &Path, part: &str, text: &str) -> Result<()> {
    let shown = path.display().to_string();
    let before = fs::read_to_string(path).context(shown.clone())?;
    fs::write(path, replaced(&before, part, text)?).context(shown)
}

fn replaced(before: &str, part: &str, text: &str) -> Result<String> {
    let (begin, end) = (
        format!("<!-- {part}: measured -->\n"),
        format!("<!-- {part}: end -->"),
    );
    let Some((head, rest)) = before.split_once(&begin) else {
        bail!("the report has no line `{}`", begin.trim());
    };
    let Some((_, tail)) = rest.split_once(&end) else {
        bail!("the report has no line `{end}`");
    };
    Ok(format!("{head}{begin}{text}{end}{tail}"))
}

/// The commit, and whether the tree holds more than that.
fn commit() -> String {
    let short = said(&["git", "rev-parse", "--short", "HEAD"]);
    let changed = said(&[
        "git",
        "status",
        "--porcelain",
        "--untracked-files=no",
        "--",
        "src",
        "Cargo.lock",
    ]);
    if changed.is_empty() {
        short
    } else {
        format!("{short} with changes")
    }
}

/// Processor, cores, memory, system.
fn machine() -> String {
    let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
    let field = |text: &str, name: &str| {
        let line = text.lines().find(|l| l.starts_with(name));
        line.and_then(|l| l.split_once([':', '=']))
            .map(|(_, v)| v.trim().trim_matches('"').to_string())
            .unwrap_or_default()
    };
    let processor = field(&read("/proc/cpuinfo"), "model name");
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let memory = field(&read("/proc/meminfo"), "MemTotal");
    let kib: u64 = memory
        .split_whitespace()
        .next()
        .and_then(|n| n.parse().ok())
        .unwrap_or(0);
    let system = field(&read("/etc/os-release"), "PRETTY_NAME");
    let kernel = said(&["uname", "-r"]);
    format!(
        "{cores} cores ({processor}), {} GiB, {system}, Linux {kernel}",
        kib >> 20
    )
}

fn said(words: &[&str]) -> String {
    let out = Command::new(words[0]).args(&words[1..]).output();
    out.map(|o| String::from_utf8_lossy(&o.stdout).trim().to_string())
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_part_is_replaced() {
        let before = "a\n<!-- x: measured -->\nold\n<!-- x: end -->\nb\n<!-- y: measured -->\nkept\n<!-- y: end -->\n";
        let after = replaced(before, "x", "new\n").expect("marks");
        assert_eq!(after, before.replace("old", "new"));
        assert!(replaced(before, "z", "new").is_err());
        assert!(replaced("<!-- z: measured -->\n", "z", "new").is_err());
    }
}
