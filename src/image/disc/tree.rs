//! The files of an image, and looking them up. Names are only ever compared.

use std::collections::{BTreeMap, HashMap};

use crate::model::event::printable;

/// Where the files of the EFI boot image are in a tree: no file of the medium can have this name, for
/// it would have to be in a directory that is one of the medium's.
pub const EFI_IMAGE: &str = "[efi]";

/// Links that are followed to find one file.
const HOPS: usize = 16;
/// Sentences about what was left out.
const LEFT_OUT: usize = 20;

/// A run of bytes of the image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Extent {
    /// Its first byte.
    pub offset: u64,
    /// How many.
    pub size: u64,
}

impl Extent {
    /// Runs that follow each other are one: a file of more than 4 GiB is written so.
    pub(super) fn joined(parts: Vec<Extent>) -> Vec<Extent> {
        let mut out: Vec<Extent> = Vec::new();
        for part in parts {
            match out.last_mut() {
                Some(last) if last.offset + last.size == part.offset => last.size += part.size,
                _ => out.push(part),
            }
        }
        out
    }
}

/// What stands at a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Entry {
    File(Vec<Extent>),
    Directory,
    /// To this path, from the directory that it stands in.
    Link(String),
}

/// The files of an image by path, without a leading slash.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tree {
    label: String,
    entries: BTreeMap<String, Entry>,
    /// Paths in lower case, if the case of names means nothing.
    folded: Option<HashMap<String, String>>,
    left_out: Vec<String>,
    more_left_out: usize,
}

impl Tree {
    pub(super) fn new(label: String, fold: bool) -> Self {
        Tree {
            label,
            entries: BTreeMap::new(),
            folded: fold.then(HashMap::new),
            left_out: Vec::new(),
            more_left_out: 0,
        }
    }

    pub(super) fn insert(&mut self, path: String, entry: Entry) {
        if let Some(folded) = &mut self.folded {
            folded.insert(path.to_lowercase(), path.clone());
        }
        self.entries.insert(path, entry);
    }

    pub(super) fn leave_out(&mut self, sentence: String) {
        match self.left_out.len() < LEFT_OUT {
            true => self.left_out.push(sentence),
            false => self.more_left_out += 1,
        }
    }

    /// Links that lead out of the medium are left out.
    pub(super) fn check_links(&mut self) {
        let out: Vec<(String, String)> = self
            .entries
            .iter()
            .filter_map(|(path, entry)| match entry {
                Entry::Link(target) if leads_out(path, target) => {
                    Some((path.clone(), target.clone()))
                }
                _ => None,
            })
            .collect();
        for (path, target) in out {
            self.entries.remove(&path);
            self.leave_out(format!(
                "`/{}` is a link to `{}`, which is outside of the medium",
                printable(&path, 120),
                printable(&target, 120)
            ));
        }
    }

    /// The name that the medium gives itself.
    pub fn label(&self) -> &str {
        &self.label
    }

    /// Entries, directories and links included.
    pub fn count(&self) -> usize {
        self.entries.len()
    }

    /// Sentences about what of the medium is not served.
    pub fn left_out(&self) -> Vec<String> {
        let mut all = self.left_out.clone();
        if self.more_left_out > 0 {
            all.push(format!("and {} more", self.more_left_out));
        }
        all
    }

    /// Where the bytes of a file are. Links are followed; where the medium's names have no case of
    /// their own, the case does not matter.
    pub fn file(&self, path: &str) -> Option<&[Extent]> {
        match self.find(path)? {
            (_, Entry::File(extents)) => Some(extents),
            _ => None,
        }
    }

    /// The path by which the medium itself knows a file, links resolved.
    pub fn real(&self, path: &str) -> Option<&str> {
        match self.find(path)? {
            (path, Entry::File(_)) => Some(path),
            _ => None,
        }
    }

