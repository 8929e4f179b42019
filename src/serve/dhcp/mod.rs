//! The DHCP door: sockets, threads and the order of things around [`crate::dhcp::answer`].
//!
//! [`open`] binds the sockets, [`start`] serves them until [`Running::stop`]. Each socket has one
//! thread that reads a batch of datagrams, answers all of them under one lock of the lease table,
//! and sends the answers in one call. Leases that must be durable first go to the waist as one
//! group; a second thread waits for it and sends those ACKs, so that nobody else waits. A third
//! pings addresses that are about to be offered for the first time.

mod batch;
mod check;
mod commit;
mod deliver;
mod door;
mod gate;
mod open;
mod running;

pub use open::{OpenError, chosen, open};
pub use running::{Running, start};
