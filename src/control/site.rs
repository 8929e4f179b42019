//! The site's files: loading them, keeping the last good revision, recalling older ones.

use std::collections::HashSet;
use std::path::PathBuf;
use std::sync::{Arc, Mutex as StdMutex, PoisonError};

use tokio::sync::{Mutex, Notify, oneshot};

use super::writer::Command;
use super::{Control, TellError, check, revisions};
use crate::inventory::{self, FileSet};
use crate::model::command::ReloadReport;
use crate::model::view::Stale;
use crate::model::{Diagnostic, Name, Refusal, Severity, Site, Span};
use crate::store::{RevisionFiles, RevisionRow};

/// Systems that cannot be used are named one by one up to this many.
const BROKEN_NAMED: usize = 20;

/// Where the files are, and what was last read of them.
#[derive(Debug)]
pub(super) struct Files {
    pub(super) site: PathBuf,
    pub(super) loaded: Mutex<Loaded>,
    stale: StdMutex<Option<Stale>>,
    /// Systems of the revision in force that were not rendered yet.
    pending: StdMutex<HashSet<Name>>,
    more: Notify,
}

/// What was last read: held while reading or editing, so that two of them take turns.
#[derive(Debug, Default)]
pub(super) struct Loaded {
    pub(super) files: FileSet,
    pub(super) cache: inventory::Cache,
}

impl Files {
    pub(super) fn new(site: PathBuf) -> Self {
        Files {
            site,
            loaded: Mutex::new(Loaded::default()),
            stale: StdMutex::new(None),
            pending: StdMutex::default(),
            more: Notify::new(),
        }
    }

    /// Which systems were not rendered yet.
    pub(super) fn pending(&self) -> std::sync::MutexGuard<'_, HashSet<Name>> {
        self.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Replaces the systems that were not rendered yet, and wakes who renders them.
    pub(super) fn set_pending(&self, names: HashSet<Name>) {
        *self.pending() = names;
        self.more.notify_one();
    }

    /// These were rendered.
    pub(super) fn rendered(&self, names: &[Name]) {
        let mut pending = self.pending();
        for name in names {
            pending.remove(name);
        }
    }

    /// Until there may be more to render.
    pub(super) async fn more_pending(&self) {
        self.more.notified().await;
    }

    pub(super) fn stale(&self) -> Option<Stale> {
        self.stale
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    fn set_stale(&self, stale: Option<Stale>) {
        *self.stale.lock().unwrap_or_else(PoisonError::into_inner) = stale;
    }
}

impl Control {
    /// Loads the site for the first time. If its files are wrong, the last good revision is put in
    /// force again and the refusal says what is wrong with the files; the server serves all the same.
    ///
    /// # Errors
    /// The problems of the files; `Ok` with the present revision otherwise. Without a last good
    /// revision the site stays empty: nobody is answered.
    pub async fn load(&self) -> Result<ReloadReport, Refusal> {
        let refusal = match self.reload("start").await {
            Ok(report) => return Ok(report),
            Err(refusal) => refusal,
        };
        match self.last_good().await {
            Ok(Some(files)) => {
                let parsed = inventory::parse(&files);
                if let Some(mut site) = parsed.site {
                    let mut loaded = self.files.loaded.lock().await;
                    let none = HashSet::new();
                    let left = check::mark_broken(self, &mut site, &Site::default(), &files, &none);
                    self.publish(site, None)
                        .await
                        .map_err(|e| Refusal::failed(e.to_string()))?;
                    self.files.set_pending(left);
                    loaded.files = files;
                    tracing::error!(
                        "the files of the site are refused; the last good revision is in force"
                    );
                }
            }
            Ok(None) => tracing::error!(
                "the files of the site are refused and there is no earlier revision: nobody is answered"
            ),
            Err(problem) => tracing::error!(%problem, "the last good revision cannot be recalled"),
        }
        Err(refusal)
    }

    /// Reads the files again. They come into force whole or not at all.
    ///
    /// # Errors
    /// Every problem at once; the revision in force stays.
    pub async fn reload(&self, author: &str) -> Result<ReloadReport, Refusal> {
        let mut loaded = self.files.loaded.lock().await;
        let dir = self.files.site.clone();
        let read = tokio::task::spawn_blocking(move || inventory::read(&dir)).await;
        let files = match read {
            Ok(Ok(files)) => files,
            Ok(Err(error)) => return Err(self.refuse(vec![Diagnostic::error(error.to_string())])),
            Err(_) => return Err(Refusal::failed("reading the site was cut off")),
        };
        let mut report = self.adopt(files, author, None, &mut loaded).await?;
        report.warnings.extend(self.broken());
        Ok(report)
    }

    /// A warning for each system that boots its own disk because its entry cannot be used.
    fn broken(&self) -> Vec<Diagnostic> {
        let site = self.site();
        let broken = site.systems.values();
        let mut broken: Vec<(&Name, &str)> = broken
            .filter_map(|s| Some((&s.name, s.broken.as_deref()?)))
            .collect();
        broken.sort_unstable();
        let more = broken.len().saturating_sub(BROKEN_NAMED);
        let mut warnings: Vec<Diagnostic> = broken
            .iter()
            .take(BROKEN_NAMED)
            .map(|(name, problem)| {
                let what = format!("`{name}` boots its own disk until this is mended: {problem}");
                Diagnostic::warning(what).help("farrier check")
            })
            .collect();
        if more > 0 {
            warnings.push(Diagnostic::warning(format!("and {more} more systems")));
        }
        warnings
    }

