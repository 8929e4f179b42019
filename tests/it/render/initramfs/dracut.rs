//! dracut's own scripts, which read the kernel's command line where NetworkManager does not: in FAI's root
//! and rescue system, and in releases of RHEL 8 and SUSE that have its older network module. They run in a
//! namespace with two interfaces, and configure them for real; only what waits for answers on the wire,
//! arping and dhclient, is a stand-in.

use std::collections::BTreeMap;
use std::process::Command;

use farrier::model::{Firmware, System};

use super::super::anaconda::{PROFILES, RICH};
use super::super::site::{declared_as, rendered, system};
use super::unpacked;

/// `$1`: dracut's packages; `$2`: a folder with `cmdline`. Each of dracut's files is where its module's
/// setup puts it, and its hooks run in the order of their numbers.
const INSIDE: &str = r#"
set -eu
modules=$1/usr/lib/dracut/modules.d
cd "$2"
mkdir -p usr/lib usr/sbin tmp run etc/cmdline.d etc/udev/rules.d
cp "$modules"/99base/dracut-lib.sh "$modules"/99base/dracut-dev-lib.sh "$modules"/40network/net-lib.sh \
    "$modules"/45url-lib/url-lib.sh usr/lib
cp "$modules"/35network-legacy/ifup.sh usr/sbin/ifup
for name in dracut-getarg dracut-getargs; do cp "$1"/usr/lib/dracut/dracut-util usr/sbin/$name; done
printf '#!/bin/sh\nexit 0\n' >usr/sbin/arping
cp usr/sbin/arping usr/sbin/netroot
printf '#!/bin/sh\necho "$@" >/tmp/dhclient.ran\n' >usr/sbin/dhclient
chmod 0755 usr/sbin/*
cp -a /etc/alternatives etc
mkdir -p usr/lib/dracut run/hooks/initqueue/finished
ln -s /run/hooks usr/lib/dracut/hooks
modules=$PWD/modules
mkdir modules
mount --bind "$1/usr/lib/dracut/modules.d" modules
mount -t overlay overlay -o lowerdir="$PWD/usr:/usr" /usr
mount --bind cmdline /proc/cmdline
mount --bind run /run
mount --bind etc /etc
mount --bind tmp /tmp
mount -t sysfs sysfs /sys
for n in 1 2; do
    ip link add ens$n address 52:54:00:00:00:0$n type veth peer name far$n
    ip link set far$n up
done
ip link set lo up

set +eu
export DRACUT_SYSTEMD=1 PATH=/usr/sbin:/usr/bin:/sbin:/bin
. /lib/dracut-lib.sh
. /lib/net-lib.sh
wait_for_dev() { :; }
for hook in 99base/parse-root-opts.sh 90livenet/parse-livenet.sh 35network-legacy/parse-ip-opts.sh \
    35network-legacy/parse-ifname.sh; do
    # some end with `return`
    . "$modules/$hook"
done
for hook in 40network/ifname-genrules.sh 35network-legacy/net-genrules.sh; do . "$modules/$hook"; done
echo "netroot=$netroot"
echo "rules=$(grep -oh 'ATTR{address}=="[^"]*"\|ACTION=="add"' /etc/udev/rules.d/9[01]-*.rules | tr '\n' ' ')"
echo "waits=$(ls $hookdir/initqueue/finished | tr '\n' ' ')"
ifup ens1 >/tmp/said 2>&1 </dev/null
echo "code=$?"
echo "dhclient=$(cat /tmp/dhclient.ran 2>/dev/null)"
echo "address=$(ip -4 -oneline addr show ens1 | sed -n 's/.* inet \([^ ]*\).*/\1/p')"
echo "other=$(ip -4 -oneline addr show ens2)"
echo "route=$(ip route show default)"
echo "resolver=$(cat /tmp/net.ens1.resolv.conf 2>/dev/null | tr '\n' ' ')"
echo "ifname=$(cat /etc/udev/rules.d/80-ifname.rules 2>/dev/null | grep -o 'ATTR{address}=="[^"]*"\|NAME="[^"]*"' | tr '\n' ' ')"
echo "said=$(tr '\n' ' ' </tmp/said)"
"#;

