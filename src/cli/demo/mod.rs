//! `farrier demo`: one command from nothing to a machine that is ready.

pub mod rack;
mod run;
mod site;
mod timeline;
pub mod workshop;

pub use run::Demo;
