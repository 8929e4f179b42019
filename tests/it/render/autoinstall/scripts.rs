//! The scripts of the Ubuntu profiles, run against a server, with python3 and its yaml as the live system
//! has them.

use std::path::Path;
use std::process::Command;

use farrier::render::{Place, Rendered};

use super::{cases, of, python};
use crate::render::debian::text;
use crate::render::first_boot::lint;
use crate::render::server::Server;
use crate::render::site::{declared_as, run};

/// Not below /tmp, which a live system has of its own.
fn scratch() -> tempfile::TempDir {
    tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a folder")
}

fn serving(
    lines: &str,
    answer: impl Fn(&str, &str, usize) -> (u16, String) + Send + 'static,
) -> (Server, Rendered) {
    let render = |at: &Place| {
        let lines = lines.replace("PORT", &at.server.port().to_string());
        of("ubuntu-24.04", &declared_as("web01", &lines), at).expect("rendered")
    };
    Server::of(render, answer)
}

/// The live system: its own /tmp, /dev and /sys, two disks, and the file that subiquity makes of its seed
/// before the early commands run. The commands are those of user-data.
const LIVE: &str = r#"
mkdir -p "$DIR/bin" "$DIR/sys/block" "$DIR/logs"
[ "$FIRMWARE" = bios ] || mkdir -p "$DIR/sys/firmware/efi"
minor=210
for disk in vda:2097152:S1 vdb:2097152:S2 sdx:4194304:X; do
    IFS=: read -r name size serial <<END
$disk
END
    mkdir -p "$DIR/sys/block/$name"
    echo "$size" >"$DIR/sys/block/$name/size"
    echo "$serial" >"$DIR/sys/block/$name/serial"
    minor=$((minor + 1))
    mknod "$DIR/$name" b 7 $minor
