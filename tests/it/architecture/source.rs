//! Rust source as words: without comments, literals and test code, but with line numbers.

use std::fs;
use std::path::Path;

/// The words of a file.
pub(super) struct Source {
    words: Vec<Word>,
}

struct Word {
    text: String,
    line: usize,
}

/// A path as it is used somewhere: what follows `crate::`.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Used {
    pub(super) segments: Vec<String>,
    pub(super) line: usize,
}

impl Source {
    /// Reads a file's text.
    pub(super) fn read(text: &str) -> Source {
        let mut words = split(text);
        drop_tests(&mut words);
        Source { words }
    }

    /// The lines where these words follow each other. `std::fs` is also found in
    /// `std::{io, fs::File}`.
    pub(super) fn find(&self, wanted: &[&str]) -> Vec<usize> {
        let mut lines: Vec<usize> = (0..self.words.len())
            .filter(|at| self.matches(*at, wanted))
            .map(|at| self.words[at].line)
            .collect();
        if let [root, "::", rest @ ..] = wanted {
            let rest: Vec<&str> = rest.iter().copied().filter(|w| *w != "::").collect();
            let grouped = self.paths_after(root);
            let grouped = grouped.iter().filter(|used| {
                used.segments.len() >= rest.len()
                    && used.segments.iter().zip(&rest).all(|(a, b)| a == b)
            });
            if !rest.is_empty() {
                lines.extend(grouped.map(|used| used.line));
            }
        }
        lines.sort_unstable();
        lines.dedup();
        lines
    }

    fn matches(&self, at: usize, wanted: &[&str]) -> bool {
        wanted
            .iter()
            .enumerate()
            .all(|(i, w)| self.words.get(at + i).is_some_and(|word| word.text == *w))
    }

    /// Every path that begins with `root::`, groups taken apart.
    pub(super) fn paths_after(&self, root: &str) -> Vec<Used> {
        let mut used = Vec::new();
        for at in 0..self.words.len() {
            if self.matches(at, &[root, "::"]) {
                self.follow(at + 2, &[], &mut used);
            }
        }
        used
    }

    /// Every path that begins with `super::`, as it is from the root of the crate. `module` is where
    /// the file stands: `["serve", "http"]` for `src/serve/http.rs` and `src/serve/http/mod.rs`.
    pub(super) fn paths_up(&self, module: &[&str]) -> Vec<Used> {
        let mut used = Vec::new();
        let mut at = 0;
        while at < self.words.len() {
            at = match self.matches(at, &["super", "::"]) {
                true => self.follow(at, &[], &mut used),
                false => at + 1,
            };
        }
        for path in &mut used {
            let ups = path.segments.iter().take_while(|s| *s == "super").count();
            let base = &module[..module.len().saturating_sub(ups)];
            let own = base.iter().map(ToString::to_string);
            path.segments = own.chain(path.segments.drain(..).skip(ups)).collect();
        }
        used
    }

    /// Reads one path or group beginning at `at`; returns where it ended.
    fn follow(&self, mut at: usize, before: &[String], used: &mut Vec<Used>) -> usize {
        let mut segments = before.to_vec();
        while let Some(word) = self.words.get(at) {
            if word.text == "{" {
                at += 1;
                while self.words.get(at).is_some_and(|w| w.text != "}") {
                    at = self.follow(at, &segments, used);
                    if self.words.get(at).is_some_and(|w| w.text == ",") {
                        at += 1;
                    }
                }
                return at + 1;
            }
            segments.push(word.text.clone());
            at += 1;
            if self.words.get(at).is_none_or(|w| w.text != "::") {
                used.push(Used {
                    segments,
                    line: self.words[at - 1].line,
                });
                // `as name` of a group's member.
                while self
                    .words
                    .get(at)
                    .is_some_and(|w| w.text == "as" || (self.words[at - 1].text == "as"))
                {
                    at += 1;
                }
                return at;
            }
            at += 1;
        }
        at
    }
}

