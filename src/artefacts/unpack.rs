//! Takes single files out of a Debian package without installing it.
//!
//! A `.deb` is an `ar` of tars. No path of the package ever becomes a path on this host: wanted
//! members are written to destinations that the caller chose, and links are followed within the
//! package's own list of names.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::fs::File;
use std::io::{self, BufReader, Read, Write};
use std::path::{Path, PathBuf};

use super::disk;
use super::error::ArtefactError;
use super::record::relative;

/// No single file of a package may be larger.
const MAX_FILE: u64 = 8 << 30;
/// No package may list more names.
const MAX_ENTRIES: usize = 1_000_000;
/// How many links lead to a file at most, as Linux counts them.
const MAX_LINKS: usize = 40;

/// A link inside a package.
enum Link {
    /// Relative to its directory, or from the package's root.
    Symbolic(String),
    /// An earlier member, from the package's root.
    Hard(String),
}

/// Writes each wanted path of `deb` to its destination. `tick` hears how many bytes of the package
/// were read; it returns false to give up.
///
/// # Errors
/// Not a package, damaged, a wanted path is not in it, or writing failed.
pub(super) fn unpack(
    deb: &Path,
    package: &str,
    wanted: &[(String, PathBuf)],
    tick: &mut dyn FnMut(u64) -> bool,
) -> Result<(), ArtefactError> {
    let mut goals: HashMap<String, Vec<PathBuf>> = HashMap::new();
    for (path, to) in wanted {
        let goal = goals.entry(relative(path).to_string()).or_default();
        goal.push(to.clone());
    }
    let seen = walk(deb, &mut goals, tick)?;
    if goals.is_empty() {
        return Ok(());
    }
    // What is left is a link, or below one: look where it leads and read once more.
    let mut targets: HashMap<String, Vec<PathBuf>> = HashMap::new();
    for (path, to) in goals {
        let target = resolve(&path, &seen.links).filter(|t| seen.files.contains(t));
        let Some(target) = target else {
            return Err(ArtefactError::NotInPackage {
                package: package.to_string(),
                hint: hint(&path, &seen.files),
                path,
            });
        };
        targets.entry(target).or_default().extend(to);
    }
    walk(deb, &mut targets, tick)?;
    match targets.into_keys().next() {
        None => Ok(()),
        Some(path) => Err(ArtefactError::NotInPackage {
            package: package.to_string(),
            hint: String::new(),
            path,
        }),
    }
}

/// Names met on a walk that did not find everything.
#[derive(Default)]
struct Seen {
    files: Vec<String>,
    links: BTreeMap<String, Link>,
}

/// Reads the package once, writes those goals that are regular files and removes them from the
/// map; stops as soon as none is left.
fn walk(
    deb: &Path,
    goals: &mut HashMap<String, Vec<PathBuf>>,
    tick: &mut dyn FnMut(u64) -> bool,
) -> Result<Seen, ArtefactError> {
    let broken = |reason: String| ArtefactError::Unpack {
        path: deb.to_path_buf(),
        reason,
    };
    let file = File::open(deb).map_err(ArtefactError::file("open", deb))?;
    let counted = Counted {
        inner: BufReader::with_capacity(1 << 18, file),
        read: 0,
        tick,
    };
    let mut outer = ar::Archive::new(counted);
    while let Some(member) = outer.next_entry() {
        let member = member.map_err(|e| broken(e.to_string()))?;
        let name = String::from_utf8_lossy(member.header().identifier()).into_owned();
        let name = name.trim_end_matches('/');
        if !name.starts_with("data.tar") {
            continue;
        }
        let plain: Box<dyn Read + '_> = match name {
            "data.tar" => Box::new(member),
            "data.tar.gz" => Box::new(flate2::read::MultiGzDecoder::new(member)),
            "data.tar.xz" => Box::new(xz2::read::XzDecoder::new_multi_decoder(member)),
            "data.tar.zst" => {
                Box::new(zstd::Decoder::new(member).map_err(|e| broken(e.to_string()))?)
            }
            other => {
                return Err(broken(format!(
                    "`{other}` is packed in a way not known here"
                )));
            }
        };
        return members(plain, goals, &broken);
    }
    Err(broken("it holds no `data.tar`".to_string()))
}

