//! DHCPv4 and proxyDHCP, pure: bytes and a moment in, an answer out.
//!
//! Read in the order of a packet's way: [`wire`] (bytes to header and options, tolerant),
//! [`request`] (in our words), [`mod@facts`] (who asks), [`conversation`] (the answer),
//! [`allocate`] (which address), [`mod@boot`] (which loader), [`reply`], [`encode`], [`route`].
//! What particular firmware needs is data in [`quirks`]. Deliberately absent: sockets, time, any
//! log, and identity by option 61, which differs between firmware, iPXE, installer and system.

pub mod allocate;
pub mod boot;
pub mod conversation;
pub mod describe;
pub mod encode;
pub mod facts;
pub mod place;
pub mod probe;
mod proxy;
pub mod quirks;
pub mod recent;
pub mod reply;
pub mod request;
pub mod route;
mod selecting;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
pub mod wire;

pub use allocate::{Granted, LeaseTable};
pub use conversation::{Answer, Outcome, Silence, answer};
pub use describe::describe;
pub use encode::encode;
pub use facts::facts;
pub use place::Place;
pub use reply::Reply;
pub use request::{Malformed, Request, parse};
pub use route::{Destination, route};
