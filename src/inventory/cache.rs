//! Remembers systems by the text they were read from, so that a one-line edit of a large site is
//! live in milliseconds.

use std::collections::HashMap;
use std::sync::Arc;

use super::files::FileSet;
use super::load::{Parsed, parse_with};
use super::quick::Prior;
use super::system::Ground;
use crate::model::{Digest, System};

/// Keeps what was read between two loads of the same site. It never changes an answer: an entry is
/// found by the digest of its whole text, and all are dropped when anything they were checked
/// against changes.
#[derive(Debug, Default)]
pub struct Cache {
    ground: Option<Digest>,
    /// The last load, to go on from.
    pub(super) prior: Option<Prior>,
    systems: HashMap<Digest, Arc<System>>,
}

impl Cache {
    /// As [`super::parse`], and faster the second time.
    pub fn parse(&mut self, files: &FileSet) -> Parsed {
        if let Some((site, diagnostics)) = self.prior.as_mut().and_then(|p| p.advance(files)) {
            return Parsed {
                site: Some(site),
                diagnostics,
            };
        }
        parse_with(files, self, true)
    }

    /// Begins a load: entries checked against something else are dropped.
    pub(super) fn on(&mut self, ground: &Ground<'_>) {
        let digest = Digest::of(format!("{ground:?}").as_bytes());
        if self.ground != Some(digest) {
            self.ground = Some(digest);
            self.systems.clear();
        }
    }

    /// Keeps a load to go on from.
    pub(super) fn keep(&mut self, prior: Prior) {
        self.prior = Some(prior);
    }

    pub(super) fn get(&self, key: &Digest) -> Option<&Arc<System>> {
        self.systems.get(key)
    }

    pub(super) fn remember(&mut self, key: Digest, system: &Arc<System>) {
        self.systems.insert(key, system.clone());
    }

    /// Ends a load: entries of texts that are gone are dropped once they are many.
    pub(super) fn tidy(&mut self, parts: usize) {
        if self.systems.len() > 2 * parts + 1024 {
            // Held by nobody else: not part of the site that is being made, nor of the last one.
            self.systems
                .retain(|_, system| Arc::strong_count(system) > 1);
        }
    }
}
