//! The doors: bytes from machines in, bytes to machines out.
//!
//! A door turns what it hears into [`crate::model::Facts`] or an [`crate::model::Event`], asks or
//! tells the waist, and writes the answer down. It decides nothing. Sockets are bound by the caller
//! and handed in.

pub mod dhcp;
pub mod fai;
pub mod hot;
pub mod http;
mod media;
mod own;
pub mod script;
pub mod syslog;
pub mod tftp;
pub mod waist;

pub use hot::Hot;
pub use waist::Waist;
