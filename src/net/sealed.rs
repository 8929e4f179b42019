//! Files in memory (memfd_create(2)) that nothing can change once they are sealed.

use std::fs::File;
use std::io;

use nix::fcntl::{FcntlArg, SealFlag, fcntl};
use nix::sys::memfd::{MFdFlags, memfd_create};

/// An empty file in memory, still to be written and sealed.
///
/// # Errors
/// If the system has no room for it.
pub fn unsealed() -> io::Result<File> {
    let flags = MFdFlags::MFD_CLOEXEC | MFdFlags::MFD_ALLOW_SEALING;
    Ok(File::from(memfd_create("farrier", flags)?))
}

/// From now on it neither grows nor shrinks nor takes other bytes.
///
/// # Errors
/// If the file does not take seals, or is mapped for writing.
pub fn seal(file: &File) -> io::Result<()> {
    let seals = SealFlag::F_SEAL_WRITE
        | SealFlag::F_SEAL_GROW
        | SealFlag::F_SEAL_SHRINK
        | SealFlag::F_SEAL_SEAL;
    fcntl(file, FcntlArg::F_ADD_SEALS(seals))?;
    Ok(())
}
