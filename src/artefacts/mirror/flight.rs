//! One transfer from upstream, and everyone who reads it while it comes in.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use futures_lite::{Stream, StreamExt, stream};
use tokio::sync::watch;

use super::entry::{Entry, Head};

/// One read of a growing file takes at most so much.
const PIECE: u64 = 256 * 1024;

/// Where a flight stands.
#[derive(Debug, Clone)]
pub(super) enum State {
    /// Upstream was asked, or will be.
    Asking,
    /// The entry on disk is good.
    Here(Entry),
    /// Bytes come in.
    Growing(Transfer),
    /// There is no such file.
    Absent,
    /// Too many wait to ask upstream.
    Busy,
    /// Upstream could not be asked, or broke off; in one sentence.
    Failed(String),
}

/// A file that is coming in.
#[derive(Debug, Clone)]
pub(super) struct Transfer {
    pub(super) head: Arc<Head>,
    pub(super) file: Arc<File>,
    /// Bytes that may be read. The last one is held back until the whole is known to be right, so
    /// that a transfer that turns out wrong ends short for its readers.
    pub(super) ready: u64,
    /// All is here and right.
    pub(super) whole: bool,
}

/// The bytes of a file while it comes in. An error means that the transfer broke off: what was read
/// so far is no whole file.
pub struct Growing(Pin<Box<dyn Stream<Item = io::Result<Bytes>> + Send>>);

impl std::fmt::Debug for Growing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Growing")
    }
}

impl Stream for Growing {
    type Item = io::Result<Bytes>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.0.as_mut().poll_next(cx)
    }
}

impl Growing {
    /// No bytes at all, where only the head was asked for.
    pub(super) fn nothing() -> Growing {
        Growing(stream::empty().boxed())
    }

    /// Reads the flight that `state` tells of from its first byte.
    pub(super) fn follow(state: watch::Receiver<State>) -> Growing {
        let steps = stream::unfold(Some((state, 0)), |reader| async {
            let (mut state, at) = reader?;
            match next(&mut state, at).await {
                Ok(Some(bytes)) => {
                    let at = at + bytes.len() as u64;
                    Some((Ok(bytes), Some((state, at))))
                }
                Ok(None) => None,
                Err(error) => Some((Err(error), None)),
            }
        });
        Growing(steps.boxed())
    }
}

/// The next bytes from `at` on; none at the end.
async fn next(state: &mut watch::Receiver<State>, at: u64) -> io::Result<Option<Bytes>> {
    let moved = |s: &State| match s {
        State::Growing(t) => t.ready > at || t.whole,
        _ => true,
    };
    // the flight can only vanish by a panic
    let seen = state
        .wait_for(moved)
        .await
        .map_err(io::Error::other)?
        .clone();
    match seen {
        State::Growing(transfer) => {
            let length = PIECE.min(transfer.ready - at);
            if length == 0 {
                return Ok(None);
            }
            let read = move || {
                let mut piece = vec![0u8; length as usize];
                transfer.file.read_exact_at(&mut piece, at)?;
                Ok(Some(Bytes::from(piece)))
            };
            tokio::task::spawn_blocking(read)
                .await
                .map_err(io::Error::other)?
        }
        State::Failed(why) => Err(io::Error::other(why)),
        _ => Err(io::Error::other(
            "the transfer ended in another way than it began",
        )),
    }
}
