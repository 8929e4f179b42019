//! The network of the installer's initial RAM disk, by the programs that make it there from the kernel's
//! command line: NetworkManager's nm-initrd-generator, which dracut runs in RHEL 8 and later, Fedora, and
//! the live system of Agama; and dracut's own scripts (`initramfs/dracut.rs`). Debian has the same programs.

mod dracut;

use std::path::{Path, PathBuf};
use std::process::Command;

use farrier::model::Firmware;

use super::anaconda::{PROFILES, RICH};
use super::debian::text;
use super::site::{declared_as, rendered, system};

const GENERATOR: &str = "usr/lib/NetworkManager/nm-initrd-generator";

/// These packages unpacked, and not installed: NetworkManager would take over this host's network, and
/// dracut its initial RAM disk. `witness` is a file of theirs.
fn unpacked(name: &str, packages: &str, witness: &str) -> PathBuf {
    let place = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    if place.join(witness).exists() {
        return place;
    }
    let scratch = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a directory");
    let script = format!(
        "apt-get -q download {packages} && for d in *.deb; do dpkg-deb -x $d unpacked; done"
    );
    let got = Command::new("sh")
        .args(["-ec", &script])
        .current_dir(scratch.path())
        .output()
        .expect("apt-get");
    let said = String::from_utf8_lossy(&got.stderr);
    assert!(got.status.success(), "{packages} could not be had: {said}");
    // Another test may have been faster.
    let _there = std::fs::rename(scratch.path().join("unpacked"), &place).is_ok();
    place
}

/// The connections that it makes of a command line; none, and said loudly, if it does not start here.
fn connections(cmdline: &str) -> Option<String> {
    let packages = unpacked("nm-initrd", "network-manager libnm0", GENERATOR);
    let empty = tempfile::tempdir().expect("a folder");
    let out = Command::new(packages.join(GENERATOR))
        .args(["--stdout", "--sysfs-dir"])
        .arg(empty.path())
        .arg("--")
        .args(cmdline.split(' '))
        .env("LD_LIBRARY_PATH", packages.join("usr/lib/x86_64-linux-gnu"))
        .output()
        .expect("nm-initrd-generator");
    if !out.status.success() {
        crate::skipped!("nm-initrd-generator does not start here: {out:?}");
        return None;
    }
    Some(String::from_utf8_lossy(&out.stdout).into_owned())
}

const FIXED: &str = "address1=10.77.0.11/24,10.77.0.1";

#[test]
fn the_interface_that_boots_is_configured_and_no_other() {
    // the live system of Fedora CoreOS takes a lease whatever the installed system will have
    let more = [
        ("leap-16", FIXED),
        ("sles-16", FIXED),
        ("fedora-coreos", "method=auto"),
    ];
    let anaconda = PROFILES.map(|(profile, _)| (profile, FIXED));
    for (profile, fixed) in anaconda.into_iter().chain(more) {
        for (machine, wanted) in [
            (system("web01"), "method=auto"),
            (declared_as("web02", "static_ip = true"), fixed),
        ] {
            let made = rendered(profile, &machine, Firmware::UEFI);
            let same = rendered(profile, &machine, Firmware::BIOS);
            assert_eq!(made.cmdline, same.cmdline, "{profile}");
            let Some(said) = connections(&made.cmdline) else {
                return;
            };
            assert_eq!(
                said.matches("*** Connection ").count(),
                1,
                "{profile}: {said}"
            );
            assert!(
                said.contains("mac-address=52:54:00:00:00:01"),
                "{profile}: {said}"
            );
            let (_, four) = said.split_once("[ipv4]").expect("IPv4");
            let (four, _) = four.split_once("[ipv6]").expect("IPv6");
            assert!(four.contains(wanted), "{profile}: {said}");
            let both = four.contains("method=auto") && four.contains("address1=");
            assert!(!both, "{profile}: {said}");
            if wanted == FIXED {
                assert!(four.contains("dns=10.77.0.1;"), "{profile}: {said}");
            }
        }
    }
}

#[test]
fn bonds_and_vlans_are_for_the_installed_system() {
    // the installer has the first interface as it stands
    let made = rendered("rocky-9", &declared_as("rich", RICH), Firmware::UEFI);
    let Some(said) = connections(&made.cmdline) else {
        return;
    };
    assert_eq!(said.matches("*** Connection ").count(), 1, "{said}");
    assert!(said.contains(FIXED) && !said.contains("bond"), "{said}");
    // what opens an encrypted disk by Tang has the same line in the installed system
    let storage = text(&made, "storage.ks");
    let append = storage.split("--append='").nth(1).expect("options");
    let append = append.split('\'').next().expect("its end");
    let said = connections(append).expect("it started before");
    assert!(said.contains(FIXED), "{said}");
    assert!(said.contains("mac-address=52:54:00:00:00:01"), "{said}");
}
