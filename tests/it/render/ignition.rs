//! The shipped profiles of Ignition's systems: goldens, Ignition's own validator, and Ignition itself,
//! which makes of what the live system composed a root directory. Both are in Debian's package.

use std::path::Path;
use std::process::Command;
use std::sync::{Arc, OnceLock};

use farrier::boot::Scope;
use farrier::model::{Firmware, Partial, System};
use farrier::render::{CompiledProfile, Place, Rendered};

use super::debian::text;
use super::first_boot::lint;
use super::hostile::HOSTILE;
use super::server::Server;
use super::site::{declared_as, distro_of, place, run, shipped, system};

const PROFILES: [&str; 2] = ["fedora-coreos", "flatcar"];

/// What both can do.
const RICH: &str = r#"
static_ip = true
locale    = { language = "de_DE.UTF-8", keyboard = "de", timezone = "Europe/Berlin" }
[[system.rich.interface]]
mac = "52:54:00:00:00:01"
ip  = "10.77.0.11"
ip6 = "2001:db8::11/64"
[[system.rich.interface]]
mac = "52:54:00:00:00:02"
[[system.rich.interface]]
mac  = "52:54:00:00:00:03"
ip   = "10.77.0.13"
name = "backup0"
static_ip = false
[system.rich.network]
ipv6 = "auto"
[system.rich.network.bond.bond0]
interfaces = ["52:54:00:00:00:01", "52:54:00:00:00:02"]
mode       = "802.3ad"
[system.rich.network.vlan.vlan20]
id     = 20
ip     = "10.20.0.5/24"
router = "10.20.0.1"
[system.rich.users.alice]
groups   = ["wheel", "ops"]
ssh_keys = ["ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOp4 alice@example"]
password = "$6$rounds=5000$saltsaltsalt$Q3f5Yb0Wq7hPzV1xJkLmN2oRtUvWyZaBcDeFgHiJ"
sudo     = true
[system.rich.users.app]
shell = "/usr/sbin/nologin"
"#;

/// What only Fedora CoreOS can do.
const DISK: &str = "storage = { swap = \"2GiB\", filesystem = \"ext4\", volumes = [{ mount = \"/\", size = \"20GiB\" }, \
    { mount = \"/var\", size = \"50GiB\", filesystem = \"xfs\" }, { mount = \"/srv/my-data\", size = \"rest\" }] }";
const TANG: &str = "storage = { encrypt = \"tang\", tang = [{ url = \"http://tang.example\", thumbprint = \"aaaaaaaaaaaaaaaaaaaaaaaaaaa\" }] }";
const TPM: &str = "storage = { encrypt = \"tpm2\" }";

fn of(profile: &str, system: &System, place: &Place) -> Result<Rendered, String> {
    let profile = shipped(profile);
    let compiled = CompiledProfile::new(&profile).expect("a sound profile");
    let rendered = compiled.render(system, &distro_of(&profile), place);
    rendered.map_err(|all| all.iter().map(|d| format!("{d}\n")).collect())
}

fn cases(profile: &str) -> Vec<(&'static str, System, Place)> {
    let mut uefi = place();
    uefi.firmware = Some(Firmware::UEFI);
    let mut all = vec![
        ("bios-dhcp", system("web01"), place()),
        ("bios-static", declared_as("web02", "static_ip = true"), place()),
        ("uefi-dhcp", system("web03"), uefi.clone()),
        ("uefi-static", declared_as("web04", "static_ip = true\nvars = { console = \"\" }"), uefi),
        ("rich", declared_as("rich", RICH), place()),
    ];
    if profile == "fedora-coreos" {
        all.push(("disk", declared_as("disk", DISK), place()));
        all.push(("tang", declared_as("tang", TANG), place()));
        all.push(("tpm2", declared_as("tpm2", TPM), place()));
    }
    all
}

