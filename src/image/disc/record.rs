//! Directory records (ECMA-119 section 9.1) and what Rock Ridge adds to them (SUSP 1.12, RRIP 1.12).

use super::{SECTOR, le32};

/// One record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Record {
    /// The first byte of its data.
    pub(super) offset: u64,
    pub(super) size: u64,
    pub(super) directory: bool,
    /// More of the same file follows in the next record.
    pub(super) more: bool,
    /// Parts of it lie apart from each other, which no medium of today has.
    pub(super) interleaved: bool,
    /// As it is written: `LINUX.;1`, or two bytes a character in Joliet; `\0` and `\1` are the
    /// directory itself and the one above.
    pub(super) name: Vec<u8>,
    pub(super) system_use: Vec<u8>,
}

/// Reads one record: exactly the bytes that its first one counts.
pub(super) fn record(bytes: &[u8]) -> Option<Record> {
    let length = usize::from(*bytes.first()?);
    let bytes = bytes.get(..length)?;
    let name_length = usize::from(*bytes.get(32)?);
    let name = bytes.get(33..33 + name_length)?;
    // An even name is padded.
    let rest = 33 + name_length + usize::from(name_length.is_multiple_of(2));
    let skipped = u64::from(*bytes.get(1)?);
    let flags = *bytes.get(25)?;
    Some(Record {
        offset: (u64::from(le32(bytes, 2)) + skipped) * SECTOR,
        size: u64::from(le32(bytes, 10)),
        directory: flags & 2 != 0,
        more: flags & 0x80 != 0,
        interleaved: bytes.get(26).is_some_and(|b| *b != 0),
        name: name.to_vec(),
        system_use: bytes.get(rest..).unwrap_or_default().to_vec(),
    })
}

/// What Rock Ridge says of a record.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(super) struct RockRidge {
    pub(super) name: Option<Vec<u8>>,
    /// Where a symbolic link leads.
    pub(super) link: Option<Vec<u8>>,
    /// The directory that stands here lies at this sector.
    pub(super) child: Option<u32>,
    /// This directory stands elsewhere.
    pub(super) relocated: bool,
    /// Compressed, a device, a pipe: nothing that can be served.
    pub(super) odd: bool,
}

/// The bytes to skip in each system use field, if the image speaks SUSP: of the root's own record.
pub(super) fn susp(system_use: &[u8]) -> Option<usize> {
    let at = system_use.windows(2).position(|w| w == b"SP")?;
    let entry = system_use.get(at..at + 7)?;
    (entry[4..6] == [0xbe, 0xef]).then_some(usize::from(entry[6]))
}

/// Continuation areas of one record that are followed.
const AREAS: usize = 32;

/// Reads the system use entries of a record. `area` gives the bytes of a continuation area: sector,
/// offset, length.
pub(super) fn rock_ridge<E>(
    system_use: &[u8],
    skip: usize,
    area: &mut dyn FnMut(u32, u32, u32) -> Result<Vec<u8>, E>,
) -> Result<RockRidge, E> {
    let mut found = RockRidge::default();
    let mut link = Link::default();
    let mut bytes = system_use.get(skip..).unwrap_or_default().to_vec();
    for _ in 0..AREAS {
        let mut next = None;
        let mut rest = bytes.as_slice();
        while rest.len() >= 4 {
            let length = usize::from(rest[2]);
            let Some(entry) = rest.get(..length).filter(|e| e.len() >= 4) else {
                break;
            };
            match &entry[..2] {
                b"NM" if entry.len() > 5 && entry[4] & 6 == 0 => {
                    found.name.get_or_insert_default().extend(&entry[5..]);
                }
                b"SL" if entry.len() > 5 => link.component(&entry[5..]),
                b"CE" => next = Some((le32(entry, 4), le32(entry, 12), le32(entry, 20))),
                b"CL" => found.child = Some(le32(entry, 4)),
                b"RE" => found.relocated = true,
                b"ZF" => found.odd = true,
                // S_IFREG, S_IFDIR and S_IFLNK
                b"PX" => {
                    let kind = le32(entry, 4) & 0o170_000;
                    found.odd |= !matches!(kind, 0o100_000 | 0o040_000 | 0o120_000);
                }
                b"ST" => break,
                _ => {}
            }
            rest = &rest[length..];
        }
        match next {
            Some((sector, offset, length)) => bytes = area(sector, offset, length)?,
            None => break,
        }
    }
    found.link = link.text;
    Ok(found)
}

/// A symbolic link, from its components.
#[derive(Default)]
struct Link {
    text: Option<Vec<u8>>,
    /// The last component goes on in the next.
    open: bool,
}

impl Link {
    fn component(&mut self, mut bytes: &[u8]) {
        while bytes.len() >= 2 {
            let (flags, length) = (bytes[0], usize::from(bytes[1]));
            let content = bytes.get(2..2 + length).unwrap_or_default();
            let text = self.text.get_or_insert_default();
            if !self.open && !text.is_empty() && !text.ends_with(b"/") {
                text.push(b'/');
            }
            match flags & 0b1110 {
                0b0010 => text.push(b'.'),
                0b0100 => text.extend(b".."),
                0b1000 => text.push(b'/'),
                _ => text.extend(content),
            }
            self.open = flags & 1 != 0;
            bytes = bytes.get(2 + length..).unwrap_or_default();
        }
    }
}
