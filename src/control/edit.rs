//! Editing the site's files in place. A change is live when this answers.

use super::{Control, Snapshot};
use crate::inventory::{self, EditLock, FileSet};
use crate::model::command::{EditOutcome, EditReport, EditRequest};
use crate::model::{MacAddr, Name, Phase, Refusal, Site, System};

impl Control {
    /// Edits `systems.toml` (or the file that declares the system): worked out on the bytes that are
    /// on disk now, checked as a whole, written in one step, and published.
    ///
    /// # Errors
    /// If nothing is selected, a count does not match, a build is in the way, or the files would be wrong
    /// afterwards; then nothing is written.
    pub async fn edit(&self, request: &EditRequest, actor: &str) -> Result<EditReport, Refusal> {
        let mut loaded = self.files.loaded.lock().await;
        let dir = self.files.site.clone();
        let taken = tokio::task::spawn_blocking(move || -> Result<(EditLock, FileSet), Refusal> {
            let lock = EditLock::take(&dir).map_err(|e| e.refusal())?;
            let files = inventory::read(&dir)
                .map_err(|e| Refusal::failed(crate::model::with_causes(&e)))?;
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
            refuse_busy(&snapshot, &selected)?;
        }
        let edits = inventory::edits(request, &selected, &snapshot.site);
        let applied = inventory::apply(&edits, &files)?;
        let (after, changes, placed) = (applied.files, applied.changes, applied.systems);
        let outcome = |name: &Name, word: &str, site: &Site| {
            let system = site.system(name).or_else(|| snapshot.site.system(name));
            let placed = placed.get(name);
            let same = placed.is_some_and(|p| !p.changed);
            EditOutcome {
                name: name.clone(),
                outcome: if same { "unchanged" } else { word }.to_string(),
                file: placed.map(|p| p.file.clone()).unwrap_or_default(),
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
        let planned = match changes.is_empty() {
            true => None,
            false => Some(self.would_load(&after, &mut loaded)?),
        };
        if let (EditRequest::Set { .. }, Some(planned)) = (request, &planned) {
            refuse_flagged(&snapshot, &selected, planned)?;
        }
        if !dry_run && !changes.is_empty() {
            for change in &changes {
                lock.write(change).map_err(|e| e.refusal())?;
            }
            let summaries: Vec<&str> = changes.iter().map(|c| c.summary.as_str()).collect();
            let summary = Some(summaries.join("; "));
            let report = self.adopt(after, actor, summary, &mut loaded).await?;
            warnings = report.warnings;
        }
        drop(lock);
        let now = self.site();
        let shown: &Site = match &planned {
            Some(planned) if dry_run => planned,
            _ => &now,
        };
        Ok(EditReport {
            dry_run,
            systems: edits
                .iter()
                .map(|e| outcome(e.name(), word, shown))
                .collect(),
            revision: now.revision.short(),
            warnings,
        })
    }

    /// The site as it would be. Refuses files that would not load, before anything is written.
    fn would_load(
        &self,
        files: &FileSet,
        loaded: &mut super::site::Loaded,
    ) -> Result<Site, Refusal> {
        let parsed = tokio::task::block_in_place(|| loaded.cache.parse(files));
        match parsed.site {
            Some(site) => Ok(site),
            None => Err(Refusal::would_be(
                parsed
                    .diagnostics
                    .into_iter()
                    .filter(|d| d.severity == crate::model::Severity::Error)
                    .collect(),
            )),
        }
    }
}

/// A system with a build or a one-shot boot under way is not removed under it.
fn refuse_busy(snapshot: &Snapshot, systems: &[&System]) -> Result<(), Refusal> {
    for system in systems {
        let machine = snapshot.machines.get(&system.name);
        if let Some(build) = machine.and_then(|m| m.current())
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

/// Whoever flagged a system looked at this machine, which was not protected. A flag that would not be
/// heeded any more is taken off first, so that nobody waits for it.
fn refuse_flagged(snapshot: &Snapshot, before: &[&System], after: &Site) -> Result<(), Refusal> {
    let macs = |s: &System| -> Vec<MacAddr> { s.interfaces.iter().map(|i| i.mac).collect() };
    for system in before {
        let build = snapshot.machines.get(&system.name);
        let build = build.and_then(|m| m.build.as_ref());
        let Some(build) = build.filter(|b| b.phase == Phase::Armed) else {
            continue;
        };
        let Some(now) = after.system(&system.name) else {
            continue;
        };
        if (now.protected && !system.protected) || macs(now) != macs(system) {
            return Err(Refusal::refused(format!(
                "`{}` is flagged for a rebuild (build {})",
                system.name, build.key.epoch
            ))
            .help(format!("farrier cancel {}", system.name)));
        }
    }
    Ok(())
}
