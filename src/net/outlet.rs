//! A TCP stream that sends pieces of files as the kernel holds them, without copying them through
//! the program (sendfile(2)).
//!
//! An HTTP library knows only bytes. So whoever has a piece of a file puts it on the connection's
//! [`Lane`] and gives the library a stand-in: as many bytes, all at one well-known place in memory.
//! Where the stand-in arrives at the stream, the piece leaves in its stead. That holds as long as
//! the library hands on the very slices it was given, which is what it promises for streams that
//! write vectored; bytes that were copied on their way would be seen by the fill pattern's place
//! being another, and by pieces being left over, and end the connection.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use nix::errno::Errno;
use nix::sys::sendfile::sendfile64;
use tokio::io::{AsyncRead, AsyncWrite, Interest, ReadBuf};
use tokio::net::TcpStream;

/// The longest piece in bytes.
pub const PIECE: usize = 1024 * 1024;

/// What stands in for a piece. Never read, so it takes no memory.
static STAND_IN: [u8; PIECE] = [0; PIECE];

/// The pieces of files that wait for their stand-ins, in the order they were put.
#[derive(Debug, Clone, Default)]
pub struct Lane(Arc<Mutex<VecDeque<Piece>>>);

#[derive(Debug)]
struct Piece {
    file: Arc<File>,
    at: u64,
    left: usize,
}

impl Lane {
    /// Queues `length` bytes (at most [`PIECE`]) of a file from `at` on. The bytes that are returned
    /// must be the next on this lane's stream that stand in for a file.
    pub fn put(&self, file: Arc<File>, at: u64, length: usize) -> Bytes {
        let length = length.min(PIECE);
        self.lock().push_back(Piece {
            file,
            at,
            left: length,
        });
        Bytes::from_static(STAND_IN.get(..length).unwrap_or_default())
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, VecDeque<Piece>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether these bytes stand in for a piece.
fn stands_in(bytes: &[u8]) -> bool {
    STAND_IN.as_ptr_range().contains(&bytes.as_ptr())
}

/// Whether both ends of a part of a file are in memory, so that sending it waits for no disk. False
/// where the file system cannot tell.
pub fn in_memory(file: &File, at: u64, length: usize) -> bool {
    let last = at + (length as u64).saturating_sub(1);
    super::resident::byte(file, at) && super::resident::byte(file, last)
}

/// A TCP stream that sends a lane's pieces where their stand-ins are written.
#[derive(Debug)]
pub struct Outlet {
    stream: TcpStream,
    lane: Lane,
}

impl Outlet {
    /// A stream without pieces yet.
    pub fn new(stream: TcpStream) -> Self {
        Outlet {
            stream,
            lane: Lane::default(),
        }
    }

    /// Where pieces for this stream are put.
    pub fn lane(&self) -> Lane {
        self.lane.clone()
    }

    /// Sends of the foremost piece, at most `most` bytes.
    fn poll_piece(&self, cx: &mut Context<'_>, most: usize) -> Poll<io::Result<usize>> {
        loop {
            ready!(self.stream.poll_write_ready(cx))?;
            let mut pieces = self.lane.lock();
            let Some(piece) = pieces.front_mut() else {
                return Poll::Ready(Err(io::Error::other("no piece of a file for its stand-in")));
            };
            let count = most.min(piece.left);
            let sent = self.stream.try_io(Interest::WRITABLE, || {
                let mut at = i64::try_from(piece.at).map_err(io::Error::other)?;
                match sendfile64(&self.stream, &*piece.file, Some(&mut at), count) {
                    Ok(sent) => Ok(sent),
                    Err(Errno::EINTR) => Ok(usize::MAX),
                    Err(error) => Err(error.into()),
                }
            });
            match sent {
                // Interrupted before anything left.
                Ok(usize::MAX) => {}
                Ok(0) => {
                    let cut = io::Error::new(io::ErrorKind::UnexpectedEof, "the file was cut off");
                    return Poll::Ready(Err(cut));
                }
                Ok(sent) => {
                    piece.at += sent as u64;
                    piece.left -= sent;
                    if piece.left == 0 {
                        pieces.pop_front();
                    }
                    return Poll::Ready(Ok(sent));
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
    }
}

impl AsyncRead for Outlet {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Outlet {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        if stands_in(bytes) {
            return self.poll_piece(cx, bytes.len());
        }
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let empty = slices.iter().take_while(|s| s.is_empty()).count();
        let slices = slices.get(empty..).unwrap_or_default();
        match slices.first() {
            Some(first) if stands_in(first) => self.poll_piece(cx, first.len()),
            _ => {
                let own = slices.iter().take_while(|s| !stands_in(s)).count();
                let own = slices.get(..own).unwrap_or_default();
                Pin::new(&mut self.stream).poll_write_vectored(cx, own)
            }
        }
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    async fn pair() -> (Outlet, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a listener");
        let address = listener.local_addr().expect("an address");
        let (near, far) = tokio::join!(TcpStream::connect(address), listener.accept());
        (
            Outlet::new(near.expect("connected")),
            far.expect("accepted").0,
        )
    }

    fn file(bytes: &[u8]) -> Arc<File> {
        let mut file = tempfile::tempfile().expect("a file");
        file.write_all(bytes).expect("written");
        Arc::new(file)
    }

    #[tokio::test]
    async fn pieces_leave_where_their_stand_ins_are_written() {
        let (mut near, mut far) = pair().await;
        let contents: Vec<u8> = (0..2 * PIECE).map(|i| (i % 251) as u8).collect();
        let file = file(&contents);
        let lane = near.lane();
        let (first, second) = (
            lane.put(file.clone(), 7, PIECE),
            lane.put(file, 7 + PIECE as u64, 100),
        );
        let reader = tokio::spawn(async move {
            let mut got = Vec::new();
            far.read_to_end(&mut got).await.expect("read");
            got
        });
        let mut left: VecDeque<Bytes> = [
            Bytes::from_static(b"head"),
            first,
            second,
            Bytes::from_static(b"tail"),
        ]
        .into();
        while !left.is_empty() {
            let slices: Vec<IoSlice<'_>> = left.iter().map(|b| IoSlice::new(b)).collect();
            let mut sent = near.write_vectored(&slices).await.expect("written");
            while let Some(front) = left.front_mut() {
                let n = sent.min(front.len());
                bytes::Buf::advance(front, n);
                sent -= n;
                if !front.is_empty() {
                    break;
                }
                left.pop_front();
            }
        }
        near.shutdown().await.expect("shut");
        let mut expected = b"head".to_vec();
        expected.extend_from_slice(&contents[7..107 + PIECE]);
        expected.extend_from_slice(b"tail");
        assert!(reader.await.expect("read") == expected);
    }

    #[tokio::test]
    async fn a_file_that_was_cut_off_ends_the_stream() {
        let (mut near, _far) = pair().await;
        let piece = near.lane().put(file(b"short"), 3, 10);
        assert_eq!(near.write(&piece).await.expect("two bytes"), 2);
        let error = near.write(&piece[2..]).await.expect_err("no more bytes");
        assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
    }

    #[tokio::test]
    async fn a_stand_in_without_its_piece_is_never_sent() {
        let (mut near, _far) = pair().await;
        let piece = Bytes::from_static(&STAND_IN[..10]);
        assert!(near.write(&piece).await.is_err());
    }

    #[test]
    fn what_was_just_written_is_in_memory_and_what_is_beyond_the_end_is_not() {
        let file = file(&[1; 10_000]);
        assert!(in_memory(&file, 0, 10_000));
        assert!(!in_memory(&file, 0, 10_001));
    }
}
