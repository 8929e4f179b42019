//! Volume descriptors (ECMA-119 section 8): what file systems an image has, and where they begin.

use super::record::{Record, record};
use super::{Disc, DiscError, SECTOR, le16, le32};

/// Where the descriptors begin.
const FIRST: u64 = 16;
/// Descriptors that are looked at.
const MOST: u64 = 64;

/// What the descriptors say.
pub(super) struct Volume {
    pub(super) label: String,
    /// The root directory of the primary descriptor, if there is an ISO 9660 file system.
    pub(super) primary: Option<Record>,
    /// That of the Joliet descriptor.
    pub(super) joliet: Option<Record>,
    /// The sector of the El Torito boot catalogue.
    pub(super) boot_catalog: Option<u32>,
    /// It has a UDF file system as well.
    pub(super) udf: bool,
}

pub(super) fn read(disc: &Disc<'_>) -> Result<Volume, DiscError> {
    if disc.size() < (FIRST + 1) * SECTOR {
        let sentence = format!("it has {} bytes", disc.size());
        return Err(DiscError::NotIso(sentence));
    }
    let mut primary = None;
    let mut label = String::new();
    let (mut joliet, mut boot_catalog, mut udf) = (None, None, false);
    let mut ended = false;
    for sector in FIRST..FIRST + MOST {
        let Ok(bytes) = disc.bytes(sector * SECTOR, SECTOR as usize, "a descriptor") else {
            break;
        };
        match (&bytes[1..6], bytes[0]) {
            (b"CD001", 0) if bytes[7..].starts_with(b"EL TORITO SPECIFICATION") => {
                boot_catalog = Some(le32(&bytes, 71));
            }
            (b"CD001", 1) if primary.is_none() => {
                if u64::from(le16(&bytes, 128)) != SECTOR {
                    let sentence = format!("its blocks have {} bytes", le16(&bytes, 128));
                    return Err(DiscError::NotIso(sentence));
                }
                let end = u64::from(le32(&bytes, 80)) * SECTOR;
                disc.fits(0, end, "its file system")?;
                label = text(&bytes[40..72]);
                primary = Some(root(&bytes)?);
            }
            (b"CD001", 2) if matches!(&bytes[88..91], b"%/@" | b"%/C" | b"%/E") => {
                joliet = Some(root(&bytes)?);
            }
            (b"CD001", 255) => ended = true,
            (b"CD001", _) => {}
            (b"NSR02" | b"NSR03", _) => udf = true,
            (b"BEA01" | b"TEA01" | b"BOOT2", _) => {}
            _ if ended || primary.is_some() || udf => break,
            _ => return Err(DiscError::NotIso("it has no volume descriptor".to_string())),
        }
    }
    if primary.is_none() && !udf {
        return Err(DiscError::NotIso("it has no primary volume".to_string()));
    }
    Ok(Volume {
        label,
        primary,
        joliet,
        boot_catalog,
        udf,
    })
}

fn root(descriptor: &[u8]) -> Result<Record, DiscError> {
    let found = descriptor.get(156..190).and_then(record);
    let root = found.filter(|r| r.directory);
    root.ok_or_else(|| DiscError::Damaged("its root is no directory".to_string()))
}

fn text(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    text.trim_matches(|c: char| c == ' ' || c == '\0')
        .chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect()
}
