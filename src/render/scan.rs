//! Reads a template's source without running it, for the one mistake that values cannot show:
//! a filter that brings its own quotes, used inside quotes. There `'$(id)'` would run.

use super::Format;
use super::formats::is_command;

/// A place in a template that must be written otherwise.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Misplaced {
    /// Byte offset of the expression.
    pub(super) at: usize,
    /// Its length in bytes.
    pub(super) length: usize,
    /// What is wrong.
    pub(super) message: &'static str,
    /// What to write instead.
    pub(super) help: String,
}

/// A piece of a template.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part<'a> {
    Text(&'a str),
    /// `{{ .. }}`: the offset of the whole, and the inside.
    Value(usize, &'a str),
    /// `{% .. %}`.
    Tag(&'a str),
}

/// Names of the templates that this one includes, imports or extends, where they are written out.
pub(super) fn references(source: &str) -> Vec<String> {
    let mut names = Vec::new();
    for part in parts(source) {
        let Part::Tag(inside) = part else { continue };
        let word = inside.split_whitespace().next().unwrap_or("");
        if !matches!(word, "include" | "import" | "extends" | "from") {
            continue;
        }
        let mut rest = inside;
        while let Some(begin) = rest.find(['"', '\'']) {
            let quote = &rest[begin..=begin];
            let Some(end) = rest[begin + 1..].find(quote) else {
                break;
            };
            names.push(rest[begin + 1..begin + 1 + end].to_string());
            rest = &rest[begin + 2 + end..];
        }
    }
    names
}

/// Whether a template prints or decides anything at all.
pub(super) fn is_static(source: &str) -> bool {
    !["{{", "{%", "{#"].iter().any(|mark| source.contains(mark))
}

/// Looks for misplaced expressions.
pub(super) fn misplaced(format: Format, source: &str) -> Vec<Misplaced> {
    let mut found = Vec::new();
    let mut reader: Box<dyn Reader> = match format {
        Format::Shell | Format::Kickstart => Box::new(Shell::default()),
        Format::Preseed => Box::new(Preseed::default()),
        Format::Json | Format::Yaml | Format::Toml => Box::new(Quoting::new(format)),
        Format::Xml => Box::new(Xml::default()),
        _ => return found,
    };
    for part in parts(source) {
        match part {
            Part::Text(text) => text.chars().for_each(|c| reader.text(c)),
            Part::Tag(_) => {}
            Part::Value(at, inside) => {
                let expression = inside.trim_matches(['-', '+', ' ', '\n']);
                if let Some((message, help)) = reader.value(expression) {
                    found.push(Misplaced {
                        at,
                        length: inside.len() + 4,
                        message,
                        help,
                    });
                }
            }
        }
    }
    found
}

fn parts(source: &str) -> Vec<Part<'_>> {
    let mut out = Vec::new();
    let mut at = 0;
    while let Some(open) = source[at..].find('{').map(|n| at + n) {
        let close = match source.as_bytes().get(open + 1) {
            Some(b'{') => "}}",
            Some(b'%') => "%}",
            Some(b'#') => "#}",
            _ => {
                out.push(Part::Text(&source[at..=open]));
                at = open + 1;
                continue;
            }
        };
        out.push(Part::Text(&source[at..open]));
        let begin = open + 2;
        let Some(end) = end_of(source, begin, close) else {
            return out; // the engine says so with a line
        };
        let inside = &source[begin..end];
        at = end + 2;
        match close {
            "}}" => out.push(Part::Value(open, inside)),
            "%}" if word_of(inside) == "raw" => {
                let (text, after) = raw(source, at);
                out.push(Part::Text(text));
                at = after;
            }
            "%}" => out.push(Part::Tag(inside.trim_matches(['-', '+', ' ', '\n']))),
            _ => {}
        }
    }
    out.push(Part::Text(&source[at..]));
    out
}

fn word_of(inside: &str) -> &str {
    inside
        .trim_start_matches(['-', '+', ' '])
        .split([' ', '-', '+'])
        .next()
        .unwrap_or("")
}

/// The text up to `{% endraw %}`, and where to go on.
fn raw(source: &str, from: usize) -> (&str, usize) {
    let mut at = from;
    while let Some(open) = source[at..].find("{%").map(|n| at + n) {
        if let Some(end) = source[open..].find("%}").map(|n| open + n)
            && word_of(&source[open + 2..end]) == "endraw"
        {
            return (&source[from..open], end + 2);
        }
        at = open + 2;
    }
    (&source[from..], source.len())
}

/// Where an expression ends; string literals in it may hold the mark.
fn end_of(source: &str, from: usize, close: &str) -> Option<usize> {
    if close == "#}" {
        return source[from..].find(close).map(|n| from + n);
    }
    let mut quote = None;
    for (at, c) in source[from..].char_indices() {
        match quote {
            Some(q) if c == q => quote = None,
            Some(_) => {}
            None if c == '"' || c == '\'' => quote = Some(c),
            None if source[from + at..].starts_with(close) => return Some(from + at),
            None => {}
        }
    }
    None
}

/// Whether the filter `sh` is used in an expression.
fn uses_sh(expression: &str) -> bool {
    expression.split('|').skip(1).any(|filter| {
        let name: String = filter
            .trim_start()
            .chars()
            .take_while(|c| c.is_alphanumeric() || *c == '_')
            .collect();
        name == "sh"
    })
}

type Verdict = Option<(&'static str, String)>;

trait Reader {
    fn text(&mut self, c: char);
    fn value(&mut self, expression: &str) -> Verdict;
}

/// Follows a shell's quotes, comments and here-documents.
#[derive(Default)]
struct Shell {
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
struct Preseed {
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

/// Formats whose values come with their quotes.
struct Quoting {
    format: Format,
    line: String,
    quote: Option<char>,
    escaped: bool,
    comment: bool,
    /// Indentation of the line that opened a YAML block of text.
    block: Option<usize>,
}

impl Quoting {
    fn new(format: Format) -> Self {
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

/// XML's verbatim sections.
#[derive(Default)]
struct Xml {
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

#[cfg(test)]
mod tests {
    use super::*;

    fn count(format: Format, source: &str) -> usize {
        misplaced(format, source).len()
    }

    #[test]
    fn quotes_around_a_quoting_filter() {
        for (source, want) in [
            ("x={{ a | sh }}\n", 0),
            ("x=\"{{ a | sh }}\"\n", 1),
            ("x='{{ a|sh }}'\n", 1),
            ("x=\"{{ a }}\"\n", 0),
            ("x=\"y\"{{ a | sh }}\n", 0),
            ("# don't {{ a | sh }}\nx={{ a | sh }}\n", 0),
            ("# don't\nx=\"two\nlines {{ a | sh }}\"\n", 1),
            ("cat <<'EOF'\ndon't {{ a | sh }}\nEOF\nx={{ a | sh }}\n", 1),
            ("x=\\\"{{ a | sh }}\n", 0),
            ("{% raw %}\"{{ a | sh }}\"{% endraw %}x={{ a | sh }}", 0),
            ("x={{ \"}}\" | sh }}\n", 0),
            ("y=$#; x=\"{{ a | shout }}\"\n", 0),
        ] {
            assert_eq!(count(Format::Shell, source), want, "{source}");
        }
    }

    #[test]
    fn commands_in_a_preseed() {
        for (source, want) in [
            ("d-i x/y string {{ a }}\n", 0),
            ("d-i preseed/late_command string echo {{ a }} || true\n", 1),
            (
                "d-i preseed/late_command string echo {{ a | sh }} || true\n",
                0,
            ),
            (
                "d-i preseed/late_command string echo \"{{ a | sh }}\" || true\n",
                1,
            ),
            (
                "d-i preseed/late_command string \\\n  echo {{ a }} \\\n || true\n",
                1,
            ),
            (
                "d-i preseed/late_command string wget {{ url.report }}/x || true\n",
                0,
            ),
            ("# d-i preseed/late_command string {{ a }}\n", 0),
        ] {
            assert_eq!(count(Format::Preseed, source), want, "{source}");
        }
    }

    #[test]
    fn formats_that_quote_themselves() {
        for (format, source, want) in [
            (Format::Json, "{\"a\": {{ b }}}", 0),
            (Format::Json, "{\"a\": \"{{ b }}\"}", 1),
            (Format::Yaml, "a: {{ b }}\n", 0),
            (Format::Yaml, "a: don't\nb: '{{ b }}'\n", 1),
            (Format::Yaml, "a: |\n  echo {{ b }}\nc: {{ d }}\n", 1),
            (Format::Toml, "a = {{ b }} # \"{{ c }}\"\n", 0),
            (Format::Toml, "a = \"x{{ b }}\"\n", 1),
            (Format::Xml, "<a>{{ b }}</a>", 0),
            (Format::Xml, "<a><![CDATA[x {{ b }}]]></a>", 1),
        ] {
            assert_eq!(count(format, source), want, "{source}");
        }
    }

    #[test]
    fn included_names_are_found() {
        let source =
            "{% include 'a.sh.j2' %}{%- from \"m.j2\" import x %}{% if \"no\" %}{% endif %}";
        assert_eq!(references(source), vec!["a.sh.j2", "m.j2"]);
    }
}
