//! What the netboot image does: its service, and the scripts it fetches, on a disk that is written for
//! real. Only what would need NixOS is a stand-in: nixos-install, nixos-generate-config, nixos-version.

use std::path::PathBuf;
use std::process::Command;

use super::nix::service;
use super::{RICH, text};
use crate::render::first_boot::lint;
use crate::render::server::Server;
use crate::render::site::{declared_as, of, run, system, try_render};
use farrier::model::{Firmware, System};
use farrier::render::Rendered;

/// The live system. `$LOOP` is a loop device of 2.5 GiB, which it has as /dev/vda; mounts are not seen
/// outside. Not every kernel has vfat and device mapper: an ESP and a logical volume are looked at and
/// then a folder is mounted in their place, and logical volumes are made in the group's metadata only,
/// with a file to be formatted. Not every kernel reads a GPT by itself, so what stands for udevadm has it told.
const LIVE: &str = r#"
set -e
mkdir -p "$DIR/bin" "$DIR/lvm" "$DIR/sys/block/vda"
[ -z "$UEFI" ] || mkdir -p "$DIR/sys/firmware/efi"
echo 5242880 >"$DIR/sys/block/vda/size"
: >"$DIR/sysrq"
[ ! -e /proc/sysrq-trigger ] || mount --bind "$DIR/sysrq" /proc/sysrq-trigger
echo "init=/nix/store/x/init quiet farrier.url=$URL console=ttyS0" >"$DIR/cmdline"
mount --bind "$DIR/cmdline" /proc/cmdline
program() { (echo '#!/bin/sh' && cat) >"$DIR/bin/$1"; }
for name in reboot systemctl; do
    echo 'echo "${0##*/} $*" >>"$DIR/left"; kill -9 $PPID' | program $name
done
echo '[ "$1" = settle ] || exit 1
partx --update /dev/vda 2>/dev/null
for part in /sys/block/$LOOP/"$LOOP"p*; do
    [ -e "$part/dev" ] || continue
    rm -f /dev/vda"${part##*p}" && mknod /dev/vda"${part##*p}" b $(tr : " " <"$part/dev")
done' | program udevadm
echo 'if [ "$1 $2" != "-t vfat" ] && [ -b "$3" ]; then exec /bin/mount "$@"; fi
[ "$(blkid -p -o value -s TYPE "$3")" = "$2" ] || exit 32
mkdir -p "/run/mounted$3"
mount -t tmpfs "$3:$2" "$4"' | sed 's,^mount ,/bin/mount ,' | program mount
echo 'echo "$*" >>"$DIR/swap"' | program swapon
for name in pvcreate vgcreate vgchange lvcreate lvs; do
    echo 'export LVM_SYSTEM_DIR=$DIR/lvm DM_DISABLE_UDEV=1; exec /usr/sbin/"${0##*/}" "$@"' | program $name
