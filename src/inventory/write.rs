//! Writes a changed file: whole or not at all, and never over someone else's edit.

use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt, fchown};
use std::path::{Path, PathBuf};

use super::edit::Change;
use crate::model::{Code, Digest, Refusal, with_causes};

/// The lock file's name in the site.
const LOCK: &str = ".farrier.lock";

/// A change cannot be written.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// The operating system said no.
    #[error("cannot write `{path}`")]
    Io {
        /// Which file.
        path: PathBuf,
        /// What it said.
        #[source]
        source: io::Error,
    },
    /// Someone else is editing.
    #[error("another Farrier command is changing `{path}`; try again")]
    Busy {
        /// The site.
        path: PathBuf,
    },
    /// The file is not what the change was worked out from.
    #[error("`{path}` was changed meanwhile; nothing was written, try again")]
    Changed {
        /// Which file.
        path: PathBuf,
    },
}

impl WriteError {
    /// What an operator is told: that somebody else was quicker is a guard's no, the rest a failure.
    pub fn refusal(&self) -> Refusal {
        let code = match self {
            WriteError::Busy { .. } | WriteError::Changed { .. } => Code::Refused,
            WriteError::Io { .. } => Code::Failed,
        };
        Refusal::new(code, with_causes(self))
    }
}

/// Keeps other Farrier commands from editing the site until it is dropped. Take it before the files
/// are read that the change is worked out from.
#[derive(Debug)]
pub struct EditLock {
    site: PathBuf,
    _file: File,
}

fn failed(path: &Path) -> impl FnOnce(io::Error) -> WriteError {
    let path = path.to_path_buf();
    move |source| WriteError::Io { path, source }
}

impl EditLock {
    /// Waits for the lock.
    ///
    /// # Errors
    /// The lock file cannot be made.
    pub fn take(site: &Path) -> Result<EditLock, WriteError> {
        let (path, file) = EditLock::open(site)?;
        file.lock().map_err(failed(&path))?;
        Ok(EditLock {
            site: site.to_path_buf(),
            _file: file,
        })
    }

    /// Takes the lock if it is free.
    ///
    /// # Errors
    /// Someone else holds it, or the lock file cannot be made.
    pub fn try_take(site: &Path) -> Result<EditLock, WriteError> {
        let (path, file) = EditLock::open(site)?;
        match file.try_lock() {
            Ok(()) => Ok(EditLock {
                site: site.to_path_buf(),
                _file: file,
            }),
            Err(fs::TryLockError::WouldBlock) => Err(WriteError::Busy { path: site.into() }),
            Err(fs::TryLockError::Error(error)) => Err(failed(&path)(error)),
        }
    }

    fn open(site: &Path) -> Result<(PathBuf, File), WriteError> {
        let path = site.join(LOCK);
        let file = fs::OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .mode(0o600)
            .open(&path)
            .map_err(failed(&path))?;
        Ok((path, file))
    }

    /// Writes a change: a temporary file beside the old one, synced, renamed over it. Mode and
    /// owner stay; a link stays a link and its target is replaced.
    ///
    /// # Errors
    /// The file is no longer what the change was worked out from, or cannot be written.
    pub fn write(&self, change: &Change) -> Result<(), WriteError> {
        let named = self.site.join(&change.path);
        let path = match fs::canonicalize(&named) {
            Ok(path) => path,
            Err(error) if error.kind() == io::ErrorKind::NotFound => named.clone(),
            Err(error) => return Err(failed(&named)(error)),
        };
        let present = match fs::read(&path) {
            Ok(bytes) => Some(Digest::of(&bytes)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return Err(failed(&path)(error)),
        };
        if present != change.before {
            return Err(WriteError::Changed { path: named });
        }
        replace(&path, &change.bytes).map_err(failed(&named))
    }
}

/// Replaces a file's contents in one step that survives a power cut.
fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let folder = path.parent().unwrap_or(Path::new("."));
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    // Leftovers of this name are never read as part of a site.
    let temporary = folder.join(format!(".{name}.{}~", std::process::id()));
    let result = write_new(&temporary, path, bytes)
        .and_then(|()| fs::rename(&temporary, path))
        .and_then(|()| File::open(folder)?.sync_all());
    if result.is_err() {
        // The rename may have happened; then there is nothing to remove, and that is well.
        drop(fs::remove_file(&temporary));
    }
    result
}

fn write_new(temporary: &Path, old: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = fs::OpenOptions::new()
        .create(true)
        .truncate(true)
        .write(true)
        .mode(0o600)
        .open(temporary)?;
    match fs::metadata(old) {
        Ok(old) => {
            let new = file.metadata()?;
            if (old.uid(), old.gid()) != (new.uid(), new.gid()) {
                fchown(&file, Some(old.uid()), Some(old.gid()))?;
            }
            file.set_permissions(fs::Permissions::from_mode(old.mode() & 0o7777))?;
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            file.set_permissions(fs::Permissions::from_mode(0o644))?;
        }
        Err(error) => return Err(error),
    }
    file.write_all(bytes)?;
    file.sync_all()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    fn change(before: Option<&str>, after: &str) -> Change {
        Change {
            path: "systems.toml".to_string(),
            before: before.map(|text| Digest::of(text.as_bytes())),
            bytes: after.as_bytes().to_vec(),
            summary: String::new(),
        }
    }

    #[test]
    fn a_file_is_replaced_whole_and_keeps_its_mode() {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("systems.toml");
        let lock = EditLock::take(dir.path()).expect("the lock");
        lock.write(&change(None, "a")).expect("written");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).expect("a mode");
        lock.write(&change(Some("a"), "b")).expect("written");
        assert_eq!(fs::read_to_string(&path).expect("read"), "b");
        let mode = fs::metadata(&path).expect("there").mode() & 0o777;
        assert_eq!(mode, 0o640);
        let left: Vec<_> = fs::read_dir(dir.path()).expect("a folder").collect();
        assert_eq!(left.len(), 2, "only the file and the lock: {left:?}");
    }

    #[test]
    fn someone_elses_edit_is_never_overwritten() {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("systems.toml");
        fs::write(&path, "theirs").expect("written");
        let lock = EditLock::take(dir.path()).expect("the lock");
        for before in [Some("ours"), None] {
            let refused = lock.write(&change(before, "new"));
            assert!(matches!(refused, Err(WriteError::Changed { .. })));
        }
        assert_eq!(fs::read_to_string(&path).expect("read"), "theirs");
        assert!(matches!(
            EditLock::try_take(dir.path()),
            Err(WriteError::Busy { .. })
        ));
        drop(lock);
        assert!(EditLock::try_take(dir.path()).is_ok());
    }

    #[test]
    fn a_link_stays_a_link() {
        let dir = tempfile::tempdir().expect("a folder");
        let target = dir.path().join("real.toml");
        fs::write(&target, "a").expect("written");
        symlink("real.toml", dir.path().join("systems.toml")).expect("a link");
        let lock = EditLock::take(dir.path()).expect("the lock");
        lock.write(&change(Some("a"), "b")).expect("written");
        assert_eq!(fs::read_to_string(&target).expect("read"), "b");
        let link = fs::symlink_metadata(dir.path().join("systems.toml")).expect("there");
        assert!(link.is_symlink());
    }
}
