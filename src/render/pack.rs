//! A folder of answers as a tar: the same files give the same bytes.

/// One file of a folder, ready to be packed.
#[derive(Debug, Clone, Copy)]
pub(super) struct Packed<'a> {
    /// Path in the archive.
    pub(super) path: &'a str,
    /// Whether it may be run.
    pub(super) executable: bool,
    /// Contents.
    pub(super) bytes: &'a [u8],
}

/// Packs files, in the order given, uncompressed: owner root, time 0. Token placeholders in it stay
/// as long as tokens are, so that filling them in moves nothing.
///
/// # Errors
/// The path that an archive cannot hold.
pub(super) fn pack(files: &[Packed<'_>]) -> Result<Vec<u8>, String> {
    let size: usize = files.iter().map(|f| f.bytes.len() + 1024).sum();
    let mut builder = tar::Builder::new(Vec::with_capacity(size + 1024));
    for file in files {
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(tar::EntryType::Regular);
        header.set_size(file.bytes.len() as u64);
        header.set_mode(if file.executable { 0o755 } else { 0o644 });
        header.set_mtime(0);
        header.set_uid(0);
        header.set_gid(0);
        builder
            .append_data(&mut header, file.path, file.bytes)
            .map_err(|_| file.path.to_string())?;
    }
    builder.into_inner().map_err(|e| e.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_files_give_the_same_bytes() {
        let long = format!("{}/hook.sh", "d".repeat(120));
        let files = [
            Packed {
                path: "class/50-x",
                executable: true,
                bytes: b"#!/bin/sh\n",
            },
            Packed {
                path: &long,
                executable: false,
                bytes: b"x",
            },
        ];
        let once = pack(&files).expect("a tar");
        assert_eq!(once, pack(&files).expect("a tar"));
        let mut archive = tar::Archive::new(once.as_slice());
        let seen: Vec<(String, u32, u64)> = archive
            .entries()
            .expect("entries")
            .map(|entry| {
                let entry = entry.expect("an entry");
                let path = entry.path().expect("a path").display().to_string();
                let header = entry.header();
                let mode = header.mode().expect("a mode");
                assert_eq!(header.mtime().expect("a time"), 0);
                assert_eq!(header.uid().expect("an owner"), 0);
                (path, mode, entry.size())
            })
            .collect();
        assert_eq!(
            seen,
            vec![
                ("class/50-x".to_string(), 0o755, 10),
                (long.clone(), 0o644, 1)
            ]
        );
        assert!(
            pack(&[Packed {
                path: "../x",
                executable: false,
                bytes: b""
            }])
            .is_err()
        );
    }
}
