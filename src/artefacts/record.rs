//! The record of what lies on the shelf: written last, so that a crash never shows a half set.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::disk;
use super::error::ArtefactError;
use crate::model::{ArtefactSource, Digest, Timestamp};

/// What was measured of one artefact when it was put on the shelf.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// BLAKE3: the name it is kept and pinned under.
    pub digest: Digest,
    /// SHA-256 in hexadecimal: the digest that publishers print.
    pub sha256: String,
    /// Bytes.
    pub size: u64,
    /// The declaration it answers, in one line, as `deb:PACKAGE:PATH`.
    pub source: String,
    /// Where the bytes came from: a package file, the last URL, a path.
    pub origin: String,
    /// The digest was vouched for by apt or by the declaration. If not, the first download is
    /// trusted, and later ones must equal it.
    pub pinned: bool,
    /// When it was put here.
    pub fetched: Timestamp,
    /// The publisher's own mark of this version (an ETag, a package's SHA-256).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// Where in a RAM disk it is unpacked: what is served is an archive of that one file, and
    /// `sha256` is the file's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub inside: Option<String>,
}

/// All that lies on the shelf for one distro: a kernel and its initrd change together.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Set {
    /// By the name they are served under.
    pub(super) artefacts: BTreeMap<String, Record>,
    /// Earlier versions that a build may have pinned, newest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) superseded: Vec<(String, Record)>,
}

impl Set {
    /// Where the set of a distro is recorded.
    pub(super) fn path(distro: &Path) -> PathBuf {
        distro.join("set.json")
    }

    /// Reads the set of the distro kept in `distro`; nothing there is an empty set.
    pub(super) fn read(distro: &Path) -> Result<Set, ArtefactError> {
        let path = Set::path(distro);
        let text = match std::fs::read(&path) {
            Ok(text) => text,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(Set::default()),
            Err(e) => return Err(ArtefactError::file("read", &path)(e)),
        };
        serde_json::from_slice(&text).map_err(|e| ArtefactError::Record {
            path,
            reason: e.to_string(),
        })
    }

    /// Writes it, atomically and durably.
    pub(super) fn write(&self, distro: &Path) -> Result<(), ArtefactError> {
        let mut text = serde_json::to_vec_pretty(self).map_err(|e| ArtefactError::Record {
            path: Set::path(distro),
            reason: e.to_string(),
        })?;
        text.push(b'\n');
        disk::replace(&Set::path(distro), &text)
    }

    /// Takes in what was fetched; keeps `versions` superseded ones of each name, and those that are
    /// `pinned`.
    pub(super) fn merge(
        &mut self,
        fetched: BTreeMap<String, Record>,
        versions: usize,
        pinned: &BTreeSet<Digest>,
    ) {
        for (name, record) in fetched {
            self.superseded
                .retain(|(n, r)| !(*n == name && r.digest == record.digest));
            if let Some(old) = self.artefacts.insert(name.clone(), record.clone())
                && old.digest != record.digest
            {
                self.superseded.insert(0, (name, old));
            }
        }
        self.thin(versions, pinned);
    }

    /// Moves what `declared` no longer names to the superseded.
    pub(super) fn retire(&mut self, declared: impl Fn(&str) -> bool) {
        for (name, record) in std::mem::take(&mut self.artefacts) {
            if declared(&name) {
                self.artefacts.insert(name, record);
            } else {
                self.superseded.insert(0, (name, record));
            }
        }
    }

    /// Whether any version of this name, current or superseded, has a digest that begins so.
    pub(super) fn holds(&self, name: &str, digest: &str) -> bool {
        let old = self.superseded.iter().map(|(n, r)| (n, r));
        let mut all = self.artefacts.iter().chain(old);
        all.any(|(n, r)| n == name && r.digest.short() == digest)
    }

    fn thin(&mut self, versions: usize, pinned: &BTreeSet<Digest>) {
        let mut kept: BTreeMap<String, usize> = BTreeMap::new();
        self.superseded.retain(|(name, record)| {
            let seen = kept.entry(name.clone()).or_default();
            *seen += 1;
            *seen <= versions || pinned.contains(&record.digest)
        });
    }
}

/// A declaration in one line. The expected digest is no part of it: pinning a file that is already
/// there does not fetch it again.
pub(super) fn source_line(source: &ArtefactSource) -> String {
    match source {
        ArtefactSource::Deb { package, path } => format!("deb:{package}:{}", relative(path)),
        ArtefactSource::Iso { iso, path } => format!("iso:{iso}:{}", relative(path)),
        ArtefactSource::Url { url, .. } => format!("url:{url}"),
        ArtefactSource::File { path, .. } => format!("file:{path}"),
        ArtefactSource::Built { builder } => format!("built:{builder}"),
    }
}

/// A path inside a package, without `./` or a leading slash.
pub(super) fn relative(path: &str) -> &str {
    path.trim_start_matches("./").trim_start_matches('/')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(content: &str) -> Record {
        Record {
            digest: Digest::of(content.as_bytes()),
            sha256: String::new(),
            size: 1,
            source: "file:x".into(),
            origin: "x".into(),
            pinned: false,
            fetched: Timestamp::UNIX_EPOCH,
            version: None,
            inside: None,
        }
    }

    #[test]
    fn superseded_versions_are_kept_for_builds_that_pinned_them() {
        let mut set = Set::default();
        for content in ["1", "2", "3", "4", "4", "2"] {
            let fetched = BTreeMap::from([("linux".into(), record(content))]);
            set.merge(fetched, 2, &BTreeSet::new());
        }
        assert_eq!(set.artefacts["linux"], record("2"));
        let old: Vec<_> = set.superseded.iter().map(|(_, r)| r.digest).collect();
        assert_eq!(old, [Digest::of(b"4"), Digest::of(b"3")]);
    }

    #[test]
    fn a_set_is_read_as_it_was_written() {
        let dir = tempfile::tempdir().expect("a directory");
        assert_eq!(Set::read(dir.path()).expect("empty"), Set::default());
        let mut set = Set::default();
        let fetched = BTreeMap::from([("linux".into(), record("1"))]);
        set.merge(fetched, 2, &BTreeSet::new());
        let fetched = BTreeMap::from([("linux".into(), record("2"))]);
        set.merge(fetched, 2, &BTreeSet::new());
        set.write(dir.path()).expect("written");
        assert_eq!(Set::read(dir.path()).expect("read"), set);
        std::fs::write(Set::path(dir.path()), "{").expect("spoilt");
        let error = Set::read(dir.path()).expect_err("spoilt").to_string();
        assert!(error.contains("move it away"), "{error}");
    }
}
