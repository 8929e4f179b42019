//! An encrypted disk, by the Debian profile's scripts inside the installer itself.

use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use farrier::model::System;

use super::super::debian::{lay_out, text};
use super::super::site::declared_as;
use super::{Installer, serving_as};

/// A system whose disk the server of the test opens.
fn locked(port: u16) -> System {
    let tang = format!(
        "[{{ url = \"http://127.0.0.1:{port}/tang/\", thumbprint = \"aaaaaaaaaaaaaaaaaaaaaaaaaaa\" }}]"
    );
    declared_as(
        "web01",
        &format!("storage = {{ layout = \"lvm\", encrypt = \"tang\", tang = {tang} }}"),
    )
}

/// What partman-crypto asks (its templates, 121).
const QUESTIONS: &str = "Template: partman-crypto/passphrase\nType: password\nDescription: one\n\n\
    Template: partman-crypto/passphrase-again\nType: password\nDescription: two\n";

/// Where the installer's debconf keeps what it knows, and what a log might hold.
const KEPT: &str = "var/lib/cdebconf var/cache var/log tmp/farrier";

#[test]
fn the_key_of_an_encrypted_disk_is_made_by_the_machine_and_forgotten() {
    let Some(installer) = Installer::unpack() else {
        return;
    };
    let (server, rendered) = serving_as(locked, |path, _, _| match path {
        p if p.ends_with("/disks") => (200, "disk=/dev/vda\n".to_string()),
        p if p.ends_with("/handoff") => (200, "handoff=https://192.0.2.1/h/TOKEN\n".into()),
        "/tang/adv" => (200, "{}".into()),
        _ => (204, String::new()),
    });
    let preseed = text(&rendered, "preseed.cfg");
    assert!(preseed.contains("partman-auto/method string crypto"));
    lay_out(&rendered, &installer.path("tmp/farrier"));
    installer.script("bin/udevadm", "exit 1");
    installer.script("bin/vgchange", "exit 0");
    installer.disk("vda", 202, &[("size", "2097152")]);
    std::fs::write(installer.path("tmp/crypto.templates"), QUESTIONS).expect("a file");
    let out = installer.run(
        "mkdir -p /var/lib/preseed; debconf-loadtemplate d-i /var/lib/dpkg/info/*.templates /tmp/crypto.templates \
         && debconf-set-selections /tmp/farrier/preseed.cfg && sh /tmp/farrier/disk.sh",
    );
    assert!(out.status.success() && !installer.left(), "{out:?}");
    assert!(server.paths().iter().any(|p| p == "/tang/adv"), "{out:?}");
    let key = std::fs::read_to_string(installer.path("tmp/farrier/key")).expect("a key");
    assert!(
        key.len() == 64 && key.bytes().all(|b| b.is_ascii_hexdigit()),
        "{key}"
    );
    let mode = std::fs::metadata(installer.path("tmp/farrier/key")).expect("a key");
    assert_eq!(mode.permissions().mode() & 0o777, 0o600);
    // partman asks debconf, which must neither show the question nor have another answer
    let asked = installer.run(
        "for q in partman-crypto/passphrase partman-crypto/passphrase-again; do \
         debconf-get $q; done; cat >/tmp/seen <<'END'\n#!/bin/sh\nexport DEBIAN_FRONTEND=noninteractive\n. /usr/share/debconf/confmodule\n\
         db_fget partman-crypto/passphrase seen; echo \"$RET\" >/tmp/was\n\
         db_fget partman-crypto/passphrase-again seen; echo \"$RET\" >>/tmp/was\nEND\nchmod 0755 /tmp/seen; /tmp/seen",
    );
    assert_eq!(
        String::from_utf8_lossy(&asked.stdout),
        format!("{key}\n{key}\n"),
        "{asked:?}"
    );
    let was = std::fs::read_to_string(installer.path("tmp/was")).expect("flags");
    assert_eq!(was, "true\ntrue\n");
    // no report and no log has it
    let found = holders(&installer, &key);
    assert!(
        found
            .iter()
            .all(|f| f.starts_with("var/lib/cdebconf/") || f == "tmp/farrier/key"),
        "{found:?}"
    );
    assert!(!server.everything().contains(&key));

    // the end, with what the installed system has replaced by what writes down how it is used
    for folder in [
        "target/etc/systemd/system",
        "target/usr/bin",
        "target/var/log/installer",
    ] {
        std::fs::create_dir_all(installer.path(folder)).expect("a folder");
    }
    std::fs::write(installer.path("target/usr/bin/curl"), "").expect("a file");
    std::fs::write(installer.path("var/log/syslog"), "all is well\n").expect("a log");
    installer.script("usr/sbin/chroot", CHROOT);
    let out = installer.run("sh /tmp/farrier/late.sh");
    assert!(out.status.success() && !installer.left(), "{out:?}");
    let calls = std::fs::read_to_string(installer.path("tmp/calls")).expect("calls");
    let config = format!(
        "{{\"t\":1,\"pins\":{{\"tang\":[{{\"url\":\"http://127.0.0.1:{}/tang/\",\"thp\":\"aaaaaaaaaaaaaaaaaaaaaaaaaaa\"}}]}}}}",
        server.address.port()
    );
    assert_eq!(
        calls.replace(&key, "KEY"),
        format!(
            "blkid -t TYPE=crypto_LUKS -o device\n\
             cryptsetup open --test-passphrase --key-file - /dev/vda9 <KEY\n\
             cryptsetup open --test-passphrase --key-file - /dev/vda3 <KEY\n\
             clevis luks bind -y -k - -d /dev/vda3 sss {config} <KEY\n\
             clevis luks list -d /dev/vda3\n\
             clevis luks pass -d /dev/vda3 -s 1\n\
             cryptsetup open --test-passphrase --key-slot 1 /dev/vda3 <opened\n\
             cryptsetup --batch-mode luksRemoveKey /dev/vda3 - <KEY\n\
             cryptsetup luksDump /dev/vda3\n\
             update-initramfs -u -k all\n"
        )
    );
    let conf = installer.path("target/etc/initramfs-tools/conf.d/farrier");
    assert_eq!(
        std::fs::read_to_string(conf).expect("a file"),
        "BOOTIF=01-52-54-00-00-00-01\n"
    );
    std::fs::remove_file(installer.path("tmp/calls")).expect("a file");
    // what debconf had before it was told to forget, in memory of a system that is about to restart
    let found = holders(&installer, &key);
    assert_eq!(found, ["var/lib/cdebconf/passwords.dat-old"]);
    assert!(!server.everything().contains(&key));
}

