//! The short way to load a site of which one systems file changed in one place.
//!
//! The file is compared with what it was; only the systems around the difference are parsed, and
//! the last site's indexes are patched. Whatever is unusual (other files changed, a problem, a name
//! or address that is taken, tables out of order) is left to the long way: the short way never
//! gives another answer.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use super::chunk::cut;
use super::files::{FileSet, SourceFile};
use super::system::{Defaults, Ground};
use super::systems::{Loaded, SystemsFile, parse_part};
use super::text::Source;
use crate::model::{Diagnostic, Name, ProfileKind, Site, Subnet, System};

/// The last load.
#[derive(Debug)]
pub(super) struct Prior {
    files: FileSet,
    site: Site,
    diagnostics: Vec<Diagnostic>,
    defaults: Defaults,
    kinds: BTreeMap<Name, Option<ProfileKind>>,
    subnets: Vec<Subnet>,
    /// The systems files that are laid out simply: one system after another.
    layouts: BTreeMap<String, Vec<Piece>>,
}

/// One system's bytes and what they mean.
#[derive(Debug, Clone)]
struct Piece {
    start: usize,
    end: usize,
    system: Arc<System>,
}

impl Prior {
    /// Keeps a load that succeeded.
    pub(super) fn new(
        files: &FileSet,
        site: &Site,
        diagnostics: &[Diagnostic],
        ground: &Ground<'_>,
        parts: &[(&SystemsFile<'_>, Vec<Arc<System>>)],
    ) -> Self {
        let layouts = parts.iter().filter_map(|(file, systems)| {
            let pieces = layout(file, systems)?;
            Some((file.source.path.to_string(), pieces))
        });
        Prior {
            files: files.clone(),
            site: site.clone(),
            diagnostics: diagnostics.to_vec(),
            defaults: ground.defaults.clone(),
            kinds: ground.profiles.clone(),
            subnets: ground.subnets.to_vec(),
            layouts: layouts.collect(),
        }
    }

    /// Loads `files` if they differ from the last in one place of one systems file. The prior
    /// becomes what it returns; if it returns none, it is as it was.
    pub(super) fn advance(&mut self, files: &FileSet) -> Option<(Site, Vec<Diagnostic>)> {
        if files.revision() == self.site.revision {
            return Some((self.site.clone(), self.diagnostics.clone()));
        }
        let path = self.only_change(files)?;
        let (old, new) = (&self.files.files[&path], &files.files[&path]);
        let pieces = self.layouts.get(&path)?;
        let new_text = std::str::from_utf8(&new.bytes).ok()?;
        let span = affected(&old.bytes, &new.bytes, pieces)?;
        let middle = self.middle(&path, new_text, pieces, &span)?;

        let shift = new.bytes.len() as isize - old.bytes.len() as isize;
        let gone = pieces[span.pieces.clone()].to_vec();
        self.fits(&gone, &middle)?;
        for piece in &gone {
            self.forget(&piece.system);
        }
        for piece in &middle {
            self.enter(&piece.system);
        }
        let pieces = self.layouts.get_mut(&path)?;
        for piece in &mut pieces[span.pieces.end..] {
            piece.start = piece.start.wrapping_add_signed(shift);
            piece.end = piece.end.wrapping_add_signed(shift);
        }
        pieces.splice(span.pieces, middle);
        self.site.revision = files.revision();
        self.files = files.clone();
        Some((self.site.clone(), self.diagnostics.clone()))
    }

    /// The one file that differs, if it is one and nothing else does.
    fn only_change(&self, files: &FileSet) -> Option<String> {
        if files.files.len() != self.files.files.len() {
            return None;
        }
        let same =
            |a: &SourceFile, b: &SourceFile| a.digest == b.digest && a.executable == b.executable;
        let mut changed = None;
        for ((path, old), (other, new)) in self.files.files.iter().zip(&files.files) {
            if path != other {
                return None;
            }
            if !same(old, new) && changed.replace(path.clone()).is_some() {
                return None;
            }
        }
        changed
    }

    /// Parses the new text that stands where the affected pieces were.
    fn middle(
        &self,
        path: &str,
        text: &str,
        pieces: &[Piece],
        span: &Affected,
    ) -> Option<Vec<Piece>> {
        let slice = text.get(span.new.clone())?;
        let source = Source::new(path, slice);
        let file = SystemsFile {
            cut: cut(slice),
            source,
        };
        if !file.cut.rest.is_empty() {
            return None;
        }
        let ground = Ground {
            defaults: &self.defaults,
            profiles: &self.kinds,
            subnets: &self.subnets,
        };
        let mut middle = Vec::with_capacity(file.cut.parts.len());
        for (number, part) in file.cut.parts.iter().enumerate() {
            let [range] = part.ranges.as_slice() else {
                return None;
            };
            let outcome = parse_part(&file, Some(number), &ground);
            let [system] = outcome.systems.as_slice() else {
                return None;
            };
            if !outcome.problems.is_empty() {
                return None;
            }
            middle.push(Piece {
                start: span.new.start + range.start,
                end: span.new.start + range.end,
                system: system.clone(),
            });
        }
        // The last piece is an old one that did not change: the text really ends here, and not
        // within a string that goes on.
        if span.pieces.end < pieces.len() {
            let (last, old) = (middle.last()?, &pieces[span.pieces.end - 1]);
            if last.end - last.start != old.end - old.start || last.system != old.system {
                return None;
            }
        }
        Some(middle)
    }

    /// Whether the new systems share nothing with each other or with those that stay.
    fn fits(&self, gone: &[Piece], middle: &[Piece]) -> Option<()> {
        let stays = |system: &Arc<System>| !gone.iter().any(|g| Arc::ptr_eq(&g.system, system));
        let (mut names, mut macs, mut ips) = (Vec::new(), Vec::new(), Vec::new());
        for piece in middle {
            let system = &piece.system;
            names.push(system.name.clone());
            if self.site.systems.get(&system.name).is_some_and(stays) {
                return None;
            }
            for interface in &system.interfaces {
                macs.push(interface.mac);
                if self.site.by_mac.get(&interface.mac).is_some_and(stays) {
                    return None;
                }
                let Some(ip) = interface.ip else { continue };
                ips.push(ip);
                if self.site.by_ip.get(&ip).is_some_and(stays) {
                    return None;
                }
            }
        }
        (unique(names) && unique(macs) && unique(ips)).then_some(())
    }

    fn forget(&mut self, system: &System) {
        self.site.systems.remove(&system.name);
        for interface in &system.interfaces {
            self.site.by_mac.remove(&interface.mac);
            if let Some(ip) = interface.ip {
                self.site.by_ip.remove(&ip);
            }
        }
    }

    fn enter(&mut self, system: &Arc<System>) {
        self.site
            .systems
            .insert(system.name.clone(), system.clone());
        for interface in &system.interfaces {
            self.site.by_mac.insert(interface.mac, system.clone());
            if let Some(ip) = interface.ip {
                self.site.by_ip.insert(ip, system.clone());
            }
        }
    }
}

fn unique<T: Ord>(mut values: Vec<T>) -> bool {
    values.sort_unstable();
    values.windows(2).all(|pair| pair[0] != pair[1])
}

/// The systems of one file after another, if that is all there is after the file's beginning.
fn layout(file: &SystemsFile<'_>, systems: &[Arc<System>]) -> Option<Vec<Piece>> {
    let cut = &file.cut;
    let mut at = match cut.rest.as_slice() {
        [] => 0,
        [first] if first.start == 0 => first.end,
        _ => return None,
    };
    if cut.parts.len() != systems.len() {
        return None;
    }
    let mut pieces = Vec::with_capacity(systems.len());
    for (part, system) in cut.parts.iter().zip(systems) {
        let [range] = part.ranges.as_slice() else {
            return None;
        };
        if range.start != at {
            return None;
        }
        at = range.end;
        pieces.push(Piece {
            start: range.start,
            end: range.end,
            system: system.clone(),
        });
    }
    Some(pieces)
}

/// Which pieces must be read again, and where their text is now.
struct Affected {
    pieces: Range<usize>,
    new: Range<usize>,
}

/// One piece more than was touched on either side is read again: a comment moves the border
/// between two systems.
fn affected(old: &[u8], new: &[u8], pieces: &[Piece]) -> Option<Affected> {
    let prefix = common_start(old, new);
    let room = old.len().min(new.len()) - prefix;
    let suffix = common_end(&old[old.len() - room..], &new[new.len() - room..]);
    let touched = prefix..old.len() - suffix;
    // The beginning of the file holds [defaults]; a change there is not for us.
    if touched.start <= pieces.first()?.start {
        return None;
    }
    let first = pieces.partition_point(|p| p.end < touched.start);
    let first = first.saturating_sub(1);
    let after = pieces.partition_point(|p| p.start < touched.end);
    let last = (after + 2).min(pieces.len());
    let start = pieces.get(first)?.start;
    let end = match pieces.get(last) {
        Some(piece) => piece
            .start
            .checked_add_signed(new.len() as isize - old.len() as isize)?,
        None => new.len(),
    };
    (start <= end).then_some(Affected {
        pieces: first..last,
        new: start..end,
    })
}

/// Bytes compared at once: whole blocks are what memory is fast at.
const BLOCK: usize = 4096;

/// How many bytes two texts have in common at their beginning.
fn common_start(a: &[u8], b: &[u8]) -> usize {
    let length = a.len().min(b.len());
    let (a, b) = (&a[..length], &b[..length]);
    let blocks = a.chunks(BLOCK).zip(b.chunks(BLOCK));
    let same = BLOCK * blocks.take_while(|(a, b)| a == b).count();
    let at = same.min(length);
    at + a[at..]
        .iter()
        .zip(&b[at..])
        .take_while(|(a, b)| a == b)
        .count()
}

/// How many bytes two texts of one length have in common at their end.
fn common_end(a: &[u8], b: &[u8]) -> usize {
    let blocks = a.rchunks(BLOCK).zip(b.rchunks(BLOCK));
    let same = BLOCK * blocks.take_while(|(a, b)| a == b).count();
    let left = a.len().saturating_sub(same);
    let rest = a[..left].iter().rev().zip(b[..left].iter().rev());
    a.len() - left + rest.take_while(|(a, b)| a == b).count()
}

/// The systems of each file, by part; none if something stands outside the parts.
pub(super) fn by_file<'f, 't>(
    files: &'f [SystemsFile<'t>],
    loaded: &[Loaded],
) -> Vec<(&'f SystemsFile<'t>, Vec<Arc<System>>)> {
    let mut all: Vec<_> = files.iter().map(|file| (file, Vec::new())).collect();
    for entry in loaded {
        // A system outside the parts makes the counts differ, and the layout is not simple.
        all[entry.origin.file].1.push(entry.system.clone());
    }
    all
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::inventory::{Cache, parse};

    fn site(text: &str) -> FileSet {
        FileSet::default()
            .with(
                "farrier.toml",
                &b"[[subnet]]\nnetwork = \"10.0.0.0/24\"\nrouter = \"10.0.0.1\""[..],
            )
            .with(
                "boot/d.toml",
                &b"kernel = \"k\"\n[artefact.k]\nurl = \"http://h/k\""[..],
            )
            .with(
                "profiles/p/profile.toml",
                &b"kind = \"fai\"\ndistro = \"d\""[..],
            )
            .with("systems.toml", text.as_bytes())
    }

    fn same(files: &FileSet, cache: &mut Cache, what: &str) {
        let (long, short) = (parse(files), cache.parse(files));
        assert_eq!(short.diagnostics, long.diagnostics, "{what}");
        assert_eq!(short.site.is_some(), long.site.is_some(), "{what}");
        if let (Some(short), Some(long)) = (short.site, long.site) {
            assert_eq!(short.revision, long.revision, "{what}");
            assert_eq!(short.systems, long.systems, "{what}");
            assert_eq!(short.by_mac, long.by_mac, "{what}");
            assert_eq!(short.by_ip, long.by_ip, "{what}");
        }
    }

    fn lines(count: usize) -> Vec<String> {
        let head = ["# top", "[defaults]", "profile = \"p\"", ""];
        let mut lines: Vec<String> = head.map(str::to_string).to_vec();
        for n in 0..count {
            lines.push(format!("# number {n}"));
            lines.push(format!("[system.s{n}]"));
            lines.push(format!("mac = \"52:54:00:00:00:{n:02x}\""));
            lines.push(format!("ip = \"10.0.0.{}\"", n + 10));
            lines.push(String::new());
        }
        lines
    }

    /// What an editor may put on a line: sound, broken, and whatever moves borders.
    const WORDS: [&str; 16] = [
        "",
        "# a comment",
        "tags = [\"a\"]",
        "x = \"\"\"",
        "\"\"\"",
        "vars = { a = '''",
        "[system.s1]",
        "[system.new]",
        "[system.s2.vars]",
        "[[system.s3.interface]]",
        "mac = \"52:54:00:00:00:01\"",
        "mac = \"52:54:00:00:01:01\"",
        "ip = \"10.0.0.12\"",
        "[defaults]",
        "tags = [",
        "]",
    ];

    proptest! {
        #[test]
        fn the_short_way_gives_the_long_ways_answer(
            edits in prop::collection::vec((0..60usize, 0..3usize, 0..WORDS.len()), 1..12)
        ) {
            let mut text = lines(10);
            let mut cache = Cache::default();
            same(&site(&text.join("\n")), &mut cache, "at first");
            for (at, how, word) in edits {
                let at = at.min(text.len().saturating_sub(1));
                match how {
                    0 => text.insert(at, WORDS[word].to_string()),
                    1 if text.len() > 1 => _ = text.remove(at),
                    _ => text[at] = WORDS[word].to_string(),
                }
                let now = text.join("\n");
                same(&site(&now), &mut cache, &now);
            }
        }

        #[test]
        fn what_is_common_is_counted(a in "[ab]{0,40}", b in "[ab]{0,40}", pad in 0..3usize) {
            let long = "x".repeat(pad * BLOCK + pad);
            let (a, b) = (format!("{long}{a}{long}"), format!("{long}{b}{long}"));
            let (a, b) = (a.as_bytes(), b.as_bytes());
            let slow = a.iter().zip(b).take_while(|(x, y)| x == y).count();
            prop_assert_eq!(common_start(a, b), slow);
            let length = a.len().min(b.len());
            let (a, b) = (&a[a.len() - length..], &b[b.len() - length..]);
            let slow = a.iter().rev().zip(b.iter().rev()).take_while(|(x, y)| x == y).count();
            prop_assert_eq!(common_end(a, b), slow);
        }
    }

    #[test]
    fn an_ordinary_edit_goes_the_short_way() {
        let first = lines(10).join("\n");
        let new = "[system.new]\nmac = \"52:54:00:00:02:01\"\n\n# number 5";
        for (what, from, to) in [
            ("a value", "10.0.0.15", "10.0.0.99"),
            ("a new system", "# number 5", new),
            ("a renamed system", "[system.s5]", "[system.other]"),
            ("the last", "10.0.0.19", "10.0.0.98"),
            (
                "one less",
                "# number 7\n[system.s7]\nmac = \"52:54:00:00:00:07\"\nip = \"10.0.0.17\"\n",
                "",
            ),
        ] {
            let files = site(&first);
            let mut cache = Cache::default();
            assert!(cache.parse(&files).site.is_some());
            let edited = site(&first.replace(from, to));
            assert_ne!(edited, files, "{what}");
            let prior = cache.prior.as_mut().expect("a prior");
            assert!(prior.advance(&edited).is_some(), "{what}");
            same(&edited, &mut cache, what);
        }
    }
}
