//! Files that only their owner may read.

use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::Path;

use zeroize::Zeroizing;

use super::VaultError;

/// Bytes that are wiped when they are done with.
pub(super) type Bytes = Zeroizing<Vec<u8>>;

/// Reads a private file, or makes it with what `make` gives.
pub(super) fn read_or_make(
    path: &Path,
    make: impl FnOnce() -> Result<Bytes, VaultError>,
) -> Result<Bytes, VaultError> {
    if let Some(bytes) = read(path)? {
        return Ok(bytes);
    }
    let bytes = make()?;
    write(path, &bytes, 0o600)?;
    Ok(bytes)
}

/// Reads a private file; none if there is none.
pub(super) fn read(path: &Path) -> Result<Option<Bytes>, VaultError> {
    let failed = |source| VaultError::File {
        path: path.to_path_buf(),
        source,
    };
    match fs::metadata(path) {
        Ok(found) if found.permissions().mode() & 0o077 != 0 => Err(VaultError::Open {
            path: path.to_path_buf(),
        }),
        Ok(_) => fs::read(path)
            .map(|bytes| Some(Zeroizing::new(bytes)))
            .map_err(failed),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(failed(error)),
    }
}

/// Writes a new file whole or not at all: a power cut leaves no half of a key behind.
pub(super) fn write(path: &Path, bytes: &[u8], mode: u32) -> Result<(), VaultError> {
    let part = path.with_extension("part");
    let written = || -> io::Result<()> {
        let mut file = fs::OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(mode)
            .open(&part)?;
        file.set_permissions(fs::Permissions::from_mode(mode))?;
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(&part, path)?;
        match path.parent() {
            Some(dir) => fs::File::open(dir)?.sync_all(),
            None => Ok(()),
        }
    };
    written().map_err(|source| VaultError::File {
        path: path.to_path_buf(),
        source,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_made_once_and_only_its_owner_may_read_it() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("x.key");
        let made = read_or_make(&path, || Ok(b"key".to_vec().into())).expect("made");
        let again = read_or_make(&path, || Ok(b"other".to_vec().into())).expect("read");
        assert_eq!(
            (made.as_slice(), again.as_slice()),
            (&b"key"[..], &b"key"[..])
        );
        let mode = |p: &Path| fs::metadata(p).expect("there").permissions().mode() & 0o777;
        assert_eq!(mode(&path), 0o600);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).expect("a mode");
        let refused = read_or_make(&path, || Ok(Vec::new().into()));
        assert!(
            matches!(refused, Err(VaultError::Open { .. })),
            "{refused:?}"
        );
    }
}
