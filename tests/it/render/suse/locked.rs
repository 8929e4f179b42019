//! Encrypted disks: the key that the machine makes up, the TPM, and what is left of the key afterwards.

use std::os::unix::fs::PermissionsExt;
use std::process::Output;

use super::{LOCKED, PROFILES};
use crate::render::anaconda::machine::{Machine, reports, serving};
use crate::render::server::Server;
use crate::render::site::{declared_as, shipped};

const KEY: &str = "farrier-key-0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
const UUID: &str = "1bbf2e84-5959-40fb-97ef-3e40252715fb";

#[test]
fn without_a_tpm_nothing_is_written() {
    for (profile, answers) in PROFILES {
        let asked = declared_as("web03", LOCKED);
        let (server, made) = serving(&shipped(profile), &asked, |path, _, _| {
            let permit = path.ends_with("/disks").then_some("disk=/dev/vda\n");
            (200, permit.unwrap_or_default().to_string())
        });
        let Some(machine) = Machine::new(&made, true) else {
            return;
        };
        machine.write(
            "farrier/given.sh",
            &format!("exec sh ./prepare.sh {answers}\n"),
        );
        let out = machine.run("given.sh");
        assert!(machine.left(), "{out:?}");
        assert!(!machine.path("farrier/filled").exists());
        assert!(!machine.path("farrier/passphrase").exists());
        let told = failure(&server, "partition");
        assert!(told.contains("this machine shows none"), "{told}");
    }
}

/// What was told of a failure.
fn failure(server: &Server, stage: &str) -> String {
    let scope = farrier::boot::Scope::Report.placeholder();
    let told = server.bodies(&format!("/r/{scope}/fail/{stage}"));
    told.into_iter().next_back().unwrap_or_default()
}

/// What differs from an installation that goes well.
#[derive(Default, Clone, Copy)]
struct Odd {
    /// Secure Boot is on.
    secure: bool,
    /// The kernels are on the ESP, which sdbootutil looks after.
    entries: bool,
    /// The program that fails, saying the key.
    fails: &'static str,
    /// Slots that are left beside the TPM's.
    slots: &'static str,
    /// What stands for the disk in crypttab; `UUID=` if not said.
    source: &'static str,
    /// The initial RAM disk has no module for the TPM.
    lacking: bool,
}

