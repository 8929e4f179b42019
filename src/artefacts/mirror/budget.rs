//! How much the cache may hold, and what goes when it holds more: what was not asked for longest.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard};
use std::time::SystemTime;

/// Counts what is kept below one directory.
#[derive(Debug)]
pub(super) struct Budget {
    limit: u64,
    /// Bytes of the disk that stay free.
    reserve: u64,
    /// Bytes on disk; unknown until the first file is added.
    used: Mutex<Option<u64>>,
}

struct Kept {
    used: SystemTime,
    size: u64,
    path: PathBuf,
}

impl Budget {
    pub(super) fn new(limit: u64, reserve: u64) -> Budget {
        let used = Mutex::new(None);
        Budget {
            limit,
            reserve,
            used,
        }
    }

    /// Whether a file of `size` bytes fits on the disk; the least recently asked for go if that
    /// helps. Reads directories if so.
    pub(super) fn make_room(&self, dir: &Path, size: u64) -> bool {
        let wanted = size.saturating_add(self.reserve);
        let lacking = |free: u64| wanted.saturating_sub(free);
        match free(dir).map(lacking) {
            // a file system that does not say is believed to have room
            None | Some(0) => true,
            Some(lack) => {
                let mut used = self.used();
                let total: u64 = list(dir).iter().map(|k| k.size).sum();
                *used = Some(evict(dir, total.saturating_sub(lack)));
                free(dir).map(lacking) == Some(0)
            }
        }
    }

    /// Counts a file that was added below `dir`; if that is too much, removes the least recently
    /// asked for until a tenth is free. Reads directories: not for a thread that must not block.
    pub(super) fn add(&self, dir: &Path, size: u64) {
        let mut used = self.used();
        let total = match *used {
            Some(before) => before + size,
            None => list(dir).iter().map(|k| k.size).sum(),
        };
        *used = Some(if total > self.limit {
            evict(dir, self.limit / 10 * 9)
        } else {
            total
        });
    }

    fn used(&self) -> MutexGuard<'_, Option<u64>> {
        // a count is right whatever panicked around it
        self.used.lock().unwrap_or_else(|e| e.into_inner())
    }
}

/// Removes entries until no more than `goal` bytes are left; says how many are.
fn evict(dir: &Path, goal: u64) -> u64 {
    let mut all = list(dir);
    all.sort_by_key(|k| k.used);
    let before: u64 = all.iter().map(|k| k.size).sum();
    let mut total = before;
    for kept in all {
        if total <= goal {
            break;
        }
        // someone may be reading it: an open file stays readable without its name
        if fs::remove_file(&kept.path).is_ok() {
            total -= kept.size;
        }
    }
    tracing::info!(before, after = total, "mirror cache thinned out");
    total
}

/// Bytes that this process may still write to the disk of `dir`.
fn free(dir: &Path) -> Option<u64> {
    let stat = nix::sys::statvfs::statvfs(dir).ok()?;
    Some(stat.blocks_available() * stat.fragment_size())
}

/// Every entry: files in the directories of two characters.
fn list(dir: &Path) -> Vec<Kept> {
    let entries = |dir: &Path| fs::read_dir(dir).into_iter().flatten().flatten();
    entries(dir)
        .filter(|shelf| shelf.file_name().len() == 2)
        .flat_map(|shelf| entries(&shelf.path()))
        .filter_map(|file| {
            let meta = file.metadata().ok()?;
            Some(Kept {
                used: meta.accessed().ok()?,
                size: meta.len(),
                path: file.path(),
            })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn what_was_not_asked_for_longest_goes_first() {
        let dir = tempfile::tempdir().expect("a directory");
        let write = |name: &str, used: u64| {
            let path = dir.path().join(name);
            fs::create_dir_all(path.parent().expect("a parent")).expect("made");
            fs::write(&path, [0u8; 100]).expect("written");
            let when = SystemTime::UNIX_EPOCH + Duration::from_secs(used);
            let times = fs::FileTimes::new().set_accessed(when);
            let file = fs::File::options().write(true).open(&path).expect("open");
            file.set_times(times).expect("dated");
        };
        let there = |name: &str| dir.path().join(name).exists();
        for (name, used) in [("aa/1", 300), ("aa/2", 100), ("bb/3", 400), ("tmp/4", 0)] {
            write(name, used);
        }
        let budget = Budget::new(350, 0);
        budget.add(dir.path(), 100);
        assert!(there("aa/2"), "300 bytes are within the budget");
        write("bb/5", 500);
        budget.add(dir.path(), 100);
        // 400 bytes: down to 315 at most
        let left = ["aa/1", "aa/2", "bb/3", "bb/5", "tmp/4"].map(there);
        assert_eq!(left, [true, false, true, true, true]);
        assert!(budget.make_room(dir.path(), 1));
        assert!(
            !budget.make_room(dir.path(), u64::MAX),
            "no disk is so large"
        );
        assert!(!there("bb/5"), "all that could help was done");
    }
}
