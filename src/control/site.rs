//! The site's files: loading them, keeping the last good revision, recalling older ones.

use std::path::PathBuf;
use std::sync::{Arc, Mutex as StdMutex, PoisonError};

use tokio::sync::{Mutex, oneshot};

use super::writer::{Command, RevisionFiles};
use super::{Control, TellError, check};
use crate::inventory::{self, FileSet, Manifest};
use crate::model::command::{DocumentView, FileView, ReloadReport, RevisionView};
use crate::model::view::Stale;
use crate::model::{Code, Diagnostic, Refusal, Severity, Site};
use crate::store::RevisionRow;

/// Where the files are, and what was last read of them.
#[derive(Debug)]
pub(super) struct Files {
    pub(super) site: PathBuf,
    pub(super) loaded: Mutex<Loaded>,
    stale: StdMutex<Option<Stale>>,
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
        }
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
                    check::mark_broken(self, &mut site, &Site::default(), &files);
                    self.publish(site, None)
                        .await
                        .map_err(|e| Refusal::failed(e.to_string()))?;
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
        self.adopt(files, author, &mut loaded).await
    }

    /// Puts files in force that were read or edited.
    pub(super) async fn adopt(
        &self,
        files: FileSet,
        author: &str,
        loaded: &mut Loaded,
    ) -> Result<ReloadReport, Refusal> {
        let revision = files.revision();
        let before = self.site().revision;
        if revision == before {
            self.files.set_stale(None);
            loaded.files = files;
            return Ok(ReloadReport {
                revision: revision.short(),
                changed: false,
                warnings: vec![],
            });
        }
        let parsed = tokio::task::block_in_place(|| loaded.cache.parse(&files));
        let (errors, warnings): (Vec<_>, Vec<_>) = parsed
            .diagnostics
            .into_iter()
            .partition(|d| d.severity == Severity::Error);
        let Some(mut site) = parsed.site else {
            return Err(self.refuse(errors));
        };
        tokio::task::block_in_place(|| {
            check::mark_broken(self, &mut site, &self.site(), &files);
        });
        let row = self.revision_row(&files, author);
        self.publish(site, Some(row))
            .await
            .map_err(|e| Refusal::failed(e.to_string()))?;
        self.files.set_stale(None);
        loaded.files = files;
        tracing::info!(revision = %revision.short(), author, "a new revision of the site is in force");
        Ok(ReloadReport {
            revision: revision.short(),
            changed: true,
            warnings,
        })
    }

    fn refuse(&self, problems: Vec<Diagnostic>) -> Refusal {
        for problem in &problems {
            tracing::error!("the site's files are refused: {problem}");
        }
        let since = self.files.stale().map_or_else(|| self.clock(), |s| s.since);
        self.files.set_stale(Some(Stale {
            since,
            problems: problems.clone(),
        }));
        Refusal::files(problems)
    }

    fn revision_row(&self, files: &FileSet, author: &str) -> (RevisionRow, RevisionFiles) {
        let row = RevisionRow {
            digest: files.revision().to_string(),
            time: self.clock(),
            author: author.to_string(),
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
        let publish = Command::Site {
            site: Arc::new(site),
            revision,
            done,
        };
        self.commands
            .send(publish)
            .await
            .map_err(|_| TellError::Stopped)?;
        wait.await.map_err(|_| TellError::Stopped)?
    }

    async fn last_good(&self) -> Result<Option<FileSet>, Refusal> {
        let failed = |e: crate::store::StoreError| Refusal::failed(e.to_string());
        match self.store.last_revision().await.map_err(failed)? {
            Some(row) => self.files_of(&row).await.map(Some),
            None => Ok(None),
        }
    }

    /// The files of a stored revision.
    pub(super) async fn files_of(&self, row: &RevisionRow) -> Result<FileSet, Refusal> {
        let manifest: Manifest = serde_json::from_str(&row.manifest)
            .map_err(|e| Refusal::failed(format!("the revision cannot be read: {e}")))?;
        let mut contents = std::collections::HashMap::new();
        for entry in manifest.files.values() {
            let bytes = self
                .store
                .blob(&entry.digest.to_string())
                .await
                .map_err(|e| Refusal::failed(e.to_string()))?;
            if let Some(bytes) = bytes {
                contents.insert(entry.digest, Arc::<[u8]>::from(bytes));
            }
        }
        FileSet::from_parts(&manifest, |digest| contents.get(digest).cloned())
            .map_err(|e| Refusal::failed(e.to_string()))
    }

    /// The row of a revision by `live`, its digest, or the digest's beginning.
    pub(super) async fn find_revision(&self, which: &str) -> Result<RevisionRow, Refusal> {
        let digest = match which {
            "live" => self.site().revision.to_string(),
            other => other.to_string(),
        };
        let found = self
            .store
            .revision(&digest)
            .await
            .map_err(|e| Refusal::failed(e.to_string()))?;
        found.ok_or_else(|| {
            Refusal::new(Code::NotFound, format!("no revision begins with `{which}`"))
                .help("farrier server revisions")
        })
    }

    /// All revisions, newest first, without their files.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn revisions(&self) -> Result<Vec<RevisionView>, Refusal> {
        let rows = self
            .store
            .revisions(500)
            .await
            .map_err(|e| Refusal::failed(e.to_string()))?;
        Ok(rows
            .into_iter()
            .map(|row| RevisionView {
                revision: row.digest,
                time: row.time,
                author: row.author,
                files: Vec::new(),
            })
            .collect())
    }

    /// One revision with its files.
    ///
    /// # Errors
    /// If there is none, or its files cannot be recalled.
    pub async fn revision(&self, which: &str) -> Result<RevisionView, Refusal> {
        let row = self.find_revision(which).await?;
        let files = self.files_of(&row).await?;
        Ok(RevisionView {
            revision: row.digest,
            time: row.time,
            author: row.author,
            files: files
                .files
                .iter()
                .map(|(path, file)| FileView {
                    document: DocumentView::new(path, "text/plain", &file.bytes),
                    executable: file.executable,
                })
                .collect(),
        })
    }
}
