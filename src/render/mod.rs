//! Thought: from a system, its profile and its distro to the very bytes its installer will get.
//!
//! Pure: a profile's files are in memory, nothing is read from a disk and no clock is asked, so
//! that the same inputs always give the same documents. What it deliberately does not do: decide
//! who may fetch a document, and fill in tokens (`boot::token`, when a document is served).
//!
//! Read next: [`CompiledProfile`] (how a profile is used), [`Format`] (why a name in a shell script
//! is escaped otherwise than in JSON), `handoff` (what the first boot does), `docs/profiles.md`.

mod compiled;
pub mod cpio;
mod engine;
mod filters;
mod formats;
mod handoff;
mod intent;
mod lint;
mod merge;
mod pack;
mod place;
mod scan;
mod secret;
mod trouble;

pub use compiled::{CompiledProfile, Rendered, render};
pub use formats::Format;
pub use intent::{intent, second_disk};
pub use merge::variables;
pub use place::{Place, fqdn};
pub use secret::{release, secrets_in};
