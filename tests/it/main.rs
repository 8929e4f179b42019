//! The house from outside: its walls, its doors, its machines.
#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a test that cannot run says so, and what real machines did is worth reading"
)]

#[macro_use]
mod skip;

mod agents;
mod architecture;
mod artefacts;
mod cli;
mod clients;
mod contract;
mod disk;
mod fai;
mod http;
mod loader;
mod media;
mod mirror;
mod rack;
mod render;
mod standin;
mod tftp;
mod upstream;
