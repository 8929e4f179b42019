//! Boot artefacts that are present on this server.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;

use super::{Digest, Processor};

/// Names one artefact: a distro (or `loaders`) and a file name.
#[derive(
    Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, serde::Deserialize,
)]
pub struct ArtefactRef {
    /// The distro it belongs to, or `loaders` for network boot loaders.
    pub distro: String,
    /// The name it is served under.
    pub name: String,
}

/// One file on this server's disk, measured when it was fetched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Artefact {
    /// What it is.
    pub id: ArtefactRef,
    /// Where it lies. Never changed in place: a new version is a new path.
    pub path: PathBuf,
    /// Its digest, which is its strong ETag.
    pub digest: Digest,
    /// Bytes.
    pub size: u64,
    /// Contents, for the small files that TFTP serves from memory (network boot loaders).
    pub bytes: Option<Arc<[u8]>>,
    /// What its bytes say of it.
    pub nature: Nature,
}

/// What a boot file is, as far as a decision depends on it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Nature {
    /// The processor it is made for, if it says so.
    pub processor: Option<Processor>,
    /// A loader that can fetch by TFTP.
    pub tftp: bool,
    /// A loader that can fetch by HTTP.
    pub http: bool,
    /// Who signed it for Secure Boot: nobody if the list is empty; none if it is no program for UEFI.
    pub signers: Option<Arc<[Signer]>>,
}

/// Who issued the certificate that a program for UEFI is signed with. Who wrote that, nobody checked:
/// it says what firmware will look for, not whether it will be content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signer {
    /// The authority's common name, printable.
    pub name: String,
    /// Its whole name as in certificates (X.501, DER).
    pub der: Vec<u8>,
}

/// All artefacts present: the closed table that requests are looked up in. No request ever becomes
/// a path.
#[derive(Debug, Clone, Default)]
pub struct ArtefactIndex {
    entries: HashMap<(String, String), Arc<Artefact>>,
    older: HashMap<(String, String), Vec<Arc<Artefact>>>,
}

impl ArtefactIndex {
    /// Adds or replaces one.
    pub fn insert(&mut self, artefact: Artefact) {
        let key = (artefact.id.distro.clone(), artefact.id.name.clone());
        self.entries.insert(key, Arc::new(artefact));
    }

    /// Adds a version that is no longer current, for builds that pinned it.
    pub fn insert_older(&mut self, artefact: Artefact) {
        let key = (artefact.id.distro.clone(), artefact.id.name.clone());
        self.older.entry(key).or_default().push(Arc::new(artefact));
    }

    /// Finds the version whose digest begins with these twelve digits, current or older: what an
    /// artefact's URL asks for.
    pub fn exact(&self, distro: &str, name: &str, digest: &str) -> Option<&Arc<Artefact>> {
        let key = (distro.to_string(), name.to_string());
        let mut all = self
            .entries
            .get(&key)
            .into_iter()
            .chain(self.older.get(&key).into_iter().flatten());
        all.find(|a| a.digest.short() == digest)
    }

    /// Finds the current version.
    pub fn get(&self, distro: &str, name: &str) -> Option<&Arc<Artefact>> {
        self.entries.get(&(distro.to_string(), name.to_string()))
    }

    /// Finds a network boot loader by the name it keeps from upstream.
    pub fn loader(&self, name: &str) -> Option<&Arc<Artefact>> {
        self.get(LOADERS, name)
    }

    /// All of them, in no order.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Artefact>> {
        self.entries.values()
    }
}

/// The pseudo distro that holds network boot loaders.
pub const LOADERS: &str = "loaders";
