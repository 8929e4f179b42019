//! What each boot loader would be sent: the scripts that `farrier render` prints.

use super::way::way;
use crate::boot::fit;
use crate::boot::paths::Urls;
use crate::loader::grub::Via;
use crate::loader::{Script, grub, ipxe, pxelinux};
use crate::model::command::DocumentView;
use crate::model::{
    Action, ArtefactIndex, ArtefactRef, BootPlan, Build, BuildKey, Decision, Distro, Firmware,
    LoaderKind, MacAddr, Name, Pinned, PlannedFile, Profile, ProfileKind, Way, Why,
};

/// Everything a boot script says.
#[derive(Debug, Clone)]
pub struct Bootable {
    /// Whose build.
    pub build: BuildKey,
    /// Its profile.
    pub profile: Name,
    /// The kernel.
    pub kernel: PlannedFile,
    /// The kernel for UEFI, if that needs another.
    pub kernel_uefi: Option<PlannedFile>,
    /// Initial RAM disks, in order.
    pub initrds: Vec<PlannedFile>,
    /// The kernel command line.
    pub cmdline: String,
    /// The firmware checks signatures.
    pub secure_boot: bool,
    /// Boots that are allowed.
    pub allowed: u32,
    /// What kind of installer it is.
    pub kind: ProfileKind,
    /// How it is started.
    pub way: Way,
}

impl Bootable {
    /// As a build pinned it.
    pub fn pinned(build: &Build, pinned: &Pinned) -> Bootable {
        Bootable {
            build: build.key.clone(),
            profile: build.profile.clone(),
            kernel: pinned.kernel.clone(),
            kernel_uefi: pinned.kernel_uefi.clone(),
            initrds: pinned.initrds.clone(),
            cmdline: pinned.cmdline.clone(),
            secure_boot: pinned.secure_boot,
            allowed: build.attempts_allowed,
            kind: pinned.kind,
            way: pinned.way.clone(),
        }
    }

    /// As the next build would pin it. None if a kernel or initrd is not on this server: a script
    /// names each by its digest.
    pub fn of_distro(index: &ArtefactIndex, distro: &Distro, next: Next<'_>) -> Option<Bootable> {
        let planned = |name: &str| {
            let here = index.get(&distro.name, name)?;
            Some(PlannedFile {
                id: ArtefactRef {
                    distro: distro.name.to_string(),
                    name: name.to_string(),
                },
                digest: here.digest,
                size: here.size,
            })
        };
        Some(Bootable {
            build: next.build,
            profile: next.profile.name.clone(),
            kernel: planned(&distro.kernel)?,
            kernel_uefi: match &distro.kernel_uefi {
                Some(name) => Some(planned(name)?),
                None => None,
            },
            initrds: distro
                .initrds
                .iter()
                .map(|name| planned(name))
                .collect::<Option<_>>()?,
            cmdline: next.cmdline.to_string(),
            secure_boot: next.secure_boot,
            allowed: next.profile.attempts,
            kind: next.profile.kind,
            way: way(distro, next.profile, index, |name| planned(name).ok_or(())).ok()?,
        })
    }

    /// The scripts by name: `boot.ipxe`, `grub.cfg` and `pxelinux.cfg`. Firmware that is not known is
    /// taken for the usual one of each loader.
    pub fn scripts(
        &self,
        urls: &Urls,
        mac: MacAddr,
        firmware: Option<Firmware>,
    ) -> Vec<DocumentView> {
        let usual = match self.way.loader(Firmware::BIOS, self.secure_boot) {
            Ok(LoaderKind::Ipxe) => Firmware::BIOS,
            _ => Firmware::UEFI,
        };
        let bios = self.decision(firmware.unwrap_or(usual));
        let uefi = firmware.unwrap_or(Firmware::UEFI);
        let via = if uefi.http { Via::Http } else { Via::Tftp };
        let scripts: [(&str, Script); 3] = [
            ("boot.ipxe", ipxe::script(&bios, urls, mac)),
            (
                "grub.cfg",
                grub::config(&self.decision(uefi), urls, mac, uefi, via),
            ),
            ("pxelinux.cfg", pxelinux::config(&bios, mac)),
        ];
        let view = |(name, script): (&str, Script)| {
            DocumentView::new(name, "text/plain", script.text.as_bytes())
        };
        scripts.into_iter().map(view).collect()
    }

    /// What the machine is told at the first boot of this build.
    fn decision(&self, firmware: Firmware) -> Decision {
        let uefi = firmware.is_uefi();
        let kernel = self.kernel_uefi.as_ref().filter(|_| uefi);
        let loader = match self.way.loader(firmware, self.secure_boot) {
            Ok(loader) => loader,
            Err(lack) => {
                return Decision {
                    system: Some(self.build.system.clone()),
                    action: Action::LocalDisk,
                    why: fit::unsupported(firmware, lack),
                };
            }
        };
        let plan = BootPlan {
            build: self.build.clone(),
            profile: self.profile.clone(),
            loader,
            kernel: kernel.unwrap_or(&self.kernel).clone(),
            initrds: self.initrds.clone(),
            cmdline: self.cmdline.clone(),
            kind: self.kind,
            way: self.way.clone(),
            resident: false,
        };
        Decision {
            system: Some(self.build.system.clone()),
            action: Action::Boot(Box::new(plan)),
            why: Why::Flagged {
                epoch: self.build.epoch,
                attempt: 1,
                allowed: self.allowed,
            },
        }
    }
}

/// A build that does not exist yet.
#[derive(Debug)]
pub struct Next<'a> {
    /// Whose build.
    pub build: BuildKey,
    /// Its profile.
    pub profile: &'a Profile,
    /// The kernel command line.
    pub cmdline: &'a str,
    /// The firmware checks signatures.
    pub secure_boot: bool,
}

/// Why there are no scripts among the documents.
pub fn not_here(distro: &Name) -> String {
    format!(
        "there is no boot script yet, because not all of distro `{distro}` is on this server; \
         farrier distro fetch {distro}"
    )
}
