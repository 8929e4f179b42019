//! Whether a byte of a file is in memory: `preadv2` with `RWF_NOWAIT`, which nix does not wrap.

use std::fs::File;
use std::os::fd::AsRawFd;

/// Whether this byte can be read without waiting for a disk.
pub(super) fn byte(file: &File, at: u64) -> bool {
    let Ok(at) = libc::off_t::try_from(at) else {
        return false;
    };
    let mut byte = 0u8;
    let into = libc::iovec {
        iov_base: (&raw mut byte).cast(),
        iov_len: 1,
    };
    #[expect(unsafe_code, reason = "nix has no preadv2")]
    // SAFETY: one iovec, of one byte that lives until the call returns.
    let read = unsafe { libc::preadv2(file.as_raw_fd(), &raw const into, 1, at, libc::RWF_NOWAIT) };
    read == 1
}
