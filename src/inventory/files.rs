//! The files of a site as bytes in memory: what a revision is made of.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::model::Digest;

/// One file.
#[derive(Clone, PartialEq, Eq)]
pub struct SourceFile {
    /// Its contents.
    pub bytes: Arc<[u8]>,
    /// Whether it carries an executable bit; only profiles' files do.
    pub executable: bool,
    /// The digest of `bytes`.
    pub digest: Digest,
}

impl SourceFile {
    /// A file with these contents.
    pub fn new(bytes: impl Into<Arc<[u8]>>, executable: bool) -> Self {
        let bytes = bytes.into();
        let digest = Digest::of(&bytes);
        SourceFile {
            bytes,
            executable,
            digest,
        }
    }
}

impl std::fmt::Debug for SourceFile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:?} ({} bytes)", self.digest, self.bytes.len())
    }
}

/// Every file of a site that Farrier reads, by its path relative to the site, with `/`.
/// Copies are cheap: the contents are shared.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FileSet {
    /// The files.
    pub files: BTreeMap<String, SourceFile>,
}

/// Names the files of a revision by digest: what the store keeps next to the contents.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// The files by path.
    pub files: BTreeMap<String, ManifestEntry>,
}

/// One file of a [`Manifest`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ManifestEntry {
    /// The digest of its contents.
    pub digest: Digest,
    /// Whether it carries an executable bit.
    pub executable: bool,
}

/// A revision cannot be put together again.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RebuildError {
    /// The contents of a file are gone.
    #[error("the contents of `{path}` ({digest}) are not in the store")]
    Missing {
        /// Which file.
        path: String,
        /// The digest asked for.
        digest: Digest,
    },
    /// The contents were altered.
    #[error("the stored contents of `{path}` do not have the digest {digest}")]
    Altered {
        /// Which file.
        path: String,
        /// The digest asked for.
        digest: Digest,
    },
}

impl Manifest {
    /// The content address of the revision. It covers every path, executable bit and byte; lengths
    /// are in front, so that no two different sets have the same encoding.
    pub fn revision(&self) -> Digest {
        let mut hasher = blake3::Hasher::new();
        hasher.update(b"farrier site 1\0");
        for (path, entry) in &self.files {
            hasher.update(&(path.len() as u64).to_le_bytes());
            hasher.update(path.as_bytes());
            hasher.update(&[u8::from(entry.executable)]);
            hasher.update(&entry.digest.0);
        }
        Digest(*hasher.finalize().as_bytes())
    }
}

impl FileSet {
    /// The content address of these files.
    pub fn revision(&self) -> Digest {
        self.manifest().revision()
    }

    /// The files by digest.
    pub fn manifest(&self) -> Manifest {
        let entry = |file: &SourceFile| ManifestEntry {
            digest: file.digest,
            executable: file.executable,
        };
        Manifest {
            files: self
                .files
                .iter()
                .map(|(path, file)| (path.clone(), entry(file)))
                .collect(),
        }
    }

    /// Puts a revision together from its manifest; `fetch` finds contents by digest.
    ///
    /// # Errors
    /// Contents that are missing or do not have their digest.
    pub fn from_parts(
        manifest: &Manifest,
        mut fetch: impl FnMut(&Digest) -> Option<Arc<[u8]>>,
    ) -> Result<FileSet, RebuildError> {
        let mut files = BTreeMap::new();
        for (path, entry) in &manifest.files {
            let digest = entry.digest;
            let bytes = fetch(&digest).ok_or_else(|| RebuildError::Missing {
                path: path.clone(),
                digest,
            })?;
            let file = SourceFile::new(bytes, entry.executable);
            if file.digest != digest {
                return Err(RebuildError::Altered {
                    path: path.clone(),
                    digest,
                });
            }
            files.insert(path.clone(), file);
        }
        Ok(FileSet { files })
    }

    /// The same files with one replaced or added: the site as it would be after an edit.
    #[must_use]
    pub fn with(&self, path: &str, bytes: impl Into<Arc<[u8]>>) -> FileSet {
        let mut files = self.files.clone();
        let executable = files.get(path).is_some_and(|f| f.executable);
        files.insert(path.to_string(), SourceFile::new(bytes, executable));
        FileSet { files }
    }

    /// The files that declare systems, in the order they are read: `systems.toml` first.
    pub(super) fn systems_files(&self) -> impl Iterator<Item = (&str, &SourceFile)> {
        let own = self.files.get_key_value("systems.toml");
        let more = self.files.iter().filter(|(path, _)| is_systems_d(path));
        own.into_iter().chain(more).map(|(p, f)| (p.as_str(), f))
    }
}

/// Whether this is a `systems.d/NAME.toml`.
pub(super) fn is_systems_d(path: &str) -> bool {
    path.strip_prefix("systems.d/")
        .is_some_and(|rest| rest.ends_with(".toml") && !rest.contains('/'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(files: &[(&str, &str, bool)]) -> FileSet {
        FileSet {
            files: files
                .iter()
                .map(|(p, b, x)| (p.to_string(), SourceFile::new(b.as_bytes(), *x)))
                .collect(),
        }
    }

    #[test]
    fn the_revision_covers_path_mode_and_bytes() {
        let base = set(&[("a", "1", false), ("b", "2", false)]);
        let others = [
            set(&[("a", "1", false), ("b", "3", false)]),
            set(&[("a", "1", true), ("b", "2", false)]),
            set(&[("a", "1", false), ("c", "2", false)]),
            set(&[("a", "1", false)]),
            set(&[("a", "12", false), ("b", "", false)]),
            set(&[]),
        ];
        for other in &others {
            assert_ne!(base.revision(), other.revision(), "{other:?}");
        }
        assert_eq!(base.revision(), base.clone().with("a", *b"1").revision());
    }

    #[test]
    fn a_manifest_rebuilds_the_files_and_notices_loss() {
        let base = set(&[("a", "1", true), ("b", "2", false)]);
        let manifest = base.manifest();
        let json = serde_json::to_string(&manifest).expect("json");
        let manifest: Manifest = serde_json::from_str(&json).expect("manifest");
        let blob = |digest: &Digest| {
            let found = base.files.values().find(|f| f.digest == *digest);
            found.map(|f| f.bytes.clone())
        };
        let again = FileSet::from_parts(&manifest, blob).expect("all there");
        assert_eq!(again, base);
        assert_eq!(again.revision(), manifest.revision());
        assert!(matches!(
            FileSet::from_parts(&manifest, |_| None),
            Err(RebuildError::Missing { .. })
        ));
        assert!(matches!(
            FileSet::from_parts(&manifest, |_| Some(Arc::from(&b"x"[..]))),
            Err(RebuildError::Altered { .. })
        ));
    }
}
