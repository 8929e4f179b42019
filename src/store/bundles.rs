//! Bundles of logs that installers send when they fail: one file a build, beside the database.
//!
//! ```text
//! STATE/bundles/SYSTEM/EPOCH.tar.gz     or EPOCH.txt; never changed in place
//! ```

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::model::{BuildKey, Bundle, BundleKind, Name, Timestamp};

/// Where they are. Cheap to copy.
#[derive(Debug, Clone)]
pub struct Bundles {
    dir: PathBuf,
}

impl Bundles {
    /// Those of a server whose state is in `state`. Nothing is read or created yet.
    pub fn open(state: &Path) -> Bundles {
        Bundles {
            dir: state.join("bundles"),
        }
    }

    fn path(&self, build: &BuildKey, kind: BundleKind) -> PathBuf {
        let name = format!("{}.{}", build.epoch, kind.suffix());
        self.dir.join(build.system.as_str()).join(name)
    }

    /// Keeps the bundle of a build, in the place of an earlier one of the same build. When this
    /// returns, it is durable.
    ///
    /// # Errors
    /// If it cannot be written; then an earlier one stays.
    pub fn keep(&self, build: &BuildKey, kind: BundleKind, bytes: &[u8]) -> io::Result<()> {
        let home = self.dir.join(build.system.as_str());
        fs::create_dir_all(&home)?;
        // What is in the logs of an installer is for operators only.
        fs::set_permissions(&self.dir, fs::Permissions::from_mode(0o700))?;
        let fresh = home.join(format!(".{}.new", build.epoch));
        let written = || -> io::Result<()> {
            let mut file = File::options()
                .write(true)
                .create(true)
                .truncate(true)
                .mode(0o600)
                .open(&fresh)?;
            file.write_all(bytes)?;
            file.sync_all()?;
            fs::rename(&fresh, self.path(build, kind))
        };
        if let Err(error) = written() {
            // What a full disk has room for is needed.
            let _gone = fs::remove_file(&fresh).is_ok();
            return Err(error);
        }
        for other in BundleKind::ALL.into_iter().filter(|other| *other != kind) {
            match fs::remove_file(self.path(build, other)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        File::open(&home)?.sync_all()?;
        File::open(&self.dir)?.sync_all()
    }

    /// The bundle of a build.
    pub fn find(&self, build: &BuildKey) -> Option<Bundle> {
        let mut kinds = BundleKind::ALL.into_iter();
        kinds.find_map(|kind| {
            let meta = fs::metadata(self.path(build, kind)).ok()?;
            let kept = meta.modified().ok()?;
            Some(Bundle {
                system: build.system.clone(),
                build: build.epoch,
                kind,
                size: meta.len(),
                kept: Timestamp::try_from(kept).ok()?,
            })
        })
    }

    /// Its bytes.
    ///
    /// # Errors
    /// If it cannot be read.
    pub fn read(&self, bundle: &Bundle) -> io::Result<Vec<u8>> {
        let build = BuildKey {
            system: bundle.system.clone(),
            epoch: bundle.build,
        };
        fs::read(self.path(&build, bundle.kind))
    }

    /// Those of one system, the oldest build first.
    pub fn of(&self, system: &Name) -> Vec<Bundle> {
        let entries = fs::read_dir(self.dir.join(system.as_str())).into_iter();
        let names = entries.flatten().flatten().map(|e| e.file_name());
        let epochs: BTreeSet<u32> = names
            .filter_map(|name| name.to_str()?.split_once('.')?.0.parse().ok())
            .collect();
        let key = |epoch| BuildKey {
            system: system.clone(),
            epoch,
        };
        epochs
            .into_iter()
            .filter_map(|e| self.find(&key(e)))
            .collect()
    }

    /// Removes those of builds that are not `known`, and the oldest until all together have `most` bytes.
    /// Says how many.
    pub fn tidy(&self, known: &BTreeSet<BuildKey>, most: u64) -> usize {
        let systems = fs::read_dir(&self.dir).into_iter().flatten().flatten();
        let systems = systems.filter_map(|e| e.file_name().to_str()?.parse::<Name>().ok());
        let systems: Vec<Name> = systems.collect();
        for system in &systems {
            remove_halves(&self.dir.join(system.as_str()));
        }
        let mut all: Vec<Bundle> = systems.iter().flat_map(|system| self.of(system)).collect();
        all.sort_by_key(|b| std::cmp::Reverse(b.kept));
        let (mut used, mut removed) = (0, 0);
        for bundle in all {
            let build = BuildKey {
                system: bundle.system,
                epoch: bundle.build,
            };
            used += bundle.size;
            if known.contains(&build) && used <= most {
                continue;
            }
            used -= bundle.size;
            // What cannot be removed is tried again the next time.
            removed += usize::from(fs::remove_file(self.path(&build, bundle.kind)).is_ok());
            let _not_empty = fs::remove_dir(self.dir.join(build.system.as_str())).is_err();
        }
        removed
    }
}

/// Removes what a crash left half written: nobody writes for an hour.
fn remove_halves(home: &Path) {
    const HOUR: Duration = Duration::from_secs(3600);
    for entry in fs::read_dir(home).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let half = name
            .to_str()
            .is_some_and(|n| n.starts_with('.') && n.ends_with(".new"));
        let changed = entry.metadata().and_then(|m| m.modified()).ok();
        let old = changed.and_then(|at| at.elapsed().ok());
        if half && old.is_some_and(|age| age > HOUR) {
            let _tried_again = fs::remove_file(entry.path()).is_ok();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn build(system: &str, epoch: u32) -> BuildKey {
        BuildKey {
            system: system.parse().expect("a name"),
            epoch,
        }
    }

    #[test]
    fn one_a_build_is_kept_and_the_oldest_go_first() {
        let state = tempfile::tempdir().expect("a directory");
        let bundles = Bundles::open(state.path());
        assert_eq!(bundles.tidy(&BTreeSet::new(), 0), 0, "nothing is there yet");
        let all = [build("web01", 1), build("web01", 2), build("db01.lab", 1)];
        for (i, key) in all.iter().enumerate() {
            bundles
                .keep(key, BundleKind::Text, &[b'x'; 100])
                .expect("kept");
            let at = std::time::UNIX_EPOCH + std::time::Duration::from_secs(1000 + i as u64);
            let path = bundles.path(key, BundleKind::Text);
            let file = File::options().append(true).open(&path).expect("there");
            file.set_modified(at).expect("a time");
            let mode = fs::metadata(&path).expect("there").permissions().mode();
            assert_eq!(mode & 0o777, 0o600);
        }
        let known: BTreeSet<BuildKey> = all.iter().cloned().collect();
        assert_eq!(bundles.tidy(&known, 300), 0);
        assert_eq!(bundles.tidy(&known, 250), 1);
        assert_eq!(bundles.find(&all[0]), None, "it was the oldest");
        let system = all[0].system.clone();
        assert_eq!(bundles.of(&system).len(), 1);

        // Another for the same build takes its place, whatever it is.
        bundles
            .keep(&all[1], BundleKind::TarGz, b"\x1f\x8bz")
            .expect("kept");
        let found = bundles.find(&all[1]).expect("there");
        assert_eq!((found.kind, found.size), (BundleKind::TarGz, 3));
        assert_eq!(bundles.read(&found).expect("read"), b"\x1f\x8bz");
        let files = fs::read_dir(state.path().join("bundles/web01")).expect("there");
        assert_eq!(files.count(), 1);

        let known = BTreeSet::from([all[2].clone()]);
        assert_eq!(bundles.tidy(&known, 300), 1, "its build is gone");
        assert!(!state.path().join("bundles/web01").exists());
        assert!(bundles.find(&all[2]).is_some());
    }
}
