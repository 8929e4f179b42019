//! Reads a site's files from disk, within limits and without leaving the site.

use std::fs;
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::files::{FileSet, SourceFile};

/// The largest `systems.toml` or file of `systems.d/`, in bytes.
pub const MAX_SYSTEMS_FILE: u64 = 64 << 20;
/// The largest of all other files, in bytes.
pub const MAX_FILE: u64 = 1 << 20;
/// How many files a site may have.
pub const MAX_FILES: usize = 20_000;
/// How many bytes a site may have.
pub const MAX_TOTAL: u64 = 512 << 20;
/// How deep folders may lie under `profiles/`.
const MAX_DEPTH: usize = 16;
/// How often a file is read again because it changed under our eyes.
const RETRIES: usize = 8;

/// A site's files cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The operating system said no.
    #[error("cannot read `{path}`")]
    Io {
        /// Which file or folder.
        path: PathBuf,
        /// What it said.
        #[source]
        source: io::Error,
    },
    /// The site is not there.
    #[error("there is no folder `{path}`; name the site with `--site DIR`")]
    NoSite {
        /// The folder asked for.
        path: PathBuf,
    },
    /// A file is too large.
    #[error("`{path}` is larger than {limit} bytes; keep large files out of the site")]
    TooLarge {
        /// Which file.
        path: PathBuf,
        /// The limit in bytes.
        limit: u64,
    },
    /// The site as a whole is too large.
    #[error(
        "the site has more than {MAX_FILES} files or {MAX_TOTAL} bytes; move what is not a profile out of `profiles/`"
    )]
    TooMany,
    /// Folders lie too deep.
    #[error("`{path}` lies more than {MAX_DEPTH} folders deep")]
    TooDeep {
        /// Which folder.
        path: PathBuf,
    },
    /// A symbolic link leads out of the site.
    #[error("`{path}` is a link to `{target}`, which is outside the site; copy the file instead")]
    Outside {
        /// The link.
        path: PathBuf,
        /// Where it leads.
        target: PathBuf,
    },
    /// Neither a file nor a folder.
    #[error("`{path}` is neither a file nor a folder")]
    Special {
        /// Which.
        path: PathBuf,
    },
    /// A file name that is not UTF-8.
    #[error("the name of `{path}` is not UTF-8; rename it")]
    Name {
        /// Which.
        path: PathBuf,
    },
    /// The file changes faster than it can be read.
    #[error("`{path}` kept changing while it was read")]
    Unsteady {
        /// Which.
        path: PathBuf,
    },
}

/// Reads every file of the site in `dir` that Farrier uses: `farrier.toml`, `systems.toml`,
/// `systems.d/*.toml`, `boot/*.toml` and all of `profiles/`. What is not there is left out.
///
/// # Errors
/// The first file that cannot be read, is too large, or lies outside the site.
pub fn read(dir: &Path) -> Result<FileSet, ReadError> {
    let root = fs::canonicalize(dir).map_err(|source| match source.kind() {
        io::ErrorKind::NotFound => ReadError::NoSite { path: dir.into() },
        _ => failed(dir, source),
    })?;
    let mut reader = Reader {
        root,
        set: FileSet::default(),
        total: 0,
    };
    reader.file("farrier.toml", MAX_FILE, false)?;
    reader.file("systems.toml", MAX_SYSTEMS_FILE, false)?;
    reader.folder_of_toml("systems.d", MAX_SYSTEMS_FILE)?;
    reader.folder_of_toml("boot", MAX_FILE)?;
    reader.tree("profiles", 0)?;
    Ok(reader.set)
}

struct Reader {
    root: PathBuf,
    set: FileSet,
    total: u64,
}

fn failed(path: &Path, source: io::Error) -> ReadError {
    ReadError::Io {
        path: path.into(),
        source,
    }
}

impl Reader {
    /// What lies at `path`, links followed as long as they stay inside; none if nothing does.
    fn look(&self, path: &Path) -> Result<Option<fs::Metadata>, ReadError> {
        let link = match fs::symlink_metadata(path) {
            Ok(link) => link,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(failed(path, error)),
        };
        if !link.is_symlink() {
            return Ok(Some(link));
        }
        let target = fs::canonicalize(path).map_err(|e| failed(path, e))?;
        if !target.starts_with(&self.root) {
            return Err(ReadError::Outside {
                path: path.into(),
                target,
            });
        }
        fs::metadata(path).map(Some).map_err(|e| failed(path, e))
    }

    fn file(&mut self, name: &str, limit: u64, modes: bool) -> Result<(), ReadError> {
        let path = self.root.join(name);
        let Some(found) = self.look(&path)? else {
            return Ok(());
        };
        if !found.is_file() {
            return Err(ReadError::Special { path });
        }
        let (bytes, executable) = steady(&path, limit)?;
        self.total += bytes.len() as u64;
        if self.set.files.len() >= MAX_FILES || self.total > MAX_TOTAL {
            return Err(ReadError::TooMany);
        }
        let file = SourceFile::new(bytes, modes && executable);
        self.set.files.insert(name.to_string(), file);
        Ok(())
    }

    /// The entries of a folder in order; none if there is no folder.
    fn names(&self, folder: &str) -> Result<Vec<String>, ReadError> {
        let path = self.root.join(folder);
        match self.look(&path)? {
            None => return Ok(Vec::new()),
            Some(found) if !found.is_dir() => return Err(ReadError::Special { path }),
            Some(_) => {}
        }
        let mut names = Vec::new();
        for entry in fs::read_dir(&path).map_err(|e| failed(&path, e))? {
            let entry = entry.map_err(|e| failed(&path, e))?;
            match entry.file_name().into_string() {
                Ok(name) if is_leftover(&name) => {}
                Ok(name) => names.push(name),
                Err(_) => return Err(ReadError::Name { path: entry.path() }),
            }
            if names.len() > MAX_FILES {
                return Err(ReadError::TooMany);
            }
        }
        names.sort();
        Ok(names)
    }

