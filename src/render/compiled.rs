//! A profile made ready: its templates parsed once, then rendered for any number of systems.

use std::collections::BTreeMap;
use std::sync::Arc;

use minijinja::Value;

use crate::boot::Scope;
use crate::boot::paths::Urls;
use crate::model::{
    Answer, Diagnostic, Distro, Document, Handoff, Profile, Severity, Span, System,
};

use super::engine::{Engine, Files};
use super::formats::fold_cmdline;
use super::handoff::{self, Step};
use super::lint::{self, Findings};
use super::pack::{Packed, pack};
use super::place::context;
use super::scan;
use super::trouble::{Sources, diagnose};
use super::{Format, Place, variables};

/// The template that is the profile's kernel command line.
const CMDLINE: &str = "cmdline";

/// Everything one build needs: tokens still as `boot::token` placeholders.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rendered {
    /// The kernel command line, one line.
    pub cmdline: String,
    /// Documents by the name in their URL.
    pub documents: BTreeMap<String, Document>,
    /// What is doubtful but no reason to refuse.
    pub warnings: Vec<Diagnostic>,
}

/// A profile whose templates are parsed and checked as far as that goes without a system.
#[derive(Debug)]
pub struct CompiledProfile {
    profile: Arc<Profile>,
    engines: BTreeMap<Format, Engine>,
    documents: Vec<Prepared>,
    steps: Vec<Piece>,
    warnings: Vec<Diagnostic>,
}

/// A document to be.
#[derive(Debug)]
struct Prepared {
    name: String,
    /// One piece, or a folder of them.
    pieces: Vec<Piece>,
    folder: bool,
}

/// One file of the profile.
#[derive(Debug)]
struct Piece {
    /// Its name or path in the result.
    path: String,
    /// Its path in the profile.
    file: String,
    format: Format,
    executable: bool,
    /// Its bytes, if they are the same for every system.
    fixed: Option<Arc<[u8]>>,
}

/// Renders one system. Rendering many of one profile goes through [`CompiledProfile`].
///
/// # Errors
/// Every problem, with the file and line of each.
pub fn render(
    system: &System,
    profile: &Profile,
    distro: &Distro,
    place: &Place,
) -> Result<Rendered, Vec<Diagnostic>> {
    CompiledProfile::new(profile)?.render(system, distro, place)
}

impl CompiledProfile {
    /// Parses every template of the profile and checks what does not depend on a system.
    ///
    /// # Errors
    /// Every problem, with the file and line of each.
    pub fn new(profile: &Profile) -> Result<Self, Vec<Diagnostic>> {
        let mut made = CompiledProfile {
            profile: Arc::new(profile.clone()),
            engines: BTreeMap::new(),
            documents: Vec::new(),
            steps: Vec::new(),
            warnings: Vec::new(),
        };
        let mut problems = Vec::new();
        made.prepare(&mut problems);
        let (warnings, errors) = split(problems);
        made.warnings = warnings;
        if errors.is_empty() {
            Ok(made)
        } else {
            Err(errors)
        }
    }

    fn prepare(&mut self, problems: &mut Vec<Diagnostic>) {
        let profile = Arc::clone(&self.profile);
        let files: Files = Arc::new(profile.files.clone());
        for (name, answer) in &profile.answers {
            let (pieces, folder) = match answer {
                Answer::Template { file } => (vec![(name.clone(), file.clone())], false),
                Answer::Folder { dir } => (self.folder(dir, problems), true),
            };
            let pieces = pieces
                .into_iter()
                .filter_map(|(path, file)| self.piece(path, file, problems))
                .collect();
            self.documents.push(Prepared {
                name: name.clone(),
                pieces,
                folder,
            });
        }
        if let Handoff::Steps { dir, .. } = &profile.handoff {
            let found = self.folder(dir, problems);
            if !found
                .iter()
                .any(|(path, _)| path.starts_with(|c: char| c.is_ascii_digit()))
            {
                problems.push(self.about(dir, "no numbered step is in this folder").help(
                    "name them as `10-packages.sh`; or leave `[handoff]` out if nothing is to be run",
                ));
            }
            let steps: Vec<Piece> = found
                .into_iter()
                .filter_map(|(path, file)| self.step(path, file, problems))
                .collect();
            self.steps = steps;
        }
        let mut formats: Vec<Format> = self
            .documents
            .iter()
            .flat_map(|d| &d.pieces)
            .chain(&self.steps)
            .filter(|p| p.fixed.is_none())
            .map(|p| p.format)
            .collect();
        formats.push(Format::Cmdline);
        for format in formats {
            self.engines
                .entry(format)
                .or_insert_with(|| Engine::new(format, Arc::clone(&files)));
        }
        self.parse(problems);
    }

