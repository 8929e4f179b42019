//! Where a problem is, as a person finds it.

use minijinja::Value;

use crate::model::{Diagnostic, Span};

use super::super::trouble::{Sources, diagnose};
use super::{CMDLINE, CompiledProfile};

impl CompiledProfile {
    pub(super) fn text_of(&self, name: &str) -> Option<String> {
        self.source_of(name).map(str::to_string)
    }

    pub(super) fn source_of(&self, name: &str) -> Option<&str> {
        if name == CMDLINE {
            return Some(&self.profile.cmdline);
        }
        std::str::from_utf8(self.profile.files.get(name)?).ok()
    }

    /// How a file is called in messages, and how many lines come before it there.
    pub(super) fn file_of(&self, name: &str) -> (String, usize) {
        let profile = &self.profile.name;
        if name != CMDLINE {
            return (format!("profiles/{profile}/{name}"), 0);
        }
        let file = format!("profiles/{profile}/profile.toml");
        let text = self.source_of("profile.toml").unwrap_or("");
        let found = text
            .lines()
            .enumerate()
            .find(|(_, line)| line.trim_start().starts_with("cmdline"));
        // a long string's text begins on the line after its opening quotes
        let before = found.map_or(0, |(at, line)| {
            at + usize::from(line.trim_end().ends_with("\"\"\""))
        });
        (file, before)
    }

    pub(super) fn diagnose(
        &self,
        error: &minijinja::Error,
        template: &str,
        context: Option<&Value>,
    ) -> Diagnostic {
        let sources = Sources {
            text_of: &|name| self.text_of(name),
            file_of: &|name| self.file_of(name),
        };
        diagnose(error, template, &sources, context)
    }

    /// A problem with a file as a whole.
    pub(super) fn about(&self, file: &str, message: impl Into<String>) -> Diagnostic {
        Diagnostic::error(message).at(Span {
            file: self.file_of(file).0,
            line: 1,
            column: 1,
            length: 1,
            text: String::new(),
            label: String::new(),
        })
    }

    pub(super) fn at_offset(
        &self,
        file: &str,
        text: &str,
        at: usize,
        length: usize,
        message: &str,
    ) -> Diagnostic {
        let begin = text[..at].rfind('\n').map_or(0, |n| n + 1);
        let line = text[..at].matches('\n').count() + 1;
        Diagnostic::error(message).at(Span {
            file: self.file_of(file).0,
            line,
            column: text[begin..at].chars().count() + 1,
            length: text[at..].chars().count().min(length),
            text: text[begin..].lines().next().unwrap_or("").to_string(),
            label: String::new(),
        })
    }
}