#[test]
fn goldens() {
    for profile in PROFILES {
        for (case, system, place) in cases(profile) {
            let rendered = of(profile, &system, &place).expect("rendered");
            assert_eq!(rendered.warnings, vec![]);
            let mut all = format!("cmdline: {}\n", rendered.cmdline);
            for name in ["live.ign", "config.ign", "install.sh", "files.sh"] {
                all.push_str(&format!("\n==> {name} <==\n{}", text(&rendered, name)));
            }
            insta::with_settings!({
                snapshot_path => "../../golden/render",
                prepend_module_to_snapshot => false,
                omit_expression => true,
            }, { insta::assert_snapshot!(format!("{profile}-{case}"), all) });
        }
    }
}

/// Ignition's own validator: no error and no warning.
fn validate(what: &str, config: &str) {
    let Some((ok, out, err)) = run("ignition-validate", &["-"], config) else {
        return;
    };
    assert!(ok && out.is_empty() && err.is_empty(), "{what}: {out}{err}\n{config}");
}

#[test]
fn ignitions_own_validator_takes_them() {
    if let Some((ok, _, err)) = run("ignition-validate", &["-"], "{\"ignition\":{\"version\":\"9.0.0\"}}") {
        assert!(!ok && !err.is_empty(), "it refuses nothing");
    }
    for profile in PROFILES {
        for (case, system, place) in cases(profile) {
            let rendered = of(profile, &system, &place).expect("rendered");
            for name in ["live.ign", "config.ign"] {
                validate(&format!("{profile} {case} {name}"), text(&rendered, name));
            }
        }
    }
}

#[test]
fn what_they_cannot_do_is_refused_with_the_reason() {
    let volumes = "storage = { volumes = [{ mount = \"/var\", size = \"9GiB\" }] }";
    for (profile, lines, told) in [
        ("fedora-coreos", "packages = [\"vim\"]", "installs no packages"),
        ("fedora-coreos", "storage = { layout = \"lvm\" }", "no logical volumes"),
        ("fedora-coreos", "storage = { raid = \"raid1\", second = \"/dev/vdb\" }", "writes one disk"),
        ("fedora-coreos", volumes, "cannot take the rest of it"),
        ("fedora-coreos", "storage = { swap = \"1GiB\" }", "cannot take the rest of it"),
        ("fedora-coreos", "repository = { r = { url = \"http://repo.example/\" } }", "installs no packages"),
        ("flatcar", "packages = [\"vim\"]", "installs no packages"),
        ("flatcar", "storage = { encrypt = \"tpm2\" }", "encrypts no disk"),
        ("flatcar", "storage = { filesystem = \"xfs\" }", "is ext4"),
        ("flatcar", volumes, "one root file system"),
        ("flatcar", "storage = { swap = \"1GiB\" }", "no swap"),
    ] {
        let said = of(profile, &declared_as("web01", lines), &place()).expect_err(lines);
        assert!(said.contains(told), "{profile} {lines}: {said}");
    }
}

/// Every text that somebody can write, hostile: what is parsed holds the very text, or rendering refuses.
#[test]
fn hostile_values_are_values() {
    let mut tried = 0;
    for hostile in HOSTILE {
        let text_of = serde_json::Value::from(hostile);
        for partial in [
            serde_json::json!({"users": {hostile: {"groups": [text_of], "ssh_keys": [text_of], "password": text_of, "shell": text_of, "sudo": true}}}),
            serde_json::json!({"locale": {"timezone": text_of, "keyboard": text_of, "language": text_of}}),
            serde_json::json!({"network": {"bond": {"b0": {"interfaces": ["52:54:00:00:00:01"], "mode": text_of}}, "vlan": {hostile: {"id": 2}}}}),
        ] {
            let mut machine = system("web01");
            machine.intent = Some(Arc::new(Partial::new(partial.as_object().cloned().expect("a table"))));
            for profile in PROFILES {
                let Ok(rendered) = of(profile, &machine, &place()) else {
                    continue;
                };
                tried += 1;
                let config: serde_json::Value = serde_json::from_str(text(&rendered, "config.ign")).expect("JSON");
                if partial.get("users").is_some() {
                    let user = &config["passwd"]["users"][1];
                    for key in ["name", "passwordHash", "shell"] {
                        assert_eq!(user[key], text_of);
                    }
                    assert_eq!(user["sshAuthorizedKeys"], serde_json::json!([hostile]));
                    assert_eq!(user["groups"], serde_json::json!([hostile]));
                }
                if partial.get("locale").is_some() {
                    let target = config["storage"]["links"][0]["target"].as_str().expect("text");
                    assert_eq!(target, format!("../usr/share/zoneinfo/{hostile}"));
                }
                let root = tempfile::tempdir().expect("a folder");
                let script = text(&rendered, "files.sh");
                let at = root.path().display().to_string();
                if hostile.contains('/') || hostile.contains("..") {
                    continue;
                }
                let (ok, _, err) = run("dash", &["-s", &at], script).expect("dash");
                assert!(ok && err.is_empty(), "{hostile:?}: {err}\n{script}");
                if partial.get("locale").is_some() {
                    let file = std::fs::read_to_string(root.path().join("etc/vconsole.conf")).expect("a file");
                    assert_eq!(file, format!("KEYMAP={hostile}\n"));
                }
            }
        }
    }
    assert!(tried > 80, "{tried}");
}

