//! The profiles of Anaconda, judged by goldens, by pykickstart, which is Anaconda's own parser, and by
//! running their scripts on a machine made up for it. Anaconda itself does not run here.

pub(super) mod machine;
mod pykickstart;

use std::path::{Path, PathBuf};

use farrier::model::{Firmware, System};
use farrier::render::{CompiledProfile, Rendered};
use serde_json::{Value, json};

use super::debian::{lay_out, text};
use super::first_boot::lint;
use super::hostile::HOSTILE;
use super::site::{declared_as, distro_of, place, run, shipped, system};
use machine::{Machine, reports, serving};

/// Each profile, with the version of the language that it writes.
const PROFILES: [(&str, &str); 7] = [
    ("rocky-8", "RHEL8"),
    ("rocky-9", "RHEL9"),
    ("rocky-10", "RHEL10"),
    ("alma-9", "RHEL9"),
    ("centos-stream-9", "RHEL9"),
    ("centos-stream-10", "RHEL10"),
    ("fedora", "F44"),
];

/// What a system may ask for, and these profiles can give.
const RICH: &str = r#"
static_ip = true
packages  = ["nginx", "@development", "internal-tool-1.2~3"]
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
[system.rich.storage]
layout  = "lvm"
raid    = "raid1"
second  = { serial = "S-vdb" }
encrypt = "tang"
tang    = [{ url = "http://tang.example", thumbprint = "abcdefghijklmnopqrstuvwxyz0" }, { url = "http://tang2.example:81", thumbprint = "abcdefghijklmnopqrstuvwxyz1" }]
swap    = "2GiB"
volumes = [{ mount = "/var", size = "20GiB", filesystem = "ext4" }, { mount = "/srv/data", size = "rest" }, { mount = "/", size = "10GiB" }]
[system.rich.network.bond.bond0]
interfaces = ["52:54:00:00:00:01", "52:54:00:00:00:02"]
mode       = "802.3ad"
[system.rich.network.vlan.vlan20]
id     = 20
ip     = "10.20.0.5/24"
router = "10.20.0.1"
[system.rich.network.vlan.vlan30]
link = "bond0"
id   = 30
[system.rich.users.alice]
groups   = ["adm", "ops"]
ssh_keys = ["ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOp4 alice@example"]
password = "$6$rounds=5000$saltsaltsalt$Q3f5Yb0Wq7hPzV1xJkLmN2oRtUvWyZaBcDeFgHiJ"
sudo     = true
[system.rich.users.app]
shell = "/usr/sbin/nologin"
[system.rich.users.root]
ssh_keys = ["ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOp5 root@example"]
[system.rich.repository.internal]
url = "http://repo.example/el/"
key = "http://repo.example/key.asc"
"#;

/// Mirrored partitions, addresses by router advertisements, a hash for root.
const MIRROR: &str = "storage = { raid = \"raid1\", swap = \"0\" }\nnetwork = { ipv6 = \"auto\" }\n\
                      vars = { console = \"\", on_failure = \"poweroff\", kernel_options = [\"quiet\"] }\n\
                      users = { root = { password = \"$6$rounds=5000$saltsaltsalt$Q3f5Yb0Wq7hPzV1xJkLmN2oRtUvWyZaBcDeFgHiJ\" } }\n\
                      repository = { plain = { url = \"http://repo.example/plain/\" } }";