    /// The files of a folder: path in the result, path in the profile, sorted by the former.
    fn folder(&self, dir: &str, problems: &mut Vec<Diagnostic>) -> Vec<(String, String)> {
        let prefix = format!("{}/", dir.trim_end_matches('/'));
        let mut found: BTreeMap<String, String> = BTreeMap::new();
        for file in self.profile.files.keys() {
            let Some(path) = file.strip_prefix(&prefix) else {
                continue;
            };
            let path = path.strip_suffix(".j2").unwrap_or(path).to_string();
            if let Some(other) = found.insert(path.clone(), file.clone()) {
                problems.push(self.about(file, format!("`{other}` makes the same file `{path}`")));
            }
        }
        if found.is_empty() {
            problems.push(
                self.about(dir, format!("there is no folder `{dir}`"))
                    .help("paths are relative to the profile's folder"),
            );
        }
        found.into_iter().collect()
    }

    fn piece(&self, path: String, file: String, problems: &mut Vec<Diagnostic>) -> Option<Piece> {
        let Some(bytes) = self.profile.files.get(&file) else {
            problems.push(
                self.about(&file, format!("there is no file `{file}`"))
                    .help(
                        "paths are relative to the profile's folder; what it inherits counts too",
                    ),
            );
            return None;
        };
        let executable = self.profile.executable.contains(&file);
        let text = std::str::from_utf8(bytes).ok();
        let format =
            match Format::of(&path, self.profile.kind, text.unwrap_or("")) {
                Ok(format) => format,
                Err(word) => {
                    problems.push(self.about(&file, format!("`{word}` is no format")).help(
                        format!("one of {}", Format::ALL.map(Format::word).join(", ")),
                    ));
                    return None;
                }
            };
        let template = file.ends_with(".j2");
        if template && text.is_none() {
            problems.push(self.about(&file, "a template must be text in UTF-8"));
            return None;
        }
        let fixed = (!template || text.is_some_and(scan::is_static)).then(|| Arc::clone(bytes));
        if let (Some(_), Some(text)) = (&fixed, text) {
            let shown = self.file_of(&file).0;
            let mut findings = Findings::new(&shown, None);
            lint::check(format, false, text, &mut findings);
            format.lint(text, &mut findings);
            problems.extend(findings.into_diagnostics(text));
        }
        Some(Piece {
            path,
            file,
            format,
            executable,
            fixed,
        })
    }

    fn step(&self, path: String, file: String, problems: &mut Vec<Diagnostic>) -> Option<Piece> {
        let plain = |b: u8| b.is_ascii_alphanumeric() || b"-_.".contains(&b);
        if path.starts_with('.') || !path.bytes().all(plain) {
            problems.push(
                self.about(&file, format!("`{path}` is no name for a step"))
                    .help("use letters, digits, `-`, `_` and dots, and no folders"),
            );
            return None;
        }
        let piece = self.piece(path, file, problems)?;
        if let Some(bytes) = &piece.fixed
            && std::str::from_utf8(bytes).is_err()
        {
            problems.push(self.about(&piece.file, "a step must be text in UTF-8"));
            return None;
        }
        Some(piece)
    }

    /// Parses the templates, and looks for filters in places where they would not hold.
    fn parse(&mut self, problems: &mut Vec<Diagnostic>) {
        let cmdline = self.profile.cmdline.clone();
        if let Some(engine) = self.engines.get_mut(&Format::Cmdline)
            && let Err(error) = engine.add(CMDLINE, &cmdline)
        {
            problems.push(self.diagnose(&error, CMDLINE, None));
        }
        let pieces = self
            .documents
            .iter()
            .flat_map(|d| &d.pieces)
            .chain(&self.steps);
        let mut seen = std::collections::BTreeSet::new();
        for piece in pieces.filter(|p| p.fixed.is_none()) {
            let mut todo = vec![piece.file.clone()];
            while let Some(file) = todo.pop() {
                if !seen.insert((piece.format, file.clone())) {
                    continue;
                }
                let Some(text) = self.text_of(&file) else {
                    continue; // said where it is included
                };
                for m in scan::misplaced(piece.format, &text) {
                    problems.push(
                        self.at_offset(&file, &text, m.at, m.length, m.message)
                            .help(m.help),
                    );
                }
                if let Some(engine) = self.engines.get(&piece.format)
                    && let Err(error) = engine.compile(&file)
                {
                    problems.push(self.diagnose(&error, &file, None));
                }
                todo.extend(scan::references(&text));
            }
        }
    }