/// post.sh on a machine with an encrypted disk of this installation, and one of another.
fn finished(profile: &str, odd: Odd) -> Option<(Machine, Server, Output)> {
    let asked = declared_as("web03", LOCKED);
    let (server, made) = serving(&shipped(profile), &asked, |path, _, _| match path {
        p if p.ends_with("/handoff") => (200, "handoff=https://192.0.2.1/h/TOKEN\n".to_string()),
        _ => (204, String::new()),
    });
    let machine = Machine::new(&made, true)?;
    for file in ["target/usr/bin/curl", "target/etc/systemd/system/x"] {
        machine.write(file, "");
    }
    let source = match odd.source {
        "" => format!("UUID={UUID}"),
        said => said.to_string(),
    };
    let crypttab = format!(
        "# made by YaST: UUID={UUID}\ncr_root {source} none x-initrd.attach,discard\nother UUID=00 none nofail\n"
    );
    machine.write("target/etc/crypttab", &crypttab);
    machine.write("target/boot/initrd-6.4.0-default", "");
    let logged = format!("the profile with {KEY} in it\n");
    for file in [
        "farrier/filled",
        "farrier/filled.json",
        "logs/y2log",
        "target/var/log/YaST2/y2log",
        "target/var/log/agama-installation/agama.log",
        "target/var/adm/autoinstall/cache/installedSystem.xml",
        "target/var/log/agama-installation/logs.tar.gz",
    ] {
        machine.write(file, &logged);
    }
    machine.write("farrier/passphrase", KEY);
    if odd.secure {
        machine.write(
            "sys/firmware/efi/efivars/SecureBoot-8be4",
            "\u{6}\0\0\0\u{1}",
        );
    }
    if odd.entries {
        machine.write("target/boot/efi/loader/entries/leap.conf", "");
        machine.write("target/boot/efi/leap/6.12/initrd-ab12", "");
        machine.write("target/usr/bin/sdbootutil", "");
        let executable = std::fs::Permissions::from_mode(0o755);
        std::fs::set_permissions(machine.path("target/usr/bin/sdbootutil"), executable)
            .expect("a mode");
    }
    let root = machine.path("");
    let root = root.display();
    machine.program("systemctl", "exit 0");
    machine.program("blkid", "printf '/dev/vda3\\n/dev/vdb9\\n'");
    let fails = match odd.fails {
        "" => "a program that is not called",
        said => said,
    };
    let modules = if odd.lacking { "" } else { "tpm2-tss\n" };
    machine.program(
        "chroot",
        &format!(
            "shift\n\
             printf '%s\\n' \"$*\" >>'{root}said'\n\
             case \"$*\" in *'{fails}'*) echo \"no: {KEY}\" >&2; exit 1 ;; esac\n\
             case $1 in\n\
             systemd-cryptenroll) printf 'with %s\\n' \"$PASSWORD\" >>'{root}said' ;;\n\
             cryptsetup) exec \"$@\" ;;\n\
             lsinitrd) printf 'bash\\n{modules}crypt\\n' ;;\n\
             getent) echo root:x:0:0::/root:/bin/sh ;;\n\
             efibootmgr) echo 'BootOrder: 0001' ;;\n\
             esac"
        ),
    );
    let left = odd.slots;
    // the words of cryptsetup 2.6 for a disk with a token of systemd's
    machine.program(
        "cryptsetup",
        &format!(
            "case \"$*\" in\n\
             *--key-file*vdb9) exit 2 ;;\n\
             *luksRemoveKey*) printf 'out with ' >>'{root}said'; cat >>'{root}said'; echo >>'{root}said' ;;\n\
             *luksUUID*) echo {UUID} ;;\n\
             *luksDump*) printf 'Keyslots:\\n{left}  1: luks2\\n\\tKey:        512 bits\\nTokens:\\n  0: systemd-tpm2\\n\\ttpm2-pin:         false\\n\\tKeyslot:    1\\nDigests:\\n  0: pbkdf2\\n' ;;\n\
             esac"
        ),
    );
    let out = machine.run("post.sh");
    Some((machine, server, out))
}

#[test]
fn the_tpm_opens_the_disk_before_the_key_goes() {
    for (profile, odd) in [
        ("leap-16", Odd::default()),
        ("sles-15", Odd::default()),
        (
            "sles-16",
            Odd {
                secure: true,
                ..Odd::default()
            },
        ),
        (
            "leap-15",
            Odd {
                secure: true,
                source: "/dev/vda3",
                ..Odd::default()
            },
        ),
        (
            "leap-16",
            Odd {
                entries: true,
                ..Odd::default()
            },
        ),
    ] {
        let Some((machine, server, out)) = finished(profile, odd) else {
            return;
        };
        assert!(out.status.success() && !machine.left(), "{out:?}");
        assert_eq!(
            reports(&server),
            ["progress/configure", "progress/handoff", "handoff", "end"],
            "{out:?}"
        );
        let said = machine.text("said");
        let pcrs = if odd.secure { "7" } else { "" };
        let made = if odd.entries {
            "sdbootutil mkinitrd"
        } else {
            "dracut --force --regenerate-all"
        };
        let parts = [
            format!(
                "systemd-cryptenroll --tpm2-device=auto --tpm2-pcrs={pcrs} /dev/vda3\nwith {KEY}\n"
            ),
            "cryptsetup open --test-passphrase --token-only /dev/vda3\n".to_string(),
            format!("cryptsetup --batch-mode luksRemoveKey /dev/vda3 -\nout with {KEY}\n"),
            format!("{made}\n"),
            "lsinitrd --mod /boot/initrd-6.4.0-default\n".to_string(),
        ];
        let places: Vec<Option<usize>> = parts.iter().map(|part| said.find(part)).collect();
        assert!(
            places.iter().all(Option::is_some) && places.is_sorted(),
            "{places:?}: {said}"
        );
        // the other installation's disk is let be
        assert!(!said.contains("vdb9"), "{said}");
        let source = match odd.source {
            "" => format!("UUID={UUID}"),
            said => said.to_string(),
        };
        assert_eq!(
            machine.text("target/etc/crypttab"),
            format!(
                "# made by YaST: UUID={UUID}\ncr_root {source} none x-initrd.attach,discard,tpm2-device=auto\nother UUID=00 none nofail\n"
            )
        );
        assert_eq!(
            machine.text("target/etc/dracut.conf.d/90-farrier.conf"),
            "add_dracutmodules+=\" tpm2-tss \"\n"
        );
        // nothing is left of the key, in RAM or in the installed system
        for file in [
            "farrier/passphrase",
            "farrier/filled",
            "farrier/filled.json",
            "target/var/log/agama-installation/logs.tar.gz",
        ] {
            assert!(!machine.path(file).exists(), "{file}");
        }
        for file in [
            "logs/y2log",
            "target/var/log/YaST2/y2log",
            "target/var/log/agama-installation/agama.log",
            "target/var/adm/autoinstall/cache/installedSystem.xml",
        ] {
            assert_eq!(
                machine.text(file),
                "the profile with (key) in it\n",
                "{file}"
            );
        }
        let scope = farrier::boot::Scope::Report.placeholder();
        for end in server.bodies(&format!("/r/{scope}/end")) {
            assert!(!end.contains(KEY), "{end}");
        }
    }
}

