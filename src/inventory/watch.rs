//! Says when a site's files changed. A change is live the moment it is saved.
//!
//! The kernel's notices are a hint only: editors replace files, folders come and go, and some file
//! systems send none. So every notice leads to a look at the contents, and so does a clock.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use notify::event::{AccessKind, AccessMode, EventKind};
use notify::{RecommendedWatcher, RecursiveMode, Watcher};

use super::read::read;
use crate::model::Digest;

/// How often the files are looked at without a notice.
const POLL: Duration = Duration::from_secs(5);
/// How long it must be quiet after a notice: an editor's save is several steps.
const QUIET: Duration = Duration::from_millis(150);
/// How long to wait for quiet at most.
const PATIENCE: Duration = Duration::from_secs(2);

/// How a [`Watch`] looks at the files.
#[derive(Debug, Clone, Copy)]
pub struct WatchTimes {
    /// How often without a notice.
    pub poll: Duration,
    /// How long after the last notice.
    pub quiet: Duration,
    /// Whether the kernel is asked for notices at all.
    pub notices: bool,
}

impl Default for WatchTimes {
    fn default() -> Self {
        WatchTimes {
            poll: POLL,
            quiet: QUIET,
            notices: true,
        }
    }
}

/// What wakes the watching thread.
enum Wake {
    Notice,
    Stop,
}

/// Watches a site until it is dropped.
#[derive(Debug)]
pub struct Watch {
    wake: mpsc::Sender<Wake>,
    thread: Option<JoinHandle<()>>,
}

impl Watch {
    /// Watches `site` and calls `changed` from a thread of its own whenever the contents of its
    /// files differ from what they were, beginning with `known` (the revision that was loaded).
    /// The call tells only that something changed: read the site again.
    ///
    /// # Errors
    /// The thread cannot be started. Kernel notices that are refused (too many watches) are no
    /// error: the clock remains.
    pub fn start(
        site: &Path,
        known: Option<Digest>,
        times: WatchTimes,
        changed: impl FnMut() + Send + 'static,
    ) -> std::io::Result<Watch> {
        let (wake, woken) = mpsc::channel();
        let notices = wake.clone();
        let site = site.to_path_buf();
        let thread = std::thread::Builder::new()
            .name("site watch".to_string())
            .spawn(move || Lookout::new(site, known, times, notices).run(&woken, changed))?;
        Ok(Watch {
            wake,
            thread: Some(thread),
        })
    }

    /// Looks now, without waiting for a notice.
    pub fn look(&self) {
        // A thread that is gone has nothing to look at.
        _ = self.wake.send(Wake::Notice);
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        _ = self.wake.send(Wake::Stop);
        if let Some(thread) = self.thread.take() {
            // A panic in the callback was already printed by the thread.
            _ = thread.join();
        }
    }
}

/// The thread's half.
struct Lookout {
    site: PathBuf,
    times: WatchTimes,
    seen: Seen,
    notifier: Option<RecommendedWatcher>,
    /// Folders watched, with the inode they had: a folder that was replaced is watched anew.
    watched: BTreeMap<PathBuf, u64>,
}

/// What the files were when last looked at.
#[derive(PartialEq)]
enum Seen {
    /// Nothing yet.
    Nothing,
    /// These contents.
    Revision(Digest),
    /// They could not be read, for this reason.
    Unreadable(String),
}

impl Lookout {
    fn new(
        site: PathBuf,
        known: Option<Digest>,
        times: WatchTimes,
        wake: mpsc::Sender<Wake>,
    ) -> Self {
        let ours = site.clone();
        let notice = move |event: notify::Result<notify::Event>| {
            if event.map_or(true, |event| matters(&ours, &event)) {
                _ = wake.send(Wake::Notice);
            }
        };
        let notifier = if times.notices {
            notify::recommended_watcher(notice).ok()
        } else {
            None
        };
        let mut watcher = Lookout {
            site,
            times,
            seen: known.map_or(Seen::Nothing, Seen::Revision),
            notifier,
            watched: BTreeMap::new(),
        };
        watcher.cover();
        watcher
    }

