//! The Nix language: values are written as strings in double quotes.
//!
//! Nix manual, "String literal": `\"`, `\\`, `\n`, `\r`, `\t` and `\$` are escapes, `${` begins an
//! expression unless its `$` is escaped. Strings hold any other character as it is, and no NUL.

use super::{Findings, Refused, no_control};

/// A string. A NUL is no character of one.
///
/// # Errors
/// That it has one.
pub(in crate::render) fn quoted(value: &str) -> Result<String, Refused> {
    if value.contains('\0') {
        no_control(value, &[])?;
    }
    let mut out = String::with_capacity(value.len() + 2);
    out.push('"');
    for c in value.chars() {
        match c {
            '"' | '\\' | '$' => {
                out.push('\\');
                out.push(c);
            }
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c => out.push(c),
        }
    }
    out.push('"');
    Ok(out)
}

/// Where in a text of Nix something stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::render) enum Stands {
    /// Among words and operators.
    Code,
    /// In a string of either kind.
    Text,
    /// After `#`.
    Line,
    /// Between `/*` and `*/`.
    Block,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Open {
    Bracket(char),
    Text,
    Indented,
}

/// Reads Nix as far as strings, comments and brackets go.
#[derive(Debug, Default)]
pub(in crate::render) struct Lexer {
    open: Vec<(Open, usize)>,
    comment: Option<Stands>,
    before: char,
    /// The next character of a string is escaped.
    escaped: bool,
    /// An odd number of `$` was read.
    dollar: bool,
    /// `''` was read in an indented string: its end, unless an escape follows.
    closing: bool,
    line: usize,
    wrong: Option<(usize, String)>,
}

impl Lexer {
    /// Where what is read next will stand.
    pub(in crate::render) fn stands(&self) -> Stands {
        match (self.comment, self.open.last()) {
            (Some(comment), _) => comment,
            (None, Some((Open::Text | Open::Indented, _))) if !self.closing => Stands::Text,
            _ => Stands::Code,
        }
    }

    pub(in crate::render) fn read(&mut self, c: char) {
        if c == '\n' {
            self.line += 1;
        }
        let before = std::mem::replace(&mut self.before, c);
        match (self.comment, self.open.last()) {
            (Some(Stands::Line), _) => {
                if c == '\n' {
                    self.comment = None;
                }
            }
            (Some(_), _) => {
                if before == '*' && c == '/' {
                    self.comment = None;
                    self.before = ' ';
                }
            }
            (None, Some((Open::Text, _))) => self.text(c),
            (None, Some((Open::Indented, _))) => self.indented(c, before),
            (None, _) => self.code(c, before),
        }
    }

    fn text(&mut self, c: char) {
        let dollar = std::mem::take(&mut self.dollar);
        if std::mem::take(&mut self.escaped) {
            return;
        }
        match c {
            '\\' => self.escaped = true,
            '"' => {
                self.open.pop();
                self.before = ' ';
            }
            '$' => self.dollar = !dollar,
            '{' if dollar => self.open.push((Open::Bracket('{'), self.line)),
            _ => {}
        }
    }

    fn indented(&mut self, c: char, before: char) {
        let dollar = std::mem::take(&mut self.dollar);
        if std::mem::take(&mut self.escaped) {
            return;
        }
        if std::mem::take(&mut self.closing) {
            match c {
                '\\' => self.escaped = true,
                '$' => {}
                '\'' => self.before = ' ',
                c => {
                    self.open.pop();
                    self.code(c, ' ');
                }
            }
            return;
        }
        match c {
            '\'' if before == '\'' => self.closing = true,
            '$' => self.dollar = !dollar,
            '{' if dollar => self.open.push((Open::Bracket('{'), self.line)),
            _ => {}
        }
    }

    fn code(&mut self, c: char, before: char) {
        match c {
            '"' => self.open.push((Open::Text, self.line)),
            '\'' if before == '\'' => {
                self.open.push((Open::Indented, self.line));
                self.before = ' ';
            }
            // also the end of a name such as `x'`
            '\'' if before.is_alphanumeric() || before == '_' => self.before = '_',
            '#' => self.comment = Some(Stands::Line),
            '*' if before == '/' => {
                self.comment = Some(Stands::Block);
                self.before = ' ';
            }
            '{' | '[' | '(' => self.open.push((Open::Bracket(c), self.line)),
            '}' | ']' | ')' => {
                let opener = match c {
                    '}' => '{',
                    ']' => '[',
                    _ => '(',
                };
                match self.open.pop() {
                    Some((Open::Bracket(open), _)) if open == opener => {}
                    other => {
                        let told = match other {
                            Some((Open::Bracket(open), line)) => {
                                format!("`{c}` closes the `{open}` of line {}", line + 1)
                            }
                            _ => format!("`{c}` closes nothing"),
                        };
                        self.wrong.get_or_insert((self.line + 1, told));
                    }
                }
                // within a string again
                self.before = ' ';
            }
            _ => {}
        }
    }

    fn end(mut self) -> Option<(usize, String)> {
        if self.closing {
            self.open.pop();
        }
        if self.comment == Some(Stands::Block) {
            return Some((self.line.max(1), "a comment is never closed".to_string()));
        }
        self.wrong.or_else(|| {
            let (open, line) = self.open.pop()?;
            let what = match open {
                Open::Bracket(c) => format!("this `{c}` is never closed"),
                Open::Text | Open::Indented => "this string is never closed".to_string(),
            };
            Some((line + 1, what))
        })
    }
}

/// Strings, comments and brackets only.
pub(super) fn lint(text: &str, findings: &mut Findings<'_>) {
    let mut lexer = Lexer::default();
    text.chars().for_each(|c| lexer.read(c));
    if let Some((line, message)) = lexer.end() {
        findings.error(line, message);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strings_and_brackets_are_told_apart() {
        for (text, wrong) in [
            ("{ a = \"x\"; }\n", None),
            ("{ a = [ (x: x'') \"}\" ''\n  ]} '' ]; # ]\n}\n", None),
            ("{ a = \"${b \"}\" + { c = 1; }.c}]\"; }\n", None),
            ("{ a = ''${x} ''${ } ''' } ''\\${ $${ }''; }\n", None),
            ("{ a = \"$${\"; b = \"\\${\"; c = \"\\\"\"; }\n", None),
            ("/* } */ { }\n", None),
            ("{ a = 1 / 2; }\n", None),
            ("{\n a = \"x;\n}\n", Some((2, "string"))),
            ("{\n a = ''x';\n}\n", Some((2, "string"))),
            ("{\n a = [ 1 };\n", Some((2, "of line 2"))),
            ("{ }\n}\n", Some((2, "closes nothing"))),
            ("{\n", Some((1, "never closed"))),
            ("{ }\n/* x\n", Some((2, "comment"))),
        ] {
            let mut findings = Findings::new("profiles/x/y.nix", None);
            lint(text, &mut findings);
            let all: Vec<_> = findings.into_iter().collect();
            match wrong {
                None => assert!(all.is_empty(), "{text}: {all:?}"),
                Some((line, part)) => {
                    assert_eq!(all.len(), 1, "{text}: {all:?}");
                    assert!(all[0].message.contains(part), "{text}: {all:?}");
                    assert_eq!(all[0].spans[0].line, line, "{text}: {all:?}");
                }
            }
        }
    }
}
