//! Many TFTP clients that do what firmware does, each with an address of its own.
//!
//! A rack has a processor for each client; here one thread plays all of them, on the server's own
//! cores. So it must cost little: the clients share two sockets (one that probes, one that fetches),
//! which tell them apart by the address that a datagram was sent to, and take and send datagrams by the
//! dozen.

use std::collections::HashMap;
use std::io;
use std::net::{Ipv4Addr, SocketAddrV4, UdpSocket};
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use farrier::net::{Inbox, Outgoing, send};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{setsockopt, sockopt};

use crate::site::ip;

/// How long a request is waited for.
const REQUEST: Duration = Duration::from_secs(1);
/// How long a block is waited for.
const BLOCK: Duration = Duration::from_secs(2);
/// How often a client asks again before it gives up.
const AGAIN: u32 = 10;
/// How often clients that wait too long are looked for.
const LOOK: Duration = Duration::from_millis(50);
/// Room for what arrives while this thread is not running: a block for each client, many times.
const QUEUE: usize = 32 << 20;

/// What every client fetches.
#[derive(Debug, Clone)]
pub(crate) struct Load {
    pub(crate) server: SocketAddrV4,
    pub(crate) name: String,
    pub(crate) block_size: usize,
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

/// Where a client stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// It asked for the size.
    Probing,
    /// It asked for the file.
    Asking,
    /// It has this many blocks, from this port of the server.
    Fetching { blocks: u32, from: SocketAddrV4 },
    /// It has the file, or gave up.
    Done,
}

#[derive(Debug)]
struct Client {
    stage: Stage,
    since: Instant,
    again: u32,
}

/// All clients, and what they are about to send.
struct Rack<'a> {
    load: &'a Load,
    request: Vec<u8>,
    clients: HashMap<Ipv4Addr, Client>,
    began: Instant,
    left: usize,
    outcome: Outcome,
    probes: Vec<Outgoing>,
    fetches: Vec<Outgoing>,
}

impl Load {
    /// So many clients at once; call it in the namespace that has their addresses.
    pub(crate) fn run(&self, clients: u32) -> Result<Outcome> {
        let (probing, fetching) = (socket()?, socket()?);
        let began = Instant::now();
        let all = (0..clients).map(|n| {
            let client = Client {
                stage: Stage::Probing,
                since: began,
                again: 0,
            };
            (ip(n), client)
        });
        let mut rack = Rack {
            load: self,
            request: self.request(),
            clients: all.collect(),
            began,
            left: clients as usize,
            outcome: Outcome::default(),
            probes: Vec::new(),
            fetches: Vec::new(),
        };
        for n in 0..clients {
            rack.probes.push(rack.ask(ip(n)));
        }
        let mut inbox = Inbox::default();
        let mut looked = Instant::now();
        while rack.left > 0 {
            for (socket, list) in [(&probing, &mut rack.probes), (&fetching, &mut rack.fetches)] {
                // What the kernel refuses is as good as lost on the way.
                send(socket.as_fd(), 0, list, &mut |_, _| {});
                list.clear();
            }
            let mut fds = [&probing, &fetching].map(|s| PollFd::new(s.as_fd(), PollFlags::POLLIN));
            poll(
                &mut fds,
                PollTimeout::try_from(LOOK).unwrap_or(PollTimeout::ZERO),
            )?;
            for (socket, probes) in [(&probing, true), (&fetching, false)] {
                inbox.receive(socket.as_fd())?;
                for heard in inbox.iter() {
                    rack.hear(heard.destination, heard.source, heard.bytes, probes);
                }
            }
            if looked.elapsed() > LOOK {
                looked = Instant::now();
                rack.look();
            }
        }
        let bytes = self.contents.len() * (clients - rack.outcome.failed) as usize;
        rack.outcome.megabytes = bytes as f64 / began.elapsed().as_secs_f64() / 1e6;
        Ok(rack.outcome)
    }

    fn request(&self) -> Vec<u8> {
        let block_size = self.block_size.to_string();
        let words = [&*self.name, "octet", "tsize", "0", "blksize", &*block_size];
        let mut request = vec![0, 1];
        for word in words {
            request.extend_from_slice(word.as_bytes());
            request.push(0);
        }
        request
    }
}

