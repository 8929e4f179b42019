//! Distros that `farrier distro import` writes are complete: what a profile on one is started with is
//! served, to the last module.

use std::collections::{BTreeSet, VecDeque};

use farrier::cli::demo::rack::{Rack, RackError};

use super::names::Name;
use super::{NEEDS, Walk, shipped};
use crate::media::Layout;
use crate::rack::can_run;
use crate::rack::phantom::Phantom;

const PLAIN: &[&str] = &["-iso-level", "1", "-V", "MEDIUM"];
const ROCK_RIDGE: &[&str] = &["-R", "-J", "-V", "MEDIUM"];

#[test]
fn what_an_imported_medium_is_started_with_is_served() -> Result<(), RackError> {
    if !can_run("imported media", &NEEDS, false) {
        return Ok(());
    }
    // as VMware makes them: short names in capitals, and a configuration in small letters
    let esxi = Layout::new(&[
        (
            "BOOT.CFG",
            "bootstate=0\ntitle=Loading ESXi installer\nbuild=8.0.3-0.0.24022510\nprefix=\nkernel=/b.b00\n\
             kernelopt=runweasel cdromBoot\nmodules=/jumpstrt.gz --- /useropts.gz --- /k.b00\n",
        ),
        ("B.B00", "b"),
        ("JUMPSTRT.GZ", "j"),
        ("USEROPTS.GZ", "u"),
        ("K.B00", "k"),
        ("EFI/BOOT/BOOTX64.EFI", "mboot"),
        ("EFI/BOOT/CRYPTO64.EFI", "crypto"),
    ]);
    let windows = Layout::new(&[
        ("bootmgr", "m"),
        ("boot/bcd", "c"),
        ("boot/boot.sdi", "s"),
        ("sources/boot.wim", "w"),
        ("sources/install.wim", "i"),
    ]);
    windows.put("../wimboot", b"wimboot");
    windows.put("../curl.exe", b"curl");
    let beside = |name: &str| windows.beside(name).display().to_string();
    let smartos = Layout::new(&[
        ("platform/i86pc/kernel/amd64/unix", "u"),
        ("platform/i86pc/amd64/boot_archive", "a"),
        ("platform/i86pc/amd64/boot_archive.hash", "h"),
        ("boot/loader.conf", "loader_logo=\"SmartOS\"\n"),
    ]);
    // as aports' mkimage makes alpine-standard
    let alpine = Layout::new(&[
        (".alpine-release", "alpine-standard-3.22.1 250715\n"),
        ("boot/vmlinuz-lts", "kernel"),
        ("boot/initramfs-lts", "for a CD"),
        ("boot/modloop-lts", "modules"),
        ("apks/.boot_repository", ""),
        ("apks/x86_64/APKINDEX.tar.gz", "index"),
        ("apks/x86_64/openssh-10.0_p1-r7.apk", "ssh"),
        ("efi/boot/bootx64.efi", "grub"),
    ]);
    alpine.put("../initramfs-lts", b"for the network");
    // as distrib/amd64/iso makes installXX.iso: without pxeboot, BOOTX64.EFI and index.txt
    let openbsd = Layout::new(&[
        ("etc/boot.conf", "set image /7.8/amd64/bsd.rd\n"),
        ("7.8/amd64/INSTALL.amd64", "read me"),
        ("7.8/amd64/SHA256", "sums"),
        ("7.8/amd64/base78.tgz", "base"),
        ("7.8/amd64/bsd", "kernel"),
        ("7.8/amd64/bsd.mp", "kernel of many"),
        ("7.8/amd64/bsd.rd", "installer"),
        ("7.8/amd64/cdboot", "for a CD"),
        ("7.8/amd64/comp78.tgz", "compilers"),
        ("7.8/amd64/man78.tgz", "manuals"),
    ]);
    openbsd.put("../pxeboot", b"by BIOS");
    openbsd.put("../BOOTX64.EFI", b"by UEFI");
    let freebsd = Layout::new(&[
        ("boot/kernel/kernel", "kernel"),
        ("boot/loader.efi", "loader"),
        ("boot/pxeboot", "loader"),
        ("usr/freebsd-dist/MANIFEST", "sums"),
        ("usr/freebsd-dist/base.txz", "base"),
        ("usr/freebsd-dist/kernel.txz", "kernel"),
    ]);
    freebsd.put("../mfsbsd.iso", b"a system in RAM");
    // in place of the one out of a package, for which there is no network here
    freebsd.put("../memdisk", b"memdisk");
    // as proxmox-auto-install-assistant prepares it
    let proxmox = Layout::new(&[
        (".cd-info", "PRODUCT='pve'\nRELEASE='9.0'\nISORELEASE='1'\n"),
        ("auto-installer-mode.toml", "mode = \"http\"\n"),
        ("boot/linux26", "kernel"),
        ("boot/initrd.img", "RAM disk"),
        ("pve-base.squashfs", "system"),
    ]);
    let with = |layout: &Layout, words: &[&str], names: &[&str]| {
        let mut all = vec![layout.image(words).display().to_string()];
        for name in names {
            all.push("--with".to_string());
            all.push(layout.beside(name).display().to_string());
        }
        all
    };
    let image = |layout: &Layout, words| layout.image(words).display().to_string();
    let imported = [
        ("esxi", vec![image(&esxi, PLAIN)]),
        (
            "windows",
            vec![
                // as Microsoft makes them: all that matters is in UDF
                windows
                    .udf(&["-V", "MEDIUM", "-hide", "*"])
                    .display()
                    .to_string(),
                "--kernel".to_string(),
                beside("wimboot"),
                "--with".to_string(),
                beside("curl.exe"),
            ],
        ),
        ("smartos", vec![image(&smartos, ROCK_RIDGE)]),
        ("alpine", with(&alpine, ROCK_RIDGE, &["initramfs-lts"])),
        (
            "openbsd",
            with(&openbsd, ROCK_RIDGE, &["pxeboot", "BOOTX64.EFI"]),
        ),
        (
            "freebsd",
            with(&freebsd, ROCK_RIDGE, &["mfsbsd.iso", "memdisk"]),
        ),
        ("proxmox-ve", with(&proxmox, ROCK_RIDGE, &[])),
    ];
    let rack = Rack::new()?;
    let walker = Phantom::new(&rack, "walker")?;
    let (server, all) = shipped::serve_imported(&rack, &imported)?;
    assert_eq!(all.len(), 22, "machines that something starts");
    for flagged in &all {
        let mut walk = Walk {
            machine: &walker,
            server: &server,
            flagged,
            seen: BTreeSet::new(),
            due: VecDeque::new(),
            report: None,
            handoff: None,
        };
        walk.power_on()?;
        let distro = &flagged.profile;
        let served: BTreeSet<&str> = walk
            .seen
            .iter()
            .filter_map(|name| match name {
                Name::Http(url) if url.contains(&format!("/{distro}/")) => {
                    let out_of = ["/a/", "/t/"].iter().any(|door| url.contains(door));
                    url.rsplit('/').next().filter(|_| out_of)
                }
                Name::Tftp(path) => path.rsplit('/').next(),
                Name::Http(_) => None,
            })
            .collect();
        let wanted: &[&str] = match distro.as_str() {
            "esxi" => &["b.b00", "jumpstrt.gz", "k.b00", "useropts.gz"],
            "windows" => &[
                "bcd",
                "boot.sdi",
                "boot.wim",
                "curl.exe",
                "install.wim",
                "wimboot",
            ],
            "alpine" => &["apks", "initramfs-lts", "modloop-lts", "vmlinuz-lts"],
            "openbsd" => &["base78.tgz", "boot.conf", "bsd.mp", "bsd.rd", "man78.tgz"],
            "freebsd" => &["base.txz", "kernel.txz", "memdisk", "mfsbsd.iso"],
            "proxmox-ve" => &["initrd.img", "linux26", "proxmox.iso"],
            _ => &["boot_archive", "boot_archive.hash", "unix"],
        };
        for name in wanted {
            assert!(
                served.contains(name),
                "{}: {name} in {served:?}",
                flagged.name
            );
        }
    }
    Ok(())
}
