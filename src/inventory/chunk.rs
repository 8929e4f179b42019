//! Cuts a systems file into one part per system, without parsing it.
//!
//! A hundred thousand systems parsed as one document would need a gigabyte of tables; one at a time
//! they need next to nothing, run on all cores, and an unchanged part need not be parsed again.

use std::collections::HashMap;
use std::ops::Range;

use memchr::memmem;

/// A file cut up.
#[derive(Debug, Default)]
pub(super) struct Cut<'a> {
    /// Everything that is not under a `[system.NAME]` header.
    pub(super) rest: Vec<Range<usize>>,
    /// One part per name, in the order of their first header.
    pub(super) parts: Vec<Part<'a>>,
}

/// The tables of one system.
#[derive(Debug)]
pub(super) struct Part<'a> {
    /// The name as the header spells it, without quotes.
    pub(super) key: &'a str,
    /// Its ranges; more than one if other tables stand between.
    pub(super) ranges: Vec<Range<usize>>,
}

/// The text of several ranges after each other.
pub(super) fn join<'t>(file: &'t str, ranges: &[Range<usize>]) -> std::borrow::Cow<'t, str> {
    match ranges {
        [] => "".into(),
        [one] => file[one.clone()].into(),
        many => many
            .iter()
            .map(|r| &file[r.clone()])
            .collect::<String>()
            .into(),
    }
}

/// Cuts a file. Comments right above a header go with it.
pub(super) fn cut(text: &str) -> Cut<'_> {
    let mut cut = Cut::default();
    // Where the part of this name is in `parts`, to join what is not written in one piece.
    let mut known: HashMap<&str, usize> = HashMap::new();
    for (owner, range) in Pieces::new(text) {
        let Some(key) = owner else {
            cut.rest.push(range);
            continue;
        };
        let part = *known.entry(key).or_insert(cut.parts.len());
        if part == cut.parts.len() {
            cut.parts.push(Part {
                key,
                ranges: Vec::with_capacity(1),
            });
        }
        cut.parts[part].ranges.push(range);
    }
    cut
}

/// Finds one system's piece without cutting the whole file: some passes of a plain search. None if
/// it is not there in the usual spelling, or if only a whole cut can tell.
pub(super) fn find(text: &str, key: &str) -> Option<Range<usize>> {
    let bytes = text.as_bytes();
    if memmem::find(bytes, b"\"\"\"").is_some() || memmem::find(bytes, b"'''").is_some() {
        return None; // what looks like a header may be inside a string
    }
    let quote = if key.contains('.') { "\"" } else { "" };
    let needle = format!("system.{quote}{key}{quote}");
    let headers = memmem::find_iter(bytes, &needle).filter_map(|at| {
        let start = text[..at].rfind('\n').map_or(0, |i| i + 1);
        let line = text[start..line_end(text, at)].trim_start_matches([' ', '\t']);
        let own = line.starts_with('[') && system_of(line) == Some(key);
        own.then_some(start)
    });
    let headers: Vec<usize> = headers.collect();
    let mut start = *headers.first()?;
    while start > 0 {
        let above = text[..start - 1].rfind('\n').map_or(0, |i| i + 1);
        let line = text[above..start].trim_start_matches([' ', '\t']);
        if !line.starts_with('#') {
            break;
        }
        start = above;
    }
    let (_, piece) = Pieces::new(&text[start..]).next()?;
    let range = start..start + piece.end;
    headers.iter().all(|h| range.contains(h)).then_some(range)
}

/// What of a system's piece is its own: up to its last key or header, and the blank lines behind unless
/// they part what stands around it. A comment that follows is about something else.
pub(super) fn its_own(text: &str, piece: Range<usize>) -> Range<usize> {
    let (before, text) = (&text[..piece.start], &text[..piece.end]);
    let (mut at, mut end) = (piece.start, piece.start);
    while at < text.len() {
        let next = line_end(text, at);
        let line = text[at..next].trim_start_matches([' ', '\t']);
        at = match line.as_bytes().first() {
            Some(b'#' | b'\r' | b'\n') | None => next,
            Some(b'[') => {
                end = next;
                next
            }
            Some(_) => {
                end = value_end(text, at, next);
                end
            }
        };
    }
    let parted = before.is_empty() || before.ends_with("\n\n") || before.ends_with("\n\r\n");
    while parted && end < text.len() {
        let next = line_end(text, end);
        if !text[end..next].trim().is_empty() {
            break;
        }
        end = next;
    }
    piece.start..end
}

/// The pieces of a file in order: whose tables, and where.
struct Pieces<'a> {
    text: &'a str,
    /// How far it has been read.
    at: usize,
    /// Where the present piece began, and whose it is.
    start: usize,
    owner: Option<&'a str>,
    /// Where the comments right above begin.
    comments: Option<usize>,
}