    fn run(mut self, woken: &mpsc::Receiver<Wake>, mut changed: impl FnMut()) {
        if self.seen == Seen::Nothing {
            self.seen = self.contents();
        } else if self.differs() {
            changed();
        }
        loop {
            match woken.recv_timeout(self.times.poll) {
                Ok(Wake::Notice) => {
                    if self.settle(woken).is_none() {
                        return;
                    }
                }
                Err(RecvTimeoutError::Timeout) => {}
                Ok(Wake::Stop) | Err(RecvTimeoutError::Disconnected) => return,
            }
            // New folders are covered before the contents are read, so that nothing falls between.
            self.cover();
            if self.differs() {
                changed();
            }
        }
    }

    /// Waits until no notice came for a while; none if it is time to stop.
    fn settle(&self, woken: &mpsc::Receiver<Wake>) -> Option<()> {
        let begun = Instant::now();
        while begun.elapsed() < PATIENCE {
            match woken.recv_timeout(self.times.quiet) {
                Ok(Wake::Notice) => {}
                Err(RecvTimeoutError::Timeout) => break,
                Ok(Wake::Stop) | Err(RecvTimeoutError::Disconnected) => return None,
            }
        }
        Some(())
    }

    fn contents(&self) -> Seen {
        match read(&self.site) {
            Ok(files) => Seen::Revision(files.revision()),
            Err(error) => Seen::Unreadable(error.to_string()),
        }
    }

    fn differs(&mut self) -> bool {
        let now = self.contents();
        let differs = now != self.seen;
        self.seen = now;
        differs
    }

    /// Asks for notices of every folder that can hold one of the site's files. The site itself is
    /// not watched with all below it: the server's state may lie there.
    fn cover(&mut self) {
        let Some(notifier) = &mut self.notifier else {
            return;
        };
        let mut folders = vec![self.site.clone()];
        folders.extend(["systems.d", "boot"].map(|name| self.site.join(name)));
        folders_below(&self.site.join("profiles"), 0, &mut folders);
        let mut present = BTreeMap::new();
        for folder in folders {
            let Some(inode) = inode(&folder) else {
                continue;
            };
            let known = self.watched.get(&folder) == Some(&inode);
            if !known {
                if self.watched.contains_key(&folder) {
                    // The old folder is gone; its watch may be gone with it.
                    _ = notifier.unwatch(&folder);
                }
                if notifier
                    .watch(&folder, RecursiveMode::NonRecursive)
                    .is_err()
                {
                    continue;
                }
            }
            present.insert(folder, inode);
        }
        self.watched = present;
    }
}

fn inode(folder: &Path) -> Option<u64> {
    use std::os::unix::fs::MetadataExt;
    let found = std::fs::metadata(folder).ok()?;
    found.is_dir().then(|| found.ino())
}

fn folders_below(folder: &Path, depth: usize, found: &mut Vec<PathBuf>) {
    if depth > 16 || found.len() > 4096 || inode(folder).is_none() {
        return;
    }
    found.push(folder.to_path_buf());
    let Ok(entries) = std::fs::read_dir(folder) else {
        return;
    };
    for entry in entries.flatten() {
        folders_below(&entry.path(), depth + 1, found);
    }
}

