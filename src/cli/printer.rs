//! Data on stdout, talk on stderr.

use std::io::{IsTerminal, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use comfy_table::{Attribute, Cell, ContentArrangement, Table, presets};
use serde::Serialize;

use super::arguments::{Color, Global, Output};
use crate::model::Phase;

/// Prints in the format that was asked for.
#[derive(Debug, Clone)]
pub struct Printer {
    format: Output,
    colour_data: bool,
    colour_talk: bool,
    progress: bool,
    /// Data was lost: the exit code must say so.
    lost: Arc<AtomicBool>,
    /// Whoever read the data went away.
    unread: Arc<AtomicBool>,
}

/// One column of a table of `T`.
pub(super) struct Column<T> {
    /// Upper-case heading.
    pub(super) heading: &'static str,
    /// Only with `-o wide`.
    pub(super) wide: bool,
    /// The text of one row.
    pub(super) text: fn(&T) -> String,
}

impl<T> Column<T> {
    /// A column that is always there.
    pub(super) const fn new(heading: &'static str, text: fn(&T) -> String) -> Self {
        Column {
            heading,
            wide: false,
            text,
        }
    }

    /// A column of `-o wide`.
    pub(super) const fn wide(heading: &'static str, text: fn(&T) -> String) -> Self {
        Column {
            heading,
            wide: true,
            text,
        }
    }
}

impl Printer {
    /// As the global options and the environment say.
    pub(super) fn new(global: &Global) -> Printer {
        let plain = std::env::var_os("NO_COLOR").is_some_and(|v| !v.is_empty())
            || std::env::var_os("TERM").is_some_and(|v| v == "dumb");
        let colour = |terminal: bool| match global.color {
            Color::Auto => terminal && !plain,
            Color::Always => true,
            Color::Never => false,
        };
        let talk_terminal = std::io::stderr().is_terminal();
        Printer {
            format: global.output,
            colour_data: colour(std::io::stdout().is_terminal()),
            colour_talk: colour(talk_terminal),
            progress: talk_terminal
                && !matches!(global.output, Output::Json | Output::Jsonl)
                && std::env::var_os("FARRIER_NO_PROGRESS").is_none(),
            lost: Arc::default(),
            unread: Arc::default(),
        }
    }

    /// Errors and answers are JSON.
    pub fn is_json(&self) -> bool {
        matches!(self.format, Output::Json | Output::Jsonl)
    }

    /// Names only.
    pub(super) fn is_name(&self) -> bool {
        self.format == Output::Name
    }

    /// More columns.
    pub(super) fn is_wide(&self) -> bool {
        self.format == Output::Wide
    }

    /// Whether data may be coloured.
    pub(super) fn colours_data(&self) -> bool {
        self.colour_data
    }

    /// Whether talk may be coloured.
    pub(super) fn colours_talk(&self) -> bool {
        self.colour_talk
    }

    /// Whether a progress bar may be drawn.
    pub(super) fn draws_progress(&self) -> bool {
        self.progress
    }

    /// Writes bytes to stdout as they are. A reader that went away is no failure.
    pub(super) fn bytes(&self, bytes: &[u8]) {
        let mut out = std::io::stdout().lock();
        let written = out.write_all(bytes).and_then(|()| out.flush());
        match written {
            Ok(()) => {}
            Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => {
                self.unread.store(true, Ordering::Relaxed);
            }
            Err(error) => {
                // Once is enough: a table may be many writes.
                if !self.lost.swap(true, Ordering::Relaxed) {
                    self.talk(&format!("error: stdout cannot be written: {error}"));
                }
            }
        }
    }

    /// Whether nobody reads on: what goes on until interrupted ends then.
    pub(super) fn is_unread(&self) -> bool {
        self.unread.load(Ordering::Relaxed)
    }

    /// Whether data could not be written, other than because nobody reads on.
    pub(super) fn lost_data(&self) -> bool {
        self.lost.load(Ordering::Relaxed)
    }

    /// One line of data.
    pub(super) fn line(&self, text: &str) {
        self.bytes(format!("{text}\n").as_bytes());
    }

    /// One line of talk. Nothing is said in JSON: stderr holds errors only.
    pub(super) fn talk(&self, text: &str) {
        if !self.is_json() {
            // A closed stderr leaves nobody to tell.
            let _ = writeln!(std::io::stderr().lock(), "{text}");
        }
    }

    /// A list: rows, an array (`[]` if empty), lines of JSON, or names. An empty table is `nothing`
    /// on stderr and no line on stdout.
    pub(super) fn list<T: Serialize>(
        &self,
        items: &[T],
        columns: &[Column<T>],
        name: fn(&T) -> String,
        nothing: &str,
    ) {
        match self.format {
            Output::Json => self.json(&items),
            Output::Jsonl => {
                let mut out = Vec::new();
                for item in items {
                    out.extend_from_slice(compact(item).as_bytes());
                    out.push(b'\n');
                }
                self.bytes(&out);
            }
            Output::Name => {
                let out: String = items.iter().map(|i| name(i) + "\n").collect();
                self.bytes(out.as_bytes());
            }
            Output::Table | Output::Wide if items.is_empty() => self.talk(nothing),
            Output::Table | Output::Wide => {
                self.bytes(self.table(items, columns, self.colour_data).as_bytes());
            }
        }
    }

    /// A list whose lines for people are not a table.
    pub(super) fn list_with<T: Serialize>(
        &self,
        items: &[T],
        name: fn(&T) -> String,
        human: impl FnOnce(bool) -> String,
    ) {
        match self.format {
            Output::Table | Output::Wide => self.bytes(human(self.colour_data).as_bytes()),
            _ => self.list(items, &[], name, ""),
        }
    }

    /// A table as text, for talk as well as for data. A column that says nothing in any row is left
    /// out, except with `-o wide`.
    pub(super) fn table<T>(&self, items: &[T], columns: &[Column<T>], colour: bool) -> String {
        let columns: Vec<&Column<T>> = columns
            .iter()
            .enumerate()
            .filter(|(i, c)| {
                let says = *i == 0 || items.iter().any(|item| !(c.text)(item).is_empty());
                self.is_wide() || (!c.wide && says)
            })
            .map(|(_, c)| c)
            .collect();
        let mut table = Table::new();
        table
            .load_preset(presets::NOTHING)
            .set_content_arrangement(ContentArrangement::Disabled);
        if colour {
            table.enforce_styling();
        } else {
            table.force_no_tty();
        }
        table.set_header(columns.iter().map(|c| {
            let cell = Cell::new(c.heading);
            if colour {
                cell.add_attribute(Attribute::Bold)
            } else {
                cell
            }
        }));
        for item in items {
            table.add_row(columns.iter().map(|c| {
                let text = (c.text)(item);
                let hue = text.split_whitespace().next().and_then(hue);
                let cell = Cell::new(if text.is_empty() { "-" } else { &text });
                match (c.heading, hue) {
                    ("PHASE" | "STATE", Some(hue)) if colour => cell.fg(hue),
                    _ => cell,
                }
            }));
        }
        for column in table.column_iter_mut() {
            column.set_padding((0, 2));
        }
        let mut text = String::new();
        for line in table.lines() {
            text.push_str(line.trim_end());
            text.push('\n');
        }
        text
    }

    /// One object: JSON, its name, or whatever `human` makes of it.
    pub(super) fn object<T: Serialize>(
        &self,
        item: &T,
        name: &str,
        human: impl FnOnce() -> String,
    ) {
        match self.format {
            Output::Json => self.json(item),
            Output::Jsonl => self.line(&compact(item)),
            Output::Name => self.line(name),
            Output::Table | Output::Wide => self.bytes(human().as_bytes()),
        }
    }

    /// One JSON value, indented.
    pub(super) fn json<T: Serialize>(&self, item: &T) {
        let text = serde_json::to_string_pretty(item)
            .unwrap_or_else(|e| format!("{{\"code\":\"failed\",\"message\":\"{e}\"}}"));
        self.line(&text);
    }

    /// A word in the colour of its phase, if data may be coloured.
    pub(super) fn phase(&self, phase: Phase) -> String {
        match (self.colour_data, hue(phase.word())) {
            (true, Some(comfy_table::Color::Green)) => format!("\x1b[32m{phase}\x1b[0m"),
            (true, Some(comfy_table::Color::Red)) => format!("\x1b[31m{phase}\x1b[0m"),
            (true, Some(comfy_table::Color::Cyan)) => format!("\x1b[36m{phase}\x1b[0m"),
            _ => phase.to_string(),
        }
    }
}

/// One value on one line.
pub(super) fn compact<T: Serialize>(item: &T) -> String {
    serde_json::to_string(item).unwrap_or_default()
}

fn hue(word: &str) -> Option<comfy_table::Color> {
    match word.parse().ok()? {
        Phase::Ready => Some(comfy_table::Color::Green),
        Phase::Failed | Phase::Stalled | Phase::Held => Some(comfy_table::Color::Red),
        Phase::Idle => None,
        _ => Some(comfy_table::Color::Cyan),
    }
}
