//! The Debian profile's scripts inside the installer itself: its busybox, its debconf, its wget.

mod hidden;
mod locked;
mod unpermitted;

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use farrier::model::System;
use farrier::render::Rendered;
use serde_json::json;

use super::debian::{lay_out, machines, rendered, text};
use super::server::Server;
use super::site::{place, with_vars};

/// What partman's own program for it says of a machine with three disks, in the installer's udebs: a
/// line a disk, with tabs.
const SEEN: &str = "printf '%s\\t21474836480\\tQEMU\\tgpt\\n' /dev/vda /dev/vdb /dev/vdaa /dev/md0 /dev/md1 /dev/mapper/web01-root /dev/mapper/data-root";

/// The installer's initrd unpacked, to be entered with chroot; none if it is not there.
struct Installer {
    root: tempfile::TempDir,
}

impl Installer {
    fn unpack() -> Option<Installer> {
        static PRISTINE: OnceLock<Option<PathBuf>> = OnceLock::new();
        let pristine = PRISTINE.get_or_init(|| {
            const PACKAGED: &str = "/usr/lib/debian-installer/images/12/amd64/text/debian-installer/amd64/initrd.gz";
            let initrd = std::env::var("FARRIER_TEST_DI_INITRD").unwrap_or_else(|_| PACKAGED.into());
            let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("debian-installer");
            // Each test is a process of its own: the first unpacks, the others wait for it.
            let lock = std::fs::File::create(folder.with_extension("lock")).ok()?;
            lock.lock().ok()?;
            let done = folder.with_extension("done");
            if std::fs::read_to_string(&done).is_ok_and(|from| from == initrd) {
                return Some(folder);
            }
            let unpack = format!(
                "test -f '{initrd}' && test \"$(id -u)\" = 0 && command -v busybox && rm -rf '{0}' && \
                 mkdir '{0}' && zcat '{initrd}' | (cd '{0}' && busybox cpio -idm)",
                folder.display()
            );
            let unpacked = Command::new("sh").args(["-c", &unpack]).output();
            unpacked.is_ok_and(|d| d.status.success()).then_some(())?;
            std::fs::write(done, initrd).ok()?;
            Some(folder)
        });
        let Some(pristine) = pristine else {
            crate::skipped!(
                "needs root, busybox and the installer's initrd (package \
                 debian-installer-12-netboot-amd64, or FARRIER_TEST_DI_INITRD)"
            );
            return None;
        };
        let base = Path::new(env!("CARGO_TARGET_TMPDIR"));
        let root = tempfile::tempdir_in(base).expect("a folder");
        // hard links are quick; what the installer changes in place is copied
        let copy = format!(
            "cp -al '{0}/.' '{1}/' && rm -rf '{1}/var' && cp -a '{0}/var' '{1}/var'",
            pristine.display(),
            root.path().display()
        );
        let done = Command::new("sh").args(["-c", &copy]).output().expect("sh");
        assert!(done.status.success(), "{done:?}");
        let made = Installer { root };
        made.script("bin/reboot", "echo reboot >>/tmp/left; kill -9 $PPID");
        made.script("bin/parted_devices", SEEN);
        made.script("sbin/reboot", "echo reboot >>/tmp/left; kill -9 $PPID");
        std::fs::create_dir_all(made.path("var/log")).expect("a folder");
        for (name, minor) in [("null", "3"), ("urandom", "9")] {
            let node = made.path("dev").join(name);
            let _ = std::fs::remove_file(&node);
            let node = node.display().to_string();
            let done = Command::new("mknod")
                .args(["-m", "666", &node, "c", "1", minor])
                .status();
            assert!(done.expect("mknod").success());
        }
        Some(made)
    }

    fn path(&self, below: &str) -> PathBuf {
        self.root.path().join(below)
    }

