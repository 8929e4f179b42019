//! File entries (ECMA-167 4/14.9, 4/14.17) and where the bytes of a file are.

use super::super::tree::Extent;
use super::super::{Disc, DiscError, SECTOR, le16, le32};
use super::descriptor::{
    ALLOCATION, Allocation, EXTENDED_FILE_ENTRY, FILE_ENTRY, Kind, long, short, tag,
};
use super::{Partition, Place, block, locate};

/// Allocation descriptors of one image. A file of 5 GiB has six.
const ALLOCATIONS: usize = 2_000_000;

/// What a file is, as far as it matters here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Is {
    File,
    Directory,
    Link,
    Other,
}

/// A file or a directory.
#[derive(Debug)]
pub(super) struct FileEntry {
    pub(super) is: Is,
    /// Bytes of it.
    pub(super) size: u64,
    /// Where they are; why it cannot be told, if they are not all on the image.
    pub(super) runs: Result<Vec<Extent>, &'static str>,
}

/// What is still read of an image: a hostile one could have the same entry read without end.
#[derive(Debug)]
pub(super) struct Budget {
    left: usize,
}

impl Default for Budget {
    fn default() -> Self {
        Budget { left: ALLOCATIONS }
    }
}

impl Budget {
    fn spend(&mut self) -> Result<(), DiscError> {
        self.left = self.left.checked_sub(1).ok_or_else(|| {
            DiscError::TooLarge(format!("its files are in more than {ALLOCATIONS} pieces"))
        })?;
        Ok(())
    }
}

/// The entry that stands there. `what` names it in sentences.
///
/// # Errors
/// If it is none, or damaged.
pub(super) fn entry(
    disc: &Disc<'_>,
    partitions: &[Partition],
    at: Place,
    budget: &mut Budget,
    what: &str,
) -> Result<FileEntry, DiscError> {
    let damaged = |how: &str| DiscError::Damaged(format!("{what} {how}"));
    budget.spend()?;
    let (bytes, begin) = block(disc, partitions, at, what)?;
    // the lengths of its two variable parts, and where the first begins
    let (lengths, head) = match tag(&bytes, at.block, what)? {
        FILE_ENTRY => (168, 176),
        EXTENDED_FILE_ENTRY => (208, 216),
        _ => return Err(damaged("has no entry where it should be")),
    };
    if le16(&bytes, 20) != 4 {
        return Err(damaged("is of a medium that is written once"));
    }
    let is = match bytes[27] {
        4 => Is::Directory,
        5 => Is::File,
        12 => Is::Link,
        _ => Is::Other,
    };
    let flags = le16(&bytes, 34);
    let size = u64::from(le32(&bytes, 56)) | u64::from(le32(&bytes, 60)) << 32;
    let attributes = le32(&bytes, lengths) as usize;
    let length = le32(&bytes, lengths + 4) as usize;
    let from = head + attributes.min(bytes.len());
    let area = bytes.get(from..from.saturating_add(length));
    let area = area.ok_or_else(|| damaged("is longer than its block"))?;
    let runs = match flags & 7 {
        3 if size <= length as u64 => Ok(vec![Extent {
            offset: begin + from as u64,
            size,
        }]),
        3 => return Err(damaged("has more bytes than its entry")),
        form @ (0 | 1) => {
            let reader = Reader {
                disc,
                partitions,
                long: form == 1,
                partition: at.partition,
                what,
            };
            reader.runs(area.to_vec(), size, budget)?
        }
        _ => Err("recorded in a way that is not read"),
    };
    Ok(FileEntry { is, size, runs })
}

struct Reader<'a> {
    disc: &'a Disc<'a>,
    partitions: &'a [Partition],
    long: bool,
    partition: u16,
    what: &'a str,
}

impl Reader<'_> {
    fn runs(
        &self,
        mut area: Vec<u8>,
        size: u64,
        budget: &mut Budget,
    ) -> Result<Result<Vec<Extent>, &'static str>, DiscError> {
        let mut found = Vec::new();
        let mut left = size;
        let step = if self.long { 16 } else { 8 };
        let mut at = 0;
        while left > 0 {
            let Some(bytes) = area.get(at..at + step) else {
                let told = format!("{} has fewer bytes than it says", self.what);
                return Err(DiscError::Damaged(told));
            };
            budget.spend()?;
            at += step;
            let one = match self.long {
                true => long(bytes),
                false => short(bytes, self.partition),
            };
            match one.kind {
                Kind::More => {
                    area = self.more(one)?;
                    at = 0;
                }
                Kind::Hole => return Ok(Err("not all on the medium")),
                Kind::Recorded if one.length == 0 => {
                    let told = format!("{} has fewer bytes than it says", self.what);
                    return Err(DiscError::Damaged(told));
                }
                Kind::Recorded => {
                    let length = u64::from(one.length).min(left);
                    let runs = locate(self.partitions, one.at, length, self.what)?;
                    for run in &runs {
                        self.disc.fits(run.offset, run.size, self.what)?;
                    }
                    found.extend(runs);
                    left -= length;
                }
            }
        }
        Ok(Ok(Extent::joined(found)))
    }

    /// Where the allocation descriptors go on (ECMA-167 4/14.5).
    fn more(&self, at: Allocation) -> Result<Vec<u8>, DiscError> {
        let (bytes, _) = block(self.disc, self.partitions, at.at, self.what)?;
        let damaged = || DiscError::Damaged(format!("{} goes on nowhere", self.what));
        if tag(&bytes, at.at.block, self.what)? != ALLOCATION {
            return Err(damaged());
        }
        let length = le32(&bytes, 20) as usize;
        let area = bytes.get(24..24usize.saturating_add(length.min(SECTOR as usize)));
        Ok(area.ok_or_else(damaged)?.to_vec())
    }
}
