//! Which systems a person means: names, node sets, globs, tags and MAC addresses.

use std::collections::BTreeSet;

use super::suggest::instead;
use crate::model::{MacAddr, Name, Site, System};

/// The most names one node set may stand for.
const MAX_SET: usize = 200_000;
/// How many missing names an error lists.
const MAX_LISTED: usize = 10;

/// Why a selection selects nothing usable.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SelectError {
    /// Nothing was asked for: never "all".
    #[error("no systems are named; give names, a node set such as `web[01-20]`, or `-l TAG`")]
    Empty,
    /// A word or a tag that is empty. To leave it out would select more than was meant.
    #[error(
        "one of the names or tags is empty, as of a variable that is not set; leave it away if nothing is meant by it"
    )]
    Blank,
    /// Some of what was asked for does not exist.
    #[error("{}", missing(.what, *.more, .help.as_deref()))]
    NotFound {
        /// The words, or names within a node set, that match no system.
        what: Vec<String>,
        /// How many more there are.
        more: usize,
        /// What may be meant.
        help: Option<String>,
    },
    /// A word that is no selection.
    #[error("`{word}` is not a selection: {why}")]
    Malformed {
        /// The word.
        word: String,
        /// What is wrong with it.
        why: String,
    },
    /// The words and the tags have no system in common.
    #[error("none of the systems named carries {}", .tags.iter().map(|t| format!("the tag `{t}`")).collect::<Vec<_>>().join(" and "))]
    NoneLeft {
        /// The tags asked for.
        tags: Vec<String>,
    },
}

fn missing(what: &[String], more: usize, help: Option<&str>) -> String {
    let mut names: Vec<String> = what.iter().map(|w| format!("`{w}`")).collect();
    if more > 0 {
        names.push(format!("and {more} more"));
    }
    let help = help.map(|h| format!("; {h}")).unwrap_or_default();
    format!("no system matches {}{help}", names.join(", "))
}

/// Finds the systems that `words` name, of them those that carry every one of `tags`. Without
/// words, all that carry the tags. In natural order, each once.
///
/// A word is a name, a MAC address in any spelling, a disk's serial number as declared, a node set
/// (`web[01-20,33]`), a glob (`web*`), `@tag`, or several of them with commas.
///
/// # Errors
/// A word that matches nothing or is empty, and a selection that is empty.
pub fn select(site: &Site, words: &[String], tags: &[String]) -> Result<Vec<Name>, SelectError> {
    if words.iter().chain(tags).any(|word| word.trim().is_empty()) {
        return Err(SelectError::Blank);
    }
    let mut tags: Vec<String> = tags
        .iter()
        .flat_map(|t| t.split(','))
        .map(str::to_string)
        .collect();
    tags.retain(|t| !t.trim().is_empty());
    let mut words: Vec<String> = words.iter().flat_map(|w| parts(w)).collect();
    words.retain(|w| !w.is_empty());
    if words.is_empty() && tags.is_empty() {
        return Err(SelectError::Empty);
    }
    let carries = |system: &System| tags.iter().all(|t| system.tags.contains(t));
    let mut found: BTreeSet<Natural> = BTreeSet::new();
    if words.is_empty() {
        let all = site.systems.values().filter(|s| carries(s));
        found.extend(all.map(|s| Natural(s.name.clone())));
        if found.is_empty() {
            return Err(not_found(
                site,
                tags.iter().map(|t| format!("@{t}")).collect(),
            ));
        }
    }
    let mut unmatched = Vec::new();
    for word in &words {
        match one(site, word)? {
            Ok(names) => found.extend(names.into_iter().map(Natural)),
            Err(names) => unmatched.extend(names),
        }
    }
    if !unmatched.is_empty() {
        return Err(not_found(site, unmatched));
    }
    let names = found.into_iter().map(|n| n.0);
    let kept: Vec<Name> = names
        .filter(|n| site.system(n).is_some_and(|s| carries(s)))
        .collect();
    if kept.is_empty() {
        return Err(SelectError::NoneLeft { tags });
    }
    Ok(kept)
}

fn not_found(site: &Site, mut what: Vec<String>) -> SelectError {
    let help = match what.as_slice() {
        [one] if one.starts_with('@') => {
            let tags: BTreeSet<&str> = site
                .systems
                .values()
                .flat_map(|s| &s.tags)
                .map(String::as_str)
                .collect();
            instead(&one[1..], tags)
        }
        [one] => {
            let names: Vec<&str> = site.systems.keys().map(Name::as_str).collect();
            instead(one, names)
        }
        _ => None,
    };
    let more = what.len().saturating_sub(MAX_LISTED);
    what.truncate(MAX_LISTED);
    SelectError::NotFound { what, more, help }
}