    /// Puts a program of ours in the place of the installer's.
    fn script(&self, at: &str, text: &str) {
        let path = self.path(at);
        let _ = std::fs::remove_file(&path);
        std::fs::write(&path, format!("#!/bin/sh\n{text}\n")).expect("a file");
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).expect("a mode");
    }

    fn run(&self, command: &str) -> Output {
        // what it mounts is gone with it
        Command::new("unshare")
            .args(["--mount", "--propagation", "private", "chroot"])
            .arg(self.root.path())
            .args(["/bin/sh", "-c", command])
            .env_clear()
            .env("PATH", "/usr/bin:/bin:/usr/sbin:/sbin")
            .env("FARRIER_SYS", "/fake-sys")
            .env("FARRIER_PAUSE", "1")
            .env("FARRIER_TRIES", "3")
            .env("FARRIER_TICK", "1")
            .output()
            .expect("chroot")
    }

    fn left(&self) -> bool {
        self.path("tmp/left").exists()
    }

    /// A disk as /sys shows it, with a device node that has nothing behind it.
    fn disk(&self, name: &str, minor: u32, files: &[(&str, &str)]) {
        let at = self.path("fake-sys/block").join(name);
        std::fs::create_dir_all(at.join("device")).expect("a folder");
        for (file, text) in files {
            std::fs::write(at.join(file), format!("{text}\n")).expect("a file");
        }
        let node = self.path("dev").join(name).display().to_string();
        let minor = minor.to_string();
        let done = Command::new("mknod")
            .args([&node, "b", "7", &minor])
            .status();
        assert!(done.expect("mknod").success());
    }
}

/// The server of a test, and the documents rendered for its address.
fn serving(
    answer: impl Fn(&str, &str, usize) -> (u16, String) + Send + 'static,
) -> (Server, Rendered) {
    let security = json!({"security": "http://mirror.example/debian-security"});
    serving_as(|_| with_vars("web01", security.clone()), answer)
}

/// The same for a system that may need to know the server's port.
fn serving_as(
    machine: impl Fn(u16) -> System,
    answer: impl Fn(&str, &str, usize) -> (u16, String) + Send + 'static,
) -> (Server, Rendered) {
    let documents: Arc<OnceLock<Rendered>> = Arc::default();
    let known = Arc::clone(&documents);
    let server = Server::start(move |path, body, before| {
        if let Some(name) = path.strip_prefix("/b/").and_then(|p| p.split_once('/')) {
            let rendered = known.get().expect("set below");
            return match rendered.documents.get(name.1) {
                Some(document) => (200, String::from_utf8_lossy(&document.bytes).into_owned()),
                None => (404, String::new()),
            };
        }
        answer(path, body, before)
    });
    let mut at = place();
    at.server = server.address;
    at.secure = server.address;
    at.authority = Some(server.authority().clone());
    let rendered = rendered(&machine(server.address.port()), &at);
    documents.set(rendered.clone()).expect("set once");
    (server, rendered)
}

fn reports(server: &Server) -> Vec<String> {
    server
        .paths()
        .iter()
        .filter_map(|p| {
            p.strip_prefix("/r/")?
                .split_once('/')
                .map(|(_, verb)| verb.to_string())
        })
        .collect()
}

#[test]
fn the_installers_own_debconf_takes_the_answers() {
    let Some(installer) = Installer::unpack() else {
        return;
    };
    for (system, place) in machines().values() {
        let rendered = rendered(system, place);
        lay_out(&rendered, &installer.path("tmp/farrier"));
        // the questions of the installer, as it loads them when it starts
        installer.run(
            "mkdir -p /var/lib/preseed; debconf-loadtemplate d-i /var/lib/dpkg/info/*.templates",
        );
        let out = installer.run(
            "debconf-set-selections /tmp/farrier/preseed.cfg && \
             for q in netcfg/hostname mirror/http/directory partman-auto/method pkgsel/include \
             tasksel/first; do debconf-get $q; done",
        );
        let said = String::from_utf8_lossy(&out.stdout).into_owned();
        let lines: Vec<&str> = said.lines().collect();
        assert!(out.status.success(), "{out:?}");
        let method = match system.name.as_str() {
            "db01" => "lvm",
            "rich" => "raid",
            "safe01" => "crypto",
            _ => "regular",
        };
        let hostname = system.name.split('.').next().expect("a label");
        assert_eq!(lines[..3], [hostname, "/mirror/debian", method], "{out:?}");
        assert!(lines[3].starts_with("openssh-server curl ca-certificates"));
        assert_eq!(lines[4..], ["standard"]);
    }
}