impl<'a> Pieces<'a> {
    fn new(text: &'a str) -> Self {
        Pieces {
            text,
            at: 0,
            start: 0,
            owner: None,
            comments: None,
        }
    }
}

impl<'a> Iterator for Pieces<'a> {
    type Item = (Option<&'a str>, Range<usize>);

    fn next(&mut self) -> Option<Self::Item> {
        let text = self.text;
        while self.at < text.len() {
            let at = self.at;
            let end = line_end(text, at);
            let line = text[at..end].trim_start_matches([' ', '\t']);
            self.at = end;
            match line.as_bytes().first() {
                Some(b'#') => _ = self.comments.get_or_insert(at),
                Some(b'[') => {
                    let border = self.comments.take().unwrap_or(at);
                    let owner = system_of(line);
                    if owner == self.owner {
                        continue;
                    }
                    let before = std::mem::replace(&mut self.owner, owner);
                    let range = std::mem::replace(&mut self.start, border)..border;
                    if !range.is_empty() {
                        return Some((before, range));
                    }
                }
                Some(b'\r' | b'\n') | None => self.comments = None,
                Some(_) => {
                    self.comments = None;
                    self.at = value_end(text, at, end);
                }
            }
        }
        let range = std::mem::replace(&mut self.start, text.len())..text.len();
        (!range.is_empty()).then_some((self.owner, range))
    }
}

/// Where the line that holds `at` ends, its line break included.
fn line_end(text: &str, at: usize) -> usize {
    text[at..].find('\n').map_or(text.len(), |i| at + i + 1)
}

/// `web01` of `[system.web01]`, `[[system.web01.interface]]`, `[ system . "web01" ]`.
fn system_of(line: &str) -> Option<&str> {
    let rest = line.trim_start_matches('[').trim_start();
    let rest = rest.strip_prefix("system")?.trim_start();
    let rest = rest.strip_prefix('.')?.trim_start();
    let quote = rest.chars().next()?;
    if quote == '"' || quote == '\'' {
        let inner = &rest[1..];
        let key = &inner[..inner.find(quote)?];
        // An escaped name is left to the parser.
        return (!key.contains('\\')).then_some(key);
    }
    let end = rest.find(|c: char| !(c.is_ascii_alphanumeric() || "-_".contains(c)))?;
    (end > 0).then(|| &rest[..end])
}

/// Where the key-value pair that begins on the line `at..end` ends: strings and lists may go on
/// over several lines, and their lines can look like headers.
fn value_end(text: &str, at: usize, end: usize) -> usize {
    let bytes = text.as_bytes();
    if is_plain(&bytes[at..end]) {
        return end;
    }
    let mut depth = 0usize;
    let mut i = at;
    while i < bytes.len() {
        match bytes[i] {
            b'#' => {
                i = line_end(text, i);
                if depth == 0 {
                    return i;
                }
                continue;
            }
            b'\n' if depth == 0 => return i + 1,
            // A header never stands inside a list: this list was not closed.
            b'\n' if looks_like_header(&text[i + 1..]) => return i + 1,
            b'[' | b'{' => depth += 1,
            b']' | b'}' => depth = depth.saturating_sub(1),
            quote @ (b'"' | b'\'') => {
                i = string_end(bytes, i, quote);
                continue;
            }
            _ => {}
        }
        i += 1;
    }
    text.len()
}

/// Whether a pair certainly ends with its line. One pass over the bytes: most lines are like this.
fn is_plain(line: &[u8]) -> bool {
    let mut quotes = 0;
    for byte in line {
        match byte {
            b'[' | b'{' => return false,
            b'"' | b'\'' => {
                quotes += 1;
                // An empty string has two in a row, and only a string of several lines has three.
                if quotes == 3 {
                    return false;
                }
            }
            _ => quotes = 0,
        }
    }
    true
}

fn looks_like_header(rest: &str) -> bool {
    let line = rest.trim_start_matches([' ', '\t']);
    line.starts_with('[') && system_of(line.split('\n').next().unwrap_or("")).is_some()
}

/// The first byte after the string that begins at `i`; the line break if it is not closed.
fn string_end(bytes: &[u8], i: usize, quote: u8) -> usize {
    let triple = bytes[i..].starts_with(&[quote; 3]);
    let escapes = quote == b'"';
    let mut at = i + if triple { 3 } else { 1 };
    while at < bytes.len() {
        if escapes && bytes[at] == b'\\' {
            at += 2;
            continue;
        }
        if triple && bytes[at..].starts_with(&[quote; 3]) {
            // Up to two quotes may stand right before the closing three.
            let extra = bytes[at + 3..].iter().take(2).take_while(|b| **b == quote);
            return at + 3 + extra.count();
        }
        if !triple && bytes[at] == quote {
            return at + 1;
        }
        if !triple && bytes[at] == b'\n' {
            return at;
        }
        at += 1;
    }
    bytes.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, rest: &str, parts: &[(&str, &str)]) {
        let cut = cut(text);
        assert_eq!(join(text, &cut.rest), rest);
        let got: Vec<(&str, String)> = cut
            .parts
            .iter()
            .map(|p| (p.key, join(text, &p.ranges).into_owned()))
            .collect();
        let want: Vec<(&str, String)> = parts.iter().map(|(k, t)| (*k, t.to_string())).collect();
        assert_eq!(got, want);
        let all: usize = cut.rest.iter().map(Range::len).sum::<usize>()
            + cut
                .parts
                .iter()
                .flat_map(|p| &p.ranges)
                .map(Range::len)
                .sum::<usize>();
        assert_eq!(all, text.len(), "every byte belongs to one part");
    }

