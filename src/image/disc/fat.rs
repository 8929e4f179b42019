//! The FAT file system of an EFI boot image (Microsoft's specification 1.03), for the loaders in it.

use super::tree::{EFI_IMAGE, Entry, Extent, Tree};
use super::{Disc, DiscError, le16, le32};

/// Files and directories of all images.
const ENTRIES: usize = 2000;
/// Clusters of all their files: 512 MiB in the smallest. The boot images of known media have less than
/// a tenth of it.
const ALL_CLUSTERS: usize = 1 << 20;
/// Directories within each other.
const DEPTH: usize = 8;
/// Clusters of one file: 256 MiB in the smallest.
const CLUSTERS: usize = 1 << 19;
/// Bytes of the table.
const TABLE: u64 = 16 * 1024 * 1024;

/// What is still read of the boot images of one medium: a hostile one names the same clusters again and
/// again, in many files and many images.
#[derive(Debug)]
pub(super) struct Budget {
    entries: usize,
    clusters: usize,
    /// Of what there was too much.
    over: Option<String>,
}

impl Default for Budget {
    fn default() -> Self {
        Budget {
            entries: ENTRIES,
            clusters: ALL_CLUSTERS,
            over: None,
        }
    }
}

impl Budget {
    fn entry(&mut self) -> Option<()> {
        let left = self.entries.checked_sub(1);
        match left {
            Some(left) => self.entries = left,
            None => self.over = Some(format!("more than {ENTRIES} files")),
        }
        left.map(drop)
    }

    fn cluster(&mut self) -> Option<()> {
        let left = self.clusters.checked_sub(1);
        match left {
            Some(left) => self.clusters = left,
            None => self.over = Some(format!("files of more than {ALL_CLUSTERS} clusters")),
        }
        left.map(drop)
    }
}

struct Fat<'a> {
    disc: &'a Disc<'a>,
    budget: &'a mut Budget,
    /// The first byte of the data area.
    data: u64,
    cluster: u64,
    clusters: u32,
    table: Vec<u8>,
    bits: u8,
}

/// Adds the files of a boot image to the tree, below [`EFI_IMAGE`]. An image that is no FAT adds none:
/// it is what firmware boots, not what is served.
///
/// # Errors
/// If the images that the budget is for have more in them than any medium's.
pub(super) fn add(
    disc: &Disc<'_>,
    image: u64,
    budget: &mut Budget,
    tree: &mut Tree,
) -> Result<(), DiscError> {
    if let Some((mut fat, root)) = open(disc, image, budget) {
        tree.insert(EFI_IMAGE.to_string(), Entry::Directory);
        // What was found before it turned out to be broken is there.
        let _complete = fat.directory(root, EFI_IMAGE, 0, tree).is_some();
    }
    match budget.over.take() {
        Some(what) => Err(DiscError::TooLarge(format!("its boot images have {what}"))),
        None => Ok(()),
    }
}

fn open<'a>(disc: &'a Disc<'a>, at: u64, budget: &'a mut Budget) -> Option<(Fat<'a>, Vec<Extent>)> {
    let boot = disc.bytes(at, 512, "a boot image").ok()?;
    let sector = u64::from(le16(&boot, 11));
    let (cluster, reserved) = (u64::from(boot[13]) * sector, u64::from(le16(&boot, 14)));
    let (tables, root_entries) = (u64::from(boot[16]), u64::from(le16(&boot, 17)));
    if boot[510..512] != [0x55, 0xaa] || ![512, 1024, 2048, 4096].contains(&sector) || cluster == 0
    {
        return None;
    }
    let either = |short: u16, long: u32| match short {
        0 => u64::from(long),
        short => u64::from(short),
    };
    let total = either(le16(&boot, 19), le32(&boot, 32)) * sector;
    let table_size = either(le16(&boot, 22), le32(&boot, 36)) * sector;
    if !(1..=TABLE).contains(&table_size) {
        return None;
    }
    let root_at = at + reserved * sector + tables * table_size;
    let root_size = (root_entries * 32).next_multiple_of(sector);
    let data = root_at + root_size;
    let clusters = u32::try_from((at + total).checked_sub(data)? / cluster).ok()?;
    let bits = match clusters {
        0..4085 => 12,
        4085..65525 => 16,
        _ => 32,
    };
    let first_table = at + reserved * sector;
    let mut fat = Fat {
        disc,
        budget,
        data,
        cluster,
        clusters,
        table: disc
            .bytes(first_table, usize::try_from(table_size).ok()?, "a table")
            .ok()?,
        bits,
    };
    let root = match bits {
        32 => fat.chain(le32(&boot, 44), u64::MAX)?,
        _ => vec![Extent {
            offset: root_at,
            size: root_size,
        }],
    };
    Some((fat, root))
}