/// A server of one test, and the documents rendered for its address.
fn serving(
    profile: &str,
    machine: &System,
    answer: impl Fn(&str, &str, usize) -> (u16, String) + Send + 'static,
) -> (Server, Rendered) {
    let documents: Arc<OnceLock<Rendered>> = Arc::default();
    let known = Arc::clone(&documents);
    let server = Server::start(move |path, body, before| {
        if let Some((_, name)) = path.strip_prefix("/b/").and_then(|p| p.split_once('/')) {
            let rendered = known.get().expect("set below");
            return match rendered.documents.get(name) {
                Some(document) => (200, String::from_utf8_lossy(&document.bytes).into_owned()),
                None => (404, String::new()),
            };
        }
        if path.starts_with("/a/") {
            return (200, "an image".into());
        }
        answer(path, body, before)
    });
    let mut at = place();
    at.server = server.address;
    at.secure = server.address;
    at.authority = Some(server.authority().clone());
    let rendered = of(profile, machine, &at).expect("rendered");
    documents.set(rendered.clone()).expect("set once");
    (server, rendered)
}

/// The live system, with its installer put by a script that keeps what it was given. What runs is the
/// very command of live.ign's unit.
const LIVE: &str = r#"
mkdir -p "$DIR/bin" "$DIR/sys/block/vda"
echo 2097152 >"$DIR/sys/block/vda/size"
mknod "$DIR/vda" b 7 221
: >"$DIR/sysrq"
[ ! -e /proc/sysrq-trigger ] || mount --bind "$DIR/sysrq" /proc/sysrq-trigger
printf '#!/bin/sh\necho "$0 $*" >>"$DIR/left"\nkill -9 $PPID\n' >"$DIR/bin/reboot"
printf '#!/bin/sh\necho "$*" >>"$DIR/left"\n' >"$DIR/bin/systemctl"
printf '#!/bin/sh\nexit 1\n' >"$DIR/bin/udevadm"
printf '#!/bin/sh\ntrue\n' >"$DIR/bin/mount"
cp "$DIR/bin/mount" "$DIR/bin/umount"
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

fn live(dir: &Path, rendered: &Rendered, code: u8) -> String {
    let config: serde_json::Value = serde_json::from_str(text(rendered, "live.ign")).expect("JSON");
    let unit = config["systemd"]["units"][0]["contents"].as_str().expect("a unit");
    let command = unit.lines().find_map(|l| l.strip_prefix("ExecStart=/bin/sh -c '")).expect("a command");
    let command = command.strip_suffix('\'').expect("its end");
    let done = Command::new("unshare")
        .args(["--mount", "sh", "-ec", LIVE])
        .env("DIR", dir)
        .env("COMMAND", command)
        .env("CODE", code.to_string())
        .output()
        .expect("unshare");
    (String::from_utf8_lossy(&done.stdout) + String::from_utf8_lossy(&done.stderr)).into_owned()
}

