//! A file's text with its lines found, and the problems noted while reading it.

use std::cell::RefCell;
use std::ops::Range;
use std::sync::OnceLock;

use crate::model::{Diagnostic, Severity, Span};

/// Lines longer than this many bytes are not quoted.
const MAX_QUOTED: usize = 4096;

/// One file being read.
#[derive(Debug)]
pub(super) struct Source<'a> {
    /// Path relative to the site.
    pub(super) path: &'a str,
    /// Its text.
    pub(super) text: &'a str,
    /// Where each line begins; found when first asked for.
    lines: OnceLock<Vec<usize>>,
}

impl<'a> Source<'a> {
    pub(super) fn new(path: &'a str, text: &'a str) -> Self {
        Source {
            path,
            text,
            lines: OnceLock::new(),
        }
    }

    /// A file's text, or a diagnostic if it is not UTF-8.
    pub(super) fn decode(path: &'a str, bytes: &'a [u8]) -> Result<Self, Diagnostic> {
        std::str::from_utf8(bytes)
            .map(|text| Source::new(path, text))
            .map_err(|error| {
                let valid = &bytes[..error.valid_up_to()];
                let line = 1 + valid.iter().filter(|b| **b == b'\n').count();
                let start = valid.iter().rposition(|b| *b == b'\n').map_or(0, |i| i + 1);
                let text = String::from_utf8_lossy(&valid[start..]);
                Diagnostic::error(format!("`{path}` is not UTF-8 text"))
                    .at(Span {
                        file: path.to_string(),
                        line,
                        column: text.chars().count() + 1,
                        length: 1,
                        text: format!("{text}\u{fffd}"),
                        label: "a byte that is no character".to_string(),
                    })
                    .help("save the file as UTF-8")
            })
    }

    fn lines(&self) -> &[usize] {
        self.lines.get_or_init(|| {
            let ends = self.text.bytes().enumerate();
            let starts = ends.filter(|(_, b)| *b == b'\n').map(|(i, _)| i + 1);
            std::iter::once(0).chain(starts).collect()
        })
    }

    /// The line, from 1, that holds this byte.
    pub(super) fn line(&self, offset: usize) -> usize {
        self.lines().partition_point(|start| *start <= offset)
    }

    /// The place of these bytes; of several lines, the first is meant.
    pub(super) fn span(&self, range: Range<usize>, label: impl Into<String>) -> Span {
        let line = self.line(range.start.min(self.text.len()));
        let start = self.lines()[line - 1];
        let rest = &self.text[start..];
        let text = rest.split('\n').next().unwrap_or("").trim_end_matches('\r');
        let within = |offset: usize| {
            let mut at = offset.saturating_sub(start).min(text.len());
            while !text.is_char_boundary(at) {
                at -= 1;
            }
            at
        };
        let (from, to) = (within(range.start), within(range.end));
        let column = text[..from].chars().count() + 1;
        let length = text[from..to].chars().count().max(1);
        let quoted = match text.len() {
            0..=MAX_QUOTED => mask(text),
            _ => String::new(),
        };
        Span {
            file: self.path.to_string(),
            line,
            column,
            length,
            text: quoted,
            label: label.into(),
        }
    }
}

/// The line with secrets hidden, at the same length: diagnostics go to logs and pages. What looks
/// like one is hidden even where it is refused.
fn mask(line: &str) -> String {
    let lower = line.to_ascii_lowercase();
    let mut hidden: Vec<Range<usize>> = Vec::new();
    for word in ["password", "passwd", "passphrase", "token", "private_key"] {
        for (at, _) in lower.match_indices(word) {
            let after = at + word.len();
            let rest = line[after..].trim_start_matches(['"', '\'', ' ', '\t']);
            let Some(value) = rest.strip_prefix('=').map(str::trim_start) else {
                continue;
            };
            let start = line.len() - value.len();
            let Some(quote) = value.chars().next().filter(|c| ['"', '\''].contains(c)) else {
                continue;
            };
            let inner = value[1..].find(quote).unwrap_or(value.len() - 1);
            hidden.push(start + 1..start + 1 + inner);
        }
    }
    for (at, mark) in lower.match_indices("private key") {
        hidden.push(at + mark.len()..line.len());
    }
    for (at, mark) in lower.match_indices("://") {
        let start = at + mark.len();
        let authority = line[start..]
            .split(['/', '"', '\'', ' '])
            .next()
            .unwrap_or("");
        if let Some(end) = authority.rfind('@') {
            hidden.push(start..start + end);
        }
    }
    let masked = line.char_indices().map(|(i, c)| match c {
        _ if hidden.iter().any(|range| range.contains(&i)) => '*',
        c => c,
    });
    masked.collect()
}

