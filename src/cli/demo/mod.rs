//! `farrier demo`: one command from nothing to a machine that is ready.

pub mod rack;
pub mod workshop;