fn reports(server: &Server) -> Vec<String> {
    let token = format!("/r/{}/", Scope::Report.placeholder());
    let verb = |path: &String| path.strip_prefix(&token).map(str::to_string);
    server.paths().iter().filter_map(verb).collect()
}

/// Debian's package keeps Ignition itself in dracut's module.
const ENGINE: &str = "/usr/lib/dracut/modules.d/30ignition/ignition";

/// Lets Ignition write files, accounts and units of a configuration below a root.
fn ignite(dir: &Path, config: &Path) -> Option<std::path::PathBuf> {
    if !Path::new(ENGINE).exists() {
        eprintln!("SKIPPED: Debian's package `ignition` is not installed, and Ignition did not run");
        return None;
    }
    let root = dir.join("installed");
    for folder in ["etc/ssh", "etc/systemd/system", "home", "root", "var/lib", "tmp", "usr/sbin", "bin"] {
        std::fs::create_dir_all(root.join(folder)).expect("a folder");
    }
    let put = |path: &str, text: &str| std::fs::write(root.join(path), text).expect("a file");
    put("etc/passwd", "root:x:0:0:root:/root:/bin/sh\n");
    put("etc/shadow", "root:*:19000:0:99999:7:::\n");
    put("etc/group", "root:x:0:\nwheel:x:10:\n");
    put("etc/gshadow", "root:*::\nwheel:!::\n");
    put("etc/login.defs", "CREATE_HOME yes\n");
    let script = "mount -t tmpfs none /run && mkdir -p /run/ignition && \
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
        let (server, rendered) = serving(profile, &declared_as("rich", RICH), |path, _, before| match path {
            p if p.ends_with("/handoff") => (200, "handoff=https://192.0.2.1/h/TOKEN\n".into()),
            p if p.ends_with("/disks") && before == 0 => (503, String::new()),
            p if p.ends_with("/disks") => (200, "disk=/dev/vda\n".into()),
            _ => (204, String::new()),
        });
        let dir = scratch();
        let said = live(dir.path(), &rendered, 0);
        assert_eq!(
            reports(&server),
            ["start", "disks", "disks", "progress/handoff", "handoff", "progress/extract", "end"],
            "{profile}: {said}"
        );
        let installed = std::fs::read_to_string(dir.path().join("installed")).expect("installed");
        assert!(installed.contains("/dev/vda"), "{installed}");
        assert_eq!(std::fs::read_to_string(dir.path().join("left")).expect("left"), "reboot\n");
        let config = dir.path().join("target.ign");
        validate(profile, &std::fs::read_to_string(&config).expect("composed"));
        let Some(root) = ignite(dir.path(), &config) else {
            return;
        };
        let read = |path: &str| {
            std::fs::read_to_string(root.join(path)).unwrap_or_else(|e| panic!("{profile} {path}: {e}"))
        };
        assert_eq!(read("etc/hostname"), "rich\n");
        assert!(read("var/lib/farrier/pending").starts_with("handoff=https://192.0.2.1/h/TOKEN\nkey="));
        use std::os::unix::fs::PermissionsExt;
        let mode = |path: &str| std::fs::metadata(root.join(path)).expect("there").permissions().mode() & 0o7777;
        assert_eq!((mode("var/lib/farrier"), mode("var/lib/farrier/pending")), (0o700, 0o600));
        assert_eq!(mode("etc/sudoers.d/90-alice"), 0o440);
        assert_eq!(read("etc/farrier/trust/ca.crt"), **server.authority());
        assert!(read("etc/farrier/first-boot").contains("/etc/farrier/trust"));
        let unit = "etc/systemd/system/farrier-first-boot.service";
        assert!(read(unit).contains("ExecStart=/bin/sh /etc/farrier/first-boot"));
        let wanted = root.join("etc/systemd/system/multi-user.target.wants/farrier-first-boot.service");
        assert_eq!(std::fs::read_link(wanted).expect("a link"), Path::new("../farrier-first-boot.service"));
        let zone = std::fs::read_link(root.join("etc/localtime")).expect("a link");
        assert_eq!(zone, Path::new("../usr/share/zoneinfo/Europe/Berlin"));
        let accounts = read("etc/passwd");
        assert!(accounts.lines().any(|l| l.starts_with("alice:")), "{accounts}");
        let shadow = read("etc/shadow");
        assert!(shadow.contains("alice:$6$rounds=5000$"), "{shadow}");
        let locked = |name: &str| {
            let line = shadow.lines().find(|l| l.starts_with(&format!("{name}:"))).expect("an account");
            ["!", "*", "!*", "!!"].contains(&line.split(':').nth(1).expect("a hash"))
        };
        assert!(locked("app") && locked("root"), "{shadow}");
        let group = read("etc/group");
        assert!(group.lines().any(|l| l.starts_with("wheel:") && l.ends_with("alice")), "{group}");
        assert!(group.lines().any(|l| l.starts_with("ops:") && l.ends_with("alice")), "{group}");
        if profile == "fedora-coreos" {
            let bond = read("etc/NetworkManager/system-connections/bond0.nmconnection");
            assert!(bond.contains("mode=802.3ad") && bond.contains("address1=10.77.0.11/24,10.77.0.1"), "{bond}");
            assert!(bond.contains("[ipv6]\nmethod=auto\naddress1=2001:db8::11/64"), "{bond}");
            assert_eq!(mode("etc/NetworkManager/system-connections/bond0.nmconnection"), 0o600);
            let vlan = read("etc/NetworkManager/system-connections/vlan20.nmconnection");
            assert!(vlan.contains("parent=bond0") && vlan.contains("10.20.0.5/24,10.20.0.1"), "{vlan}");
        } else {
            let bond = read("etc/systemd/network/10-bond0.network");
            assert!(bond.contains("Address=10.77.0.11/24") && bond.contains("VLAN=vlan20"), "{bond}");
        }
    }
}

