//! A distro: a pinned set of boot artefacts.

use std::collections::BTreeMap;

use super::{DistroWay, Name};

/// One file of `boot/`: where kernel, initrds and loaders come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Distro {
    /// Its name: the file's stem.
    pub name: Name,
    /// Where each artefact comes from, by the name it is served under.
    pub artefacts: BTreeMap<String, ArtefactSource>,
    /// Which artefact is the kernel on BIOS (and by default on UEFI).
    pub kernel: String,
    /// Which artefact is the kernel on UEFI, if another one (memtest86+).
    pub kernel_uefi: Option<String>,
    /// Which artefacts are initial RAM disks, in order.
    pub initrds: Vec<String>,
    /// The mirror an installer of this distro uses.
    pub mirror: Option<String>,
    /// How it is started, where that is not Linux's usual way.
    pub way: DistroWay,
}

/// Where an artefact is obtained.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ArtefactSource {
    /// A file inside a Debian package, downloaded through this host's apt and unpacked, not installed.
    Deb {
        /// Package name.
        package: String,
        /// Path inside the package, without the leading slash.
        path: String,
    },
    /// A file on an installation medium that is an artefact of the same distro.
    Iso {
        /// The artefact that is the medium.
        iso: String,
        /// Path on it, without the leading slash.
        path: String,
    },
    /// A URL.
    Url {
        /// Where.
        url: String,
        /// Expected SHA-256 in hexadecimal.
        sha256: Option<String>,
    },
    /// A file on this host.
    File {
        /// Absolute, or relative to the site.
        path: String,
        /// Expected SHA-256 in hexadecimal.
        sha256: Option<String>,
    },
    /// Made by a builder of Farrier's (`fai`), all its artefacts at once.
    Built {
        /// Which builder.
        builder: String,
    },
}

/// Whether a URL's host can never exist (RFC 2606: `.example`): declarations ship with such, because
/// nobody may hand the files out but their makers.
pub fn is_placeholder(url: &str) -> bool {
    let host = url.split_once("://").map_or(url, |(_, rest)| rest);
    let host = host.split(['/', ':', '?', '#']).next().unwrap_or("");
    host == "example" || host.ends_with(".example")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_hosts_that_cannot_exist() {
        for (url, want) in [
            ("http://mirror.example/esxi/b.b00", true),
            ("https://files.mirror.example:8443/x", true),
            ("http://mirror.example", true),
            ("http://mirror.example.org/x", false),
            ("http://10.77.0.2/mirror.example/x", false),
        ] {
            assert_eq!(is_placeholder(url), want, "{url}");
        }
    }
}
