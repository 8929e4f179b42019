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
                crate::skipped!("needs the right to make device nodes");
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

/// /sys with two interfaces, of which the second is the declared one, and a bridge with its address.
fn interfaces(sys: &Path) {
    for (name, mac, device) in [
        ("eth0", "52:54:00:00:00:ff", true),
        ("br0", "52:54:00:00:00:01", false),
        ("eth1", "52:54:00:00:00:01", true),
    ] {
        let at = sys.join("class/net").join(name);
        std::fs::create_dir_all(&at).expect("a folder");
        std::fs::write(at.join("address"), format!("{mac}\n")).expect("a file");
        if device {
            std::fs::create_dir(at.join("device")).expect("a folder");
        }
    }
}

#[test]
fn alpine_knows_its_interface_without_a_router() {
    let script = text(&sound("alpine", "static_ip = true\n"), "install.sh");
    let finding = part(&script, "find_interface() {", "prepare() {");
    for shells in [&BUSYBOX[..], &["dash"]] {
        let dir = tempfile::tempdir().expect("a folder");
        interfaces(dir.path());
        let find = format!(
            "set -e; FARRIER_SYS={}\n{finding}\ninterface=$(find_interface); echo \"$interface\"",
            dir.path().display()
        );
        let (ok, out, err) = shell(shells, &find);
        assert!(ok && out == "eth1\n", "{out}{err}");
        std::fs::remove_dir_all(dir.path().join("class/net/eth1")).expect("unplugged");
        let (ok, out, err) = shell(shells, &find);
        assert!(!ok && out.is_empty(), "{out}");
        assert_eq!(
            err,
            "no interface of this machine has the address 52:54:00:00:00:01\n"
        );
    }
}

#[test]
fn alpine_refuses_a_disk_that_a_bios_could_not_use() {
    let script = text(&sound("alpine", ""), "install.sh");
    let judging = part(&script, "if [ ! -d \"${FARRIER_SYS", "# The interface");
    for (sectors, sector, efi, refused) in [
        ("4294967295", "512", false, false),
        ("4294967296", "512", false, true),
        ("7814037168", "512", true, false),
        ("7814037168", "4096", false, false),
        ("34359738368", "4096", false, true),
    ] {
        let dir = tempfile::tempdir().expect("a folder");
        let at = dir.path().join("block/vda/queue");
        std::fs::create_dir_all(&at).expect("a folder");
        std::fs::write(at.join("logical_block_size"), sector).expect("a file");
        std::fs::write(dir.path().join("block/vda/size"), sectors).expect("a file");
        if efi {
            std::fs::create_dir_all(dir.path().join("firmware/efi")).expect("a folder");
        }
        let script = format!(
            "FARRIER_SYS={} disk=/dev/vda log=log\nfarrier_fail() {{ echo \"$1: $3\"; }}; farrier_leave() {{ exit 3; }}\n{judging}",
            dir.path().display()
        );
        let (ok, out, err) = shell(&BUSYBOX, &script);
        assert_eq!(ok, !refused, "{sectors} of {sector}: {out}{err}");
        assert!(
            out.is_empty() || out.starts_with("partition: /dev/vda is larger than 2 TiB"),
            "{out}"
        );
    }
}

/// What FreeBSD's `camcontrol devlist -v` prints of a machine with one of each.
const CAM: &str = "scbus0 on ahcich0 bus 0:
<SAMSUNG MZ7KH480 HXM7904Q>        at scbus0 target 0 lun 0 (pass0,ada0)
<>                                 at scbus0 target -1 lun ffffffff ()
scbus1 on mps0 bus 0:
<SEAGATE ST8000NM (R) E002>        at scbus1 target 8 lun 0 (pass1,da0)
scbus2 on umass-sim0 bus 0:
<Kingston DataTraveler 3.0>        at scbus2 target 0 lun 0 (da1,pass2)
scbus3 on isp0 bus 0:
<NETAPP LUN C-Mode 9131>           at scbus3 target 0 lun 0 (pass3,da2)
scbus4 on iscsi1 bus 0:
<FreeBSD iSCSI DISK 0123>          at scbus4 target 0 lun 0 (pass4,da10)
scbus5 on nvme0 bus 0:
<INTEL SSDPE2KX010T8>              at scbus5 target 0 lun 1 (pass5,nda0)
scbus6 on mpt0 bus 0:
<HGST HUS72 A1>                    at scbus6 target 0 lun 0 (pass6,da3)
scbus-1 on xpt0 bus 0:
<>                                 at scbus-1 target -1 lun ffffffff (xpt0)
";

