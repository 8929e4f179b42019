//! Boot artefacts on this host's disk: fetched, verified, kept; and the cache of a distribution's
//! mirror.
//!
//! A [`Shelf`] holds the kernels, initrds and loaders that machines boot. [`mirror::Cache`] holds
//! what their installers download. [`relay`] lends a way out to a server that has none.

mod accept;
pub mod builders;
mod client;
mod compose;
mod deb;
mod disk;
mod download;
mod errand;
mod error;
mod fai;
mod fetch;
mod gather;
mod loaders;
mod medium;
pub mod mirror;
mod nature;
mod placeholder;
mod progress;
mod record;
pub mod relay;
mod shelf;
mod unpack;

pub use compose::compose;
pub use error::ArtefactError;
pub use fetch::{Outcome, Renew};
pub use loaders::{LoaderState, loader_package};
pub use medium::{Inspected, inspect, sha256};
pub use progress::{Progress, Report, Step, silent};
pub use record::Record;
pub use shelf::{Damage, Shelf};