    #[test]
    fn tables_of_a_system_are_one_part() {
        check(
            "# top\n\n[defaults]\nprofile = 'a'\n\n# the first\n[system.a]\nmac = 1\n[system.a.vars]\nx = 1\n[[system.a.interface]]\n[ system . \"b.c\" ] # b\ny = 2",
            "# top\n\n[defaults]\nprofile = 'a'\n\n",
            &[
                (
                    "a",
                    "# the first\n[system.a]\nmac = 1\n[system.a.vars]\nx = 1\n[[system.a.interface]]\n",
                ),
                ("b.c", "[ system . \"b.c\" ] # b\ny = 2"),
            ],
        );
        check("", "", &[]);
        check("[system]\na = {}\n", "[system]\na = {}\n", &[]);
    }

    #[test]
    fn one_system_is_found_without_the_others() {
        let file = "x = 1\n[system.a]\n1 = 1\n# b's\n # too\n[system.b]\n2 = [\n[3]]\n[system.b.vars]\n\n# c's\n[system.\"c.d\"]\n[system.e]\n[system.ab]\n[system.e.x]";
        for key in ["a", "b", "c.d", "ab", "e", "f", "system"] {
            let cut = cut(file);
            let part = cut.parts.iter().find(|p| p.key == key);
            let whole = part
                .filter(|p| p.ranges.len() == 1)
                .map(|p| p.ranges[0].clone());
            assert_eq!(find(file, key), whole, "{key}");
        }
        let string = format!("x = {0}\n[system.a]\n{0}\n[system.a]\n", "\"\"\"");
        assert_eq!(find(&string, "a"), None);
    }

    #[test]
    fn what_stands_behind_a_system_is_not_its_own() {
        for (text, own) in [
            (
                "[system.a]\nx = 1 # c\n\n# the rack\n\n[system.b]\n",
                "[system.a]\nx = 1 # c\n\n",
            ),
            (
                "# a\n[system.a]\nx = [\n  1, # one\n]\n# the end",
                "# a\n[system.a]\nx = [\n  1, # one\n]\n",
            ),
            (
                "y = 1\n[system.a]\n  # within\nx = 1\n\n# the end\n",
                "[system.a]\n  # within\nx = 1\n",
            ),
            ("y = 1\n\n[system.a]", "[system.a]"),
        ] {
            let piece = find(text, "a").expect(text);
            assert_eq!(&text[its_own(text, piece)], own);
        }
    }

    #[test]
    fn scattered_tables_are_joined() {
        check(
            "[system.a]\n1\n[system.b]\n2\n[system.a.vars]\n3\n[defaults]\n4\n[system.b.vars]\n5\n",
            "[defaults]\n4\n",
            &[
                ("a", "[system.a]\n1\n[system.a.vars]\n3\n"),
                ("b", "[system.b]\n2\n[system.b.vars]\n5\n"),
            ],
        );
    }

    #[test]
    fn what_looks_like_a_header_inside_a_value_is_none() {
        let text = "[system.a]\nx = \"\"\"\n[system.no]\n\\\"\"\" \"\"\"\"\ny = [ # [system.no]\n  [\"system.no\"],\n  ']',\n]\nz = '''\n[system.no]'''\n[system.b]\n";
        let split = text.len() - "[system.b]\n".len();
        check(text, "", &[("a", &text[..split]), ("b", "[system.b]\n")]);
    }

    #[test]
    fn an_unclosed_value_spoils_one_part_only() {
        check(
            "[system.a]\nx = [1,\n[system.b]\ny = \"open\n[system.c]\n",
            "",
            &[
                ("a", "[system.a]\nx = [1,\n"),
                ("b", "[system.b]\ny = \"open\n"),
                ("c", "[system.c]\n"),
            ],
        );
    }
}
