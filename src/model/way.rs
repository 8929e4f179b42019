//! How an installer is started: what sort of program its kernel is, and what is handed to it besides
//! kernel and initial RAM disks.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{Arch, Firmware, LoaderKind, PlannedFile, Processor};

/// What sort of program the kernel is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Start {
    /// A Linux kernel, or what is started like one (memdisk). Modules are more RAM disks.
    #[default]
    Linux,
    /// A multiboot kernel (SmartOS): iPXE starts it on BIOS only.
    Multiboot,
    /// wimboot, which starts Windows PE; modules are its files, by name.
    Wimboot,
    /// A program for UEFI, with arguments (ESXi's mboot).
    Efi,
    /// The distro's own network boot program, which the firmware loads itself and which asks for its
    /// own files (OpenBSD).
    Own,
}

/// One more thing that a loader hands to the kernel.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Module<C> {
    /// What it is.
    pub content: C,
    /// The name that the loader, and for wimboot the kernel, knows it by.
    pub name: String,
    /// Arguments, for multiboot.
    pub arguments: String,
    /// What its URL ends in, where the kernel reads its own place out of that (SmartOS).
    pub path: Option<String>,
}

/// How a distro is started: contents are names of its artefacts.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DistroWay {
    /// What sort of program the kernel is.
    pub start: Start,
    /// What the kernel's URL ends in.
    pub kernel_path: Option<String>,
    /// The only firmware it can be started on; empty for every one that its start allows.
    pub firmware: Vec<Family>,
    /// More for the kernel, in order.
    pub modules: Vec<Module<String>>,
    /// Its own boot program, if it has one.
    pub own: Option<Own<String>>,
    /// Artefacts that are served as an archive with the file in it, to be unpacked into the
    /// installer's RAM disk: name, path in it.
    pub inside: BTreeMap<String, String>,
    /// How much memory a machine needs for it, in bytes, where that is more than any has. With less most
    /// installers hang and say nothing.
    pub memory: Option<u64>,
}

/// A number of bytes as a site's files have it: `4GiB`, `1536MiB`.
pub fn size_word(bytes: u64) -> String {
    let whole = |unit: u32| (bytes > 0 && bytes.is_multiple_of(1 << unit)).then_some(bytes >> unit);
    match (whole(30), whole(20)) {
        (Some(gib), _) => format!("{gib}GiB"),
        (None, Some(mib)) => format!("{mib}MiB"),
        (None, None) => bytes.to_string(),
    }
}

/// What a profile adds: contents are names of its answers.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Delivery {
    /// Files put into the installer's RAM disk: path in it, name of an answer.
    pub overlay: BTreeMap<String, String>,
    /// Answers that the loader hands to the kernel, after the distro's modules.
    pub modules: Vec<Module<String>>,
}

/// The document that [`Delivery::overlay`] becomes.
pub const OVERLAY: &str = "overlay.cpio";

/// BIOS or UEFI.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Family {
    /// x86 with a BIOS.
    Bios,
    /// Any UEFI.
    Uefi,
}

/// A network boot program of the distro's own: the firmware loads it without a loader of Farrier's,
/// and the names it asks for then are looked up here, for the machine that asks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Own<C> {
    /// The program for BIOS.
    pub bios: Option<C>,
    /// The program for UEFI.
    pub uefi: Option<C>,
    /// The answer that is its configuration. Serving it is what starts the installer.
    pub config: String,
    /// What it is asked for as; `01-MAC` stands for the machine's own.
    pub config_names: Vec<String>,
    /// Its other files: name asked for, content.
    pub files: BTreeMap<String, C>,
    /// Firmware with Secure Boot starts it.
    pub signed: bool,
}

/// A distro's own shim and the GRUB that it starts: what its kernel is signed for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pair {
    /// The firmware they are for.
    pub arch: Arch,
    /// What the firmware loads.
    pub shim: PlannedFile,
    /// What shim loads next.
    pub grub: PlannedFile,
}

