//! Secrets at rest: sealed with age to a key that only this host has.
//!
//! A sealed secret is an ordinary age file. Its name is sealed with it, so that a row of the
//! database that was put in another's place does not open.

use std::path::Path;

use age::secrecy::ExposeSecret;
use zeroize::Zeroizing;

use super::{VaultError, file};
use crate::model::SecretName;

/// Bytes a secret may have.
pub const LONGEST: usize = 64 * 1024;

/// Seals and opens secrets.
pub struct Sealer {
    identity: age::x25519::Identity,
}

impl std::fmt::Debug for Sealer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Sealer(..)")
    }
}

impl Sealer {
    /// Reads the key file `secrets.key`, or makes it the first time.
    ///
    /// # Errors
    /// If the file cannot be used.
    pub fn open(state: &Path) -> Result<Sealer, VaultError> {
        let path = state.join("secrets.key");
        let text = file::read_or_make(&path, || {
            let made = age::x25519::Identity::generate().to_string();
            let line = format!("{}\n", made.expose_secret());
            Ok(line.into_bytes().into())
        })?;
        let damaged = || VaultError::Damaged {
            path: path.clone(),
            what: "an age identity",
            loss: "every secret must then be set again",
        };
        let text = std::str::from_utf8(&text).map_err(|_| damaged())?;
        let identity = text.trim().parse().map_err(|_| damaged())?;
        Ok(Sealer { identity })
    }

    /// Seals a value under its name.
    ///
    /// # Errors
    /// If it is too long, or age fails.
    pub fn seal(&self, name: &SecretName, value: &str) -> Result<Vec<u8>, VaultError> {
        if value.len() > LONGEST {
            let message = format!("a secret has at most {} KiB", LONGEST >> 10);
            return Err(VaultError::Seal(message));
        }
        let plain = Zeroizing::new(format!("{name}\n{value}"));
        age::encrypt(&self.identity.to_public(), plain.as_bytes())
            .map_err(|e| VaultError::Seal(format!("`{name}` cannot be sealed: {e}")))
    }

    /// Opens what was sealed under this name.
    ///
    /// # Errors
    /// If it was sealed with another key or under another name, or is damaged.
    pub fn open_sealed(
        &self,
        name: &SecretName,
        sealed: &[u8],
    ) -> Result<Zeroizing<String>, VaultError> {
        let failed = |why: &str| {
            VaultError::Seal(format!(
                "the secret `{name}` cannot be opened: {why}; set it again with `farrier secret set {name}`"
            ))
        };
        let plain = age::decrypt(&self.identity, sealed).map_err(|e| failed(&e.to_string()))?;
        let plain = Zeroizing::new(plain);
        let text = std::str::from_utf8(&plain).map_err(|_| failed("it is no text"))?;
        match text.split_once('\n') {
            Some((sealed_as, value)) if sealed_as == name.as_str() => {
                Ok(Zeroizing::new(value.to_string()))
            }
            _ => Err(failed("it was sealed under another name")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_sealed_opens_under_its_name_and_key_only() {
        let (one, other) = (tempfile::tempdir(), tempfile::tempdir());
        let (one, other) = (one.expect("a directory"), other.expect("a directory"));
        let name: SecretName = "bmc/web01".parse().expect("a name");
        let sealer = Sealer::open(one.path()).expect("made");
        let sealed = sealer.seal(&name, "two\nlines").expect("sealed");
        assert!(!sealed.windows(3).any(|w| w == b"two"));
        let again = Sealer::open(one.path()).expect("read");
        assert_eq!(
            again.open_sealed(&name, &sealed).expect("opened").as_str(),
            "two\nlines"
        );
        let moved: SecretName = "bmc/web02".parse().expect("a name");
        let refused = again
            .open_sealed(&moved, &sealed)
            .expect_err("another name");
        assert!(refused.to_string().contains("another name"), "{refused}");
        let stranger = Sealer::open(other.path()).expect("made");
        assert!(stranger.open_sealed(&name, &sealed).is_err());
        assert!(sealer.seal(&name, &"x".repeat(LONGEST + 1)).is_err());
        std::fs::write(one.path().join("secrets.key"), "nothing").expect("written");
        assert!(matches!(
            Sealer::open(one.path()),
            Err(VaultError::Damaged { .. })
        ));
    }
}
