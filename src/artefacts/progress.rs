//! How far a fetch is, for a progress bar.

use std::sync::Arc;

/// What is being done to an artefact.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Another process fetches the same distro; its lock is waited for.
    Waiting,
    /// Bytes come in.
    Downloading,
    /// A file of this host is copied.
    Copying,
    /// Files are taken out of a package or a medium.
    Unpacking,
    /// A digest is measured.
    Checking,
    /// A builder of Farrier's works; counts are steps, not bytes.
    Building,
}

/// One sign of life from a fetch. Many per second may come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Progress {
    /// Which artefact, package or builder.
    pub artefact: String,
    /// What is being done to it.
    pub step: Step,
    /// Bytes (or steps) done.
    pub done: u64,
    /// Bytes (or steps) in all, if known.
    pub total: Option<u64>,
}

/// Where progress is told. Called from any thread; must not block.
pub type Report = Arc<dyn Fn(Progress) + Send + Sync>;

/// Tells no one.
pub fn silent() -> Report {
    Arc::new(|_| {})
}

/// Shorthand for the rooms below.
pub(super) fn tell(report: &Report, artefact: &str, step: Step, done: u64, total: Option<u64>) {
    report(Progress {
        artefact: artefact.to_string(),
        step,
        done,
        total,
    });
}