/// What a module or a file of the boot program's is, in a plan.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Content {
    /// A boot artefact.
    File(PlannedFile),
    /// A document of the build.
    Document {
        /// The read token, or what stands for it in what is pinned.
        token: String,
        /// Its name.
        name: String,
    },
}

/// How a build is started.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Way {
    /// What sort of program the kernel is.
    pub start: Start,
    /// What the kernel's URL ends in.
    pub kernel_path: Option<String>,
    /// The only firmware it can be started on; empty for every one that its start allows.
    pub firmware: Vec<Family>,
    /// More for the kernel, in order.
    pub modules: Vec<Module<Content>>,
    /// Its own boot program, if it has one.
    pub own: Option<Own<PlannedFile>>,
    /// Its own shim and GRUB, if it has them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pair: Option<Pair>,
    /// How much memory its installer needs, in bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory: Option<u64>,
}

impl Way {
    /// The distro's own shim and GRUB for this firmware.
    pub fn pair(&self, arch: Arch) -> Option<&Pair> {
        self.pair.as_ref().filter(|pair| pair.arch == arch)
    }

    /// Whether the loader, not the installer, fetches this document.
    pub fn loads(&self, document: &str) -> bool {
        let of = |m: &Module<Content>| matches!(&m.content, Content::Document { name, .. } if name == document);
        self.modules.iter().any(of)
    }

    /// Every boot artefact that it needs besides kernel and initial RAM disks.
    pub fn files(&self) -> impl Iterator<Item = &PlannedFile> {
        let modules = self.modules.iter().filter_map(|m| match &m.content {
            Content::File(file) => Some(file),
            Content::Document { .. } => None,
        });
        let own = self.own.iter().flat_map(|own| {
            let programs = own.bios.iter().chain(&own.uefi);
            programs.chain(own.files.values())
        });
        modules.chain(own)
    }

    /// Puts the build's read token where documents are handed to the kernel.
    pub fn fill(&mut self, read: &str) {
        for module in &mut self.modules {
            if let Content::Document { token, .. } = &mut module.content {
                *token = read.to_string();
            }
        }
    }

    /// Which chain of loaders starts it on this firmware.
    ///
    /// # Errors
    /// Why none does, in words that follow the machine's name.
    pub fn loader(&self, firmware: Firmware, secure_boot: bool) -> Result<LoaderKind, String> {
        chain(
            self.start,
            &self.firmware,
            self.own.as_ref().map(Own::programs),
            firmware,
            secure_boot,
        )
    }
}

impl DistroWay {
    /// Why a system with `secure_boot` can never boot it.
    ///
    /// # Errors
    /// The reason, in words that follow the machine's name.
    pub fn with_secure_boot(&self) -> Result<(), String> {
        let own = self.own.as_ref().map(Own::programs);
        chain(self.start, &self.firmware, own, Firmware::UEFI, true).map(drop)
    }
}

fn chain(
    start: Start,
    only: &[Family],
    own: Option<Programs>,
    firmware: Firmware,
    secure_boot: bool,
) -> Result<LoaderKind, String> {
    let uefi = firmware.is_uefi();
    let secure = secure_boot && uefi;
    if start != Start::Linux && firmware.arch.processor() != Some(Processor::X86) {
        return Err(format!("what starts by {} is for x86", start.word()));
    }
    let family = if uefi { Family::Uefi } else { Family::Bios };
    let word = firmware.word();
    if !only.is_empty() && !only.contains(&family) {
        return Err(format!("its distro cannot be started on {word} firmware"));
    }
    let has_own = own.is_some_and(|p| if uefi { p.uefi } else { p.bios });
    let signed = own.is_some_and(|p| p.signed);
    if start == Start::Own || start == Start::Efi && secure {
        return match (has_own, secure && !signed) {
            (true, false) => Ok(LoaderKind::Own),
            (true, true) => Err("the boot program of its distro is not signed".to_string()),
            (false, _) if secure => Err(
                "with Secure Boot its distro needs a signed boot program of its own".to_string(),
            ),
            (false, _) => Err(format!(
                "its distro has no boot program for {word} firmware"
            )),
        };
    }
    match (start, uefi) {
        (Start::Linux, true) if secure => Ok(LoaderKind::Grub),
        (_, true) if secure => Err(format!(
            "Secure Boot's chain (shim and a signed GRUB) starts Linux only, and its distro starts by {}",
            start.word()
        )),
        (Start::Multiboot, true) => Err("iPXE starts a multiboot kernel on BIOS only".to_string()),
        (Start::Efi, false) => Err("its distro starts on UEFI only".to_string()),
        _ => Ok(LoaderKind::Ipxe),
    }
}

