//! JSON.

use super::Findings;

/// A JSON string. Also a YAML double-quoted scalar: what YAML does not read as JSON does (the line
/// separators of Unicode, DEL and the C1 controls) is written as escapes.
pub(in crate::render) fn quoted(value: &str) -> String {
    let mut out = String::with_capacity(value.len() + 2);
    out.push('"');
    for c in value.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c if c.is_control() || matches!(c, '\u{2028}' | '\u{2029}' | '\u{feff}') => {
                out.push_str(&format!("\\u{:04x}", u32::from(c)));
            }
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

pub(super) fn lint(text: &str, findings: &mut Findings<'_>) {
    if let Err(problem) = serde_json::from_str::<serde::de::IgnoredAny>(text) {
        let what = problem.to_string();
        let what = what.split(" at line ").next().unwrap_or("").to_string();
        findings.error(problem.line().max(1), format!("not JSON: {what}"));
    }
}