impl Fat<'_> {
    fn next(&self, cluster: u32) -> Option<u32> {
        let n = cluster as usize;
        let (next, end) = match self.bits {
            12 => {
                let pair = le16(&self.table, n + n / 2);
                let entry = if n.is_multiple_of(2) {
                    pair & 0xfff
                } else {
                    pair >> 4
                };
                (u32::from(entry), 0xff8)
            }
            16 => (u32::from(le16(&self.table, n * 2)), 0xfff8),
            _ => (le32(&self.table, n * 4) & 0x0fff_ffff, 0x0fff_fff8),
        };
        (next < end).then_some(next)
    }

    /// The runs of a file that begins at this cluster, `size` bytes at most.
    fn chain(&mut self, first: u32, size: u64) -> Option<Vec<Extent>> {
        let mut parts = Vec::new();
        let mut left = size;
        let mut at = Some(first);
        while let Some(cluster) = at.filter(|_| left > 0) {
            if parts.len() >= CLUSTERS || cluster < 2 || cluster - 2 >= self.clusters {
                return None;
            }
            self.budget.cluster()?;
            let part = Extent {
                offset: self.data + u64::from(cluster - 2) * self.cluster,
                size: self.cluster.min(left),
            };
            self.disc.fits(part.offset, part.size, "a cluster").ok()?;
            left -= part.size;
            parts.push(part);
            at = self.next(cluster);
        }
        Some(Extent::joined(parts))
    }

    fn directory(
        &mut self,
        extents: Vec<Extent>,
        path: &str,
        depth: usize,
        tree: &mut Tree,
    ) -> Option<()> {
        if depth > DEPTH {
            return None;
        }
        let bytes = self.disc.head(&extents, 1 << 20).ok()?;
        let mut long: Vec<u16> = Vec::new();
        for entry in bytes.chunks_exact(32) {
            match (entry[0], entry[11]) {
                (0, _) => break,
                (0xe5, _) => long.clear(),
                (order, 0x0f) => {
                    if order & 0x40 != 0 {
                        long.clear();
                    }
                    let units = [1..11, 14..26, 28..32].map(|r| entry[r].chunks_exact(2));
                    let units = units.into_iter().flatten();
                    let part = units.map(|p| u16::from_le_bytes([p[0], p[1]]));
                    // Parts stand in reverse.
                    long.splice(0..0, part.collect::<Vec<u16>>());
                    long.truncate(260);
                }
                // a volume's name
                (_, attributes) if attributes & 0x08 != 0 => long.clear(),
                (_, attributes) => {
                    let name = name(entry, &std::mem::take(&mut long));
                    let bad = name.is_empty() || name.contains(['/', '\\']);
                    if bad || name == "." || name == ".." {
                        continue;
                    }
                    self.budget.entry()?;
                    let first = u32::from(le16(entry, 20)) << 16 | u32::from(le16(entry, 26));
                    let path = format!("{path}/{name}");
                    if attributes & 0x10 != 0 {
                        let inner = self.chain(first, 1 << 20)?;
                        tree.insert(path.clone(), Entry::Directory);
                        self.directory(inner, &path, depth + 1, tree)?;
                    } else {
                        let extents = self.chain(first, u64::from(le32(entry, 28)))?;
                        tree.insert(path, Entry::File(extents));
                    }
                }
            }
        }
        Some(())
    }
}

fn name(entry: &[u8], long: &[u16]) -> String {
    let whole: Vec<u16> = long.iter().copied().take_while(|u| *u != 0).collect();
    let text = if whole.is_empty() {
        // Windows NT marks a part that was all lower case.
        let part = |bytes: &[u8], lower: u8| {
            let text = String::from_utf8_lossy(bytes);
            match entry[12] & lower {
                0 => text.trim_end().to_string(),
                _ => text.trim_end().to_lowercase(),
            }
        };
        let (stem, end) = (part(&entry[..8], 0x08), part(&entry[8..11], 0x10));
        match end.is_empty() {
            true => stem,
            false => format!("{stem}.{end}"),
        }
    } else {
        String::from_utf16_lossy(&whole)
    };
    text.chars().filter(|c| !c.is_control()).collect()
}