/// Cuts at commas and spaces outside brackets.
fn parts(word: &str) -> Vec<String> {
    let mut parts = vec![String::new()];
    let mut depth = 0;
    for c in word.chars() {
        match c {
            '[' => depth += 1,
            ']' => depth -= 1,
            _ => {}
        }
        if depth <= 0 && (c == ',' || c.is_whitespace()) {
            parts.push(String::new());
        } else if let Some(last) = parts.last_mut() {
            last.push(c);
        }
    }
    parts
}

/// The names that one word stands for, or what of it matches nothing.
fn one(site: &Site, word: &str) -> Result<Result<Vec<Name>, Vec<String>>, SelectError> {
    let malformed = |why: &str| SelectError::Malformed {
        word: word.to_string(),
        why: why.to_string(),
    };
    let all = |names: Vec<Name>| match names.is_empty() {
        true => Err(vec![word.to_string()]),
        false => Ok(names),
    };
    if let Some(tag) = word.strip_prefix('@') {
        if tag.is_empty() {
            return Err(malformed("a tag must follow `@`"));
        }
        let tagged = site
            .systems
            .values()
            .filter(|s| s.tags.iter().any(|t| t == tag));
        return Ok(all(tagged.map(|s| s.name.clone()).collect()));
    }
    let lower = word.to_ascii_lowercase();
    if let Some(system) = site.system(&lower) {
        return Ok(Ok(vec![system.name.clone()]));
    }
    if word.contains(['*', '?']) {
        if word.contains('[') {
            return Err(malformed("write either a node set or a glob"));
        }
        let matching = site.systems.keys().filter(|n| glob(&lower, n));
        return Ok(all(matching.cloned().collect()));
    }
    if word.contains('[') || word.contains(']') {
        let (mut names, mut unknown) = (Vec::new(), Vec::new());
        for name in expand(&lower).map_err(|why| malformed(&why))? {
            match site.system(&name) {
                Some(system) => names.push(system.name.clone()),
                None => unknown.push(name),
            }
        }
        return Ok(match unknown.is_empty() {
            true => Ok(names),
            false => Err(unknown),
        });
    }
    let parsed = word.parse::<MacAddr>();
    if let Ok(mac) = &parsed
        && let Some(system) = site.by_mac.get(mac)
    {
        return Ok(Ok(vec![system.name.clone()]));
    }
    let serial = by_serial(site, word);
    match parsed {
        Err(error) if serial.is_empty() => match error {
            crate::model::mac::MacError::Malformed(_) => Ok(Err(vec![word.to_string()])),
            error => Err(malformed(&error.to_string())),
        },
        _ => Ok(all(serial)),
    }
}

/// The systems that are declared with this disk serial number.
pub fn by_serial(site: &Site, serial: &str) -> Vec<Name> {
    let own = |s: &System| s.disk.as_ref().and_then(|d| d.serial.as_deref()) == Some(serial);
    let found = site.systems.values().filter(|s| own(s));
    found.map(|s| s.name.clone()).collect()
}

/// The names of a node set: `web[01-03]` is `web01`, `web02`, `web03`; a leading zero keeps the
/// width; several brackets combine.
fn expand(word: &str) -> Result<Vec<String>, String> {
    let mut names = vec![String::new()];
    let mut rest = word;
    while let Some((before, after)) = rest.split_once('[') {
        let (inside, after) = after.split_once(']').ok_or("a bracket is not closed")?;
        if before.contains(']') {
            return Err("a bracket is closed that was not opened".to_string());
        }
        let mut numbers = Vec::new();
        for piece in inside.split(',') {
            numbers.extend(range(piece.trim())?);
            if names.len() * numbers.len() > MAX_SET {
                return Err(format!("it stands for more than {MAX_SET} names"));
            }
        }
        let combine = |name: &String| -> Vec<String> {
            let stem = format!("{name}{before}");
            numbers.iter().map(|n| format!("{stem}{n}")).collect()
        };
        names = names.iter().flat_map(combine).collect();
        rest = after;
    }
    if rest.contains(']') {
        return Err("a bracket is closed that was not opened".to_string());
    }
    Ok(names.into_iter().map(|n| n + rest).collect())
}

