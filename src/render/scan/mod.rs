//! Reads a template's source without running it, for the one mistake that values cannot show:
//! a filter that brings its own quotes, used inside quotes. There `'$(id)'` would run.

mod quoting;
mod shell;

use quoting::{Nix, Quoting, Xml};
use shell::{Preseed, Shell};

use super::Format;

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
        Format::Nix => Box::new(Nix::default()),
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
            (Format::Nix, "{ a = {{ b }}; # {{ c }}\n}\n", 0),
            (Format::Nix, "{ a = \"x${ {{ b }} }\"; }\n", 0),
            (Format::Nix, "{ a = \"x{{ b }}\"; }\n", 1),
            (Format::Nix, "{ a = ''\n{{ b }}\n''; }\n", 1),
            (Format::Nix, "/* {{ b }} */ { }\n", 1),
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
