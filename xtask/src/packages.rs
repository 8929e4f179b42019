//! The Debian packages that the tests, the demo and the bench use: real clients, real firmware,
//! validators, peers.

use std::process::Command;

use anyhow::{Context, Result, bail};

/// For the tests and the demo.
pub(crate) const TESTS: &[&str] = &[
    // machines and networks
    "qemu-system-x86",
    "ovmf",
    "ipxe",
    "ipxe-qemu",
    "iproute2",
    "iputils-ping",
    // what opens encrypted disks
    "tang-common",
    "jose",
    "swtpm",
    // boot loaders and boot trees
    "shim-signed",
    "grub-efi-amd64-signed",
    "grub-common",
    "memtest86+",
    "fai-server",
    "fai-setup-storage",
    "squashfs-tools",
    "debootstrap",
    "mmdebstrap",
    "git",          // a repository that Ansible pulls
    "python3-venv", // Salt and pykickstart, from PyPI
    "parted",
    "dosfstools",
    "mtools",
    "cpio",
    "wine64",                     // runs the scripts of the Windows profile
    "gcc-mingw-w64-x86-64-win32", // makes what stands for the programs that Wine has not
    "gnupg",                      // an index of packages is signed
    "zstd",
    "xz-utils",
    // clients on the wire
    "isc-dhcp-client",
    "isc-dhcp-relay",
    "udhcpc",
    "dhcpcd5",
    "dnsmasq-base",
    "tftp-hpa",
    "atftp",
    "curl",
    "wget",
    "busybox",
    "mksh",           // its lksh is the nearest to OpenBSD's sh
    "netcat-openbsd", // FreeBSD's installer reports by it
    "openssl",
    "openssh-client",
    // what cloud-init needs; the tests unpack it themselves, for installed it would run at each boot
    "python3-configobj",
    "python3-jinja2",
    "python3-jsonpatch",
    "python3-jsonschema",
    "python3-netifaces",
    "python3-oauthlib",
    "python3-requests",
    "python3-serial",
    "python3-yaml",
    // images of installation media
    "xorriso",
    "genisoimage",
    "udftools",
    // validators
    "debian-installer-12-netboot-amd64", // the environment of Debian's installer, its debconf among it
    "shellcheck",
    "shfmt",    // the syntax of a script as a tree
    "wimtools", // what goes into Windows PE
    "debconf-utils",
    "libxml2-utils",
    "netplan.io",
    "ignition",
    "systemd",
    "nix-bin",
    // disks that a profile's script lays out for real
    "fdisk",
    "xfsprogs",
    "btrfs-progs",
    "lvm2",
    // what a script that knows file systems by their beginnings is compared on
    "ntfs-3g",
    "exfatprogs",
];

/// For the bench: the peers, and what loads them.
pub(crate) const BENCH: &[&str] = &[
    "iproute2",
    "curl",
    "kea-dhcp4-server",
    "kea-admin", // perfdhcp
    "dnsmasq-base",
    "atftpd",
    "nginx-light",
    "wrk",
];

/// Installs those that are missing. Does nothing, quickly, where all are there.
pub(crate) fn install(packages: &[&'static str]) -> Result<()> {
    let missing: Vec<&str> = packages.iter().copied().filter(|p| !installed(p)).collect();
    if missing.is_empty() {
        return Ok(());
    }
    eprintln!("installing {}", missing.join(" "));
    run(Command::new("apt-get").args(["update", "--quiet"]))?;
    run(Command::new("apt-get")
        .env("DEBIAN_FRONTEND", "noninteractive")
        .args(["install", "--yes", "--quiet", "--no-install-recommends"])
        .args(&missing))
}

fn installed(package: &str) -> bool {
    let state = Command::new("dpkg-query")
        .args(["-W", "-f=${db:Status-Abbrev}", package])
        .output();
    state.is_ok_and(|out| out.stdout.starts_with(b"ii"))
}

/// Runs a command and fails with its words if it fails.
pub(crate) fn run(command: &mut Command) -> Result<()> {
    let shown = format!("{command:?}");
    let status = command
        .status()
        .with_context(|| format!("{shown} could not be started"))?;
    if !status.success() {
        bail!("{shown} ended with {status}");
    }
    Ok(())
}