/// `01-03` or `7`.
fn range(piece: &str) -> Result<Vec<String>, String> {
    let (first, last) = piece.split_once('-').unwrap_or((piece, piece));
    let number = |text: &str| -> Result<u64, String> {
        let digits =
            !text.is_empty() && text.len() <= 9 && text.bytes().all(|b| b.is_ascii_digit());
        match digits {
            true => text
                .parse()
                .map_err(|_| format!("`{text}` is not a number")),
            false => Err(format!(
                "`{piece}` is not a number or a range such as `01-20`"
            )),
        }
    };
    let (low, high) = (number(first)?, number(last)?);
    if high < low {
        return Err(format!("`{piece}` ends before it begins"));
    }
    if high - low >= MAX_SET as u64 {
        return Err(format!("it stands for more than {MAX_SET} names"));
    }
    let width = if first.starts_with('0') {
        first.len()
    } else {
        0
    };
    Ok((low..=high).map(|n| format!("{n:0width$}")).collect())
}

/// `*` stands for any characters, `?` for one.
fn glob(pattern: &str, text: &str) -> bool {
    let (pattern, text) = (pattern.as_bytes(), text.as_bytes());
    let (mut p, mut t) = (0, 0);
    // Where the last `*` was, and how far it has eaten: the only place to try again from.
    let mut star: Option<(usize, usize)> = None;
    while t < text.len() {
        match pattern.get(p) {
            Some(b'*') => {
                star = Some((p, t));
                p += 1;
            }
            Some(c) if *c == b'?' || *c == text[t] => {
                p += 1;
                t += 1;
            }
            _ => match star {
                Some((at, eaten)) => {
                    star = Some((at, eaten + 1));
                    p = at + 1;
                    t = eaten + 1;
                }
                None => return false,
            },
        }
    }
    pattern[p..].iter().all(|c| *c == b'*')
}

/// Names in the order people count: `web2` before `web10`.
#[derive(Debug, PartialEq, Eq)]
struct Natural(Name);

impl Natural {
    /// Text and numbers in turn; a number is compared by value, then by width.
    fn pieces(&self) -> impl Iterator<Item = (&str, u64, usize)> {
        let mut rest = self.0.as_str();
        std::iter::from_fn(move || {
            if rest.is_empty() {
                return None;
            }
            let digit = |c: char| c.is_ascii_digit();
            let text = rest.find(digit).unwrap_or(rest.len());
            let after = &rest[text..];
            let digits = after.find(|c| !digit(c)).unwrap_or(after.len());
            let number = after[..digits].parse().unwrap_or(u64::MAX);
            let piece = (&rest[..text], number, digits);
            rest = &after[digits..];
            Some(piece)
        })
    }
}

impl Ord for Natural {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        let natural = self.pieces().cmp(other.pieces());
        natural.then_with(|| self.0.cmp(&other.0))
    }
}

impl PartialOrd for Natural {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::inventory::{FileSet, parse};

    fn site() -> Site {
        let mut text = String::new();
        for n in 1..=12 {
            let tags = if n <= 2 {
                "\"web\", \"rack1\""
            } else {
                "\"web\""
            };
            text.push_str(&format!(
                "[system.web{n:02}]\nmac = \"52:54:00:00:01:{n:02x}\"\nprofile = \"p\"\ntags = [{tags}]\n"
            ));
        }
        text.push_str("[system.db1]\nmac = \"52:54:00:00:02:01\"\nprofile = \"p\"\n[system.db10]\nmac = \"52:54:00:00:02:10\"\nprofile = \"p\"\ndisk.serial = \"S3EVNX0K\"\n[system.db2]\nmac = \"52:54:00:00:02:02\"\nprofile = \"p\"\n");
        let files = FileSet::default()
            .with("systems.toml", text.as_bytes())
            .with(
                "boot/d.toml",
                &b"kernel = \"k\"\n[artefact.k]\nfile = \"/k\""[..],
            )
            .with(
                "profiles/p/profile.toml",
                &b"kind = \"fai\"\ndistro = \"d\""[..],
            );
        parse(&files).site.expect("a site")
    }

    fn run(words: &str, tags: &str) -> Result<String, SelectError> {
        let list = |text: &str| {
            text.split(' ')
                .filter(|w| !w.is_empty())
                .map(str::to_string)
                .collect::<Vec<_>>()
        };
        let names = select(&site(), &list(words), &list(tags))?;
        Ok(names.iter().map(Name::as_str).collect::<Vec<_>>().join(" "))
    }

