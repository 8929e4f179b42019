//! A pull-through cache of distribution mirrors, so that installs need no internet and a rack
//! fetches each package once.
//!
//! ```text
//! request -> path (one spelling, no tricks) -> entry on disk, fresh?  -> the file
//!                                           -> flight under way?      -> the growing file
//!                                           -> new flight to upstream -> the growing file
//! ```
//!
//! Files that never change (pool, by-hash) are kept for ever; the rest is asked about again, and
//! served as it was if upstream is down. Only transfers that ended well become entries.

mod budget;
mod cache;
mod entry;
mod fetch;
mod flight;
mod path;
mod promise;
mod sources;
mod turns;
mod upstream;

pub use cache::{Cache, Counts, Found, Limits, Missing};
pub use flight::Growing;
pub use turns::Admission;
