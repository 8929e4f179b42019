//! A private rack: machines, a network and a server on this host that nothing else can see.
//!
//! Each [`Rack`] is a network namespace of its own, so that any number of them run at once with the
//! same addresses and no port is ever taken. Its machines are QEMU processes with real firmware
//! ([`Machine`]), its server is the very `farrier` binary ([`Server`]), other hosts are namespaces
//! with a cable to the rack's switch ([`Host`]). The demo shows a build in it; the tests assert in it.
//!
//! Everything is removed again when it is dropped, on a panic, on Ctrl-C; and what a killed process
//! left behind is removed by the next rack.
//! It needs root, `ip` and QEMU; [`tools`] says which Debian packages bring them.

mod advert;
mod cleanup;
mod error;
mod firmware;
mod host;
mod machine;
mod namespace;
mod pair;
mod power;
mod process;
mod serial;
mod server;
mod switch;
pub mod tools;
mod upstream;
mod wait;

pub use cleanup::on_interrupt;
pub use error::RackError;
pub use firmware::Firmware;
pub use host::Host;
pub use machine::Machine;
pub use namespace::Namespace;
pub use pair::Pair;
pub use power::Power;
pub use process::{Output, Process};
pub use serial::Serial;
pub use server::{Server, ServerSettings};
pub use switch::{Rack, SERVER, SUBNET};
pub use upstream::Upstream;
pub use wait::{Patience, until};
