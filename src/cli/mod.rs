//! People: the command line.

pub mod demo;
