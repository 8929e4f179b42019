//! Installers that are not Linux.

use super::{Medium, Part, part, text};
use crate::image::disc::{Disc, DiscError, Tree};

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
    let named = |name: &str, path: Option<&str>| {
        path.map(|path| Part {
            name: name.to_string(),
            path: path.to_string(),
        })
    };
    medium.kernel_uefi = named("mboot.efi", loader);
    medium.kernel = named("mboot.c32", tree.any_case("mboot.c32")).or(medium.kernel_uefi.clone());
    medium.more.extend(named("boot.cfg", Some(path)));
    let missing = value("modules")
        .split("---")
        .chain([value("kernel")])
        .map(|m| m.trim().trim_start_matches('/'))
        .filter(|m| !m.is_empty() && tree.any_case(m).is_none())
        .count();
    if missing > 0 {
        medium = medium.note(&format!(
            "{missing} modules that boot.cfg names are not on it"
        ));
    }
    Ok(Some(medium.note(
        "its modules are below prefix={{ url.tree[\"media.iso\"] }}; take the leading slashes out of boot.cfg",
    )))
}

/// Windows: Setup, which boots from a WIM.
pub(super) fn windows(_disc: &Disc<'_>, tree: &Tree) -> Result<Option<Medium>, DiscError> {
    let at = |path: &str| tree.any_case(path).and_then(|real| part(tree, real));
    let (Some(manager), Some(wim)) = (at("bootmgr"), at("sources/boot.wim")) else {
        return Ok(None);
    };
    let label = tree.label();
    let mut medium = Medium::new(format!("Windows, {label}"), &format!("windows {label}"));
    medium.more = [at("boot/bcd"), at("boot/boot.sdi"), Some(wim)]
        .into_iter()
        .flatten()
        .collect();
    medium.more.push(manager);
    Ok(Some(medium.note(
        "it has no boot program for the network: give wimboot with --kernel",
    )))
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
    )
    .kernel(tree, "boot/pxeboot");
    medium.kernel_uefi = part(tree, "boot/loader.efi");
    medium.kernel = medium.kernel.or(medium.kernel_uefi.clone());
    Ok(Some(medium.note(
        "its loader takes the rest of the system over NFS, or from a memory disk that you make; its \
         sets are below {{ url.tree[\"media.iso\"] }}/usr/freebsd-dist",
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
    .kernel(tree, &format!("{dir}/pxeboot"))
    .also(tree, &format!("{dir}/bsd.rd"));
    let efi = tree.any_case(&format!("{dir}/BOOTX64.EFI"));
    medium.kernel_uefi = efi.and_then(|real| part(tree, real));
    if medium.kernel.is_none() {
        medium.kernel = medium.kernel_uefi.clone();
        medium.kernel = medium
            .kernel
            .or_else(|| part(tree, &format!("{dir}/bsd.rd")));
        medium.more.retain(|p| Some(p) != medium.kernel.as_ref());
    }
    Ok(Some(medium.note(&format!(
        "its sets are below {{{{ url.tree[\"media.iso\"] }}}}/{dir}"
    ))))
}
