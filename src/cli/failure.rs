//! How a refusal is printed: one sentence, the place with a caret, the fix; or one JSON object.

use std::ffi::OsString;
use std::io::Write;

use annotate_snippets::renderer::DecorStyle;
use annotate_snippets::{AnnotationKind, Group, Level, Renderer, Snippet};

use super::printer::{Printer, compact};
use crate::model::{Code, Diagnostic, Refusal, Severity, Span};

/// Prints a refusal on stderr.
pub(super) fn print(printer: &Printer, refusal: &Refusal) {
    let text = if printer.is_json() {
        compact(refusal) + "\n"
    } else {
        sentence(refusal, printer.colours_talk())
    };
    // A closed stderr leaves nobody to tell; the exit code still does.
    let _ = std::io::stderr().lock().write_all(text.as_bytes());
}

/// A refusal as people read it.
pub(super) fn sentence(refusal: &Refusal, colour: bool) -> String {
    if !refusal.problems.is_empty() {
        return diagnostics(&refusal.problems, colour);
    }
    diagnostic(
        &Diagnostic {
            severity: Severity::Error,
            message: refusal.message.clone(),
            spans: refusal.spans.clone(),
            help: refusal.help.clone(),
        },
        colour,
    )
}

/// Every problem, then how many there are if more than one.
pub(super) fn diagnostics(problems: &[Diagnostic], colour: bool) -> String {
    let mut text = String::new();
    for (i, problem) in problems.iter().enumerate() {
        if i > 0 {
            text.push('\n');
        }
        text.push_str(&diagnostic(problem, colour));
    }
    text
}

/// One problem with its carets.
pub(super) fn diagnostic(problem: &Diagnostic, colour: bool) -> String {
    let renderer = if colour {
        Renderer::styled()
    } else {
        Renderer::plain()
    };
    let renderer = renderer.decor_style(DecorStyle::Ascii);
    let level = match problem.severity {
        Severity::Error => Level::ERROR,
        Severity::Warning => Level::WARNING,
    };
    if problem.spans.is_empty() {
        let title = Group::with_title(level.primary_title(problem.message.as_str()));
        let mut text = renderer.render(&[title]).to_string() + "\n";
        if let Some(help) = &problem.help {
            text.push_str(&format!("{} {help}\n", paint("  help:", colour)));
        }
        return text;
    }
    let mut group = level
        .primary_title(problem.message.as_str())
        .elements(problem.spans.iter().enumerate().map(|(i, span)| {
            let kind = if i == 0 {
                AnnotationKind::Primary
            } else {
                AnnotationKind::Context
            };
            let annotation = kind.span(bytes_of(span));
            Snippet::source(span.text.as_str())
                .line_start(span.line)
                .path(span.file.as_str())
                .fold(false)
                .annotation(if span.label.is_empty() {
                    annotation
                } else {
                    annotation.label(span.label.as_str())
                })
        }));
    if let Some(help) = &problem.help {
        group = group.element(Level::HELP.message(help.as_str()));
    }
    renderer.render(&[group]).to_string() + "\n"
}

/// The byte range of a span within its line; columns count characters.
fn bytes_of(span: &Span) -> std::ops::Range<usize> {
    let at = |characters: usize| {
        span.text
            .char_indices()
            .nth(characters)
            .map_or(span.text.len(), |(byte, _)| byte)
    };
    let first = span.column.saturating_sub(1);
    at(first)..at(first + span.length)
}

fn paint(text: &str, colour: bool) -> String {
    if colour {
        format!("\x1b[36m{text}\x1b[0m")
    } else {
        text.to_string()
    }
}

/// Prints what clap says of the command line; help and version are data, not errors. Returns the exit
/// code: 64 instead of clap's 2, because 2 means "there is a difference".
pub(super) fn usage(error: &clap::Error, typed: &[OsString]) -> u8 {
    use clap::error::ErrorKind;
    if matches!(
        error.kind(),
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion
    ) {
        let _ = error.print();
        return 0;
    }
    if wants_json(typed) {
        let text = error.to_string();
        let message = text
            .lines()
            .next()
            .unwrap_or_default()
            .trim_start_matches("error: ")
            .to_string();
        let tip = text
            .lines()
            .find_map(|l| l.trim_start().strip_prefix("tip: "))
            .map(str::to_string);
        let mut refusal = Refusal::new(Code::Usage, message);
        refusal.help = tip.or_else(|| Some("farrier --help".to_string()));
        let _ = writeln!(std::io::stderr().lock(), "{}", compact(&refusal));
    } else {
        let _ = error.print();
    }
    Code::Usage.exit()
}

/// Whether JSON was asked for on a command line that could not be read otherwise.
fn wants_json(typed: &[OsString]) -> bool {
    let words: Vec<String> = typed
        .iter()
        .map(|w| w.to_string_lossy().into_owned())
        .collect();
    words.iter().enumerate().any(|(i, word)| {
        let next = words.get(i + 1).map(String::as_str);
        matches!(
            word.as_str(),
            "-ojson" | "-ojsonl" | "-o=json" | "-o=jsonl" | "--output=json" | "--output=jsonl"
        ) || (matches!(word.as_str(), "-o" | "--output")
            && matches!(next, Some("json" | "jsonl")))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_is_found_on_a_line_that_cannot_be_read() {
        for (line, want) in [
            ("farrier -o json nonsense", true),
            ("farrier nonsense --output=jsonl", true),
            ("farrier -ojson", true),
            ("farrier -o table json", false),
            ("farrier json", false),
        ] {
            let typed: Vec<OsString> = line.split(' ').map(OsString::from).collect();
            assert_eq!(wants_json(&typed), want, "{line}");
        }
    }

    #[test]
    fn carets_count_characters_not_bytes() {
        let span = Span {
            file: "systems.toml".to_string(),
            line: 3,
            column: 9,
            length: 4,
            text: "motd = \"äöü!\"".to_string(),
            label: String::new(),
        };
        assert_eq!(&span.text[bytes_of(&span)], "äöü!");
    }

    #[test]
    fn a_place_has_a_caret_and_a_fix() {
        let problem = Diagnostic::error("no profile is called `debain-12`")
            .at(Span {
                file: "systems.toml".to_string(),
                line: 12,
                column: 11,
                length: 11,
                text: "profile = \"debain-12\"".to_string(),
                label: "not in profiles/".to_string(),
            })
            .help("did you mean `debian-12`?");
        insta::assert_snapshot!(diagnostic(&problem, false), @"");
    }
}