/// Whether a notice can be about the site's files. Our own reading is not.
fn matters(site: &Path, event: &notify::Event) -> bool {
    let read_only = match event.kind {
        EventKind::Access(AccessKind::Close(AccessMode::Write)) => false,
        EventKind::Access(_) => true,
        _ => false,
    };
    let ours = |path: &PathBuf| {
        let Ok(inner) = path.strip_prefix(site) else {
            return true;
        };
        let first = inner.components().next();
        let first = first.map(|c| c.as_os_str().to_string_lossy().into_owned());
        let names = [
            "farrier.toml",
            "systems.toml",
            "systems.d",
            "boot",
            "profiles",
        ];
        first.is_none_or(|name| names.contains(&name.as_str()))
    };
    !read_only && (event.paths.is_empty() || event.paths.iter().any(ours))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    /// Far beyond what any machine needs; only a failure waits that long.
    const LONG: Duration = Duration::from_secs(60);

    struct Scene {
        dir: tempfile::TempDir,
        calls: mpsc::Receiver<()>,
        watch: Watch,
    }

    fn scene(times: WatchTimes) -> Scene {
        let dir = tempfile::tempdir().expect("a folder");
        fs::write(dir.path().join("systems.toml"), "").expect("written");
        let known = read(dir.path()).expect("readable").revision();
        let (called, calls) = mpsc::channel();
        let watch = Watch::start(dir.path(), Some(known), times, move || {
            _ = called.send(());
        });
        Scene {
            watch: watch.expect("watching"),
            dir,
            calls,
        }
    }

    /// By notices alone: the clock is set too slow to help.
    fn by_notice() -> WatchTimes {
        WatchTimes {
            poll: LONG * 10,
            quiet: Duration::from_millis(5),
            notices: true,
        }
    }

    #[test]
    fn every_way_to_save_is_noticed() {
        let scene = scene(by_notice());
        let site = scene.dir.path();
        let steps: [(&str, &dyn Fn()); 7] = [
            ("written in place", &|| {
                fs::write(site.join("systems.toml"), "# 1").expect("written");
            }),
            ("replaced by a rename", &|| {
                fs::write(site.join(".systems.toml.swp"), "# 2").expect("written");
                fs::rename(site.join(".systems.toml.swp"), site.join("systems.toml"))
                    .expect("renamed");
            }),
            ("replaced again", &|| {
                fs::write(site.join("new~"), "# 3").expect("written");
                fs::rename(site.join("new~"), site.join("systems.toml")).expect("renamed");
            }),
            ("a folder that appears", &|| {
                fs::create_dir_all(site.join("profiles/base/steps")).expect("folders");
                fs::write(site.join("profiles/base/steps/10-a"), "a").expect("written");
            }),
            ("a file in that folder", &|| {
                fs::write(site.join("profiles/base/steps/10-a"), "b").expect("written");
            }),
            ("a folder moved away", &|| {
                fs::rename(site.join("profiles"), site.join("old")).expect("renamed");
            }),
            ("and back with other contents", &|| {
                fs::write(site.join("old/base/steps/10-a"), "c").expect("written");
                fs::rename(site.join("old"), site.join("profiles")).expect("renamed");
            }),
        ];
        for (what, step) in steps {
            step();
            let called = scene.calls.recv_timeout(LONG);
            assert!(called.is_ok(), "{what} was not noticed");
            // A save may be seen in two looks; the next step must not be credited with this one.
            while scene.calls.recv_timeout(Duration::from_millis(50)).is_ok() {}
        }
    }

    #[test]
    fn a_save_that_changes_nothing_calls_nobody() {
        let scene = scene(by_notice());
        let file = scene.dir.path().join("systems.toml");
        fs::write(&file, "").expect("written");
        fs::write(scene.dir.path().join("README"), "not ours").expect("written");
        scene.watch.look();
        fs::write(&file, "# now").expect("written");
        assert!(scene.calls.recv_timeout(LONG).is_ok());
        drop(scene.watch);
        assert!(scene.calls.recv().is_err(), "one call for one change");
    }

    #[test]
    fn without_notices_the_clock_finds_it() {
        let scene = scene(WatchTimes {
            poll: Duration::from_millis(5),
            quiet: Duration::from_millis(1),
            notices: false,
        });
        fs::write(scene.dir.path().join("systems.toml"), "# now").expect("written");
        assert!(scene.calls.recv_timeout(LONG).is_ok());
        fs::remove_dir_all(scene.dir.path()).expect("removed");
        assert!(
            scene.calls.recv_timeout(LONG).is_ok(),
            "a site that vanishes is a change"
        );
    }

    #[test]
    fn what_changed_before_the_watch_began_is_found() {
        let dir = tempfile::tempdir().expect("a folder");
        let (called, calls) = mpsc::channel();
        let stale = Some(Digest([1; 32]));
        let watch = Watch::start(dir.path(), stale, by_notice(), move || {
            _ = called.send(());
        });
        assert!(calls.recv_timeout(LONG).is_ok());
        drop(watch);
    }
}
