//! From the anchor (ECMA-167 3/10.2) over the descriptors of the volume to its partitions and its root.

use super::super::{Disc, DiscError, SECTOR, le16, le32};
use super::descriptor::{
    ANCHOR, FILE_SET, LOGICAL_VOLUME, PARTITION, POINTER, TERMINATOR, field, is_sector, long, tag,
};
use super::icb::{Budget, entry};
use super::{METADATA_RUNS, Partition, Place, block};

/// Where the anchor is.
const AT: u64 = 256;
/// Descriptors that are looked at, of all sequences together.
const MOST: u64 = 256;
/// Partitions and maps of one volume; Windows media have one or two.
const PARTITIONS: usize = 8;

/// What the descriptors say.
pub(super) struct Volume {
    pub(super) label: String,
    pub(super) partitions: Vec<Partition>,
    pub(super) root: Place,
}

/// A partition as it is declared.
struct Declared {
    number: u16,
    start: u32,
    blocks: u32,
}

#[derive(Default)]
struct Found {
    /// The volume descriptor that prevails, with its sequence number.
    volume: Option<(u32, Vec<u8>)>,
    partitions: Vec<(u32, Declared)>,
}

pub(super) fn read(disc: &Disc<'_>) -> Result<Volume, DiscError> {
    let what = "the anchor of its UDF file system";
    let anchor = disc.bytes(AT * SECTOR, SECTOR as usize, what)?;
    if tag(&anchor, AT as u32, what)? != ANCHOR {
        return Err(DiscError::Damaged(format!("{what} is none")));
    }
    let found = sequence(disc, le32(&anchor, 20), le32(&anchor, 16))?;
    let (_, logical) = found
        .volume
        .as_ref()
        .ok_or_else(|| DiscError::Damaged("its UDF file system has no volume".to_string()))?;
    if !is_sector(le32(logical, 212)) {
        let size = le32(logical, 212);
        return Err(DiscError::Udf(format!("its blocks have {size} bytes")));
    }
    let partitions = partitions(disc, logical, &found.partitions)?;
    let set = long(&logical[248..264]).at;
    let what = "its set of files";
    let (bytes, _) = block(disc, &partitions, set, what)?;
    if tag(&bytes, set.block, what)? != FILE_SET {
        return Err(DiscError::Damaged(format!("{what} is none")));
    }
    Ok(Volume {
        label: field(&logical[84..212]),
        partitions,
        root: long(&bytes[400..416]).at,
    })
}

/// The descriptors of a volume. Those that say that they are later prevail.
fn sequence(disc: &Disc<'_>, start: u32, length: u32) -> Result<Found, DiscError> {
    let mut found = Found::default();
    let (mut at, mut left) = (start, u64::from(length) / SECTOR);
    for _ in 0..MOST {
        if left == 0 {
            return Ok(found);
        }
        let what = "a descriptor of its UDF volume";
        let bytes = disc.bytes(u64::from(at) * SECTOR, SECTOR as usize, what)?;
        // what was never written ends it as well
        if bytes.iter().take(16).all(|b| *b == 0) {
            return Ok(found);
        }
        let number = le32(&bytes, 16);
        match tag(&bytes, at, what)? {
            TERMINATOR => return Ok(found),
            POINTER => {
                (at, left) = (le32(&bytes, 24), u64::from(le32(&bytes, 20)) / SECTOR);
                continue;
            }
            LOGICAL_VOLUME if found.volume.as_ref().is_none_or(|(n, _)| *n <= number) => {
                found.volume = Some((number, bytes));
            }
            PARTITION => {
                let declared = Declared {
                    number: le16(&bytes, 22),
                    start: le32(&bytes, 188),
                    blocks: le32(&bytes, 192),
                };
                let mut known = found.partitions.iter();
                match known.position(|(_, d)| d.number == declared.number) {
                    Some(at) if found.partitions[at].0 <= number => {
                        found.partitions[at] = (number, declared);
                    }
                    Some(_) => {}
                    None if found.partitions.len() < PARTITIONS => {
                        found.partitions.push((number, declared));
                    }
                    None => {
                        let told = format!("it has more than {PARTITIONS} partitions");
                        return Err(DiscError::TooLarge(told));
                    }
                }
            }
            _ => {}
        }
        at = at.saturating_add(1);
        left -= 1;
    }
    Err(DiscError::Damaged(format!(
        "its UDF volume has more than {MOST} descriptors"
    )))
}

/// The partition maps (ECMA-167 3/10.7, UDF 2.2.8 to 2.2.10), in their order: by it they are named.
fn partitions(
    disc: &Disc<'_>,
    logical: &[u8],
    declared: &[(u32, Declared)],
) -> Result<Vec<Partition>, DiscError> {
    let damaged = |told: &str| DiscError::Damaged(format!("its partition map {told}"));
    let count = le32(logical, 268) as usize;
    if count > PARTITIONS {
        let told = format!("it has {count} partition maps");
        return Err(DiscError::TooLarge(told));
    }
    let plain = |number: u16| -> Result<Partition, DiscError> {
        let of = declared.iter().find(|(_, d)| d.number == number);
        let (_, of) = of.ok_or_else(|| damaged("names a partition that is not there"))?;
        let start = u64::from(of.start) * SECTOR;
        let size = u64::from(of.blocks) * SECTOR;
        disc.fits(start, size, "its UDF partition")?;
        Ok(Partition::Plain { start, size })
    };
    let mut all = Vec::new();
    let mut metadata = Vec::new();
    let mut at = 440;
    for n in 0..count {
        let length = usize::from(logical.get(at + 1).copied().unwrap_or(0));
        let map = logical.get(at..at + length).filter(|m| m.len() >= 6);
        let map = map.ok_or_else(|| damaged("is cut off"))?;
        at += length;
        match (map[0], length) {
            (1, 6) => all.push(plain(le16(map, 4))?),
            (2, 64) => match map[5..28].split(|b| *b == 0).next() {
                Some(b"*UDF Metadata Partition") => {
                    all.push(plain(le16(map, 38))?);
                    metadata.push((n, le32(map, 40)));
                }
                other => {
                    let kind = String::from_utf8_lossy(other.unwrap_or_default()).into_owned();
                    let kind = crate::model::event::printable(&kind, 40);
                    return Err(DiscError::Udf(format!("it is on a partition `{kind}`")));
                }
            },
            _ => return Err(damaged("is of no kind that is known")),
        }
    }
    // the metadata file lies in the partition below, which is what stands there until now
    for (n, block) in metadata {
        let at = Place {
            partition: u16::try_from(n).unwrap_or(u16::MAX),
            block,
        };
        let file = entry(disc, &all, at, &mut Budget::default(), "its metadata file")?;
        let runs = file
            .runs
            .map_err(|why| damaged(&format!("leads to what is {why}")))?;
        if runs.len() > METADATA_RUNS {
            return Err(DiscError::TooLarge(format!(
                "its metadata is in more than {METADATA_RUNS} pieces"
            )));
        }
        if let Some(partition) = all.get_mut(n) {
            *partition = Partition::Metadata(runs);
        }
    }
    Ok(all)
}
