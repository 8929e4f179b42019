//! TFTP: network boot loaders, the scripts they read next, and kernels for loaders without http.
//!
//! async-tftp carries the protocol; ours is what stands behind it: a closed table of names
//! (`boot::paths::parse_tftp`), contents that are in memory, clients that hold a lease, and limits.
//! `desk` opens what is asked for, `contents` is what a transfer reads, `shard` runs one server.
//!
//! What async-tftp 0.4.2 leaves to be wished for, and what is done about it: an ERROR from a client
//! is ignored, so a firmware's size probe goes on being sent to (here: five times, one second
//! apart); its handler is behind one lock (here: it never waits); it runs on one thread (here: one
//! per shard, each with its own socket on the same port).

mod contents;
mod desk;
mod limits;
mod shard;

use std::io;
use std::net::{SocketAddr, SocketAddrV4, UdpSocket};
use std::sync::Arc;

use socket2::{Domain, Protocol, Socket, Type};
use tokio::sync::watch;

use limits::Admission;
pub use limits::Limits;

use super::{Hot, Waist};

/// A TFTP door that is open.
#[derive(Debug)]
pub struct Running {
    addresses: Vec<SocketAddr>,
    stop: watch::Sender<bool>,
    threads: Vec<std::thread::JoinHandle<()>>,
}

impl Running {
    /// Where it listens.
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// Closes it; transfers under way are cut off, and clients ask again.
    pub fn stop(self) {
        self.stop.send_replace(true);
        for thread in self.threads {
            if thread.join().is_err() {
                tracing::error!("a TFTP thread ended in a panic");
            }
        }
    }
}

/// Binds `shards` sockets to one address and port; the kernel spreads clients over them. The
/// address must be one of this host's own, not the wildcard: answers leave from it.
///
/// # Errors
/// If the address is not this host's or the port is taken.
pub fn bind(address: SocketAddrV4, shards: usize) -> io::Result<Vec<UdpSocket>> {
    let mut sockets: Vec<UdpSocket> = Vec::new();
    for _ in 0..shards.max(1) {
        let socket = Socket::new(Domain::IPV4, Type::DGRAM, Some(Protocol::UDP))?;
        socket.set_reuse_port(true)?;
        // A rack that is powered on at once asks within one millisecond.
        socket.set_recv_buffer_size(1 << 20)?;
        // Port 0 is chosen once, for all.
        let first = sockets.first().map(UdpSocket::local_addr).transpose()?;
        socket.bind(&first.unwrap_or(SocketAddr::V4(address)).into())?;
        sockets.push(socket.into());
    }
    Ok(sockets)
}

/// Opens the door on sockets that are bound already (see [`bind`]). Call it within a tokio runtime:
/// telling the waist happens there.
///
/// # Errors
/// If a socket does not know its own IPv4 address, or a thread cannot be started.
pub fn start(
    sockets: Vec<UdpSocket>,
    waist: Arc<dyn Waist>,
    hot: Arc<Hot>,
    limits: Limits,
) -> io::Result<Running> {
    let (stop, stopped) = watch::channel(false);
    let admission = Arc::new(Admission::new(limits.clone()));
    let mut addresses = Vec::new();
    let mut threads = Vec::new();
    for (number, socket) in sockets.into_iter().enumerate() {
        let SocketAddr::V4(local) = socket.local_addr()? else {
            return Err(io::Error::other("TFTP is served over IPv4 only"));
        };
        if !addresses.contains(&SocketAddr::V4(local)) {
            addresses.push(SocketAddr::V4(local));
        }
        let desk = desk::Desk {
            waist: waist.clone(),
            hot: hot.clone(),
            runtime: tokio::runtime::Handle::current(),
            local: *local.ip(),
            admission: admission.clone(),
        };
        let shard = shard::Shard {
            socket,
            desk,
            limits: limits.clone(),
            stopped: stopped.clone(),
        };
        let thread = std::thread::Builder::new().name(format!("tftp-{number}"));
        threads.push(thread.spawn(move || shard.run())?);
    }
    Ok(Running {
        addresses,
        stop,
        threads,
    })
}
