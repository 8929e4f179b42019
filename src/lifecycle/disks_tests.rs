use super::*;

const TWO: &str = "path=/dev/vda size=21474836480 serial=ROOT model=QEMU%20HARDDISK wwn=0x5000c500 bus=virtio removable=0 contents=blank\n\
path=/dev/nvme0n1 size=1000204886016 serial=S3EVNX0K model=Samsung%20SSD%20970 bus=nvme removable=0 contents=gpt,ext4,swap links=/dev/disk/by-path/pci-0000:01:00.0-nvme-1\n";

fn rule(text: &str) -> DiskRule {
    let mut rule = DiskRule::default();
    for (name, value) in text.split_whitespace().filter_map(|w| w.split_once('=')) {
        let value = value.replace('_', " ");
        match name {
            "serial" => rule.serial = Some(value),
            "wwn" => rule.wwn = Some(value),
            "path" => rule.path = Some(value),
            "model" => rule.model = Some(value),
            "min" => rule.min_size = value.parse().ok(),
            "max" => rule.max_size = value.parse().ok(),
            other => panic!("{other}"),
        }
    }
    rule
}

/// `expect`: a device path, or part of the refusal.
fn check(disks: &str, rule_text: &str, may_destroy: &str, wipe: bool, expect: &str) {
    let found = parse(disks).expect("a report");
    let words: Vec<String> = may_destroy.split_whitespace().map(str::to_string).collect();
    let permission = Permission {
        may_destroy: &words,
        wipe,
        unfinished: &[],
    };
    let chosen = choose(&rule(rule_text), permission, &found);
    match (chosen, expect.starts_with("/dev/")) {
        (Ok(disk), true) => assert_eq!(disk.path, expect, "{rule_text}"),
        (Err(sentence), false) => assert!(sentence.contains(expect), "{sentence}"),
        (got, _) => panic!("{disks} {rule_text} {may_destroy} {wipe}: {got:?}, not {expect}"),
    }
}

#[test]
fn exactly_one_disk_matches_or_none_is_written() {
    check(TWO, "serial=ROOT", "blank", false, "/dev/vda");
    check(TWO, "serial=root", "blank", false, "/dev/vda");
    check(TWO, "wwn=5000C500", "blank", false, "/dev/vda");
    check(TWO, "path=/dev/vda", "blank", false, "/dev/vda");
    check(TWO, "model=samsung", "linux", false, "/dev/nvme0n1");
    check(TWO, "min=100000000000", "linux", false, "/dev/nvme0n1");
    check(TWO, "max=100000000000", "blank", false, "/dev/vda");
    check(
        TWO,
        "path=/dev/disk/by-path/pci-0000:01:00.0-nvme-1",
        "linux",
        false,
        "/dev/nvme0n1",
    );
    check(
        TWO,
        "",
        "any",
        false,
        "2 disks match the rule (any one disk)",
    );
    check(
        TWO,
        "serial=OTHER",
        "any",
        false,
        "the machine has: /dev/vda 20.0 GiB model `QEMU HARDDISK` serial `ROOT`",
    );
    check(
        TWO,
        "serial=ROOT model=samsung",
        "any",
        false,
        "no disk matches",
    );
    check(TWO, "wwn=", "any", false, "no disk matches");
    check("", "", "any", true, "no disk at all");
}

#[test]
fn a_missing_value_matches_no_rule() {
    check(
        "path=/dev/sda size=99999999999",
        "serial=x",
        "any",
        false,
        "no disk matches",
    );
    check(
        "path=/dev/sda size=99999999999",
        "wwn=x",
        "any",
        false,
        "no disk matches",
    );
    check(
        "path=/dev/sda size=99999999999",
        "model=x",
        "any",
        false,
        "no disk matches",
    );
}

#[test]
fn some_devices_are_never_written() {
    for (line, why) in [
        ("path=/dev/sdb size=99999999999 removable=1", "(removable)"),
        ("path=/dev/sdb size=99999999999 bus=usb", "(removable)"),
        (
            "path=/dev/sdb size=99999999999 bus=FC",
            "(on a storage network)",
        ),
        (
            "path=/dev/sdb size=99999999999 bus=iscsi",
            "(on a storage network)",
        ),
        ("path=/dev/sr0 size=99999999999", "(not a disk)"),
        ("path=/dev/fd0 size=99999999999", "(not a disk)"),
        ("path=/dev/sdb size=1000000000", "(smaller than 1 GiB)"),
    ] {
        check(line, "", "any", true, why);
        let with_a_disk = format!("{line}\npath=/dev/sda size=99999999999\n");
        check(&with_a_disk, "", "any", false, "/dev/sda");
    }
}

#[test]
fn a_disk_that_may_be_on_a_storage_network_must_be_named() {
    let disk = "path=/dev/disk0 size=99999999999 serial=S1 wwn=0x5000c500 bus=untold contents=gpt";
    check(disk, "", "linux", true, "name it by `disk = { serial");
    check(disk, "min=1", "linux", true, "name it by");
    for rule in ["serial=S1", "wwn=5000c500", "path=/dev/disk0"] {
        check(disk, rule, "linux", false, "/dev/disk0");
    }
    let beside = format!("{disk}\npath=/dev/disk1 size=99999999999 bus=sata contents=gpt");
    check(&beside, "", "linux", false, "/dev/disk1");
}