fn machines() -> [(&'static str, System); 5] {
    [
        ("dhcp", system("web01")),
        ("static", declared_as("web02", "static_ip = true")),
        (
            "tpm",
            declared_as("web03", "storage = { layout = \"lvm\", encrypt = \"tpm2\" }"),
        ),
        ("mirror", declared_as("db01", MIRROR)),
        ("rich", declared_as("rich", RICH)),
    ]
}

fn try_render(profile: &str, system: &System, firmware: Firmware) -> Result<Rendered, String> {
    let profile = shipped(profile);
    let compiled = CompiledProfile::new(&profile).map_err(|all| format!("{all:?}"))?;
    let mut at = place();
    at.firmware = Some(firmware);
    if let Some(subnet) = &mut at.subnet {
        subnet.ntp = vec!["10.77.0.1".parse().expect("an address")];
    }
    let rendered = compiled.render(system, &distro_of(&profile), &at);
    rendered.map_err(|all| {
        let lines: Vec<String> = all.iter().map(ToString::to_string).collect();
        lines.join("\n")
    })
}

fn rendered(profile: &str, system: &System, firmware: Firmware) -> Rendered {
    let rendered = try_render(profile, system, firmware);
    let rendered = rendered.unwrap_or_else(|told| panic!("{profile}: {told}"));
    assert_eq!(rendered.warnings, vec![]);
    rendered
}

#[test]
fn goldens() {
    for (profile, _) in PROFILES {
        for (case, system) in machines() {
            let made = rendered(profile, &system, Firmware::BIOS);
            // which firmware it is, the machine says itself
            let same = rendered(profile, &system, Firmware::UEFI);
            assert_eq!(made, same, "{profile} {case}");
            let mut all = format!("cmdline: {}\n", made.cmdline);
            for name in ["ks.cfg", "storage.ks", "network.ks", "farrier.env", "system.sh"] {
                all.push_str(&format!("\n==> {name} <==\n{}", text(&made, name)));
            }
            insta::with_settings!({
                snapshot_path => "../../golden/render",
                prepend_module_to_snapshot => false,
                omit_expression => true,
            }, { insta::assert_snapshot!(format!("{profile}-{case}"), all) });
        }
    }
}

#[test]
fn no_answer_carries_a_secret_and_every_name_it_fetches_is_there() {
    for (profile, _) in PROFILES {
        for (_, system) in machines() {
            let made = rendered(profile, &system, Firmware::BIOS);
            for document in made.documents.values().filter(|d| !d.secret) {
                let text = String::from_utf8_lossy(&document.bytes);
                assert!(!text.contains("FARRIER-SECRET"), "{}", document.name);
            }
            let ks = text(&made, "ks.cfg");
            let listed = ks.split("for f in ").nth(1).and_then(|t| t.split(';').next());
            for name in listed.expect("what it fetches").split(' ') {
                assert!(made.documents.contains_key(name), "{name}");
            }
            let words: Vec<&str> = made.cmdline.split(' ').collect();
            let ks = words.iter().find_map(|w| w.strip_prefix("inst.ks="));
            assert!(ks.is_some_and(|url| url.ends_with("/ks.cfg")), "{words:?}");
            // Scripts know no names: neither %pre nor %post has a resolver to count on.
            let host = ks.and_then(|url| url.split('/').nth(2)).expect("a host");
            assert!(host.parse::<std::net::Ipv4Addr>().is_ok(), "{host}");
        }
    }
}

/// Everything as after %pre on a machine with this firmware; none if that cannot be done here.
fn after_pre(profile: &str, system: &System, uefi: bool) -> Option<Machine> {
    let two = system.intent.as_deref().is_some_and(|i| {
        i.leaves().contains("storage.raid")
    });
    let permit = match two {
        true => "disk=/dev/vda\nsecond=/dev/vdb\n",
        false => "disk=/dev/vda\n",
    };
    let (server, made) = serving(&shipped(profile), system, move |path, _, _| {
        let permit = if path.ends_with("/disks") { permit } else { "" };
        (200, permit.to_string())
    });
    let machine = Machine::new(&made, uefi)?;
    let out = machine.run("pre.sh");
    assert!(out.status.success() && !machine.left(), "{profile}: {out:?}");
    assert_eq!(reports(&server), ["start", "disks", "progress/partition"], "{out:?}");
    Some(machine)
}

#[test]
fn anacondas_own_parser_takes_the_answers() {
    let folder = tempfile::tempdir().expect("a folder");
    for version in ["RHEL8", "RHEL9", "RHEL10", "F44"] {
        let mut files: Vec<PathBuf> = Vec::new();
        for (profile, _) in PROFILES.iter().filter(|(_, v)| *v == version) {
            for (case, system) in machines() {
                for firmware in ["bios", "uefi"] {
                    let Some(machine) = after_pre(profile, &system, firmware == "uefi") else {
                        return;
                    };
                    let file = folder.path().join(format!("{profile}-{case}-{firmware}.ks"));
                    std::fs::write(&file, machine.answers()).expect("a file");
                    files.push(file);
                }
            }
        }
        // The validator stops at a warning. Those of a mirror's two biosboot partitions and of VLANs on one
        // link are known, and are looked for below.
        let quiet = |f: &&PathBuf| {
            let name = f.display().to_string();
            !name.contains("-rich-") && !name.ends_with("-mirror-bios.ks")
        };
        let strict: Vec<PathBuf> = files.iter().filter(quiet).cloned().collect();
        pykickstart::validate(version, &strict);
        for (file, read) in files.iter().zip(pykickstart::read(version, &files).unwrap_or_default()) {
            let name = file.file_stem().expect("a name").to_string_lossy().into_owned();
            check(&name, &read);
        }
    }
}

/// What a parsed answer file must say, whatever the profile.
fn check(name: &str, read: &Value) {
    let uefi = name.ends_with("-uefi");
    let two = name.contains("-mirror-") || name.contains("-rich-");
    assert_eq!(read.get("error"), None, "{name}");
    for warning in read["warnings"].as_array().expect("warnings") {
        let said = warning.as_str().unwrap_or("");
        let known = [
            "A partition with the mountpoint biosboot has already been defined.",
            "A network device with the name bond0 has already been defined.",
        ];
        assert!(two && known.contains(&said), "{name}: {said}");
    }
    let disks = if two { json!(["vda", "vdb"]) } else { json!(["vda"]) };
    assert_eq!(read["only"], disks, "{name}");
    assert_eq!(read["clear"], disks, "{name}");
    let partitions = read["partitions"].as_array().expect("partitions");
    for partition in partitions {
        assert!(disks.as_array().expect("a list").contains(&partition["disk"]), "{name}: {partition}");
    }
    let mounts: Vec<&str> = ["partitions", "raids", "volumes"]
        .iter()
        .flat_map(|kind| read[kind].as_array().expect("a list"))
        .filter_map(|p| p["mountpoint"].as_str())
        .collect();
    assert_eq!(mounts.contains(&"/boot/efi"), uefi, "{name}: {mounts:?}");
    let biosboot = mounts.iter().filter(|m| **m == "biosboot").count();
    assert_eq!(biosboot, match (uefi, two) { (true, _) => 0, (_, true) => 2, _ => 1 }, "{name}");
    assert!(mounts.contains(&"/") && mounts.contains(&"/boot"), "{name}: {mounts:?}");
    let scripts = read["scripts"].as_array().expect("scripts");
    let kinds: Vec<&Value> = scripts.iter().map(|s| &s[1]).collect();
    assert_eq!(kinds, [&json!(false), &json!(false), &json!(false)], "{name}: none in the installed system");
    for script in scripts {
        let text = script[3].as_str().expect("a script");
        if let Some((ok, out, _)) = run("shellcheck", &["--shell=bash", "-"], text) {
            assert!(ok, "{name}: {out}\n{text}");
        }
    }
    let locked = mounts.contains(&"pv.1");
    let encrypted = partitions.iter().chain(read["raids"].as_array().expect("a list"));
    let encrypted: Vec<&Value> = encrypted.filter(|p| p["encrypted"] == true).collect();
    assert_eq!(encrypted.len(), usize::from(locked), "{name}: {encrypted:?}");
    if name.contains("-rich-") {
        rich(name, read);
    } else {
        assert_eq!(read["lang"], "en_US.UTF-8", "{name}");
        let network = &read["network"][1];
        assert_eq!(network["device"], "enp0s0", "{name}");
        let fixed = name.contains("-static-");
        assert_eq!(network["bootProto"], if fixed { "static" } else { "dhcp" }, "{name}");
    }
    let lock = !name.contains("-mirror-");
    assert_eq!(read["rootpw"]["lock"], lock, "{name}");
}

fn rich(name: &str, read: &Value) {
    assert_eq!(read["lang"], "de_DE.UTF-8", "{name}");
    assert_eq!(read["keyboard"], "de", "{name}");
    assert_eq!(read["timezone"], "Europe/Berlin", "{name}");
    assert_eq!(read["packages"].as_array().map(|p| p.contains(&json!("nginx")) && p.contains(&json!("internal-tool-1.2~3"))), Some(true), "{name}: {}", read["packages"]);
    assert_eq!(read["groups"], json!(["development"]), "{name}");
    assert_eq!(read["repositories"], json!([["internal", "http://repo.example/el/"]]), "{name}");
    let alice = &read["users"][0];
    assert_eq!(alice["name"], "alice", "{name}");
    assert_eq!(alice["groups"], json!(["adm", "ops"]), "{name}");
    assert!(alice["password"].as_str().is_some_and(|p| p.starts_with("$6$rounds=5000$")), "{name}");
    assert_eq!(alice["isCrypted"], true, "{name}");
    assert_eq!(read["users"][1]["lock"], true, "{name}");
    assert_eq!(read["users"][1]["shell"], "/usr/sbin/nologin", "{name}");
    let raids = read["raids"].as_array().expect("raids");
    for raid in raids {
        assert_eq!(raid["level"], "RAID1", "{name}: {raid}");
        assert_eq!(raid["members"].as_array().map(Vec::len), Some(2), "{name}: {raid}");
    }
    let volumes: Vec<(&str, &Value, &Value)> = read["volumes"]
        .as_array()
        .expect("volumes")
        .iter()
        .map(|v| (v["mountpoint"].as_str().unwrap_or(""), &v["size"], &v["grow"]))
        .collect();
    let (size, yes, no) = (json!(2048), json!(true), json!(false));
    assert_eq!(volumes, [("swap", &size, &no), ("/var", &json!(20480), &no), ("/", &json!(10240), &no), ("/srv/data", &json!(1024), &yes)], "{name}");
    let network = read["network"].as_array().expect("network");
    assert_eq!(network[0]["hostname"], "rich.lab.example", "{name}");
    let of = |device: &str, vlan: &str| {
        network
            .iter()
            .find(|n| n["device"] == device && n["vlanid"].as_str().unwrap_or("") == vlan)
            .unwrap_or_else(|| panic!("{name}: no {device} {vlan} in {network:?}"))
    };
    let bond = of("bond0", "");
    assert_eq!(bond["bondslaves"], "enp0s0,enp1s0", "{name}");
    assert_eq!(bond["bondopts"], "mode=802.3ad,miimon=100", "{name}");
    assert_eq!(bond["ip"], "10.77.0.11", "{name}");
    assert_eq!(bond["ipv6"], "2001:db8::11/64", "{name}");
    assert_eq!(of("backup0", "")["bootProto"], "dhcp", "{name}");
    assert_eq!(of("bond0", "20")["ip"], "10.20.0.5", "{name}");
    assert_eq!(of("bond0", "20")["gateway"], "10.20.0.1", "{name}");
    assert_eq!(of("bond0", "30")["interfacename"], "vlan30", "{name}");
}

#[test]
fn every_script_passes_shellcheck() {
    let folder = tempfile::tempdir().expect("a folder");
    for (profile, _) in PROFILES {
        for (case, system) in machines() {
            let at = folder.path().join(format!("{profile}-{case}"));
            let made = rendered(profile, &system, Firmware::UEFI);
            lay_out(&made, &at);
            for name in made.documents.keys().filter(|n| n.ends_with(".sh")) {
                // these are read by others and checked with them
                if !["report.sh", "boot-order.sh"].contains(&name.as_str()) {
                    lint_in(&at, &at.join(name));
                }
            }
            let steps = at.join("unpacked");
            let bundle = [at.join("bundle.sh").display().to_string(), steps.display().to_string()];
            if let Some((ok, _, err)) = run("dash", &[&bundle[0], &bundle[1]], "") {
                assert!(ok, "{err}");
                lint(&steps.join("10-identity.sh"));
            }
        }
    }
}

fn lint_in(folder: &Path, script: &Path) {
    let script = script.display().to_string();
    let source = format!("--source-path={}", folder.display());
    let arguments = ["--shell=sh", "--external-sources", &source, &script];
    if let Some((ok, out, _)) = run("shellcheck", &arguments, "") {
        assert!(ok, "{out}");
    }
}

#[test]
fn without_a_permit_nothing_is_chosen() {
    let asked = declared_as("web03", "storage = { layout = \"lvm\", encrypt = \"tpm2\" }");
    for (status, body, said) in [
        (409, "the disk /dev/vda holds zfs", "refused: the disk /dev/vda holds zfs"),
        (403, "", "HTTP status 403"),
        (200, "disk=/dev/sdz\n", "which this machine did not report"),
        (200, "", "which this machine did not report"),
    ] {
        let (server, made) = serving(&shipped("rocky-9"), &asked, move |path, _, _| {
            match path.ends_with("/disks") {
                true => (status, body.to_string()),
                false => (204, String::new()),
            }
        });
        let Some(machine) = Machine::new(&made, true) else {
            return;
        };
        let out = machine.run("pre.sh");
        assert!(machine.left(), "{out:?}");
        // Anaconda would be given no disk at all, had the machine not been restarted
        assert!(machine.text("farrier/storage.ks").contains("--only-use=@DISK1@"));
        assert!(!machine.path("farrier/permitted").exists());
        let told = server.bodies(&format!("/r/{}/fail/partition", farrier::boot::Scope::Report.placeholder()));
        assert!(told.last().is_some_and(|t| t.contains(said)), "{told:?}");
    }
}

#[test]
fn an_interface_that_is_not_there_stops_it() {
    let asked = declared_as("rich", &RICH.replace("00:00:02", "00:00:09"));
    let (server, made) = serving(&shipped("rocky-9"), &asked, |path, _, _| {
        let permit = if path.ends_with("/disks") { "disk=/dev/vda\nsecond=/dev/vdb\n" } else { "" };
        (200, permit.to_string())
    });
    let Some(machine) = Machine::new(&made, true) else {
        return;
    };
    let out = machine.run("pre.sh");
    assert!(machine.left(), "{out:?}");
    let told = server.bodies(&format!("/r/{}/fail/setup", farrier::boot::Scope::Report.placeholder()));
    assert!(told[0].contains("has the address 52:54:00:00:00:09"), "{told:?}");
}

#[test]
fn a_failure_is_reported_with_the_ends_of_the_logs() {
    let (server, made) = serving(&shipped("fedora"), &system("web01"), |_, _, _| (204, String::new()));
    let Some(machine) = Machine::new(&made, true) else {
        return;
    };
    let token = "A".repeat(38);
    machine.write("logs/anaconda.log", &format!("12:00:01,000 INF x: got http://192.0.2.1/b/{token}/ks.cfg\n12:00:02,000 CRT exception: no space on vda\n"));
    machine.write("logs/packaging.log", "12:00:02,100 ERR packaging: nothing provides vim\n");
    machine.write("logs/anaconda-tb-x1", "Traceback: the very place\n");
    machine.write("farrier/stage", "packages\n");
    let out = machine.run("failed.sh");
    assert!(machine.left(), "{out:?}");
    assert_eq!(reports(&server), ["fail/packages"]);
    let told = server.bodies(&format!("/r/{}/fail/packages", farrier::boot::Scope::Report.placeholder())).remove(0);
    for part in ["nothing provides vim", "the very place", "/b/(token)/ks.cfg"] {
        assert!(told.contains(part), "{told}");
    }
    assert!(told.trim_end().ends_with("CRT exception: no space on vda"), "{told}");
}

#[test]
fn the_watch_says_the_stages_and_notices_silence() {
    let mut asked = system("web01");
    asked.vars.insert("silence".into(), json!(1));
    let (server, made) = serving(&shipped("rocky-9"), &asked, |_, _, _| (204, String::new()));
    let Some(machine) = Machine::new(&made, true) else {
        return;
    };
    // time passes by counting: each tick the log has one more line, and then no more
    machine.write("script", "Queue started: Configuring storage (1/5)\nTask started: Install the payload (2/9)\nTask started: Installing boot loader (3/9)\nQueue started: Creating users (4/5)\nTask started: Run post-installation scripts\n");
    machine.program(
        "sleep",
        "cd \"${FARRIER_DIR%/farrier}\" || exit 1\nn=$(wc -l <logs/anaconda.log 2>/dev/null || echo 0)\nsed -n \"$((n + 1))s/^/12:00:00,000 INF x: /p\" script >>logs/anaconda.log",
    );
    let out = machine.run("watch.sh");
    assert!(machine.left(), "{out:?}");
    let stages: Vec<String> = reports(&server);
    assert_eq!(
        stages[..5],
        ["progress/partition", "progress/packages", "progress/bootloader", "progress/configure", "progress/finish"],
        "{stages:?}"
    );
    assert_eq!(stages.last().map(String::as_str), Some("fail/finish"), "{stages:?}");
}

/// The installed system, as far as post.sh looks into it.
fn installed(machine: &Machine) {
    for file in [
        "target/usr/bin/curl",
        "target/etc/systemd/system/x",
        "target/etc/sudoers.d/x",
        "target/etc/yum.repos.d/x",
        "target/usr/sbin/restorecon",
    ] {
        machine.write(file, "");
    }
    // one connection of a member of the bond by itself, one as a member, one of another interface
    let keyfiles = "target/etc/NetworkManager/system-connections";
    machine.write(&format!("{keyfiles}/enp0s0.nmconnection"), "[connection]\ninterface-name=enp0s0\n");
    machine.write(&format!("{keyfiles}/wired.nmconnection"), "[ethernet]\nmac-address=52:54:00:00:00:02\n");
    machine.write(&format!("{keyfiles}/bond0_slave_1.nmconnection"), "[connection]\ninterface-name=enp0s0\nmaster=bond0\nslave-type=bond\n");
    machine.write(&format!("{keyfiles}/backup0.nmconnection"), "[connection]\ninterface-name=backup0\n");
    machine.write("target/etc/sysconfig/network-scripts/ifcfg-enp1s0", "DEVICE=enp1s0\nONBOOT=yes\n");
    machine.write("target/etc/sysconfig/network-scripts/ifcfg-bond0_slave_2", "DEVICE=enp1s0\nMASTER=bond0\n");
    let said = machine.path("said");
    let note = format!("echo \"$*\" >>'{}'; cat >>'{0}' 2>/dev/null; exit 0", said.display());
    machine.program("chroot", &format!("case \"$*\" in *getent*root) echo root:x:0:0:root:/root:/bin/bash && exit 0 ;; *getent*alice) echo alice:x:1000:1000::/home/alice:/bin/bash && exit 0 ;; esac; case \"$*\" in *luks*) {note} ;; *efibootmgr*) echo 'BootOrder: 0001' ;; *) echo \"$*\" >>'{}' ;; esac", said.display()));
    machine.program("blkid", "printf '/dev/vda3\\n/dev/vdb9\\n'");
    // only the first is opened by this installation's key
    machine.program("cryptsetup", "case \"$*\" in *--test-passphrase*vda3) exit 0 ;; *) exit 1 ;; esac");
}

#[test]
fn the_last_script_finishes_the_system() {
    let answer = |path: &str, _: &str, _: usize| match path {
        p if p.ends_with("/handoff") => (200, "handoff=https://192.0.2.1/h/TOKEN\n".to_string()),
        _ => (204, String::new()),
    };
    let (server, made) = serving(&shipped("rocky-9"), &declared_as("rich", RICH), answer);
    let Some(machine) = Machine::new(&made, true) else {
        return;
    };
    installed(&machine);
    machine.write("farrier/passphrase", "the key of the installer");
    machine.write("logs/anaconda.log", "all is well\n");
    let out = machine.run("post.sh");
    assert!(out.status.success() && !machine.left(), "{out:?}");
    assert_eq!(reports(&server), ["progress/configure", "progress/handoff", "handoff", "end"], "{out:?}");
    assert!(machine.text("target/var/lib/farrier/pending").starts_with("handoff=https://192.0.2.1/h/TOKEN\nkey="));
    assert_eq!(machine.text("target/usr/lib/farrier/trust/ca.crt"), **server.authority());
    assert_eq!(
        machine.text("target/home/alice/.ssh/authorized_keys"),
        "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOp4 alice@example\n"
    );
    assert_eq!(machine.text("target/root/.ssh/authorized_keys").lines().count(), 2);
    assert_eq!(machine.text("target/etc/sudoers.d/90-alice"), "alice ALL=(ALL) NOPASSWD: ALL\n");
    assert_eq!(
        machine.text("target/etc/yum.repos.d/internal.repo"),
        "[internal]\nname=internal\nbaseurl=http://repo.example/el/\nenabled=1\ngpgcheck=1\ngpgkey=http://repo.example/key.asc\n"
    );
    // of the interfaces in the bond only their membership is left
    let left = |folder: &str| {
        let all = std::fs::read_dir(machine.path(folder)).expect("a folder");
        let mut all: Vec<String> = all.map(|f| f.expect("a file").file_name().to_string_lossy().into_owned()).collect();
        all.sort();
        all
    };
    assert_eq!(left("target/etc/NetworkManager/system-connections"), ["backup0.nmconnection", "bond0_slave_1.nmconnection"]);
    assert_eq!(left("target/etc/sysconfig/network-scripts"), ["ifcfg-bond0_slave_2"]);
    let said = machine.text("said");
    let pin = "sss {\"t\":1,\"pins\":{\"tang\":[{\"url\":\"http://tang.example\",\"thp\":\"abcdefghijklmnopqrstuvwxyz0\"},{\"url\":\"http://tang2.example:81\",\"thp\":\"abcdefghijklmnopqrstuvwxyz1\"}]}}";
    assert!(said.contains(&format!("clevis luks bind -y -k - -d /dev/vda3 {pin}\nthe key of the installer")), "{said}");
    assert!(said.contains("cryptsetup luksRemoveKey /dev/vda3 -\nthe key of the installer"), "{said}");
    assert!(!said.contains("vdb9") && said.contains("dracut --force --regenerate-all"), "{said}");
    assert!(!machine.path("farrier/passphrase").exists());

    // what fails is reported, and the machine restarted
    std::fs::remove_file(machine.path("target/usr/bin/curl")).expect("a file");
    machine.write("farrier/passphrase", "the key of the installer");
    let out = machine.run("post.sh");
    assert!(machine.left(), "{out:?}");
    assert_eq!(reports(&server).pop().expect("a report"), "fail/configure");
}

#[test]
fn what_anaconda_cannot_do_is_refused_with_the_reason() {
    for (profile, lines, told) in [
        ("rocky-9", "storage = { filesystem = \"btrfs\" }", "have no Btrfs"),
        ("fedora", "storage = { filesystem = \"btrfs\", layout = \"lvm\" }", "on partitions only"),
        ("rocky-9", "storage = { encrypt = \"tpm2\" }", "set `storage.layout = \"lvm\"`"),
        ("rocky-8", "users = { root = { password = \"$y$j9T$aaaaaaaaaaaaaaaaaaaaaa$bbbbbbbbbbbbbbb\" } }", "use `$6$`"),
        ("rocky-9", "repository = { x = { url = \"http://x.example/\", suite = \"stable\" } }", "does not use `repository.x.suite`"),
        ("rocky-9", "network = { ipv6 = \"auto\" }\n[[system.web01.interface]]\nmac = \"52:54:00:00:00:01\"\nip6 = \"2001:db8::1/64\"", "not both"),
    ] {
        match try_render(profile, &declared_as("web01", lines), Firmware::UEFI) {
            Ok(_) => panic!("{profile} rendered with {lines}"),
            Err(said) => assert!(said.contains(told), "{profile}, {lines}: {said}"),
        }
    }
    let btrfs = declared_as("web01", "storage = { filesystem = \"btrfs\" }");
    assert!(try_render("fedora", &btrfs, Firmware::UEFI).is_ok());
    let new = declared_as("web01", "users = { root = { password = \"$y$j9T$aaaaaaaaaaaaaaaaaaaaaa$bbbbbbbbbbbbbbb\" } }");
    assert!(try_render("rocky-9", &new, Firmware::UEFI).is_ok());
}

/// Where the parser finds a value, by the key that it was said with.
fn found<'a>(read: &'a Value, table: &str) -> Vec<&'a Value> {
    let of = |list: &str, field: &str| -> Vec<&'a Value> {
        let all = read[list].as_array().into_iter().flatten();
        all.filter_map(|item| item.get(field)).collect()
    };
    match table {
        "packages" => read["packages"].as_array().into_iter().chain(read["groups"].as_array()).flatten().collect(),
        "locale.language" => vec![&read["lang"]],
        "locale.keyboard" => vec![&read["keyboard"]],
        "locale.timezone" => vec![&read["timezone"]],
        "storage" => of("partitions", "mountpoint"),
        "users" => of("users", "name"),
        "shell" => of("users", "shell"),
        "password" => of("users", "password"),
        "repository" => read["repositories"].as_array().into_iter().flatten().map(|r| &r[1]).collect(),
        _ => of("network", "interfacename"),
    }
}

