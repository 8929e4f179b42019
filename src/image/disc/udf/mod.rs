//! UDF (ECMA-167, OSTA UDF 1.02 to 2.60), in which Windows media keep their files: read only, one
//! partition or a metadata partition over it, blocks of 2048 bytes.
//!
//! | file | what |
//! |---|---|
//! | `volume` | from the anchor to the root: which partitions there are |
//! | `descriptor` | tags, checksums, names |
//! | `icb` | file entries: what a file is, and where its bytes are |
//! | `walk` | directories, to the last |

mod descriptor;
mod icb;
mod volume;
mod walk;

use super::tree::{Extent, Tree};
use super::{Disc, DiscError, SECTOR};

/// Everything that an image's UDF file system holds.
///
/// # Errors
/// A sentence that says what is wrong with it.
pub(super) fn tree(disc: &Disc<'_>) -> Result<Tree, DiscError> {
    let volume = volume::read(disc)?;
    walk::walk(disc, volume)
}

/// Runs of a metadata file: there are a few, and each block is looked up in them.
const METADATA_RUNS: usize = 1024;

/// A block of a partition (ECMA-167 4/7.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Place {
    partition: u16,
    block: u32,
}

/// What the blocks of a partition are on the image.
#[derive(Debug)]
enum Partition {
    /// One run of bytes.
    Plain { start: u64, size: u64 },
    /// The bytes of a file of another partition (UDF 2.2.10).
    Metadata(Vec<Extent>),
}

impl Partition {
    /// Where so many bytes from the beginning of a block are.
    fn locate(&self, block: u32, length: u64, what: &str) -> Result<Vec<Extent>, DiscError> {
        let outside = || DiscError::Damaged(format!("{what} is outside of its partition"));
        let begin = u64::from(block) * SECTOR;
        match self {
            Partition::Plain { start, size } => {
                let end = begin.checked_add(length).filter(|end| end <= size);
                end.ok_or_else(outside)?;
                Ok(vec![Extent {
                    offset: start + begin,
                    size: length,
                }])
            }
            Partition::Metadata(runs) => {
                let mut found = Vec::new();
                let (mut skip, mut left) = (begin, length);
                for run in runs {
                    if skip >= run.size {
                        skip -= run.size;
                        continue;
                    }
                    let size = left.min(run.size - skip);
                    found.push(Extent {
                        offset: run.offset + skip,
                        size,
                    });
                    left -= size;
                    skip = 0;
                    if left == 0 {
                        return Ok(found);
                    }
                }
                Err(outside())
            }
        }
    }
}

/// One block, and where it begins on the image.
fn block(
    disc: &Disc<'_>,
    partitions: &[Partition],
    at: Place,
    what: &str,
) -> Result<(Vec<u8>, u64), DiscError> {
    let runs = locate(partitions, at, SECTOR, what)?;
    match runs.as_slice() {
        [run] => Ok((disc.bytes(run.offset, SECTOR as usize, what)?, run.offset)),
        _ => Err(DiscError::Damaged(format!("{what} is in pieces"))),
    }
}

fn locate(
    partitions: &[Partition],
    at: Place,
    length: u64,
    what: &str,
) -> Result<Vec<Extent>, DiscError> {
    let partition = partitions
        .get(usize::from(at.partition))
        .ok_or_else(|| DiscError::Damaged(format!("{what} is in a partition that is not there")))?;
    partition.locate(at.block, length, what)
}
