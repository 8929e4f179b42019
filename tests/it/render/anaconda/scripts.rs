//! The scripts of the build, run.

use serde_json::json;

use super::RICH;
use super::machine::{Machine, reports, serving};
use crate::render::site::{declared_as, shipped, system};

#[test]
fn without_a_permit_nothing_is_chosen() {
    let asked = declared_as(
        "web03",
        "storage = { layout = \"lvm\", encrypt = \"tpm2\" }",
    );
    for (status, body, said) in [
        (
            409,
            "the disk /dev/vda holds zfs",
            "refused: the disk /dev/vda holds zfs",
        ),
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
        assert!(
            machine
                .text("farrier/storage.ks")
                .contains("--only-use=@DISK1@")
        );
        assert!(!machine.path("farrier/permitted").exists());
        let told = server.bodies(&format!(
            "/r/{}/fail/partition",
            farrier::boot::Scope::Report.placeholder()
        ));
        assert!(told.last().is_some_and(|t| t.contains(said)), "{told:?}");
    }
}

#[test]
fn an_interface_that_is_not_there_stops_it() {
    let asked = declared_as("rich", &RICH.replace("00:00:02", "00:00:09"));
    let (server, made) = serving(&shipped("rocky-9"), &asked, |path, _, _| {
        let permit = if path.ends_with("/disks") {
            "disk=/dev/vda\nsecond=/dev/vdb\n"
        } else {
            ""
        };
        (200, permit.to_string())
    });
    let Some(machine) = Machine::new(&made, true) else {
        return;
    };
    let out = machine.run("pre.sh");
    assert!(machine.left(), "{out:?}");
    let told = server.bodies(&format!(
        "/r/{}/fail/setup",
        farrier::boot::Scope::Report.placeholder()
    ));
    assert!(
        told[0].contains("has the address 52:54:00:00:00:09"),
        "{told:?}"
    );
}

