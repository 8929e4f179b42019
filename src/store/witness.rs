//! How far this server ever came, beside the database: a database that knows less is an old copy.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;

/// The file `last` in the state directory: the number of the newest event that was committed.
///
/// It is written after each commit and never waited for: after a power cut it may be behind the
/// database, and is never ahead of it.
#[derive(Debug)]
pub struct Witness {
    file: Option<File>,
}

impl Witness {
    /// Opens it, and says what it holds; none if it is new or was cut off.
    ///
    /// Without it the server runs all the same.
    pub fn open(state: &Path) -> (Witness, Option<i64>) {
        let path = state.join("last");
        let last = fs::read_to_string(&path).ok();
        let last = last.and_then(|text| text.trim().parse().ok());
        let opened = File::options()
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(&path);
        if let Err(error) = &opened {
            tracing::warn!(%error, path = %path.display(), "an old copy of the database would not be noticed");
        }
        let file = opened.ok();
        (Witness { file }, last)
    }

    /// Writes down how far the database has come.
    pub fn write(&self, last: i64) {
        let written = self
            .file
            .as_ref()
            .map_or(Ok(()), |file| Witness::put(file, last));
        if let Err(error) = written {
            tracing::debug!(%error, "how far the database has come was not written down");
        }
    }

    // As long each time, so that a shorter number leaves nothing of a longer one.
    fn put(file: &File, last: i64) -> io::Result<()> {
        file.write_all_at(format!("{last:020}\n").as_bytes(), 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_says_what_was_written_last() {
        let state = tempfile::tempdir().expect("a directory");
        let (witness, last) = Witness::open(state.path());
        assert_eq!(last, None);
        for last in [1_234_567, 12] {
            witness.write(last);
            assert_eq!(Witness::open(state.path()).1, Some(last));
        }
        fs::write(state.path().join("last"), "000").expect("cut off");
        assert_eq!(Witness::open(state.path()).1, Some(0));
        fs::write(state.path().join("last"), "\0\0").expect("never written");
        assert_eq!(Witness::open(state.path()).1, None);
    }
}
