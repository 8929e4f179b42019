//! Diagnostics as people read them: file, line, caret, label and fix.

use annotate_snippets::{AnnotationKind, Group, Level, Origin, Renderer, Snippet};

use crate::model::{Diagnostic, Severity, Span};

/// All diagnostics, each with its places, and a last line that counts them. Empty if there are none.
/// `colour` adds escape codes and changes no word: colour never carries meaning alone.
pub fn report(diagnostics: &[Diagnostic], colour: bool) -> String {
    let renderer = if colour {
        Renderer::styled()
    } else {
        Renderer::plain()
    };
    let mut parts: Vec<String> = diagnostics
        .iter()
        .map(|d| renderer.render(&[group(d)]).to_string())
        .collect();
    if parts.is_empty() {
        return String::new();
    }
    let of = |severity| {
        diagnostics
            .iter()
            .filter(|d| d.severity == severity)
            .count()
    };
    let count = |n: usize, word: &str| match n {
        0 => None,
        1 => Some(format!("1 {word}")),
        n => Some(format!("{n} {word}s")),
    };
    let counts = [
        count(of(Severity::Error), "error"),
        count(of(Severity::Warning), "warning"),
    ];
    let counts: Vec<String> = counts.into_iter().flatten().collect();
    parts.push(counts.join(", "));
    parts.join("\n\n") + "\n"
}

fn group(diagnostic: &Diagnostic) -> Group<'_> {
    let level = match diagnostic.severity {
        Severity::Error => Level::ERROR,
        Severity::Warning => Level::WARNING,
    };
    let mut group = Group::with_title(level.primary_title(diagnostic.message.as_str()));
    for (number, span) in diagnostic.spans.iter().enumerate() {
        if span.text.is_empty() {
            let mut origin = Origin::path(span.file.as_str());
            if span.line > 1 || span.column > 1 {
                origin = origin.line(span.line).char_column(span.column);
            }
            group = group.element(origin);
            continue;
        }
        let kind = match number {
            0 => AnnotationKind::Primary,
            _ => AnnotationKind::Context,
        };
        let snippet = Snippet::source(span.text.as_str())
            .path(span.file.as_str())
            .line_start(span.line)
            .annotation(kind.span(bytes(span)).label(span.label.as_str()));
        group = group.element(snippet);
    }
    match &diagnostic.help {
        Some(help) => group.element(Level::HELP.message(help.as_str())),
        None => group,
    }
}

/// The bytes of the line that are meant.
fn bytes(span: &Span) -> std::ops::Range<usize> {
    let at = |column: usize| {
        let mut starts = span.text.char_indices().map(|(i, _)| i);
        starts.nth(column).unwrap_or(span.text.len())
    };
    let start = at(span.column.saturating_sub(1));
    start..at(span.column.saturating_sub(1) + span.length).max(start)
}
