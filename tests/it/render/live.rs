//! What the scripts of live systems make of disks and interfaces that look alike: the parts that need
//! nothing of the system itself, cut out of what is rendered, under the shells that run them.

use std::path::Path;
use std::process::Command;

use super::debian;
use super::site::{of, place, run, system};
use super::tier3::{sound, text};

/// What stands between two texts, the first with it.
fn part<'a>(script: &'a str, from: &str, to: &str) -> &'a str {
    let at = script
        .find(from)
        .unwrap_or_else(|| panic!("no {from}: {script}"));
    let rest = &script[at..];
    let end = rest
        .find(to)
        .unwrap_or_else(|| panic!("no {to} after {from}"));
    &rest[..end]
}

fn shell(shell: &[&str], script: &str) -> (bool, String, String) {
    run(shell[0], &[&shell[1..], &["-c", script]].concat(), "").expect("a shell")
}

const BUSYBOX: [&str; 2] = ["busybox", "sh"];

/// A disk, what is its own, and what only looks so.
const DISKS: [(&str, &[&str], &[&str]); 3] = [
    (
        "nvme0n1",
        &["nvme0n1p1", "nvme0n1p15"],
        &["nvme0n10", "nvme0n10p1", "nvme0n12"],
    ),
    ("mmcblk1", &["mmcblk1p2"], &["mmcblk10", "mmcblk10p1"]),
    ("sda", &["sda1", "sda12"], &["sdaa", "sdaa1"]),
];

#[test]
fn nixos_forgets_what_was_on_its_disk_and_on_no_other() {
    let made = of("nixos", &system("web01"), &place()).expect("rendered");
    let storage = debian::text(&made, "storage.sh");
    let wiping = part(storage, "set -eu\n", "\n{\n");
    for (disk, own, others) in DISKS {
        let dir = tempfile::tempdir().expect("a folder");
        let at = |name: &str| dir.path().join(name).display().to_string();
        for name in [&[disk], own, others].concat() {
            // it looks for block devices; there is nothing behind these
            let made = Command::new("mknod")
                .args([&at(name), "b", "7", "254"])
                .status();
            if !made.is_ok_and(|s| s.success()) {
                eprintln!("SKIPPED: needs the right to make device nodes");
                return;
            }
        }
        let tools = "vgchange() { :; }; wipefs() { echo \"${3##*/}\"; }";
        let script = format!("{tools}; set -- {} /mnt; {wiping}", at(disk));
        for program in [&["bash"][..], &["dash"]] {
            let (ok, out, err) = shell(program, &script);
            assert!(ok, "{err}");
            let wiped: Vec<&str> = out.lines().collect();
            assert_eq!(wiped, [own, &[disk]].concat());
        }
    }
}

#[test]
fn alpine_hands_over_on_its_own_last_partition() {
    let script = text(&sound("alpine", ""), "install.sh");
    let finding = part(&script, "    case $disk in\n", "    mkdir -p /mnt");
    for (disk, own, others) in DISKS {
        let dir = tempfile::tempdir().expect("a folder");
        for name in [&[disk], own, others].concat() {
            std::fs::write(dir.path().join(name), "").expect("a file");
        }
        let disk = dir.path().join(disk).display().to_string();
        let script = format!("disk={disk}\n{finding}\necho \"${{root##*/}}\"");
        let (ok, out, err) = shell(&BUSYBOX, &script);
        assert!(ok, "{err}");
        assert_eq!(out.trim(), own[own.len() - 1]);
    }
}
