//! Boot loader scripts: iPXE and GRUB. Neither has a quoting that every version understands, so
//! only plain words may come from values.

use std::fmt::Write;

use super::{Findings, Format, Refused, put, shell, shown};

pub(super) fn escape(format: Format, value: &str, out: &mut dyn Write) -> Result<(), Refused> {
    if shell::is_bare(value) {
        return put(out, value);
    }
    let name = if format == Format::Grub {
        "GRUB"
    } else {
        "iPXE"
    };
    Err(Refused::because(format!(
        "{} has characters that a script of {name} cannot hold",
        shown(value)
    ))
    .help("use letters, digits and `_@%+=:,./-` only"))
}

pub(super) fn lint_ipxe(text: &str, findings: &mut Findings<'_>) {
    if !text.starts_with("#!ipxe") {
        findings.error(1, "an iPXE script begins with `#!ipxe`");
    }
    if !text.ends_with('\n') {
        findings.warning(
            text.lines().count().max(1),
            "the last line has no line break, and old iPXE then ignores it",
        );
    }
}

pub(super) fn lint_grub(text: &str, findings: &mut Findings<'_>) {
    let braces = |c| text.matches(c).count();
    if braces('{') != braces('}') {
        findings.error(
            text.lines().count().max(1),
            "the braces of the menu entries do not match",
        );
    }
}
