//! The shipped FAI and rescue profiles: the configuration space as FAI will find it.

use std::collections::BTreeMap;
use std::io::Read;
use std::process::{Command, Stdio};

use farrier::model::{ArtefactSource, Distro, Firmware, System};
use farrier::render::{CompiledProfile, Rendered};
use serde_json::json;

use super::site::{RICH, declared_as, distro, place, run, shipped, system, with_vars};

fn fai() -> Distro {
    let mut distro = distro();
    distro.name = "fai-6".parse().expect("a name");
    let built = ArtefactSource::Built {
        builder: "fai".into(),
    };
    distro.artefacts.insert("squash.img".into(), built);
    distro
}

fn rendered(profile: &str, system: &System) -> Rendered {
    let profile = CompiledProfile::new(&shipped(profile)).expect("a sound profile");
    let rendered = profile.render(system, &fai(), &place()).expect("rendered");
    assert_eq!(rendered.warnings, vec![]);
    rendered
}

/// Path, mode and text of every file in the configuration space.
fn space(rendered: &Rendered) -> BTreeMap<String, (u32, String)> {
    let packed = rendered.documents["config.tar.gz"].bytes.as_slice();
    let mut archive = tar::Archive::new(packed);
    let mut found = BTreeMap::new();
    for entry in archive.entries().expect("entries") {
        let mut entry = entry.expect("an entry");
        if !entry.header().entry_type().is_file() {
            continue;
        }
        let path = entry.path().expect("a path").display().to_string();
        let mode = entry.header().mode().expect("a mode");
        let mut text = String::new();
        entry.read_to_string(&mut text).expect("text");
        found.insert(
            path.trim_start_matches("./").to_string(),
            (mode & 0o777, text),
        );
    }
    found
}

/// bash's own opinion of a script.
fn parses(path: &str, text: &str) {
    let mut bash = Command::new("bash")
        .arg("-n")
        .stdin(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("bash");
    let mut stdin = bash.stdin.take().expect("a pipe");
    std::io::Write::write_all(&mut stdin, text.as_bytes()).expect("written");
    drop(stdin);
    let output = bash.wait_with_output().expect("bash ends");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success() && said.is_empty(), "{path}: {said}");
}

#[test]
fn fai_finds_its_configuration_space() {
    let rendered = rendered("fai", &system("web01"));
    let space = space(&rendered);
    for (path, (mode, text)) in &space {
        assert!(
            !text.contains("{{") && !text.contains("{%"),
            "{path} is a template still"
        );
        let folder = path.split('/').next().unwrap_or("");
        let runs = match folder {
            "class" => !path.ends_with(".var"),
            "hooks" => path != "hooks/subroutines",
            "scripts" => true,
            _ => false,
        };
        assert_eq!(mode & 0o111 != 0, runs, "{path} has mode {mode:o}");
        if runs || path.ends_with(".var") || path.ends_with(".env") || path == "hooks/subroutines" {
            parses(path, text);
        }
    }
    for path in [
        "disk_config/FARRIER_BIOS",
        "disk_config/FARRIER_EFI",
        "farrier.env",
    ] {
        assert!(space.contains_key(path), "{path}");
    }
    let classes = &space["class/50-farrier"].1;
    assert!(classes.contains("echo FARRIER\n"), "{classes}");
    assert!(
        classes.contains("'RACK_12'") || classes.contains("echo RACK_12"),
        "{classes}"
    );
    assert!(!classes.contains("FARRIER_PACKAGES"), "{classes}");
    let artefact = "/a/000000000000/fai-6/squash.img";
    assert!(rendered.cmdline.contains(artefact), "{}", rendered.cmdline);
    assert!(
        rendered.cmdline.contains("/config.tar.gz monserver="),
        "{}",
        rendered.cmdline
    );
}

#[test]
fn values_reach_the_configuration_space() {
    let machine = declared_as(
        "db01",
        "static_ip = true\npackages = [\"postgresql\"]\nlocale.timezone = \"Europe/Berlin\"\nstorage.swap = \"2GiB\"\n\
         vars = { classes = [\"DATABASE\"], kernel_options = [\"mitigations=auto\", \"quiet\"], on_failure = \"poweroff\" }",
    );
    let space = space(&rendered("fai", &machine));
    let text = |path: &str| space[path].1.as_str();
    assert!(text("class/50-farrier").contains("DATABASE"));
    assert!(text("class/50-farrier").contains("echo FARRIER_PACKAGES"));
    assert!(text("package_config/FARRIER_PACKAGES").contains("\npostgresql\n"));
    assert!(text("disk_config/FARRIER_EFI").contains("\nprimary swap 2048M swap sw\n"));
    assert!(text("class/FARRIER.var").contains("'mitigations=auto quiet'"));
    assert!(text("class/FARRIER.var").contains("TIMEZONE='Europe/Berlin'"));
    assert!(text("machine.env").contains("'poweroff'"));
    let network = text("files/etc/systemd/network/10-farrier.network/FARRIER");
    assert!(network.contains("\nAddress=10.77.0.11/24\n"), "{network}");
    assert!(!network.contains("DHCP="), "{network}");
}

