//! What the live system does with the documents, and what Ignition makes of what it composed.

use std::path::Path;
use std::process::Command;

use farrier::model::System;
use farrier::render::Rendered;

use super::{DISK, PROFILES, RICH, of, validate};
use crate::render::debian::text;
use crate::render::server::Server;
use crate::render::site::{declared_as, place, run, system};

fn serving(
    profile: &str,
    machine: &System,
    answer: impl Fn(&str, &str, usize) -> (u16, String) + Send + 'static,
) -> (Server, Rendered) {
    Server::of(|at| of(profile, machine, at).expect("rendered"), answer)
}

/// The live system, with its installer put by a script that keeps what it was given. What runs is the
/// very command of live.ign's unit.
const LIVE: &str = r#"
mkdir -p "$DIR/bin" "$DIR/sys/block/vda/vda6" "$DIR/sys/block/vdb/vdb1"
echo 6 >"$DIR/sys/block/vda/vda6/partition"
echo 1 >"$DIR/sys/block/vdb/vdb1/partition"
echo 0 >"$DIR/sys/block/vdb/size"
echo 2097152 >"$DIR/sys/block/vda/size"
mknod "$DIR/vda" b 7 221
: >"$DIR/sysrq"
[ ! -e /proc/sysrq-trigger ] || mount --bind "$DIR/sysrq" /proc/sysrq-trigger
printf '#!/bin/sh\necho "$0 $*" >>"$DIR/left"\nkill -9 $PPID\n' >"$DIR/bin/reboot"
printf '#!/bin/sh\necho "$*" >>"$DIR/left"\n' >"$DIR/bin/systemctl"
printf '#!/bin/sh\nexit 1\n' >"$DIR/bin/udevadm"
printf '#!/bin/sh\ntrue\n' >"$DIR/bin/mount"
cp "$DIR/bin/mount" "$DIR/bin/umount"
# One partition of each disk has a label.
printf '#!/bin/sh\ncase "$*" in\n*PART_ENTRY_NAME*vda6) echo OEM ;;\n*PART_ENTRY_NAME*vdb1) echo "%s" ;;\nesac\n' "$OTHER" >"$DIR/bin/blkid"
for name in coreos-installer flatcar-install; do
    printf '#!/bin/sh\necho "${0##*/} $*" >"$DIR/installed"\ncp target.ign "$DIR/target.ign"\nexit %s\n' "$CODE" >"$DIR/bin/$name"
