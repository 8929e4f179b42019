//! TOML: values are written as basic strings.

use super::Findings;

pub(in crate::render) fn quoted(value: &str) -> String {
    // JSON's escapes are a subset of those of TOML's basic strings.
    super::json_quoted(value)
}

/// Line grammar only: a table header, a comment, a key with a value, or part of a longer value.
pub(super) fn lint(text: &str, findings: &mut Findings<'_>) {
    let mut open = 0i64;
    let mut long = false;
    for (number, line) in text.lines().enumerate() {
        let fences = line.matches("\"\"\"").count() + line.matches("'''").count();
        if long || fences % 2 == 1 {
            long ^= fences % 2 == 1;
            continue;
        }
        let trimmed = line.trim_start();
        let plain = open == 0 && !trimmed.is_empty() && !trimmed.starts_with(['#', '[']);
        if plain && !trimmed.contains('=') {
            findings.error(number + 1, "neither a table header nor `key = value`");
        }
        let count = |of: &[char]| i64::try_from(trimmed.matches(of).count()).unwrap_or(0);
        if !trimmed.starts_with('[') || open > 0 {
            open = (open + count(&['[', '{']) - count(&[']', '}'])).max(0);
        }
    }
    if long {
        findings.error(text.lines().count().max(1), "a long string is never closed");
    }
}
