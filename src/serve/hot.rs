//! Boot artefacts at hand: read once, checked against their digest, shared by every transfer.

use std::collections::HashMap;
use std::fs::{File, Metadata};
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use tokio::sync::OnceCell;

use super::media::Media;
use crate::image::disc::Tree;
use crate::model::{Artefact, Digest};

/// Files of boot artefacts held in memory, up to a budget; the one used longest ago goes first.
/// A transfer under way keeps its file until it ends.
#[derive(Debug)]
pub struct Hot {
    budget: u64,
    shelf: Mutex<Shelf>,
    media: Media,
}

#[derive(Debug, Default)]
struct Shelf {
    turn: u64,
    used: u64,
    held: HashMap<Key, Held>,
}

/// Files that are held open at most, of the thousand or more that a process may have.
const FILES: usize = 256;

type Key = (Digest, Form);

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Form {
    Bytes,
    File,
}

#[derive(Debug, Clone)]
enum Contents {
    Bytes(Bytes),
    File(Arc<File>, Stamp),
}

/// What changes when a file does.
type Stamp = (u64, i64, i64);

#[derive(Debug)]
struct Held {
    contents: Arc<OnceCell<Contents>>,
    size: u64,
    turn: u64,
}

impl Hot {
    /// Holds at most `budget` bytes.
    pub fn new(budget: u64) -> Self {
        Hot {
            budget,
            shelf: Mutex::default(),
            media: Media::default(),
        }
    }

    /// The files of an installation medium, read by whoever asks first.
    ///
    /// # Errors
    /// If it cannot be read, or is none.
    pub async fn tree(&self, medium: &Artefact) -> io::Result<Arc<Tree>> {
        self.media.tree(medium).await
    }

    /// The contents, read by whoever asks first; `None` if the file is too large to be held (more
    /// than half the budget), so that it must be streamed.
    ///
    /// # Errors
    /// If it cannot be read, or is not what was measured when it was fetched.
    pub async fn get(&self, artefact: &Artefact) -> io::Result<Option<Bytes>> {
        if let Some(bytes) = &artefact.bytes {
            return Ok(Some(Bytes::from_owner(bytes.clone())));
        }
        match self.held(artefact, Form::Bytes).await? {
            Some(Contents::Bytes(bytes)) => Ok(Some(bytes)),
            _ => Ok(None),
        }
    }

    /// The same as an open file, which the kernel sends without a copy; it takes none of the budget.
    /// A file that was changed since it was checked is checked again.
    ///
    /// # Errors
    /// As [`Hot::get`].
    pub async fn file(&self, artefact: &Artefact) -> io::Result<Option<Arc<File>>> {
        for _ in 0..2 {
            match self.held(artefact, Form::File).await? {
                Some(Contents::File(file, checked)) if stamp(&file.metadata()?) == checked => {
                    return Ok(Some(file));
                }
                Some(_) => self.forget((artefact.digest, Form::File)),
                None => break,
            }
        }
        Ok(None)
    }

    async fn held(&self, artefact: &Artefact, form: Form) -> io::Result<Option<Contents>> {
        if artefact.size > self.budget / 2 {
            return Ok(None);
        }
        let contents = self.place(artefact, form);
        let read = contents.get_or_try_init(|| async {
            let (path, digest) = (artefact.path.clone(), artefact.digest);
            tokio::task::spawn_blocking(move || read_checked(&path, digest, form))
                .await
                .map_err(io::Error::other)?
        });
        match read.await {
            Ok(contents) => Ok(Some(contents.clone())),
            Err(error) => {
                self.forget((artefact.digest, form));
                Err(error)
            }
        }
    }

    fn place(&self, artefact: &Artefact, form: Form) -> Arc<OnceCell<Contents>> {
        let key = (artefact.digest, form);
        let size = match form {
            Form::Bytes => artefact.size,
            Form::File => 0,
        };
        let mut shelf = self.shelf.lock().unwrap_or_else(PoisonError::into_inner);
        shelf.turn += 1;
        let turn = shelf.turn;
        if let Some(held) = shelf.held.get_mut(&key) {
            held.turn = turn;
            return held.contents.clone();
        }
        if form == Form::File {
            shelf.close_some();
        }
        while shelf.used + size > self.budget {
            let oldest = shelf.held.iter().min_by_key(|(_, h)| h.turn);
            let Some(oldest) = oldest.map(|(key, _)| *key) else {
                break;
            };
            shelf.remove(oldest);
        }
        let contents = Arc::new(OnceCell::new());
        let held = Held {
            contents: contents.clone(),
            size,
            turn,
        };
        shelf.used += size;
        shelf.held.insert(key, held);
        contents
    }

    fn forget(&self, key: Key) {
        let mut shelf = self.shelf.lock().unwrap_or_else(PoisonError::into_inner);
        shelf.remove(key);
    }
}

impl Shelf {
    fn remove(&mut self, key: Key) {
        if let Some(held) = self.held.remove(&key) {
            self.used -= held.size;
        }
    }

    /// Makes room for one more open file: those that were deleted are closed, for their room on the
    /// disk is free only then, and of too many the one used longest ago.
    fn close_some(&mut self) {
        self.held.retain(|_, held| !held.is_deleted());
        let files = self
            .held
            .iter()
            .filter(|((_, form), _)| *form == Form::File);
        if files.clone().count() < FILES {
            return;
        }
        let oldest = files.min_by_key(|(_, held)| held.turn).map(|(key, _)| *key);
        if let Some(oldest) = oldest {
            self.remove(oldest);
        }
    }
}