#[test]
fn the_early_command_reports_and_starts_the_watch() {
    let Some(installer) = Installer::unpack() else {
        return;
    };
    let (server, rendered) = serving(|path, _, before| {
        if path.ends_with("/start") && before == 0 {
            return (503, String::new());
        }
        (204, String::new())
    });
    std::fs::write(
        installer.path("var/log/syslog"),
        "Nov 20 12:00:00 main-menu[180]: INFO: Menu item 'network-preseed' selected\n",
    )
    .expect("a log");
    // the command as debconf would hand it to a shell
    let preseed = text(&rendered, "preseed.cfg").replace("\\\n", " ");
    let command = preseed
        .lines()
        .find_map(|l| l.strip_prefix("d-i preseed/early_command string "))
        .expect("an early command")
        .to_string();
    let out = installer.run(&command);
    assert!(out.status.success(), "{out:?}");
    assert!(!installer.left(), "{out:?}");
    let start = server.bodies(&format!(
        "/r/{}/start",
        farrier::boot::Scope::Report.placeholder()
    ));
    assert_eq!(start.len(), 2, "{out:?}");
    assert!(
        start[1].starts_with("debian-installer, kernel "),
        "{start:?}"
    );
    wait_for(&server, |seen| seen.iter().any(|v| v == "progress/setup"));
    // the log goes on, and then something fails
    for line in [
        "INFO: Menu item 'partman-base' selected",
        "WARNING **: Configuring 'partman-base' failed with error code 10",
    ] {
        let log = installer.path("var/log/syslog");
        let mut text = std::fs::read_to_string(&log).expect("a log");
        text.push_str(&format!("Nov 20 12:01:00 main-menu[180]: {line}\n"));
        std::fs::write(&log, text).expect("a log");
        let wanted = if line.starts_with("INFO") {
            "progress/partition"
        } else {
            "fail/partition"
        };
        wait_for(&server, |seen| seen.iter().any(|v| v == wanted));
    }
    let path = format!(
        "/r/{}/fail/partition",
        farrier::boot::Scope::Report.placeholder()
    );
    let said = reports(&server);
    let place = |verb: &str| said.iter().position(|v| v == verb);
    assert!(
        place("bundle").is_some() && place("bundle") < place("fail/partition"),
        "all logs come before it: {said:?}"
    );
    let bundle = path.replace("fail/partition", "bundle");
    let bundle = server.bodies(&bundle).pop().expect("a bundle");
    assert!(
        bundle.starts_with("==> ") && bundle.contains("==> syslog <==\nNov 20 12:00:00"),
        "the installer has no gzip: {bundle}"
    );
    let failure = server.bodies(&path).pop().expect("a failure");
    assert!(
        failure
            .trim_end()
            .ends_with("Configuring 'partman-base' failed with error code 10"),
        "{failure}"
    );
    let begun = Instant::now();
    while !installer.left() {
        assert!(
            begun.elapsed() < Duration::from_secs(20),
            "the machine was not restarted"
        );
        std::thread::sleep(Duration::from_millis(50));
    }
    assert!(
        installer
            .path("usr/lib/finish-install.d/94z-farrier")
            .exists()
    );
}

