//! Whether what a build needs is here, and runs on this machine: asked before the machine is told to
//! boot it, so that it boots its own disk with the reason instead of ending at a loader's prompt.

use super::paths;
use crate::model::artefact::LOADERS as ON_SERVER;
use crate::model::{
    Arch, ArtefactIndex, ArtefactRef, ClientStage, Door, Facts, Firmware, LoaderKind, Pair, Pinned,
    PlannedFile, Why,
};

/// What there is to load, by chain and architecture: the first is what firmware is told of, and
/// loads the next. Other firmware has none.
const CHAINS: [(LoaderKind, Arch, &[&str]); 4] = [
    (LoaderKind::Ipxe, Arch::X86Bios, &[paths::IPXE_BIOS]),
    (LoaderKind::Ipxe, Arch::X64Uefi, &[paths::IPXE_UEFI]),
    (LoaderKind::Ipxe, Arch::Arm64Uefi, &[paths::IPXE_ARM64]),
    (LoaderKind::Grub, Arch::X64Uefi, &[paths::SHIM, paths::GRUB]),
];

/// The loader that this firmware is told of, if there is one for it.
pub fn loader(kind: LoaderKind, arch: Arch) -> Option<&'static str> {
    chain(kind, arch)?.first().copied()
}

fn chain(kind: LoaderKind, arch: Arch) -> Option<&'static [&'static str]> {
    CHAINS
        .iter()
        .find(|(k, a, _)| (*k, *a) == (kind, arch))
        .map(|(_, _, names)| *names)
}

/// Why this machine cannot boot what its build pinned, if it cannot.
pub(super) fn obstacle(
    facts: &Facts,
    loader: LoaderKind,
    kernel: &PlannedFile,
    pinned: &Pinned,
    here: &ArtefactIndex,
) -> Option<Why> {
    let own = own_pair(loader, facts.firmware, pinned);
    let files = std::iter::once(kernel)
        .chain(&pinned.initrds)
        .chain(pinned.way.files())
        .chain(own.into_iter().flat_map(|pair| [&pair.shim, &pair.grub]));
    for file in files {
        let id = &file.id;
        let found = here.exact(&id.distro, &id.name, &file.digest.short());
        if found.is_none() {
            return Some(Why::MissingArtefact {
                name: id.name.clone(),
                distro: id.distro.clone(),
            });
        }
    }
    let firmware = match facts.firmware {
        Some(firmware) => firmware,
        // DHCP takes what does not say for a BIOS PC.
        None if matches!(facts.door, Door::Dhcp | Door::Proxy) => Firmware::BIOS,
        None => return None,
    };
    let runs = firmware.arch.processor();
    let id = &kernel.id;
    let made_for = here
        .exact(&id.distro, &id.name, &kernel.digest.short())
        .and_then(|a| a.nature.processor);
    if let (Some(runs), Some(made_for)) = (runs, made_for)
        && runs != made_for
    {
        return Some(unsupported(
            firmware,
            format!(
                "`{}` of distro `{}` is for {}",
                id.name,
                id.distro,
                made_for.word()
            ),
        ));
    }
    match facts.stage {
        ClientStage::Rom => match own {
            Some(pair) => no_http(firmware, &pair.grub, here),
            None => no_loader(firmware, loader, here),
        },
        // What asks is the loader.
        ClientStage::Ipxe
        | ClientStage::Grub
        | ClientStage::Pxelinux
        | ClientStage::Own
        | ClientStage::Os => None,
    }
}

/// The distro's own shim and GRUB, if that is what this firmware is given.
fn own_pair(kind: LoaderKind, firmware: Option<Firmware>, pinned: &Pinned) -> Option<&Pair> {
    let signed = kind == LoaderKind::Grub;
    firmware
        .filter(|_| signed)
        .and_then(|f| pinned.way.pair(f.arch))
}

/// Why firmware that boots by HTTP cannot be given this GRUB, if it cannot: shim hands its own way on,
/// and a GRUB that came by HTTP takes everything else by HTTP too.
fn no_http(firmware: Firmware, grub: &PlannedFile, here: &ArtefactIndex) -> Option<Why> {
    let ArtefactRef { distro, name } = &grub.id;
    let found = here.exact(distro, name, &grub.digest.short());
    let can = found.is_some_and(|grub| grub.nature.http);
    (firmware.http && !can).then(|| {
        let lack = format!(
            "the signed `{name}` of distro `{distro}` has no HTTP, so it is left to boot by PXE"
        );
        unsupported(firmware, lack)
    })
}

/// Why firmware cannot be given a loader of this server's, if it cannot.
fn no_loader(firmware: Firmware, kind: LoaderKind, here: &ArtefactIndex) -> Option<Why> {
    // Its boot ROM has names of its own for what it loads. A boot program of the distro's own was
    // looked up with the kernel.
    if firmware.arch == Arch::RaspberryPi || kind == LoaderKind::Own {
        return None;
    }
    let Some(names) = chain(kind, firmware.arch) else {
        let chain = match kind {
            LoaderKind::Ipxe => "there is no network boot loader for it",
            LoaderKind::Own => "there is no boot program for it",
            LoaderKind::Grub => "there is no signed network boot loader for it",
        };
        return Some(unsupported(firmware, chain.to_string()));
    };
    if let Some(missing) = names.iter().find(|name| here.loader(name).is_none()) {
        return Some(Why::MissingArtefact {
            name: (*missing).to_string(),
            distro: ON_SERVER.to_string(),
        });
    }
    // shim hands its own way on: a GRUB that came by HTTP takes everything else by HTTP too.
    let grub_by_http = || here.loader(paths::GRUB).is_some_and(|g| g.nature.http);
    if firmware.http && kind == LoaderKind::Grub && !grub_by_http() {
        return Some(unsupported(
            firmware,
            format!(
                "the signed `{}` on this server has no HTTP, so it is left to boot by PXE",
                paths::GRUB
            ),
        ));
    }
    None
}

/// The refusal of what a machine's firmware cannot start.
pub fn unsupported(firmware: Firmware, lack: String) -> Why {
    let word = match firmware.arch {
        Arch::Other(code) => format!("type {code:#04x}"),
        _ => firmware.word().to_string(),
    };
    let http = if firmware.http { ", by HTTP boot" } else { "" };
    Why::UnsupportedFirmware {
        firmware: format!("{word}{http}"),
        lack,
    }
}
