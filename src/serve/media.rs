//! What installation media hold, in memory: paths and where their bytes are.

use std::collections::VecDeque;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::OnceCell;

use crate::image::disc::{Disc, Tree};
use crate::model::{Artefact, Digest};

/// Media whose files are remembered. A large one takes some 20 MB.
const MOST: usize = 8;

type Held = (Digest, Arc<OnceCell<Arc<Tree>>>);

/// The media that were asked for last.
#[derive(Debug, Default)]
pub(super) struct Media(Mutex<VecDeque<Held>>);

impl Media {
    /// What this one holds.
    pub(super) async fn tree(&self, medium: &Artefact) -> io::Result<Arc<Tree>> {
        let cell = self.place(medium.digest);
        let read = cell.get_or_try_init(|| async {
            let (path, size) = (medium.path.clone(), medium.size);
            tokio::task::spawn_blocking(move || {
                let file = File::open(&path)?;
                if file.metadata()?.len() != size {
                    return Err(io::Error::other("it is not as long as when it was fetched"));
                }
                let read = |offset: u64, into: &mut [u8]| {
                    file.read_exact_at(into, offset).map_err(|e| e.to_string())
                };
                let tree = Disc::new(size, &read).tree();
                tree.map(Arc::new).map_err(io::Error::other)
            })
            .await
            .map_err(io::Error::other)?
        });
        read.await.cloned()
    }

    fn place(&self, digest: Digest) -> Arc<OnceCell<Arc<Tree>>> {
        let mut held = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let at = held.iter().position(|(d, _)| *d == digest);
        let cell = at.and_then(|at| held.remove(at)).map(|(_, cell)| cell);
        let cell = cell.unwrap_or_default();
        held.push_back((digest, cell.clone()));
        if held.len() > MOST {
            held.pop_front();
        }
        cell
    }
}
