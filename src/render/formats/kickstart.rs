//! Kickstart: commands that anaconda splits like a shell, and script sections that a shell runs.

use std::fmt::Write;

use super::{Findings, Refused, put, shell, shown};

pub(super) fn escape(value: &str, out: &mut dyn Write) -> Result<(), Refused> {
    // `%end` at the beginning of a line would end a section
    if shell::is_bare(value) && !value.starts_with('%') {
        return put(out, value);
    }
    Err(Refused::because(format!(
        "{} has characters that mean something in a kickstart file",
        shown(value)
    ))
    .help("write `{{ VALUE | sh }}` with no quotes around it"))
}

pub(super) fn lint(text: &str, findings: &mut Findings<'_>) {
    let mut open: Option<(usize, &str)> = None;
    for (number, line) in text.lines().enumerate() {
        let word = line.split_whitespace().next().unwrap_or("");
        match (word, open) {
            ("%end", None) => findings.error(number + 1, "`%end` without a section"),
            ("%end", Some(_)) => open = None,
            (
                "%packages" | "%pre" | "%pre-install" | "%post" | "%onerror" | "%addon"
                | "%certificate",
                None,
            ) => {
                open = Some((number + 1, word));
            }
            ("%traceback", _) => {
                findings.warning(number + 1, "`%traceback` is gone; use `%onerror`");
            }
            _ => {}
        }
    }
    if let Some((line, section)) = open {
        findings.error(line, format!("`{section}` has no `%end`"));
    }
}
