//! A real reader of what the real server serves: Debian's cloud-init takes the Ubuntu installer's seed. And
//! what the live system of subiquity asks for, in its order.

use std::process::Command;

use farrier::cli::demo::rack::{Rack, RackError, Server};
use farrier::model::Phase;

use super::{NEEDS, STATUS, shipped};
use crate::rack::can_run;
use crate::rack::phantom::{Phantom, Told};
use crate::rack::site;

/// A server of the shipped profiles, with one machine that is to be installed by one of them; the machine's
/// boot script.
pub(super) fn booted(rack: &Rack, profile: &str) -> Result<(Server, Phantom, String), RackError> {
    let settings = site::example(rack)?;
    shipped::stand_ins(&settings.site)?;
    let machine = Phantom::new(rack, "web01")?;
    let text = format!(
        "[system.web01]\nmac = \"{}\"\nip = \"10.77.0.11\"\nprofile = \"{profile}\"\n",
        machine.mac()
    );
    shipped::write(&settings.site.join("systems.toml"), &text)?;
    let server = Server::start(rack, settings)?;
    server.must(&["distro", "fetch", profile])?;
    server.must(&["rebuild", "web01", "--yes"])?;
    let Told::Script(script) = machine.boot()? else {
        panic!("not told to install: {}", server.evidence("web01", None));
    };
    machine.fetch_kernel(&script)?;
    Ok((server, machine, script))
}

pub(super) fn word(script: &str, start: &str) -> String {
    let mut words = script.split_whitespace();
    let word = words.find_map(|w| w.strip_prefix(start));
    word.unwrap_or_else(|| panic!("no {start} in {script}"))
        .to_string()
}

/// The stages of a boot in which cloud-init looks for its seed, with the directories it writes to empty.
const SEED: &str = r#"
for d in /run /var/lib /var/log; do mount -t tmpfs none $d; done
cp -a /etc /run/etc
mount --bind /run/etc /etc
mkdir -p /etc/cloud /var/lib/cloud
cat >/etc/cloud/cloud.cfg <<END
datasource_list: [NoCloud, None]
network: {config: disabled}
system_info: {distro: debian, paths: {cloud_dir: /var/lib/cloud/}}
cloud_init_modules: []
END
export DEBUG_PROC_CMDLINE="$CMDLINE"
boot() { /usr/bin/python3 -m cloudinit.cmd.main "$@" || true; }
boot init --local; boot init
echo "==> user"; cat /var/lib/cloud/instance/user-data.txt
echo "==> vendor"; cat /var/lib/cloud/instance/vendor-data.txt
echo "==> id"; cat /var/lib/cloud/data/instance-id
echo "==> source"; cat /var/lib/cloud/instance/datasource
echo "==> end"
"#;

#[test]
fn the_real_cloud_init_takes_the_seed() -> Result<(), RackError> {
    if !can_run("cloud-init's seed", &NEEDS, false) {
        return Ok(());
    }
    let rack = Rack::new()?;
    let (server, machine, script) = booted(&rack, "ubuntu-22.04")?;
    let package = crate::http::status::cloud_init();
    let line = script.lines().find(|l| l.starts_with("kernel "));
    let mut command: Command = machine.host.namespace().command("unshare");
    let ran = command
        .args(["--mount", "sh", "-ec", SEED])
        .env("CMDLINE", line.expect("a kernel"))
        .env("PYTHONPATH", package.join("usr/lib/python3/dist-packages"))
        .output()
        .expect("unshare");
    let said = String::from_utf8_lossy(&ran.stdout);
    let part = |name: &str| {
        let (_, rest) = said
            .split_once(&format!("==> {name}\n"))
            .unwrap_or_else(|| {
                panic!("{said}{}", String::from_utf8_lossy(&ran.stderr));
            });
        rest.split("==> ").next().unwrap_or("").to_string()
    };
    let base = word(&script, "ds=nocloud-net;s=");
    let served = |name: &str| {
        machine
            .http(&format!("{base}{name}"), None)
            .map(|r| r.text())
    };
    let evidence = server.evidence("web01", None);
    assert_eq!(part("user"), served("user-data")?, "{evidence}");
    assert_eq!(part("vendor"), served("vendor-data")?, "{evidence}");
    assert_eq!(part("id").trim(), "web01-1", "{evidence}");
    assert!(part("source").contains(&base), "{}", part("source"));
    assert_eq!(server.phase("web01")?, Phase::Installing);
    Ok(())
}

/// What subiquity's live system asks for, in its order, up to the installed system's first boot.
#[test]
fn an_ubuntu_installation_is_served_from_end_to_end() -> Result<(), RackError> {
    if !can_run("an Ubuntu installation", &NEEDS, false) {
        return Ok(());
    }
    for (profile, source) in [
        ("ubuntu-22.04", "ds=nocloud-net;s="),
        ("ubuntu-24.04", "ds=nocloud;s="),
    ] {
        let rack = Rack::new()?;
        let (server, machine, script) = booted(&rack, profile)?;
        let iso = word(&script, "url=");
        machine.http(&iso, None)?.must_be(200, &iso)?;
        let base = word(&script, source);
        assert!(base.ends_with('/'), "{base}");
        // cloud-init's order; it asks for the optional ones too, and waits where they are missing
        let mut user = String::new();
        for name in ["meta-data", "user-data", "vendor-data", "network-config"] {
            let url = format!("{base}{name}");
            let text = machine.http(&url, None)?.must_be(200, &url)?.text();
            if name == "user-data" {
                user = text;
            }
        }
        assert_eq!(server.phase("web01")?, Phase::Installing);
        let report = user.split_once("endpoint: \"").expect("a webhook").1;
        let report = report.split_once("/status\"").expect("its end").0;
        let post = |verb: &str, body: &str| {
            let url = format!("{report}/{verb}");
            machine.http(&url, Some(body))?.must_be(200, &url)
        };
        post("status", STATUS)?;
        post("start", "subiquity")?;
        let permit = post("disks", &machine.disks())?.text();
        assert!(permit.starts_with("disk=/dev/"), "{permit}");
        for document in [
            "early.sh",
            "permit.py",
            "late.sh",
            "error.sh",
            "report.sh",
            "farrier.env",
        ] {
            let url = format!("{base}{document}");
            machine.http(&url, None)?.must_be(200, &url)?;
        }
        let installer = crate::rack::phantom::Installer::of(&base, report);
        let handoff = machine.hand_off(&installer)?;
        post("end", "")?;
        assert_eq!(server.phase("web01")?, Phase::Installed);
        machine.first_boot(&handoff, "ok")?.must_be(200, &handoff)?;
        assert_eq!(server.phase("web01")?, Phase::Ready);
        assert_eq!(machine.boot()?, Told::OwnDisk);
    }
    Ok(())
}
