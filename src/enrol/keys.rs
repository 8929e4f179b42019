//! Folders of keys: what a Salt master accepts, what a CFEngine hub trusts.
//!
//! Machines make their keys themselves and send the public half; Farrier puts it where the server
//! looks. A private key never travels.

use std::fs;
use std::io::Write;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use md5::{Digest as _, Md5};
use x509_parser::prelude::FromDer;
use x509_parser::public_key::RSAPublicKey;

/// Where Salt's master keeps what it thinks of a key.
const SALT: [&str; 5] = [
    "minions",
    "minions_pre",
    "minions_rejected",
    "minions_denied",
    "minions_autosign",
];
/// Bytes of a public key at most.
const MOST: usize = 8 * 1024;

/// Makes a Salt master accept this key of this minion, and no other.
///
/// # Errors
/// A sentence.
pub fn accept_salt(pki: &str, minion: &str, key: &str) -> Result<(), String> {
    let block = pem(key, "PUBLIC KEY")?;
    x509_parser::x509::SubjectPublicKeyInfo::from_der(&block)
        .map_err(|_| "it is no public key".to_string())?;
    let folder = existing(pki)?;
    remove_salt(pki, minion)?;
    write(&folder.join("minions"), minion, key)
}

/// Makes a Salt master forget a minion's keys.
///
/// # Errors
/// A sentence.
pub(super) fn remove_salt(pki: &str, minion: &str) -> Result<(), String> {
    let folder = existing(pki)?;
    for state in SALT {
        remove(&folder.join(state).join(minion))?;
    }
    Ok(())
}

/// Makes a CFEngine hub trust this key.
///
/// # Errors
/// A sentence.
pub fn accept_cfengine(keys: &str, key: &str) -> Result<(), String> {
    let name = cfengine_name(key)?;
    write(&existing(keys)?, &file_of(&name), key)
}

/// Whether a CFEngine hub trusts the key that it calls so already.
pub fn cfengine_trusts(keys: &str, name: &str) -> bool {
    Path::new(keys).join(file_of(name)).exists()
}

/// What CFEngine calls a key: `MD5=` and the digest of its numbers. That is no signature: the hub
/// compares the key itself with the file of that name.
///
/// # Errors
/// If it is none of CFEngine's.
pub fn cfengine_name(key: &str) -> Result<String, String> {
    let block = pem(key, "RSA PUBLIC KEY")?;
    let (_, key) =
        RSAPublicKey::from_der(&block).map_err(|_| "it is no RSA public key".to_string())?;
    let mut hasher = Md5::new();
    for number in [key.modulus, key.exponent] {
        let first = number.iter().position(|b| *b != 0).unwrap_or(0);
        hasher.update(&number[first..]);
    }
    let digest = hasher.finalize();
    let hex: String = digest.iter().map(|b| format!("{b:02x}")).collect();
    Ok(format!("MD5={hex}"))
}

/// Makes a CFEngine hub trust a key no more.
///
/// # Errors
/// A sentence.
pub(super) fn remove_cfengine(keys: &str, name: &str) -> Result<(), String> {
    remove(&existing(keys)?.join(file_of(name)))
}

fn file_of(name: &str) -> String {
    format!("root-{name}.pub")
}

/// The bytes of a block in PEM.
fn pem(text: &str, label: &str) -> Result<Vec<u8>, String> {
    let wrong = || format!("it is no `{label}` in PEM");
    if text.len() > MOST {
        return Err(wrong());
    }
    let (_, block) = x509_parser::pem::parse_x509_pem(text.as_bytes()).map_err(|_| wrong())?;
    match block.label == label {
        true => Ok(block.contents),
        false => Err(wrong()),
    }
}

fn existing(folder: &str) -> Result<PathBuf, String> {
    let path = Path::new(folder);
    match path.is_dir() {
        true => Ok(path.to_path_buf()),
        false => Err(format!("the folder `{folder}` is not here")),
    }
}

fn remove(path: &Path) -> Result<(), String> {
    match fs::remove_file(path) {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(format!("`{}` cannot be removed: {error}", path.display())),
    }
}

/// Whole or not at all, and readable by the server, whoever it runs as.
fn write(folder: &Path, name: &str, text: &str) -> Result<(), String> {
    let path = folder.join(name);
    let part = folder.join(format!(".{name}.part"));
    let written = || -> std::io::Result<()> {
        fs::create_dir_all(folder)?;
        let mut file = fs::OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o644)
            .open(&part)?;
        file.set_permissions(fs::Permissions::from_mode(0o644))?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        fs::rename(&part, &path)
    };
    written().map_err(|e| format!("`{}` cannot be written: {e}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Made by CFEngine 3.21 of Debian 12; `cf-key -p` calls it so.
    const CFENGINE: &str = include_str!("testdata/cfengine.pub");
    const CFENGINE_NAME: &str = include_str!("testdata/cfengine.name");
    /// Made by OpenSSL.
    const SALT_KEY: &str = include_str!("testdata/salt.pub");

    #[test]
    fn a_minions_key_is_accepted_alone_and_forgotten_wholly() {
        let dir = tempfile::tempdir().expect("a folder");
        let pki = dir.path().display().to_string();
        let at = |state: &str| dir.path().join(state).join("web01.lab.example");
        for state in SALT {
            fs::create_dir_all(dir.path().join(state)).expect("a folder");
            fs::write(at(state), "another key").expect("written");
        }
        accept_salt(&pki, "web01.lab.example", SALT_KEY).expect("accepted");
        assert_eq!(
            fs::read_to_string(at("minions")).ok().as_deref(),
            Some(SALT_KEY)
        );
        assert!(SALT[1..].iter().all(|state| !at(state).exists()));
        remove_salt(&pki, "web01.lab.example").expect("forgotten");
        remove_salt(&pki, "web01.lab.example").expect("again");
        assert!(!at("minions").exists());
        for wrong in ["", "x", CFENGINE, &SALT_KEY.replace("PUBLIC", "PRIVATE")] {
            assert!(accept_salt(&pki, "web01", wrong).is_err(), "{wrong}");
        }
        assert!(accept_salt("/nonexistent", "web01", SALT_KEY).is_err());
    }

    #[test]
    fn a_key_is_called_as_cfengine_calls_it() {
        assert_eq!(cfengine_name(CFENGINE).as_deref(), Ok(CFENGINE_NAME.trim()));
        let dir = tempfile::tempdir().expect("a folder");
        let keys = dir.path().display().to_string();
        accept_cfengine(&keys, CFENGINE).expect("trusted");
        let file = dir
            .path()
            .join(format!("root-{}.pub", CFENGINE_NAME.trim()));
        assert!(file.exists() && cfengine_trusts(&keys, CFENGINE_NAME.trim()));
        remove_cfengine(&keys, CFENGINE_NAME.trim()).expect("gone");
        assert!(!file.exists() && !cfengine_trusts(&keys, CFENGINE_NAME.trim()));
        assert!(cfengine_name(SALT_KEY).is_err());
    }
}
