//! Which installer a medium is of, and what of it boots.
//!
//! | file | media |
//! |---|---|
//! | `treeinfo` | RHEL and its family, Fedora, SUSE with a `.treeinfo` |
//! | `linux` | Ubuntu, Debian, SUSE, Fedora CoreOS, Proxmox, Alpine |
//! | `other` | ESXi, Windows, SmartOS, FreeBSD, OpenBSD |

mod linux;
mod other;
mod treeinfo;

use std::collections::BTreeMap;

use super::{Disc, DiscError, EFI_IMAGE, Tree};
use crate::model::event::printable;
use crate::model::{DistroWay, Module};

/// What is looked for, in the order it is looked for.
pub const LOOKED_FOR: [(&str, &str); 13] = [
    (
        "Fedora CoreOS",
        "coreos/igninfo.json, images/pxeboot/rootfs.img",
    ),
    (
        "RHEL and its family, Fedora",
        ".treeinfo, images/pxeboot/vmlinuz",
    ),
    ("Ubuntu Server", ".disk/info, casper/vmlinuz"),
    ("Debian", ".disk/info, dists, install.amd/vmlinuz"),
    (
        "SUSE (Agama)",
        "boot/x86_64/loader/linux, LiveOS/squashfs.img",
    ),
    ("SUSE", "boot/x86_64/loader/linux"),
    ("Proxmox", ".cd-info, boot/linux26"),
    ("Alpine", ".alpine-release, boot/vmlinuz-lts"),
    ("VMware ESXi", "BOOT.CFG, EFI/BOOT/BOOTX64.EFI"),
    ("Windows", "bootmgr, sources/boot.wim"),
    (
        "SmartOS",
        "platform/i86pc/kernel/amd64/unix, boot/loader.conf that names it",
    ),
    ("FreeBSD", "boot/kernel/kernel, usr/freebsd-dist"),
    ("OpenBSD", "VERSION/ARCH/bsd.rd"),
];

/// A file of a medium, and the name it is served under.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    /// The artefact's name.
    pub name: String,
    /// Its path on the medium.
    pub path: String,
}

/// A var that a medium brings along.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Var {
    /// A text.
    Text(String),
    /// A list of texts.
    List(Vec<String>),
}

/// What starts an installer over the network where nothing on its medium does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Starter {
    /// The kernel's name.
    pub kernel: String,
    /// The Debian package that has it.
    pub package: String,
    /// Its path in the package.
    pub path: String,
    /// Its initial RAM disk, which must be given.
    pub initrd: String,
}

/// A medium that was recognised.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Medium {
    /// What it is, in its own words: `Rocky Linux 9.4, x86_64`.
    pub title: String,
    /// What its distro may be called: `rocky-9.4`.
    pub name: String,
    /// What boots it.
    pub kernel: Option<Part>,
    /// What boots it by UEFI, if that is another file.
    pub kernel_uefi: Option<Part>,
    /// Initial RAM disks, in order.
    pub initrds: Vec<Part>,
    /// The name of one more initial RAM disk that holds the whole medium, as a file of that name.
    pub whole: Option<String>,
    /// What starts it, if that is neither on the medium nor given as its kernel.
    pub starter: Option<Starter>,
    /// What else its installer is made of.
    pub more: Vec<Part>,
    /// How it is started, where that is not Linux's usual way. What is named is the name of a part, or of
    /// a file that the medium has not and that must be given.
    pub way: DistroWay,
    /// What profiles have to know of it, by the name of the var.
    pub vars: BTreeMap<String, Var>,
    /// Sentences about using it.
    pub notes: Vec<String>,
}

impl Medium {
    fn new(title: String, name: &str) -> Self {
        Medium {
            title,
            name: slug(name),
            ..Medium::default()
        }
    }

    fn kernel(mut self, tree: &Tree, path: &str) -> Self {
        self.kernel = part(tree, path);
        self
    }

    fn initrd(mut self, tree: &Tree, path: &str) -> Self {
        self.initrds.extend(part(tree, path));
        self
    }

