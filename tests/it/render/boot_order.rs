//! Which device a UEFI machine starts from after an installation: the snippet against a stand-in for
//! efibootmgr, under the shells that run it.

use std::fs;
use std::path::Path;

use super::first_boot::lint;
use super::site::run;

/// Prints what efibootmgr prints, and writes down what it is told.
fn efibootmgr(folder: &Path, entries: &str) -> String {
    let path = folder.join("efibootmgr");
    let text = format!(
        "#!/bin/sh\nif [ $# = 0 ]; then cat <<'END'\n{entries}\nEND\nelse echo \"$@\" >>{}/told; fi\n",
        folder.display()
    );
    fs::write(&path, text).expect("a script");
    path.display().to_string()
}

fn told(shell: &[&str], entries: &str) -> Option<(String, String)> {
    let folder = tempfile::tempdir().expect("a folder");
    let snippet =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("profiles/base/snippets/boot-order.sh");
    lint(&snippet);
    let program = efibootmgr(folder.path(), entries);
    let script = format!(
        "set -eu; . {}; farrier_network_first sh {program}",
        snippet.display()
    );
    let (ok, out, err) = run(shell[0], &[&shell[1..], &["-c", &script]].concat(), "")?;
    assert!(ok, "{shell:?}: {err}");
    let told = fs::read_to_string(folder.path().join("told")).unwrap_or_default();
    Some((told.trim().to_string(), out))
}

#[test]
fn the_network_comes_first_and_the_new_system_second() {
    for shell in [&["dash"][..], &["busybox", "sh"], &["bash"]] {
        let check = |entries: &str, wanted: &str, says: &str| {
            if let Some((told, out)) = told(shell, entries) {
                assert_eq!(told, wanted, "{shell:?}");
                assert!(out.contains(says), "{shell:?}: {out}");
            }
        };
        // as OVMF has it after grub-install
        check(
            "BootCurrent: 0003\nTimeout: 0 seconds\nBootOrder: 0005,0003,0001,0004\n\
             Boot0001* UEFI Misc Device\tPciRoot(0x0)\nBoot0003* UEFI PXEv4 (MAC:5254004D0000)\tPciRoot\n\
             Boot0004* UEFI HTTPv4 (MAC:5254004D0000)\nBoot0005* debian\tHD(1,GPT)",
            "--quiet --bootorder 0003,0004,0005,0001",
            "",
        );
        // as servers call it
        check(
            "BootOrder: 000A,0002,0001\nBoot0001* Slot 3 NIC 1 Port 1\nBoot0002* EFI Fixed Disk\n\
             Boot000A* debian",
            "--quiet --bootorder 0001,000A,0002",
            "",
        );
        // nothing to change, and nothing is told
        check(
            "BootOrder: 0001,0002\nBoot0001* PXE IPv4 Intel\nBoot0002* debian",
            "",
            "",
        );
        check(
            "BootOrder: 0002\nBoot0002* Unicorn Storage",
            "",
            "no network in it",
        );
    }
}
