//! From bytes to a checked site: every problem at once, and no site if one of them is an error.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::sync::Arc;

use serde_json::Map;
use toml_edit::Document;

use super::cache::Cache;
use super::chunk::{cut, join};
use super::distro;
use super::field::Section;
use super::files::{FileSet, SourceFile};
use super::inherit::{Folder, Library};
use super::profile::layer;
use super::quick::{Prior, by_file};
use super::register::Register;
use super::settings::{Settings, settings};
use super::system::{Defaults, Ground, defaults};
use super::systems::{SystemsFile, read_all};
use super::text::{Page, Source};
use crate::model::{Diagnostic, Distro, Mirror, Name, Partial, Severity, Site, Span};

/// Diagnostics beyond this many are only counted: a file of another format has one per line.
const MAX_DIAGNOSTICS: usize = 1000;

/// The file that `[defaults]` stands in.
const SYSTEMS: &str = "systems.toml";

/// What came of loading a site.
#[derive(Debug)]
pub struct Parsed {
    /// The site; none if any diagnostic is an error.
    pub site: Option<Site>,
    /// Every problem, in the order of the files and lines.
    pub diagnostics: Vec<Diagnostic>,
}

/// Loads a site from its files. Pure: the same bytes always give the same answer.
pub fn parse(files: &FileSet) -> Parsed {
    parse_with(files, &mut Cache::default(), false)
}

/// Loads everything. If `keep`, the cache learns where to go on from.
pub(super) fn parse_with(files: &FileSet, cache: &mut Cache, keep: bool) -> Parsed {
    let mut problems = Vec::new();
    let mut settings = read_settings(files, &mut problems);
    let sound = problems.is_empty();
    if !sound {
        // No address is outside subnets that could not be read.
        settings.subnets.clear();
    }
    let mirrors_known = sound.then_some(&settings.mirrors);
    let (distros, distro_names) = read_distros(files, mirrors_known, &mut problems);
    let folders = read_folders(files, &mut problems);
    let systems_files: Vec<SystemsFile<'_>> = files
        .systems_files()
        .filter_map(|(path, file)| match Source::decode(path, &file.bytes) {
            Ok(source) => Some(SystemsFile {
                cut: cut(source.text),
                source,
            }),
            Err(problem) => {
                problems.push(problem);
                None
            }
        })
        .collect();
    let mut library = Library {
        folders: &folders,
        distros: &distros,
        distro_names: &distro_names,
        vars: &Map::new(),
        intent: &Partial::default(),
    };
    let kinds = folders
        .keys()
        .map(|n| (n.clone(), library.kind(n)))
        .collect();
    let readable = |path| systems_files.iter().any(|f| f.source.path == path);
    let mut own = Defaults {
        profile_refused: files.files.contains_key(SYSTEMS) && !readable(SYSTEMS),
        ..Defaults::default()
    };
    for file in &systems_files {
        if let Some(read) = read_defaults(file, &kinds, &mut problems) {
            own = read;
        }
    }
    library.vars = &own.vars;
    library.intent = &own.intent;
    let profiles = library.resolve(&mut problems);
    let ground = Ground {
        defaults: &own,
        profiles: &kinds,
        subnets: &settings.subnets,
    };
    let loaded = read_all(&systems_files, &ground, cache, &mut problems);
    let register = Register::new(&loaded, &systems_files, &mut problems);
    let refused = problems.iter().any(|p| p.severity == Severity::Error);
    let diagnostics = in_order(problems);
    let distros: BTreeMap<Name, Arc<Distro>> = distros
        .into_iter()
        .map(|(name, read)| (name, Arc::new(read.distro)))
        .collect();
    let site = (!refused).then(|| Site {
        revision: files.revision(),
        mirrors: mirrors(settings.mirrors, &distros),
        server: settings.server,
        dhcp: settings.dhcp,
        subnets: settings.subnets.clone(),
        unknown: settings.unknown,
        frozen: settings.frozen,
        keep: settings.keep,
        agents: settings.agents,
        profiles,
        distros,
        systems: register.systems,
        by_mac: register.by_mac,
        by_ip: register.by_ip,
    });
    if let (true, Some(site)) = (keep, &site) {
        let parts = by_file(&systems_files, &loaded);
        cache.keep(Prior::new(files, site, &diagnostics, &ground, &parts));
    }
    Parsed { site, diagnostics }
}

