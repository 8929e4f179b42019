//! Boot artefacts in memory: read once, checked against their digest, shared by every transfer.

use std::collections::HashMap;
use std::io;
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
    held: HashMap<Digest, Held>,
}

#[derive(Debug)]
struct Held {
    contents: Arc<OnceCell<Bytes>>,
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
        if artefact.size > self.budget / 2 {
            return Ok(None);
        }
        let contents = self.place(artefact);
        let read = contents.get_or_try_init(|| async {
            let (path, digest) = (artefact.path.clone(), artefact.digest);
            tokio::task::spawn_blocking(move || read_checked(&path, digest))
                .await
                .map_err(io::Error::other)?
        });
        match read.await {
            Ok(bytes) => Ok(Some(bytes.clone())),
            Err(error) => {
                self.forget(artefact.digest);
                Err(error)
            }
        }
    }

    fn place(&self, artefact: &Artefact) -> Arc<OnceCell<Bytes>> {
        let mut shelf = self.shelf.lock().unwrap_or_else(PoisonError::into_inner);
        shelf.turn += 1;
        let turn = shelf.turn;
        if let Some(held) = shelf.held.get_mut(&artefact.digest) {
            held.turn = turn;
            return held.contents.clone();
        }
        while shelf.used + artefact.size > self.budget {
            let oldest = shelf.held.iter().min_by_key(|(_, h)| h.turn);
            let Some(digest) = oldest.map(|(d, _)| *d) else {
                break;
            };
            shelf.remove(digest);
        }
        let contents = Arc::new(OnceCell::new());
        let held = Held {
            contents: contents.clone(),
            size: artefact.size,
            turn,
        };
        shelf.used += artefact.size;
        shelf.held.insert(artefact.digest, held);
        contents
    }

    fn forget(&self, digest: Digest) {
        let mut shelf = self.shelf.lock().unwrap_or_else(PoisonError::into_inner);
        shelf.remove(digest);
    }
}

impl Shelf {
    fn remove(&mut self, digest: Digest) {
        if let Some(held) = self.held.remove(&digest) {
            self.used -= held.size;
        }
    }
}

fn read_checked(path: &std::path::Path, digest: Digest) -> io::Result<Bytes> {
    let bytes = std::fs::read(path)?;
    if Digest::of(&bytes) != digest {
        let sentence = format!("`{}` is not what was fetched", path.display());
        return Err(io::Error::new(io::ErrorKind::InvalidData, sentence));
    }
    Ok(Bytes::from(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::ArtefactRef;

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
            assert!(shelf.held.contains_key(&files[3].digest));
        }
        let large = artefact(dir.path(), "large", &[9; 51]);
        assert!(hot.get(&large).await.expect("no error").is_none());
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