/// Every text that the answers hold, hostile: it is refused, or Anaconda's parser reads the very value,
/// and no command or script more than were written.
#[test]
fn hostile_values_arrive_as_they_are_or_not_at_all() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut files = Vec::new();
    let mut wanted = Vec::new();
    for (n, hostile) in HOSTILE.iter().enumerate() {
        let named = |inner: Value| json!({ *hostile: inner });
        for (table, said) in [
            ("packages", json!({"packages": [hostile]})),
            ("locale.language", json!({"locale": {"language": hostile}})),
            ("locale.keyboard", json!({"locale": {"keyboard": hostile}})),
            ("locale.timezone", json!({"locale": {"timezone": hostile}})),
            ("storage", json!({"storage": {"volumes": [{"mount": hostile, "size": 5}]}})),
            ("users", json!({"users": named(json!({}))})),
            ("shell", json!({"users": {"u": {"shell": hostile, "groups": [hostile], "sudo": true, "ssh_keys": [hostile]}}})),
            ("password", json!({"users": {"u": {"password": hostile}}})),
            ("repository", json!({"repository": {"r": {"url": hostile, "key": format!("http://{hostile}")}}})),
            ("vlan", json!({"network": {"vlan": named(json!({"id": 2}))}})),
        ] {
            let partial = farrier::model::Partial::new(said.as_object().cloned().expect("a table"));
            let mut machine = system("web01");
            machine.intent = Some(std::sync::Arc::new(partial));
            let Ok(made) = try_render("rocky-9", &machine, Firmware::UEFI) else {
                continue;
            };
            let storage = text(&made, "storage.ks").replace("UEFI ", "").replace("@DISK1@", "vda");
            let storage: String = storage.lines().filter(|l| !l.starts_with("BIOS ")).map(|l| format!("{l}\n")).collect();
            let all = text(&made, "ks.cfg")
                .replace("%include /tmp/farrier/storage.ks", &storage)
                .replace("%include /tmp/farrier/network.ks", text(&made, "network.ks"));
            let file = folder.path().join(format!("{table}-{n}.ks"));
            std::fs::write(&file, all).expect("a file");
            files.push(file);
            wanted.push((table, *hostile));
            let script = text(&made, "system.sh");
            if let Some((ok, _, err)) = run("dash", &["-n"], script) {
                assert!(ok && err.is_empty(), "{table} {hostile:?}: {err}\n{script}");
            }
        }
    }
    assert!(wanted.len() > 60, "{wanted:?}");
    let Some(all) = pykickstart::read("RHEL9", &files) else {
        return;
    };
    for ((table, hostile), read) in wanted.into_iter().zip(all) {
        assert_eq!(read.get("error"), None, "{table} {hostile:?}: {read}");
        let seen = found(&read, table);
        assert!(seen.iter().any(|v| v.as_str() == Some(hostile)), "{table} {hostile:?}: {seen:?}");
        assert_eq!(read["scripts"].as_array().map(Vec::len), Some(3), "{table} {hostile:?}");
        assert_eq!(read["excluded"], json!([]), "{table} {hostile:?}");
        assert_eq!(read["only"], json!(["vda"]), "{table} {hostile:?}");
    }
}