/// Whether a file is only compiled for tests: its parent says `#[cfg(test)] mod NAME;`, or an
/// ancestor's does.
pub(super) fn is_test_file(path: &Path) -> bool {
    let Some(stem) = path.file_stem().and_then(|s| s.to_str()) else {
        return false;
    };
    let Some(dir) = path.parent() else {
        return false;
    };
    let (parents, name) = if stem == "mod" {
        let name = dir.file_name().and_then(|n| n.to_str()).unwrap_or("");
        (around(dir.parent()), name.to_string())
    } else {
        (around(Some(dir)), stem.to_string())
    };
    parents.iter().any(|parent| {
        *parent != path
            && (fs::read_to_string(parent).is_ok_and(|text| declares_test(&text, &name))
                || (parent
                    .file_stem()
                    .is_some_and(|s| s != "lib" && s != "main")
                    && is_test_file(parent)))
    })
}

/// Files that may declare the modules of a directory.
fn around(dir: Option<&Path>) -> Vec<std::path::PathBuf> {
    let Some(dir) = dir else { return Vec::new() };
    let beside = dir.with_extension("rs");
    [dir.join("mod.rs"), dir.join("lib.rs"), beside]
        .into_iter()
        .filter(|p| p.is_file())
        .collect()
}

fn declares_test(text: &str, name: &str) -> bool {
    let words = split(text);
    let texts: Vec<&str> = words.iter().map(|w| w.text.as_str()).collect();
    let mut at = 0;
    while let Some(found) = texts[at..].windows(7).position(is_cfg_test) {
        at += found + 7;
        let rest = skip_attributes(&texts, at);
        let rest = skip_visibility(&texts, rest);
        if texts.get(rest..rest + 3) == Some(&["mod", name, ";"]) {
            return true;
        }
    }
    false
}

fn is_cfg_test(words: &[&str]) -> bool {
    words == ["#", "[", "cfg", "(", "test", ")", "]"]
}

fn skip_attributes(texts: &[&str], mut at: usize) -> usize {
    while texts.get(at) == Some(&"#") {
        at = closing(texts, at + 1);
    }
    at
}

fn skip_visibility(texts: &[&str], mut at: usize) -> usize {
    if texts.get(at) == Some(&"pub") {
        at += 1;
        if texts.get(at) == Some(&"(") {
            at = closing(texts, at);
        }
    }
    at
}

/// The place after the bracket that closes the one at `at`.
fn closing(texts: &[&str], at: usize) -> usize {
    let mut depth = 0;
    for (i, text) in texts.iter().enumerate().skip(at) {
        match *text {
            "(" | "[" | "{" => depth += 1,
            ")" | "]" | "}" => {
                depth -= 1;
                if depth == 0 {
                    return i + 1;
                }
            }
            _ => {}
        }
    }
    texts.len()
}

/// Takes out every item under `#[cfg(test)]`.
fn drop_tests(words: &mut Vec<Word>) {
    loop {
        let texts: Vec<&str> = words.iter().map(|w| w.text.as_str()).collect();
        let Some(start) = texts.windows(7).position(is_cfg_test) else {
            return;
        };
        let mut at = skip_attributes(&texts, start + 7);
        // An item ends with its first braces or with a semicolon, whichever comes first.
        while let Some(text) = texts.get(at) {
            match *text {
                ";" => {
                    at += 1;
                    break;
                }
                "{" => {
                    at = closing(&texts, at);
                    break;
                }
                "(" | "[" => at = closing(&texts, at),
                _ => at += 1,
            }
        }
        words.drain(start..at);
    }
}

fn split(text: &str) -> Vec<Word> {
    let chars: Vec<char> = text.chars().collect();
    let mut words = Vec::new();
    let mut line = 1;
    let mut at = 0;
    while at < chars.len() {
        let start = at;
        let c = chars[at];
        let next = chars.get(at + 1).copied().unwrap_or(' ');
        if c == '/' && next == '/' {
            while at < chars.len() && chars[at] != '\n' {
                at += 1;
            }
        } else if c == '/' && next == '*' {
            at = end_of_comment(&chars, at);
        } else if let Some(end) = end_of_literal(&chars, at) {
            at = end;
        } else if c.is_alphanumeric() || c == '_' {
            while at < chars.len() && (chars[at].is_alphanumeric() || chars[at] == '_') {
                at += 1;
            }
            words.push(Word {
                text: chars[start..at].iter().collect(),
                line,
            });
        } else if c == ':' && next == ':' {
            at += 2;
            words.push(Word {
                text: "::".to_string(),
                line,
            });
        } else {
            at += 1;
            if !c.is_whitespace() {
                words.push(Word {
                    text: c.to_string(),
                    line,
                });
            }
        }
        line += chars[start..at].iter().filter(|c| **c == '\n').count();
    }
    words
}

