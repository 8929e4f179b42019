//! What a disk is said to hold, by the scripts that ask for the permit to overwrite it: real blkid and
//! wipefs on a loop device with partitions, under the shells that run them.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::site::run;

/// Partitions of a disk, one to a kind of content; the numbers below are theirs. A pool of ZFS has 64 MiB at least.
const TABLE: &str = "label: gpt
size=8MiB, type=0FC63DAF-8483-4772-8E79-3D69D8477DE4
size=80MiB, type=0FC63DAF-8483-4772-8E79-3D69D8477DE4
size=1MiB, type=21686148-6449-6E6F-744E-656564454649
size=4MiB, type=0FC63DAF-8483-4772-8E79-3D69D8477DE4
size=4MiB, type=37AFFC90-EF7D-4E96-91C3-2D7AE055B174
size=4MiB, type=AA31E02A-400F-11DB-9590-000C2911D1B8
";

/// A disk that is given back to the host in the end.
struct Disk {
    _dir: tempfile::TempDir,
    node: String,
}

impl Drop for Disk {
    fn drop(&mut self) {
        let free = format!("partx --delete {0}; losetup --detach {0}", self.node);
        sh(&free);
    }
}

impl Disk {
    /// None, and said loudly, without the right to a loop device with partitions.
    fn new(table: &str) -> Option<Disk> {
        let dir = tempfile::tempdir().expect("a folder");
        let image = dir.path().join("disk");
        let file = std::fs::File::create(&image).expect("a file");
        file.set_len(256 << 20).expect("a size");
        if !table.is_empty() {
            let layout = dir.path().join("layout");
            std::fs::write(&layout, table).expect("a file");
            sh(&format!(
                "sfdisk -q {} <{}",
                image.display(),
                layout.display()
            ))?;
        }
        let node = sh(&format!("losetup --find --show {}", image.display()))?;
        let disk = Disk { _dir: dir, node };
        // not every kernel reads a GPT by itself
        if !table.is_empty() {
            sh(&format!("partx --add {0} && [ -b {0}p1 ]", disk.node))?;
        }
        Some(disk)
    }

    /// Does something to it; `$DISK` is its name, `put TEXT OFFSET DEVICE` writes a few bytes.
    fn does(&self, script: &str) {
        let put =
            "put() { printf \"$1\" | dd of=\"$3\" bs=1 seek=\"$2\" conv=notrunc 2>/dev/null; }";
        let done = sh(&format!(
            "set -e; DISK={}; {put}; {script}; sync",
            self.node
        ));
        assert!(done.is_some(), "{script}");
    }

    /// What both scripts say that it holds; they and all shells must agree, but for the names that
    /// wipefs alone knows, which are of `more`.
    fn holds(&self, wanted: &str, more: &str) {
        let (node, name) = (&self.node, self.node.trim_start_matches("/dev/"));
        let report = root().join("profiles/base/snippets/report.sh");
        let ask = format!("farrier_contents {node} /sys/block/{name}");
        let report = format!("set -u; . {}; ", report.display());
        let mut words: Vec<&str> = wanted.split(',').collect();
        if !more.is_empty() {
            words.extend(more.split(','));
            words.sort_unstable();
        }
        let all = words.join(",");
        for shell in [&["dash"][..], &["busybox", "sh"], &["bash"]] {
            let call = |before: &str| {
                let script = format!("{report}{before}{ask}");
                let (ok, out, err) =
                    run(shell[0], &[&shell[1..], &["-c", &script]].concat(), "").expect("a shell");
                assert!(ok, "{err}");
                out
            };
            assert_eq!(call(""), all, "{shell:?}");
            // as in an installer without wipefs
            let without = "command() { [ \"$2\" != wipefs ]; }; ";
            assert_eq!(call(without), wanted, "{shell:?} without wipefs");
        }
        let hook = root().join("profiles/fai/config/hooks/partition.FARRIER.sh");
        let hook = std::fs::read_to_string(hook).expect("the hook");
        let (functions, _) = hook
            .split_once("\nfarrier_permission\n")
            .expect("its functions end");
        let lsblk = "lsblk() { command lsblk \"$@\" | sed 's/ loop$/ disk/'; }";
        let script = format!("{functions}\n{lsblk}\nfarrier_contents {node}");
        let (ok, out, err) = run("bash", &["-c", &script], "").expect("bash");
        assert!(ok, "{err}");
        assert_eq!(out, all, "FAI");
    }
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).to_path_buf()
}

/// What a script printed, if it went well.
fn sh(script: &str) -> Option<String> {
    let done = Command::new("sh").args(["-c", script]).output().ok()?;
    let told = String::from_utf8_lossy(&done.stderr);
    if !done.status.success() {
        crate::skipped!("needs root, sfdisk and loop devices: {script}: {told}");
        return None;
    }
    Some(String::from_utf8_lossy(&done.stdout).trim().to_string())
}