    #[test]
    fn words_find_systems() {
        for (words, tags, want) in [
            ("web01", "", "web01"),
            ("WEB01 web01", "", "web01"),
            ("web[01-03,12]", "", "web01 web02 web03 web12"),
            ("web[12,1-2]", "", ""),
            ("db[1-2],db10", "", "db1 db2 db10"),
            ("db[1]0", "", "db10"),
            ("db*", "", "db1 db2 db10"),
            ("web0?", "rack1", "web01 web02"),
            ("", "rack1", "web01 web02"),
            ("", "web,rack1", "web01 web02"),
            ("@rack1 db1", "", "db1 web01 web02"),
            ("5254.0000.0101", "", "web01"),
            ("52-54-00-00-02-10", "", "db10"),
            ("525400000210", "", "db10"),
            ("S3EVNX0K", "", "db10"),
            ("S3EVNX0K db1", "", "db1 db10"),
            ("s3evnx0k", "", ""),
        ] {
            match run(words, tags) {
                Ok(found) => assert_eq!(found, want, "{words} {tags}"),
                Err(error) => assert_eq!("", want, "{words} {tags}: {error}"),
            }
        }
    }

    #[test]
    fn what_is_not_found_is_named() {
        for (words, tags, want) in [
            (
                "",
                "",
                "no systems are named; give names, a node set such as `web[01-20]`, or `-l TAG`",
            ),
            (
                ",",
                "",
                "no systems are named; give names, a node set such as `web[01-20]`, or `-l TAG`",
            ),
            (
                "wbe01",
                "",
                "no system matches `wbe01`; did you mean `web01`?",
            ),
            ("web[11-14]", "", "no system matches `web13`, `web14`"),
            (
                "web[13-30]",
                "",
                "no system matches `web13`, `web14`, `web15`, `web16`, `web17`, `web18`, `web19`, `web20`, `web21`, `web22`, and 8 more",
            ),
            ("web01 mail*", "", "no system matches `mail*`"),
            (
                "@rack2",
                "",
                "no system matches `@rack2`; did you mean `rack1`?",
            ),
            (
                "",
                "rakc1",
                "no system matches `@rakc1`; did you mean `rack1`?",
            ),
            (
                "db1",
                "web",
                "none of the systems named carries the tag `web`",
            ),
            (
                "52:54:00:00:09:01",
                "",
                "no system matches `52:54:00:00:09:01`",
            ),
            (
                "ff:ff:ff:ff:ff:ff",
                "",
                "`ff:ff:ff:ff:ff:ff` is not a selection: `ff:ff:ff:ff:ff:ff` is a multicast or broadcast address, not one machine's",
            ),
            (
                "web[1",
                "",
                "`web[1` is not a selection: a bracket is not closed",
            ),
            (
                "web1]",
                "",
                "`web1]` is not a selection: a bracket is closed that was not opened",
            ),
            (
                "web[a-b]",
                "",
                "`web[a-b]` is not a selection: `a-b` is not a number or a range such as `01-20`",
            ),
            (
                "web[9-1]",
                "",
                "`web[9-1]` is not a selection: `9-1` ends before it begins",
            ),
            (
                "web[1-999999999]",
                "",
                "`web[1-999999999]` is not a selection: it stands for more than 200000 names",
            ),
            (
                "w[1-1000][1-1000]",
                "",
                "`w[1-1000][1-1000]` is not a selection: it stands for more than 200000 names",
            ),
            (
                "web[1]*",
                "",
                "`web[1]*` is not a selection: write either a node set or a glob",
            ),
            ("@", "", "`@` is not a selection: a tag must follow `@`"),
        ] {
            let error = run(words, tags).expect_err(words).to_string();
            let start = error.starts_with(want);
            assert!(start, "{words}: {error}");
        }
    }

    #[test]
    fn an_empty_word_is_not_left_out() {
        let site = site();
        let own = |list: &[&str]| list.iter().map(|w| w.to_string()).collect::<Vec<_>>();
        for (words, tags) in [
            (&[""][..], &["rack1"][..]),
            (&["web01", " "], &[]),
            (&["web01"], &[""]),
            (&[], &["", "web"]),
        ] {
            let found = select(&site, &own(words), &own(tags));
            assert_eq!(found, Err(SelectError::Blank), "{words:?} {tags:?}");
        }
        let found = select(&site, &own(&["web01,"]), &own(&["web,"]));
        assert_eq!(found.map(|names| names.len()), Ok(1));
    }

    #[test]
    fn globs_match_whole_names() {
        for (pattern, text, want) in [
            ("*", "web01", true),
            ("w*1", "web01", true),
            ("w*0", "web01", false),
            ("*e*0*", "web01", true),
            ("web??", "web01", true),
            ("web?", "web01", false),
            (
                "*a*a*a*a*a*a*a*b",
                "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
                false,
            ),
        ] {
            assert_eq!(glob(pattern, text), want, "{pattern} {text}");
        }
    }
}
