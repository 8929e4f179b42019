//! What Anaconda asks the real server for, in its order, with its own %pre run as it was served.

use farrier::cli::demo::rack::{Rack, RackError};
use farrier::model::Phase;

use super::NEEDS;
use super::consumers::{booted, word};
use crate::rack::can_run;
use crate::rack::phantom::{Installer, Told};

/// %pre, where `reboot` ends it, /tmp is its own, and there is one blank disk.
const PRE: &str = r#"
[ ! -e /proc/sysrq-trigger ] || mount --bind /dev/null /proc/sysrq-trigger
mount -t tmpfs none /tmp
mkdir -p /tmp/bin /tmp/dev /tmp/sys/block/vda/device /tmp/sys/class/net/ens3
put() { printf '#!/bin/sh\n%s\n' "$2" >"/tmp/bin/$1"; chmod 0755 "/tmp/bin/$1"; }
for n in reboot poweroff halt; do put $n 'echo left; kill -9 $PPID'; done
for n in udevadm ethtool; do put $n 'exit 1'; done
put blkid 'exit 2'
put setsid 'exit 0'
put dd 'head -c 1048576 /dev/zero'
for n in null zero urandom; do cp -a /dev/$n /tmp/dev/; done
mknod /tmp/dev/vda b 7 250
mount --bind /tmp/dev /dev
echo 83886080 >/tmp/sys/block/vda/size
echo "$MAC" >/tmp/sys/class/net/ens3/address
export PATH="/tmp/bin:$PATH" FARRIER_SYS=/tmp/sys
bash -c "$SECTION"
cat /tmp/farrier/network.ks /tmp/farrier/storage.ks
"#;

/// Each NIC that comes up has its own job that fetches the answers, and says all addresses in headers.
#[test]
fn an_anaconda_installation_is_served_from_end_to_end() -> Result<(), RackError> {
    if !can_run("an installation by Anaconda", &NEEDS, false) {
        return Ok(());
    }
    for profile in ["rhel-8", "rocky-9", "fedora"] {
        let rack = Rack::new()?;
        let (server, machine, script) = booted(&rack, profile)?;
        let url = word(&script, "inst.ks=");
        let mac = machine.mac().to_string();
        let mut fetched = Vec::new();
        for _ in 0..2 {
            let curl = machine
                .host
                .namespace()
                .command("curl")
                .args(["--silent", "--show-error", "--fail", "--location"])
                .args(["--user-agent", "curl/7.76.1"])
                .args(["--header", &format!("X-RHN-Provisioning-MAC-0: ens3 {mac}")])
                .args([
                    "--header",
                    "X-RHN-Provisioning-MAC-1: ens4 52:54:00:ff:ff:01",
                ])
                .args(["--header", "X-System-Serial-Number: 0123"])
                .arg(&url)
                .output()
                .expect("curl");
            assert!(
                curl.status.success(),
                "{curl:?} {}",
                server.evidence("web01", None)
            );
            fetched.push(String::from_utf8_lossy(&curl.stdout).into_owned());
        }
        assert_eq!(fetched[0], fetched[1], "the second NIC's are the same");
        assert_eq!(server.phase("web01")?, Phase::Installing);
        let (_, section) = fetched[0].split_once("%pre\n").expect("a %pre");
        let (section, _) = section.split_once("%end").expect("its end");
        let ran = machine
            .host
            .namespace()
            .command("unshare")
            .args(["--mount", "--propagation", "private", "bash", "-ec", PRE])
            .env("SECTION", section)
            .env("MAC", &mac)
            .output()
            .expect("unshare");
        let said = String::from_utf8_lossy(&ran.stdout).into_owned();
        let evidence = || format!("{ran:?} {}", server.evidence("web01", None));
        assert!(
            said.contains("ignoredisk --only-use=vda\n"),
            "{said}{}",
            evidence()
        );
        assert!(
            said.contains("network --device=ens3 "),
            "{said}{}",
            evidence()
        );
        let base = url.strip_suffix("/ks.cfg").expect("the answers");
        let environment = format!("{base}/farrier.env");
        let environment = machine
            .http(&environment, None)?
            .must_be(200, &environment)?;
        let environment = environment.text();
        let report = environment.lines().find_map(|l| l.strip_prefix("REPORT="));
        let report = report.expect("where to report");
        let handoff = machine.hand_off(&Installer::of(&url, report))?;
        let end = format!("{report}/end");
        machine.http(&end, Some("anaconda"))?.must_be(200, &end)?;
        assert_eq!(server.phase("web01")?, Phase::Installed);
        machine.first_boot(&handoff, "ok")?.must_be(200, &handoff)?;
        assert_eq!(server.phase("web01")?, Phase::Ready);
        assert_eq!(machine.boot()?, Told::OwnDisk);
    }
    Ok(())
}