/// Sorts by place and cuts what nobody would read.
fn in_order(mut problems: Vec<Diagnostic>) -> Vec<Diagnostic> {
    problems.sort_by_cached_key(|problem| {
        let place = problem.spans.first();
        place.map(|s| (s.file.clone(), s.line, s.column))
    });
    if problems.len() > MAX_DIAGNOSTICS {
        let more = problems.len() - MAX_DIAGNOSTICS;
        // The errors are what must be seen.
        problems.sort_by_key(|p| std::cmp::Reverse(p.severity));
        problems.truncate(MAX_DIAGNOSTICS);
        problems.push(Diagnostic::error(format!("and {more} more problems")));
    }
    problems
}

/// Parses part of a file and reads its root table.
pub(super) fn with_root<R>(
    page: &Page<'_>,
    text: &str,
    read: impl FnOnce(&Section<'_>) -> R,
) -> Option<R> {
    match Document::parse(text) {
        Ok(document) => {
            let title = format!("`{}`", page.source.path);
            Some(read(&Section::new(page, title, document.as_table(), 0..0)))
        }
        Err(error) => {
            let place = error.span().unwrap_or(0..0);
            let message = error.message().replace('\n', " ");
            let mut problem = Diagnostic::error(format!("this is not valid TOML: {message}"))
                .at(page.span(place.clone(), "here"));
            if message == "duplicate key"
                && let Some(first) = same_before(text, &place)
            {
                problem = problem.at(page.span(first, "first written here"));
            }
            page.report(problem);
            None
        }
    }
}

/// The earlier line that begins as this one does, up to and with the key at `place`.
fn same_before(text: &str, place: &Range<usize>) -> Option<Range<usize>> {
    let line_start = |at: usize| text[..at].rfind('\n').map_or(0, |i| i + 1);
    let start = line_start(place.start);
    let head = text.get(start..place.end)?.trim_start();
    let key = text.get(place.clone())?.len();
    let mut at = 0;
    for line in text[..start].split_inclusive('\n') {
        let trimmed = line.trim_start();
        if let Some(rest) = trimmed.strip_prefix(head)
            && !rest.starts_with(|c: char| c.is_alphanumeric() || "-_".contains(c))
        {
            let end = at + (line.len() - trimmed.len()) + head.len();
            return Some(end - key..end);
        }
        at += line.len();
    }
    None
}

/// Parses a whole file and reads its root table.
fn whole<R>(
    path: &str,
    file: &SourceFile,
    problems: &mut Vec<Diagnostic>,
    read: impl FnOnce(&Section<'_>) -> R,
) -> Option<R> {
    let source = match Source::decode(path, &file.bytes) {
        Ok(source) => source,
        Err(problem) => {
            problems.push(problem);
            return None;
        }
    };
    let all = 0..source.text.len();
    let page = Page::new(&source, std::slice::from_ref(&all));
    let value = with_root(&page, source.text, read);
    problems.extend(page.into_problems());
    value
}

fn read_settings(files: &FileSet, problems: &mut Vec<Diagnostic>) -> Settings {
    let path = "farrier.toml";
    let file = files.files.get(path);
    file.and_then(|file| whole(path, file, problems, settings))
        .unwrap_or_default()
}

/// The sound distros, and the names of all.
fn read_distros(
    files: &FileSet,
    mirrors: Option<&BTreeMap<String, Mirror>>,
    problems: &mut Vec<Diagnostic>,
) -> (BTreeMap<Name, distro::Read>, BTreeSet<Name>) {
    let (mut distros, mut names) = (BTreeMap::new(), BTreeSet::new());
    for (path, file) in &files.files {
        let stem = path
            .strip_prefix("boot/")
            .and_then(|p| p.strip_suffix(".toml"));
        let Some(name) = stem.and_then(|stem| name_of(path, stem, problems)) else {
            continue;
        };
        names.insert(name.clone());
        let read = whole(path, file, problems, |root| {
            distro::distro(root, name.clone(), mirrors)
        });
        if let Some(read) = read.flatten() {
            distros.insert(name, read);
        }
    }
    (distros, names)
}

/// The folders under `profiles/`.
pub(super) fn read_folders(
    files: &FileSet,
    problems: &mut Vec<Diagnostic>,
) -> BTreeMap<Name, Folder> {
    let mut by_folder: BTreeMap<&str, BTreeMap<&str, &SourceFile>> = BTreeMap::new();
    for (path, file) in &files.files {
        let inner = path
            .strip_prefix("profiles/")
            .and_then(|p| p.split_once('/'));
        if let Some((folder, rest)) = inner {
            by_folder.entry(folder).or_default().insert(rest, file);
        }
    }
    let mut folders = BTreeMap::new();
    for (folder, contents) in by_folder {
        let place = format!("profiles/{folder}");
        let Some(name) = name_of(&place, folder, problems) else {
            continue;
        };
        let Some(own) = contents.get("profile.toml").copied() else {
            problems.push(
                Diagnostic::error(format!("the profile `{name}` has no profile.toml"))
                    .at(nowhere(&place, "in this folder"))
                    .help(format!(
                        "add `{place}/profile.toml`, or move the folder away"
                    )),
            );
            continue;
        };
        let path = format!("{place}/profile.toml");
        let before = problems.len();
        let read = whole(&path, own, problems, layer);
        let errors = problems[before..].iter();
        let broken = errors.filter(|p| p.severity == Severity::Error).count() > 0;
        let executable = contents.iter().filter(|(_, f)| f.executable);
        let found = Folder {
            layer: read.unwrap_or_default(),
            executable: executable.map(|(p, _)| p.to_string()).collect(),
            files: contents
                .into_iter()
                .map(|(path, file)| (path.to_string(), file.bytes.clone()))
                .collect(),
            broken,
            place: nowhere(&path, "in this file"),
        };
        folders.insert(name, found);
    }
    folders
}

/// A file or folder as a whole.
fn nowhere(path: &str, label: &str) -> Span {
    Span {
        file: path.to_string(),
        line: 1,
        column: 1,
        length: 1,
        text: String::new(),
        label: label.to_string(),
    }
}

/// A name given by a file or folder; it must already be in lower case.
fn name_of(path: &str, text: &str, problems: &mut Vec<Diagnostic>) -> Option<Name> {
    match text.parse::<Name>() {
        Ok(name) if name.as_str() == text => Some(name),
        Ok(name) => {
            problems.push(
                Diagnostic::error(format!("`{text}` must be in lower case"))
                    .at(nowhere(path, "this name"))
                    .help(format!("rename it to `{name}`")),
            );
            None
        }
        Err(error) => {
            problems.push(
                Diagnostic::error(error.to_string())
                    .at(nowhere(path, "this name"))
                    .help("rename it, or move it away"),
            );
            None
        }
    }
}

/// What stands in a systems file outside the tables of systems: `[defaults]`. Where it cannot be
/// read, a profile may have been named in it.
fn read_defaults(
    file: &SystemsFile<'_>,
    kinds: &BTreeMap<Name, Option<crate::model::ProfileKind>>,
    problems: &mut Vec<Diagnostic>,
) -> Option<Defaults> {
    let page = Page::new(&file.source, &file.cut.rest);
    let text = join(file.source.text, &file.cut.rest);
    let unread = || Defaults {
        profile_refused: true,
        ..Defaults::default()
    };
    let read = with_root(&page, &text, |root| {
        root.only(&["defaults", "system"]);
        let field = root.get("defaults")?;
        if file.source.path != SYSTEMS {
            let help = "move it to systems.toml; it holds for every file of systems.d/ too";
            field.error(
                "`[defaults]` belongs into systems.toml",
                "not in this file",
                Some(help.to_string()),
            );
            return Some(unread());
        }
        let section = field.section("[defaults]");
        Some(section.map_or_else(unread, |section| defaults(&section, kinds)))
    });
    problems.extend(page.into_problems());
    match read {
        Some(read) => read,
        None if file.source.path == SYSTEMS => Some(unread()),
        None => None,
    }
}

/// The declared mirrors, and the one that needs no declaration if a distro uses it.
fn mirrors(
    mut declared: BTreeMap<String, Mirror>,
    distros: &BTreeMap<Name, Arc<Distro>>,
) -> BTreeMap<String, Mirror> {
    let own = Some(distro::OWN_MIRROR);
    if distros.values().any(|d| d.mirror.as_deref() == own) {
        let plain = Mirror {
            upstream: None,
            socket: None,
        };
        declared
            .entry(distro::OWN_MIRROR.to_string())
            .or_insert(plain);
    }
    declared
}