/// Plain storage is laid out as it always was.
#[test]
fn plain_storage_is_a_root_and_what_the_firmware_needs() {
    let space = space(&rendered("fai", &system("web01")));
    assert_eq!(
        space["disk_config/FARRIER_BIOS"].1,
        "disk_config disk1 disklabel:gpt-bios fstabkey:uuid\n\nprimary / 3G- ext4 rw,noatime\n"
    );
    assert_eq!(
        space["disk_config/FARRIER_EFI"].1,
        "disk_config disk1 disklabel:gpt bootable:1 fstabkey:uuid\n\n\
         primary /boot/efi 512M vfat umask=0077\nprimary / 3G- ext4 rw,noatime\n"
    );
    assert!(!space["class/50-farrier"].1.contains("FARRIER_PACKAGES"));
}

/// The layouts, each for both firmwares.
const LAYOUTS: [(&str, &str); 12] = [
    ("plain", ""),
    ("swap", "storage.swap = \"1GiB\""),
    ("xfs", "storage.filesystem = \"xfs\""),
    ("lvm", "storage.layout = \"lvm\""),
    ("raid1", "storage = { raid = \"raid1\", swap = \"1GiB\" }"),
    (
        "raid1-lvm",
        "storage = { raid = \"raid1\", layout = \"lvm\", swap = \"512MiB\" }",
    ),
    (
        "volumes",
        "storage.volumes = [{ mount = \"/var/log\", size = \"2GiB\" }, { mount = \"/srv\", size = \"rest\" }, { mount = \"/\", size = \"5GiB\", filesystem = \"btrfs\" }]",
    ),
    (
        "raid1-volumes",
        "storage = { raid = \"raid1\", volumes = [{ mount = \"/var\", size = \"2GiB\", filesystem = \"xfs\" }, { mount = \"/\", size = \"rest\" }] }",
    ),
    (
        "locked",
        "storage = { encrypt = \"tpm2\", swap = \"1GiB\", volumes = [{ mount = \"/var\", size = \"2GiB\" }, { mount = \"/\", size = \"rest\" }] }",
    ),
    (
        "locked-lvm",
        "storage = { encrypt = \"tpm2\", layout = \"lvm\", swap = \"1GiB\" }",
    ),
    (
        "locked-raid1",
        "storage = { encrypt = \"tpm2\", raid = \"raid1\", swap = \"1GiB\", volumes = [{ mount = \"/var\", size = \"2GiB\" }, { mount = \"/\", size = \"rest\" }] }",
    ),
    (
        "locked-raid1-lvm",
        "storage = { encrypt = \"tpm2\", raid = \"raid1\", layout = \"lvm\" }",
    ),
];

/// Everything at once that has to do with encryption.
const LOCKED: &str = r#"static_ip = true
[system.web02.storage]
encrypt = "tang"
layout  = "lvm"
raid    = "raid1"
second  = { serial = "S2" }
swap    = "2GiB"
tang    = [{ url = "http://tang1.example", thumbprint = "aaaaaaaaaaaaaaaaaaaaaaaaaaa" }, { url = "http://tang2.example", thumbprint = "bbbbbbbbbbbbbbbbbbbbbbbbbbb" }]
"#;

/// FAI's own parser of disk configurations reads every layout.
#[test]
fn setup_storage_takes_every_layout() {
    let folder = tempfile::tempdir().expect("a folder");
    for (name, lines) in LAYOUTS {
        let space = space(&rendered("fai", &declared_as("web01", lines)));
        for firmware in ["FARRIER_BIOS", "FARRIER_EFI"] {
            let text = &space[&format!("disk_config/{firmware}")].1;
            let file = folder.path().join(format!("{name}-{firmware}"));
            std::fs::write(&file, text).expect("a file");
            let arguments = [
                "-s",
                "-f",
                &file.display().to_string(),
                "-D",
                "vda vdb",
                "-L",
            ];
            let log = folder.path().display().to_string();
            let arguments = [&arguments[..], &[log.as_str()]].concat();
            if let Some((ok, out, err)) = run("setup-storage", &arguments, "") {
                assert!(
                    ok && out.contains("Syntax ok"),
                    "{name}: {out}{err}\n{text}"
                );
            }
        }
    }
}

