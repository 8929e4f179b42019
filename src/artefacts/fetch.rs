//! Fetching a distro: each artefact from where its declaration says, all of them or none.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use super::builders;
use super::client::{Wiring, client};
use super::deb;
use super::disk::{self, Measure};
use super::download::{Download, Order, download};
use super::error::ArtefactError;
use super::loaders;
use super::progress::{Report, Step, tell};
use super::record::{Record, Set, source_line};
use super::shelf::{Shelf, check_name};
use super::unpack::unpack;
use crate::model::artefact::LOADERS;
use crate::model::{ArtefactSource, Distro, Timestamp};

/// How many earlier versions of an artefact stay, for builds that pinned them.
const SUPERSEDED: usize = 2;
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

/// A file that a source delivered, not yet believed.
struct Arrival {
    name: String,
    at: PathBuf,
    origin: String,
    version: Option<String>,
    /// apt vouched for it.
    vouched: bool,
}

/// One fetch: what it works on.
struct Errand<'a> {
    shelf: &'a Shelf,
    distro: &'a Distro,
    site: &'a Path,
    renew: Renew,
    report: &'a Report,
    set: Set,
    work: PathBuf,
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

impl Errand<'_> {
    async fn run(&mut self) -> Result<BTreeMap<String, Outcome>, ArtefactError> {
        let mut outcomes = BTreeMap::new();
        let mut packages: BTreeMap<&str, Vec<(&str, &str)>> = BTreeMap::new();
        let mut built: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        let mut arrivals = Vec::new();
        for (name, source) in &self.distro.artefacts {
            if let Some(record) = self.settled(name, source) {
                outcomes.insert(name.clone(), Outcome::Kept(record));
                continue;
            }
            match source {
                ArtefactSource::Deb { package, path } => {
                    packages.entry(package).or_default().push((name, path));
                }
                ArtefactSource::Built { builder } => built.entry(builder).or_default().push(name),
                ArtefactSource::Url { url, sha256 } => {
                    match self.from_url(name, url, sha256.is_some()).await? {
                        Ok(arrival) => arrivals.push(arrival),
                        Err(kept) => {
                            outcomes.insert(name.clone(), Outcome::Kept(kept));
                        }
                    }
                }
                ArtefactSource::File { path, .. } => {
                    arrivals.push(self.from_file(name, path).await?);
                }
            }
        }
        for (package, wanted) in packages {
            match self.from_package(package, &wanted).await? {
                Ok(found) => arrivals.extend(found),
                Err(kept) => {
                    outcomes.extend(kept.into_iter().map(|(n, r)| (n, Outcome::Kept(r))));
                }
            }
        }
        for (builder, names) in built {
            arrivals.extend(self.from_builder(builder, &names).await?);
        }
        let mut fresh = BTreeMap::new();
        for arrival in arrivals {
            let name = arrival.name.clone();
            let record = self.accept(arrival).await?;
            let same = self
                .set
                .artefacts
                .get(&name)
                .is_some_and(|r| r.digest == record.digest);
            fresh.insert(name.clone(), record.clone());
            let outcome = if same {
                Outcome::Kept(record)
            } else {
                Outcome::Fetched(record)
            };
            outcomes.insert(name, outcome);
        }
        self.conclude(fresh)?;
        Ok(outcomes)
    }

    /// The record of an artefact that need not be fetched.
    fn settled(&self, name: &str, source: &ArtefactSource) -> Option<Record> {
        let record = self.present(name)?;
        let declared = match source {
            ArtefactSource::Url { sha256, .. } | ArtefactSource::File { sha256, .. } => {
                sha256.as_deref()
            }
            _ => None,
        };
        let done = match declared {
            Some(sha256) => sha256.eq_ignore_ascii_case(&record.sha256),
            None => {
                self.renew == Renew::Missing
                    && record.source == source_line(source)
                    && !matches!(source, ArtefactSource::File { .. })
            }
        };
        done.then_some(record)
    }

    fn present(&self, name: &str) -> Option<Record> {
        let record = self.set.artefacts.get(name)?;
        let here = self.shelf.present(&self.distro.name, name, record);
        here.then(|| record.clone())
    }

    /// From a URL: an arrival, or the record of what turned out to be current.
    async fn from_url(
        &self,
        name: &str,
        url: &str,
        pinned: bool,
    ) -> Result<Result<Arrival, Record>, ArtefactError> {
        let wiring = Wiring {
            downgrade: pinned,
            ..Wiring::default()
        };
        let client = client(&wiring).map_err(|e| ArtefactError::Url {
            url: url.to_string(),
            reason: e.to_string(),
        })?;
        let current = self
            .present(name)
            .filter(|r| r.source == format!("url:{url}"));
        let part = self.work.join(format!("{name}.part"));
        let order = Order {
            name,
            url,
            pinned,
            known: current.as_ref().and_then(|r| r.version.as_deref()),
            part: &part,
            report: self.report,
        };
        match (download(&client, &order).await?, current) {
            (Download::Whole { url, version }, _) => Ok(Ok(Arrival {
                name: name.to_string(),
                at: part,
                origin: url,
                version,
                vouched: false,
            })),
            (Download::Unchanged, Some(record)) => Ok(Err(record)),
            (Download::Unchanged, None) => Err(ArtefactError::Url {
                url: url.to_string(),
                reason: "the server answers `unchanged` to a first request".to_string(),
            }),
        }
    }

    async fn from_file(&self, name: &str, path: &str) -> Result<Arrival, ArtefactError> {
        let (from, at) = (self.site.join(path), self.work.join(name));
        let origin = from.display().to_string();
        let copy = at.clone();
        blocking(move |_| {
            fs::copy(&from, &copy)
                .map(drop)
                .map_err(ArtefactError::file("copy", &from))
        })
        .await?;
        Ok(Arrival {
            name: name.to_string(),
            at,
            origin,
            version: None,
            vouched: false,
        })
    }

    /// From a package: what was unpacked, or the records of what apt says is current.
    async fn from_package(
        &self,
        package: &str,
        wanted: &[(&str, &str)],
    ) -> Result<Result<Vec<Arrival>, Vec<(String, Record)>>, ArtefactError> {
        let dir = self.work.join("apt");
        disk::directory(&dir)?;
        let candidate = deb::candidate(package, &dir).await?;
        let current: Vec<(String, Record)> = wanted
            .iter()
            .filter_map(|(name, path)| {
                let (package, path) = (package.to_string(), path.to_string());
                let line = source_line(&ArtefactSource::Deb { package, path });
                let record = self.present(name).filter(|r| r.source == line)?;
                let same = record.version.is_some() && record.version == candidate.sha256;
                same.then(|| (name.to_string(), record))
            })
            .collect();
        if current.len() == wanted.len() {
            return Ok(Err(current));
        }
        let path = deb::download(package, &candidate, &dir, self.report).await?;
        let targets: Vec<(String, PathBuf)> = wanted
            .iter()
            .map(|(name, path)| (path.to_string(), self.work.join(name)))
            .collect();
        let arrivals = targets
            .iter()
            .zip(wanted)
            .map(|((_, at), (name, _))| Arrival {
                name: name.to_string(),
                at: at.clone(),
                origin: candidate.file.clone(),
                version: candidate.sha256.clone(),
                vouched: true,
            });
        let arrivals: Vec<Arrival> = arrivals.collect();
        let (report, package) = (self.report.clone(), package.to_string());
        blocking(move |go_on| {
            let total = Some(candidate.size);
            deb::check(&path, &candidate, &mut |done| {
                tell(&report, &package, Step::Checking, done, total);
                go_on()
            })?;
            unpack(&path, &package, &targets, &mut |done| {
                tell(&report, &package, Step::Unpacking, done, total);
                go_on()
            })
        })
        .await?;
        Ok(Ok(arrivals))
    }

    async fn from_builder(
        &self,
        builder: &str,
        names: &[&str],
    ) -> Result<Vec<Arrival>, ArtefactError> {
        let dir = self.work.join(format!("built-{builder}"));
        if dir.exists() {
            fs::remove_dir_all(&dir).map_err(ArtefactError::file("empty", &dir))?;
        }
        disk::directory(&dir)?;
        builders::build(builder, &dir, self.report).await?;
        let arrival = |name: &&str| {
            let at = dir.join(name);
            if !at.is_file() {
                return Err(ArtefactError::Builder {
                    builder: builder.to_string(),
                    reason: format!("it made no `{name}`"),
                });
            }
            Ok(Arrival {
                name: name.to_string(),
                at,
                origin: format!("builder {builder}"),
                version: None,
                vouched: true,
            })
        };
        names.iter().map(arrival).collect()
    }

    /// Measures a file, compares it with what is declared or was seen before, and moves it to its
    /// place. It is not current yet.
    async fn accept(&self, arrival: Arrival) -> Result<Record, ArtefactError> {
        let Arrival {
            name,
            at,
            origin,
            version,
            vouched,
        } = arrival;
        let (report, label, path) = (self.report.clone(), name.clone(), at.clone());
        let total = fs::metadata(&at).ok().map(|m| m.len());
        let measure = blocking(move |go_on| {
            disk::measure(&path, &mut |done| {
                tell(&report, &label, Step::Checking, done, total);
                go_on()
            })
        })
        .await?;
        let source = self.distro.artefacts.get(&name);
        let line = source.map(source_line).unwrap_or_default();
        let declared = match source {
            Some(ArtefactSource::Url { sha256, .. } | ArtefactSource::File { sha256, .. }) => {
                sha256.as_deref()
            }
            _ => None,
        };
        let verdict = self.believe(&name, &origin, &line, declared, &measure);
        if let Err(error) = verdict {
            // going on from these bytes would give them again
            let _ = fs::remove_file(&at);
            return Err(error);
        }
        let to = self
            .shelf
            .file(&self.distro.name, &name, &measure.digest.short());
        disk::settle(&at, &to)?;
        Ok(Record {
            digest: measure.digest,
            sha256: measure.sha256,
            size: measure.size,
            source: line,
            origin,
            pinned: vouched || declared.is_some(),
            fetched: Timestamp::now(),
            version,
        })
    }

    fn believe(
        &self,
        name: &str,
        origin: &str,
        line: &str,
        declared: Option<&str>,
        measure: &Measure,
    ) -> Result<(), ArtefactError> {
        if let Some(expected) = declared {
            if expected.eq_ignore_ascii_case(&measure.sha256) {
                return Ok(());
            }
            return Err(ArtefactError::Digest {
                name: name.to_string(),
                origin: origin.to_string(),
                expected: expected.to_string(),
                found: measure.sha256.clone(),
            });
        }
        // Trust on first use, for what comes over a network and nobody vouched for.
        match self.set.artefacts.get(name) {
            Some(before)
                if line.starts_with("url:")
                    && before.source == line
                    && before.sha256 != measure.sha256 =>
            {
                Err(ArtefactError::Changed {
                    name: name.to_string(),
                    origin: origin.to_string(),
                    before: before.sha256.clone(),
                    found: measure.sha256.clone(),
                })
            }
            _ => Ok(()),
        }
    }

    /// Makes what was fetched current, in one step, and clears away what no one can ask for.
    fn conclude(&mut self, fresh: BTreeMap<String, Record>) -> Result<(), ArtefactError> {
        let before = self.set.clone();
        self.set.merge(fresh, SUPERSEDED);
        if self.distro.name.as_str() != LOADERS {
            self.set
                .retire(|name| self.distro.artefacts.contains_key(name));
        }
        let home = self.shelf.distro(&self.distro.name);
        if self.set != before {
            self.set.write(&home)?;
        }
        if let Err(error) = fs::remove_dir_all(&self.work) {
            tracing::warn!(path = %self.work.display(), %error, "cannot clear away");
        }
        // the loaders' directory also holds copies of this host's own, which no record names
        if self.distro.name.as_str() != LOADERS {
            sweep(&home, &self.set);
        }
        Ok(())
    }
}

/// Removes versions that no record names: superseded too often, or left by a crash. What cannot be
/// removed is only waste.
fn sweep(home: &Path, set: &Set) {
    let list = |dir: &Path| -> Vec<String> {
        let entries = fs::read_dir(dir).into_iter().flatten();
        entries
            .filter_map(|e| e.ok()?.file_name().into_string().ok())
            .collect()
    };
    let is_digest = |name: &String| name.len() == 12 && name.bytes().all(|b| b.is_ascii_hexdigit());
    for digest in list(home).into_iter().filter(is_digest) {
        let dir = home.join(&digest);
        for name in list(&dir) {
            if !set.holds(&name, &digest) {
                let _ = fs::remove_file(dir.join(name));
            }
        }
        // fails while anything is left in it
        let _ = fs::remove_dir(dir);
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
async fn blocking<T: Send + 'static>(
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
