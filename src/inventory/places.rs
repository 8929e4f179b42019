//! Where the keys stand that a rendering found fault with: it knows keys and no files.

use super::files::FileSet;
use super::origin::{BUILT_IN, Origin, origins};
use super::text::Source;
use crate::model::{Diagnostic, Site, Span, System};

/// Puts the place of the key that each problem is about in front of its other places. The texts are
/// read again for it, which costs a millisecond if any problem is about a key.
pub fn placed(
    mut problems: Vec<Diagnostic>,
    files: &FileSet,
    site: &Site,
    system: &System,
) -> Vec<Diagnostic> {
    if !problems.iter().any(|p| p.about.is_some()) {
        return problems;
    }
    let origins = origins(files, site, &system.name);
    for problem in &mut problems {
        let Some(key) = problem.about.take() else {
            continue;
        };
        match origin(&origins, &key).and_then(|o| span(files, o)) {
            Some(place) => problem.spans.insert(0, place),
            None => problem.about = Some(key),
        }
    }
    problems
}

/// The row of a key, else of something within it, else of what it is within.
fn origin<'a>(origins: &'a [Origin], key: &str) -> Option<&'a Origin> {
    let mut key = key.split(".*").next().unwrap_or(key);
    let written = || origins.iter().filter(|o| o.file != BUILT_IN);
    loop {
        let within = format!("{key}.");
        let found = written()
            .find(|o| o.key == key)
            .or_else(|| written().find(|o| o.key.starts_with(&within)));
        if found.is_some() {
            return found;
        }
        (key, _) = key.rsplit_once('.')?;
    }
}

fn span(files: &FileSet, origin: &Origin) -> Option<Span> {
    let file = files.files.get(&origin.file)?;
    let text = std::str::from_utf8(&file.bytes).ok()?;
    let source = Source::new(&origin.file, text);
    let before = text.split_inclusive('\n').take(origin.line.checked_sub(1)?);
    let start: usize = before.map(str::len).sum();
    let line = text.get(start..)?.lines().next()?;
    let word = origin.key.rsplit('.').next().unwrap_or("");
    let (at, length) = match line.find(word) {
        Some(at) => (at, word.len()),
        None => (line.len() - line.trim_start().len(), line.trim().len()),
    };
    Some(source.span(start + at..start + at + length, "asked for here"))
}
