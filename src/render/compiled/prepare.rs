//! What is done once for a profile: its files found, its templates parsed, and everything checked
//! that is the same for every system.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::model::{Answer, Diagnostic, Handoff, Profile};

use super::super::Format;
use super::super::engine::{Engine, Files};
use super::super::formats::batch_ended;
use super::super::handoff::agents::is_taken;
use super::super::intent::wanted;
use super::super::lint::{self, Findings};
use super::super::scan;
use super::{CMDLINE, CompiledProfile, Piece, Prepared, split};

impl CompiledProfile {
    /// Parses every template of the profile and checks what does not depend on a system.
    ///
    /// # Errors
    /// Every problem, with the file and line of each.
    pub fn new(profile: &Profile) -> Result<Self, Vec<Diagnostic>> {
        let wanted = wanted(profile, None)?;
        let mut made = CompiledProfile {
            wanted,
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
        self.prepare_delivery(problems);
        let (dir, agent) = match &profile.handoff {
            Handoff::None => (None, None),
            Handoff::Steps { dir, .. } => (Some(dir), None),
            Handoff::Agent(plan) => (plan.steps.as_ref(), Some(&plan.spec)),
        };
        if let Some(dir) = dir {
            let found = self.folder(dir, problems);
            for (path, file) in &found {
                if agent.is_some_and(|spec| is_taken(spec, path)) {
                    problems.push(
                        self.about(
                            file,
                            format!("`{path}` is the name of the agent's own file"),
                        )
                        .help("give the step another name"),
                    );
                }
            }
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
        let fixed = (!template || text.is_some_and(scan::is_static)).then(|| match text {
            Some(text) if format == Format::Batch => Arc::from(batch_ended(text).as_bytes()),
            _ => Arc::clone(bytes),
        });
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
        let mut seen = BTreeSet::new();
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
}
