//! How a refusal is printed: one sentence, the place with a caret, the fix; or one JSON object.

use std::ffi::OsString;
use std::io::Write;

use super::printer::{Printer, compact};
use crate::inventory;
use crate::model::{Code, Diagnostic, Refusal, Severity};

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
        let mut text = inventory::report(&refusal.problems, colour);
        if let Some(note) = &refusal.note {
            text.push_str(&format!("{} {note}\n", paint(" note:", "36", colour)));
        }
        return text;
    }
    if !refusal.spans.is_empty() {
        let problem = Diagnostic {
            severity: Severity::Error,
            message: refusal.message.clone(),
            spans: refusal.spans.clone(),
            help: refusal.help.clone(),
            about: None,
        };
        return inventory::report(&[problem], colour);
    }
    let mut text = format!("{} {}\n", paint("error:", "1;31", colour), refusal.message);
    if let Some(help) = &refusal.help {
        text.push_str(&format!("{} {help}\n", paint(" help:", "36", colour)));
    }
    text
}

fn paint(text: &str, code: &str, colour: bool) -> String {
    if colour {
        format!("\x1b[{code}m{text}\x1b[0m")
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
        ) || (matches!(word.as_str(), "-o" | "--output") && matches!(next, Some("json" | "jsonl")))
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
    fn a_refusal_is_a_sentence_and_its_fix() {
        let refusal =
            Refusal::refused("`db01` is protected").help("farrier set db01 protected=false");
        assert_eq!(
            sentence(&refusal, false),
            "error: `db01` is protected\n help: farrier set db01 protected=false\n"
        );
    }
}
