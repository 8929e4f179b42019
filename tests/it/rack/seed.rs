//! The real cloud-init of Debian in a VM that Farrier boots: it finds the seed that the command line
//! names, and takes it from the real server. Debian 12's is of the age of Ubuntu 22.04's, and reads
//! meta-data, user-data and vendor-data of a seed that is fetched; Debian 13's, of an age with 24.04's
//! later media, asks for network-config too.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

use farrier::cli::demo::rack::tools::Need;
use farrier::cli::demo::rack::{Firmware, Patience, Rack, RackError, Server, tools};

use super::{can_run, site};

const NEEDS: &[Need] = &[Need {
    path: "/usr/bin/mmdebstrap",
    package: "mmdebstrap",
    why: "a system with cloud-init",
}];

/// Which cloud-init, and who names the seed.
struct Age {
    suite: &'static str,
    profile: &'static str,
    /// How often the seed's network-config is in what cloud-init keeps of its source.
    network: &'static str,
}

/// A live system with cloud-init, as Ubuntu's is one.
const PACKAGES: &str =
    "systemd-sysv,udev,iproute2,netplan.io,cloud-init,linux-image-cloud-amd64,ca-certificates";

/// Software emulation, Python, and other tests beside it.
const PATIENCE: Patience = Patience::seconds(1200);

/// What the live system says on its console once cloud-init is done.
const SAYS: &str = r#"#!/bin/sh
exec >/dev/console 2>&1
cloud-init status --wait >/dev/null
say() { echo "SEED $*"; }
say status "$(cloud-init status)"
say source "$(cat /run/cloud-init/cloud-id)" "$(sed -n 's/.*seed=\([^]]*\).*/\1/p' /run/cloud-init/result.json)"
say instance "$(cat /run/cloud-init/.instance-id)"
say hostname "$(cat /etc/hostname)"
say address "$(ip -4 -o address show scope global | awk '{print $4}' | tr '\n' ' ')"
say user-data "$(grep -c '^autoinstall:' /var/lib/cloud/instance/user-data.txt)"
say vendor-data "$(head -n 1 /var/lib/cloud/instance/vendor-data.txt)"
say network-config "$(grep -l nic- /var/lib/cloud/instance/network-config.json 2>/dev/null | wc -l)"
say end
"#;

/// The modules that a live system needs for it to be known; others want what is not in it.
const CONFIG: &str = "locale: C.UTF-8\ncloud_init_modules: [set_hostname, update_hostname]\ncloud_config_modules: []\ncloud_final_modules: []\n";

const UNIT: &str =
    "[Service]\nExecStart=/usr/local/bin/says\n[Install]\nWantedBy=multi-user.target\n";

/// Kernel and initial RAM disk, made once and kept; the system is all in the latter.
fn live(suite: &str) -> (PathBuf, PathBuf) {
    let what = blake3::hash([suite, PACKAGES, SAYS, UNIT, CONFIG].concat().as_bytes()).to_hex();
    let base = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let folder = base.join(format!("cloud-init-{}", &what[..12]));
    let lock = File::create(base.join("cloud-init.lock")).expect("a lock");
    lock.lock().expect("locked");
    let made = (folder.join("vmlinuz"), folder.join("initrd"));
    if made.1.exists() {
        return made;
    }
    let aside = tempfile::tempdir_in(base).expect("a folder");
    let script = r#"
set -eu
for sources in /etc/apt/sources.list.d/debian.sources /etc/apt/sources.list; do [ ! -e "$sources" ] || break; done
sed "s/bookworm/$SUITE/g" "$sources" >"suite.${sources##*.}"
mmdebstrap --mode=root --variant=minbase --quiet --dpkgopt=force-unsafe-io --aptopt='Acquire::Languages "none"' \
    --include="$PACKAGES" "$SUITE" root "./suite.${sources##*.}"
printf '%s' "$SAYS" >root/usr/local/bin/says
chmod 0755 root/usr/local/bin/says
printf '%s' "$CONFIG" >root/etc/cloud/cloud.cfg.d/90-live.cfg
printf '%s' "$UNIT" >root/etc/systemd/system/says.service
ln -s /etc/systemd/system/says.service root/etc/systemd/system/multi-user.target.wants/says.service
chroot root systemctl enable systemd-networkd
ln -s lib/systemd/systemd root/init
cp root/boot/vmlinuz-* vmlinuz
rm -rf root/boot/* root/var/cache/apt root/var/lib/apt root/usr/share/doc root/usr/share/locale root/usr/share/man
rm -rf root/lib/modules/*/kernel/drivers/gpu root/lib/modules/*/kernel/fs/xfs root/lib/modules/*/kernel/fs/btrfs
cd root
find . | cpio --quiet -o -H newc | gzip -1 >../initrd
"#;
    let done = Command::new("bash")
        .args(["-c", script])
        .env("SUITE", suite)
        .env("PACKAGES", PACKAGES)
        .env("SAYS", SAYS)
        .env("UNIT", UNIT)
        .env("CONFIG", CONFIG)
        .current_dir(aside.path())
        .output()
        .expect("bash");
    let said = String::from_utf8_lossy(&done.stderr);
    assert!(done.status.success(), "no live system: {said}");
    fs::create_dir_all(&folder).expect("a folder");
    for (name, path) in [("vmlinuz", &made.0), ("initrd", &made.1)] {
        fs::rename(aside.path().join(name), path).expect("renamed");
    }
    made
}