impl Rack<'_> {
    /// A datagram for one of the clients.
    fn hear(&mut self, own: Ipv4Addr, from: SocketAddrV4, bytes: &[u8], probe: bool) {
        let Some(client) = self.clients.get_mut(&own) else {
            return;
        };
        let [0, code, rest @ ..] = bytes else { return };
        match (client.stage, *code) {
            // The size is known: the transfer is broken off, and the real one begins.
            (Stage::Probing, 6) if probe => {
                client.advance(Stage::Asking);
                let stop = b"\0\x05\0\x08User aborted\0".to_vec();
                self.probes.push(outgoing(own, from, stop));
                self.fetches.push(self.ask(own));
            }
            (Stage::Asking, 6) if !probe => {
                client.advance(Stage::Fetching { blocks: 0, from });
                self.fetches.push(acknowledge(own, from, 0));
            }
            (
                Stage::Fetching {
                    blocks,
                    from: server,
                },
                3,
            ) if from == server => {
                let [high, low, data @ ..] = rest else { return };
                // Block numbers have 16 bits and begin anew after 65,535.
                if u16::from_be_bytes([*high, *low]) != blocks.wrapping_add(1) as u16 {
                    return;
                }
                let at = blocks as usize * self.load.block_size;
                let expected = self.load.contents.get(at..).unwrap_or_default();
                if !expected.starts_with(data) {
                    return self.end(own, Some("a block is not the file's"));
                }
                client.advance(Stage::Fetching {
                    blocks: blocks + 1,
                    from,
                });
                self.fetches.push(acknowledge(own, from, blocks + 1));
                if data.len() < self.load.block_size {
                    let wrong = (data.len() != expected.len()).then_some("it ends too soon");
                    self.end(own, wrong);
                }
            }
            (Stage::Asking | Stage::Fetching { .. }, 5) if !probe => {
                self.end(own, Some("the server sent an ERROR"));
            }
            _ => {}
        }
    }

    /// Clients that have waited too long ask again, or give up.
    fn look(&mut self) {
        let waiting: Vec<Ipv4Addr> = self
            .clients
            .iter()
            .filter(|(_, c)| c.is_late())
            .map(|(ip, _)| *ip)
            .collect();
        for own in waiting {
            let Some(client) = self.clients.get_mut(&own) else {
                continue;
            };
            client.again += 1;
            client.since = Instant::now();
            let (stage, again) = (client.stage, client.again);
            match stage {
                _ if again > AGAIN => self.end(own, Some("no answer")),
                Stage::Probing => self.probes.push(self.ask(own)),
                Stage::Asking => self.fetches.push(self.ask(own)),
                Stage::Fetching { blocks, from } => {
                    self.fetches.push(acknowledge(own, from, blocks));
                }
                Stage::Done => {}
            }
        }
    }

    fn end(&mut self, own: Ipv4Addr, wrong: Option<&str>) {
        let Some(client) = self.clients.get_mut(&own) else {
            return;
        };
        client.stage = Stage::Done;
        self.left -= 1;
        self.outcome.slowest = self.began.elapsed();
        if let Some(wrong) = wrong {
            self.outcome.failed += 1;
            eprintln!("the TFTP client {own} failed: {wrong}");
        }
    }

    fn ask(&self, own: Ipv4Addr) -> Outgoing {
        outgoing(own, self.load.server, self.request.clone())
    }
}

impl Client {
    fn advance(&mut self, stage: Stage) {
        *self = Client {
            stage,
            since: Instant::now(),
            again: 0,
        };
    }

    fn is_late(&self) -> bool {
        let patience = match self.stage {
            Stage::Probing | Stage::Asking => REQUEST,
            Stage::Fetching { .. } => BLOCK,
            Stage::Done => return false,
        };
        self.since.elapsed() > patience
    }
}

fn outgoing(from: Ipv4Addr, to: SocketAddrV4, bytes: Vec<u8>) -> Outgoing {
    Outgoing { bytes, to, from }
}

fn acknowledge(own: Ipv4Addr, to: SocketAddrV4, block: u32) -> Outgoing {
    let [.., high, low] = block.to_be_bytes();
    outgoing(own, to, vec![0, 4, high, low])
}

/// A socket for all addresses that does not wait.
fn socket() -> Result<UdpSocket> {
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).context("a socket")?;
    socket.set_nonblocking(true)?;
    setsockopt(&socket, sockopt::Ipv4PacketInfo, &true).map_err(io::Error::from)?;
    setsockopt(&socket, sockopt::RcvBufForce, &QUEUE).map_err(io::Error::from)?;
    Ok(socket)
}