done
chmod 0755 "$DIR"/bin/*
mount -t tmpfs none /tmp
mount -t tmpfs none /dev
for node in null:1:3 zero:1:5 urandom:1:9; do
    mknod "/dev/${node%%:*}" c $(echo "${node#*:}" | tr : ' ')
    chmod 0666 "/dev/${node%%:*}"
done
cp -a "$DIR/vda" /dev/vda
export FARRIER_SYS="$DIR/sys" FARRIER_PAUSE=0 PATH="$DIR/bin:$PATH"
sh -c "$COMMAND"
"#;

fn scratch() -> tempfile::TempDir {
    tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a folder")
}

/// `code` is what the program that writes the disk ends with, `other` the label of another disk's
/// partition. What was printed.
fn live(dir: &Path, rendered: &Rendered, code: u8, other: &str) -> String {
    let config: serde_json::Value = serde_json::from_str(text(rendered, "live.ign")).expect("JSON");
    let unit = config["systemd"]["units"][0]["contents"]
        .as_str()
        .expect("a unit");
    let command = unit
        .lines()
        .find_map(|l| l.strip_prefix("ExecStart=/bin/sh -c '"))
        .expect("a command");
    let command = command.strip_suffix('\'').expect("its end");
    let done = Command::new("unshare")
        .args(["--mount", "sh", "-ec", LIVE])
        .env("DIR", dir)
        .env("COMMAND", command)
        .env("CODE", code.to_string())
        .env("OTHER", other)
        .output()
        .expect("unshare");
    (String::from_utf8_lossy(&done.stdout) + String::from_utf8_lossy(&done.stderr)).into_owned()
}

/// Debian's package keeps Ignition itself in dracut's module.
const ENGINE: &str = "/usr/lib/dracut/modules.d/30ignition/ignition";

/// Lets Ignition write files, accounts and units of a configuration below a root.
fn ignite(dir: &Path, config: &Path) -> Option<std::path::PathBuf> {
    if !Path::new(ENGINE).exists() {
        crate::skipped!("Debian's package `ignition` is not installed, and Ignition did not run");
        return None;
    }
    let root = dir.join("sysroot");
    for folder in [
        "etc/ssh",
        "etc/systemd/system",
        "home",
        "root",
        "var/lib",
        "tmp",
        "usr/sbin",
        "bin",
    ] {
        std::fs::create_dir_all(root.join(folder)).expect("a folder");
    }
    let put = |path: &str, text: &str| std::fs::write(root.join(path), text).expect("a file");
    put("etc/passwd", "root:x:0:0:root:/root:/bin/sh\n");
    put("etc/shadow", "root:*:19000:0:99999:7:::\n");
    put("etc/group", "root:x:0:\nwheel:x:10:\n");
    put("etc/gshadow", "root:*::\nwheel:!::\n");
    put("etc/login.defs", "CREATE_HOME yes\n");
    std::fs::create_dir_all(root.join("etc/selinux")).expect("a folder");
    put(
        "etc/selinux/config",
        "SELINUX=disabled\nSELINUXTYPE=targeted\n",
    );
    // Debian has no labels of SELinux to put; a stand-in for what would is asked to.
    let script = "mount -t tmpfs none /run && mkdir -p /run/ignition /run/bin && \
        printf '#!/bin/sh\\nexit 0\\n' >/run/bin/setfiles && chmod 0755 /run/bin/setfiles && \
        export PATH=/run/bin:$PATH && \
        \"$ENGINE\" -platform=file -stage=fetch -root=\"$ROOT\" -log-to-stdout && \
        \"$ENGINE\" -platform=file -stage=files -root=\"$ROOT\" -log-to-stdout";
    let done = Command::new("unshare")
        .args(["--mount", "sh", "-ec", script])
        .env("ENGINE", ENGINE)
        .env("ROOT", &root)
        .env("IGNITION_CONFIG_FILE", config)
        .output()
        .expect("unshare");
    let said = String::from_utf8_lossy(&done.stdout) + String::from_utf8_lossy(&done.stderr);
    assert!(done.status.success(), "{said}");
    Some(root)
}

#[test]
fn the_live_system_installs_what_ignition_makes_the_machine_of() {
    for profile in PROFILES {
        let (server, rendered) =
            serving(
                profile,
                &declared_as("rich", RICH),
                |path, _, before| match path {
                    p if p.ends_with("/handoff") => {
                        (200, "handoff=https://192.0.2.1/h/TOKEN\n".into())
                    }
                    p if p.ends_with("/disks") && before == 0 => (503, String::new()),
                    p if p.ends_with("/disks") => (200, "disk=/dev/vda\n".into()),
                    _ => (204, String::new()),
                },
            );
        let dir = scratch();
        let said = live(dir.path(), &rendered, 0, "data");
        assert_eq!(
            server.reports(),
            [
                "start",
                "disks",
                "disks",
                "progress/handoff",
                "handoff",
                "progress/extract",
                "end"
            ],
            "{profile}: {said}"
        );
        let installed = std::fs::read_to_string(dir.path().join("installed")).expect("installed");
        assert!(installed.contains("/dev/vda"), "{installed}");
        assert_eq!(
            std::fs::read_to_string(dir.path().join("left")).expect("left"),
            "reboot\n"
        );
        let config = dir.path().join("target.ign");
        validate(
            profile,
            &std::fs::read_to_string(&config).expect("composed"),
        );
        let Some(root) = ignite(dir.path(), &config) else {
            return;
        };
        let read = |path: &str| {
            std::fs::read_to_string(root.join(path))
                .unwrap_or_else(|e| panic!("{profile} {path}: {e}"))
        };
        assert_eq!(read("etc/hostname"), "rich\n");
        assert!(
            read("var/lib/farrier/pending").starts_with("handoff=https://192.0.2.1/h/TOKEN\nkey=")
        );
        use std::os::unix::fs::PermissionsExt;
        let mode = |path: &str| {
            std::fs::metadata(root.join(path))
                .expect("there")
                .permissions()
                .mode()
                & 0o7777
        };
        assert_eq!(
            (mode("var/lib/farrier"), mode("var/lib/farrier/pending")),
            (0o700, 0o600)
        );
        assert_eq!(mode("etc/sudoers.d/90-alice"), 0o440);
        assert_eq!(read("etc/farrier/trust/ca.crt"), **server.authority());
        assert!(read("etc/farrier/first-boot").contains("/etc/farrier/trust"));
        let unit = "etc/systemd/system/farrier-first-boot.service";
        assert!(read(unit).contains("ExecStart=/bin/sh /etc/farrier/first-boot"));
        let wanted =
            root.join("etc/systemd/system/multi-user.target.wants/farrier-first-boot.service");
        assert_eq!(
            std::fs::read_link(wanted).expect("a link"),
            Path::new("../farrier-first-boot.service")
        );
        let zone = std::fs::read_link(root.join("etc/localtime")).expect("a link");
        assert_eq!(zone, Path::new("../usr/share/zoneinfo/Europe/Berlin"));
        let accounts = read("etc/passwd");
        assert!(
            accounts.lines().any(|l| l.starts_with("alice:")),
            "{accounts}"
        );
        let shadow = read("etc/shadow");
        assert!(shadow.contains("alice:$6$rounds=5000$"), "{shadow}");
        let locked = |name: &str| {
            let line = shadow
                .lines()
                .find(|l| l.starts_with(&format!("{name}:")))
                .expect("an account");
            ["!", "*", "!*", "!!"].contains(&line.split(':').nth(1).expect("a hash"))
        };
        assert!(locked("app") && locked("root"), "{shadow}");
        let group = read("etc/group");
        assert!(
            group
                .lines()
                .any(|l| l.starts_with("wheel:") && l.ends_with("alice")),
            "{group}"
        );
        assert!(
            group
                .lines()
                .any(|l| l.starts_with("ops:") && l.ends_with("alice")),
            "{group}"
        );
        if profile == "fedora-coreos" {
            let bond = read("etc/NetworkManager/system-connections/bond0.nmconnection");
            assert!(
                bond.contains("mode=802.3ad") && bond.contains("address1=10.77.0.11/24,10.77.0.1"),
                "{bond}"
            );
            assert!(
                bond.contains("[ipv6]\nmethod=auto\naddress1=2001:db8::11/64"),
                "{bond}"
            );
            assert_eq!(
                mode("etc/NetworkManager/system-connections/bond0.nmconnection"),
                0o600
            );
            let vlan = read("etc/NetworkManager/system-connections/vlan20.nmconnection");
            assert!(
                vlan.contains("parent=bond0") && vlan.contains("10.20.0.5/24,10.20.0.1"),
                "{vlan}"
            );
        } else {
            let bond = read("etc/systemd/network/10-bond0.network");
            assert!(
                bond.contains("Address=10.77.0.11/24") && bond.contains("VLAN=vlan20"),
                "{bond}"
            );
            forgets(&root);
        }
    }
}

/// The installed system looks for its partitions by labels.
#[test]
fn another_disk_with_the_labels_of_the_system_is_told_before_anything_is_written() {
    for (profile, label) in [
        ("fedora-coreos", "boot"),
        ("fedora-coreos", "root"),
        ("flatcar", "OEM"),
        ("flatcar", "ROOT"),
    ] {
        let (server, rendered) = serving(
            profile,
            &declared_as("web01", ""),
            |path, _, _| match path {
                p if p.ends_with("/handoff") => (200, "handoff=https://192.0.2.1/h/TOKEN\n".into()),
                p if p.ends_with("/disks") => (200, "disk=/dev/vda\n".into()),
                _ => (204, String::new()),
            },
        );
        let dir = scratch();
        let said = live(dir.path(), &rendered, 0, label);
        assert!(!dir.path().join("installed").exists(), "{label}: {said}");
        let told = server.reports();
        assert!(told.iter().any(|t| t.starts_with("fail/")), "{told:?}");
    }
}

/// Ignition's copy of the configuration, which holds the hand-off, is gone after the first boot of Flatcar.
fn forgets(root: &Path) {
    let wanted = "etc/systemd/system/multi-user.target.wants/farrier-configuration.service";
    assert!(root.join(wanted).exists(), "the unit is there and wanted");
    let oem = root.join("oem");
    std::fs::create_dir(&oem).expect("a folder");
    for name in ["config.ign", "grub.cfg"] {
        std::fs::write(oem.join(name), "x").expect("a file");
    }
    // the partition, and the system's own folder of units
    let script = "mount() { [ \"$1\" = /dev/disk/by-label/OEM ] && command mount --bind \"$ROOT/oem\" \"$2\"; }\n\
        command mount --bind \"$ROOT/etc/systemd\" /etc/systemd\n\
        . \"$ROOT/etc/farrier/forget-configuration\"";
    let done = Command::new("unshare")
        .args(["--mount", "sh", "-ec", script])
        .env("ROOT", root)
        .output()
        .expect("unshare");
    assert!(done.status.success(), "{done:?}");
    let left: Vec<_> = std::fs::read_dir(&oem).expect("a folder").collect();
    assert!(left.len() == 1 && oem.join("grub.cfg").exists(), "{left:?}");
    assert!(
        !root.join(wanted).is_symlink(),
        "nothing is left to be done"
    );
}

#[test]
fn places_that_are_links_are_mounted_where_they_lead() {
    let volumes = |mounts: &[&str]| {
        let list: Vec<String> = mounts
            .iter()
            .map(|m| format!("{{ mount = \"{m}\", size = \"1GiB\" }}"))
            .collect();
        let text = format!(
            "storage.volumes = [{{ mount = \"/\", size = \"20GiB\" }}, {{ mount = \"/var/log\", size = \"rest\" }}, {}]",
            list.join(", ")
        );
        of("fedora-coreos", &declared_as("disk", &text), &place())
    };
    for (mount, wanted) in [
        ("/home", "/var/home"),
        ("/home/alice", "/var/home/alice"),
        ("/homes", "/homes"),
        ("/opt", "/var/opt"),
        ("/mnt/a", "/var/mnt/a"),
        ("/root", "/var/roothome"),
        ("/usr/local", "/var/usrlocal"),
        ("/var/srv", "/var/srv"),
        ("/data", "/data"),
    ] {
        let made = volumes(&[mount]).expect(mount);
        let config = text(&made, "config.ign");
        assert!(
            config.contains(&format!("{{\"path\": \"{wanted}\", \"device\"")),
            "{mount}: {config}"
        );
        let files = text(&made, "files.sh");
        assert!(
            files.contains(&format!("--suffix=mount '{wanted}'"))
                || files.contains(&format!("--suffix=mount {wanted})")),
            "{mount}: {files}"
        );
    }
    let told = volumes(&["/srv", "/var/srv"]).expect_err("one place");
    assert!(told.contains("/var/srv would be mounted twice"), "{told}");
}

#[test]
fn a_failure_is_told_and_nothing_is_written_without_a_permit() {
    for (status, answer, code, stage, said) in [
        (
            409,
            "no disk has the serial `X`\n",
            0,
            "partition",
            "refused: no disk has the serial `X`",
        ),
        (
            200,
            "disk=/dev/vda\n",
            3,
            "extract",
            "write ended with code 3",
        ),
    ] {
        let (server, rendered) =
            serving(
                "fedora-coreos",
                &system("web01"),
                move |path, _, _| match path {
                    p if p.ends_with("/handoff") => {
                        (200, "handoff=https://192.0.2.1/h/TOKEN\n".into())
                    }
                    p if p.ends_with("/disks") => (status, answer.into()),
                    _ => (204, String::new()),
                },
            );
        let dir = scratch();
        let out = live(dir.path(), &rendered, code, "");
        assert!(dir.path().join("left").exists(), "{out}");
        assert_eq!(dir.path().join("installed").exists(), code != 0, "{out}");
        let told = server.told(&format!("fail/{stage}"));
        assert!(told.concat().contains(said), "{told:?}: {out}");
        assert!(!server.reports().contains(&"end".to_string()));
    }
}

#[test]
fn a_disk_that_is_divided_has_its_mounts() {
    let rendered = of("fedora-coreos", &declared_as("disk", DISK), &place()).expect("rendered");
    let root = scratch();
    let at = root.path().display().to_string();
    let (ok, _, err) = run("dash", &["-s", &at], text(&rendered, "files.sh")).expect("dash");
    assert!(ok, "{err}");
    let units = root.path().join("etc/systemd/system");
    let mount = std::fs::read_to_string(units.join("var-srv-my\\x2ddata.mount")).expect("a unit");
    // /srv is a link, over which systemd does not mount
    assert!(
        mount
            .contains("What=/dev/disk/by-partlabel/srv_my_data\nWhere=/var/srv/my-data\nType=ext4"),
        "{mount}"
    );
    let config: serde_json::Value =
        serde_json::from_str(text(&rendered, "config.ign")).expect("JSON");
    let systems = config["storage"]["filesystems"].as_array().expect("some");
    let paths: Vec<&str> = systems.iter().filter_map(|f| f["path"].as_str()).collect();
    assert_eq!(paths, ["/var", "/var/srv/my-data"]);
    assert!(units.join("var.mount").exists());
    assert!(
        units
            .join("swap.target.requires/dev-disk-by\\x2dpartlabel-swap.swap")
            .is_symlink()
    );
}

#[test]
fn labels_that_ignition_looks_for_are_on_no_other_disk() {
    for (lines, other, told) in [
        (DISK, "var", "/dev/vdb1 on another disk is labelled var"),
        ("storage.filesystem = \"ext4\"", "root", "labelled root"),
        (DISK, "srv", ""),
    ] {
        let machine = declared_as("disk", lines);
        let (server, rendered) = serving("fedora-coreos", &machine, |path, _, _| match path {
            p if p.ends_with("/handoff") => (200, "handoff=https://192.0.2.1/h/TOKEN\n".into()),
            p if p.ends_with("/disks") => (200, "disk=/dev/vda\n".into()),
            _ => (204, String::new()),
        });
        let dir = scratch();
        let out = live(dir.path(), &rendered, 0, other);
        assert_eq!(
            dir.path().join("installed").exists(),
            told.is_empty(),
            "{out}"
        );
        let failed = server.told("fail/extract").concat();
        assert!(
            failed.contains(told) && failed.is_empty() == told.is_empty(),
            "{failed}"
        );
    }
}