done
# A machine that restarts runs nothing more; and the host itself must not be what restarts.
printf '#!/bin/sh\necho "$*" >>"$DIR/left"\nkill -9 $PPID\n' >"$DIR/bin/reboot"
: >"$DIR/sysrq"
[ ! -e /proc/sysrq-trigger ] || mount --bind "$DIR/sysrq" /proc/sysrq-trigger
printf '#!/bin/sh\nexit 1\n' >"$DIR/bin/udevadm"
chmod 0755 "$DIR"/bin/*
mount -t tmpfs none /tmp
mount -t tmpfs none /dev
for node in null:1:3 zero:1:5 urandom:1:9; do
    mknod "/dev/${node%%:*}" c $(echo "${node#*:}" | tr : ' ')
    chmod 0666 "/dev/${node%%:*}"
done
for name in vda vdb sdx; do cp -a "$DIR/$name" "/dev/$name"; done
export FARRIER_SYS="$DIR/sys" FARRIER_AUTOINSTALL="$DIR/autoinstall.yaml" FARRIER_LOG_DIR="$DIR/logs"
export FARRIER_KEY="$DIR/key" FARRIER_PAUSE=0 TARGET_MOUNT_POINT="$DIR/target" PATH="$DIR/bin:$PATH"
cat >"$DIR/run.py" <<'END'
import subprocess, sys, yaml
with open(sys.argv[2]) as f:
    a = yaml.safe_load(f)["autoinstall"]
with open(sys.argv[3], "w") as f:
    yaml.safe_dump(a, f)
for kind in sys.argv[1].split(","):
    for command in a[kind + "-commands"]:
        try:
            code = subprocess.run(["sh", "-c", command], timeout=40).returncode
        except subprocess.TimeoutExpired:
            code = 124
        print(kind, code)
        if code and kind != "error":
            sys.exit(1)
END
/usr/bin/python3 "$DIR/run.py" "$COMMANDS" "$DIR/user-data" "$FARRIER_AUTOINSTALL"
"#;

/// Runs the commands of the answers in a live system; whether all succeeded, and what was printed.
fn live(dir: &Path, rendered: &Rendered, commands: &str, firmware: &str) -> (bool, String) {
    std::fs::write(dir.join("user-data"), text(rendered, "user-data")).expect("a file");
    let done = Command::new("unshare")
        .args(["--mount", "sh", "-ec", LIVE])
        .env("DIR", dir)
        .env("COMMANDS", commands)
        .env("FIRMWARE", firmware)
        .output()
        .expect("unshare");
    let said = String::from_utf8_lossy(&done.stdout) + String::from_utf8_lossy(&done.stderr);
    (done.status.success(), said.into_owned())
}

const MIRRORED: &str = "storage = { raid = \"raid1\", second = { serial = \"S2\" } }\n\
    [system.web01.repository.internal]\nurl = \"http://repo.example/debian\"\nsuite = \"stable\"\n\
    key = \"http://127.0.0.1:PORT/key.asc\"";

#[test]
fn the_early_command_puts_the_permitted_disks_in_and_nothing_else() {
    for (firmware, gone, kept) in [("bios", "esp", "bios"), ("uefi", "bios", "esp")] {
        let (server, rendered) = serving(MIRRORED, |path, _, before| match path {
            p if p.ends_with("/disks") && before == 0 => (503, String::new()),
            p if p.ends_with("/disks") => (200, "disk=/dev/vdb\nsecond=/dev/vda\n".into()),
            "/key.asc" => (200, "-----BEGIN PGP PUBLIC KEY BLOCK-----\nabc\n".into()),
            _ => (204, String::new()),
        });
        let dir = scratch();
        let (ok, said) = live(dir.path(), &rendered, "early", firmware);
        assert!(ok, "{said}");
        assert_eq!(
            server.reports(),
            ["start", "disks", "disks", "progress/partition"]
        );
        let asked = server.told("disks");
        assert!(
            asked[1].contains("path=/dev/vda size=1073741824 serial=S1 "),
            "{asked:?}"
        );
        let written =
            std::fs::read_to_string(dir.path().join("autoinstall.yaml")).expect("answers");
        let check = format!(
            "import sys, json, yaml
a = yaml.safe_load(json.load(sys.stdin)[0])
disks = [x for x in a['storage']['config'] if x['type'] == 'disk']
assert [d['path'] for d in disks] == ['/dev/vdb', '/dev/vda'], disks
assert not any('match' in d for d in disks), disks
assert [d['grub_device'] for d in disks] == [{firmware:?} == 'bios'] * 2, disks
ids = [x['id'] for x in a['storage']['config']]
assert not any(i.startswith({gone:?}) for i in ids) and [{kept:?} + '0', {kept:?} + '1'] == [i for i in ids if i[:-1] == {kept:?}], ids
assert a['apt']['sources']['internal']['key'].startswith('-----BEGIN PGP PUBLIC'), a['apt']
assert a['version'] == 1 and a['late-commands'], a"
        );
        python(&check, &serde_json::json!([written]));
    }
}

#[test]
fn without_a_permit_the_machine_is_left_to_its_firmware() {
    for (lines, status, answer, said) in [
        (
            "",
            409,
            "no disk has the serial `X`\n",
            "refused: no disk has the serial `X`",
        ),
        (
            "",
            200,
            "disk=/dev/vdz\n",
            "which this machine did not report",
        ),
        (
            MIRRORED,
            200,
            "disk=/dev/vda\n",
            "could not be put into the answers",
        ),
    ] {
        let (server, rendered) = serving(lines, move |path, _, _| match path {
            p if p.ends_with("/disks") => (status, answer.into()),
            "/key.asc" => (200, "-----BEGIN PGP PUBLIC KEY BLOCK-----\nabc\n".into()),
            _ => (204, String::new()),
        });
        let dir = scratch();
        let (ok, out) = live(dir.path(), &rendered, "early", "bios");
        assert!(!ok && dir.path().join("left").exists(), "{out}");
        let failure = server.told("fail/partition");
        assert!(failure.concat().contains(said), "{failure:?}: {out}");
        // What the installer would read, had it gone on, names no disk of this machine.
        let answers =
            std::fs::read_to_string(dir.path().join("autoinstall.yaml")).expect("answers");
        assert!(answers.contains("/dev/no-permit-for-disk0"), "{answers}");
    }
}

#[test]
fn the_late_command_hands_off_and_the_error_command_tells() {
    let (server, rendered) = serving("", |path, _, _| match path {
        p if p.ends_with("/handoff") => (200, "handoff=https://192.0.2.1/h/TOKEN\n".into()),
        p if p.ends_with("/disks") => (200, "disk=/dev/vda\n".into()),
        _ => (204, String::new()),
    });
    let dir = scratch();
    let target = dir.path().join("target");
    for folder in ["etc/systemd/system", "usr/bin", "var/log/installer"] {
        std::fs::create_dir_all(target.join(folder)).expect("a folder");
    }
    std::fs::write(target.join("usr/bin/curl"), "").expect("a file");
    let (ok, said) = live(dir.path(), &rendered, "early,late", "uefi");
    assert!(ok, "{said}");
    let pending = std::fs::read_to_string(target.join("var/lib/farrier/pending")).expect("placed");
    assert!(
        pending.starts_with("handoff=https://192.0.2.1/h/TOKEN\nkey="),
        "{pending}"
    );
    let told = server.reports();
    assert_eq!(
        told[2..],
        ["progress/partition", "progress/handoff", "handoff", "end"],
        "{told:?}"
    );
    assert!(!dir.path().join("left").exists());

    // The hand-off cannot be placed: the installer gives up, and its error command says why.
    std::fs::remove_file(target.join("usr/bin/curl")).expect("a file");
    let again = scratch();
    std::fs::rename(&target, again.path().join("target")).expect("moved");
    let (ok, said) = live(again.path(), &rendered, "early,late", "uefi");
    assert!(!ok, "{said}");
    let last = scratch();
    let url = "see http://10.77.0.1/b/0123456789abcdefghijkl/x";
    std::fs::create_dir_all(last.path().join("logs")).expect("a folder");
    std::fs::write(last.path().join("logs/subiquity-server-debug.log"), url).expect("a log");
    let (_, said) = live(last.path(), &rendered, "early,error", "uefi");
    assert!(last.path().join("left").exists(), "{said}");
    let failure = server.told("fail/install");
    let failure = failure.concat();
    assert!(
        failure.contains("gave up") && failure.contains("/b/(token)/x"),
        "{failure}: {said}"
    );
}

const LOCKED: &str = "storage = { layout = \"lvm\", encrypt = \"tang\", \
    tang = [{ url = \"http://127.0.0.1:PORT/tang\", thumbprint = \"aaaaaaaaaaaaaaaaaaaaaaaaaaa\" }] }";

/// curtin runs a command in the installed system with nothing to read; its programs write down what they
/// are given.
const CURTIN: &str = r#"#!/bin/sh
[ "$1 $2 $3" = "in-target --target=$TARGET_MOUNT_POINT --" ] || exit 64
shift 3
sed -i "s,\$target/etc,\$TARGET_MOUNT_POINT/etc,g" "$2"
exec "$@" </dev/null
"#;
const CHROOT: &str = r#"#!/bin/sh
[ "$1" = / ] || exit 64
shift
line="$*"
case $line in
    *" - "* | *" -") line="$line <$(cat)" ;;
    *--key-slot*) line="$line <$(cat)" ;;
esac
echo "$line" >>"$DIR/calls"
case $* in
    blkid*) echo /dev/vda3 ;;
    *"luks list"*) echo '1: sss {}' ;;
    *"luks pass"*) printf opened ;;
    *luksDump*) printf "Keyslots:\n  1: luks2\n${MORE_SLOTS:-}Tokens:\n  0: clevis\n" ;;
esac
"#;

fn program(dir: &Path, name: &str, text: &str) {
    use std::os::unix::fs::PermissionsExt;
    let path = dir.join("bin").join(name);
    std::fs::create_dir_all(dir.join("bin")).expect("a folder");
    std::fs::write(&path, text).expect("a file");
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).expect("a mode");
}

#[test]
fn the_key_of_an_encrypted_disk_never_leaves_the_machine() {
    let answer = |path: &str, _: &str, _: usize| match path {
        p if p.ends_with("/handoff") => (200, "handoff=https://192.0.2.1/h/TOKEN\n".to_string()),
        p if p.ends_with("/disks") => (200, "disk=/dev/vda\n".into()),
        "/tang/adv" => (200, "{}".into()),
        _ => (204, String::new()),
    };
    for more in [false, true] {
        let (server, rendered) = serving(LOCKED, answer);
        let dir = scratch();
        let target = dir.path().join("target");
        for folder in ["etc/systemd/system", "usr/bin", "var/log/installer"] {
            std::fs::create_dir_all(target.join(folder)).expect("a folder");
        }
        std::fs::write(target.join("usr/bin/curl"), "").expect("a file");
        program(dir.path(), "curtin", CURTIN);
        program(dir.path(), "chroot", CHROOT);
        if more {
            program(
                dir.path(),
                "chroot",
                &CHROOT.replace("${MORE_SLOTS:-}", "  2: luks2\\n"),
            );
        }
        let (ok, said) = live(dir.path(), &rendered, "early,late", "uefi");
        // a slot that should be gone ends the installation
        assert_eq!(ok, !more, "{said}");
        let calls = std::fs::read_to_string(dir.path().join("calls")).expect("calls");
        let key = calls
            .lines()
            .find_map(|l| l.split_once("open --test-passphrase --key-file - /dev/vda3 <"))
            .expect("the key is used")
            .1;
        assert!(key.len() == 64 && key.bytes().all(|b| b.is_ascii_hexdigit()));
        let orders: Vec<&str> = calls.lines().filter_map(|l| l.split(' ').nth(2)).collect();
        assert!(orders.contains(&"luksRemoveKey"), "{calls}");
        assert!(!server.everything().contains(key) && !said.contains(key));
        if more {
            continue;
        }
        assert!(!dir.path().join("key").exists() && !dir.path().join("key.sh").exists());
        std::fs::remove_file(dir.path().join("calls")).expect("a file");
        let found = Command::new("grep")
            .args(["-rlaF", "-e", key])
            .arg(dir.path())
            .output()
            .expect("grep");
        assert_eq!(String::from_utf8_lossy(&found.stdout), "");
        let conf = target.join("etc/initramfs-tools/conf.d/farrier");
        assert_eq!(
            std::fs::read_to_string(conf).expect("a file"),
            "BOOTIF=01-52-54-00-00-00-01\n"
        );
    }
}

#[test]
fn without_what_opens_the_disk_the_machine_is_left_alone() {
    for (lines, said) in [
        (LOCKED, "by a Tang server, and none answers"),
        (
            "storage = { layout = \"lvm\", encrypt = \"tpm2\" }",
            "by a TPM 2, and this machine shows none",
        ),
    ] {
        let (server, rendered) = serving(lines, |path, _, _| match path {
            p if p.ends_with("/disks") => (200, "disk=/dev/vda\n".to_string()),
            "/tang/adv" => (500, String::new()),
            _ => (204, String::new()),
        });
        let dir = scratch();
        let (ok, out) = live(dir.path(), &rendered, "early", "uefi");
        assert!(!ok && dir.path().join("left").exists(), "{out}");
        let failure = server.told("fail/partition").concat();
        assert!(failure.contains(said), "{failure}: {out}");
    }
}

#[test]
fn the_scripts_are_sound() {
    for (case, system, place) in cases() {
        let rendered = of("ubuntu-24.04", &system, &place).expect("rendered");
        let dir = scratch();
        for (name, document) in &rendered.documents {
            std::fs::write(dir.path().join(name), &document.bytes).expect("a file");
        }
        let all = [
            "early.sh",
            "late.sh",
            "error.sh",
            "report.sh",
            "farrier.env",
        ];
        for name in all {
            let mut script = std::fs::read_to_string(dir.path().join(name)).expect("text");
            script = script.replace(
                ". ./report.sh",
                &format!(". {}/report.sh", dir.path().display()),
            );
            script = script.replace(
                ". ./farrier.env",
                &format!(". {}/farrier.env", dir.path().display()),
            );
            std::fs::write(dir.path().join(name), script).expect("a file");
        }
        for name in ["early.sh", "late.sh", "error.sh", "unlock.sh"] {
            lint(&dir.path().join(name));
        }
        let check = "import sys; compile(sys.stdin.read(), 'permit.py', 'exec')";
        let (ok, _, err) = run(
            "/usr/bin/python3",
            &["-c", check],
            text(&rendered, "permit.py"),
        )
        .expect("python3");
        assert!(ok, "{case}: {err}");
    }
}
