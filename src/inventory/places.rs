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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::inventory::parse;

    #[test]
    fn a_key_stands_where_it_is_written() {
        let files = FileSet::default()
            .with("systems.toml", &b"[defaults]\nprofile = \"p\"\nlocale = { timezone = \"Etc/GMT\" }\n\n[system.web01]\nstatic_ip = true\n[[system.web01.interface]]\nmac = \"52:54:00:00:00:01\"\nip6 = \"2001:db8::1/64\"\n[system.web01.users.alice]\npassword = \"$6$aaaaaaaaaaaaaaaa$bbbbbbbbbbbbbbbb\"\nsudo = true\n"[..])
            .with("boot/d.toml", &b"kernel = \"k\"\n[artefact.k]\nfile = \"/k\""[..])
            .with("profiles/p/profile.toml", &b"kind = \"fai\"\ndistro = \"d\"\n[storage]\nraid = \"raid1\"\nvolumes = [\n  { mount = \"/\", size = \"rest\" },\n]"[..]);
        let site = parse(&files).site.expect("sound");
        let system = &site.systems["web01"];
        let place = |key: &str| {
            let problem = Diagnostic::error("x").about(key);
            let placed = placed(vec![problem], &files, &site, system).remove(0);
            let span = placed.spans.first();
            span.map(|s| format!("{}:{}:{} {}", s.file, s.line, s.column, s.length))
        };
        for (key, at) in [
            ("locale.timezone", "systems.toml:3:12 8"),
            ("static_ip", "systems.toml:6:1 9"),
            ("interface.ip6", "systems.toml:9:1 3"),
            ("users.alice.sudo", "systems.toml:12:1 4"),
            ("users.alice", "systems.toml:11:1 8"),
            ("storage.raid", "profiles/p/profile.toml:4:1 4"),
            (
                "storage.volumes.*.filesystem",
                "profiles/p/profile.toml:5:1 7",
            ),
        ] {
            assert_eq!(place(key).as_deref(), Some(at), "{key}");
        }
        // What is only built in has no place, and stays about its key.
        let problem = Diagnostic::error("x").about("network.ipv6");
        let left = placed(vec![problem.clone()], &files, &site, system);
        assert_eq!(left, [problem]);
        // A hash is not quoted.
        let problem = Diagnostic::error("x").about("users.alice.password");
        let text = placed(vec![problem], &files, &site, system).remove(0);
        assert!(text.spans[0].text.contains("****"), "{text:?}");
    }
}
