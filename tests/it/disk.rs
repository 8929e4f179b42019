//! A disk of its own, and a small one: what fills it harms nobody.

use std::path::Path;

use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sched::{CloneFlags, unshare};
use nix::sys::statvfs::statvfs;

/// A file system in memory, mounted for this test alone.
pub(crate) struct SmallDisk {
    dir: tempfile::TempDir,
}

impl SmallDisk {
    /// One of so many MiB. None, and a word why, where nothing may be mounted. For the thread of a test
    /// that has not started another: those that it starts see it.
    pub(crate) fn new(mib: u32) -> Option<SmallDisk> {
        if let Err(error) = unshare(CloneFlags::CLONE_NEWNS) {
            println!("skipped: a disk of its own needs a mount namespace: {error}");
            return None;
        }
        let private = MsFlags::MS_REC | MsFlags::MS_PRIVATE;
        mount(None::<&str>, "/", None::<&str>, private, None::<&str>).expect("private mounts");
        let dir = tempfile::tempdir().expect("a directory");
        let (kind, size) = (Some("tmpfs"), format!("size={mib}m"));
        mount(
            kind,
            dir.path(),
            kind,
            MsFlags::empty(),
            Some(size.as_str()),
        )
        .expect("a disk");
        Some(SmallDisk { dir })
    }

    pub(crate) fn path(&self) -> &Path {
        self.dir.path()
    }

    /// MiB that are free, rounded down.
    pub(crate) fn free(&self) -> u64 {
        let stat = statvfs(self.path()).expect("a disk");
        stat.blocks_available() * stat.fragment_size() / (1 << 20)
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _gone_with_the_namespace = umount2(self.dir.path(), MntFlags::MNT_DETACH);
    }
}
