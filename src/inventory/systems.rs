//! All systems of all files, on all cores; unchanged ones are not parsed again.

use std::borrow::Cow;
use std::ops::Range;
use std::sync::Arc;

use rayon::prelude::*;

use super::cache::Cache;
use super::chunk::{Cut, join};
use super::load::with_root;
use super::system::{Ground, system};
use super::text::{Page, Source};
use crate::model::{Diagnostic, Digest, System};

/// A systems file, cut up.
#[derive(Debug)]
pub(super) struct SystemsFile<'a> {
    pub(super) source: Source<'a>,
    pub(super) cut: Cut<'a>,
}

/// A system and the part of the file it came from.
#[derive(Debug, Clone)]
pub(super) struct Loaded {
    pub(super) system: Arc<System>,
    pub(super) origin: Origin,
}

/// Where a system was declared, without a span: spans are found again when they are needed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Origin {
    /// Which of the systems files.
    pub(super) file: usize,
    /// Which of its parts; none is the rest (`system.web01 = { .. }`).
    pub(super) part: Option<usize>,
}

/// What one part gave.
pub(super) struct Outcome {
    pub(super) systems: Vec<Arc<System>>,
    pub(super) problems: Vec<Diagnostic>,
    /// The key to remember a single sound system by.
    fresh: Option<Digest>,
}

impl SystemsFile<'_> {
    /// The ranges and the text of a part.
    pub(super) fn part(&self, part: Option<usize>) -> (&[Range<usize>], Cow<'_, str>) {
        let ranges = match part {
            Some(part) => &self.cut.parts[part].ranges,
            None => &self.cut.rest,
        };
        (ranges, join(self.source.text, ranges))
    }
}

/// Reads every system, and notes the errors. Faulty ones are returned too: see [`system`].
pub(super) fn read_all(
    files: &[SystemsFile<'_>],
    ground: &Ground<'_>,
    cache: &mut Cache,
    problems: &mut Vec<Diagnostic>,
) -> Vec<Loaded> {
    cache.on(ground);
    let mut all = Vec::new();
    let mut parts = 0;
    for (number, file) in files.iter().enumerate() {
        let known = &*cache;
        let outcomes: Vec<Outcome> = file
            .cut
            .parts
            .par_iter()
            .enumerate()
            .with_min_len(256)
            .map(|(part, _)| read_part(file, part, ground, known))
            .collect();
        let rest = read_rest(file, ground);
        parts += outcomes.len();
        let numbered = outcomes.into_iter().enumerate().map(|(i, o)| (Some(i), o));
        for (part, outcome) in numbered.chain([(None, rest)]) {
            if let (Some(key), [system]) = (outcome.fresh, outcome.systems.as_slice()) {
                cache.remember(key, system);
            }
            problems.extend(outcome.problems);
            let origin = Origin { file: number, part };
            all.extend(
                outcome
                    .systems
                    .into_iter()
                    .map(|system| Loaded { system, origin }),
            );
        }
    }
    cache.tidy(parts);
    all
}

fn read_part(file: &SystemsFile<'_>, part: usize, ground: &Ground<'_>, cache: &Cache) -> Outcome {
    let (_, text) = file.part(Some(part));
    let key = Digest::of(text.as_bytes());
    if let Some(system) = cache.get(&key) {
        return Outcome {
            systems: vec![system.clone()],
            problems: Vec::new(),
            fresh: None,
        };
    }
    let mut outcome = parse_part(file, Some(part), ground);
    outcome.fresh = outcome.problems.is_empty().then_some(key);
    outcome
}

/// Systems that have no header of their own.
fn read_rest(file: &SystemsFile<'_>, ground: &Ground<'_>) -> Outcome {
    parse_part(file, None, ground)
}

pub(super) fn parse_part(
    file: &SystemsFile<'_>,
    part: Option<usize>,
    ground: &Ground<'_>,
) -> Outcome {
    let (ranges, text) = file.part(part);
    let page = Page::new(&file.source, ranges);
    let systems = with_root(&page, &text, |root| {
        let Some(section) = root.section("system", "[system]") else {
            return Vec::new();
        };
        let systems = section.fields().filter_map(|field| system(&field, ground));
        systems.map(Arc::new).collect()
    });
    // Of the rest, a syntax error was noted when `[defaults]` was read.
    let known = part.is_none() && systems.is_none();
    Outcome {
        systems: systems.unwrap_or_default(),
        problems: if known {
            Vec::new()
        } else {
            page.into_problems()
        },
        fresh: None,
    }
}
