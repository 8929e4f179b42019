//! What a rack needs from this host, and which Debian package brings it: the one list that the demo,
//! the tests and `cargo xtask` read.

use std::path::Path;

/// A file that must be there, and the package that brings it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Need {
    /// The file.
    pub path: &'static str,
    /// Its package in Debian 12.
    pub package: &'static str,
    /// What it is for, to be told to a person.
    pub why: &'static str,
}

const fn need(path: &'static str, package: &'static str, why: &'static str) -> Need {
    Need { path, package, why }
}

/// The network alone.
pub const NETWORK: &[Need] = &[need("/usr/sbin/ip", "iproute2", "a private network")];

/// Virtual machines with real firmware.
pub const MACHINES: &[Need] = &[
    need(
        "/usr/bin/qemu-system-x86_64",
        "qemu-system-x86",
        "virtual machines",
    ),
    need(
        "/usr/lib/ipxe/qemu/pxe-virtio.rom",
        "ipxe-qemu",
        "the boot ROM of a BIOS machine",
    ),
    need("/usr/share/OVMF/OVMF_CODE_4M.fd", "ovmf", "UEFI firmware"),
];

/// Network boot loaders that Farrier serves from the host's packages.
pub const LOADERS: &[Need] = &[
    need("/usr/lib/ipxe/snponly.efi", "ipxe", "iPXE"),
    need(
        "/usr/lib/shim/shimx64.efi.signed",
        "shim-signed",
        "Secure Boot",
    ),
    need(
        "/usr/lib/grub/x86_64-efi-signed/grubnetx64.efi.signed",
        "grub-efi-amd64-signed",
        "Secure Boot",
    ),
];

/// What the builder of FAI's boot tree runs.
pub const FAI: &[Need] = &[
    need(
        "/usr/sbin/fai-make-nfsroot",
        "fai-server",
        "FAI's boot tree",
    ),
    need(
        "/usr/bin/mksquashfs",
        "squashfs-tools",
        "FAI's boot tree as one file",
    ),
    need("/usr/sbin/debootstrap", "debootstrap", "FAI's boot tree"),
];

/// Another DHCP server on the same wire.
pub const NEIGHBOUR: &[Need] = &[need(
    "/usr/sbin/dnsmasq",
    "dnsmasq-base",
    "a DHCP server to stand beside",
)];

/// DHCP, TFTP and HTTP clients that the tests put on the wire.
pub const CLIENTS: &[Need] = &[
    need("/usr/sbin/dhclient", "isc-dhcp-client", "a DHCP client"),
    need("/usr/bin/udhcpc", "udhcpc", "a DHCP client"),
    need("/usr/sbin/dhcpcd", "dhcpcd5", "a DHCP client"),
    need("/usr/sbin/dhcrelay", "isc-dhcp-relay", "a DHCP relay"),
    need("/usr/bin/tftp", "tftp-hpa", "a TFTP client"),
    need("/usr/bin/atftp", "atftp", "a TFTP client"),
    need("/usr/bin/curl", "curl", "an HTTP client"),
    need("/usr/bin/busybox", "busybox", "a TFTP client"),
];

/// What opens encrypted disks: a key server, and a chip in software.
pub const KEYS: &[Need] = &[
    need("/usr/libexec/tangd", "tang-common", "a Tang server"),
    need("/usr/bin/jose", "jose", "a Tang server's thumbprint"),
    need("/usr/bin/swtpm", "swtpm", "a TPM 2"),
];

/// What makes a disk that boots, for machines that are told to boot their own.
pub const DISKS: &[Need] = &[
    need("/usr/bin/mcopy", "mtools", "disks that boot"),
    need("/usr/sbin/mkfs.vfat", "dosfstools", "disks that boot"),
    need("/usr/sbin/parted", "parted", "disks that boot"),
];

/// What the benchmark compares Farrier with, and the tools that load both.
pub const PEERS: &[Need] = &[
    need(
        "/usr/sbin/kea-dhcp4",
        "kea-dhcp4-server",
        "the DHCP server to beat",
    ),
    need("/usr/sbin/perfdhcp", "kea-admin", "DHCP load"),
    need(
        "/usr/sbin/nginx",
        "nginx-light",
        "the HTTP server to stand beside",
    ),
    need("/usr/bin/wrk", "wrk", "HTTP load"),
    need(
        "/usr/sbin/dnsmasq",
        "dnsmasq-base",
        "a DHCP and TFTP server",
    ),
    need("/usr/sbin/atftpd", "atftpd", "a TFTP server"),
    need("/usr/bin/ss", "iproute2", "to see that a port is open"),
];

/// Those that are not there.
pub fn missing(lists: &[&[Need]]) -> Vec<Need> {
    let all = lists.iter().flat_map(|l| l.iter());
    all.filter(|n| !present(n.path)).copied().collect()
}

/// The packages of these needs, each once, in order.
pub fn packages(needs: &[Need]) -> Vec<&'static str> {
    let mut packages = Vec::new();
    for need in needs {
        if !packages.contains(&need.package) {
            packages.push(need.package);
        }
    }
    packages
}

/// Whether this process is root.
pub fn is_root() -> bool {
    nix::unistd::geteuid().is_root()
}

/// Programs move between `bin` and `sbin`, with or without `/usr`, from release to release.
fn present(path: &str) -> bool {
    if Path::new(path).exists() {
        return true;
    }
    let Some((directory, name)) = path.rsplit_once('/') else {
        return false;
    };
    directory.ends_with("bin")
        && ["/usr/sbin", "/usr/bin", "/sbin", "/bin"]
            .iter()
            .any(|d| Path::new(d).join(name).exists())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_package_is_named_once() {
        let needs = [
            need("/no/such/a", "p", ""),
            need("/no/such/b", "q", ""),
            need("/no/such/c", "p", ""),
            need("/proc", "r", ""),
        ];
        assert_eq!(packages(&missing(&[&needs])), ["p", "q"]);
    }
}