fn wait_for(server: &Server, met: impl Fn(&[String]) -> bool) {
    let begun = Instant::now();
    while !met(&reports(server)) {
        assert!(
            begun.elapsed() < Duration::from_secs(30),
            "{:?}",
            reports(server)
        );
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn the_disk_is_asked_for_and_named_by_the_server() {
    let Some(installer) = Installer::unpack() else {
        return;
    };
    let (server, rendered) = serving(|path, body, before| match path {
        p if p.ends_with("/disks") && before == 0 => (503, String::new()),
        p if p.ends_with("/disks") => {
            let disk = body.lines().find(|l| l.contains("serial=S3EV%20NX0K"));
            let path = disk.and_then(|l| l.strip_prefix("path=")?.split(' ').next());
            (200, format!("disk={}\n", path.unwrap_or("none")))
        }
        _ => (204, String::new()),
    });
    lay_out(&rendered, &installer.path("tmp/farrier"));
    installer.script("bin/debconf-set", "echo \"$1=$2\" >>/tmp/debconf");
    installer.script(
        "bin/debconf-get",
        "echo 'farrier :: 3000 10000 -1 ext4 method{ format } .'",
    );
    installer.script("bin/udevadm", "exit 1");
    installer.disk(
        "sda",
        201,
        &[
            ("size", "0"),
            ("removable", "1"),
            ("device/model", "Virtual CD"),
        ],
    );
    installer.disk(
        "vda",
        202,
        &[
            ("size", "2097152"),
            ("ro", "0"),
            ("removable", "0"),
            ("serial", " S3EV NX0K "),
        ],
    );
    installer.disk(
        "nvme0n1",
        203,
        &[
            ("size", "4194304"),
            ("removable", "0"),
            ("wwid", "eui.01"),
            ("device/model", "Fast Disk 2=1 "),
            ("device/serial", "N1"),
        ],
    );
    installer.disk("sdb", 204, &[("size", "8"), ("ro", "1")]);
    installer.disk("loop0", 205, &[("size", "8")]);
    let out = installer.run("sh /tmp/farrier/disk.sh");
    assert!(out.status.success(), "{out:?}");
    let path = format!("/r/{}/disks", farrier::boot::Scope::Report.placeholder());
    let asked = server.bodies(&path).pop().expect("a question");
    assert_eq!(
        asked,
        "path=/dev/nvme0n1 size=2147483648 serial=N1 model=Fast%20Disk%202%3D1 wwn=eui.01 bus=nvme removable=0 contents=unknown links=\n\
         path=/dev/vda size=1073741824 serial=S3EV%20NX0K model= wwn= bus=virtio removable=0 contents=unknown links=\n",
        "{out:?}"
    );
    let set = std::fs::read_to_string(installer.path("tmp/debconf")).expect("answers");
    assert_eq!(
        set,
        "partman-auto/disk=/dev/vda\ngrub-installer/bootdev=/dev/vda\n\
         partman-auto/expert_recipe=farrier :: 1 1 1 free $iflabel{ gpt } $reusemethod{ } method{ biosgrub } .  \
         3000 10000 -1 ext4 method{ format } .\n"
    );
    assert!(!installer.left());
}

#[test]
fn a_mirror_is_given_both_its_disks() {
    let Some(installer) = Installer::unpack() else {
        return;
    };
    let (_server, rendered) = serving(|path, _, _| match path {
        p if p.ends_with("/disks") => (200, "disk=/dev/vda\nsecond=/dev/vdb\n".to_string()),
        _ => (204, String::new()),
    });
    lay_out(&rendered, &installer.path("tmp/farrier"));
    installer.script("bin/debconf-set", "echo \"$1=$2\" >>/tmp/debconf");
    installer.script("bin/debconf-get", "echo 'farrier :: 1 1 1 raid .'");
    installer.script("bin/udevadm", "exit 1");
    installer.disk("vda", 202, &[("size", "2097152")]);
    installer.disk("vdb", 203, &[("size", "2097152")]);
    std::fs::create_dir_all(installer.path("fake-sys/firmware/efi")).expect("a folder");
    let out = installer.run("sh /tmp/farrier/disk.sh");
    assert!(out.status.success(), "{out:?}");
    let set = std::fs::read_to_string(installer.path("tmp/debconf")).expect("answers");
    assert_eq!(
        set,
        "partman-auto/disk=/dev/vda /dev/vdb\ngrub-installer/bootdev=/dev/vda /dev/vdb\n\
         partman-auto/expert_recipe=farrier :: 538 538 538 free $iflabel{ gpt } $reusemethod{ } method{ efi } format{ } .  \
         1 1 1 raid .\n"
    );
    let second = std::fs::read_to_string(installer.path("tmp/farrier/second")).expect("noted");
    assert_eq!(second, "/dev/vdb\n");
}

#[test]
fn without_a_permit_nothing_goes_on() {
    for (status, answer, said) in [
        (
            409,
            "no disk has the serial `X`\n",
            "refused: no disk has the serial `X`",
        ),
        (
            200,
            "disk=/dev/sdz\n",
            "'/dev/sdz', which this machine did not report",
        ),
        (404, "", "HTTP status 404"),
        (0, "", "HTTP status 000"),
    ] {
        let Some(installer) = Installer::unpack() else {
            return;
        };
        let (server, rendered) = serving(move |path, _, _| match path {
            p if p.ends_with("/disks") => (status, answer.to_string()),
            _ => (204, String::new()),
        });
        lay_out(&rendered, &installer.path("tmp/farrier"));
        std::fs::write(
            installer.path("var/log/syslog"),
            "http://10.77.0.1/b/0123456789012345678901234567890123456789/x\n",
        )
        .expect("a log");
        installer.script("bin/debconf-set", "echo \"$1=$2\" >>/tmp/debconf");
        installer.script("bin/udevadm", "exit 1");
        installer.disk("vda", 202, &[("size", "2097152")]);
        let out = installer.run("sh /tmp/farrier/disk.sh");
        assert!(!installer.path("tmp/debconf").exists(), "{out:?}");
        assert!(installer.left(), "{out:?}");
        let path = format!(
            "/r/{}/fail/partition",
            farrier::boot::Scope::Report.placeholder()
        );
        let failure = server.bodies(&path).pop().expect("a failure");
        assert!(failure.contains(said), "{failure}");
        assert!(failure.contains("/b/(token)/x"), "{failure}");
    }
}

#[test]
fn a_security_archive_that_is_assumed_is_a_source_only_where_it_answers() {
    for (code, there) in [(200, true), (404, false)] {
        let Some(installer) = Installer::unpack() else {
            return;
        };
        let (server, rendered) = serving_as(
            |_| with_vars("web01", json!({})),
            move |path, _, _| match path {
                "/mirror/debian-security/dists/bookworm-security/InRelease" => {
                    (code, String::new())
                }
                p if p.ends_with("/handoff") => (200, "handoff=https://192.0.2.1/h/TOKEN\n".into()),
                _ => (204, String::new()),
            },
        );
        lay_out(&rendered, &installer.path("tmp/farrier"));
        for folder in ["target/etc/systemd/system", "target/usr/bin", "target/root"] {
            std::fs::create_dir_all(installer.path(folder)).expect("a folder");
        }
        std::fs::write(installer.path("target/usr/bin/curl"), "").expect("a file");
        let out = installer.run("sh /tmp/farrier/late.sh");
        let source = installer.path("target/etc/apt/sources.list.d/security.list");
        assert_eq!(source.exists(), there, "{out:?}");
        assert!(reports(&server).contains(&"end".to_string()), "{out:?}");
    }
}

#[test]
fn the_last_part_before_the_disks_are_unmounted_finishes_the_system() {
    let Some(installer) = Installer::unpack() else {
        return;
    };
    let (server, rendered) = serving(|path, _, _| match path {
        p if p.ends_with("/handoff") => (200, "handoff=https://192.0.2.1/h/TOKEN\n".into()),
        _ => (204, String::new()),
    });
    lay_out(&rendered, &installer.path("tmp/farrier"));
    for folder in [
        "target/etc/apt/sources.list.d",
        "target/etc/systemd/system",
        "target/usr/bin",
        "target/root",
        "target/var/log/installer",
    ] {
        std::fs::create_dir_all(installer.path(folder)).expect("a folder");
    }
    std::fs::write(installer.path("target/usr/bin/curl"), "").expect("a file");
    std::fs::write(installer.path("var/log/syslog"), "all is well\n").expect("a log");
    // what 94save-logs, of the installer's own, has copied by then
    let copied = format!("GET http://192.0.2.1/b/{}/late.sh\n", "x".repeat(32));
    std::fs::write(installer.path("target/var/log/installer/syslog"), copied).expect("a log");
    let parts = installer.run(
        "sed -n '/^mkdir/,/^chmod/p' /tmp/farrier/early.sh | sh && \
         cd /usr/lib/finish-install.d && touch 95umount && echo *",
    );
    let parts = String::from_utf8_lossy(&parts.stdout).into_owned();
    assert!(
        parts.contains(" 94save-logs 94z-farrier 95umount "),
        "{parts}"
    );
    let out = installer.run("/usr/lib/finish-install.d/94z-farrier");
    assert!(out.status.success(), "{out:?}");
    let read = |path: &str| {
        std::fs::read_to_string(installer.path(path))
            .unwrap_or_else(|e| panic!("{path}: {e}: {out:?}"))
    };
    assert_eq!(
        read("target/root/.ssh/authorized_keys"),
        "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOp3 ops@example\n"
    );
    assert!(
        read("target/var/lib/farrier/pending")
            .starts_with("handoff=https://192.0.2.1/h/TOKEN\nkey=")
    );
    assert_eq!(
        read("target/usr/lib/farrier/trust/ca.crt"),
        **server.authority()
    );
    assert!(read("target/etc/apt/sources.list.d/security.list").contains("bookworm-security main"));
    assert_eq!(
        reports(&server),
        ["progress/configure", "progress/handoff", "handoff", "end"]
    );
    assert!(!installer.left());
    assert_eq!(
        read("target/var/log/installer/syslog"),
        "GET http://192.0.2.1/b/(token)/late.sh\n"
    );

    // what fails is reported, and the machine restarted
    std::fs::remove_file(installer.path("target/usr/bin/curl")).expect("a file");
    let out = installer.run("sh /tmp/farrier/late.sh");
    assert!(installer.left(), "{out:?}");
    assert_eq!(reports(&server).pop().expect("a report"), "fail/configure");
}