#[test]
fn a_failure_is_told_and_nothing_is_written_without_a_permit() {
    for (status, answer, code, stage, said) in [
        (409, "no disk has the serial `X`\n", 0, "partition", "refused: no disk has the serial `X`"),
        (200, "disk=/dev/vda\n", 3, "extract", "write ended with code 3"),
    ] {
        let (server, rendered) = serving("fedora-coreos", &system("web01"), move |path, _, _| match path {
            p if p.ends_with("/handoff") => (200, "handoff=https://192.0.2.1/h/TOKEN\n".into()),
            p if p.ends_with("/disks") => (status, answer.into()),
            _ => (204, String::new()),
        });
        let dir = scratch();
        let out = live(dir.path(), &rendered, code);
        assert!(dir.path().join("left").exists(), "{out}");
        assert_eq!(dir.path().join("installed").exists(), code != 0, "{out}");
        let told = server.bodies(&format!("/r/{}/fail/{stage}", Scope::Report.placeholder()));
        assert!(told.concat().contains(said), "{told:?}: {out}");
        assert!(!reports(&server).contains(&"end".to_string()));
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
    let mount = std::fs::read_to_string(units.join("srv-my\\x2ddata.mount")).expect("a unit");
    assert!(mount.contains("What=/dev/disk/by-partlabel/srv_my-data\nWhere=/srv/my-data\nType=ext4"), "{mount}");
    assert!(units.join("var.mount").exists());
    assert!(units.join("swap.target.requires/dev-disk-by\\x2dpartlabel-swap.swap").is_symlink());
}

#[test]
fn the_scripts_are_sound() {
    for profile in PROFILES {
        for (_, system, place) in cases(profile) {
            let rendered = of(profile, &system, &place).expect("rendered");
            let dir = tempfile::tempdir().expect("a folder");
            let here = dir.path().display();
            for (name, document) in &rendered.documents {
                std::fs::write(dir.path().join(name), &document.bytes).expect("a file");
            }
            let script = text(&rendered, "install.sh");
            let script = script.replace(". ./", &format!(". {here}/"));
            std::fs::write(dir.path().join("install.sh"), script).expect("a file");
            for name in ["install.sh", "files.sh", "compose.sh"] {
                lint(&dir.path().join(name));
            }
        }
    }
}
