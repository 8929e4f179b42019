//! The network of the installer's initial RAM disk, by the program that makes it there from the kernel's
//! command line: NetworkManager's nm-initrd-generator, which dracut runs in RHEL 8 and later, Fedora, and
//! the live system of Agama. Debian has the same program.

use std::path::{Path, PathBuf};
use std::process::Command;

use farrier::model::Firmware;

use super::{RICH, rendered};
use crate::render::site::{declared_as, system};

const GENERATOR: &str = "usr/lib/NetworkManager/nm-initrd-generator";

/// Its packages unpacked; installed, NetworkManager would take over this host's network.
fn packages() -> PathBuf {
    let place = Path::new(env!("CARGO_TARGET_TMPDIR")).join("nm-initrd");
    if place.join(GENERATOR).exists() {
        return place;
    }
    let scratch = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a directory");
    let script = "apt-get -q download network-manager libnm0 && for d in *.deb; do dpkg-deb -x $d unpacked; done";
    let got = Command::new("sh")
        .args(["-ec", script])
        .current_dir(scratch.path())
        .output()
        .expect("apt-get");
    let said = String::from_utf8_lossy(&got.stderr);
    assert!(
        got.status.success(),
        "network-manager could not be had: {said}"
    );
    // Another test may have been faster.
    let _there = std::fs::rename(scratch.path().join("unpacked"), &place).is_ok();
    place
}

/// The connections that it makes of a command line; none, and said loudly, if it does not start here.
fn connections(cmdline: &str) -> Option<String> {
    let packages = packages();
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
        eprintln!("SKIPPED: nm-initrd-generator does not start here: {out:?}");
        return None;
    }
    Some(String::from_utf8_lossy(&out.stdout).into_owned())
}

#[test]
fn the_interface_that_boots_is_configured_and_no_other() {
    let fixed = "address1=10.77.0.11/24,10.77.0.1";
    for profile in ["rocky-8", "rocky-9", "rocky-10", "fedora", "leap-16"] {
        for (machine, wanted, unwanted) in [
            (system("web01"), "method=auto", fixed),
            (
                declared_as("web02", "static_ip = true"),
                fixed,
                "method=auto",
            ),
        ] {
            let made = rendered(profile, &machine, Firmware::UEFI);
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
            assert!(
                four.contains(wanted) && !four.contains(unwanted),
                "{profile}: {said}"
            );
            if wanted == fixed {
                assert!(four.contains("dns=10.77.0.1;"), "{profile}: {said}");
            }
        }
    }
    // bonds and VLANs are for the installed system; the installer has the first interface as it stands
    let made = rendered("rocky-9", &declared_as("rich", RICH), Firmware::UEFI);
    let Some(said) = connections(&made.cmdline) else {
        return;
    };
    assert_eq!(said.matches("*** Connection ").count(), 1, "{said}");
    assert!(said.contains(fixed) && !said.contains("bond"), "{said}");
    // what opens an encrypted disk by Tang has the same line in the installed system
    let storage = super::text(&made, "storage.ks");
    let append = storage.split("--append='").nth(1).expect("options");
    let append = append.split('\'').next().expect("its end");
    let said = connections(append).expect("it started before");
    assert!(said.contains(fixed), "{said}");
    assert!(said.contains("mac-address=52:54:00:00:00:01"), "{said}");
}
