//! The shelf: artefacts on this server's disk, found by record, never by the name in a request.
//!
//! ```text
//! STATE/artefacts/DISTRO/set.json            what is current, and what was before; written last
//!                        DIGEST12/NAME       a file, read-only, never changed in place
//!                        work/               what a fetch has so far; an interrupted one goes on here
//!                        lock                held while fetching
//! ```

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::disk;
use super::error::ArtefactError;
use super::loaders::{self, LoaderState};
use super::nature;
use super::progress::{Report, Step, tell};
use super::record::{Record, Set};
use crate::boot::paths::{HttpPath, parse_http};
use crate::model::artefact::LOADERS;
use crate::model::view::DistroView;
use crate::model::{Artefact, ArtefactIndex, ArtefactRef, ArtefactSource, Digest, Distro};

/// Where artefacts are kept. Cheap to make; holds nothing open.
#[derive(Debug, Clone)]
pub struct Shelf {
    dir: PathBuf,
    host: PathBuf,
    pinned: Arc<BTreeSet<Digest>>,
}

/// An artefact that is not what its record says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Damage {
    /// Which.
    pub id: ArtefactRef,
    /// In which way, in one sentence with its fix.
    pub reason: String,
}

impl Shelf {
    /// The shelf of a server whose state is in `state`. Nothing is read or created yet.
    pub fn open(state: impl AsRef<Path>) -> Shelf {
        Shelf::on_host(state, "/")
    }

    /// As [`Shelf::open`], looking for installed boot loaders below another root.
    pub fn on_host(state: impl AsRef<Path>, root: impl Into<PathBuf>) -> Shelf {
        Shelf {
            dir: state.as_ref().join("artefacts"),
            host: root.into(),
            pinned: Arc::default(),
        }
    }

    /// The same shelf, where these versions stay however often they are superseded: builds under
    /// way pinned them.
    pub fn keeping(&self, pinned: BTreeSet<Digest>) -> Shelf {
        Shelf {
            pinned: Arc::new(pinned),
            ..self.clone()
        }
    }

    /// The SHA-256 of each artefact of a distro that came from a URL and is vouched for by nothing,
    /// by name: the first download was believed.
    pub fn unpinned(&self, distro: &Distro) -> BTreeMap<String, String> {
        let set = Set::read(&self.dir.join(distro.name.as_str())).unwrap_or_default();
        let loose = |name: &String| {
            let source = distro.artefacts.get(name);
            matches!(source, Some(ArtefactSource::Url { sha256: None, .. }))
        };
        let all = set.artefacts.into_iter();
        all.filter(|(name, record)| !record.pinned && loose(name))
            .map(|(name, record)| (name, record.sha256))
            .collect()
    }

    /// Everything present, from the records: no file but the boot loaders is read. A distro whose
    /// record is damaged is left out, with a line in the log.
    pub fn index(&self) -> ArtefactIndex {
        let mut index = ArtefactIndex::default();
        for distro in self.distros() {
            let set = match Set::read(&self.dir.join(&distro)) {
                Ok(set) => set,
                Err(error) => {
                    tracing::error!(distro, %error, "artefacts left out");
                    continue;
                }
            };
            for (name, record) in &set.superseded {
                if let Some(artefact) = self.artefact(&distro, name, record) {
                    index.insert_older(artefact);
                }
            }
            for (name, record) in &set.artefacts {
                match self.artefact(&distro, name, record) {
                    Some(artefact) => index.insert(artefact),
                    None => tracing::error!(
                        distro,
                        name,
                        "the artefact's file is gone or cut; fetch the distro again"
                    ),
                }
            }
        }
        // apt keeps an installed package fresher than anything fetched
        for (loader, _) in loaders::installed(&self.host) {
            let at = self.file(LOADERS, &loader.id.name, &loader.digest.short());
            index.insert(loaders::keep(loader, at));
        }
        index
    }

    /// What is recorded for a distro, by the name it is served under.
    ///
    /// # Errors
    /// The record cannot be read.
    pub fn records(&self, distro: &str) -> Result<BTreeMap<String, Record>, ArtefactError> {
        Ok(Set::read(&self.distro(distro))?.artefacts)
    }

    /// Which of a distro's artefacts are not here, in order of name.
    pub fn missing(&self, distro: &Distro) -> Vec<String> {
        let set = Set::read(&self.distro(&distro.name)).unwrap_or_default();
        let here = |name: &String| {
            let record = set.artefacts.get(name);
            record.is_some_and(|r| self.present(&distro.name, name, r))
        };
        distro
            .artefacts
            .keys()
            .filter(|n| !here(n))
            .cloned()
            .collect()
    }

