//! Everything that needs more than one room.

mod artefacts;
mod http;
mod loader;
mod standin;
mod tftp;
mod upstream;
