//! Everything that needs more than one room.

mod http;
mod loader;
mod standin;
mod tftp;
