//! What can go wrong between a declared artefact and a file on the shelf.

use std::io;
use std::path::{Path, PathBuf};

/// Why an artefact is not on the shelf.
#[derive(Debug, thiserror::Error)]
pub enum ArtefactError {
    /// A file or directory of ours.
    #[error("cannot {action} `{}`: {source}", path.display())]
    File {
        /// What was tried: `read`, `write`, `create`...
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A record on the shelf that is not ours, or of another version.
    #[error("`{}` is not a record of artefacts: {reason}; move it away and fetch the distro again", path.display())]
    Record {
        /// The record.
        path: PathBuf,
        /// What the reader said.
        reason: String,
    },
    /// A name that no URL can carry.
    #[error(
        "`{0}` is no name for an artefact; use letters, digits and `-_.:+~`, not beginning with a dot"
    )]
    Name(String),
    /// Not the name of a Debian package.
    #[error(
        "`{0}` is no name of a Debian package; write `name`, `name=version`, `name:arch` or `name/suite`"
    )]
    PackageName(String),
    /// apt does not know the package.
    #[error(
        "apt knows no package `{package}`; run `apt-get update`, or enable the component or release that has it in `/etc/apt/sources.list.d`"
    )]
    UnknownPackage {
        /// The package.
        package: String,
    },
    /// This host has no apt.
    #[error(
        "this host has no `apt-get`; declare the artefact by `url` or `file` instead of `package`"
    )]
    NoApt,
    /// apt failed in another way.
    #[error(
        "apt could not download package `{package}`: {said}; if its lists are old, `apt-get update` helps"
    )]
    Apt {
        /// The package.
        package: String,
        /// apt's own words.
        said: String,
    },
    /// A package that could not be unpacked.
    #[error("cannot unpack `{}`: {reason}", path.display())]
    Unpack {
        /// The package file.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// The package has no such file.
    #[error("package `{package}` holds no file `{path}`{hint}")]
    NotInPackage {
        /// The package.
        package: String,
        /// The path looked for.
        path: String,
        /// `; it has ...`, or nothing.
        hint: String,
    },
    /// A URL that Farrier does not fetch.
    #[error("cannot fetch `{url}`: {reason}")]
    Url {
        /// The URL as declared.
        url: String,
        /// Why.
        reason: String,
    },
    /// Bytes other than those declared.
    #[error(
        "`{name}` from `{origin}` has SHA-256 {found}, but {expected} is declared; the file was not taken. If the file is the right one, declare `sha256 = \"{found}\"`"
    )]
    Digest {
        /// The artefact.
        name: String,
        /// Where it came from.
        origin: String,
        /// As declared.
        expected: String,
        /// As measured.
        found: String,
    },
    /// An unpinned URL whose bytes changed since the first fetch.
    #[error(
        "`{name}` from `{origin}` changed since it was first fetched (SHA-256 then {before}, now {found}); if that is right, declare `sha256 = \"{found}\"`"
    )]
    Changed {
        /// The artefact.
        name: String,
        /// Where it came from.
        origin: String,
        /// First seen.
        before: String,
        /// Seen now.
        found: String,
    },
    /// The shipped declaration was never filled in.
    #[error(
        "the distro `{distro}` is not filled in: boot/{distro}.toml names {examples}, where nothing is; \
         its comments say which files of which medium they are"
    )]
    Placeholder {
        /// Which distro.
        distro: String,
        /// What it names.
        examples: String,
    },
    /// The disk is full.
    #[error(
        "`{path}` needs {} more, and {} are free there; make room, or keep the state elsewhere with \
         `--state`",
        mebibytes(*wanted), mebibytes(*free)
    )]
    NoRoom {
        /// Where it was to go.
        path: PathBuf,
        /// Bytes.
        wanted: u64,
        /// Bytes.
        free: u64,
    },
    /// An installation medium cannot be used.
    #[error("the medium `{name}`: {reason}")]
    Medium {
        /// The artefact.
        name: String,
        /// Why.
        reason: String,
    },
    /// No builder has this name.
    #[error("there is no builder `{builder}`; Farrier builds {known}")]
    UnknownBuilder {
        /// The name asked for.
        builder: String,
        /// The names there are.
        known: String,
    },
    /// A builder failed.
    #[error("builder `{builder}` failed: {reason}")]
    Builder {
        /// Which.
        builder: String,
        /// Why.
        reason: String,
    },
}

fn mebibytes(bytes: u64) -> String {
    format!("{} MiB", bytes.div_ceil(1024 * 1024))
}

impl ArtefactError {
    /// For `map_err` on file operations.
    pub(super) fn file(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        move |source| ArtefactError::File {
            action,
            path: path.to_path_buf(),
            source,
        }
    }
}