#[test]
fn cloud_init_takes_its_seed_in_a_vm() -> Result<(), RackError> {
    takes(&Age {
        suite: "bookworm",
        profile: "ubuntu-22.04",
        network: "0",
    })
}

#[test]
fn a_later_cloud_init_takes_all_four_in_a_vm() -> Result<(), RackError> {
    takes(&Age {
        suite: "trixie",
        profile: "ubuntu-24.04",
        network: "1",
    })
}

fn takes(age: &Age) -> Result<(), RackError> {
    let Age { suite, profile, .. } = age;
    let needs = [tools::NETWORK, tools::MACHINES, tools::LOADERS, NEEDS];
    let scenario = format!("cloud-init of {suite} takes its seed in a VM");
    if !can_run(&scenario, &needs, true) {
        return Ok(());
    }
    let (kernel, initrd) = live(suite);
    let rack = Rack::new()?;
    let settings = site::example(&rack)?;
    let medium = rack.dir().join("medium.iso");
    fs::write(&medium, "in place of a medium\n").map_err(RackError::file(&medium))?;
    let distro = settings.site.join(format!("boot/{profile}.toml"));
    let text = format!(
        "kernel = \"vmlinuz\"\ninitrds = [\"initrd\"]\n[artefact.vmlinuz]\nfile = {kernel:?}\n[artefact.initrd]\nfile = {initrd:?}\n\
         [artefact.\"media.iso\"]\nfile = {medium:?}\n"
    );
    fs::write(&distro, text).map_err(RackError::file(&distro))?;
    let server = Server::start(&rack, settings)?;
    server.must(&["distro", "fetch", profile])?;
    let machine = rack
        .machine("web01")
        .firmware(Firmware::Bios)
        .memory(3072)
        .disk(4, "WEB01");
    server.must(&["add", "web01", &machine.mac().to_string(), profile])?;
    server.must(&["set", "web01", "ip=10.77.0.21", "static_ip=true"])?;
    server.must(&["rebuild", "web01", "--yes"])?;
    let mut power = machine.power_on()?;
    power.serial().wait_for("SEED end", PATIENCE)?;
    let said = power.serial().text();
    let told = |what: &str| {
        let lines = said.lines().filter_map(|l| l.split_once("SEED "));
        let mut found = lines.filter_map(|(_, rest)| rest.strip_prefix(what));
        let found = found
            .next_back()
            .unwrap_or_else(|| panic!("no {what}: {said}"));
        found.trim().to_string()
    };
    eprintln!(
        "{}",
        said.lines()
            .filter(|l| l.contains("SEED "))
            .collect::<Vec<_>>()
            .join("\n")
    );
    assert_eq!(told("status "), "status: done");
    assert!(
        told("source ").starts_with("nocloud"),
        "{}",
        told("source ")
    );
    assert_eq!(told("instance "), "web01-1");
    assert_eq!(told("hostname "), "web01");
    assert_eq!(told("address "), "10.77.0.21/24");
    assert_eq!(told("user-data "), "1");
    assert_eq!(told("vendor-data "), "#cloud-config");
    assert_eq!(told("network-config "), age.network);
    let events = server.events("web01")?;
    // it takes `url=` for its own unless it is told otherwise, and would load the medium as a configuration
    let medium = events
        .iter()
        .filter(|e| e.kind == "fetched" && e.detail.contains("media.iso"));
    assert_eq!(medium.count(), 0, "{events:?}");
    assert!(
        events.iter().any(|e| e.kind == "answer-fetched"),
        "{events:?}"
    );
    power.cut();
    Ok(())
}