    fn folder_of_toml(&mut self, folder: &str, limit: u64) -> Result<(), ReadError> {
        for name in self.names(folder)? {
            if name.ends_with(".toml") && !name.starts_with('.') {
                self.file(&format!("{folder}/{name}"), limit, false)?;
            }
        }
        Ok(())
    }

    fn tree(&mut self, folder: &str, depth: usize) -> Result<(), ReadError> {
        if depth > MAX_DEPTH {
            return Err(ReadError::TooDeep {
                path: self.root.join(folder),
            });
        }
        for name in self.names(folder)? {
            let inner = format!("{folder}/{name}");
            let path = self.root.join(&inner);
            match self.look(&path)? {
                Some(found) if found.is_dir() => self.tree(&inner, depth + 1)?,
                _ => self.file(&inner, MAX_FILE, true)?,
            }
        }
        Ok(())
    }
}

/// What editors and version control leave behind: no part of a site.
fn is_leftover(name: &str) -> bool {
    name.ends_with('~')
        || name.starts_with(".#")
        || (name.starts_with('#') && name.ends_with('#'))
        || (name.starts_with('.') && (name.ends_with(".swp") || name.ends_with(".swx")))
        || [".git", ".gitkeep", ".DS_Store", "4913"].contains(&name)
}

/// Reads a file whole, and again if it changed meanwhile: half of a list of systems is a list of
/// systems too.
fn steady(path: &Path, limit: u64) -> Result<(Vec<u8>, bool), ReadError> {
    for _ in 0..RETRIES {
        let file = fs::File::open(path).map_err(|e| failed(path, e))?;
        let before = file.metadata().map_err(|e| failed(path, e))?;
        if before.len() > limit {
            return Err(ReadError::TooLarge {
                path: path.into(),
                limit,
            });
        }
        let mut bytes = Vec::with_capacity(before.len() as usize + 1);
        let taken = (&file).take(limit + 1).read_to_end(&mut bytes);
        taken.map_err(|e| failed(path, e))?;
        let after = file.metadata().map_err(|e| failed(path, e))?;
        let stamp = |m: &fs::Metadata| (m.len(), m.mtime(), m.mtime_nsec(), m.ino());
        if stamp(&before) == stamp(&after) && bytes.len() as u64 == after.len() {
            return Ok((bytes, after.mode() & 0o111 != 0));
        }
    }
    Err(ReadError::Unsteady { path: path.into() })
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    fn site() -> tempfile::TempDir {
        let dir = tempfile::tempdir().expect("a folder");
        let put = |path: &str, text: &str| {
            let path = dir.path().join(path);
            fs::create_dir_all(path.parent().expect("a parent")).expect("folders");
            fs::write(path, text).expect("a file");
        };
        put("systems.toml", "");
        put("systems.d/rack1.toml", "");
        put("systems.d/rack1.toml~", "");
        put("systems.d/notes.txt", "");
        put("boot/debian-12.toml", "");
        put("profiles/base/profile.toml", "");
        put("profiles/base/steps/10-a", "#!/bin/sh");
        put("profiles/base/.a.swp", "");
        put("profiles/base/files/.bashrc", "");
        put("secret/outside.txt", "");
        dir
    }

    #[test]
    fn only_the_sites_files_are_read() {
        let dir = site();
        let step = dir.path().join("profiles/base/steps/10-a");
        fs::set_permissions(&step, fs::Permissions::from_mode(0o755)).expect("a mode");
        let set = read(dir.path()).expect("readable");
        let paths: Vec<&str> = set.files.keys().map(String::as_str).collect();
        assert_eq!(
            paths,
            [
                "boot/debian-12.toml",
                "profiles/base/files/.bashrc",
                "profiles/base/profile.toml",
                "profiles/base/steps/10-a",
                "systems.d/rack1.toml",
                "systems.toml"
            ]
        );
        let executable = |p: &str| set.files.get(p).is_some_and(|f| f.executable);
        assert!(executable("profiles/base/steps/10-a"));
        assert!(!executable("profiles/base/profile.toml"));
    }

    #[test]
    fn what_leaves_the_site_or_is_too_large_is_refused() {
        let dir = site();
        let link = dir.path().join("profiles/base/link");
        symlink("../../boot/debian-12.toml", &link).expect("a link");
        assert!(read(dir.path()).is_ok());
        fs::remove_file(&link).expect("removed");
        symlink("/etc/passwd", &link).expect("a link");
        assert!(matches!(read(dir.path()), Err(ReadError::Outside { .. })));
        fs::remove_file(&link).expect("removed");
        symlink(".", dir.path().join("profiles/loop")).expect("a link");
        assert!(matches!(read(dir.path()), Err(ReadError::TooDeep { .. })));
        fs::remove_file(dir.path().join("profiles/loop")).expect("removed");
        let big = fs::File::create(&link).expect("a file");
        big.set_len(MAX_FILE + 1).expect("a length");
        assert!(matches!(
            read(dir.path()),
            Err(ReadError::TooLarge {
                limit: MAX_FILE,
                ..
            })
        ));
        assert!(matches!(
            read(Path::new("/nonexistent/site")),
            Err(ReadError::NoSite { .. })
        ));
    }
}
