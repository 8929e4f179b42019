//! Editing the site's files in place. A change is live when this answers.

use super::Control;
use crate::inventory::{self, EditLock, FileSet};
use crate::model::command::{EditOutcome, EditReport, EditRequest};
use crate::model::{Phase, Refusal, Site, System};

impl Control {
    /// Edits `systems.toml` (or the file that declares the system): worked out on the bytes that are
    /// on disk now, checked as a whole, written in one step, and published.
    ///
    /// # Errors
    /// If nothing is selected, a count does not match, or the files would be wrong afterwards; then
    /// nothing is written.
    pub async fn edit(&self, request: &EditRequest, actor: &str) -> Result<EditReport, Refusal> {
        let mut loaded = self.files.loaded.lock().await;
        let dir = self.files.site.clone();
        let taken = tokio::task::spawn_blocking(move || -> Result<(EditLock, FileSet), Refusal> {
            let lock = EditLock::take(&dir).map_err(|e| Refusal::failed(e.to_string()))?;
            let files = inventory::read(&dir).map_err(|e| Refusal::failed(e.to_string()))?;
            Ok((lock, files))
        });
        let (lock, files) = taken
            .await
            .map_err(|_| Refusal::failed("reading the site was cut off"))??;
        if files.revision() != self.site().revision {
            self.adopt(files.clone(), "files", None, &mut loaded)
                .await?;
        }
        let snapshot = self.snapshot();
        let (systems, dry_run) = match request {
            EditRequest::Add { .. } => (Vec::new(), false),
            EditRequest::Set {
                selection,
                expect,
                dry_run,
                ..
            }
            | EditRequest::Remove {
                selection,
                expect,
                dry_run,
            } => {
                let systems = self.resolve(&snapshot, selection, false)?;
                super::flag::expect(*expect, systems.len())?;
                (systems, *dry_run)
            }
        };
        let selected: Vec<&System> = systems.iter().map(AsRef::as_ref).collect();
        let removes = matches!(request, EditRequest::Remove { .. });
        if removes {
            self.refuse_busy(&selected)?;
        }
        let edits = inventory::edits(request, &selected)?;
        let (after, changes, unchanged) = inventory::apply(&edits, &files)?;
        let outcome = |name: &crate::model::Name, word: &str, site: &Site| {
            let system = site.system(name).or_else(|| snapshot.site.system(name));
            EditOutcome {
                name: name.clone(),
                outcome: if unchanged.contains(name) {
                    "unchanged"
                } else {
                    word
                }
                .to_string(),
                file: changes
                    .first()
                    .map_or("systems.toml", |c| c.path.as_str())
                    .to_string(),
                macs: system
                    .map(|s| s.interfaces.iter().map(|i| i.mac).collect())
                    .unwrap_or_default(),
                profile: system.map_or_else(|| name.clone(), |s| s.profile.clone()),
                phase: Some(
                    snapshot
                        .machines
                        .get(name)
                        .and_then(|m| m.build.as_ref())
                        .map_or(Phase::Idle, |b| b.phase),
                ),
                broken: system.filter(|_| !removes).and_then(|s| s.broken.clone()),
            }
        };
        let word = match request {
            EditRequest::Add { .. } => "added",
            EditRequest::Set { .. } => "changed",
            EditRequest::Remove { .. } => "removed",
        };
        let mut warnings = Vec::new();
        if !changes.is_empty() {
            self.would_load(&after, &mut loaded)?;
        }
        if !dry_run && !changes.is_empty() {
            for change in &changes {
                lock.write(change)
                    .map_err(|e| Refusal::failed(e.to_string()))?;
            }
            let summaries: Vec<&str> = changes.iter().map(|c| c.summary.as_str()).collect();
            let summary = Some(summaries.join("; "));
            let report = self.adopt(after, actor, summary, &mut loaded).await?;
            warnings = report.warnings;
        }
        drop(lock);
        let now = self.site();
        Ok(EditReport {
            dry_run,
            systems: edits
                .iter()
                .map(|e| outcome(e.name(), word, &now))
                .collect(),
            revision: now.revision.short(),
            warnings,
        })
    }

    /// Refuses files that would not load, before anything is written.
    fn would_load(&self, files: &FileSet, loaded: &mut super::site::Loaded) -> Result<(), Refusal> {
        let parsed = tokio::task::block_in_place(|| loaded.cache.parse(files));
        match parsed.site {
            Some(_) => Ok(()),
            None => Err(Refusal::would_be(
                parsed
                    .diagnostics
                    .into_iter()
                    .filter(|d| d.severity == crate::model::Severity::Error)
                    .collect(),
            )),
        }
    }

    /// A system with a build under way is not removed under it.
    fn refuse_busy(&self, systems: &[&System]) -> Result<(), Refusal> {
        let snapshot = self.snapshot();
        for system in systems {
            let build = snapshot
                .machines
                .get(&system.name)
                .and_then(|m| m.build.as_ref());
            if let Some(build) = build
                && build.phase.is_active()
            {
                return Err(Refusal::refused(format!(
                    "build {} of `{}` is {}",
                    build.key.epoch, system.name, build.phase
                ))
                .help(format!("farrier cancel {}", system.name)));
            }
            if system.protected {
                return Err(Refusal::refused(format!("`{}` is protected", system.name))
                    .help(format!("farrier set {} protected=false", system.name)));
            }
        }
        Ok(())
    }
}
