//! The life of a build: how events move it, how long each phase may last, what its tokens open.

pub mod deadline;
#[cfg(test)]
mod decide_tests;
pub mod disks;
mod enrol;
pub mod log;
pub mod observed;
pub mod scope;
pub mod silent;
pub mod stages;
pub mod status;
pub mod step;
pub mod usual;

pub use deadline::{expected_next, next_deadline};
pub use scope::{only_last_words, scope_open};
pub use silent::silent;
pub use stages::over;
pub use step::{StepError, implied, step};
