//! it

mod http;
mod loader;
mod standin;
mod tftp;