impl Held {
    /// Whether it holds a file open that has no name any more. Such a one takes none of the budget.
    fn is_deleted(&self) -> bool {
        match self.contents.get() {
            Some(Contents::File(file, _)) => file.metadata().is_ok_and(|m| m.nlink() == 0),
            _ => false,
        }
    }
}

fn read_checked(path: &std::path::Path, digest: Digest, form: Form) -> io::Result<Contents> {
    let mut file = File::open(path)?;
    let before = stamp(&file.metadata()?);
    let (found, contents) = match form {
        Form::Bytes => {
            let mut bytes = Vec::new();
            file.read_to_end(&mut bytes)?;
            (Digest::of(&bytes), Contents::Bytes(Bytes::from(bytes)))
        }
        // In pieces: the budget has no room for it.
        Form::File => {
            let mut hasher = blake3::Hasher::new();
            hasher.update_reader(&mut file)?;
            let found = Digest(*hasher.finalize().as_bytes());
            (found, Contents::File(Arc::new(file), before))
        }
    };
    if found != digest {
        let sentence = format!("`{}` is not what was fetched", path.display());
        return Err(io::Error::new(io::ErrorKind::InvalidData, sentence));
    }
    Ok(contents)
}

fn stamp(of: &Metadata) -> Stamp {
    (of.len(), of.ctime(), of.ctime_nsec())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{ArtefactRef, Nature};

    fn artefact(dir: &std::path::Path, name: &str, contents: &[u8]) -> Artefact {
        let path = dir.join(name);
        std::fs::write(&path, contents).expect("written");
        Artefact {
            id: ArtefactRef {
                distro: "d".into(),
                name: name.into(),
            },
            path,
            digest: Digest::of(contents),
            size: contents.len() as u64,
            bytes: None,
            nature: Nature::default(),
        }
    }

    #[tokio::test]
    async fn the_budget_holds_and_the_oldest_goes() {
        let dir = tempfile::tempdir().expect("a directory");
        let hot = Hot::new(100);
        let files: Vec<Artefact> = (0..4u8)
            .map(|i| artefact(dir.path(), &format!("f{i}"), &[i; 40]))
            .collect();
        for file in &files {
            assert!(hot.get(file).await.expect("read").is_some());
        }
        {
            let shelf = hot.shelf.lock().expect("a lock");
            assert_eq!((shelf.used, shelf.held.len()), (80, 2));
            assert!(shelf.held.contains_key(&(files[3].digest, Form::Bytes)));
        }
        let large = artefact(dir.path(), "large", &[9; 51]);
        assert!(hot.get(&large).await.expect("no error").is_none());
    }

    #[tokio::test]
    async fn an_open_file_is_checked_again_when_it_changed() {
        let dir = tempfile::tempdir().expect("a directory");
        let kept = artefact(dir.path(), "f", b"kernel");
        let hot = Hot::new(100);
        let read = |file: Arc<File>| {
            let mut got = [0; 6];
            std::os::unix::fs::FileExt::read_exact_at(&*file, &mut got, 0).expect("bytes");
            got
        };
        let file = hot.file(&kept).await.expect("read").expect("held");
        assert_eq!(&read(file), b"kernel");
        std::fs::write(&kept.path, b"KERNEL").expect("written");
        assert!(hot.file(&kept).await.is_err());
        std::fs::write(&kept.path, b"kernel").expect("written");
        let file = hot.file(&kept).await.expect("read").expect("held");
        assert_eq!(&read(file), b"kernel");
    }

    #[tokio::test]
    async fn deleted_files_are_closed_and_no_more_are_open_than_there_may_be() {
        let dir = tempfile::tempdir().expect("a directory");
        let hot = Hot::new(100);
        let open = || hot.shelf.lock().expect("a lock").held.len();
        let (gone, kept) = (
            artefact(dir.path(), "gone", b"an older kernel"),
            artefact(dir.path(), "kept", b"kernel"),
        );
        let file = hot.file(&gone).await.expect("read").expect("held");
        std::fs::remove_file(&gone.path).expect("removed");
        hot.file(&kept).await.expect("read").expect("held");
        assert_eq!(open(), 1);
        assert_eq!(file.metadata().expect("open").len(), 15, "for who has it");
        for i in 0..FILES {
            let more = artefact(dir.path(), &format!("f{i}"), format!("{i}").as_bytes());
            hot.file(&more).await.expect("read").expect("held");
        }
        assert_eq!(open(), FILES);
        let oldest = (kept.digest, Form::File);
        assert!(!hot.shelf.lock().expect("a lock").held.contains_key(&oldest));
    }

    #[tokio::test]
    async fn a_file_that_changed_is_not_served() {
        let dir = tempfile::tempdir().expect("a directory");
        let file = artefact(dir.path(), "f", b"good");
        std::fs::write(&file.path, b"evil").expect("written");
        let hot = Hot::new(100);
        assert!(hot.get(&file).await.is_err());
        std::fs::write(&file.path, b"good").expect("written");
        assert_eq!(
            hot.get(&file).await.expect("read").as_deref(),
            Some(&b"good"[..])
        );
    }
}
