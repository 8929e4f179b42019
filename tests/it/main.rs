//! The house from outside: its walls, its doors, its machines.

mod architecture;
mod artefacts;
mod cli;
mod clients;
mod contract;
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