#[test]
fn goldens() {
    let mut uefi = place();
    uefi.firmware = Some(Firmware::UEFI);
    let fixed = || declared_as("web02", "static_ip = true");
    for (case, machine, place) in [
        ("bios-dhcp", system("web01"), place()),
        ("bios-static", fixed(), place()),
        ("uefi-dhcp", system("web01"), uefi.clone()),
        ("uefi-static", fixed(), uefi.clone()),
        ("rich", declared_as("rich", RICH), uefi.clone()),
        ("locked", declared_as("web02", LOCKED), uefi),
    ] {
        let profile = CompiledProfile::new(&shipped("fai")).expect("a sound profile");
        let rendered = profile.render(&machine, &fai(), &place).expect("rendered");
        assert_eq!(rendered.warnings, vec![]);
        let space = space(&rendered);
        let mut all = format!("cmdline: {}\n", rendered.cmdline);
        for name in [
            "class/50-farrier",
            "class/FARRIER.var",
            "disk_config/FARRIER_BIOS",
            "disk_config/FARRIER_EFI",
            "files/etc/systemd/network/10-farrier.network/FARRIER",
            "files/root/.ssh/authorized_keys/FARRIER",
            "hooks/instsoft.FARRIER.sh",
            "hooks/updatebase.FARRIER.sh",
            "package_config/FARRIER_PACKAGES",
            "scripts/FARRIER/15-users",
            "scripts/FARRIER/20-network",
            "scripts/FARRIER/18-storage",
        ] {
            all.push_str(&format!("\n==> {name} <==\n{}", space[name].1));
        }
        insta::with_settings!({
            snapshot_path => "../../golden/render",
            prepend_module_to_snapshot => false,
            omit_expression => true,
        }, { insta::assert_snapshot!(format!("fai-{case}"), all) });
    }
}

/// Every script of the space that is one by itself.
#[test]
fn the_scripts_of_rich_and_of_encrypted_machines_pass_shellcheck() {
    let folder = tempfile::tempdir().expect("a folder");
    let sealed = "storage = { encrypt = \"tpm2\", layout = \"lvm\" }";
    for (name, lines) in [("rich", RICH), ("web02", LOCKED), ("web03", sealed)] {
        let space = space(&rendered("fai", &declared_as(name, lines)));
        for (path, (_, text)) in &space {
            parses_if_shell(path, text);
            if path.starts_with("scripts/") || path.starts_with("class/50") {
                let file = folder.path().join(path.replace('/', "-"));
                std::fs::write(&file, text).expect("a file");
                // FAI gives them its variables
                let file = file.display().to_string();
                let arguments = [
                    "--shell=bash",
                    "--severity=warning",
                    "--exclude=SC2154,SC1090,SC1091",
                    &file,
                ];
                if let Some((ok, out, err)) = run("shellcheck", &arguments, "") {
                    assert!(ok, "{name}: {out}{err}");
                }
            }
        }
    }
}

fn parses_if_shell(path: &str, text: &str) {
    if path.starts_with("hooks/") || path.starts_with("scripts/") {
        parses(path, text);
    }
}

#[test]
fn a_whole_disk_configuration_can_be_given() {
    let own = "disk_config disk1 disklabel:gpt\nprimary / 100% xfs rw\n";
    let space = space(&rendered(
        "fai",
        &with_vars("db01", json!({ "disk_config": own })),
    ));
    assert_eq!(space["disk_config/FARRIER_EFI"].1.trim(), own.trim());
}

#[test]
fn release_updates_and_security_come_from_the_cache_and_nothing_else_does() {
    const SOURCES: &str = "deb [signed-by=/k] http://mirror.example/debian bookworm main contrib\n\
        deb [signed-by=/k] http://mirror.example/debian bookworm-updates main\n\
        deb http://mirror.example/security bookworm-security main\n\
        deb http://mirror.example/debian bookworm-backports main\n";
    let space = space(&rendered("fai", &system("web01")));
    let target = tempfile::tempdir().expect("a folder");
    let etc = target.path().join("etc/apt");
    std::fs::create_dir_all(&etc).expect("a folder");
    std::fs::write(
        target.path().join("etc/os-release"),
        "VERSION_CODENAME=bookworm\n",
    )
    .expect("a file");
    std::fs::write(etc.join("sources.list"), SOURCES).expect("a file");
    let script = format!(
        "set -e\nifclass() {{ :; }}\ntarget='{}'\n{}\n{}",
        target.path().display(),
        space["class/FARRIER.var"].1,
        space["hooks/updatebase.FARRIER.sh"].1,
    );
    let (ok, _, err) = run("bash", &["-c", &script], "").expect("bash");
    assert!(ok, "{err}");
    let ours = "http://10.77.0.1/mirror/debian";
    let expected = SOURCES
        .replace(
            "http://mirror.example/security",
            &format!("{ours}-security"),
        )
        .replace(
            "http://mirror.example/debian bookworm ",
            &format!("{ours} bookworm "),
        )
        .replace(
            "http://mirror.example/debian bookworm-u",
            &format!("{ours} bookworm-u"),
        );
    let made = std::fs::read_to_string(etc.join("sources.list")).expect("a file");
    assert_eq!(made, expected);
}

#[test]
fn rescue_starts_sshd_and_reports() {
    let rendered = rendered("rescue", &system("web01"));
    let space = space(&rendered);
    let (mode, script) = &space["hooks/rescue"];
    assert_eq!(mode & 0o111, 0o111);
    parses("hooks/rescue", script);
    assert!(
        script.contains("sleep 3600"),
        "no shell on the console unless asked for"
    );
    assert!(rendered.cmdline.contains("FAI_ACTION=rescue"));
    let keys = &rendered.documents["authorized_keys"].bytes;
    for key in &system("web01").ssh_keys {
        assert!(String::from_utf8_lossy(keys).contains(key));
    }
}
