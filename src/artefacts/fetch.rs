//! Fetching a distro: each artefact from where its declaration says, all of them or none.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use super::disk;
use super::errand::Errand;
use super::error::ArtefactError;
use super::loaders;
use super::progress::{Report, Step, tell};
use super::record::{Record, Set};
use super::shelf::{Shelf, check_name};
use crate::model::{ArtefactSource, Distro};

/// How often a lock that another process holds is tried.
const LOCK: Duration = Duration::from_millis(100);

/// What an operator asks of a fetch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Renew {
    /// Fetch what is not here, or is declared otherwise than it was. Local files are compared.
    Missing,
    /// Also look for newer packages, ask servers again, build again.
    All,
}

/// What a fetch did for one artefact.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// It was here and is right.
    Kept(Record),
    /// It was fetched.
    Fetched(Record),
}

impl Outcome {
    /// What is on the shelf now.
    pub fn record(&self) -> &Record {
        match self {
            Outcome::Kept(record) | Outcome::Fetched(record) => record,
        }
    }
}

impl Shelf {
    /// Fetches a distro's artefacts. Kernel and initrd become current together, once all is here
    /// and checked. If the future is dropped, what was downloaded stays and the next call goes on.
    /// Calls for one distro wait for each other, also across processes. `site` is where relative
    /// paths of declarations begin.
    ///
    /// # Errors
    /// The first thing that failed. What was current stays so.
    pub async fn fetch(
        &self,
        distro: &Distro,
        site: &Path,
        renew: Renew,
        report: &Report,
    ) -> Result<BTreeMap<String, Outcome>, ArtefactError> {
        for (name, source) in &distro.artefacts {
            check_name(&distro.name, name)?;
            if let ArtefactSource::Built { builder } = source {
                check_name(&distro.name, builder)?;
            }
        }
        let home = self.distro(&distro.name);
        let work = home.join("work");
        disk::directory(&work)?;
        let _lock = lock(&home.join("lock"), &distro.name, report).await?;
        let mut errand = Errand {
            shelf: self,
            distro,
            site,
            renew,
            report,
            set: Set::read(&home)?,
            work,
        };
        errand.run().await
    }

    /// Fetches the network boot loaders that this host's packages lack; nothing if none.
    ///
    /// # Errors
    /// As [`Shelf::fetch`].
    pub async fn fetch_loaders(
        &self,
        renew: Renew,
        report: &Report,
    ) -> Result<BTreeMap<String, Outcome>, ArtefactError> {
        match loaders::to_fetch(self.host()) {
            Some(distro) => self.fetch(&distro, Path::new("/"), renew, report).await,
            None => Ok(BTreeMap::new()),
        }
    }
}

/// Takes a lock file, waiting for whoever holds it; it is free again when the file is dropped.
async fn lock(path: &Path, distro: &str, report: &Report) -> Result<fs::File, ArtefactError> {
    let file = fs::File::create(path).map_err(ArtefactError::file("create", path))?;
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(file),
            Err(fs::TryLockError::WouldBlock) => tell(report, distro, Step::Waiting, 0, None),
            Err(fs::TryLockError::Error(e)) => return Err(ArtefactError::file("lock", path)(e)),
        }
        // a blocking lock could not be given up
        tokio::time::sleep(LOCK).await;
    }
}

/// Runs work that reads and writes much on a thread for it. If the caller is dropped, the work is
/// told at its next question.
pub(super) async fn blocking<T: Send + 'static>(
    work: impl FnOnce(&dyn Fn() -> bool) -> Result<T, ArtefactError> + Send + 'static,
) -> Result<T, ArtefactError> {
    struct Dropped(Arc<AtomicBool>);
    impl Drop for Dropped {
        fn drop(&mut self) {
            self.0.store(true, Ordering::Relaxed);
        }
    }
    let flag = Arc::new(AtomicBool::new(false));
    let _dropped = Dropped(flag.clone());
    let task = tokio::task::spawn_blocking(move || work(&|| !flag.load(Ordering::Relaxed)));
    match task.await {
        Ok(result) => result,
        Err(error) => match error.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            // only when the runtime is going down
            Err(error) => Err(ArtefactError::file(
                "finish work on",
                Path::new("the shelf"),
            )(std::io::Error::other(error))),
        },
    }
}
