//! What a transfer reads: bytes in memory that all transfers share, or bytes still on their way.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_lite::AsyncRead;

use super::limits::Place;

/// Bytes that come once something is done: a script is told of before it leaves, a file is read.
/// Nothing happens before the transfer's first read, which async-tftp makes before it answers.
pub(super) type Coming = Pin<Box<dyn Future<Output = io::Result<Bytes>> + Send>>;

enum State {
    Coming(Coming),
    Here { bytes: Bytes, at: usize },
}

/// Called when the client has acknowledged the last block.
pub(super) type AtEnd = Box<dyn FnOnce() + Send>;

/// One transfer's reader.
pub(super) struct Contents {
    state: State,
    ended: Option<Instant>,
    last_call: Duration,
    at_end: Option<AtEnd>,
    _place: Place,
}

impl Contents {
    pub(super) fn here(bytes: Bytes, place: Place) -> Self {
        Contents::new(State::Here { bytes, at: 0 }, place)
    }

    pub(super) fn coming(coming: Coming, place: Place) -> Self {
        Contents::new(State::Coming(coming), place)
    }

    fn new(state: State, place: Place) -> Self {
        Contents {
            state,
            ended: None,
            last_call: Duration::ZERO,
            at_end: None,
            _place: place,
        }
    }

    /// Calls this once the whole went out. async-tftp does not say how a transfer ended; but it
    /// drops the reader at once after the last acknowledgement, and only after all its retries
    /// (`last_call`) if that never comes.
    pub(super) fn at_end(mut self, last_call: Duration, at_end: Option<AtEnd>) -> Self {
        self.last_call = last_call;
        self.at_end = at_end;
        self
    }
}

impl AsyncRead for Contents {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        loop {
            match &mut self.state {
                State::Coming(coming) => {
                    let bytes = match coming.as_mut().poll(cx) {
                        Poll::Pending => return Poll::Pending,
                        Poll::Ready(bytes) => bytes?,
                    };
                    self.state = State::Here { bytes, at: 0 };
                }
                State::Here { bytes, at } => {
                    let rest = &bytes[*at..];
                    let count = rest.len().min(buffer.len());
                    buffer[..count].copy_from_slice(&rest[..count]);
                    *at += count;
                    if *at == bytes.len() && self.ended.is_none() {
                        self.ended = Some(Instant::now());
                    }
                    return Poll::Ready(Ok(count));
                }
            }
        }
    }
}

impl Drop for Contents {
    fn drop(&mut self) {
        let acknowledged = self.ended.is_some_and(|at| at.elapsed() < self.last_call);
        if let (true, Some(at_end)) = (acknowledged, self.at_end.take()) {
            at_end();
        }
    }
}
