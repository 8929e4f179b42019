//! Installers that are not Linux.

use super::{Medium, Part, Starter, Var, part, text};
use crate::image::disc::{Disc, DiscError, EFI_IMAGE, Tree};
use crate::model::{DistroWay, Family, Module, Own, Start};

/// VMware ESXi: `BOOT.CFG` names every module.
pub(super) fn esxi(disc: &Disc<'_>, tree: &Tree) -> Result<Option<Medium>, DiscError> {
    let Some(path) = tree.any_case("boot.cfg") else {
        return Ok(None);
    };
    let config = text(disc, tree, path)?.unwrap_or_default();
    let value = |key: &str| {
        let line = config
            .lines()
            .find_map(|l| l.strip_prefix(key)?.strip_prefix('='));
        line.map_or("", str::trim)
    };
    let loader = tree.any_case("EFI/BOOT/BOOTX64.EFI");
    if value("modules").is_empty() || loader.is_none() {
        return Ok(None);
    }
    // `Loading ESXi installer`; `7.0.3-0.105.22348816`
    let title = format!("VMware ESXi {}", value("build"));
    let build = value("build").split('-').next().unwrap_or("");
    let mut medium = Medium::new(title, &format!("esxi {build}"));
    medium.kernel = named("mboot.efi", loader);
    let crypto = named("crypto64.efi", tree.any_case("EFI/BOOT/CRYPTO64.EFI"));
    let mut modules: Vec<String> = Vec::new();
    let mut missing = 0;
    let all = value("modules").split("---").map(str::trim);
    for path in [value("kernel")].into_iter().chain(all) {
        let path = path.trim_start_matches('/');
        if path.is_empty() {
            continue;
        }
        if modules.len() == MODULES {
            let told = format!("boot.cfg names more than {MODULES} modules");
            return Err(DiscError::TooLarge(told));
        }
        let name = path.rsplit('/').next().unwrap_or(path).to_lowercase();
        let found = tree.any_case(path).and_then(|real| part(tree, real));
        let again = modules.contains(&name);
        match found.filter(|_| !again) {
            Some(part) => medium.more.push(Part {
                name: name.clone(),
                ..part
            }),
            None => missing += 1,
        }
        modules.push(name);
    }
    medium
        .vars
        .insert("modules".to_string(), Var::List(modules));
    medium.way = DistroWay {
        start: Start::Efi,
        own: Some(Own {
            bios: None,
            uefi: Some("mboot.efi".to_string()),
            config: "boot.cfg".to_string(),
            config_names: vec!["01-MAC/boot.cfg".to_string(), "boot.cfg".to_string()],
            files: crypto
                .iter()
                .map(|p| (p.name.clone(), p.name.clone()))
                .collect(),
            signed: true,
        }),
        ..DistroWay::default()
    };
    medium.more.extend(crypto);
    if missing > 0 {
        medium = medium.note(&format!(
            "{missing} modules that boot.cfg names are not on it, or named twice"
        ));
    }
    Ok(Some(medium))
}

/// Modules that a release of ESXi may have.
const MODULES: usize = 400;

fn named(name: &str, path: Option<&str>) -> Option<Part> {
    path.map(|path| Part {
        name: name.to_string(),
        path: path.to_string(),
    })
}

/// Windows: Setup, which boots from a WIM.
pub(super) fn windows(_disc: &Disc<'_>, tree: &Tree) -> Result<Option<Medium>, DiscError> {
    let at = |path: &str| tree.any_case(path).and_then(|real| part(tree, real));
    let (Some(manager), Some(wim)) = (at("bootmgr"), at("sources/boot.wim")) else {
        return Ok(None);
    };
    let label = tree.label();
    let mut medium = Medium::new(format!("Windows, {label}"), &format!("windows {label}"));
    medium.way.start = Start::Wimboot;
    // what wimboot takes; the manager itself is in boot.wim too, but older versions want it beside
    let given = [at("boot/bcd"), at("boot/boot.sdi"), Some(wim)];
    for part in given.into_iter().flatten() {
        medium = medium.module(&part.name);
        medium.more.push(part);
    }
    medium = medium.module(CURL);
    medium.more.push(manager);
    let install = at("sources/install.wim");
    if install.is_none() {
        medium = medium.note(
            "it has no sources/install.wim, which the profile windows applies: convert its install.esd \
             and give it with --with install.wim",
        );
    }
    medium.more.extend(install);
    medium = medium.note(&format!(
        "the profile windows needs a {CURL} of the same architecture, from System32 of any Windows 10 or \
         later: give it with --with"
    ));
    Ok(Some(medium.note(
        "it has no boot program for the network: give wimboot with --kernel",
    )))
}

/// The program by which Windows PE speaks with the server; it is on no medium as a file.
const CURL: &str = "curl.exe";