#[test]
fn freebsd_says_how_each_disk_is_attached() {
    let script = text(&sound("freebsd", ""), "install.sh");
    let functions = part(&script, "encode() {", "write() {");
    let dir = tempfile::tempdir().expect("a folder");
    std::fs::write(dir.path().join("list"), CAM).expect("a file");
    let script = format!(
        "dir={}\n\
         camcontrol() {{ case \"$1 $2\" in devlist*) cat \"$dir/list\" ;; 'inquiry da1') \
         echo 'pass2: <Kingston DataTraveler 3.0> Removable Direct Access SPC-4 SCSI device' ;; \
         inquiry*) echo 'pass1: <SEAGATE ST8000NM (R) E002> Fixed Direct Access SPC-4 SCSI device' ;; esac; }}\n\
         sysctl() {{ echo cd0 ada0 da0 da1 da2 da10 da3 nda0 nvd0 vtbd0 mmcsd0 mfid0; }}\n\
         diskinfo() {{ echo \"$1 512 8000000000 1\"; }}; geom() {{ :; }}; gpart() {{ false; }}; dd() {{ head -c 4096 /dev/zero; }}\n\
         {functions}\ndisks",
        dir.path().display()
    );
    let (ok, out, err) = shell(&["dash"], &script);
    assert!(ok, "{err}");
    let word = |line: &str, name: &str| {
        let value = line
            .split(' ')
            .find_map(|w| w.strip_prefix(&format!("{name}=")));
        value.expect("a word").to_string()
    };
    let told: Vec<String> = out
        .lines()
        .map(|l| {
            format!(
                "{} {} {}",
                word(l, "path"),
                word(l, "bus"),
                word(l, "removable")
            )
        })
        .collect();
    let expected = [
        "/dev/ada0 sata 0",
        "/dev/da0 sas 0",
        "/dev/da1 usb 1",
        "/dev/da2 fc 0",
        "/dev/da10 iscsi 0",
        // its driver serves both SAS and Fibre Channel
        "/dev/da3 untold 0",
        "/dev/nda0 nvme 0",
        "/dev/nvd0 nvme 0",
        "/dev/vtbd0 virtio 0",
        "/dev/mmcsd0 mmc 0",
        "/dev/mfid0 raid 0",
    ];
    assert_eq!(told, expected, "{out}");
    assert!(out.lines().all(|l| word(l, "contents") == "blank"), "{out}");
}

#[test]
fn freebsd_knows_its_interface_without_a_router() {
    let script = text(&sound("freebsd", "static_ip = true\n"), "install.sh");
    let finding = part(&script, "interface=\n", "disks >");
    let nics = "ifconfig() { case $1 in -l) echo igb0 igb1 ;; \
        igb0) printf 'igb0: flags=8843<UP>\\n\\tether 52:54:00:00:00:ff\\n' ;; \
        *) printf 'igb1: flags=8843<UP>\\n\\tether %s\\n\\thwaddr 52:54:00:00:00:09\\n' \"$MAC\" ;; esac; }\n\
        fail() { echo \"$1: $2\"; exit 3; }\n";
    for (mac, ok, told) in [
        ("52:54:00:00:00:01", true, "igb1\n"),
        (
            "52:54:00:00:00:02",
            false,
            "setup: no interface of this machine has the address 52:54:00:00:00:01\n",
        ),
    ] {
        let script = format!("MAC={mac}\n{nics}{finding}\necho \"$interface\"");
        let (went, out, err) = shell(&["dash"], &script);
        assert_eq!((went, out.as_str()), (ok, told), "{err}");
    }
}

#[test]
fn openbsd_is_told_that_there_is_no_router() {
    let machine = super::tier3::machine(
        "openbsd",
        "static_ip = true\ndisk = { path = \"/dev/sd0\" }\n",
    );
    for (router, line) in [
        (true, "Default IPv4 route = 10.77.0.1\n"),
        (false, "Default IPv4 route = none\n"),
    ] {
        let mut at = place();
        let subnet = at.subnet.as_mut().expect("a subnet");
        if !router {
            subnet.router = None;
        }
        let made = of("openbsd", &machine, &at).expect("rendered");
        let answers = text(&made, "install.conf");
        assert!(answers.contains(line), "{answers}");
    }
}
