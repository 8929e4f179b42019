//! The scripts of the build, run.

use super::{RICH, machine};
use crate::render::anaconda::machine::{Machine, reports, serving};
use crate::render::site::{declared_as, shipped, system};

#[test]
fn without_a_permit_there_are_no_answers() {
    for (profile, answers) in [("leap-16", "profile.json"), ("leap-15", "autoinst.xml")] {
        let (server, made) = serving(&shipped(profile), &system("web01"), |path, _, _| match path
            .ends_with("/disks")
        {
            true => (409, "the disk /dev/vda holds zfs".to_string()),
            false => (204, String::new()),
        });
        let Some(machine) = Machine::new(&made, true) else {
            return;
        };
        machine.write(
            "farrier/given.sh",
            &format!("exec sh ./prepare.sh {answers}\n"),
        );
        let out = machine.run("given.sh");
        assert!(machine.left(), "{out:?}");
        assert!(!machine.path("farrier/filled").exists());
        assert_eq!(reports(&server), ["start", "disks", "fail/partition"]);
    }
}

/// What is left of Agama's own unit is killed when its main process ends, so the watch is none of it.
#[test]
fn the_watch_of_agama_is_a_unit_of_its_own() {
    for (starts, expected) in [
        (true, vec!["start", "disks", "progress/partition"]),
        (
            false,
            vec!["start", "disks", "progress/partition", "fail/setup"],
        ),
    ] {
        let (server, made) = serving(&shipped("leap-16"), &system("web01"), |path, _, _| {
            let permit = path.ends_with("/disks").then_some("disk=/dev/vda\n");
            (200, permit.unwrap_or_default().to_string())
        });
        let Some(machine) = machine(&made, true) else {
            return;
        };
        if !starts {
            machine.program("systemd-run", "exit 1");
        }
        machine.write("farrier/given.sh", "exec sh ./prepare.sh profile.json\n");
        let out = machine.run("given.sh");
        assert_eq!(machine.left(), !starts, "{out:?}");
        assert_eq!(reports(&server), expected);
        if starts {
            let told = machine.text("units");
            assert!(told.starts_with("--unit=farrier-watch --collect"), "{told}");
        }
    }
}

/// Of the names that Leap's product has had, the one that the medium knows is in the profile.
#[test]
fn the_product_is_called_as_the_medium_calls_it() {
    for (files, named) in [
        (vec![("leap_160.yaml", "id: Leap_16.0\n")], "Leap_16.0"),
        (
            vec![("leap_161.yaml", "id: openSUSE_Leap\n")],
            "openSUSE_Leap",
        ),
        (
            vec![
                ("leap_micro.yaml", "id: openSUSE_Leap_Micro\n"),
                ("leap_160.yaml", "id: \"Leap_16.0\"\nname: Leap 16.0\n"),
            ],
            "Leap_16.0",
        ),
        (vec![], "openSUSE_Leap"),
    ] {
        let (_server, made) = serving(&shipped("leap-16"), &system("web01"), |path, _, _| {
            let permit = path.ends_with("/disks").then_some("disk=/dev/vda\n");
            (200, permit.unwrap_or_default().to_string())
        });
        let Some(machine) = machine(&made, true) else {
            return;
        };
        for (file, text) in &files {
            machine.write(&format!("products.d/{file}"), text);
        }
        let products = machine.path("products.d").display().to_string();
        machine.write(
            "farrier/given.sh",
            &format!("FARRIER_PRODUCTS='{products}' exec sh ./prepare.sh profile.json\n"),
        );
        let out = machine.run("given.sh");
        assert!(out.status.success(), "{out:?}");
        let filled: serde_json::Value =
            serde_json::from_str(&machine.text("farrier/filled")).expect("JSON");
        assert_eq!(filled["product"]["id"], named, "{files:?}");
    }
}