done
sed -i 's,exec.*,[ "$3 $4 $5" = "-W y -n" ] || exit 9; name=$6; shift 6; group=$3,' "$DIR/bin/lvcreate"
echo '/usr/sbin/lvcreate --driverloaded n -q -y -an -Z n -W n -n "$name" "$@" || exit 5
mkdir -p "/dev/$group"
truncate -s "$(lvs --noheadings --nosuffix --units b -o lv_size "$group/$name" | tr -d " ")" "/dev/$group/$name"' >>"$DIR/bin/lvcreate"
echo 'echo "25.05.20250801.abcdef0 (Warbler)"' | program nixos-version
echo 'echo "$*" >>"$DIR/asked"; echo "{ ... }: { }"' | program nixos-generate-config
echo 'echo "Boot0001* UEFI PXEv4"; echo "BootOrder: 0002,0001"; echo "$*" >>"$DIR/efibootmgr"' | program efibootmgr
echo 'printf "%s\n" "$@" >>"$DIR/asked"
grep " $FARRIER_TARGET" /proc/mounts | cut -d " " -f 1-3 >"$DIR/mounts"
[ "$CODE" = 0 ] || { echo "error: the very reason"; exit "$CODE"; }
[ ! -t 0 ] && [ "$(cat)" = "" ]
system=/nix/store/abc-nixos-system
mkdir -p $FARRIER_TARGET$system/etc/systemd/system $FARRIER_TARGET/nix/var/nix/profiles
[ -z "$UNIT" ] || ln -s /nix/store/unit "$FARRIER_TARGET$system/etc/systemd/system/farrier-first-boot.service"
ln -s $system $FARRIER_TARGET/nix/var/nix/profiles/system-1-link
ln -s system-1-link $FARRIER_TARGET/nix/var/nix/profiles/system' | program nixos-install
chmod 0755 "$DIR"/bin/*
mount -t tmpfs none /tmp
mount -t tmpfs none /run
mkdir /run/target
minors=$(cat "/sys/block/$LOOP/dev")
mount -t tmpfs none /dev
for node in null:1:3 zero:1:5 urandom:1:9; do
    mknod "/dev/${node%%:*}" c $(echo "${node#*:}" | tr : ' ')
done
mknod /dev/vda b $(echo "$minors" | tr : ' ')
mkdir -p /dev/disk/by-id
ln -s ../../vda '/dev/disk/by-id/a strange name'
ln -s ../../vda /dev/disk/by-id/virtio-S1
export FARRIER_TARGET=/run/target FARRIER_SYS="$DIR/sys" FARRIER_PAUSE=0 FARRIER_TRIES=3 PATH="$DIR/bin:/usr/sbin:/usr/bin:/sbin:/bin"
sh -e "$DIR/service" || true
[ ! -d /run/target/etc/nixos ] || cp -a /run/target/etc/nixos "$DIR/nixos"
[ ! -d /run/target/var/lib/farrier ] || cp -a /run/target/var/lib/farrier "$DIR/farrier"
for place in $(cut -d ' ' -f 2 /proc/mounts | grep '^/run/target' | sort -r); do umount "$place"; done
lvs --noheadings --units m -o lv_name,lv_size >"$DIR/volumes" 2>/dev/null || true
sfdisk --dump /dev/vda >"$DIR/table" || true
partx --delete /dev/vda 2>/dev/null || true
"#;

/// One machine of a test: its disk is given back to the host in the end.
struct Live {
    dir: tempfile::TempDir,
    disk: String,
}

impl Drop for Live {
    fn drop(&mut self) {
        let freed = Command::new("losetup")
            .args(["--detach", &self.disk])
            .status();
        if !freed.is_ok_and(|s| s.success()) {
            eprintln!("{} could not be detached", self.disk);
        }
    }
}

impl Live {
    /// None, and said loudly, without the right to mount.
    fn new() -> Option<Live> {
        let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a folder");
        let image = dir.path().join("disk");
        let file = std::fs::File::create(&image).expect("a file");
        file.set_len(5_242_880 * 512).expect("a size");
        let found = Command::new("losetup")
            .args(["--find", "--show", "--partscan"])
            .arg(&image)
            .output();
        let unshare = Command::new("unshare").args(["--mount", "true"]).status();
        let able = unshare.is_ok_and(|s| s.success());
        match found {
            Ok(out) if out.status.success() && able => Some(Live {
                disk: String::from_utf8_lossy(&out.stdout).trim().to_string(),
                dir,
            }),
            told => {
                crate::skipped!("needs root and loop devices; nothing was installed: {told:?}");
                None
            }
        }
    }

    fn path(&self, below: &str) -> PathBuf {
        self.dir.path().join(below)
    }

    fn read(&self, below: &str) -> String {
        let path = self.path(below);
        std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
    }

    /// What was printed. `install` is what nixos-install ends with.
    fn boot(&self, server: &Server, uefi: bool, install: u8, unit: bool) -> Option<String> {
        std::fs::write(self.path("service"), service()?).expect("a file");
        let word = |yes: bool| if yes { "yes" } else { "" };
        let base = server_base(server);
        let done = Command::new("unshare")
            .args(["--mount", "--propagation", "private", "sh", "-c", LIVE])
            .env("DIR", self.dir.path())
            .env("LOOP", self.disk.trim_start_matches("/dev/"))
            .env("URL", base)
            .env("UEFI", word(uefi))
            .env("CODE", install.to_string())
            .env("UNIT", word(unit))
            .output()
            .expect("unshare");
        Some(
            (String::from_utf8_lossy(&done.stdout) + String::from_utf8_lossy(&done.stderr))
                .into_owned(),
        )
    }
}

fn server_base(server: &Server) -> String {
    format!(
        "http://{}/b/{}",
        server.address,
        farrier::boot::Scope::Read.placeholder()
    )
}

fn serving(
    machine: &System,
    answer: impl Fn(&str, &str, usize) -> (u16, String) + Send + 'static,
) -> (Server, Rendered) {
    Server::of(|at| of("nixos", machine, at).expect("rendered"), answer)
}

fn permitting(path: &str, _: &str, before: usize) -> (u16, String) {
    match path {
        p if p.ends_with("/handoff") => (200, "handoff=https://192.0.2.1/h/TOKEN\n".into()),
        p if p.ends_with("/disks") && before == 0 => (503, String::new()),
        p if p.ends_with("/disks") => (200, "disk=/dev/vda\n".into()),
        _ => (204, String::new()),
    }
}

#[test]
fn a_disk_is_laid_out_and_handed_over() {
    let lvm = declared_as("rich", RICH);
    let plain = declared_as(
        "web01",
        "storage = { swap = \"64MiB\", volumes = [{ mount = \"/var/log\", size = \"400MiB\", filesystem = \"xfs\" }] }",
    );
    for (machine, uefi, device) in [
        (&plain, false, "/dev/vda".to_string()),
        (&plain, true, "/dev/vda".to_string()),
        (&lvm, false, "/dev/rich/".to_string()),
    ] {
        let (server, _) = serving(machine, permitting);
        let Some(live) = Live::new() else { return };
        let Some(said) = live.boot(&server, uefi, 0, true) else {
            return;
        };
        let mut expected = vec!["start", "disks", "disks"];
        expected.extend(["progress/setup", "progress/partition", "progress/configure"]);
        expected.extend(["progress/packages", "progress/handoff", "handoff"]);
        expected.extend(["progress/bootloader", "end"]);
        let log = server.bodies(&format!(
            "/r/{}/end",
            farrier::boot::Scope::Report.placeholder()
        ));
        let told = server.bodies(&format!(
            "/r/{}/fail/partition",
            farrier::boot::Scope::Report.placeholder()
        ));
        assert_eq!(server.reports(), expected, "{said}{log:?}{told:?}");
        assert_eq!(live.read("left"), "systemctl reboot\n");
        // what is mounted where, as nixos-install found it
        let boot = match uefi {
            true => "/dev/vda1:vfat /run/target/boot tmpfs\n",
            false => "/dev/vda2 /run/target/boot ext4\n",
        };
        let mounts = live.read("mounts");
        let mounts: String = mounts
            .lines()
            .filter(|l| !l.starts_with("none "))
            .map(|l| format!("{l}\n"))
            .collect();
        let wanted = match device.as_str() {
            "/dev/vda" if uefi => {
                format!("/dev/vda4 /run/target ext4\n{boot}/dev/vda3 /run/target/var/log xfs\n")
            }
            "/dev/vda" => {
                format!("/dev/vda5 /run/target ext4\n{boot}/dev/vda4 /run/target/var/log xfs\n")
            }
            _ => format!(
                "{device}root:btrfs /run/target tmpfs\n{boot}{device}srv_data:ext4 /run/target/srv/data tmpfs\n{device}var:xfs /run/target/var tmpfs\n"
            ),
        };
        assert_eq!(mounts, wanted, "{said}");
        if device.contains("rich") {
            let volumes = live.read("volumes");
            let sizes: Vec<&str> = volumes.split_whitespace().collect();
            assert_eq!(sizes[..2], ["root", "200.00m"], "{volumes}");
            assert_eq!(
                sizes[4..],
                ["swap", "64.00m", "var", "400.00m"],
                "{volumes}"
            );
        }
        let table = live.read("table");
        let kind = if uefi {
            "C12A7328-F81F-11D2-BA4B-00A0C93EC93B, "
        } else {
            "21686148-6449-6E6F-744E-656564454649, "
        };
        assert!(table.contains(kind), "{table}");
        let swap = live.read("swap");
        match device.contains("rich") {
            true => assert_eq!(swap, "/dev/rich/swap\n"),
            false => assert_eq!(swap, format!("/dev/vda{}\n", if uefi { 2 } else { 3 })),
        }
        let machine_nix = live.read("nixos/machine.nix");
        assert!(
            machine_nix.contains("system.stateVersion = \"25.05\";"),
            "{machine_nix}"
        );
        match uefi {
            true => assert!(machine_nix.contains("systemd-boot.enable = true;")),
            false => assert!(
                machine_nix.contains("grub.device = \"/dev/disk/by-id/virtio-S1\";"),
                "{machine_nix}"
            ),
        }
        super::nix::parse(&machine_nix);
        assert!(live.read("asked").contains("--no-root-password"));
        assert!(
            live.read("nixos/configuration.nix")
                .contains("./machine.nix")
        );
        assert!(live.path("nixos/extra.nix").exists());
        assert_eq!(live.path("efibootmgr").exists(), uefi);
        // what first-boot.nix expects
        let pending = live.read("farrier/pending");
        assert!(
            pending.starts_with("handoff=https://192.0.2.1/h/TOKEN\nkey="),
            "{pending}"
        );
        assert_eq!(live.read("farrier/trust/ca.crt"), **server.authority());
        assert!(live.read("farrier/first-boot").starts_with("#!/bin/sh"));
        use std::os::unix::fs::PermissionsExt;
        let mode = |path: &str| {
            let there = std::fs::metadata(live.path(path)).expect("there");
            there.permissions().mode() & 0o7777
        };
        assert_eq!((mode("farrier"), mode("farrier/pending")), (0o700, 0o600));
    }
}

#[test]
fn a_refusal_and_a_failure_are_reported_and_the_machine_is_left() {
    let plain = system("web01");
    let fail = |stage: &str| {
        format!(
            "/r/{}/fail/{stage}",
            farrier::boot::Scope::Report.placeholder()
        )
    };
    let refused = |path: &str, _: &str, _: usize| match path.ends_with("/disks") {
        true => (409, "the disk /dev/vda holds zfs".to_string()),
        false => (204, String::new()),
    };
    let (server, _) = serving(&plain, refused);
    let Some(live) = Live::new() else { return };
    let Some(said) = live.boot(&server, false, 0, true) else {
        return;
    };
    let told = server.bodies(&fail("partition"));
    assert!(told[0].contains("holds zfs"), "{told:?}{said}");
    assert_eq!(live.read("left"), "reboot -f\n");
    assert!(!live.path("asked").exists());
    assert_eq!(live.read("table"), "", "nothing was written");
    for (code, unit, stage, why) in [
        (3, true, "packages", "the very reason"),
        (0, false, "handoff", "import first-boot.nix"),
    ] {
        let (server, _) = serving(&plain, permitting);
        let Some(live) = Live::new() else { return };
        let said = live.boot(&server, true, code, unit).expect("it ran before");
        let told = server.bodies(&fail(stage));
        assert!(told[0].contains(why), "{told:?}{said}");
        assert_eq!(live.read("left"), "reboot -f\n");
        assert!(!server.reports().contains(&"end".to_string()), "{said}");
    }
}

#[test]
fn what_is_installed_and_from_where() {
    for (lines, wanted) in [
        ("", "--root\n/mnt\n--no-root-password\n"),
        (
            "vars = { substituters = [\"http://a.example\", \"http://b.example\"], trusted_keys = [\"k:A=\"] }",
            "--root\n/mnt\n--no-root-password\n--option\nsubstituters\nhttp://a.example http://b.example\n--option\nextra-trusted-public-keys\nk:A=\n",
        ),
        (
            "ssh_keys = []\nvars = { flake = \"git+https://git.example/x#$(id)\" }",
            "--root\n/mnt\n--no-root-password\n--flake\ngit+https://git.example/x#$(id)\n",
        ),
        (
            "ssh_keys = []\nvars = { system = \"/nix/store/abc\" }",
            "--root\n/mnt\n--no-root-password\n--system\n/nix/store/abc\n--no-channel-copy\n",
        ),
    ] {
        let made =
            try_render("nixos", &declared_as("web01", lines), Firmware::BIOS).expect("rendered");
        // the very function, with a stand-in that says what it is given
        let script = text(&made, "install.sh");
        let (_, rest) = script.split_once("\nbuild() {").expect("a function");
        let (body, _) = rest.split_once("\n}\n").expect("its end");
        let whole = format!(
            "nixos-install() {{ printf '%s\\n' \"$@\"; }}\ntarget=/mnt\nbuild() {{{body}\n}}\nbuild\n"
        );
        let (ok, out, err) = run("bash", &["-e"], &whole).expect("bash");
        assert!(ok, "{err}");
        assert_eq!(out, wanted, "{lines}");
    }
}

#[test]
fn scripts_are_what_their_shells_read() {
    let folder = tempfile::tempdir().expect("a folder");
    for (case, system) in super::machines() {
        let made = super::rendered(&system);
        let at = folder.path().join(case);
        crate::render::debian::lay_out(&made, &at);
        for name in ["install.sh", "storage.sh", "farrier.env"] {
            for shell in [&["dash"][..], &["bash"]] {
                let arguments: Vec<&str> = shell[1..].iter().copied().chain(["-n"]).collect();
                if let Some((ok, _, err)) = run(shell[0], &arguments, text(&made, name)) {
                    assert!(ok, "{name}: {err}");
                }
            }
        }
        lint(&at.join("storage.sh"));
        let source = format!("--source-path={}", at.display());
        let script = at.join("install.sh").display().to_string();
        let arguments = ["--shell=sh", "--external-sources", &source, &script];
        if let Some((ok, out, _)) = run("shellcheck", &arguments, "") {
            assert!(ok, "{out}");
        }
    }
    if let Some(text) = service() {
        let file = folder.path().join("service.sh");
        std::fs::write(&file, format!("#!/bin/sh\n{text}")).expect("a file");
        lint(&file);
    }
}