/// What dracut makes of a command line, by name; none, and said loudly, where this cannot be run.
fn read(cmdline: &str) -> Option<BTreeMap<String, String>> {
    let witness = "usr/lib/dracut/modules.d/35network-legacy/ifup.sh";
    let packages = unpacked("dracut", "dracut-core dracut-network dracut-live", witness);
    // not below /tmp, which is covered inside
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a folder");
    std::fs::write(folder.path().join("cmdline"), format!("{cmdline}\n")).expect("a file");
    let able = Command::new("unshare")
        .args(["--mount", "--net", "true"])
        .output();
    if !able.is_ok_and(|done| done.status.success()) {
        crate::skipped!("needs root and unshare; dracut's scripts were not run");
        return None;
    }
    let out = Command::new("unshare")
        .args(["--mount", "--net", "--propagation", "private", "dash", "-c"])
        .args([INSIDE, "-"])
        .arg(&packages)
        .arg(folder.path())
        .output()
        .expect("unshare");
    let text = String::from_utf8_lossy(&out.stdout).into_owned();
    let pairs = text.lines().filter_map(|line| line.split_once('='));
    let found: BTreeMap<String, String> = pairs
        .map(|(name, value)| (name.to_string(), value.trim().to_string()))
        .collect();
    assert!(found.contains_key("said"), "{out:?}");
    Some(found)
}

fn machines() -> [System; 2] {
    [system("web01"), declared_as("web02", "static_ip = true")]
}

const FIRST: &str = "ATTR{address}==\"52:54:00:00:00:01\"";

#[test]
fn the_first_interface_is_brought_up_as_declared() {
    // later releases have no such scripts
    let old = |version: &str| ["RHEL8", "RHEL9"].contains(&version);
    let anaconda = PROFILES.into_iter().filter(|(_, version)| old(version));
    let anaconda = anaconda.map(|(profile, _)| profile);
    for profile in anaconda.chain(["leap-16", "sles-16", "fedora-coreos"]) {
        for machine in machines() {
            let made = rendered(profile, &machine, Firmware::BIOS);
            let Some(found) = read(&made.cmdline) else {
                return;
            };
            let all = format!("{profile} {}: {found:?}", machine.name);
            assert_eq!(found["rules"], FIRST, "{all}");
            assert_eq!(found["waits"], "wait-52:54:00:00:00:01.sh", "{all}");
            assert_eq!(found["code"], "0", "{all}");
            assert_eq!(found["other"], "", "{all}");
            if machine.name.as_str() == "web02" && profile != "fedora-coreos" {
                assert_eq!(found["address"], "10.77.0.11/24", "{all}");
                assert_eq!(found["route"], "default via 10.77.0.1 dev ens1", "{all}");
                assert_eq!(found["resolver"], "nameserver 10.77.0.1", "{all}");
                assert_eq!(found["dhclient"], "", "{all}");
            } else {
                assert_eq!(found["address"], "", "{all}");
                assert!(found["dhclient"].ends_with(" ens1"), "{all}");
            }
            // Anaconda's second stage is its own affair; Agama's root is fetched by dracut
            let root = match made
                .cmdline
                .split(' ')
                .find_map(|w| w.strip_prefix("root=live:"))
            {
                Some(url) => format!("livenet:{url}"),
                None => String::new(),
            };
            assert_eq!(found["netroot"], root, "{all}");
            assert_eq!(root.is_empty(), !profile.contains("-16"), "{all}");
        }
    }
}

#[test]
fn a_root_in_ram_is_fetched_by_whichever_interface_has_a_lease() {
    for profile in ["fai", "rescue"] {
        for machine in machines() {
            let made = rendered(profile, &machine, Firmware::UEFI);
            let Some(found) = read(&made.cmdline) else {
                return;
            };
            let all = format!("{profile} {}: {found:?}", machine.name);
            let words: Vec<&str> = made.cmdline.split(' ').collect();
            let root = words.iter().find_map(|w| w.strip_prefix("root=live:"));
            let root = root.expect("a root").to_string();
            assert_eq!(found["netroot"], format!("livenet:{root}"), "{all}");
            assert_eq!(found["rules"], "ACTION==\"add\"", "{all}");
            assert_eq!(found["waits"], "wait-network.sh", "{all}");
            assert_eq!(found["code"], "0", "{all}");
            assert!(found["dhclient"].ends_with(" ens1"), "{all}");
        }
    }
}

#[test]
fn an_interface_that_has_a_name_gets_it() {
    let made = rendered("rocky-9", &declared_as("rich", RICH), Firmware::UEFI);
    let Some(found) = read(&made.cmdline) else {
        return;
    };
    assert_eq!(found["code"], "0", "{found:?}");
    assert_eq!(found["address"], "10.77.0.11/24", "{found:?}");
    let named = "ATTR{address}==\"52:54:00:00:00:03\" NAME=\"backup0\"";
    assert!(found["ifname"].contains(named), "{found:?}");
    assert_eq!(found["rules"], FIRST, "{found:?}");
}
