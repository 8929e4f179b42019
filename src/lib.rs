//! Farrier: an integrated bare-metal provisioning server.
//!
//! ```text
//!   bytes in                                                                  bytes out
//!   wire -> parse -> Request -> identify -> Facts --+               +-> encode -> wire
//!                                                   +-> decide -> Decision
//!             Snapshot (declared + known) ----------+    (pure)     +-> why -> log, CLI, web
//!
//!   something happened -> Event -> step (pure) -> Phase + Effects -> apply -> store, snapshot
//! ```
//!
//! Two verbs are the waist: [`control::Control::ask`] reads the in-memory snapshot and never waits;
//! [`control::Control::tell`] is the only way anything changes.
//! The modules below are grouped by layer; imports only point from a later group to an earlier one
//! (`tests/it/architecture.rs` enforces it).

// words: plain data
pub mod model;

// thought: pure functions from values to values
pub mod boot;
pub mod dhcp;
pub mod image;
pub mod lifecycle;
pub mod loader;
pub mod render;

// hands: one adapter per outside thing
pub mod artefacts;
pub mod enrol;
pub mod inventory;
pub mod net;
pub mod store;
pub mod vault;

// waist
pub mod control;

// doors
pub mod serve;

// people
pub mod cli;