#[test]
fn a_failure_is_reported_with_the_ends_of_the_logs() {
    let (server, made) = serving(&shipped("fedora"), &system("web01"), |_, _, _| {
        (204, String::new())
    });
    let Some(machine) = Machine::new(&made, true) else {
        return;
    };
    let token = "A".repeat(38);
    machine.write("logs/anaconda.log", &format!("12:00:01,000 INF x: got http://192.0.2.1/b/{token}/ks.cfg\n12:00:02,000 CRT exception: no space on vda\n"));
    machine.write(
        "logs/packaging.log",
        "12:00:02,100 ERR packaging: nothing provides vim\n",
    );
    machine.write("logs/anaconda-tb-x1", "Traceback: the very place\n");
    machine.write("farrier/stage", "packages\n");
    let out = machine.run("failed.sh");
    assert!(machine.left(), "{out:?}");
    assert_eq!(reports(&server), ["fail/packages"]);
    let told = server
        .bodies(&format!(
            "/r/{}/fail/packages",
            farrier::boot::Scope::Report.placeholder()
        ))
        .remove(0);
    for part in [
        "nothing provides vim",
        "the very place",
        "/b/(token)/ks.cfg",
    ] {
        assert!(told.contains(part), "{told}");
    }
    assert!(
        told.trim_end().ends_with("CRT exception: no space on vda"),
        "{told}"
    );
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
        [
            "progress/partition",
            "progress/packages",
            "progress/bootloader",
            "progress/configure",
            "progress/finish"
        ],
        "{stages:?}"
    );
    assert_eq!(
        stages.last().map(String::as_str),
        Some("fail/finish"),
        "{stages:?}"
    );
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
    machine.write(
        &format!("{keyfiles}/enp0s0.nmconnection"),
        "[connection]\ninterface-name=enp0s0\n",
    );
    machine.write(
        &format!("{keyfiles}/wired.nmconnection"),
        "[ethernet]\nmac-address=52:54:00:00:00:02\n",
    );
    machine.write(
        &format!("{keyfiles}/bond0_slave_1.nmconnection"),
        "[connection]\ninterface-name=enp0s0\nmaster=bond0\nslave-type=bond\n",
    );
    machine.write(
        &format!("{keyfiles}/backup0.nmconnection"),
        "[connection]\ninterface-name=backup0\n",
    );
    machine.write(
        "target/etc/sysconfig/network-scripts/ifcfg-enp1s0",
        "DEVICE=enp1s0\nONBOOT=yes\n",
    );
    machine.write(
        "target/etc/sysconfig/network-scripts/ifcfg-bond0_slave_2",
        "DEVICE=enp1s0\nMASTER=bond0\n",
    );
    let said = machine.path("said");
    let note = format!(
        "echo \"$*\" >>'{}'; cat >>'{0}' 2>/dev/null; exit 0",
        said.display()
    );
    machine.program("chroot", &format!("case \"$*\" in *getent*root) echo root:x:0:0:root:/root:/bin/bash && exit 0 ;; *getent*alice) echo alice:x:1000:1000::/home/alice:/bin/bash && exit 0 ;; esac; case \"$*\" in *luks*) {note} ;; *efibootmgr*) echo 'BootOrder: 0001' ;; *) echo \"$*\" >>'{}' ;; esac", said.display()));
    machine.program("blkid", "printf '/dev/vda3\\n/dev/vdb9\\n'");
    // only the first is opened by this installation's key
    machine.program(
        "cryptsetup",
        "case \"$*\" in *--test-passphrase*vda3) exit 0 ;; *) exit 1 ;; esac",
    );
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
    assert_eq!(
        reports(&server),
        ["progress/configure", "progress/handoff", "handoff", "end"],
        "{out:?}"
    );
    assert!(
        machine
            .text("target/var/lib/farrier/pending")
            .starts_with("handoff=https://192.0.2.1/h/TOKEN\nkey=")
    );
    assert_eq!(
        machine.text("target/usr/lib/farrier/trust/ca.crt"),
        **server.authority()
    );
    assert_eq!(
        machine.text("target/home/alice/.ssh/authorized_keys"),
        "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOp4 alice@example\n"
    );
    assert_eq!(
        machine
            .text("target/root/.ssh/authorized_keys")
            .lines()
            .count(),
        2
    );
    assert_eq!(
        machine.text("target/etc/sudoers.d/90-alice"),
        "alice ALL=(ALL) NOPASSWD: ALL\n"
    );
    assert_eq!(
        machine.text("target/etc/yum.repos.d/internal.repo"),
        "[internal]\nname=internal\nbaseurl=http://repo.example/el/\nenabled=1\ngpgcheck=1\ngpgkey=http://repo.example/key.asc\n"
    );
    // of the interfaces in the bond only their membership is left
    let left = |folder: &str| {
        let all = std::fs::read_dir(machine.path(folder)).expect("a folder");
        let mut all: Vec<String> = all
            .map(|f| {
                f.expect("a file")
                    .file_name()
                    .to_string_lossy()
                    .into_owned()
            })
            .collect();
        all.sort();
        all
    };
    assert_eq!(
        left("target/etc/NetworkManager/system-connections"),
        ["backup0.nmconnection", "bond0_slave_1.nmconnection"]
    );
    assert_eq!(
        left("target/etc/sysconfig/network-scripts"),
        ["ifcfg-bond0_slave_2"]
    );
    let said = machine.text("said");
    let pin = "sss {\"t\":1,\"pins\":{\"tang\":[{\"url\":\"http://tang.example\",\"thp\":\"abcdefghijklmnopqrstuvwxyz0\"},{\"url\":\"http://tang2.example:81\",\"thp\":\"abcdefghijklmnopqrstuvwxyz1\"}]}}";
    assert!(
        said.contains(&format!(
            "clevis luks bind -y -k - -d /dev/vda3 {pin}\nthe key of the installer"
        )),
        "{said}"
    );
    assert!(
        said.contains("cryptsetup luksRemoveKey /dev/vda3 -\nthe key of the installer"),
        "{said}"
    );
    assert!(
        !said.contains("vdb9") && said.contains("dracut --force --regenerate-all"),
        "{said}"
    );
    assert!(!machine.path("farrier/passphrase").exists());

    // what fails is reported, and the machine restarted
    std::fs::remove_file(machine.path("target/usr/bin/curl")).expect("a file");
    machine.write("farrier/passphrase", "the key of the installer");
    let out = machine.run("post.sh");
    assert!(machine.left(), "{out:?}");
    assert_eq!(reports(&server).pop().expect("a report"), "fail/configure");
}
