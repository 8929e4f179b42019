//! What must stay secret on this host: the key that tokens are derived from, the key that secrets are
//! sealed with, and the authority that signs the hand-off's certificates.
//!
//! Each is a file of mode 0600 in the state directory, made at the first start. A file that others
//! may read, or that cannot be understood, stops the server: it never goes on without.
//! Who is protected from what by which of them: `docs/security.md`.

mod authority;
mod file;
mod seal;

use std::path::PathBuf;

pub use authority::Authority;
pub use seal::{LONGEST, Sealer};

/// Why a key cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum VaultError {
    /// The file cannot be read or written.
    #[error("`{path}` cannot be read or written")]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// Others than its owner may read the file.
    #[error("`{path}` may be read by others than its owner; run `chmod 600 {path}`")]
    Open {
        /// Which.
        path: PathBuf,
    },
    /// The file holds something else than it should.
    #[error("`{path}` does not hold {what}; restore it from a backup, or remove it: {loss}")]
    Damaged {
        /// Which.
        path: PathBuf,
        /// What it should hold.
        what: &'static str,
        /// What is lost with it.
        loss: &'static str,
    },
    /// A certificate could not be made.
    #[error("no certificate could be made: {0}")]
    Certificate(String),
    /// A secret cannot be sealed or opened.
    #[error("{0}")]
    Seal(String),
}

/// The 32 bytes that tokens are derived from; drawn the first time.
///
/// # Errors
/// If the file cannot be used.
pub fn token_key(state: &std::path::Path) -> Result<[u8; 32], VaultError> {
    let path = state.join("token.key");
    let bytes = file::read_or_make(&path, || {
        let mut bytes = [0u8; 32];
        bytes[..16].copy_from_slice(uuid::Uuid::new_v4().as_bytes());
        bytes[16..].copy_from_slice(uuid::Uuid::new_v4().as_bytes());
        Ok(bytes.to_vec().into())
    })?;
    bytes
        .as_slice()
        .try_into()
        .map_err(|_| VaultError::Damaged {
            path,
            what: "32 bytes",
            loss: "builds under way must then be flagged again",
        })
}