/// The installed system's programs, as far as unlock.sh uses them: vda9 is somebody else's.
const CHROOT: &str = r#"shift
line="$*"
case $line in
    *" - "* | *" -") line="$line <$(cat)" ;;
    *--key-slot*) line="$line <$(cat)" ;;
esac
echo "$line" >>/tmp/calls
case $* in
    blkid*) printf '/dev/vda9\n/dev/vda3\n' ;;
    *vda9) exit 2 ;;
    *"luks list"*) echo '1: sss {}' ;;
    *"luks pass"*) printf opened ;;
    *luksDump*) printf 'Keyslots:\n  1: luks2\n\tKey: 512 bits\nTokens:\n  0: clevis\n' ;;
esac"#;

/// Files of the installer, and of the installed system, that hold this.
fn holders(installer: &Installer, words: &str) -> Vec<String> {
    let out = Command::new("grep")
        .args(["-rlaF", "-e", words])
        .args(KEPT.split(' '))
        .arg("target")
        .current_dir(installer.root.path())
        .output()
        .expect("grep");
    let text = String::from_utf8_lossy(&out.stdout).into_owned();
    text.lines().map(ToString::to_string).collect()
}

#[test]
fn without_what_opens_the_disk_nothing_is_written() {
    let Some(installer) = Installer::unpack() else {
        return;
    };
    let (server, rendered) = serving_as(locked, |path, _, _| match path {
        p if p.ends_with("/disks") => (200, "disk=/dev/vda\n".to_string()),
        "/tang/adv" => (500, String::new()),
        _ => (204, String::new()),
    });
    lay_out(&rendered, &installer.path("tmp/farrier"));
    std::fs::write(installer.path("var/log/syslog"), "x\n").expect("a log");
    installer.script("bin/debconf-set", "echo \"$1=$2\" >>/tmp/debconf");
    installer.script("bin/udevadm", "exit 1");
    installer.disk("vda", 202, &[("size", "2097152")]);
    let out = installer.run("sh /tmp/farrier/disk.sh");
    assert!(
        installer.left() && !installer.path("tmp/debconf").exists(),
        "{out:?}"
    );
    let path = format!(
        "/r/{}/fail/partition",
        farrier::boot::Scope::Report.placeholder()
    );
    let failure = server.bodies(&path).pop().expect("a failure");
    assert!(
        failure.contains("by a Tang server, and none answers"),
        "{failure}"
    );
}