/// SmartOS: the kernel and boot archive of a platform, which run in RAM.
pub(super) fn smartos(disc: &Disc<'_>, tree: &Tree) -> Result<Option<Medium>, DiscError> {
    const KERNEL: &str = "platform/i86pc/kernel/amd64/unix";
    const ARCHIVE: &str = "platform/i86pc/amd64/boot_archive";
    let (true, true) = (tree.has(KERNEL), tree.has(ARCHIVE)) else {
        return Ok(None);
    };
    // others of illumos have the same files
    let mut says = tree.label().to_lowercase().contains("smartos");
    for menu in ["boot/loader.conf", "boot/grub/menu.lst"] {
        let text = text(disc, tree, menu)?.unwrap_or_default();
        says |= text.to_lowercase().contains("smartos");
    }
    if !says {
        return Ok(None);
    }
    let label = tree.label().to_lowercase().replace("smartos", "");
    let mut medium = Medium::new(
        format!("SmartOS, {}", tree.label()),
        &format!("smartos {label}"),
    )
    .kernel(tree, KERNEL)
    .also(tree, ARCHIVE);
    let hash = format!("{ARCHIVE}.hash");
    if tree.has(&hash) {
        medium = medium.also(tree, &hash);
    } else {
        medium =
            medium.note("it has no boot_archive.hash, so the kernel does not check what it loads");
    }
    // its kernel reads its own place out of its URL
    medium.way.start = Start::Multiboot;
    medium.way.kernel_path = Some(KERNEL.to_string());
    for (part, arguments) in medium
        .more
        .iter()
        .zip(["type=rootfs name=ramdisk", "type=hash name=ramdisk"])
    {
        medium.way.modules.push(Module {
            content: part.name.clone(),
            name: part.name.clone(),
            arguments: arguments.to_string(),
            path: Some(part.path.clone()),
        });
    }
    Ok(Some(medium))
}

/// FreeBSD: installation media are a whole system.
pub(super) fn freebsd(_disc: &Disc<'_>, tree: &Tree) -> Result<Option<Medium>, DiscError> {
    let sets = tree.below("usr/freebsd-dist/").next().is_some();
    if !tree.has("boot/kernel/kernel") || !(sets || tree.has("bin/freebsd-version")) {
        return Ok(None);
    }
    let label = tree.label().to_lowercase().replace('_', ".");
    let label = label.trim_start_matches(|c: char| !c.is_ascii_digit());
    let mut medium = Medium::new(
        format!("FreeBSD {}", tree.label()),
        &format!("freebsd {label}"),
    );
    let archives = ["base.txz", "kernel.txz"];
    for archive in archives {
        medium = medium.also(tree, &format!("usr/freebsd-dist/{archive}"));
    }
    if medium.more.len() < archives.len() {
        medium = medium.note(
            "it lacks base.txz or kernel.txz, which the profile freebsd unpacks: take disc1 of a release \
             that has them, or give them with --with",
        );
    }
    // memdisk starts it, which is a program of the BIOS
    medium.way.firmware = vec![Family::Bios];
    medium.starter = Some(Starter {
        kernel: "memdisk".to_string(),
        package: "syslinux-common".to_string(),
        path: "usr/lib/syslinux/memdisk".to_string(),
        initrd: "mfsbsd.iso".to_string(),
    });
    Ok(Some(medium.note(
        "its own boot programs take the rest of the system over NFS, so it is started by mfsBSD, which \
         is on no medium: give an mfsbsd.iso that asks this server for its script with --with",
    )))
}

/// OpenBSD: `7.5/amd64/bsd.rd`.
pub(super) fn openbsd(_disc: &Disc<'_>, tree: &Tree) -> Result<Option<Medium>, DiscError> {
    let found = tree.below("").find_map(|path| {
        let (version, rest) = path.split_once('/')?;
        let (arch, file) = rest.split_once('/')?;
        let digits = version.starts_with(|c: char| c.is_ascii_digit());
        (digits && file == "bsd.rd").then_some((version, arch))
    });
    let Some((version, arch)) = found else {
        return Ok(None);
    };
    let dir = format!("{version}/{arch}");
    let mut medium = Medium::new(
        format!("OpenBSD {version}, {arch}"),
        &format!("openbsd {version}"),
    )
    .kernel(tree, &format!("{dir}/bsd.rd"));
    // An import leaves those away that are neither on the medium nor given.
    let programs = [
        (BIOS_PROGRAM, vec![format!("{dir}/pxeboot")]),
        (
            UEFI_PROGRAM,
            vec![
                format!("{dir}/BOOTX64.EFI"),
                format!("{EFI_IMAGE}/EFI/BOOT/BOOTX64.EFI"),
            ],
        ),
    ];
    for (name, places) in programs {
        let found = places.iter().find_map(|at| tree.any_case(at));
        match named(name, found) {
            Some(part) => medium.more.push(part),
            None => {
                medium = medium.note(&format!(
                    "it has no {name}, by which the firmware starts it: give that of its release's folder \
                     with --with"
                ));
            }
        }
    }
    medium.way = DistroWay {
        start: Start::Own,
        own: Some(Own {
            bios: Some(BIOS_PROGRAM.to_string()),
            uefi: Some(UEFI_PROGRAM.to_string()),
            config: "boot.conf".to_string(),
            config_names: vec!["etc/boot.conf".to_string()],
            files: [("bsd.rd".to_string(), "bsd.rd".to_string())].into(),
            signed: false,
        }),
        ..DistroWay::default()
    };
    let short = version.replace('.', "");
    let sets = tree.has(&format!("{dir}/base{short}.tgz"));
    medium = if sets {
        medium
            .vars
            .insert("sets_path".to_string(), Var::Text(dir.clone()));
        medium.note(&format!(
            "its sets are below {{{{ url.tree[\"media.iso\"] }}}}/{dir}, where the profile openbsd takes \
             them unless `sets_server` is set"
        ))
    } else {
        medium.note(
            "it has no sets (a cdXX.iso): set `sets_server` and `sets_path` under [vars] to a mirror, or \
             take installXX.iso",
        )
    };
    Ok(Some(medium.note(&format!(
        "the profile's own set is named after the release: site{short}.tgz, in its profile.toml and \
         index.txt"
    ))))
}

/// OpenBSD's boot programs for the network, as artefacts.
const BIOS_PROGRAM: &str = "pxeboot";
const UEFI_PROGRAM: &str = "bootx64.efi";
