//! Directories, from the root to the last. What is found becomes a [`Tree`].

use std::collections::HashSet;

use super::record::{Record, RockRidge, record, rock_ridge, susp};
use super::tree::{Entry, Extent, Tree};
use super::volume::Volume;
use super::{Disc, DiscError, SECTOR};
use crate::model::event::printable;

/// Files and directories of one image. A medium with 60,000 packages is a large one.
pub(super) const ENTRIES: usize = 400_000;
/// Directories within each other.
pub(super) const DEPTH: usize = 48;
/// Bytes of one directory: a quarter of a million files.
pub(super) const DIRECTORY: u64 = 32 * 1024 * 1024;
/// Bytes of all directories.
pub(super) const DIRECTORIES: u64 = 256 * 1024 * 1024;
/// Bytes of a path.
pub(super) const PATH: usize = 1024;
/// Bytes of a continuation area.
const AREA: u32 = 64 * 1024;

/// Which of an image's names are read.
enum Names {
    /// With so many bytes to skip in each system use field.
    RockRidge(usize),
    Joliet,
    Plain,
}

pub(super) fn walk(disc: &Disc<'_>, volume: &Volume, primary: &Record) -> Result<Tree, DiscError> {
    let top = directory(disc, primary, "/")?;
    let own = top.first().filter(|r| r.name == [0]);
    let (names, root) = match (own.and_then(|r| susp(&r.system_use)), &volume.joliet) {
        (Some(skip), _) => (Names::RockRidge(skip), primary),
        (None, Some(joliet)) => (Names::Joliet, joliet),
        (None, None) => (Names::Plain, primary),
    };
    let fold = !matches!(names, Names::RockRidge(_));
    let mut walk = Walk {
        disc,
        names,
        tree: Tree::new(volume.label.clone(), fold),
        seen: HashSet::new(),
        bytes: 0,
    };
    walk.enter(root, "", 0)?;
    walk.tree.check_links();
    Ok(walk.tree)
}

struct Walk<'a> {
    disc: &'a Disc<'a>,
    names: Names,
    tree: Tree,
    seen: HashSet<u64>,
    bytes: u64,
}

