//! A distro's own shim and GRUB, for Secure Boot.
//!
//! GRUB has shim verify the kernel, and shim believes its maker's certificate: so a kernel is started
//! by its own distribution's pair, and Debian's kernels alone by the pair of a Debian server.

use super::paths;
use crate::model::{
    Arch, Artefact, ArtefactIndex, ArtefactRef, Diagnostic, Distro, Pair, PlannedFile, Processor,
    Start,
};

/// What a distro's artefacts must be called to be its pair, by firmware: as on the media of RHEL's
/// family, Debian and Ubuntu, where they are `BOOTX64.EFI` and `grubx64.efi`.
pub const NAMES: [(Arch, &str, &str); 2] = [
    (Arch::X64Uefi, paths::SHIM, paths::GRUB),
    (Arch::Arm64Uefi, paths::SHIM_ARM64, paths::GRUB_ARM64),
];

/// The longest name in the file field of a DHCP message (RFC 2131), which is where shim looks for
/// what it was loaded as (rhboot/shim, netboot.c, `parseDhcp4`).
const LONGEST: usize = 127;

/// The pair of a distro as it is here: both files, and a GRUB that has a network. Its GRUB on the
/// media of Debian and Ubuntu has none: it would look for its configuration on a disk.
pub fn of(distro: &Distro, here: &ArtefactIndex) -> Option<Pair> {
    let planned = |artefact: &Artefact| PlannedFile {
        id: ArtefactRef {
            distro: distro.name.to_string(),
            name: artefact.id.name.clone(),
        },
        digest: artefact.digest,
        size: artefact.size,
    };
    NAMES.into_iter().find_map(|(arch, shim, grub)| {
        let (shim, grub) = declared(distro, here, shim, grub)?;
        let pair = Pair {
            arch,
            shim: planned(shim),
            grub: planned(grub),
        };
        let fits = distro.way.start == Start::Linux && paths::pair_path(&pair).len() <= LONGEST;
        (fits && grub.nature.tftp).then_some(pair)
    })
}

fn declared<'a>(
    distro: &Distro,
    here: &'a ArtefactIndex,
    shim: &str,
    grub: &str,
) -> Option<(&'a Artefact, &'a Artefact)> {
    let one = |name: &str| {
        let named = distro.artefacts.contains_key(name);
        here.get(&distro.name, name).filter(|_| named)
    };
    Some((one(shim)?, one(grub)?))
}

/// What is wrong with booting this distro with Secure Boot, as far as its kernel says who signed it:
/// this server's own shim would not let it start. A warning, for the machine may hold keys that
/// nobody here knows of.
pub fn doubt(distro: &Distro, here: &ArtefactIndex) -> Option<Diagnostic> {
    if distro.way.start != Start::Linux || of(distro, here).is_some() {
        return None;
    }
    let name = distro.kernel_uefi.as_deref().unwrap_or(&distro.kernel);
    let nature = &here.get(&distro.name, name)?.nature;
    let other = |p: Processor| p != Processor::X86;
    if nature.processor.is_some_and(other) {
        return None;
    }
    let signers = nature.signers.as_ref()?;
    let shim = here.loader(paths::SHIM)?.bytes.as_ref()?;
    let holds = |der: &[u8]| memchr::memmem::find(shim, der).is_some();
    if signers.iter().any(|s| holds(&s.der)) {
        return None;
    }
    let names: Vec<String> = signers.iter().map(|s| format!("`{}`", s.name)).collect();
    let because = match names.as_slice() {
        [] => "it is not signed".to_string(),
        names => format!(
            "it is signed by {}, which that shim does not know",
            names.join(", ")
        ),
    };
    let text = format!(
        "with Secure Boot, this server's own shim and GRUB will not start `{name}` of distro `{}`: {because}",
        distro.name
    );
    Some(Diagnostic::warning(text).help(way_out(distro, here)))
}

/// What brings the distro a pair of its own.
fn way_out(distro: &Distro, here: &ArtefactIndex) -> String {
    let (_, shim, grub) = NAMES[0];
    let name = &distro.name;
    if declared(distro, here, shim, grub).is_none() {
        return format!(
            "`farrier distro import` takes the distribution's own shim and GRUB off its medium, or name \
             them in boot/{name}.toml as the artefacts `{shim}` and `{grub}`"
        );
    }
    if here.get(name, grub).is_some_and(|g| g.nature.tftp) {
        return "give the distro a shorter name: shim finds no GRUB below this one".to_string();
    }
    format!(
        "its own `{grub}` cannot boot from a network: name the distribution's GRUB for networks so in \
         boot/{name}.toml (Debian's and Ubuntu's package grub-efi-amd64-signed has it as \
         grubnetx64.efi.signed)"
    )
}

#[cfg(test)]
#[path = "pair_tests.rs"]
mod tests;