fn members(
    plain: Box<dyn Read + '_>,
    goals: &mut HashMap<String, Vec<PathBuf>>,
    broken: &dyn Fn(String) -> ArtefactError,
) -> Result<Seen, ArtefactError> {
    let mut seen = Seen::default();
    let mut tar = tar::Archive::new(plain);
    for entry in tar.entries().map_err(|e| broken(e.to_string()))? {
        let mut entry = entry.map_err(|e| broken(e.to_string()))?;
        if seen.files.len() + seen.links.len() >= MAX_ENTRIES {
            return Err(broken(format!("it lists over {MAX_ENTRIES} names")));
        }
        let path = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
        let path = relative(&path).trim_end_matches('/').to_string();
        let kind = entry.header().entry_type();
        if kind.is_file() || kind.is_contiguous() {
            if let Some(to) = goals.remove(&path) {
                let size = entry.size();
                write(&mut entry, size, &to, broken)?;
                if goals.is_empty() {
                    return Ok(seen);
                }
            }
            seen.files.push(path);
        } else if let Some(target) = entry.link_name_bytes() {
            let target = String::from_utf8_lossy(&target).into_owned();
            let link = if kind.is_symlink() {
                Link::Symbolic(target)
            } else if kind.is_hard_link() {
                Link::Hard(target)
            } else {
                continue;
            };
            seen.links.insert(path, link);
        }
    }
    Ok(seen)
}

fn write(
    entry: &mut dyn Read,
    announced: u64,
    to: &[PathBuf],
    broken: &dyn Fn(String) -> ArtefactError,
) -> Result<(), ArtefactError> {
    let Some((first, others)) = to.split_first() else {
        return Ok(());
    };
    if announced <= MAX_FILE {
        disk::room(first, announced.saturating_mul(to.len() as u64))?;
    }
    let mut file = File::create(first).map_err(ArtefactError::file("create", first))?;
    let mut buffer = vec![0u8; 1 << 18];
    let mut size = 0u64;
    loop {
        let n = match entry.read(&mut buffer) {
            Ok(0) => break,
            Ok(n) => n,
            Err(e) => return Err(broken(e.to_string())),
        };
        size += n as u64;
        if size > MAX_FILE {
            return Err(broken(format!(
                "a file in it is larger than {MAX_FILE} bytes"
            )));
        }
        file.write_all(&buffer[..n])
            .map_err(ArtefactError::file("write", first))?;
    }
    for other in others {
        std::fs::copy(first, other).map_err(ArtefactError::file("write", other))?;
    }
    Ok(())
}

/// Where a path leads when every link on its way is followed; `..` stops at the package's root.
fn resolve(path: &str, links: &BTreeMap<String, Link>) -> Option<String> {
    let mut ahead: VecDeque<String> = path.split('/').map(String::from).collect();
    let mut here: Vec<String> = Vec::new();
    let mut hops = 0;
    while let Some(part) = ahead.pop_front() {
        match part.as_str() {
            "" | "." => continue,
            ".." => {
                here.pop();
                continue;
            }
            _ => here.push(part),
        }
        let Some(link) = links.get(&here.join("/")) else {
            continue;
        };
        hops += 1;
        if hops > MAX_LINKS {
            return None;
        }
        let target = match link {
            Link::Symbolic(target) => {
                here.pop();
                if target.starts_with('/') {
                    here.clear();
                }
                target
            }
            Link::Hard(target) => {
                here.clear();
                target
            }
        };
        for part in target.split('/').rev() {
            ahead.push_front(part.to_string());
        }
    }
    Some(here.join("/"))
}

/// Files of the package with the same last name: most often the wanted one moved.
fn hint(path: &str, files: &[String]) -> String {
    let last = path.rsplit('/').next().unwrap_or(path);
    let alike: Vec<String> = files
        .iter()
        .filter(|f| f.rsplit('/').next() == Some(last))
        .take(4)
        .map(|f| format!("`{f}`"))
        .collect();
    if alike.is_empty() {
        String::new()
    } else {
        format!("; it has {}", alike.join(", "))
    }
}

/// Counts what passes and lets the caller give up.
struct Counted<'a, R> {
    inner: R,
    read: u64,
    tick: &'a mut dyn FnMut(u64) -> bool,
}

impl<R: Read> Read for Counted<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let n = self.inner.read(buffer)?;
        self.read += n as u64;
        if (self.tick)(self.read) {
            Ok(n)
        } else {
            // not `Interrupted`: readers repeat the call on that
            Err(io::Error::other("given up"))
        }
    }
}

#[cfg(test)]
#[path = "unpack_tests.rs"]
mod tests;
