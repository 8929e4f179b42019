//! The boot catalogue (El Torito 1.0, section 2): where the boot images are.

use super::{Disc, DiscError, SECTOR, le16, le32};

/// Entries that are looked at.
const MOST: usize = 63;
/// The platform that means UEFI (UEFI 2.10 section 13.3.2.1).
const EFI: u8 = 0xef;

/// The first bytes of the EFI boot images. How long each is, its file system says.
pub(super) fn images(disc: &Disc<'_>, catalog: Option<u32>) -> Result<Vec<u64>, DiscError> {
    let Some(sector) = catalog else {
        return Ok(Vec::new());
    };
    let offset = u64::from(sector) * SECTOR;
    let bytes = disc.bytes(offset, SECTOR as usize, "its boot catalogue")?;
    let sum = (0..16).fold(0u16, |sum, i| sum.wrapping_add(le16(&bytes, i * 2)));
    if bytes[0] != 1 || bytes[30..32] != [0x55, 0xaa] || sum != 0 {
        // What does not boot can be served all the same.
        return Ok(Vec::new());
    }
    let mut platform = bytes[1];
    let mut found = Vec::new();
    for entry in bytes.chunks_exact(32).skip(1).take(MOST) {
        match entry[0] {
            0x90 | 0x91 => platform = entry[1],
            0x88 if platform == EFI => found.push(u64::from(le32(entry, 8)) * SECTOR),
            _ => {}
        }
    }
    Ok(found)
}
