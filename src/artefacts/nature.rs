//! What a file on the shelf says of itself.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

use super::disk;
use super::loaders::MAX_LOADER;
use crate::boot::{image, paths, signature};
use crate::model::Nature;

/// Reads it from the file's first bytes; also its signatures, and of a GRUB for Secure Boot all of it.
pub(super) fn of(name: &str, path: &Path, size: u64) -> Nature {
    let grub = [paths::GRUB, paths::GRUB_ARM64].contains(&name);
    if grub && size <= MAX_LOADER {
        return std::fs::read(path).map_or_else(|_| Nature::default(), |b| image::loader(&b));
    }
    let head = disk::head(path, image::HEAD);
    let signers = signature::table(&head).map(|at| {
        let mut table = vec![0; usize::try_from(at.end - at.start).unwrap_or(0)];
        let mut read = || -> io::Result<()> {
            let file = File::open(path)?;
            file.read_exact_at(&mut table, at.start)
        };
        // What is cut off has no signature that firmware would take.
        match read() {
            Ok(()) => signature::signers(&table),
            Err(_) => Vec::new(),
        }
    });
    Nature {
        processor: image::processor(&head),
        signers: signers.map(Into::into),
        ..Nature::default()
    }
}
