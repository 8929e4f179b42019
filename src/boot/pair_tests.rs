use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use super::*;
use crate::boot::signature::tests::{authority, of_file, program};
use crate::model::artefact::LOADERS;
use crate::model::{ArtefactSource, Digest, DistroWay, Nature};

const DEBIAN: &str = "Debian Secure Boot CA";
const VENDOR: &str = "Vendor Secure Boot Root CA";

/// A distro of these artefacts; its kernel is `vmlinuz`.
fn distro(name: &str, artefacts: &[&str]) -> Distro {
    let source = || ArtefactSource::File {
        path: "x".into(),
        sha256: None,
    };
    let all = artefacts.iter().chain(&["vmlinuz"]);
    Distro {
        name: name.parse().expect("a name"),
        artefacts: all
            .map(|n| (n.to_string(), source()))
            .collect::<BTreeMap<_, _>>(),
        kernel: "vmlinuz".into(),
        kernel_uefi: None,
        initrds: Vec::new(),
        mirror: None,
        way: DistroWay::default(),
    }
}

fn put(index: &mut ArtefactIndex, distro: &str, name: &str, bytes: &[u8], tftp: bool) {
    index.insert(Artefact {
        id: ArtefactRef {
            distro: distro.into(),
            name: name.into(),
        },
        path: PathBuf::new(),
        digest: Digest::of(bytes),
        size: bytes.len() as u64,
        bytes: Some(bytes.into()),
        nature: Nature {
            tftp,
            signers: of_file(bytes).map(Arc::from),
            ..Nature::default()
        },
    });
}

/// A server of Debian's with this kernel of `rocky-9`, and a pair of its own whose GRUB has a network or
/// has none.
fn here(kernel: &[u8], pair: Option<bool>) -> ArtefactIndex {
    let mut index = ArtefactIndex::default();
    let mut shim = program(&["Microsoft Corporation UEFI CA 2011"]);
    shim.extend(authority(DEBIAN));
    put(&mut index, LOADERS, paths::SHIM, &shim, false);
    put(&mut index, "rocky-9", "vmlinuz", kernel, false);
    if let Some(tftp) = pair {
        put(&mut index, "rocky-9", paths::SHIM, b"shim", false);
        put(&mut index, "rocky-9", paths::GRUB, b"grub", tftp);
    }
    index
}

#[test]
fn a_distro_has_a_pair_if_both_are_here_and_grub_has_a_network() {
    let both = [paths::SHIM, paths::GRUB];
    let kernel = program(&[VENDOR]);
    let found = of(&distro("rocky-9", &both), &here(&kernel, Some(true)));
    let found = found.expect("a pair");
    assert_eq!(found.arch, Arch::X64Uefi);
    assert_eq!(found.shim.digest, Digest::of(b"shim"));
    assert_eq!(found.grub.id.distro, "rocky-9");
    assert_eq!(found.grub.id.name, paths::GRUB);
    let none = |distro: &Distro, here: &ArtefactIndex| assert_eq!(of(distro, here), None);
    none(&distro("rocky-9", &both), &here(&kernel, Some(false)));
    none(&distro("rocky-9", &both), &here(&kernel, None));
    // what the distro does not name any more is not its own
    none(
        &distro("rocky-9", &[paths::SHIM]),
        &here(&kernel, Some(true)),
    );
    none(&distro("rocky-9", &[]), &here(&kernel, Some(true)));
    none(&distro("rocky-8", &both), &here(&kernel, Some(true)));
    let mut efi = distro("rocky-9", &both);
    efi.way.start = Start::Efi;
    none(&efi, &here(&kernel, Some(true)));
}

#[test]
fn a_pair_for_arm_is_one_for_arm() {
    let mut index = ArtefactIndex::default();
    for name in [paths::SHIM_ARM64, paths::GRUB_ARM64] {
        put(&mut index, "sles-15", name, name.as_bytes(), true);
    }
    let distro = distro("sles-15", &[paths::SHIM_ARM64, paths::GRUB_ARM64]);
    assert_eq!(of(&distro, &index).map(|p| p.arch), Some(Arch::Arm64Uefi));
}

/// shim reads its own name out of a field of 128 bytes.
#[test]
fn a_name_that_shim_cannot_read_is_none() {
    for (length, want) in [(80, true), (81, false)] {
        let name = format!("{}.{}", "a".repeat(63), "b".repeat(length - 64));
        let mut index = here(&program(&[VENDOR]), None);
        put(&mut index, &name, "vmlinuz", &program(&[VENDOR]), false);
        for file in [paths::SHIM, paths::GRUB] {
            put(&mut index, &name, file, file.as_bytes(), true);
        }
        let distro = distro(&name, &[paths::SHIM, paths::GRUB]);
        let found = of(&distro, &index);
        assert_eq!(found.is_some(), want, "{length}");
        match found {
            Some(pair) => assert_eq!(paths::pair_path(&pair).len(), LONGEST),
            None => {
                let doubt = doubt(&distro, &index).expect("a warning").to_string();
                assert!(doubt.contains("a shorter name"), "{doubt}");
            }
        }
    }
}

#[test]
fn a_kernel_that_the_servers_shim_does_not_start_is_said() {
    let both = [paths::SHIM, paths::GRUB];
    let says = |distro: &Distro, here: &ArtefactIndex| doubt(distro, here).map(|d| d.to_string());
    let rocky = distro("rocky-9", &both);
    let check = |kernel: &[u8], pair, wanted: Option<&str>| {
        let said = says(&rocky, &here(kernel, pair));
        match (&said, wanted) {
            (None, None) => {}
            (Some(said), Some(wanted)) if said.contains(wanted) => {}
            _ => panic!("{said:?} and not {wanted:?}"),
        }
    };
    let vendor = "signed by `Vendor Secure Boot Root CA`, which that shim does not know";
    check(&program(&[VENDOR]), None, Some(vendor));
    check(&program(&[VENDOR]), None, Some("boot/rocky-9.toml"));
    check(&program(&[]), None, Some("it is not signed"));
    check(
        &program(&[VENDOR]),
        Some(false),
        Some("its own `grubx64.efi` cannot boot from a network"),
    );
    // its own pair starts it
    check(&program(&[VENDOR]), Some(true), None);
    // Debian's, and what is signed twice
    check(&program(&[DEBIAN]), None, None);
    check(&program(&[VENDOR, DEBIAN]), None, None);
    // the firmware itself may know who signed it
    check(
        &program(&["Microsoft Corporation UEFI CA 2011"]),
        None,
        None,
    );
    // nobody knows
    check(b"a compressed kernel", None, None);
    assert_eq!(says(&rocky, &ArtefactIndex::default()), None);
    let mut no_shim = ArtefactIndex::default();
    put(
        &mut no_shim,
        "rocky-9",
        "vmlinuz",
        &program(&[VENDOR]),
        false,
    );
    assert_eq!(says(&rocky, &no_shim), None);
    // of two kernels, that of UEFI
    let mut two = distro("rocky-9", &["vmlinuz.efi"]);
    two.kernel_uefi = Some("vmlinuz.efi".into());
    let mut index = here(&program(&[DEBIAN]), None);
    put(&mut index, "rocky-9", "vmlinuz.efi", &program(&[]), false);
    let said = says(&two, &index).expect("a warning");
    assert!(said.contains("`vmlinuz.efi`"), "{said}");
}
