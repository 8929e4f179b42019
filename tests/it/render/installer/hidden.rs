//! What Debian's installer sees of a machine's disks.

use super::super::debian::lay_out;
use super::{Installer, serving};

/// partman formats swap of any disk that it sees, and removes groups and arrays of those whose names begin
/// as the permitted disk's does.
#[test]
fn the_installer_sees_no_disk_but_the_permitted_ones() {
    let Some(installer) = Installer::unpack() else {
        return;
    };
    let (server, rendered) = serving(|path, _, _| match path {
        p if p.ends_with("/disks") => (200, "disk=/dev/vda\n".to_string()),
        _ => (204, String::new()),
    });
    let scripts = installer.path("tmp/farrier");
    lay_out(&rendered, &scripts);
    installer.script("bin/debconf-set", "echo \"$1=$2\" >>/tmp/debconf");
    installer.script("bin/debconf-get", "echo 'farrier :: 1 1 1 raid .'");
    installer.script("bin/udevadm", "exit 1");
    installer.script("bin/vgchange", "exit 0");
    installer.script("bin/mdadm", "echo \"$*\" >>/tmp/mdadm");
    installer.script("bin/pvs", "cat /tmp/pvs");
    for (name, minor) in [("vda", 202), ("vdb", 203), ("vdaa", 204)] {
        installer.disk(name, minor, &[("size", "2097152")]);
    }
    for (array, member) in [("md0", "vda"), ("md1", "vdb")] {
        let class = installer.path("fake-sys/class/block");
        let part = format!("{member}1");
        let there = installer.path("fake-sys/block").join(member).join(&part);
        std::fs::create_dir_all(there).expect("a folder");
        let there = installer.path("fake-sys/block").join(member).join(&part);
        std::fs::write(there.join("partition"), "1\n").expect("a file");
        std::fs::create_dir_all(class.join(array).join("slaves")).expect("a folder");
        let target = format!("../../block/{member}/{part}");
        std::os::unix::fs::symlink(target, class.join(&part)).expect("a link");
        std::fs::write(class.join(array).join("slaves").join(&part), "").expect("a slave");
        std::fs::write(installer.path("dev").join(array), "").expect("a node");
        std::fs::write(installer.path("dev").join(&part), "").expect("a node");
    }
    // a volume of ours, whose node is none of udev's links, and another's
    for (minor, group, part) in [("0", "web01", "vda1"), ("1", "data", "vdb1")] {
        let dm = installer
            .path("fake-sys/class/block")
            .join(format!("dm-{minor}"));
        std::fs::create_dir_all(dm.join("dm")).expect("a folder");
        std::fs::create_dir_all(dm.join("slaves")).expect("a folder");
        std::fs::write(dm.join("dm/name"), format!("{group}-root\n")).expect("a name");
        std::fs::write(dm.join("slaves").join(part), "").expect("a slave");
        std::fs::create_dir_all(installer.path("dev/mapper")).expect("a folder");
        let node = installer.path("dev/mapper").join(format!("{group}-root"));
        std::fs::write(node, "").expect("a node");
    }
    let conf = installer.path("etc/lvm/lvm.conf");
    std::fs::create_dir_all(installer.path("etc/lvm")).expect("a folder");
    let _ = std::fs::remove_file(&conf);
    std::fs::write(&conf, "config {\n}\ndevices {\n\tdir = \"/dev\"\n}\n").expect("a file");
    std::fs::write(
        installer.path("tmp/pvs"),
        "  /dev/vdb1 data\n  /dev/vda1 old\n",
    )
    .expect("a file");
    let out = installer.run("sh /tmp/farrier/disk.sh && parted_devices | cut -f 1");
    assert!(out.status.success(), "{out:?}");
    let seen = String::from_utf8_lossy(&out.stdout).into_owned();
    assert!(
        seen.ends_with("/dev/vda\n/dev/md0\n/dev/mapper/web01-root\n"),
        "{seen}"
    );
    let text = std::fs::read_to_string(&conf).expect("a file");
    assert_eq!(
        text,
        "config {\n}\ndevices {\nglobal_filter = [ \"a|^/dev/vda$|\", \"a|^/dev/vda[0-9]*$|\", \
         \"a|^/dev/md|\", \"a|^/dev/mapper/|\", \"a|^/dev/dm-|\", \"r|.*|\" ]\n\tdir = \"/dev\"\n}\n"
    );
    assert!(installer.path("var/lib/partman/md").exists());
    assert!(!installer.left());
    // a group that reaches beyond
    std::fs::write(
        installer.path("tmp/pvs"),
        "  /dev/vdb1 data\n  /dev/vda1 data\n",
    )
    .expect("a file");
    let out = installer.run("sh /tmp/farrier/disk.sh");
    assert!(installer.left(), "{out:?}");
    let path = format!(
        "/r/{}/fail/partition",
        farrier::boot::Scope::Report.placeholder()
    );
    let failure = server.bodies(&path).pop().expect("a failure");
    assert!(
        failure.contains("volume group 'data' is on the permitted disk and on another"),
        "{failure}"
    );
}
