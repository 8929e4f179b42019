//! Kickstart: commands that anaconda splits like a shell, and script sections that a shell runs.

use std::fmt::Write;

use super::{Findings, Refused, put, shell, shown};

pub(super) fn escape(value: &str, out: &mut dyn Write) -> Result<(), Refused> {
    // `%end` at the beginning of a line would end a section
    if is_plain(value) && !value.starts_with('%') {
        return put(out, value);
    }
    Err(Refused::because(format!(
        "{} has characters that mean something in a kickstart file",
        shown(value)
    ))
    .help("write `{{ VALUE | sh }}` with no quotes around it"))
}

/// Plain for a shell, and besides what names packages and their versions: `@^minimal-environment`,
/// `tool-1.2~rc1`. A shell expands `~` only where a word or a value begins.
fn is_plain(value: &str) -> bool {
    let mut before = ' ';
    value.chars().all(|c| {
        let fine = match c {
            '^' => true,
            '~' => before.is_ascii_alphanumeric(),
            c => shell::is_bare(c.encode_utf8(&mut [0; 4])),
        };
        before = c;
        fine
    })
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_packages_are_plain() {
        for (value, plain) in [
            ("@^minimal-environment", true),
            ("tool-1.2~rc1", true),
            ("~root", false),
            ("a=~root", false),
            ("a:~root", false),
            ("$x", false),
            ("a b", false),
            ("", true),
        ] {
            assert_eq!(is_plain(value), plain, "{value}");
        }
        assert!(escape("%end", &mut String::new()).is_err());
    }
}
