//! Writing files so that they are there after a power cut, or not at all.

use std::fs::{self, File};
use std::io::{Read, Seek, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha256};

use super::error::ArtefactError;
use crate::model::Digest;

/// What a file measures.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Measure {
    pub(super) digest: Digest,
    pub(super) sha256: String,
    pub(super) size: u64,
}

/// Reads a file once and measures it. `tick` hears the bytes done; it returns false to give up.
pub(super) fn measure(
    path: &Path,
    tick: &mut dyn FnMut(u64) -> bool,
) -> Result<Measure, ArtefactError> {
    let mut file = File::open(path).map_err(ArtefactError::file("open", path))?;
    let (mut ours, mut theirs, mut size) = (blake3::Hasher::new(), Sha256::new(), 0u64);
    let mut buffer = vec![0u8; 1 << 20];
    loop {
        let n = file
            .read(&mut buffer)
            .map_err(ArtefactError::file("read", path))?;
        if n == 0 {
            break;
        }
        ours.update(&buffer[..n]);
        theirs.update(&buffer[..n]);
        size += n as u64;
        if !tick(size) {
            return Err(ArtefactError::file("go on reading", path)(
                std::io::ErrorKind::Interrupted.into(),
            ));
        }
    }
    Ok(Measure {
        digest: Digest(*ours.finalize().as_bytes()),
        sha256: hex(&theirs.finalize()),
        size,
    })
}

/// The first bytes of a file, as many as it has of them; none of one that cannot be read.
pub(super) fn head(path: &Path, most: usize) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(most);
    let read = File::open(path).and_then(|f| f.take(most as u64).read_to_end(&mut bytes));
    match read {
        Ok(_) => bytes,
        Err(_) => Vec::new(),
    }
}

/// Bytes of the disk that stay free.
const SPARE: u64 = 64 * 1024 * 1024;

/// Whether `size` more bytes fit where `near` is.
pub(super) fn room(near: &Path, size: u64) -> Result<(), ArtefactError> {
    let there = near.ancestors().find(|p| p.exists()).unwrap_or(near);
    let Ok(stat) = nix::sys::statvfs::statvfs(there) else {
        // A file system that does not say lets one try.
        return Ok(());
    };
    let free = stat.blocks_available() * stat.fragment_size();
    if free >= size.saturating_add(SPARE) {
        return Ok(());
    }
    Err(ArtefactError::NoRoom {
        path: near.to_path_buf(),
        wanted: size,
        free,
    })
}

/// After so many bytes the disk is asked again whether it has room.
const STEP: u64 = 16 * 1024 * 1024;

/// Watches the disk while something comes in that others write beside, or that does not say how long
/// it is.
#[derive(Debug)]
pub(super) struct Gauge<'a> {
    near: &'a Path,
    since: u64,
}

impl<'a> Gauge<'a> {
    /// Of the disk where `near` is. With the bytes that will come, it is asked at once.
    pub(super) fn new(near: &'a Path, left: Option<u64>) -> Result<Self, ArtefactError> {
        if let Some(left) = left {
            room(near, left)?;
        }
        Ok(Gauge { near, since: 0 })
    }

    /// Counts bytes before they are written; `left` are those that still come, these among them, if
    /// that is known.
    pub(super) fn take(&mut self, bytes: u64, left: Option<u64>) -> Result<(), ArtefactError> {
        self.since += bytes;
        if self.since < STEP {
            return Ok(());
        }
        self.since = 0;
        room(self.near, left.unwrap_or(STEP))
    }
}

