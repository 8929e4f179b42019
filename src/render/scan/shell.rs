//! Where a shell reads: its scripts, and the commands in preseed answers.

use super::super::formats::is_command;
use super::{Reader, Verdict, uses_sh};

/// Follows a shell's quotes, comments and here-documents.
#[derive(Default)]
pub(super) struct Shell {
    quote: Option<char>,
    escaped: bool,
    comment: bool,
    /// The delimiter word of a here-document that is being read.
    here: Option<String>,
    /// One that begins on the next line.
    here_next: Option<String>,
    line: String,
}

impl Shell {
    /// The word after `<<` on a finished line, outside of quotes.
    fn here_word(line: &str) -> Option<String> {
        let (_, after) = line.split_once("<<")?;
        let word: String = after
            .trim_start_matches(['-', ' ', '\'', '"', '\\'])
            .chars()
            .take_while(|c| c.is_alphanumeric() || "_-.".contains(*c))
            .collect();
        let named = word.starts_with(|c: char| c.is_alphabetic() || c == '_');
        (named && !after.starts_with('<')).then_some(word)
    }
}

impl Reader for Shell {
    fn text(&mut self, c: char) {
        if c == '\n' {
            let line = std::mem::take(&mut self.line);
            self.comment = false;
            self.escaped = false;
            match &self.here {
                Some(word) if line.trim() == word => self.here = None,
                Some(_) => {}
                None => self.here = self.here_next.take(),
            }
            return;
        }
        let before = self.line.chars().last();
        self.line.push(c);
        if self.here.is_some() || self.comment {
            return;
        }
        if self.escaped {
            self.escaped = false;
            return;
        }
        match (self.quote, c) {
            (Some('\''), '\'') | (Some('"'), '"') => self.quote = None,
            (Some('\''), _) => {}
            (_, '\\') => self.escaped = true,
            (Some(_), _) => {}
            (None, '\'' | '"') if !self.line.contains("<<") => self.quote = Some(c),
            (None, '#') if before.is_none_or(|b| b.is_whitespace() || b == ';') => {
                self.comment = true;
            }
            (None, _) => {
                if let Some(word) = Shell::here_word(&self.line) {
                    self.here_next = Some(word);
                }
            }
        }
    }

    fn value(&mut self, expression: &str) -> Verdict {
        self.line.push('x');
        if !uses_sh(expression) || self.comment {
            return None;
        }
        if self.here.is_some() {
            return Some((
                "`sh` quotes for a command, and this is a here-document",
                "print the value with `printf '%s\\n'` instead".to_string(),
            ));
        }
        self.quote.map(|_| {
            (
                "`sh` brings its own quotes, and this stands inside quotes",
                format!("end the quotes before it: `\"..\"{{{{ {expression} }}}}\"..\"`"),
            )
        })
    }
}

/// Follows preseed lines; in those whose answer is a command, values must be quoted.
#[derive(Default)]
pub(super) struct Preseed {
    line: String,
    shell: Shell,
}

impl Preseed {
    fn in_command(&self) -> bool {
        let mut words = self.line.split_whitespace();
        !self.line.trim_start().starts_with('#') && words.nth(1).is_some_and(is_command)
    }
}

impl Reader for Preseed {
    fn text(&mut self, c: char) {
        if c == '\n' && !self.line.ends_with('\\') {
            *self = Preseed::default();
            return;
        }
        self.line.push(c);
        if self.in_command() && c != '\n' {
            self.shell.text(c);
        }
    }

    fn value(&mut self, expression: &str) -> Verdict {
        if !self.in_command() {
            self.line.push('x');
            return None;
        }
        let verdict = self.shell.value(expression);
        // Farrier's own addresses hold nothing that a shell would touch
        let own = expression.starts_with("url.") || expression.starts_with("server.");
        if verdict.is_none() && !uses_sh(expression) && !own {
            return Some((
                "this stands in a command, where a value must be quoted",
                format!("write `{{{{ {expression} | sh }}}}`, outside of quotes"),
            ));
        }
        verdict
    }
}