/// A part of a file that is parsed on its own. Its offsets are mapped back to the file's.
#[derive(Debug)]
pub(super) struct Page<'a> {
    /// The file.
    pub(super) source: &'a Source<'a>,
    /// The file's ranges that follow each other in the parsed text.
    pub(super) ranges: &'a [Range<usize>],
    problems: RefCell<Vec<Diagnostic>>,
}

impl<'a> Page<'a> {
    pub(super) fn new(source: &'a Source<'a>, ranges: &'a [Range<usize>]) -> Self {
        Page {
            source,
            ranges,
            problems: RefCell::default(),
        }
    }

    /// An offset in the parsed text as one in the file.
    pub(super) fn offset(&self, mut at: usize) -> usize {
        let mut end = 0;
        for range in self.ranges {
            if at < range.len() {
                return range.start + at;
            }
            at -= range.len();
            end = range.end;
        }
        end
    }

    /// The line, from 1, of an offset in the parsed text.
    pub(super) fn line(&self, at: usize) -> usize {
        self.source.line(self.offset(at))
    }

    /// The place of a range of the parsed text.
    pub(super) fn span(&self, range: Range<usize>, label: impl Into<String>) -> Span {
        let start = self.offset(range.start);
        self.source.span(start..start + range.len(), label)
    }

    /// Notes a problem.
    pub(super) fn report(&self, problem: Diagnostic) {
        self.problems.borrow_mut().push(problem);
    }

    /// How many errors were noted so far.
    pub(super) fn errors(&self) -> usize {
        let problems = self.problems.borrow();
        let errors = problems.iter().filter(|p| p.severity == Severity::Error);
        errors.count()
    }

    /// Everything noted.
    pub(super) fn into_problems(self) -> Vec<Diagnostic> {
        self.problems.into_inner()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_lines_and_characters() {
        let source = Source::new("f", "ab\nä = \"ö\"\r\nlast");
        let check = |range: Range<usize>, line, column, length, text: &str| {
            let span = source.span(range.clone(), "");
            let got = (span.line, span.column, span.length, span.text.as_str());
            assert_eq!(got, (line, column, length, text), "{range:?}");
        };
        check(0..2, 1, 1, 2, "ab");
        check(3..5, 2, 1, 1, "ä = \"ö\"");
        check(8..12, 2, 5, 3, "ä = \"ö\"");
        check(8..99, 2, 5, 3, "ä = \"ö\"");
        check(14..14, 3, 1, 1, "last");
        check(99..99, 3, 5, 1, "last");
    }

    #[test]
    fn secrets_are_never_quoted() {
        for (line, shown) in [
            (
                "a = { password = \"hunter2\", b = \"c\" }",
                "a = { password = \"*******\", b = \"c\" }",
            ),
            ("root_password='ä\"b'", "root_password='***'"),
            ("\"password\" = \"open", "\"password\" = \"****"),
            ("url = \"http://u:p@h/x\"", "url = \"http://***@h/x\""),
            (
                "k = \"-BEGIN PRIVATE KEY-abc",
                "k = \"-BEGIN PRIVATE KEY****",
            ),
            (
                "password = { secret = \"bmc\" }",
                "password = { secret = \"bmc\" }",
            ),
        ] {
            assert_eq!(mask(line), shown);
        }
    }

    #[test]
    fn parts_map_back_to_the_file() {
        let source = Source::new("f", "0123456789");
        let ranges = [2..4, 7..9];
        let page = Page::new(&source, &ranges);
        let mapped: Vec<usize> = (0..5).map(|at| page.offset(at)).collect();
        assert_eq!(mapped, [2, 3, 7, 8, 9]);
    }

    #[test]
    fn bytes_that_are_no_text_have_a_place() {
        let problem = Source::decode("f", b"a\nb\xff").expect_err("not UTF-8");
        assert_eq!((problem.spans[0].line, problem.spans[0].column), (2, 2));
    }
}
