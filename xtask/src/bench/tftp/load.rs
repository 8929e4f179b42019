//! Many TFTP clients on one thread, which do what firmware does.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Result;
use tokio::net::UdpSocket;

use crate::site::ip;

/// How long a request is waited for.
const REQUEST: Duration = Duration::from_secs(1);
/// How long a block is waited for.
const BLOCK: Duration = Duration::from_secs(2);
/// How often a client asks again before it gives up.
const AGAIN: u32 = 10;

/// What every client fetches.
#[derive(Debug, Clone)]
pub(crate) struct Load {
    pub(crate) server: SocketAddr,
    pub(crate) name: String,
    pub(crate) block_size: usize,
    pub(crate) window: usize,
    /// What it must get.
    pub(crate) contents: Vec<u8>,
}

/// What all of them came to.
#[derive(Debug, Default)]
pub(crate) struct Outcome {
    /// Megabytes a second, all clients together.
    pub(crate) megabytes: f64,
    /// Clients that gave up or got something else.
    pub(crate) failed: u32,
    /// How long the slowest took.
    pub(crate) slowest: Duration,
}

impl Load {
    /// So many clients at once; call it in the namespace that has their addresses.
    pub(crate) fn run(&self, clients: u32) -> Result<Outcome> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        Ok(runtime.block_on(self.all(clients)))
    }

    async fn all(&self, clients: u32) -> Outcome {
        let load = Arc::new(self.clone());
        let began = Instant::now();
        let mut tasks = tokio::task::JoinSet::new();
        for n in 0..clients {
            let load = load.clone();
            tasks.spawn(async move { load.client(ip(n)).await });
        }
        let (mut outcome, mut bytes) = (Outcome::default(), 0);
        while let Some(done) = tasks.join_next().await {
            match done {
                Ok(Ok(took)) => {
                    bytes += self.contents.len();
                    outcome.slowest = outcome.slowest.max(took);
                }
                Ok(Err(error)) => {
                    outcome.failed += 1;
                    eprintln!("a TFTP client failed: {error}");
                }
                Err(panic) => std::panic::resume_unwind(panic.into_panic()),
            }
        }
        outcome.megabytes = bytes as f64 / began.elapsed().as_secs_f64() / 1e6;
        outcome
    }

    /// A request for the size that is broken off, then the real one from another port.
    async fn client(&self, own: Ipv4Addr) -> io::Result<Duration> {
        let began = Instant::now();
        let mut buffer = vec![0; self.block_size + 64];
        let probe = UdpSocket::bind((own, 0)).await?;
        let (_, from) = self.ask(&probe, &mut buffer).await?;
        probe.send_to(b"\0\x05\0\x08User aborted\0", from).await?;
        drop(probe);

        let socket = UdpSocket::bind((own, 0)).await?;
        let (length, from) = self.ask(&socket, &mut buffer).await?;
        let said = String::from_utf8_lossy(&buffer[2..length]).into_owned();
        if buffer[1] != 6 || !said.contains("blksize") {
            return Err(io::Error::other(format!("no OACK: {said}")));
        }
        // A server that does not know `windowsize` leaves it out.
        let window = if said.contains("windowsize") {
            self.window
        } else {
            1
        };
        socket.connect(from).await?;
        self.blocks(&socket, &mut buffer, window).await?;
        Ok(began.elapsed())
    }

    /// Every block in its order, acknowledged at the end of each window.
    async fn blocks(&self, socket: &UdpSocket, buffer: &mut [u8], window: usize) -> io::Result<()> {
        let ack = |block: u16| [0, 4, (block >> 8) as u8, block as u8];
        let (mut last, mut since, mut again) = (0u16, 0, 0);
        let mut rest = self.contents.as_slice();
        socket.send(&ack(0)).await?;
        loop {
            let Ok(received) = tokio::time::timeout(BLOCK, socket.recv(buffer)).await else {
                again += 1;
                if again > AGAIN {
                    return Err(io::Error::other(format!("no block after {last}")));
                }
                socket.send(&ack(last)).await?;
                continue;
            };
            let length = received?;
            if buffer[1] != 3 {
                return Err(io::Error::other("an ERROR in mid-transfer"));
            }
            let block = u16::from_be_bytes([buffer[2], buffer[3]]);
            if block != last.wrapping_add(1) {
                continue;
            }
            let Some(after) = rest.strip_prefix(&buffer[4..length]) else {
                return Err(io::Error::other(format!("block {block} is not the file's")));
            };
            rest = after;
            last = block;
            since += 1;
            let end = length - 4 < self.block_size;
            if end || since == window {
                socket.send(&ack(block)).await?;
                since = 0;
            }
            if end && rest.is_empty() {
                return Ok(());
            }
            if end {
                return Err(io::Error::other(format!(
                    "{} bytes are missing",
                    rest.len()
                )));
            }
        }
    }

    async fn ask(&self, socket: &UdpSocket, buffer: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
        let (block_size, window) = (self.block_size.to_string(), self.window.to_string());
        let mut words = vec![&*self.name, "octet", "tsize", "0", "blksize", &*block_size];
        if self.window > 1 {
            words.extend(["windowsize", &*window]);
        }
        let mut request = vec![0, 1];
        for word in words {
            request.extend_from_slice(word.as_bytes());
            request.push(0);
        }
        for _ in 0..AGAIN {
            socket.send_to(&request, self.server).await?;
            let answer = tokio::time::timeout(REQUEST, socket.recv_from(buffer)).await;
            if let Ok(received) = answer {
                return received;
            }
        }
        Err(io::Error::other("no answer to ten requests"))
    }
}
