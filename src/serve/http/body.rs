//! Bodies of known length: from memory or from a file, in large pieces.

use std::fs::File;
use std::future::Future;
use std::io;
use std::os::unix::fs::FileExt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use axum::body::HttpBody;
use bytes::Bytes;
use hyper::body::{Frame, SizeHint};
use tokio::task::JoinHandle;

use crate::net::{self, Lane};

/// Bytes of one piece. Where it must be read from a disk: one read, one hop to the blocking pool and
/// back.
const PIECE: u64 = net::PIECE as u64;

tokio::task_local! {
    /// Where the connection that this task serves takes pieces of files; none over TLS, which has to
    /// see the bytes.
    pub(super) static LANE: Lane;
}

/// Called when a body was taken to its end.
pub(super) type AtEnd = Box<dyn FnOnce() + Send>;

/// Where the bytes are.
pub(super) enum Source {
    /// In memory.
    Memory(Bytes),
    /// In a file. It is open, so that a file replaced meanwhile changes nothing.
    File(Arc<File>),
    /// In a part of a file, which begins at this byte.
    Slice(Arc<File>, u64),
}

/// The bytes `from..to` of a source.
pub(super) struct Part {
    source: Source,
    at: u64,
    to: u64,
    reading: Option<JoinHandle<io::Result<Bytes>>>,
    at_end: Option<AtEnd>,
}

impl Part {
    pub(super) fn new(source: Source, from: u64, to: u64, at_end: Option<AtEnd>) -> Self {
        Part {
            source,
            at: from,
            to,
            reading: None,
            at_end,
        }
    }

    fn step(&self) -> u64 {
        PIECE.min(self.to - self.at)
    }

    /// Where the source begins in its file.
    fn begin(&self) -> u64 {
        match &self.source {
            Source::Slice(_, begin) => *begin,
            Source::Memory(_) | Source::File(_) => 0,
        }
    }

    /// Has the kernel send a piece, if the connection can and nobody would wait for a disk.
    fn put(&self, file: &Arc<File>, at: u64, step: u64) -> Option<Bytes> {
        let at = self.begin() + at;
        if self.reading.is_some() || !net::in_memory(file, at, step as usize) {
            return None;
        }
        let put = |lane: &Lane| lane.put(file.clone(), at, step as usize);
        LANE.try_with(put).ok()
    }

    fn read(&mut self, cx: &mut Context<'_>, at: u64, step: u64) -> Poll<io::Result<Bytes>> {
        let begin = self.begin();
        let (Source::File(file) | Source::Slice(file, _)) = &self.source else {
            return Poll::Ready(Err(io::ErrorKind::Unsupported.into()));
        };
        let reading = self
            .reading
            .get_or_insert_with(|| read(file.clone(), begin + at, step));
        let Poll::Ready(read) = Pin::new(reading).poll(cx) else {
            return Poll::Pending;
        };
        self.reading = None;
        Poll::Ready(read.map_err(io::Error::other).and_then(|read| read))
    }
}

impl HttpBody for Part {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        if self.at >= self.to {
            return Poll::Ready(None);
        }
        let (at, step) = (self.at, self.step());
        let this = &mut *self;
        let piece = match &this.source {
            Source::Memory(bytes) => bytes.slice(at as usize..(at + step) as usize),
            Source::File(file) | Source::Slice(file, _) => match this.put(file, at, step) {
                Some(stand_in) => stand_in,
                None => match this.read(cx, at, step) {
                    Poll::Pending => return Poll::Pending,
                    Poll::Ready(Ok(piece)) => piece,
                    Poll::Ready(Err(error)) => {
                        this.at = this.to;
                        return Poll::Ready(Some(Err(error)));
                    }
                },
            },
        };
        self.at += step;
        if self.at >= self.to
            && let Some(at_end) = self.at_end.take()
        {
            at_end();
        }
        Poll::Ready(Some(Ok(Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        self.at >= self.to
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.to - self.at)
    }
}

fn read(file: Arc<File>, at: u64, step: u64) -> JoinHandle<io::Result<Bytes>> {
    tokio::task::spawn_blocking(move || {
        let mut piece = vec![0; step as usize];
        file.read_exact_at(&mut piece, at)?;
        Ok(Bytes::from(piece))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use http_body_util::BodyExt;
    use std::sync::atomic::{AtomicBool, Ordering};

    #[tokio::test]
    async fn memory_and_file_give_the_same_bytes() {
        let contents: Vec<u8> = (0..PIECE as usize * 2 + 77).map(|i| i as u8).collect();
        let file = tempfile::tempfile().expect("a file");
        file.write_all_at(&contents, 0).expect("written");
        let file = Arc::new(file);
        let shifted = tempfile::tempfile().expect("a file");
        shifted.write_all_at(&contents, 11).expect("written");
        let shifted = Arc::new(shifted);
        let all = contents.len() as u64;
        for (from, to) in [
            (0, all),
            (5, 6),
            (PIECE - 1, PIECE + 1),
            (all - 1, all),
            (3, 3),
        ] {
            for source in [
                Source::Memory(Bytes::from(contents.clone())),
                Source::File(file.clone()),
                Source::Slice(shifted.clone(), 11),
            ] {
                let ended = Arc::new(AtomicBool::new(false));
                let flag = ended.clone();
                let part = Part::new(
                    source,
                    from,
                    to,
                    Some(Box::new(move || flag.store(true, Ordering::SeqCst))),
                );
                assert_eq!(part.size_hint().exact(), Some(to - from));
                let got = part.collect().await.expect("bytes").to_bytes();
                assert_eq!(got, contents[from as usize..to as usize], "{from}..{to}");
                assert_eq!(ended.load(Ordering::SeqCst), from < to);
            }
        }
    }

    #[tokio::test]
    async fn a_file_that_is_cut_off_is_an_error() {
        let file = tempfile::tempfile().expect("a file");
        file.set_len(10).expect("a length");
        let part = Part::new(Source::File(Arc::new(file)), 0, 11, None);
        assert!(part.collect().await.is_err());
    }
}