#[test]
fn what_blkid_cannot_name_is_not_taken_for_empty() {
    let Some(disk) = Disk::new(TABLE) else { return };
    // the table says whose the last two are
    disk.holds("gpfs,gpt,vmfs", "");
    disk.does("mkfs.ext4 -q -F ${DISK}p1");
    disk.holds("ext4,gpfs,gpt,vmfs", "");
    // GRUB's core image has no signature, and is in a partition made for it
    disk.does("put 'raw' 0 ${DISK}p3");
    disk.holds("ext4,gpfs,gpt,vmfs", "");
    disk.does("put 'raw' 70000 ${DISK}p2");
    disk.holds("ext4,gpfs,gpt,unknown,vmfs", "");
    // a byte that is no text in UTF-8, and a line end
    for byte in ["\\377", "\\n"] {
        disk.does("dd if=/dev/zero of=${DISK}p2 bs=1M count=1 conv=notrunc 2>/dev/null");
        disk.holds("ext4,gpfs,gpt,vmfs", "");
        disk.does(&format!("put '{byte}' 5 ${{DISK}}p2"));
        disk.holds("ext4,gpfs,gpt,unknown,vmfs", "");
    }
}

#[test]
fn two_signatures_in_one_partition_are_both_named() {
    let Some(disk) = Disk::new(TABLE) else { return };
    disk.does("mkfs.ext4 -q -F ${DISK}p1; put '\\136\\361\\253\\057' 2097152 ${DISK}p1");
    let ambivalent = |number: u32| {
        let ask = format!("blkid -p {}p{number} 2>/dev/null; echo $?", disk.node);
        assert_eq!(sh(&ask).as_deref(), Some("8"), "else nothing is seen");
    };
    ambivalent(1);
    disk.holds("VMFS,gpfs,gpt,unknown,vmfs", "ext4");
    // the uberblocks of a pool, at the places where their ring is
    disk.does("mkfs.ext4 -q -F ${DISK}p2");
    for number in 0..8 {
        let at = 131_072 + number * 1024;
        disk.does(&format!(
            "put '\\014\\261\\272\\000\\000\\000\\000\\000' {at} ${{DISK}}p2"
        ));
    }
    ambivalent(2);
    disk.holds("VMFS,gpfs,gpt,unknown,vmfs,zfs_member", "ext4");
}

#[test]
fn whole_disks_and_old_tables_are_looked_at_too() {
    let Some(disk) = Disk::new("") else { return };
    disk.holds("blank", "");
    disk.does("put 'data' 1000000 $DISK");
    disk.holds("unknown", "");
    // as the first target of a Lustre file system looks before it is mounted
    disk.does("mkfs.ext4 -q -F -L scratch:OST0000 $DISK");
    disk.holds("ext4,lustre", "");
    let table = "label: dos\nsize=4MiB, type=41\nsize=8MiB, type=83\ntype=5\nsize=4MiB, type=83\n";
    let Some(disk) = Disk::new(table) else { return };
    disk.does("put raw 0 ${DISK}p1");
    disk.holds("dos", "");
    disk.does("put raw 0 ${DISK}p5");
    disk.holds("dos,unknown", "");
    // a disk's image inside of a partition
    disk.does("dd if=/dev/zero of=${DISK}p5 bs=1M count=1 conv=notrunc 2>/dev/null");
    disk.does("printf 'label: gpt\\nsize=1MiB\\n' | sfdisk -q ${DISK}p2");
    disk.holds("dos,gpt,unknown", "");
}

/// What report.sh says, in every shell, of a disk that /sys shows like this.
fn said(call: &str, files: &[(&str, &[u8])], wanted: &str) {
    let dir = tempfile::tempdir().expect("a folder");
    for (name, bytes) in files {
        let path = dir.path().join(name);
        std::fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
        std::fs::write(path, bytes).expect("a file");
    }
    let report = root().join("profiles/base/snippets/report.sh");
    let script = format!(
        "set -u; . {}; udevadm() {{ return 1; }}; {call} {}",
        report.display(),
        dir.path().display()
    );
    for shell in [&["dash"][..], &["busybox", "sh"], &["bash"]] {
        let (ok, out, err) =
            run(shell[0], &[&shell[1..], &["-c", &script]].concat(), "").expect("a shell");
        assert!(ok && out.trim_end() == wanted, "{shell:?}: {out}{err}");
    }
}

#[test]
fn a_disk_over_a_network_is_told_by_every_path() {
    let bus = "farrier_bus nvme0n1 /dev/nvme0n1";
    said(bus, &[("device/transport", b"pcie\n")], "nvme");
    said(bus, &[("device/transport", b"tcp\n")], "nvme-tcp");
    // the disk of a subsystem with two paths
    let head = |transport: &'static [u8]| {
        [
            ("device/nqn", &b"nqn.2014-08.org.nvmexpress:uuid:1\n"[..]),
            ("device/nvme0/transport", transport),
            ("device/nvme1/transport", transport),
            ("device/nvme0n1/size", b"8\n"),
        ]
    };
    said(bus, &head(b"rdma\n"), "nvme-rdma");
    said(bus, &head(b"pcie\n"), "nvme");
    said(bus, &[("size", b"8\n")], "nvme");
}

#[test]
fn without_udev_serial_and_name_are_the_kernels() {
    let serial = "farrier_serial /dev/sda";
    said(serial, &[("serial", b"S1\n")], "S1");
    let page = b"\x00\x80\x00\x14        S3EVNX0K\x00\x00\x00\x00";
    said(serial, &[("device/vpd_pg80", page)], "        S3EVNX0K");
    said(
        "farrier_wwn /dev/sda",
        &[("device/wwid", b"naa.5000c500a1b2c3d4\n")],
        "0x5000c500a1b2c3d4",
    );
    said(
        "farrier_wwn /dev/nvme0n1",
        &[("wwid", b"eui.0025385b91b01234\n")],
        "eui.0025385b91b01234",
    );
}
