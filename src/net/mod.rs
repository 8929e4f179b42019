//! Hands for the network: interfaces, DHCP sockets, ARP entries, raw frames, pings, network time,
//! files that the kernel sends by itself, and threads that give way.
//!
//! The only room with unsafe code, and only where the operating system has no safe call for it.

mod arp;
mod batch;
mod clock;
mod frame;
mod interface;
mod outlet;
mod ping;
mod probe;
mod resident;
mod socket;
mod thread;

pub use arp::neighbour;
pub use batch::{BATCH, Datagram, Inbox, Outgoing, send};
pub use clock::clock_synchronised;
pub use interface::{Interface, interfaces};
pub use outlet::{Lane, Outlet, PIECE, in_memory};
pub use ping::{Prober, ping};
pub use probe::{OtherServer, probe_dhcp};
pub use socket::{BindError, DhcpSocket, Sharing};
pub use thread::give_way;
