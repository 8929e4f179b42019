//! it

mod artefacts;
mod http;
mod loader;
mod standin;
mod tftp;
mod upstream;
