//! Linux installers that say what they are each in their own way.

use super::{Medium, text};
use crate::image::disc::{Disc, DiscError, Tree};

/// The first of these that the medium has.
fn first<'a>(tree: &Tree, paths: &[&'a str]) -> Option<&'a str> {
    paths.iter().copied().find(|p| tree.has(p))
}

/// Fedora CoreOS: its live medium.
pub(super) fn coreos(_disc: &Disc<'_>, tree: &Tree) -> Result<Option<Medium>, DiscError> {
    let (kernel, rootfs) = ("images/pxeboot/vmlinuz", "images/pxeboot/rootfs.img");
    if !tree.has("coreos/igninfo.json") || !tree.has(kernel) || !tree.has(rootfs) {
        return Ok(None);
    }
    let label = tree.label();
    let name = if label.is_empty() {
        "fedora-coreos"
    } else {
        label
    };
    let mut medium = Medium::new(format!("Fedora CoreOS live, {label}"), name)
        .kernel(tree, kernel)
        .initrd(tree, "images/pxeboot/initrd.img")
        .also(tree, rootfs);
    medium.way.memory = Some(4 << 30);
    Ok(Some(medium.note(
        "the live system is coreos.live.rootfs_url={{ url.artefact[\"rootfs.img\"] }}",
    )))
}

/// `Ubuntu-Server 24.04.1 LTS "Noble Numbat" - Release amd64 (20240827)`: the line that says it all.
fn disk_info(disc: &Disc<'_>, tree: &Tree) -> Result<Option<String>, DiscError> {
    let info = text(disc, tree, ".disk/info")?;
    Ok(info.map(|t| t.lines().next().unwrap_or("").trim().to_string()))
}

/// The first word that begins with a digit.
fn version(line: &str) -> &str {
    let mut words = line.split_whitespace();
    words
        .find(|w| w.starts_with(|c: char| c.is_ascii_digit()))
        .unwrap_or("")
}

/// Ubuntu's live server medium.
pub(super) fn ubuntu(disc: &Disc<'_>, tree: &Tree) -> Result<Option<Medium>, DiscError> {
    let Some(info) = disk_info(disc, tree)? else {
        return Ok(None);
    };
    let kernels = ["casper/vmlinuz", "casper/hwe-vmlinuz"];
    let Some(kernel) = first(tree, &kernels) else {
        return Ok(None);
    };
    let initrds = [
        "casper/initrd",
        "casper/initrd.lz",
        "casper/initrd.gz",
        "casper/hwe-initrd",
    ];
    let Some(initrd) = first(tree, &initrds) else {
        return Ok(None);
    };
    let flavour = if info.starts_with("Ubuntu-Server") {
        "ubuntu"
    } else {
        "ubuntu-live"
    };
    let mut medium = Medium::new(info.clone(), &format!("{flavour} {}", version(&info)))
        .kernel(tree, kernel)
        .initrd(tree, initrd);
    let old = version(&info).starts_with("22.");
    medium.way.memory = Some(if old { 4 << 30 } else { 5 << 30 });
    Ok(Some(medium.note(
        "the installer fetches the whole medium into memory: url={{ url.artefact[\"media.iso\"] }}",
    )))
}

/// Debian's installer.
pub(super) fn debian(disc: &Disc<'_>, tree: &Tree) -> Result<Option<Medium>, DiscError> {
    let Some(info) = disk_info(disc, tree)? else {
        return Ok(None);
    };
    let kernels = [
        "install.amd/vmlinuz",
        "install.a64/vmlinuz",
        "install.386/vmlinuz",
    ];
    let Some(kernel) = first(tree, &kernels) else {
        return Ok(None);
    };
    let initrd = kernel.replace("vmlinuz", "initrd.gz");
    let medium = Medium::new(info.clone(), &format!("debian {} media", version(&info)))
        .kernel(tree, kernel)
        .initrd(tree, &initrd);
    let medium = medium.note(
        "its initrd.gz looks for a CD and not for a mirror: machines that boot by network want the \
         netboot one, as boot/debian-12.toml has it",
    );
    Ok(Some(match tree.below("dists/").next() {
        Some(_) => medium.note("its packages are a mirror: {{ url.tree[\"media.iso\"] }}"),
        None => medium,
    }))
}

/// SUSE: YaST's media and Agama's.
pub(super) fn suse(disc: &Disc<'_>, tree: &Tree) -> Result<Option<Medium>, DiscError> {
    let Some(arch) = ["x86_64", "aarch64"].into_iter().find(|a| {
        tree.has(&format!("boot/{a}/loader/linux")) || tree.has(&format!("boot/{a}/linux"))
    }) else {
        return Ok(None);
    };
    let loader = format!("boot/{arch}/loader");
    let dir = match tree.has(&format!("{loader}/linux")) {
        true => loader,
        false => format!("boot/{arch}"),
    };
    // `0 openSUSE-Leap-15.6 15.6-1`, or the name that the medium gives itself
    let products = text(disc, tree, "media.1/products")?.unwrap_or_default();
    let product = products
        .lines()
        .next()
        .and_then(|l| l.split_whitespace().nth(1));
    let name = product.filter(|p| !p.is_empty()).unwrap_or(tree.label());
    let name = if name.is_empty() { "suse" } else { name };
    let live = ["LiveOS/squashfs.img", "liveiso/LiveOS/squashfs.img"];
    let medium = match first(tree, &live) {
        Some(image) => Medium::new(format!("{name}, Agama, {arch}"), name)
            .also(tree, image)
            .note("the live system is root=live:{{ url.artefact[\"squashfs.img\"] }}"),
        None => Medium::new(format!("{name}, {arch}"), name)
            .note("the installer takes its packages from install={{ url.tree[\"media.iso\"] }}"),
    };
    Ok(Some(
        medium
            .kernel(tree, &format!("{dir}/linux"))
            .initrd(tree, &format!("{dir}/initrd")),
    ))
}

