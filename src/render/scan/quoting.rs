//! Formats whose values come with their own quotes or escapes.

use super::super::formats::{NixLexer, NixStands};
use super::{Format, Reader, Verdict};

/// Formats whose values come with their quotes.
pub(super) struct Quoting {
    format: Format,
    line: String,
    quote: Option<char>,
    escaped: bool,
    comment: bool,
    /// Indentation of the line that opened a YAML block of text.
    block: Option<usize>,
}

impl Quoting {
    pub(super) fn new(format: Format) -> Self {
        Quoting {
            format,
            line: String::new(),
            quote: None,
            escaped: false,
            comment: false,
            block: None,
        }
    }

    fn indent(&self) -> usize {
        self.line.len() - self.line.trim_start_matches(' ').len()
    }

    fn in_block(&self) -> bool {
        self.block
            .is_some_and(|indent| self.line.trim().is_empty() || self.indent() > indent)
    }
}

impl Reader for Quoting {
    fn text(&mut self, c: char) {
        if c == '\n' {
            if !self.in_block() {
                let end = self.line.trim_end().trim_end_matches(['+', '-', '2', '4']);
                let opens = self.format == Format::Yaml
                    && (end.ends_with(": |") || end.ends_with(": >") || end.ends_with("- |"));
                self.block = opens.then(|| self.indent());
            }
            self.line.clear();
            self.quote = None;
            self.escaped = false;
            self.comment = false;
            return;
        }
        let before = self.line.chars().last();
        self.line.push(c);
        if self.comment || std::mem::take(&mut self.escaped) {
            return;
        }
        match (self.quote, c) {
            (Some('"'), '\\') => self.escaped = true,
            (Some(q), c) if q == c => self.quote = None,
            (Some(_), _) => {}
            (None, '"' | '\'') if before.is_none_or(|b| " \t[{(,:=-".contains(b)) => {
                self.quote = Some(c);
            }
            (None, '#') if self.format != Format::Json && before.is_none_or(|b| b == ' ') => {
                self.comment = true;
            }
            _ => {}
        }
    }

    fn value(&mut self, expression: &str) -> Verdict {
        let in_block = self.in_block();
        self.line.push('x');
        if in_block {
            return Some((
                "a value cannot stand in a block of text, where its quotes would be part of it",
                "put the text into a document of its own, or build it as one value".to_string(),
            ));
        }
        self.quote.filter(|_| !self.comment).map(|_| {
            (
                "values come with their own quotes here, and this stands inside quotes",
                format!(
                    "take the quotes away and build the text: `{{{{ \"..\" ~ {expression} }}}}`"
                ),
            )
        })
    }
}

/// Nix, whose strings and comments go on over lines.
#[derive(Default)]
pub(super) struct Nix(NixLexer);

impl Reader for Nix {
    fn text(&mut self, c: char) {
        self.0.read(c);
    }

    fn value(&mut self, expression: &str) -> Verdict {
        let told = match self.0.stands() {
            NixStands::Code | NixStands::Line => None,
            NixStands::Text => Some((
                "values come with their own quotes here, and this stands inside a string",
                format!("end the string, or build the text: `{{{{ \"..\" ~ {expression} }}}}`"),
            )),
            NixStands::Block => Some((
                "a value could end the comment that it stands in",
                "write the comment with `#`".to_string(),
            )),
        };
        self.0.read('x');
        told
    }
}

/// XML's verbatim sections.
#[derive(Default)]
pub(super) struct Xml {
    text: String,
}

impl Reader for Xml {
    fn text(&mut self, c: char) {
        self.text.push(c);
    }

    fn value(&mut self, _: &str) -> Verdict {
        let opened = self.text.rfind("<![CDATA[");
        let inside = opened.is_some_and(|at| !self.text[at..].contains("]]>"));
        inside.then(|| {
            (
                "a value is escaped, and this is a CDATA section, where it would stay so",
                "write it as ordinary text without CDATA".to_string(),
            )
        })
    }
}