    /// Whether there is such a file.
    pub fn has(&self, path: &str) -> bool {
        self.file(path).is_some()
    }

    /// Bytes of a file.
    pub fn size(&self, path: &str) -> Option<u64> {
        Some(self.file(path)?.iter().map(|e| e.size).sum())
    }

    /// Paths of files that begin so.
    pub fn below<'a>(&'a self, head: &'a str) -> impl Iterator<Item = &'a str> {
        self.entries
            .range(head.to_string()..)
            .take_while(move |(path, _)| path.starts_with(head))
            .filter(|(_, entry)| matches!(entry, Entry::File(_)))
            .map(|(path, _)| path.as_str())
    }

    /// The files that stand in a directory itself, and their sizes; none if there is no such directory.
    pub fn directory(&self, path: &str) -> Option<Vec<(&str, u64)>> {
        let at = match self.find(path)? {
            (at, Entry::Directory) => format!("{at}/"),
            _ => return None,
        };
        let below = self.entries.range(at.clone()..);
        let below = below.take_while(|(path, _)| path.starts_with(&at));
        let files = below.filter_map(|(path, entry)| match entry {
            Entry::File(extents) => {
                let name = path.get(at.len()..).filter(|name| !name.contains('/'))?;
                Some((name, extents.iter().map(|e| e.size).sum()))
            }
            _ => None,
        });
        Some(files.collect())
    }

    /// The file of a path whatever the case of its letters, for names that firmware made up.
    pub fn any_case(&self, path: &str) -> Option<&str> {
        let wanted = path.to_lowercase();
        let of = |entry: (&'_ String, &'_ Entry)| entry.0.to_lowercase() == wanted;
        let head: String = path.chars().take(1).collect();
        let heads = [head.to_lowercase(), head.to_uppercase()];
        heads.iter().find_map(|head| {
            let near = self.entries.range(head.clone()..);
            near.take_while(|(p, _)| p.starts_with(head.as_str()))
                .find(|(path, entry)| of((path, entry)) && matches!(entry, Entry::File(_)))
                .map(|(path, _)| path.as_str())
        })
    }

    fn entry(&self, path: &str) -> Option<(&str, &Entry)> {
        let exact = self.entries.get_key_value(path);
        let found = exact.or_else(|| {
            let folded = self.folded.as_ref()?;
            self.entries
                .get_key_value(folded.get(&path.to_lowercase())?)
        });
        found.map(|(path, entry)| (path.as_str(), entry))
    }

    fn find(&self, path: &str) -> Option<(&str, &Entry)> {
        let mut todo: Vec<String> = split(path);
        todo.reverse();
        let mut at = String::new();
        let mut hops = 0;
        let mut last = None;
        while let Some(part) = todo.pop() {
            if part == ".." {
                let up = at.rfind('/').map_or(0, |slash| slash);
                at.truncate(up);
                continue;
            }
            let next = match at.as_str() {
                "" => part,
                above => format!("{above}/{part}"),
            };
            let (path, entry) = self.entry(&next)?;
            if let Entry::Link(target) = entry {
                hops += 1;
                if hops > HOPS {
                    return None;
                }
                todo.extend(split(target).into_iter().rev());
                continue;
            }
            at = path.to_string();
            last = Some((path, entry));
        }
        last.filter(|(path, _)| *path == at)
    }
}

/// The parts of a path that mean something.
fn split(path: &str) -> Vec<String> {
    let parts = path.split('/').filter(|p| !p.is_empty() && *p != ".");
    parts.map(str::to_string).collect()
}

/// Whether a link leaves the medium.
fn leads_out(path: &str, target: &str) -> bool {
    if target.starts_with('/') || target.is_empty() {
        return true;
    }
    let mut depth = i64::try_from(path.matches('/').count()).unwrap_or(0);
    for part in split(target) {
        depth += if part == ".." { -1 } else { 1 };
        if depth < 0 {
            return true;
        }
    }
    false
}