#[test]
fn the_last_script_finishes_the_system() {
    for profile in ["leap-16", "leap-15"] {
        let answer = |path: &str, _: &str, _: usize| match path {
            p if p.ends_with("/handoff") => {
                (200, "handoff=https://192.0.2.1/h/TOKEN\n".to_string())
            }
            _ => (204, String::new()),
        };
        let (server, made) = serving(&shipped(profile), &declared_as("rich", RICH), answer);
        let Some(machine) = Machine::new(&made, true) else {
            return;
        };
        for file in ["target/usr/bin/curl", "target/etc/systemd/system/x"] {
            machine.write(file, "");
        }
        let said = machine.path("said").display().to_string();
        let resolver = machine.path("target/etc/resolv.conf");
        std::os::unix::fs::symlink("/nowhere/resolv.conf", &resolver).expect("a link");
        let resolver = resolver.display();
        machine.program("systemctl", &format!("echo \"systemctl $*\" >>'{said}'"));
        machine.program("chroot", &format!("echo \"$*\" >>'{said}'; case \"$*\" in *passwd*root) echo root:x:0:0::/root:/bin/sh ;; *passwd*alice) echo alice:x:1:1::/home/alice:/bin/sh ;; *chpasswd*) cat >>'{said}' ;; *efibootmgr*) echo 'BootOrder: 0001' ;; *zypper*refresh) [ ! -f '{resolver}' ] || echo 'it has a resolver' >>'{said}' ;; esac"));
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
            machine.text("target/home/alice/.ssh/authorized_keys"),
            "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOp4 alice@example\n"
        );
        let said = machine.text("said");
        for part in [
            "zypper --non-interactive addrepo --gpgcheck --refresh http://repo.example/suse/ internal",
            "install --no-recommends nginx",
            "rpm --import http://repo.example/key.asc",
            "alice:$6$rounds",
            "it has a resolver",
            "usermod --shell /bin/bash --append --groups adm,ops alice",
        ] {
            assert!(said.contains(part), "{part}: {said}");
        }
        // its own is in its place again
        assert_eq!(
            std::fs::read_link(machine.path("target/etc/resolv.conf")).expect("a link"),
            std::path::Path::new("/nowhere/resolv.conf")
        );
        std::fs::remove_file(machine.path("target/usr/bin/curl")).expect("a file");
        let out = machine.run("post.sh");
        assert!(machine.left(), "{out:?}");
        assert_eq!(reports(&server).pop().expect("a report"), "fail/configure");
    }
}

/// YaST's part is played here: its first finishing step, its hook before the disks are unmounted.
#[test]
fn yast_waits_with_its_last_step_until_farrier_is_through() {
    const HOOK: &str = "var/lib/YaST2/hooks/installation/before_umount_finish_00_farrier";
    for (has_hooks, was_there) in [(true, false), (true, true), (false, false)] {
        let (server, made) = serving(&shipped("leap-15"), &system("web01"), |_, _, _| {
            (200, "handoff=https://192.0.2.1/h/TOKEN\n".to_string())
        });
        let Some(machine) = Machine::new(&made, false) else {
            return;
        };
        for file in ["target/usr/bin/curl", "target/etc/systemd/system/x"] {
            machine.write(file, "");
        }
        machine.program("systemctl", "");
        machine.program(
            "chroot",
            "case \"$*\" in *passwd*) echo root:x:0:0::/root:/bin/sh ;; esac",
        );
        machine.program("setsid", "exec \"$@\"");
        let hooks = HOOK.rsplit_once('/').expect("a folder").0;
        for (root, there) in [("installer", has_hooks), ("target", was_there)] {
            if there {
                machine.write(&format!("{root}/{hooks}/mine"), "");
            }
        }
        let root = |name: &str| machine.path(name).display().to_string();
        machine.write(
            "farrier/yast.sh",
            &format!(
                ". ./farrier.env\n. ./report.sh\n\
                 FARRIER_ROOT='{0}' sh ./finish.sh || exit 1\n\
                 farrier_progress users\n\
                 [ ! -e '{0}/{HOOK}' ] || FARRIER_ROOT='{1}' '{1}/{HOOK}'\n",
                root("installer"),
                root("target"),
            ),
        );
        let out = machine.run("yast.sh");
        assert!(out.status.success() && !machine.left(), "{out:?}");
        let mut expected = vec!["progress/configure", "progress/handoff", "handoff", "end"];
        // without hooks there is no later moment
        let users = if has_hooks { 0 } else { expected.len() };
        expected.insert(users, "progress/users");
        assert_eq!(reports(&server), expected, "{out:?}");
        // nothing of it stays in the installed system
        assert!(!machine.path("target/var/lib/farrier-finish").exists());
        assert!(!machine.path("target").join(HOOK).exists());
        assert_eq!(machine.path("target").join(hooks).exists(), was_there);
    }
}