#[test]
fn what_does_not_bind_the_disk_fails_and_says_no_key() {
    for (odd, kept, told) in [
        (
            Odd {
                fails: "systemd-cryptenroll",
                ..Odd::default()
            },
            true,
            "no: (key)",
        ),
        (
            Odd {
                fails: "--token-only",
                ..Odd::default()
            },
            true,
            "no: (key)",
        ),
        (
            Odd {
                fails: "luksRemoveKey",
                ..Odd::default()
            },
            true,
            "no: (key)",
        ),
        (
            Odd {
                slots: "  0: luks2\\n",
                ..Odd::default()
            },
            false,
            "opened by the slots 0 1  where only 1 was expected",
        ),
        (
            Odd {
                source: "LABEL=x",
                ..Odd::default()
            },
            false,
            "does not name /dev/vda3",
        ),
        (
            Odd {
                fails: "dracut",
                ..Odd::default()
            },
            false,
            "no: (key)",
        ),
        (
            Odd {
                lacking: true,
                ..Odd::default()
            },
            false,
            "dracut's module tpm2-tss",
        ),
    ] {
        let Some((machine, server, out)) = finished("leap-16", odd) else {
            return;
        };
        assert!(machine.left(), "{out:?}");
        assert_eq!(reports(&server).pop().expect("a report"), "fail/configure");
        let failure = failure(&server, "configure");
        assert!(failure.contains(told), "{told}: {failure}");
        assert!(!failure.contains(KEY), "{failure}");
        let removed = machine.text("said").contains("out with");
        assert_eq!(!removed, kept, "{told}");
        assert_eq!(machine.text("logs/y2log"), "the profile with (key) in it\n");
    }
}

#[test]
fn the_watch_sends_no_key() {
    let (server, made) = serving(
        &shipped("leap-16"),
        &declared_as("web03", LOCKED),
        |_, _, _| (204, String::new()),
    );
    let Some(machine) = Machine::new(&made, true) else {
        return;
    };
    machine.program("sleep", "exit 0");
    machine.program("journalctl", &format!("echo Partitioning with {KEY}"));
    machine.program("systemctl", "exit 0");
    machine.write("logs/y2log", &format!("cryptsetup read {KEY}\n"));
    let out = machine.run("watch.sh");
    assert!(machine.left(), "{out:?}");
    let told = failure(&server, "partition");
    assert!(told.contains("Partitioning with (key)"), "{told}");
    assert_eq!(machine.text("logs/y2log"), "cryptsetup read (key)\n");
    for path in server.paths() {
        for body in server.bodies(&path) {
            assert!(!body.contains(KEY), "{path}: {body}");
        }
    }
}
