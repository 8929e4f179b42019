//! One fetch of one distro: what is here already, what must come, and the step that makes it true.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use super::error::ArtefactError;
use super::fetch::{Outcome, Renew};
use super::placeholder;
use super::progress::Report;
use super::record::{Record, Set, source_line};
use super::shelf::Shelf;
use crate::model::artefact::LOADERS;
use crate::model::{ArtefactSource, Distro};

/// How many earlier versions of an artefact stay, whoever pinned them.
const SUPERSEDED: usize = 2;

/// A file that a source delivered, not yet believed.
pub(super) struct Arrival {
    pub(super) name: String,
    pub(super) at: PathBuf,
    pub(super) origin: String,
    pub(super) version: Option<String>,
    /// apt vouched for it.
    pub(super) vouched: bool,
}

/// One fetch: what it works on.
pub(super) struct Errand<'a> {
    pub(super) shelf: &'a Shelf,
    pub(super) distro: &'a Distro,
    pub(super) site: &'a Path,
    pub(super) renew: Renew,
    pub(super) report: &'a Report,
    pub(super) set: Set,
    pub(super) work: PathBuf,
}

impl Errand<'_> {
    pub(super) async fn run(&mut self) -> Result<BTreeMap<String, Outcome>, ArtefactError> {
        placeholder::refuse(self.distro)?;
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
                    match self.by_url(name, url, sha256.is_some()).await? {
                        Ok(arrival) => arrivals.push(arrival),
                        Err(kept) => {
                            outcomes.insert(name.clone(), Outcome::Kept(kept));
                        }
                    }
                }
                ArtefactSource::File { path, sha256 } => {
                    arrivals.push(self.by_file(name, path, sha256.is_some()).await?);
                }
                // once the medium is here
                ArtefactSource::Iso { .. } => {}
            }
        }
        for (package, wanted) in packages {
            match self.by_package(package, &wanted).await? {
                Ok(found) => arrivals.extend(found),
                Err(kept) => {
                    outcomes.extend(kept.into_iter().map(|(n, r)| (n, Outcome::Kept(r))));
                }
            }
        }
        for (builder, names) in built {
            arrivals.extend(self.by_builder(builder, &names).await?);
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
        for (name, record, came) in self.off_media(&fresh).await? {
            let outcome = match came {
                true => Outcome::Fetched(record.clone()),
                false => Outcome::Kept(record.clone()),
            };
            fresh.insert(name.clone(), record);
            outcomes.insert(name, outcome);
        }
        self.conclude(fresh)?;
        Ok(outcomes)
    }

    /// The record of an artefact that need not be fetched.
    fn settled(&self, name: &str, source: &ArtefactSource) -> Option<Record> {
        let record = self.present(name)?;
        if record.inside.as_ref() != self.distro.way.inside.get(name) {
            return None;
        }
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
                    && !matches!(
                        source,
                        ArtefactSource::File { .. } | ArtefactSource::Iso { .. }
                    )
            }
        };
        done.then_some(record)
    }

    pub(super) fn present(&self, name: &str) -> Option<Record> {
        let record = self.set.artefacts.get(name)?;
        let here = self.shelf.present(&self.distro.name, name, record);
        here.then(|| record.clone())
    }

    /// Makes what was fetched current, in one step, and clears away what no one can ask for.
    fn conclude(&mut self, fresh: BTreeMap<String, Record>) -> Result<(), ArtefactError> {
        let before = self.set.clone();
        self.set.merge(fresh, SUPERSEDED, self.shelf.pinned());
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
