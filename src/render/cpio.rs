//! Archives in the "new ASCII" format of cpio, which every Linux kernel unpacks on top of its initial
//! RAM disk (Documentation/driver-api/early-userspace/buffer-format.rst in the kernel's sources).
//!
//! Uncompressed and in the order of their paths, so that the same files give the same bytes and a
//! token that is filled in later moves nothing.

use std::collections::BTreeSet;

/// One file of an archive.
#[derive(Debug, Clone, Copy)]
pub struct Entry<'a> {
    /// Its path in the RAM disk, without a leading slash.
    pub path: &'a str,
    /// Whether it may be run.
    pub executable: bool,
    /// Contents.
    pub bytes: &'a [u8],
}

/// Largest file that the format can hold: its size is eight hexadecimal digits.
pub const LARGEST: u64 = u32::MAX as u64;

/// The name of the last entry.
const END: &str = "TRAILER!!!";

/// Packs files, with the directories that they lie in.
pub fn pack(entries: &[Entry<'_>]) -> Vec<u8> {
    let size: usize = entries.iter().map(|e| e.bytes.len() + 512).sum();
    let mut out = Vec::with_capacity(size + 512);
    let mut sorted: Vec<&Entry<'_>> = entries.iter().collect();
    sorted.sort_by_key(|e| e.path);
    let mut made = BTreeSet::new();
    let mut inode = 0;
    for entry in sorted {
        for (at, _) in entry.path.match_indices('/') {
            let parent = &entry.path[..at];
            if made.insert(parent) {
                inode += 1;
                out.extend(header(parent, 0o040_755, 0, inode));
            }
        }
        inode += 1;
        let mode = if entry.executable {
            0o100_755
        } else {
            0o100_644
        };
        out.extend(header(entry.path, mode, entry.bytes.len() as u64, inode));
        out.extend_from_slice(entry.bytes);
        align(&mut out);
    }
    out.extend(tail(0));
    out
}

/// What stands before the bytes of one file in an archive that holds nothing else.
pub fn head(path: &str, size: u64) -> Vec<u8> {
    let mut out = Vec::new();
    let mut inode = 0;
    for (at, _) in path.match_indices('/') {
        inode += 1;
        out.extend(header(&path[..at], 0o040_755, 0, inode));
    }
    out.extend(header(path, 0o100_644, size, inode + 1));
    out
}

/// What stands behind them.
pub fn tail(size: u64) -> Vec<u8> {
    let mut out = vec![0; padding(size)];
    let end = header(END, 0, 0, 0);
    out.extend(end);
    out
}

/// A header with its name, so long that contents begin at a multiple of four.
fn header(name: &str, mode: u32, size: u64, inode: u32) -> Vec<u8> {
    let links = 1 + u32::from(mode & 0o040_000 != 0);
    let size = u32::try_from(size).unwrap_or(u32::MAX);
    let length = u32::try_from(name.len() + 1).unwrap_or(u32::MAX);
    let fields = [inode, mode, 0, 0, links, 0, size, 0, 0, 0, 0, length, 0];
    let mut out = b"070701".to_vec();
    for field in fields {
        out.extend(format!("{field:08x}").into_bytes());
    }
    out.extend_from_slice(name.as_bytes());
    out.push(0);
    align(&mut out);
    out
}

fn align(out: &mut Vec<u8>) {
    let missing = padding(out.len() as u64);
    out.resize(out.len() + missing, 0);
}

fn padding(size: u64) -> usize {
    (4 - (size % 4) as usize) % 4
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_begins_at_a_multiple_of_four() {
        for length in 0..9 {
            let bytes = vec![b'x'; length];
            for path in ["a", "ab", "abc", "dir/abcd"] {
                let packed = pack(&[Entry {
                    path,
                    executable: false,
                    bytes: &bytes,
                }]);
                assert_eq!(packed.len() % 4, 0);
                let mut split = head(path, length as u64);
                assert_eq!(split.len() % 4, 0);
                split.extend_from_slice(&bytes);
                split.extend(tail(length as u64));
                assert_eq!(packed, split, "{path} {length}");
            }
        }
    }

    #[test]
    fn a_directory_comes_once_and_before_what_is_in_it() {
        let entry = |path| Entry {
            path,
            executable: false,
            bytes: b"",
        };
        let packed = pack(&[entry("etc/b/y"), entry("etc/a/x"), entry("z")]);
        let text = String::from_utf8_lossy(&packed).into_owned();
        let at = |name: &str| text.find(&format!("{name}\0")).expect("there");
        assert!(at("etc") < at("etc/a") && at("etc/a") < at("etc/a/x"));
        assert_eq!(text.matches("etc\0").count(), 1);
        assert!(text.contains(END));
    }
}