/// Proxmox: VE, Backup Server, Mail Gateway.
pub(super) fn proxmox(disc: &Disc<'_>, tree: &Tree) -> Result<Option<Medium>, DiscError> {
    let Some(info) = text(disc, tree, ".cd-info")? else {
        return Ok(None);
    };
    if !tree.has("boot/linux26") || !tree.has("boot/initrd.img") {
        return Ok(None);
    }
    let value = |key: &str| {
        let line = info
            .lines()
            .find_map(|l| l.trim().strip_prefix(key)?.strip_prefix('='));
        line.map_or("", |v| v.trim_matches(['\'', '"', ' ']))
    };
    let product = match value("PRODUCT") {
        "" => "proxmox",
        product => product,
    };
    let release = format!("{} {}", value("RELEASE"), value("ISORELEASE"));
    let release = release.trim();
    let title = format!("Proxmox {product} {release}");
    let name = format!("{product} {}", release.replace(' ', "-"));
    let mut medium = Medium::new(title, &name)
        .kernel(tree, "boot/linux26")
        .initrd(tree, "boot/initrd.img");
    if disc.size() < RAM_DISK {
        medium.whole = Some("proxmox.iso".to_string());
        medium.way.memory = Some(8 << 30);
        medium = medium.note(
            "the whole medium is one more initrd, proxmox.iso, where its installer looks for it: a \
             machine needs 8 GiB of memory",
        );
    } else {
        medium = medium.note(
            "its installer looks for the whole medium in its RAM disk, which takes files of less than \
             4 GiB: it cannot be started by network",
        );
    }
    if !tree.has("auto-installer-mode.toml") {
        medium = medium.note(
            "it has no auto-installer-mode.toml, so the installer will ask: import what \
             `proxmox-auto-install-assistant prepare-iso FILE --fetch-from http` makes of it",
        );
    }
    Ok(Some(medium))
}

/// Files of an archive for a RAM disk are smaller: their length has 32 bits.
const RAM_DISK: u64 = 1 << 32;

/// Alpine.
pub(super) fn alpine(disc: &Disc<'_>, tree: &Tree) -> Result<Option<Medium>, DiscError> {
    let Some(release) = text(disc, tree, ".alpine-release")? else {
        return Ok(None);
    };
    let Some(flavour) = ["lts", "virt"]
        .into_iter()
        .find(|f| tree.has(&format!("boot/vmlinuz-{f}")))
    else {
        return Ok(None);
    };
    let line = release.lines().next().unwrap_or("").trim();
    let initrd = format!("initramfs-{flavour}");
    let mut medium = Medium::new(
        format!("Alpine {line}"),
        &format!("alpine {}", alpine_version(line)),
    )
    .kernel(tree, &format!("boot/vmlinuz-{flavour}"))
    .initrd(tree, &format!("boot/{initrd}"))
    .also(tree, &format!("boot/modloop-{flavour}"))
    .note(&format!(
        "its modules are modloop={{{{ url.artefact[\"modloop-{flavour}\"] }}}}, its packages \
             alpine_repo={{{{ url.tree[\"media.iso\"] }}}}/apks"
    ))
    .note(&format!(
        "its {initrd} knows disks and CDs and no network card: machines that boot by network want \
         that of alpine-netboot of the same release; give it with --with {initrd}"
    ));
    let missing: Vec<&str> = ALPINE_PACKAGES
        .into_iter()
        .filter(|package| !has_package(tree, package))
        .collect();
    if !missing.is_empty() {
        medium = medium.note(&format!(
            "the profile alpine installs packages that it has not ({}): set `repository` under [vars] \
             to a mirror, up to the release",
            missing.join(", ")
        ));
    }
    Ok(Some(medium))
}

/// What the profile's script, and Alpine's setup-disk that it calls, add to a bare system by BIOS or
/// UEFI.
const ALPINE_PACKAGES: [&str; 8] = [
    "linux-lts",
    "openssh",
    "kbd-bkeymaps",
    "sfdisk",
    "e2fsprogs",
    "syslinux",
    "grub-efi",
    "dosfstools",
];

/// Whether a medium of Alpine has a package: `apks/x86_64/linux-lts-6.12.38-r0.apk`.
fn has_package(tree: &Tree, package: &str) -> bool {
    let version = |path: &str| {
        let name = path.rsplit('/').next()?;
        let rest = name.strip_prefix(package)?.strip_prefix('-')?;
        rest.starts_with(|c: char| c.is_ascii_digit()).then_some(())
    };
    tree.below("apks/").any(|path| version(path).is_some())
}

/// `alpine-standard-3.20.3 240906`, or `3.20.3`.
fn alpine_version(line: &str) -> &str {
    let word = line.split_whitespace().next().unwrap_or("");
    match word.rsplit_once('-') {
        Some((_, version)) if version.starts_with(|c: char| c.is_ascii_digit()) => version,
        _ => word,
    }
}