    fn also(mut self, tree: &Tree, path: &str) -> Self {
        self.more.extend(part(tree, path));
        self
    }

    fn module(mut self, artefact: &str) -> Self {
        self.way.modules.push(Module {
            content: artefact.to_string(),
            name: artefact.to_string(),
            arguments: String::new(),
            path: None,
        });
        self
    }

    fn note(mut self, sentence: &str) -> Self {
        self.notes.push(sentence.to_string());
        self
    }

    /// Everything that becomes an artefact.
    pub fn parts(&self) -> Vec<&Part> {
        let kernels = [&self.kernel, &self.kernel_uefi].into_iter().flatten();
        kernels.chain(&self.initrds).chain(&self.more).collect()
    }
}

/// Says what a medium is; none if nobody knows.
///
/// # Errors
/// If a file that tells cannot be read.
pub fn recognise(disc: &Disc<'_>, tree: &Tree) -> Result<Option<Medium>, DiscError> {
    let tries = [
        linux::coreos,
        treeinfo::treeinfo,
        linux::ubuntu,
        linux::debian,
        linux::suse,
        linux::proxmox,
        linux::alpine,
        other::esxi,
        other::windows,
        other::smartos,
        other::freebsd,
        other::openbsd,
    ];
    for attempt in tries {
        if let Some(mut medium) = attempt(disc, tree)? {
            medium.more.extend(signed_pair(tree));
            medium.title = printable(&medium.title, 120);
            return Ok(Some(medium));
        }
    }
    Ok(None)
}

/// shim and the GRUB that it starts: beside each other, or in the EFI boot image. SUSE calls its GRUB
/// `grub.efi` for every processor.
fn signed_pair(tree: &Tree) -> Vec<Part> {
    let at = |dir: &str, name: &str| tree.any_case(&format!("{dir}/{name}"));
    let dirs = ["EFI/BOOT".to_string(), format!("{EFI_IMAGE}/EFI/BOOT")];
    for (shim, names) in [
        ("BOOTX64.EFI", ["shimx64.efi", "grubx64.efi"]),
        ("BOOTAA64.EFI", ["shimaa64.efi", "grubaa64.efi"]),
    ] {
        for dir in &dirs {
            let grub = at(dir, names[1]).or_else(|| at(dir, "grub.efi"));
            if let (Some(shim), Some(grub)) = (at(dir, shim), grub) {
                return names
                    .into_iter()
                    .zip([shim, grub])
                    .map(|(name, path)| Part {
                        name: name.to_string(),
                        path: path.to_string(),
                    })
                    .collect();
            }
        }
    }
    Vec::new()
}

/// A file by the last part of its path, if the medium has it and its name can be served.
fn part(tree: &Tree, path: &str) -> Option<Part> {
    let real = tree.real(path)?;
    let name: String = path.rsplit('/').next()?.to_lowercase();
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"-_.:+~".contains(&b);
    (!name.starts_with('.') && name.bytes().all(plain)).then(|| Part {
        name,
        path: real.to_string(),
    })
}

/// The beginning of a small text file.
fn text(disc: &Disc<'_>, tree: &Tree, path: &str) -> Result<Option<String>, DiscError> {
    const MOST: usize = 64 * 1024;
    let Some(extents) = tree.file(path) else {
        return Ok(None);
    };
    let bytes = disc.head(extents, MOST)?;
    Ok(Some(String::from_utf8_lossy(&bytes).into_owned()))
}

/// A name as distros have it: lower case, digits, dots and hyphens.
fn slug(text: &str) -> String {
    let mut out = String::new();
    for c in text.to_lowercase().chars() {
        match c {
            'a'..='z' | '0'..='9' => out.push(c),
            '.' if out.ends_with(|c: char| c.is_ascii_alphanumeric()) => out.push('.'),
            _ if out.ends_with(|c: char| c.is_ascii_alphanumeric()) => out.push('-'),
            _ => {}
        }
    }
    out.truncate(60);
    out.trim_matches(['-', '.']).to_string()
}
