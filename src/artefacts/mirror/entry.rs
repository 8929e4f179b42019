//! A cached file on disk: its content, and a note of what is known of it behind the end, in one
//! file, so that one rename makes both true.
//!
//! ```text
//! content | note (JSON) | length of the note (4 bytes, little-endian) | "FARRIER1"
//! ```
//!
//! The file's own times are its record: modified is when upstream last vouched for it, accessed is
//! when it was last asked for.

use std::fs::{File, FileTimes};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};

use super::path::MirrorPath;
use crate::model::Digest;

/// What every entry ends with.
const MARK: &[u8; 8] = b"FARRIER1";
/// Length of the note and mark.
const FOOT: u64 = 12;
/// No note is longer; what claims to be is damaged.
const NOTE: u64 = 64 * 1024;
/// The access time is written at most so often.
const TOUCH: Duration = Duration::from_secs(600);

/// What is told of a file besides its bytes.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Head {
    /// Where it came from, for people who look into the cache.
    pub(super) url: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) content_type: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) last_modified: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) etag: Option<String>,
    /// Bytes; unknown while a file without an announced length comes in.
    pub(super) length: Option<u64>,
    /// BLAKE3 of the content, once all is here.
    pub(super) digest: Option<Digest>,
}

/// A cached file, open: it can be read to its end whatever happens to its name.
#[derive(Debug, Clone)]
pub(super) struct Entry {
    pub(super) head: Arc<Head>,
    pub(super) file: Arc<File>,
    pub(super) length: u64,
    /// When upstream last vouched for it.
    pub(super) validated: SystemTime,
}

/// Where the entry of a path is. The base URL is part of it: another upstream is another file.
pub(super) fn place(dir: &Path, base: &str, path: &MirrorPath) -> PathBuf {
    let key = Digest::of(format!("{base}\n{}", path.as_str()).as_bytes()).to_string();
    dir.join(&key[..2]).join(&key[2..40])
}

impl Entry {
    /// Opens an entry and marks it as used. A damaged one is removed and counts as absent.
    pub(super) fn open(at: &Path) -> Option<Entry> {
        let file = File::open(at).ok()?;
        match Entry::read(file) {
            Ok(entry) => Some(entry),
            Err(error) => {
                tracing::warn!(path = %at.display(), %error, "damaged cache entry removed");
                let _ = std::fs::remove_file(at);
                None
            }
        }
    }

    fn read(file: File) -> io::Result<Entry> {
        let meta = file.metadata()?;
        let wrong = || io::Error::other(format!("it is no whole entry ({} bytes)", meta.len()));
        let foot_at = meta.len().checked_sub(FOOT).ok_or_else(wrong)?;
        let mut foot = [0u8; FOOT as usize];
        file.read_exact_at(&mut foot, foot_at)?;
        let (length, mark) = foot.split_at(4);
        let note_length = u64::from(u32::from_le_bytes([
            length[0], length[1], length[2], length[3],
        ]));
        if mark != MARK || note_length > NOTE.min(foot_at) {
            return Err(wrong());
        }
        let length = foot_at - note_length;
        let mut note = vec![0u8; note_length as usize];
        file.read_exact_at(&mut note, length)?;
        let head: Head = serde_json::from_slice(&note)?;
        if head.length != Some(length) || head.digest.is_none() {
            return Err(wrong());
        }
        let now = SystemTime::now();
        let used = meta.accessed().unwrap_or(SystemTime::UNIX_EPOCH);
        if now.duration_since(used).is_ok_and(|age| age > TOUCH) {
            // only eviction suffers if this fails
            let _ = file.set_times(FileTimes::new().set_accessed(now));
        }
        Ok(Entry {
            head: Arc::new(head),
            file: Arc::new(file),
            length,
            validated: meta.modified()?,
        })
    }

    /// Notes that upstream vouched for it at `when`.
    pub(super) fn validate(&self, when: SystemTime) {
        let times = FileTimes::new().set_modified(when).set_accessed(when);
        if let Err(error) = self.file.set_times(times) {
            tracing::warn!(%error, "cannot mark a cache entry as fresh");
        }
    }
}

/// Completes a temporary file that holds the content, and gives it its name. Durable when this
/// returns. The old entry of that name is replaced, or stays.
pub(super) fn commit(file: &File, temp: &Path, at: &Path, head: &Head) -> io::Result<()> {
    let mut end = serde_json::to_vec(head)?;
    let length = u32::try_from(end.len()).unwrap_or(u32::MAX);
    if u64::from(length) > NOTE {
        return Err(io::Error::other("the headers are too long to keep"));
    }
    end.extend(length.to_le_bytes());
    end.extend(MARK);
    file.write_all_at(&end, head.length.unwrap_or(0))?;
    let now = SystemTime::now();
    file.set_times(FileTimes::new().set_modified(now).set_accessed(now))?;
    file.sync_all()?;
    if let Some(parent) = at.parent() {
        std::fs::create_dir_all(parent)?;
    }
    std::fs::rename(temp, at)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(dir: &Path, name: &str, content: &[u8]) -> PathBuf {
        let (temp, at) = (dir.join("temp"), dir.join("ab").join(name));
        let file = File::create(&temp).expect("created");
        file.write_all_at(content, 0).expect("written");
        let head = Head {
            url: "http://x/y".into(),
            etag: Some("\"1\"".into()),
            length: Some(content.len() as u64),
            digest: Some(Digest::of(content)),
            ..Head::default()
        };
        commit(&file, &temp, &at, &head).expect("committed");
        assert!(!temp.exists());
        at
    }

    #[test]
    fn an_entry_is_read_as_it_was_written() {
        let dir = tempfile::tempdir().expect("a directory");
        let entry = Entry::open(&write(dir.path(), "a", b"hello")).expect("there");
        let mut content = [0u8; 5];
        entry.file.read_exact_at(&mut content, 0).expect("read");
        assert_eq!(&content, b"hello");
        assert_eq!(entry.head.etag.as_deref(), Some("\"1\""));
        let when = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000);
        entry.validate(when);
        let again = Entry::open(&dir.path().join("ab/a")).expect("there");
        assert_eq!(again.validated, when);
    }

    #[test]
    fn a_cut_or_foreign_file_is_no_entry() {
        let dir = tempfile::tempdir().expect("a directory");
        let cut = write(dir.path(), "cut", b"hello");
        let file = File::options().write(true).open(&cut).expect("open");
        let length = file.metadata().expect("there").len();
        file.set_len(length - 1).expect("cut");
        let short = dir.path().join("ab/short");
        std::fs::write(&short, b"{}").expect("written");
        let foreign = dir.path().join("ab/foreign");
        std::fs::write(&foreign, vec![b'x'; 5000]).expect("written");
        for path in [cut, short, foreign] {
            assert!(Entry::open(&path).is_none(), "{}", path.display());
            assert!(!path.exists(), "{}", path.display());
        }
    }

    #[test]
    fn another_upstream_is_another_file() {
        let path = MirrorPath::parse("pool/x.deb").expect("a path");
        let dir = Path::new("/c");
        assert_eq!(place(dir, "http://a", &path), place(dir, "http://a", &path));
        assert_ne!(place(dir, "http://a", &path), place(dir, "http://b", &path));
    }
}