impl Walk<'_> {
    fn enter(&mut self, at: &Record, path: &str, depth: usize) -> Result<(), DiscError> {
        let shown = printable(&format!("/{path}"), 120);
        if depth > DEPTH {
            return Err(DiscError::Damaged(format!(
                "`{shown}` is more than {DEPTH} directories deep"
            )));
        }
        if !self.seen.insert(at.offset) {
            return Err(DiscError::Damaged(format!(
                "the directory `{shown}` is within itself, or in two places"
            )));
        }
        self.bytes += at.size;
        if self.bytes > DIRECTORIES {
            return Err(DiscError::TooLarge(
                "its directories alone have more than 256 MiB".to_string(),
            ));
        }
        let mut parts: Vec<Extent> = Vec::new();
        for record in directory(self.disc, at, &shown)? {
            if matches!(record.name.as_slice(), [0] | [1]) {
                continue;
            }
            let more = record.more;
            let rock = self.rock_ridge(&record)?;
            let name = self
                .name(&record, &rock)
                .map_err(|what| DiscError::Damaged(format!("`{shown}` holds {what}")))?;
            if !record.directory {
                parts.push(Extent {
                    offset: record.offset,
                    size: record.size,
                });
                if more {
                    continue;
                }
            }
            let parts = std::mem::take(&mut parts);
            let path = match path {
                "" => name,
                above => format!("{above}/{name}"),
            };
            self.add(&record, rock, path, parts, depth)?;
        }
        Ok(())
    }

    fn add(
        &mut self,
        record: &Record,
        rock: RockRidge,
        path: String,
        parts: Vec<Extent>,
        depth: usize,
    ) -> Result<(), DiscError> {
        let shown = printable(&format!("/{path}"), 120);
        if path.len() > PATH {
            return Err(DiscError::Damaged(format!(
                "the path `{shown}` has more than {PATH} bytes"
            )));
        }
        if self.tree.count() >= ENTRIES {
            return Err(DiscError::TooLarge(format!(
                "it holds more than {ENTRIES} files"
            )));
        }
        if rock.relocated {
            return Ok(());
        }
        if let Some(sector) = rock.child {
            let offset = u64::from(sector) * SECTOR;
            // A directory's own first record says how long it is.
            let own = self.disc.bytes(offset, SECTOR as usize, &shown)?;
            let own = super::record::record(&own).filter(|r| r.directory && r.offset == offset);
            let own =
                own.ok_or_else(|| DiscError::Damaged(format!("`{shown}` leads to no directory")))?;
            self.tree.insert(path.clone(), Entry::Directory);
            return self.enter(&own, &path, depth + 1);
        }
        if record.directory {
            self.tree.insert(path.clone(), Entry::Directory);
            return self.enter(record, &path, depth + 1);
        }
        if let Some(link) = rock.link {
            match String::from_utf8(link) {
                Ok(target) => self.tree.insert(path, Entry::Link(target)),
                Err(_) => self
                    .tree
                    .leave_out(format!("`{shown}` is a link to no text")),
            }
            return Ok(());
        }
        if rock.odd || record.interleaved {
            self.tree.leave_out(format!(
                "`{shown}` is compressed, in pieces, or no file at all"
            ));
            return Ok(());
        }
        for part in parts.iter().filter(|p| p.size > 0) {
            self.disc
                .fits(part.offset, part.size, &format!("`{shown}`"))?;
        }
        self.tree.insert(path, Entry::File(Extent::joined(parts)));
        Ok(())
    }

    fn rock_ridge(&self, record: &Record) -> Result<RockRidge, DiscError> {
        let Names::RockRidge(skip) = self.names else {
            return Ok(RockRidge::default());
        };
        rock_ridge(&record.system_use, skip, &mut |sector, offset, length| {
            if length > AREA {
                return Err(DiscError::Damaged(
                    "a continuation area is huge".to_string(),
                ));
            }
            let at = u64::from(sector) * SECTOR + u64::from(offset);
            self.disc.bytes(at, length as usize, "a continuation area")
        })
    }

    /// The name of a record; what it is instead, if it cannot be one.
    fn name(&self, record: &Record, rock: &RockRidge) -> Result<String, String> {
        let name = match (&self.names, &rock.name) {
            (Names::RockRidge(_), Some(name)) => String::from_utf8_lossy(name).into_owned(),
            (Names::Joliet, _) => {
                let units = record.name.chunks_exact(2);
                let units: Vec<u16> = units.map(|p| u16::from_be_bytes([p[0], p[1]])).collect();
                version(&String::from_utf16_lossy(&units)).to_string()
            }
            _ => {
                let plain = String::from_utf8_lossy(&record.name).to_ascii_lowercase();
                let name = version(&plain);
                name.strip_suffix('.').unwrap_or(name).to_string()
            }
        };
        let bad = name.is_empty()
            || matches!(name.as_str(), "." | "..")
            || name.chars().any(|c| c == '/' || c.is_control());
        match bad {
            true => Err(format!(
                "the name `{}`, which is none",
                printable(&name, 60)
            )),
            false => Ok(name),
        }
    }
}

/// A name without its version: `LINUX.;1`.
fn version(name: &str) -> &str {
    match name.rsplit_once(';') {
        Some((name, version)) if version.bytes().all(|b| b.is_ascii_digit()) => name,
        _ => name,
    }
}

/// The records of one directory. None crosses a sector; a zero byte means that the next one begins.
fn directory(disc: &Disc<'_>, at: &Record, shown: &str) -> Result<Vec<Record>, DiscError> {
    if at.size > DIRECTORY {
        return Err(DiscError::TooLarge(format!(
            "the directory `{shown}` has {} bytes",
            at.size
        )));
    }
    let what = format!("the directory `{shown}`");
    let bytes = disc.bytes(at.offset, at.size as usize, &what)?;
    let mut found = Vec::new();
    for sector in bytes.chunks(SECTOR as usize) {
        let mut rest = sector;
        while rest.first().is_some_and(|length| *length != 0) {
            let read = record(rest).ok_or_else(|| {
                DiscError::Damaged(format!("{what} has a record that cannot be read"))
            })?;
            rest = &rest[usize::from(rest[0])..];
            found.push(read);
        }
    }
    Ok(found)
}
