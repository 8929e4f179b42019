//! How much the cache may hold, and what goes when it holds more: what was not asked for longest.
//!
//! Transfers under way share one disk, so each is promised its bytes before it writes them, and what is
//! promised counts as taken. The disk is not the cache's alone (the database is on it), so it is asked
//! again while bytes come in.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::SystemTime;

/// Counts what is kept below one directory.
#[derive(Debug)]
pub(super) struct Budget {
    limit: u64,
    /// Bytes of the disk that stay free.
    reserve: u64,
    /// Bytes on disk; unknown until the first file is added. Held while the disk is asked, so that two
    /// do not get the same room.
    used: Mutex<Option<u64>>,
    /// Bytes promised to transfers and not yet written.
    promised: AtomicU64,
}

/// What a transfer may still write. What it did not is free again when it is dropped.
#[derive(Debug)]
pub(super) struct Room {
    budget: Arc<Budget>,
    left: u64,
}

impl Room {
    /// Bytes that may be written before more must be asked for.
    pub(super) fn left(&self) -> u64 {
        self.left
    }

    /// Counts bytes that are on the disk now.
    pub(super) fn wrote(&mut self, bytes: u64) {
        let bytes = bytes.min(self.left);
        self.left -= bytes;
        self.budget.promised.fetch_sub(bytes, Ordering::SeqCst);
    }

    /// Adds what another promise holds.
    pub(super) fn join(&mut self, mut other: Room) {
        self.left += std::mem::take(&mut other.left);
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        self.budget.promised.fetch_sub(self.left, Ordering::SeqCst);
    }
}

struct Kept {
    used: SystemTime,
    size: u64,
    path: PathBuf,
}

/// Bytes that must become free so that `wanted` more fit beside what is promised and what stays free.
fn lacking(free: u64, wanted: u64, promised: u64, reserve: u64) -> u64 {
    let needed = wanted.saturating_add(promised).saturating_add(reserve);
    needed.saturating_sub(free)
}

/// How many of the `kept` bytes may stay so that `lack` bytes become free; none if removing all of them
/// would not do.
fn goal(kept: u64, lack: u64) -> Option<u64> {
    kept.checked_sub(lack)
}

impl Budget {
    pub(super) fn new(limit: u64, reserve: u64) -> Budget {
        Budget {
            limit,
            reserve,
            used: Mutex::new(None),
            promised: AtomicU64::new(0),
        }
    }

    /// Room for `size` more bytes on the disk, none if there is not so much; the least recently asked
    /// for go if that is enough. Reads directories if so: not for a thread that must not block.
    pub(super) fn room(self: &Arc<Self>, dir: &Path, size: u64) -> Option<Room> {
        let mut used = self.used();
        if !self.fits(dir, size) {
            // asked once more: bytes may have come in meanwhile
            let lack = self.lack(dir, size);
            let kept = list(dir).iter().map(|k| k.size).sum();
            // what cannot fit costs nobody their files
            *used = Some(evict(dir, goal(kept, lack)?));
            if !self.fits(dir, size) {
                return None;
            }
        }
        self.promised.fetch_add(size, Ordering::SeqCst);
        Some(Room {
            budget: self.clone(),
            left: size,
        })
    }

    fn fits(&self, dir: &Path, size: u64) -> bool {
        self.lack(dir, size) == 0
    }

    fn lack(&self, dir: &Path, size: u64) -> u64 {
        // Before the disk is asked: what is written in between then counts twice and not never.
        let promised = self.promised.load(Ordering::SeqCst);
        // a file system that does not say is believed to have room
        free(dir).map_or(0, |free| lacking(free, size, promised, self.reserve))
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
        let budget = Arc::new(budget);
        assert!(budget.room(dir.path(), 1).is_some());
        assert!(
            budget.room(dir.path(), u64::MAX).is_none(),
            "no disk is so large"
        );
        assert!(
            there("aa/1") && there("bb/5"),
            "nothing went for what cannot fit"
        );
    }

    #[test]
    fn what_is_promised_to_others_is_taken() {
        let gib = 1u64 << 30;
        for (free, wanted, promised, lack) in [
            (20 * gib, 4 * gib, 0, 0),
            (20 * gib, 4 * gib, 15 * gib, 0),
            // seven others of 4 GiB have begun, and none has written anything
            (20 * gib, 4 * gib, 28 * gib, 13 * gib),
            (gib / 2, 0, 0, gib / 2),
            (0, u64::MAX, u64::MAX, u64::MAX),
        ] {
            let found = lacking(free, wanted, promised, gib);
            assert_eq!(found, lack, "{wanted} beside {promised} in {free}");
        }
        assert_eq!(goal(10 * gib, 3 * gib), Some(7 * gib));
        assert_eq!(goal(10 * gib, 11 * gib), None, "all of it would not do");
    }

    #[test]
    fn a_promise_ends_with_its_bytes_or_with_its_transfer() {
        let dir = tempfile::tempdir().expect("a directory");
        let budget = Arc::new(Budget::new(1 << 30, 0));
        let promised = || budget.promised.load(Ordering::SeqCst);
        let mut room = budget.room(dir.path(), 100).expect("room");
        room.wrote(30);
        assert_eq!((room.left(), promised()), (70, 70));
        room.join(budget.room(dir.path(), 50).expect("more"));
        assert_eq!((room.left(), promised()), (120, 120));
        // more than was promised, as of a server that lies
        room.wrote(200);
        assert_eq!((room.left(), promised()), (0, 0));
        room.join(budget.room(dir.path(), 7).expect("more"));
        drop(room);
        assert_eq!(promised(), 0);
    }
}