    /// Whether each network boot loader can be served, from where, and what to do if not. Reads them.
    pub fn loaders(&self) -> Vec<LoaderState> {
        let records = self.records(LOADERS).unwrap_or_default();
        let here = |(name, record): (String, Record)| {
            let artefact = self.artefact(LOADERS, &name, &record)?;
            Some((name, (artefact, record)))
        };
        let fetched = records.into_iter().filter_map(here).collect();
        loaders::states(&self.host, &fetched)
    }

    /// The loaders as if they were a distro: those that a package has, and those that are here. One
    /// that no package has and nobody put here is not counted as missing. Reads them.
    pub fn loaders_view(&self) -> DistroView {
        let states = self.loaders();
        let missing: Vec<String> = states
            .iter()
            .filter(|s| s.packaged && s.origin.is_none())
            .map(|s| s.name.to_string())
            .collect();
        let present = states.iter().filter(|s| s.origin.is_some()).count();
        DistroView {
            name: LOADERS.to_string(),
            present,
            declared: present + missing.len(),
            size: states.iter().map(|s| s.size).sum(),
            profiles: Vec::new(),
            missing,
            unpinned: BTreeMap::new(),
            loaders: states.iter().map(LoaderState::view).collect(),
        }
    }

    /// Measures every file again and compares it with its record. Reads everything: minutes for a
    /// large shelf; call it from a thread that may block.
    pub fn verify(&self, report: &Report) -> Vec<Damage> {
        let mut found = Vec::new();
        for distro in self.distros() {
            let set = match Set::read(&self.dir.join(&distro)) {
                Ok(set) => set,
                Err(error) => {
                    found.push(damage(&distro, "set.json", error.to_string()));
                    continue;
                }
            };
            let all = set.artefacts.iter();
            for (name, record) in all.chain(set.superseded.iter().map(|(n, r)| (n, r))) {
                let path = self.file(&distro, name, &record.digest.short());
                let mut tick = |done| {
                    tell(report, name, Step::Checking, done, Some(record.size));
                    true
                };
                let reason = match disk::measure(&path, &mut tick) {
                    Ok(measure) if measure.digest == record.digest => continue,
                    Ok(_) => format!("`{}` was altered", path.display()),
                    Err(error) => error.to_string(),
                };
                let fix = format!("{reason}; remove it and run `farrier distro fetch {distro}`");
                found.push(damage(&distro, name, fix));
            }
        }
        found
    }

    pub(super) fn pinned(&self) -> &BTreeSet<Digest> {
        &self.pinned
    }

    pub(super) fn host(&self) -> &Path {
        &self.host
    }

    pub(super) fn distro(&self, distro: &str) -> PathBuf {
        self.dir.join(distro)
    }

    /// Where a version of an artefact lies.
    pub(super) fn file(&self, distro: &str, name: &str, digest: &str) -> PathBuf {
        self.dir.join(distro).join(digest).join(name)
    }

    pub(super) fn present(&self, distro: &str, name: &str, record: &Record) -> bool {
        self.artefact(distro, name, record).is_some()
    }

    fn artefact(&self, distro: &str, name: &str, record: &Record) -> Option<Artefact> {
        check_name(distro, name).ok()?;
        let path = self.file(distro, name, &record.digest.short());
        if distro == LOADERS {
            let loader = loaders::in_memory(name, &path).ok()?;
            return (loader.digest == record.digest).then_some(loader);
        }
        let size = std::fs::metadata(&path).ok()?.len();
        let nature = nature::of(name, &path, size);
        (size == record.size).then(|| Artefact {
            id: ArtefactRef {
                distro: distro.to_string(),
                name: name.to_string(),
            },
            path,
            digest: record.digest,
            size,
            bytes: None,
            nature,
        })
    }

    /// Names of the directories on the shelf, in order.
    fn distros(&self) -> Vec<String> {
        let Ok(entries) = std::fs::read_dir(&self.dir) else {
            return Vec::new();
        };
        let mut names: Vec<String> = entries
            .filter_map(|e| e.ok()?.file_name().into_string().ok())
            .filter(|n| Set::path(&self.dir.join(n)).exists())
            .collect();
        names.sort();
        names
    }
}

/// A name is good if its URL can be parsed again.
pub(super) fn check_name(distro: &str, name: &str) -> Result<(), ArtefactError> {
    let path = format!("/a/0/{distro}/{name}");
    match parse_http(&path) {
        Some(HttpPath::Artefact { id, .. }) if id.distro == distro && id.name == name => Ok(()),
        _ => Err(ArtefactError::Name(name.to_string())),
    }
}

fn damage(distro: &str, name: &str, reason: String) -> Damage {
    let id = ArtefactRef {
        distro: distro.to_string(),
        name: name.to_string(),
    };
    Damage { id, reason }
}