fn end_of_comment(chars: &[char], mut at: usize) -> usize {
    let mut depth = 0;
    while at < chars.len() {
        match (chars[at], chars.get(at + 1)) {
            ('/', Some('*')) => {
                depth += 1;
                at += 2;
            }
            ('*', Some('/')) => {
                depth -= 1;
                at += 2;
                if depth == 0 {
                    return at;
                }
            }
            _ => at += 1,
        }
    }
    at
}

/// The end of a string, byte string, raw string or character that begins here.
fn end_of_literal(chars: &[char], start: usize) -> Option<usize> {
    let mut at = start;
    while matches!(chars.get(at), Some('b' | 'c')) && at < start + 1 {
        at += 1;
    }
    let raw = chars.get(at) == Some(&'r');
    if raw {
        at += 1;
        let hashes = chars[at..].iter().take_while(|c| **c == '#').count();
        at += hashes;
        if chars.get(at) != Some(&'"') {
            return None;
        }
        let mut close = vec!['"'];
        close.extend(std::iter::repeat_n('#', hashes));
        let rest = &chars[at + 1..];
        let found = rest.windows(close.len()).position(|w| w == close)?;
        return Some(at + 1 + found + close.len());
    }
    match chars.get(at)? {
        '"' => {
            at += 1;
            while at < chars.len() && chars[at] != '"' {
                at += if chars[at] == '\\' { 2 } else { 1 };
            }
            Some((at + 1).min(chars.len()))
        }
        '\'' => {
            // A lifetime has no closing quote after one character.
            if chars.get(at + 1) == Some(&'\\') {
                let rest = &chars[at + 3..];
                return Some(at + 4 + rest.iter().position(|c| *c == '\'')?);
            }
            (chars.get(at + 2) == Some(&'\'')).then_some(at + 3)
        }
        _ => None,
    }
}

#[test]
fn words_survive_and_literals_do_not() {
    let text = "let a = \"use axum\\\"\"; // sqlx\n/* clap /* x */ */ let b = r#\"tokio\"#; let c: &'a u8 = '\"';\nfn d() {}";
    let source = Source::read(text);
    for gone in ["axum", "sqlx", "clap", "tokio"] {
        assert_eq!(source.find(&[gone]), [0usize; 0], "{gone}");
    }
    assert_eq!(source.find(&["fn", "d"]), [3]);
}

#[test]
fn groups_are_taken_apart() {
    let source =
        Source::read("use crate::{a::{b, c as d}, e,\n f::g::*};\nfn h() { crate::i::j() }");
    let used: Vec<(String, usize)> = source
        .paths_after("crate")
        .into_iter()
        .map(|u| (u.segments.join("::"), u.line))
        .collect();
    let want = [
        ("a::b", 1),
        ("a::c", 1),
        ("e", 1),
        ("f::g::*", 2),
        ("i::j", 3),
    ];
    assert_eq!(used, want.map(|(p, l)| (p.to_string(), l)));
}

#[test]
fn a_path_upwards_is_resolved() {
    let resolved = |module: &[&str], text: &str| {
        let used = Source::read(text).paths_up(module);
        let paths = used.into_iter().map(|u| u.segments.join("::"));
        paths.collect::<Vec<_>>()
    };
    let module = ["serve", "http", "api"];
    for (text, want) in [
        ("use super::x;", "serve::http::x"),
        (
            "use super::super::{super::store::S, y};",
            "store::S serve::y",
        ),
        ("fn f() { super::super::super::store::g() }", "store::g"),
        ("use crate::a; use self::b::c;", ""),
    ] {
        assert_eq!(resolved(&module, text).join(" "), want, "{text}");
    }
}

#[test]
fn test_items_are_not_read() {
    let text = "#[cfg(test)]\nuse a::b;\nfn c() {}\n#[cfg(test)]\n#[allow(x)]\npub(crate) mod tests { fn d() { e({}) } }\nfn f() {}";
    let source = Source::read(text);
    assert_eq!(source.find(&["e"]), [0usize; 0]);
    assert_eq!(source.find(&["a"]), [0usize; 0]);
    assert_eq!(source.find(&["fn"]), [3, 7]);
    assert!(declares_test(
        "#[cfg(test)]\npub(crate) mod fakes;",
        "fakes"
    ));
    assert!(!declares_test("mod fakes;", "fakes"));
}
