//! The inventory: the files people write (`farrier.toml`, `systems.toml`, `systems.d/`,
//! `profiles/`, `boot/`), read with their places, checked whole, edited in place and watched.
//!
//! [`read`] fetches the bytes, [`parse`] turns them into a [`Site`](crate::model::Site) or a list of
//! every problem, [`Edit`] changes the text and keeps comments and order, [`Watch`] says when
//! something changed, and [`select`] finds the systems that a person means.
//! Nothing here decides or publishes: a site with an error is no site, and control keeps the last
//! good one.

mod agent;
mod assign;
mod cache;
mod chunk;
mod disk;
mod distro;
mod edit;
#[cfg(test)]
mod example;
mod field;
mod files;
#[cfg(test)]
mod golden;
mod inherit;
mod intent;
mod load;
mod origin;
mod places;
mod profile;
mod quick;
mod read;
mod register;
mod report;
mod request;
#[cfg(test)]
mod scale;
mod secrets;
mod select;
mod settings;
mod subnet;
mod suggest;
mod system;
mod systems;
mod text;
mod value;
mod watch;
mod way;
mod write;

pub use assign::{Assignment, AssignmentError};
pub use cache::Cache;
pub use edit::{Change, Edit, EditError};
pub use files::{FileSet, Manifest, ManifestEntry, RebuildError, SourceFile};
pub use load::{Parsed, parse};
pub use origin::{BUILT_IN, Origin, origins};
pub use places::placed;
pub use read::{MAX_FILE, MAX_FILES, MAX_SYSTEMS_FILE, MAX_TOTAL, ReadError, read};
pub use report::report;
pub use request::{apply, edits};
pub use secrets::{Unset, referred, unset};
pub use select::{SelectError, by_serial, select};
pub use suggest::suggest;
pub use watch::{Watch, WatchTimes};
pub use write::{EditLock, WriteError};