#[test]
fn what_a_disk_holds_must_be_permitted() {
    let disk = |contents: &str| format!("path=/dev/sda size=99999999999 contents={contents}");
    let check = |contents: &str, may_destroy: &str, wipe: bool, expect: &str| {
        check(&disk(contents), "", may_destroy, wipe, expect);
    };
    check("blank", "", false, "/dev/sda");
    check("unknown", "linux", false, "`wipe = true` for this system");
    check("gpt,unknown", "linux", true, "/dev/sda");
    check("", "blank", false, "/dev/sda");
    check("ext4", "blank", false, "holds `ext4`");
    check("ext4", "blank", true, "/dev/sda");
    check("ext4", "ext4", false, "/dev/sda");
    check("gpt,vfat,LVM2_member", "linux", false, "/dev/sda");
    check("ntfs", "linux", false, "holds `ntfs`");
    check("ntfs", "linux ntfs", false, "/dev/sda");
    check("gpt,ntfs", "any", false, "/dev/sda");
    for foreign in [
        "VMFS_volume_member",
        "gfs2",
        "GPFS",
        "ocfs2",
        "zfs_member",
        "BitLocker",
    ] {
        check(foreign, "linux", true, "which other machines may be using");
        check(foreign, "any", false, "/dev/sda");
        check(foreign, foreign, false, "/dev/sda");
    }
    check("ext4,zfs_member", "linux", false, "holds `zfs_member`");
    // a partition that blkid has no name for, on a disk with a table that it knows
    check("gpt,unknown", "linux", false, "holds `unknown`");
    check(
        "ext4,lustre",
        "linux",
        true,
        "which other machines may be using",
    );
}

#[test]
fn a_bad_report_is_refused_with_its_line() {
    for (text, expect) in [
        ("size=1", "no usable `path=`"),
        ("path=/etc/passwd size=1", "no usable `path=`"),
        ("path=/dev/sda%20x size=1", "no usable `path=`"),
        ("path=/dev/sda%0ax size=1", "no usable `path=`"),
        ("path=/dev/sda", "no `size=`"),
        ("path=/dev/sda size=big", "no `size=`"),
    ] {
        let sentence = parse(text).expect_err(text);
        assert!(sentence.contains(expect), "{sentence}");
    }
    assert_eq!(parse("\n \n"), Ok(Vec::new()));
    let odd = parse("path=/dev/sda size=1 junk serial=%zz%4 model=%c3").expect("read");
    assert_eq!(odd[0].serial, "%zz%4");
}

#[test]
fn two_disks_that_mirror_each_other_are_one_pair() {
    let two = |text: &str, first: &str, second: &str| {
        let found = parse(text).expect("a report");
        let permission = Permission {
            may_destroy: &["linux".to_string()],
            wipe: false,
            unfinished: &[],
        };
        choose_two(&rule(first), &rule(second), permission, &found)
            .map(|pair| pair.map(|disk| disk.path.clone()).join(" "))
    };
    let disks = "path=/dev/vda size=21474836480 serial=A contents=linux_raid_member\npath=/dev/vdb size=21474836480 serial=B\n";
    for (first, second, chosen) in [
        ("", "", "/dev/vda /dev/vdb"),
        ("serial=B", "", "/dev/vdb /dev/vda"),
        ("serial=A", "serial=B", "/dev/vda /dev/vdb"),
        ("", "serial=A", "/dev/vdb /dev/vda"),
    ] {
        assert_eq!(
            two(disks, first, second).as_deref(),
            Ok(chosen),
            "{first}, {second}"
        );
    }
    let three = format!("{disks}path=/dev/vdc size=21474836480 serial=C contents=ntfs\n");
    assert!(two(&three, "serial=A", "").is_err_and(|e| e.starts_with("2 pairs of disks match")));
    assert!(two(&three, "serial=A", "serial=C").is_err_and(|e| e.contains("holds `ntfs`")));
    assert!(
        two(&three, "serial=A", "serial=A").is_err_and(|e| e.contains("only /dev/vda matches"))
    );
    assert!(two(&three, "serial=A", "serial=D").is_err_and(|e| e.contains("no disk matches")));
}

/// Between the partitions and their file systems nobody can name what is on a disk. It is Farrier's own
/// doing only on the disk that an earlier build was permitted to write; what else it holds is not.
#[test]
fn what_an_installation_of_our_own_left_may_be_overwritten() {
    let report = |serial: &str, contents: &str| {
        let line = format!("path=/dev/sda size=21474836480 serial={serial} contents={contents}");
        parse(&line).expect("a report")
    };
    let known = report("S1", "").first().and_then(ReportedDisk::identity);
    let known: Vec<String> = known.into_iter().collect();
    let words = ["blank".to_string(), "linux".to_string()];
    let permission = |unfinished| Permission {
        may_destroy: &words,
        wipe: false,
        unfinished,
    };
    let may = |found: &[ReportedDisk], unfinished| {
        choose(&DiskRule::default(), permission(unfinished), found).map(|d| d.path.clone())
    };
    let broken = report("S1", "gpt,unknown");
    assert_eq!(may(&broken, &known).as_deref(), Ok("/dev/sda"));
    assert!(may(&broken, &[]).is_err_and(|e| e.contains("broken off")));
    for other in [
        report("S2", "gpt,unknown"),
        report("", "gpt,unknown"),
        report("S1", "gpt,unknown,zfs_member"),
        report("S1", "ntfs"),
    ] {
        assert!(may(&other, &known).is_err(), "{other:?}");
    }
    assert_eq!(report("", "unknown")[0].identity(), None);
}