    /// Renders one system.
    ///
    /// # Errors
    /// Every problem, with the file and line of each. Nothing is returned by halves.
    pub fn render(
        &self,
        system: &System,
        distro: &Distro,
        place: &Place,
    ) -> Result<Rendered, Vec<Diagnostic>> {
        let vars = variables(system, &self.profile);
        let context = context(system, &self.profile, distro, place, &vars);
        let mut problems = self.warnings.clone();
        let cmdline = self.cmdline(&context, &mut problems);
        let mut documents = BTreeMap::new();
        for prepared in &self.documents {
            if let Some(document) = self.document(prepared, &context, &mut problems) {
                documents.insert(prepared.name.clone(), document);
            }
        }
        if self.profile.kind.installs() {
            self.hand_off(&context, place, &mut documents, &mut problems);
        }
        let (warnings, errors) = split(problems);
        if !errors.is_empty() {
            return Err(errors);
        }
        Ok(Rendered {
            cmdline,
            documents,
            warnings,
        })
    }

    fn cmdline(&self, context: &Value, problems: &mut Vec<Diagnostic>) -> String {
        let Some(engine) = self.engines.get(&Format::Cmdline) else {
            return String::new();
        };
        match engine.render(CMDLINE, context) {
            Ok(text) => {
                let line = fold_cmdline(&text);
                let (file, before) = self.file_of(CMDLINE);
                let mut findings = Findings::new(&file, None);
                lint::check(Format::Cmdline, false, &line, &mut findings);
                Format::Cmdline.lint(&line, &mut findings);
                problems.extend(findings.into_diagnostics(&line).into_iter().map(|mut d| {
                    d.spans.iter_mut().for_each(|s| s.line = before + 1);
                    d
                }));
                line
            }
            Err(error) => {
                problems.push(self.diagnose(&error, CMDLINE, Some(context)));
                String::new()
            }
        }
    }