/// Copies a file. With `go_on`, what an interrupted copy left is not copied again. `tick` hears the
/// bytes done and in all; it returns false to give up.
pub(super) fn copy(
    from: &Path,
    to: &Path,
    go_on: bool,
    tick: &mut dyn FnMut(u64, u64) -> bool,
) -> Result<(), ArtefactError> {
    let mut source = File::open(from).map_err(ArtefactError::file("copy", from))?;
    let meta = source.metadata();
    let total = meta.map_err(ArtefactError::file("copy", from))?.len();
    let have = fs::metadata(to).map(|m| m.len()).ok();
    let mut done = have.filter(|have| go_on && *have <= total).unwrap_or(0);
    let mut target = File::options()
        .write(true)
        .create(true)
        .truncate(done == 0)
        .open(to)
        .map_err(ArtefactError::file("create", to))?;
    room(to, total - done)?;
    let begin = std::io::SeekFrom::Start(done);
    source
        .seek(begin)
        .map_err(ArtefactError::file("read", from))?;
    target
        .seek(begin)
        .map_err(ArtefactError::file("write", to))?;
    let mut buffer = vec![0u8; 1 << 20];
    loop {
        let n = source
            .read(&mut buffer)
            .map_err(ArtefactError::file("read", from))?;
        if n == 0 {
            return Ok(());
        }
        target
            .write_all(&buffer[..n])
            .map_err(ArtefactError::file("write", to))?;
        done += n as u64;
        if !tick(done, total) {
            return Err(ArtefactError::file("go on copying", from)(
                std::io::ErrorKind::Interrupted.into(),
            ));
        }
    }
}

/// Lower-case hexadecimal.
pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

/// Creates a directory and what is above it.
pub(super) fn directory(path: &Path) -> Result<(), ArtefactError> {
    fs::create_dir_all(path).map_err(ArtefactError::file("create", path))
}

/// Moves a finished file to its final path, durable when this returns, and read-only.
pub(super) fn settle(from: &Path, to: &Path) -> Result<(), ArtefactError> {
    let file = File::open(from).map_err(ArtefactError::file("open", from))?;
    file.set_permissions(fs::Permissions::from_mode(0o444))
        .map_err(ArtefactError::file("change the mode of", from))?;
    file.sync_all().map_err(ArtefactError::file("sync", from))?;
    if let Some(parent) = to.parent() {
        directory(parent)?;
    }
    fs::rename(from, to).map_err(ArtefactError::file("create", to))?;
    sync_parents(to)
}

/// Replaces a small file by new content: the old or the new one is there, whatever happens.
pub(super) fn replace(path: &Path, content: &[u8]) -> Result<(), ArtefactError> {
    let mut name = path.as_os_str().to_os_string();
    name.push(".new");
    let fresh = PathBuf::from(name);
    let mut file = File::create(&fresh).map_err(ArtefactError::file("create", &fresh))?;
    file.write_all(content)
        .and_then(|()| file.sync_all())
        .map_err(ArtefactError::file("write", &fresh))?;
    fs::rename(&fresh, path).map_err(ArtefactError::file("replace", path))?;
    sync_parents(path)
}

/// Makes a rename durable: the directory, and the one above it in case it is new.
fn sync_parents(path: &Path) -> Result<(), ArtefactError> {
    for dir in path.ancestors().skip(1).take(2) {
        if dir.as_os_str().is_empty() {
            continue;
        }
        File::open(dir)
            .and_then(|d| d.sync_all())
            .map_err(ArtefactError::file("sync", dir))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_measure_is_what_others_measure() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("x");
        fs::write(&path, "abc").expect("written");
        let found = measure(&path, &mut |_| true).expect("measured");
        // FIPS 180-4, example of one block
        let published = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(found.sha256, published);
        assert_eq!((found.digest, found.size), (Digest::of(b"abc"), 3));
        assert!(measure(&path, &mut |_| false).is_err(), "given up");
    }

    #[test]
    fn a_settled_file_is_read_only_and_alone() {
        let dir = tempfile::tempdir().expect("a directory");
        let (from, to) = (dir.path().join("part"), dir.path().join("ab/linux"));
        fs::write(&from, "kernel").expect("written");
        settle(&from, &to).expect("settled");
        let mode = fs::metadata(&to).expect("there").permissions().mode();
        assert_eq!(mode & 0o777, 0o444);
        assert!(!from.exists());
    }
}
