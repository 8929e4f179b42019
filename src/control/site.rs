//! The site's files: loading, keeping the last good revision, editing in place.

use std::path::PathBuf;

/// Where the files are.
#[derive(Debug)]
pub(super) struct Files {
    pub(super) site: PathBuf,
    pub(super) state: PathBuf,
}

/// Why a site was not loaded.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The directory cannot be read.
    #[error("the site cannot be read")]
    Read,
}

impl Files {
    pub(super) fn stale(&self) -> Option<crate::model::view::Stale> {
        None
    }

    pub(super) fn new(site: PathBuf, state: PathBuf) -> Self {
        Files { site, state }
    }
}
