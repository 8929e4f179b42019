//! Directories (ECMA-167 4/14.4), from the root to the last.

use std::collections::HashSet;

use super::super::tree::{Entry, Tree};
use super::super::walk::{DEPTH, DIRECTORIES, DIRECTORY, ENTRIES, PATH};
use super::super::{Disc, DiscError, le16};
use super::descriptor::{FILE_IDENTIFIER, long, name, tag};
use super::icb::{Budget, FileEntry, Is, entry};
use super::volume::Volume;
use super::{Partition, Place};
use crate::model::event::printable;

/// Bits of a file identifier's characteristics.
const DELETED: u8 = 4;
const PARENT: u8 = 8;

pub(super) fn walk(disc: &Disc<'_>, volume: Volume) -> Result<Tree, DiscError> {
    let mut walk = Walk {
        disc,
        partitions: &volume.partitions,
        // those who make such media do not look at the case
        tree: Tree::new(volume.label, true),
        seen: HashSet::new(),
        bytes: 0,
        budget: Budget::default(),
    };
    let root = walk.entry(volume.root, "/")?;
    if root.is != Is::Directory {
        return Err(DiscError::Damaged("its root is no directory".to_string()));
    }
    walk.enter(volume.root, &root, "", 0)?;
    Ok(walk.tree)
}

struct Walk<'a> {
    disc: &'a Disc<'a>,
    partitions: &'a [Partition],
    tree: Tree,
    seen: HashSet<Place>,
    bytes: u64,
    budget: Budget,
}

/// One name of a directory, and what it is of.
struct Named {
    name: Vec<u8>,
    characteristics: u8,
    at: Place,
}

impl Walk<'_> {
    fn entry(&mut self, at: Place, shown: &str) -> Result<FileEntry, DiscError> {
        let what = format!("`{shown}`");
        entry(self.disc, self.partitions, at, &mut self.budget, &what)
    }

    fn enter(
        &mut self,
        at: Place,
        directory: &FileEntry,
        path: &str,
        depth: usize,
    ) -> Result<(), DiscError> {
        let shown = printable(&format!("/{path}"), 120);
        let damaged = |told: String| DiscError::Damaged(told);
        if depth > DEPTH {
            return Err(damaged(format!(
                "`{shown}` is more than {DEPTH} directories deep"
            )));
        }
        if !self.seen.insert(at) {
            return Err(damaged(format!(
                "the directory `{shown}` is within itself, or in two places"
            )));
        }
        for named in self.names(directory, &shown)? {
            if named.characteristics & (DELETED | PARENT) != 0 {
                continue;
            }
            let text = name(&named.name);
            let bad = |t: &String| {
                t.is_empty()
                    || matches!(t.as_str(), "." | "..")
                    || t.chars().any(|c| c == '/' || c.is_control())
            };
            let text = text
                .filter(|t| !bad(t))
                .ok_or_else(|| damaged(format!("`{shown}` holds a name that is none")))?;
            let path = match path {
                "" => text,
                above => format!("{above}/{text}"),
            };
            self.add(path, named.at, depth)?;
        }
        Ok(())
    }

    fn add(&mut self, path: String, at: Place, depth: usize) -> Result<(), DiscError> {
        let shown = printable(&format!("/{path}"), 120);
        if path.len() > PATH {
            let told = format!("the path `{shown}` has more than {PATH} bytes");
            return Err(DiscError::Damaged(told));
        }
        if self.tree.count() >= ENTRIES {
            let told = format!("it holds more than {ENTRIES} files");
            return Err(DiscError::TooLarge(told));
        }
        let found = self.entry(at, &shown)?;
        match (found.is, found.runs) {
            (Is::Directory, runs) => {
                let directory = FileEntry { runs, ..found };
                self.tree.insert(path.clone(), Entry::Directory);
                self.enter(at, &directory, &path, depth + 1)?;
            }
            (Is::File, Ok(runs)) => {
                let runs = runs.into_iter().filter(|r| r.size > 0).collect();
                self.tree.insert(path, Entry::File(runs));
            }
            (Is::File, Err(why)) => self.tree.leave_out(format!("`{shown}` is {why}")),
            (Is::Link, _) => self
                .tree
                .leave_out(format!("`{shown}` is a link, which is not read in UDF")),
            (Is::Other, _) => self.tree.leave_out(format!("`{shown}` is no file at all")),
        }
        Ok(())
    }

    /// The names in a directory.
    fn names(&mut self, directory: &FileEntry, shown: &str) -> Result<Vec<Named>, DiscError> {
        let what = format!("the directory `{shown}`");
        if directory.size > DIRECTORY {
            let told = format!("{what} has {} bytes", directory.size);
            return Err(DiscError::TooLarge(told));
        }
        self.bytes += directory.size;
        if self.bytes > DIRECTORIES {
            return Err(DiscError::TooLarge(
                "its directories alone have more than 256 MiB".to_string(),
            ));
        }
        let damaged = |how: &str| DiscError::Damaged(format!("{what} {how}"));
        let runs = directory
            .runs
            .as_ref()
            .map_err(|why| damaged(&format!("is {why}")))?;
        let mut bytes = Vec::new();
        for run in runs {
            let size = usize::try_from(run.size).map_err(|_| damaged("is too large"))?;
            bytes.extend(self.disc.bytes(run.offset, size, &what)?);
        }
        let mut found = Vec::new();
        let mut rest = bytes.as_slice();
        while !rest.is_empty() {
            let cut = || damaged("has a name that is cut off");
            let head = rest.get(..38).ok_or_else(cut)?;
            let (uses, length) = (usize::from(le16(head, 36)), usize::from(head[19]));
            let whole = (38 + uses + length + 3) & !3;
            let one = rest.get(..whole).ok_or_else(cut)?;
            // where it stands is the block of the directory's that it begins in, which is not known here
            if tag(one, super::super::le32(head, 12), &what)? != FILE_IDENTIFIER {
                return Err(damaged("has something that is no name"));
            }
            found.push(Named {
                name: one[38 + uses..38 + uses + length].to_vec(),
                characteristics: head[18],
                at: long(&head[20..36]).at,
            });
            rest = &rest[whole..];
        }
        Ok(found)
    }
}