/// Which boot programs of its own a distro has.
#[derive(Debug, Clone, Copy)]
struct Programs {
    bios: bool,
    uefi: bool,
    signed: bool,
}

impl<C> Own<C> {
    fn programs(&self) -> Programs {
        Programs {
            bios: self.bios.is_some(),
            uefi: self.uefi.is_some(),
            signed: self.signed,
        }
    }
}

impl Start {
    /// The words in files.
    pub const WORDS: [(&'static str, Start); 5] = [
        ("linux", Start::Linux),
        ("multiboot", Start::Multiboot),
        ("wimboot", Start::Wimboot),
        ("efi", Start::Efi),
        ("own", Start::Own),
    ];

    /// The word in files.
    pub fn word(self) -> &'static str {
        let found = Self::WORDS.iter().find(|(_, start)| *start == self);
        found.map_or("linux", |(word, _)| word)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_chain_cannot_start_is_said() {
        use LoaderKind::{Grub, Ipxe};
        let way = |start| Way {
            start,
            ..Way::default()
        };
        let (bios, uefi) = (Firmware::BIOS, Firmware::UEFI);
        for (start, firmware, secure, want) in [
            (Start::Linux, bios, false, Some(Ipxe)),
            (Start::Linux, uefi, false, Some(Ipxe)),
            (Start::Linux, uefi, true, Some(Grub)),
            (Start::Linux, bios, true, Some(Ipxe)),
            (Start::Multiboot, bios, false, Some(Ipxe)),
            (Start::Multiboot, uefi, false, None),
            (Start::Wimboot, bios, false, Some(Ipxe)),
            (Start::Wimboot, uefi, false, Some(Ipxe)),
            (Start::Wimboot, uefi, true, None),
            (Start::Efi, bios, false, None),
            (Start::Efi, uefi, false, Some(Ipxe)),
            (Start::Efi, uefi, true, None),
            (Start::Own, uefi, false, None),
        ] {
            let found = way(start).loader(firmware, secure);
            assert_eq!(
                found.clone().ok(),
                want,
                "{start:?} {firmware:?} {secure} {found:?}"
            );
        }
        let only_bios = Way {
            firmware: vec![Family::Bios],
            ..Way::default()
        };
        assert!(only_bios.loader(uefi, false).is_err());
        assert_eq!(only_bios.loader(bios, false), Ok(Ipxe));
    }

    #[test]
    fn sizes_are_written_as_they_are_read() {
        assert_eq!(size_word(4 << 30), "4GiB");
        assert_eq!(size_word(1536 << 20), "1536MiB");
        assert_eq!(size_word(1000), "1000");
        assert_eq!(size_word(0), "0");
    }

    #[test]
    fn a_boot_program_of_its_own_needs_one_for_the_firmware() {
        let way = DistroWay {
            start: Start::Efi,
            own: Some(Own {
                bios: None,
                uefi: Some("mboot.efi".to_string()),
                config: "boot.cfg".to_string(),
                config_names: Vec::new(),
                files: BTreeMap::new(),
                signed: true,
            }),
            ..DistroWay::default()
        };
        assert_eq!(way.with_secure_boot(), Ok(()));
        let mut unsigned = way.clone();
        unsigned.own.iter_mut().for_each(|own| own.signed = false);
        assert!(unsigned.with_secure_boot().is_err());
        let bare = DistroWay {
            start: Start::Wimboot,
            ..DistroWay::default()
        };
        assert!(bare.with_secure_boot().is_err());
    }
}
