//! What may stand in a loader's script.

use super::{Reason, Unwritable};
use crate::boot::paths::{Urls, artefact_path, document_path};
use crate::model::event::printable;
use crate::model::{BootPlan, Content, Start};

/// Text for the screen, in characters that no loader acts upon: quotes and backticks go, everything
/// else that is special becomes a comma or a question mark.
pub(super) fn say(text: &str) -> String {
    text.chars()
        .filter(|c| !"`'\"\\".contains(*c))
        .map(|c| match c {
            ';' => ',',
            ' ' | '.' | ',' | ':' | '(' | ')' | '/' | '_' | '-' | '+' | '=' | '@' => c,
            c if c.is_ascii_alphanumeric() => c,
            _ => '?',
        })
        .collect()
}

/// The two lines before the own disk.
pub(super) fn own_disk_lines(reason: &Reason) -> Vec<String> {
    let mut lines = vec![say(&format!(
        "Farrier: {} boots its own disk: {}",
        reason.who, reason.why
    ))];
    if let Some(hint) = &reason.hint {
        lines.push(say(&format!("Farrier: on the server, type: {hint}")));
    }
    lines
}

/// A part of a URL or path: names that `boot::paths` mints are all of this form.
pub(super) fn path(text: &str, loader: &'static str) -> Result<String, Unwritable> {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_.:+~/".contains(c);
    match text.chars().find(|c| !plain(*c)) {
        None => Ok(text.to_string()),
        Some(_) => Err(Unwritable::Syntax {
            place: "a file name",
            found: printable(text, 80),
            loader,
        }),
    }
}

/// The path of what a module is, on HTTP (after a slash) and on TFTP.
pub(super) fn content_path(content: &Content) -> String {
    match content {
        Content::File(file) => artefact_path(&file.id, &file.digest),
        Content::Document { token, name } => document_path(token, name),
    }
}

/// The URL of what a module is.
pub(super) fn content_url(urls: &Urls, content: &Content, path: Option<&str>) -> String {
    match content {
        Content::File(file) => urls.artefact_at(file, path),
        Content::Document { token, name } => urls.document(token, name),
    }
}

/// Refuses a plan that is no Linux's.
pub(super) fn linux_only(plan: &BootPlan, loader: &'static str) -> Result<(), Unwritable> {
    match plan.way.start {
        Start::Linux => Ok(()),
        other => Err(Unwritable::Start {
            loader,
            what: other.word(),
        }),
    }
}

/// Refuses what no kernel command line in no loader may hold: line breaks, other control
/// characters, and anything but ASCII.
pub(super) fn cmdline(text: &str, loader: &'static str) -> Result<(), Unwritable> {
    match text.chars().find(|c| !(c.is_ascii_graphic() || *c == ' ')) {
        None => Ok(()),
        Some(c) => Err(bad_cmdline(&c.escape_default().to_string(), loader)),
    }
}

/// The refusal of one part of a command line.
pub(super) fn bad_cmdline(found: &str, loader: &'static str) -> Unwritable {
    Unwritable::Syntax {
        place: "the kernel command line",
        found: printable(found, 80),
        loader,
    }
}