    /// Puts files in force that were read or edited. `summary` says what an edit did.
    pub(super) async fn adopt(
        &self,
        files: FileSet,
        author: &str,
        summary: Option<String>,
        loaded: &mut Loaded,
    ) -> Result<ReloadReport, Refusal> {
        let revision = files.revision();
        let before = self.site();
        if revision == before.revision {
            self.files.set_stale(None);
            loaded.files = files;
            return Ok(ReloadReport {
                revision: revision.short(),
                changed: false,
                warnings: vec![],
            });
        }
        let known = self.files_before(loaded).await;
        if let Some(problem) = vanished(&known, &files) {
            return Err(self.refuse(vec![problem]));
        }
        let parsed = tokio::task::block_in_place(|| loaded.cache.parse(&files));
        let (errors, mut warnings): (Vec<_>, Vec<_>) = parsed
            .diagnostics
            .into_iter()
            .partition(|d| d.severity == Severity::Error);
        let Some(mut site) = parsed.site else {
            return Err(self.refuse(errors));
        };
        let pending = self.files.pending().clone();
        let left = tokio::task::block_in_place(|| {
            check::mark_broken(self, &mut site, &self.site(), &files, &pending)
        });
        let summary = summary.unwrap_or_else(|| revisions::summary(&known, &files));
        let row = self.revision_row(&files, author, summary);
        self.publish(site, Some(row))
            .await
            .map_err(|e| Refusal::failed(e.to_string()))?;
        self.files.set_pending(left);
        self.files.set_stale(None);
        loaded.files = files;
        tracing::info!(revision = %revision.short(), author, "a new revision of the site is in force");
        for warning in self.leased_elsewhere(&before, &self.site()) {
            tracing::warn!("{warning}");
            warnings.push(warning);
        }
        Ok(ReloadReport {
            revision: revision.short(),
            changed: true,
            warnings,
        })
    }

    /// The files of the revision in force; after a start, of the one that was in force before.
    async fn files_before(&self, loaded: &Loaded) -> FileSet {
        if !loaded.files.files.is_empty() {
            return loaded.files.clone();
        }
        match self.last_good().await {
            Ok(files) => files.unwrap_or_default(),
            Err(problem) => {
                // Sound files must come into force all the same.
                tracing::warn!(%problem, "the last good revision cannot be recalled");
                FileSet::default()
            }
        }
    }

    fn refuse(&self, problems: Vec<Diagnostic>) -> Refusal {
        let before = self.files.stale();
        // The same files are looked at again and again: by a clock, and by whoever asks.
        if before.as_ref().is_none_or(|s| s.problems != problems) {
            for problem in &problems {
                tracing::error!("the site's files are refused: {problem}");
            }
            tracing::error!("run `farrier check`; what was in force stays in force");
        }
        let since = before.map_or_else(|| self.clock(), |s| s.since);
        self.files.set_stale(Some(Stale {
            since,
            problems: problems.clone(),
        }));
        Refusal::files(problems)
    }

    fn revision_row(
        &self,
        files: &FileSet,
        author: &str,
        summary: String,
    ) -> (RevisionRow, RevisionFiles) {
        let row = RevisionRow {
            digest: files.revision().to_string(),
            time: self.clock(),
            author: author.to_string(),
            summary,
            manifest: serde_json::to_string(&files.manifest()).unwrap_or_default(),
        };
        let contents = files
            .files
            .values()
            .map(|f| (f.digest.to_string(), f.bytes.clone()))
            .collect();
        (row, contents)
    }

    pub(super) async fn publish(
        &self,
        site: Site,
        revision: Option<(RevisionRow, RevisionFiles)>,
    ) -> Result<(), TellError> {
        let (done, wait) = oneshot::channel();
        let digest = site.revision;
        let publish = Command::Site {
            site: Arc::new(site),
            revision,
            done,
        };
        self.commands
            .send(publish)
            .await
            .map_err(|_| TellError::Stopped)?;
        wait.await.map_err(|_| TellError::Stopped)??;
        self.revised.send_replace(digest);
        Ok(())
    }

    async fn last_good(&self) -> Result<Option<FileSet>, Refusal> {
        let failed = |e: crate::store::StoreError| Refusal::failed(e.to_string());
        match self.store.last_revision().await.map_err(failed)? {
            Some(row) => self.files_of(&row).await.map(Some),
            None => Ok(None),
        }
    }
}

/// A `systems.toml` that is gone is a slip of the hand or a file system that is not mounted, and not
/// the wish to forget every machine: that is said by an empty one.
fn vanished(before: &FileSet, now: &FileSet) -> Option<Diagnostic> {
    const SYSTEMS: &str = "systems.toml";
    if now.files.contains_key(SYSTEMS) || !before.files.contains_key(SYSTEMS) {
        return None;
    }
    let declared = inventory::parse(before).site.map_or(0, |s| s.systems.len());
    let place = Span {
        file: SYSTEMS.to_string(),
        line: 1,
        column: 1,
        length: 1,
        text: String::new(),
        label: "gone".to_string(),
    };
    let problem = Diagnostic::error(format!(
        "`{SYSTEMS}` is gone, and the revision in force declares systems: {declared}"
    ));
    (declared > 0).then(|| {
        problem.at(place).help(format!(
            "put it back (`farrier revision show live {SYSTEMS}` prints it); a site without systems \
             keeps an empty one"
        ))
    })
}
