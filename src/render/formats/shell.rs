//! Shell: POSIX sh, bash, and files of assignments that a shell reads.

use std::fmt::Write;

use super::{Findings, Refused, no_control, put, shown};

/// Whether a text is one word that a shell takes as it stands, quoted or not.
pub(super) fn is_bare(value: &str) -> bool {
    value
        .bytes()
        .all(|b| b.is_ascii_alphanumeric() || b"_@%+=:,./-".contains(&b))
}

/// A value without any filter: it may stand in quotes or out of them, so it must be harmless in
/// both.
pub(super) fn bare(value: &str, out: &mut dyn Write) -> Result<(), Refused> {
    if is_bare(value) {
        return put(out, value);
    }
    Err(Refused::because(format!(
        "{} has characters that mean something to a shell",
        shown(value)
    ))
    .help("write `{{ VALUE | sh }}` with no quotes around it"))
}

/// A value as one quoted word. Only where no quotes stand around it: the template is checked for
/// that (`scan`).
pub(in crate::render) fn quoted(value: &str, line_breaks: bool) -> Result<String, Refused> {
    no_control(value, if line_breaks { &['\n', '\t'] } else { &['\t'] })?;
    Ok(format!("'{}'", value.replace('\'', "'\\''")))
}

/// Only what is wrong whatever the script does.
pub(super) fn lint(text: &str, findings: &mut Findings<'_>) {
    if let Some(first) = text.lines().next()
        && first.starts_with("#!")
        && first.ends_with('\r')
    {
        findings.error(1, "the `#!` line ends with a carriage return");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quoted_word_holds_anything_but_control_characters() {
        assert_eq!(quoted("it's $x", true), Ok("'it'\\''s $x'".to_string()));
        assert_eq!(quoted("a\nb", true), Ok("'a\nb'".to_string()));
        assert!(quoted("a\nb", false).is_err());
        assert!(quoted("a\0b", true).is_err());
    }
}
