//! What watches the installer, with a journal, a systemctl and a YaST of the test's own.

use serde_json::json;

use super::machine;
use crate::render::anaconda::machine::{Machine, reports, serving};
use crate::render::server::Server;
use crate::render::site::{shipped, system};

/// Agama's own unit: it runs, has ended well, has failed.
const RUNS: &str = "case $1 in is-failed) exit 1 ;; esac";
const ENDED: &str = "case $1 in is-*) exit 1 ;; esac";
const FAILED: &str = "case $1 in is-active) exit 1 ;; esac";

/// A machine whose installer logs nothing but this line, and is given up after two minutes of it.
fn watched(profile: &str, logged: &str) -> Option<(Machine, Server)> {
    let mut asked = system("web01");
    asked.vars.insert("silence".into(), json!(2));
    let (server, made) = serving(&shipped(profile), &asked, |path, _, _| {
        let handoff = path.ends_with("/handoff");
        let answer = handoff.then_some("handoff=https://192.0.2.1/h/TOKEN\n");
        (200, answer.unwrap_or_default().to_string())
    });
    let machine = machine(&made, true)?;
    machine.program("sleep", "exit 0");
    machine.program("journalctl", &format!("echo '{logged}'"));
    machine.write("logs/y2log", &format!("{logged}\n"));
    Some((machine, server))
}

/// The last report, and what it says.
fn last(server: &Server) -> (String, String) {
    let last = reports(server).pop().expect("a report");
    let scope = farrier::boot::Scope::Report.placeholder();
    let told = server.bodies(&format!("/r/{scope}/{last}"));
    (last, told.into_iter().next_back().unwrap_or_default())
}

#[test]
fn agama_that_failed_or_is_silent_is_reported() {
    for (unit, logged, said) in [
        (FAILED, "Installing software", "Agama's installation failed"),
        (
            ENDED,
            "Installing software",
            "Agama ended before the system was installed",
        ),
        (
            RUNS,
            "Installing software",
            "has logged nothing for 2 minutes",
        ),
        // 16.0 goes on as if all were well, or waits for somebody to answer
        (
            RUNS,
            "Installation error: #<Packages::Error>. Backtrace:",
            "Agama says: Installation error: #<Packages::Error>",
        ),
        (
            RUNS,
            "Could not load configuration from file:///run/farrier/filled.json: Packages",
            "Agama says: Could not load configuration",
        ),
        (
            ENDED,
            "Skipping the auto-installation: Packages",
            "Agama says: Skipping the auto-installation",
        ),
    ] {
        let Some((machine, server)) = watched("leap-16", logged) else {
            return;
        };
        machine.program("systemctl", unit);
        let out = machine.run("watch.sh");
        assert!(machine.left(), "{out:?}");
        let (report, told) = last(&server);
        let stage = report.strip_prefix("fail/").expect("a failure");
        assert!(["packages", "partition"].contains(&stage), "{report}");
        assert!(told.contains(said), "{told}");
    }
}

/// YaST is a script of Ruby's. Here it is one of the shell's at the same place, a process for real; of all
/// processes the watch is shown this one.
#[test]
fn yast_is_given_up_when_it_was_seen_and_is_gone() {
    for (runs, ends, logged, said, stage) in [
        (
            true,
            true,
            "Installing the bootloader",
            "YaST is gone",
            "bootloader",
        ),
        (
            true,
            false,
            "Partitioning",
            "has logged nothing for 2 minutes",
            "partition",
        ),
        // however a later YaST is called
        (
            false,
            false,
            "Partitioning",
            "has logged nothing for 2 minutes",
            "partition",
        ),
    ] {
        let Some((machine, server)) = watched("leap-15", logged) else {
            return;
        };
        let root = machine.path("");
        let root = root.display();
        machine.write("proc/self/cmdline", "sh");
        machine.write(
            "usr/lib/YaST2/bin/y2start",
            &format!("read -r _ <'{root}fifo'\n"),
        );
        let start = match runs {
            true => format!(
                "mkfifo '{root}fifo'\n\
                 sh '{root}usr/lib/YaST2/bin/y2start' installation initial &\n\
                 echo \"$!\" >'{root}pid'\n\
                 ln -s \"/proc/$!\" \"{root}proc/$!\"\n"
            ),
            false => String::new(),
        };
        // it ends after some ticks of the watch, or with the test
        let ticks = if ends { 5 } else { 1000 };
        machine.program(
            "sleep",
            &format!(
                "echo >>'{root}ticks'\n\
                 [ \"$(wc -l <'{root}ticks')\" -lt {ticks} ] || kill \"$(cat '{root}pid')\" 2>/dev/null\n\
                 exit 0"
            ),
        );
        machine.write(
            "farrier/given.sh",
            &format!(
                "{start}FARRIER_PROC='{root}proc' sh ./watch.sh\n\
                 [ ! -e '{root}pid' ] || kill \"$(cat '{root}pid')\" 2>/dev/null\n"
            ),
        );
        let out = machine.run("given.sh");
        assert!(machine.left(), "{out:?}");
        let (report, told) = last(&server);
        assert_eq!(report, format!("fail/{stage}"));
        assert!(told.contains(said), "{told}");
        let ticks = machine.text("ticks").lines().count();
        let enough = if ends { 65..100 } else { 120..125 };
        assert!(enough.contains(&ticks), "{ticks}");
    }
}

/// Agama's part is played here: its last script, its end that takes the system away. The mounts are real.
#[test]
fn the_system_is_held_and_finished_once_agama_is_through() {
    for sound in [true, false] {
        let Some((machine, server)) = watched("leap-16", "Install phase done") else {
            return;
        };
        machine.write("system/etc/systemd/system/x", "");
        machine.write("system/boot/x", "");
        std::fs::create_dir_all(machine.path("target")).expect("a folder");
        if sound {
            machine.write("system/usr/bin/curl", "");
        }
        machine.program("systemctl", ENDED);
        machine.program(
            "chroot",
            "case \"$*\" in *passwd*) echo root:x:0:0::/root:/bin/sh ;; *efibootmgr*) echo 'BootOrder: 0001' ;; esac",
        );
        let root = machine.path("");
        machine.write(
            "farrier/given.sh",
            &format!(
                "mount --make-rshared /\n\
                 cd '{0}' || exit 9\n\
                 mount --bind system target && mount --bind boot target/boot || exit 9\n\
                 cd farrier && export FARRIER_HOLD='{0}held'\n\
                 sh ./hold.sh || exit 9\n\
                 umount ../target/boot && umount ../target || exit 9\n\
                 exec sh ./watch.sh\n",
                root.display()
            ),
        );
        machine.write("boot/kernel", "");
        let out = machine.run("given.sh");
        assert_eq!(machine.text("left"), "reboot\n", "{out:?}");
        let expected: &[&str] = match sound {
            true => &["progress/configure", "progress/handoff", "handoff", "end"],
            false => &["progress/configure", "progress/handoff", "fail/configure"],
        };
        let all = reports(&server);
        assert!(
            all.ends_with(&expected.iter().map(ToString::to_string).collect::<Vec<_>>()),
            "{all:?}"
        );
        assert_eq!(
            all.iter().filter(|r| r.starts_with("fail")).count(),
            usize::from(!sound)
        );
        if sound {
            assert!(machine.path("system/var/lib/farrier/pending").exists());
        }
        assert!(!machine.path("target/etc").exists());
    }
}