    fn document(
        &self,
        prepared: &Prepared,
        context: &Value,
        problems: &mut Vec<Diagnostic>,
    ) -> Option<Document> {
        let mut done: Vec<(&Piece, std::borrow::Cow<'_, [u8]>)> = Vec::new();
        let mut whole = true;
        for piece in &prepared.pieces {
            match self.bytes(piece, false, context, problems) {
                Some(bytes) => done.push((piece, bytes)),
                None => whole = false,
            }
        }
        if !whole {
            return None;
        }
        if !prepared.folder {
            let (piece, bytes) = done.pop()?;
            return Some(Document {
                name: prepared.name.clone(),
                content_type: content_type(piece.format, &bytes).to_string(),
                bytes: bytes.into_owned(),
                gzip: false,
                secret: false,
            });
        }
        let files: Vec<Packed<'_>> = done
            .iter()
            .map(|(piece, bytes)| Packed {
                path: &piece.path,
                executable: piece.executable,
                bytes,
            })
            .collect();
        match pack(&files) {
            Ok(bytes) => Some(Document {
                name: prepared.name.clone(),
                content_type: "application/gzip".to_string(),
                bytes,
                gzip: true,
                secret: false,
            }),
            Err(path) => {
                problems.push(self.about(&path, format!("`{path}` cannot be packed")));
                None
            }
        }
    }

    fn bytes<'a>(
        &self,
        piece: &'a Piece,
        secret: bool,
        context: &Value,
        problems: &mut Vec<Diagnostic>,
    ) -> Option<std::borrow::Cow<'a, [u8]>> {
        if let Some(fixed) = &piece.fixed {
            return Some(std::borrow::Cow::Borrowed(fixed));
        }
        match self
            .engines
            .get(&piece.format)?
            .render(&piece.file, context)
        {
            Ok(text) => {
                let (file, _) = self.file_of(&piece.file);
                let source = self.source_of(&piece.file);
                let mut findings = Findings::new(&file, source);
                lint::check(piece.format, secret, &text, &mut findings);
                piece.format.lint(&text, &mut findings);
                problems.extend(findings.into_diagnostics(&text));
                Some(std::borrow::Cow::Owned(text.into_bytes()))
            }
            Err(error) => {
                problems.push(self.diagnose(&error, &piece.file, Some(context)));
                None
            }
        }
    }

    /// The documents of the first boot, unless the profile has its own by these names.
    fn hand_off(
        &self,
        context: &Value,
        place: &Place,
        documents: &mut BTreeMap<String, Document>,
        problems: &mut Vec<Diagnostic>,
    ) {
        let urls = Urls {
            server: place.server,
        };
        let mut add = |name: &str, bytes: Vec<u8>, secret: bool| {
            documents
                .entry(name.to_string())
                .or_insert_with(|| Document {
                    name: name.to_string(),
                    content_type: "text/plain; charset=utf-8".to_string(),
                    bytes,
                    gzip: false,
                    secret,
                });
        };
        let report = urls.report(Scope::Report.placeholder());
        add(handoff::FIRST_BOOT, handoff::first_boot(&report), false);
        let (agent, timeout) = match &self.profile.handoff {
            Handoff::None => ("none", std::time::Duration::from_secs(60)),
            Handoff::Steps { timeout, .. } => ("steps", *timeout),
        };
        let mut steps = Vec::new();
        for piece in &self.steps {
            if let Some(bytes) = self.bytes(piece, true, context, problems) {
                steps.push(Step {
                    name: piece.path.clone(),
                    text: String::from_utf8_lossy(&bytes).into_owned(),
                });
            }
        }
        match handoff::bundle(agent, timeout, &steps) {
            Ok(bytes) => add(handoff::BUNDLE, bytes, true),
            Err(step) => problems.push(self.about(
                &step,
                "a line of this step reads like the end of a file in a bundle",
            )),
        }
    }

    fn text_of(&self, name: &str) -> Option<String> {
        self.source_of(name).map(str::to_string)
    }

    fn source_of(&self, name: &str) -> Option<&str> {
        if name == CMDLINE {
            return Some(&self.profile.cmdline);
        }
        std::str::from_utf8(self.profile.files.get(name)?).ok()
    }

    /// How a file is called in messages, and how many lines come before it there.
    fn file_of(&self, name: &str) -> (String, usize) {
        let profile = &self.profile.name;
        if name != CMDLINE {
            return (format!("profiles/{profile}/{name}"), 0);
        }
        let file = format!("profiles/{profile}/profile.toml");
        let text = self.source_of("profile.toml").unwrap_or("");
        let found = text
            .lines()
            .enumerate()
            .find(|(_, line)| line.trim_start().starts_with("cmdline"));
        // a long string's text begins on the line after its opening quotes
        let before = found.map_or(0, |(at, line)| {
            at + usize::from(line.trim_end().ends_with("\"\"\""))
        });
        (file, before)
    }

    fn diagnose(
        &self,
        error: &minijinja::Error,
        template: &str,
        context: Option<&Value>,
    ) -> Diagnostic {
        let sources = Sources {
            text_of: &|name| self.text_of(name),
            file_of: &|name| self.file_of(name),
        };
        diagnose(error, template, &sources, context)
    }

    /// A problem with a file as a whole.
    fn about(&self, file: &str, message: impl Into<String>) -> Diagnostic {
        Diagnostic::error(message).at(Span {
            file: self.file_of(file).0,
            line: 1,
            column: 1,
            length: 1,
            text: String::new(),
            label: String::new(),
        })
    }

    fn at_offset(
        &self,
        file: &str,
        text: &str,
        at: usize,
        length: usize,
        message: &str,
    ) -> Diagnostic {
        let begin = text[..at].rfind('\n').map_or(0, |n| n + 1);
        let line = text[..at].matches('\n').count() + 1;
        Diagnostic::error(message).at(Span {
            file: self.file_of(file).0,
            line,
            column: text[begin..at].chars().count() + 1,
            length: text[at..].chars().count().min(length),
            text: text[begin..].lines().next().unwrap_or("").to_string(),
            label: String::new(),
        })
    }
}

fn content_type(format: Format, bytes: &[u8]) -> &'static str {
    if std::str::from_utf8(bytes).is_err() {
        return "application/octet-stream";
    }
    format.content_type()
}

fn split(problems: Vec<Diagnostic>) -> (Vec<Diagnostic>, Vec<Diagnostic>) {
    problems
        .into_iter()
        .partition(|d| d.severity == Severity::Warning)
}
