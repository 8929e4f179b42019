//! The names of Secure Boot's chain: a distro's own shim and GRUB, and where GRUBs look for their
//! configuration.

use super::{GRUB, GRUB_ARM64, SHIM, SHIM_ARM64};
use crate::model::{Arch, ArtefactRef, MacAddr, Pair};

/// Where GRUBs for networks look for their configuration; `*` is any one name. Whichever it is, it is
/// the same one.
///
/// | where | who |
/// |---|---|
/// | nowhere, `grub` | Debian's and Ubuntu's signed GRUB: the prefix `/grub` is built in |
/// | `EFI/*`, `boot/*` | the prefix built into Red Hat's, as `/EFI/redhat`, `/EFI/BOOT`; asked after the directory that it was loaded from (rhboot/grub2, normal/main.c: `fw_path`, then `prefix`) |
/// | `pair/*/*/*` | Red Hat's, and SUSE's, whose prefix is empty (grub2.spec): where shim was loaded from |
/// | `loader` | the same of the server's own pair, by HTTP |
/// | `debian-installer/*/grub` | the GRUB of Debian's `netboot.tar.gz` |
const GRUB_DIRS: [&[&str]; 7] = [
    &[],
    &["grub"],
    &["boot", "*"],
    &["EFI", "*"],
    &["loader"],
    &["debian-installer", "*", "grub"],
    &["pair", "*", "*", "*"],
];

/// `pair/x64/DIGEST-DIGEST/DISTRO/shimx64.efi`: the path of a distro's own shim on HTTP (after a slash)
/// and on TFTP. shim looks for its GRUB in the same directory, so that there is one directory for each
/// pair, and whoever was told of one gets that one.
pub fn pair_path(pair: &Pair) -> String {
    let Pair { arch, shim, grub } = pair;
    let arch = match arch {
        Arch::Arm64Uefi => "aa64",
        _ => "x64",
    };
    let (distro, name) = (&shim.id.distro, &shim.id.name);
    let (shim, grub) = (shim.digest.short(), grub.digest.short());
    format!("pair/{arch}/{shim}-{grub}/{distro}/{name}")
}

/// Which artefact a name in a pair's directory means. SUSE's shim asks for `grub.efi`
/// (`DEFAULT_LOADER` in openSUSE's shim.spec).
pub(super) fn in_pair(
    arch: &str,
    digests: &str,
    distro: &str,
    file: &str,
) -> Option<(ArtefactRef, String)> {
    let (shim, grub) = digests.split_once('-')?;
    let (digest, name) = match (arch, file) {
        ("x64", SHIM) => (shim, SHIM),
        ("x64", GRUB | "grub.efi") => (grub, GRUB),
        ("aa64", SHIM_ARM64) => (shim, SHIM_ARM64),
        ("aa64", GRUB_ARM64 | "grub.efi") => (grub, GRUB_ARM64),
        _ => return None,
    };
    let id = ArtefactRef {
        distro: distro.into(),
        name: name.into(),
    };
    Some((id, digest.into()))
}

/// A configuration of GRUB.
pub(super) enum GrubFile {
    /// That of whoever asks.
    Generic,
    /// That of the machine with this interface.
    Of(MacAddr),
}

/// Which configuration of GRUB a path means, if one.
pub(super) fn grub_file(parts: &[&str]) -> Option<GrubFile> {
    let (name, dir) = parts.split_last()?;
    let same = |(pattern, part): (&&str, &&str)| *pattern == "*" || pattern == part;
    let is = |known: &&[&str]| known.len() == dir.len() && known.iter().zip(dir).all(same);
    let suffix = name.strip_prefix("grub.cfg")?;
    if !GRUB_DIRS.iter().any(is) {
        return None;
    }
    if suffix.is_empty() {
        return Some(GrubFile::Generic);
    }
    let suffix = suffix.strip_prefix('-')?;
    // By the address in hexadecimal, as PXELINUX does: only its holder asks so.
    let upper = |b: u8| matches!(b, b'0'..=b'9' | b'A'..=b'F');
    if suffix.len() == 8 && suffix.bytes().all(upper) {
        return Some(GrubFile::Generic);
    }
    let mac = suffix.strip_prefix("01-").unwrap_or(suffix);
    mac.parse().ok().map(GrubFile::Of)
}
