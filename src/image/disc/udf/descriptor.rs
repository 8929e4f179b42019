//! Tags before descriptors (ECMA-167 3/7.2), allocation descriptors (4/14.14), names (UDF 2.1.1).

use super::super::{DiscError, SECTOR, le16, le32};
use super::Place;

/// Identifiers of descriptors.
pub(super) const ANCHOR: u16 = 2;
pub(super) const POINTER: u16 = 3;
pub(super) const PARTITION: u16 = 5;
pub(super) const LOGICAL_VOLUME: u16 = 6;
pub(super) const TERMINATOR: u16 = 8;
pub(super) const FILE_SET: u16 = 256;
pub(super) const FILE_IDENTIFIER: u16 = 257;
pub(super) const ALLOCATION: u16 = 258;
pub(super) const FILE_ENTRY: u16 = 261;
pub(super) const EXTENDED_FILE_ENTRY: u16 = 266;

/// The identifier of a descriptor, once its checksums and its own idea of where it stands are right.
///
/// # Errors
/// What is wrong.
pub(super) fn tag(bytes: &[u8], location: u32, what: &str) -> Result<u16, DiscError> {
    let wrong = |how: &str| DiscError::Damaged(format!("{what} {how}"));
    let head = bytes.get(..16).ok_or_else(|| wrong("is cut off"))?;
    let sum = head.iter().enumerate().filter(|(at, _)| *at != 4);
    let sum = sum.fold(0u8, |sum, (_, byte)| sum.wrapping_add(*byte));
    if sum != head[4] {
        return Err(wrong("has a wrong checksum"));
    }
    let length = usize::from(le16(head, 10));
    let body = bytes.get(16..16 + length);
    let body = body.ok_or_else(|| wrong("is longer than what it stands in"))?;
    if crc(body) != le16(head, 8) {
        return Err(wrong("is not what its checksum is of"));
    }
    if le32(head, 12) != location {
        return Err(wrong("says that it stands elsewhere"));
    }
    Ok(le16(head, 0))
}

/// CRC-16 of ITU-T V.41, from zero (ECMA-167 3/7.2.6).
fn crc(bytes: &[u8]) -> u16 {
    bytes.iter().fold(0, |crc, byte| {
        (0..8).fold(crc ^ (u16::from(*byte) << 8), |crc, _| {
            let shifted = crc << 1;
            if crc & 0x8000 == 0 {
                shifted
            } else {
                shifted ^ 0x1021
            }
        })
    })
}

/// What an allocation descriptor is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Bytes that were written.
    Recorded,
    /// Zeros that are nowhere.
    Hole,
    /// More allocation descriptors.
    More,
}

/// One allocation descriptor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Allocation {
    pub(super) kind: Kind,
    /// Bytes.
    pub(super) length: u32,
    pub(super) at: Place,
}

fn length(word: u32) -> (Kind, u32) {
    let kind = match word >> 30 {
        0 => Kind::Recorded,
        3 => Kind::More,
        _ => Kind::Hole,
    };
    (kind, word & 0x3fff_ffff)
}

/// A short one, of this partition.
pub(super) fn short(bytes: &[u8], partition: u16) -> Allocation {
    let (kind, length) = length(le32(bytes, 0));
    let block = le32(bytes, 4);
    Allocation {
        kind,
        length,
        at: Place { partition, block },
    }
}

/// A long one.
pub(super) fn long(bytes: &[u8]) -> Allocation {
    let (kind, length) = length(le32(bytes, 0));
    let at = Place {
        block: le32(bytes, 4),
        partition: le16(bytes, 8),
    };
    Allocation { kind, length, at }
}

/// A name in compressed Unicode; none if it is in no form that is known.
pub(super) fn name(bytes: &[u8]) -> Option<String> {
    let (form, rest) = bytes.split_first()?;
    match form {
        8 => Some(rest.iter().map(|b| char::from(*b)).collect()),
        16 if rest.len() % 2 == 0 => {
            let pairs = rest.chunks_exact(2);
            let units: Vec<u16> = pairs.map(|p| u16::from_be_bytes([p[0], p[1]])).collect();
            Some(String::from_utf16_lossy(&units))
        }
        _ => None,
    }
}

/// A name in a field of its own: the last byte is its length.
pub(super) fn field(bytes: &[u8]) -> String {
    let length = bytes.last().map_or(0, |l| usize::from(*l));
    let text = bytes.get(..length.min(bytes.len().saturating_sub(1)));
    let text = text.and_then(name).unwrap_or_default();
    let plain = text.chars().map(|c| if c.is_control() { ' ' } else { c });
    plain.collect::<String>().trim().to_string()
}

/// Whether a block size is the one that is read.
pub(super) fn is_sector(size: u32) -> bool {
    u64::from(size) == SECTOR
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_checksum_is_that_of_the_standard() {
        // the example of ECMA-167 3/7.2.6
        assert_eq!(crc(&[0x70, 0x6a, 0x77]), 0x3299);
    }

    #[test]
    fn names_come_in_two_forms() {
        assert_eq!(name(b"\x08b\xe9"), Some("bé".to_string()));
        assert_eq!(name(b"\x10\x65\xe5"), Some("日".to_string()));
        assert_eq!(name(b"\x10\x65"), None);
        assert_eq!(name(b"\xffx"), None);
        assert_eq!(name(b""), None);
        let mut bytes = [0; 8];
        bytes[..4].copy_from_slice(b"\x08ab ");
        bytes[7] = 4;
        assert_eq!(field(&bytes), "ab");
        bytes[7] = 200;
        assert_eq!(field(&bytes), "ab");
    }
}
