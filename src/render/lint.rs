//! What is checked in every rendered document, whatever its format, and where findings are kept.

use crate::boot::Scope;
use crate::model::{Diagnostic, Severity, Span};

use super::Format;
use super::secret::MISUSED;

/// Findings in one document.
#[derive(Debug)]
pub(super) struct Findings<'a> {
    /// The template it came from, relative to the site.
    file: &'a str,
    /// The template's text, if it is not the document itself: a finding is shown where the same
    /// line stands in it.
    template: Option<&'a str>,
    found: Vec<(Severity, usize, String)>,
}

impl<'a> Findings<'a> {
    pub(super) fn new(file: &'a str, template: Option<&'a str>) -> Self {
        Findings {
            file,
            template,
            found: Vec::new(),
        }
    }

    pub(super) fn error(&mut self, line: usize, message: impl Into<String>) {
        self.found.push((Severity::Error, line, message.into()));
    }

    pub(super) fn warning(&mut self, line: usize, message: impl Into<String>) {
        self.found.push((Severity::Warning, line, message.into()));
    }

    #[cfg(test)]
    pub(super) fn into_iter(self) -> impl Iterator<Item = Diagnostic> {
        self.into_diagnostics("").into_iter()
    }

    /// As diagnostics about `text`, the document that was checked.
    pub(super) fn into_diagnostics(self, text: &str) -> Vec<Diagnostic> {
        let Findings {
            file,
            template,
            found,
        } = self;
        found
            .into_iter()
            .map(|(severity, line, message)| {
                let shown = text.lines().nth(line.saturating_sub(1)).unwrap_or("");
                let (line, label) = match template {
                    None => (line, String::new()),
                    Some(template) => match same_line(template, shown) {
                        Some(found) => (found, String::new()),
                        None => (line, format!("line {line} of what it renders to")),
                    },
                };
                let mut diagnostic = Diagnostic::error(message).at(Span {
                    file: file.to_string(),
                    line,
                    column: 1,
                    length: shown.chars().count(),
                    text: shown.to_string(),
                    label,
                });
                diagnostic.severity = severity;
                diagnostic
            })
            .collect()
    }
}

/// The only line of the template that reads so.
fn same_line(template: &str, wanted: &str) -> Option<usize> {
    let mut lines = template
        .lines()
        .enumerate()
        .filter(|(_, line)| !wanted.trim().is_empty() && line.trim() == wanted.trim());
    let first = lines.next()?.0 + 1;
    lines.next().is_none().then_some(first)
}

/// What no document may hold.
pub(super) fn check(format: Format, secret: bool, text: &str, findings: &mut Findings<'_>) {
    let line_of = |at: usize| text[..at].bytes().filter(|b| *b == b'\n').count() + 1;
    // one pass for the rare characters that begin anything worth a second look
    let mut template_mark = false;
    let mut carriage_return = false;
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            // what is sent has them, whatever the file had
            b'\r' if format == Format::Batch && text[at..].starts_with("\r\n") => {}
            b'\r' if !carriage_return => {
                carriage_return = true;
                findings.error(
                    line_of(at),
                    "a carriage return; save the file with Unix line ends",
                );
            }
            b'\0' => findings.error(line_of(at), "a NUL character"),
            b'{' | b'@' if !template_mark => {
                let rest = &text.as_bytes()[at..];
                let mark = match rest {
                    [b'{', b'{', ..] => "{{",
                    [b'{', b'%', ..] => "{%",
                    [b'@', b'@', next, ..] if next.is_ascii_alphabetic() => "@@",
                    _ => continue,
                };
                template_mark = true;
                let message = format!("`{mark}` is left over; is this a template without `.j2`?");
                match format {
                    Format::Preseed | Format::Cmdline | Format::Grub | Format::Ipxe => {
                        findings.error(line_of(at), message);
                    }
                    _ => findings.warning(line_of(at), message),
                }
            }
            b'F' if text[at..].starts_with("FARRIER-") => {
                let kept =
                    |scope: Scope| scope.is_secret() && text[at..].starts_with(scope.placeholder());
                if !secret && Scope::ALL.into_iter().any(kept) {
                    findings.error(
                        line_of(at),
                        "the hand-off's secret may not stand in an answer, which stays on the disk",
                    );
                } else if text[at..].starts_with(MISUSED) {
                    findings.error(
                        line_of(at),
                        "a secret can only be printed by itself, through the filter of the document's format",
                    );
                } else if text[at..].starts_with("FARRIER-SECRET(") {
                    if !secret {
                        findings.error(
                            line_of(at),
                            "what stands for a secret may not stand in an answer",
                        );
                    }
                } else if !Scope::ALL
                    .iter()
                    .any(|scope| text[at..].starts_with(scope.placeholder()))
                {
                    findings.warning(
                        line_of(at),
                        "`FARRIER-` begins no token that will be filled in",
                    );
                }
            }
            b'C' if text[at..].starts_with("CHANGEME") || text[at..].starts_with("CHANGE_ME") => {
                findings.warning(line_of(at), "`CHANGEME` was not changed");
            }
            b'-' if !secret && text[at..].starts_with("-----BEGIN ") => {
                let rest = text[at..].lines().next().unwrap_or("");
                if rest.contains("PRIVATE KEY") {
                    findings.error(
                        line_of(at),
                        "a private key: answers are readable by anyone on the network and stay on the disk",
                    );
                }
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(format: Format, secret: bool, text: &str) -> Vec<(Severity, usize, String)> {
        let mut findings = Findings::new("profiles/x/y", None);
        check(format, secret, text, &mut findings);
        findings.found
    }

    #[test]
    fn left_overs_are_found_with_their_line() {
        for (format, text, part) in [
            (Format::Preseed, "a\nb {{ x }}\n", "`{{`"),
            (Format::Shell, "a\n@@name@@\n", "`@@`"),
            (Format::Plain, "a\nb\r\n", "carriage"),
            (Format::Shell, "a\nx=CHANGEME\n", "CHANGEME"),
            (
                Format::Plain,
                "a\n-----BEGIN RSA PRIVATE KEY-----\n",
                "private key",
            ),
            (Format::Plain, "a\nFARRIER-REPORT-TOKN", "begins no token"),
        ] {
            let found = found(format, false, text);
            assert_eq!(found.len(), 1, "{text}");
            assert_eq!(found[0].1, 2, "{text}");
            assert!(found[0].2.contains(part), "{text}: {}", found[0].2);
        }
    }

    #[test]
    fn the_secret_stands_only_where_it_may() {
        let text = Scope::Secret.placeholder();
        assert_eq!(found(Format::Shell, false, text).len(), 1);
        assert_eq!(found(Format::Shell, true, text).len(), 0);
        assert_eq!(
            found(Format::Shell, false, Scope::Read.placeholder()).len(),
            0
        );
    }

    #[test]
    fn a_finding_points_into_the_template() {
        let mut findings = Findings::new("profiles/x/y.j2", Some("{% if a %}\n\nbad\n{% endif %}"));
        findings.error(1, "bad");
        let all = findings.into_diagnostics("bad\n");
        assert_eq!(all[0].spans[0].line, 3);
    }
}
