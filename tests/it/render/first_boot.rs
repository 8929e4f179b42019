//! The first-boot unit for real: placed by its script, run by several shells with curl or GNU wget,
//! over TLS, against a server that fails in every way.

use std::io::{BufRead, BufReader};
use std::net::SocketAddrV4;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use farrier::boot::Scope;
use farrier::model::{Handoff, ProfileKind};
use farrier::render::render;

use super::server::{Answer, Server};
use super::site::{distro, place, profile, run, system};

const KEY: &str = "ssh-ed25519 AAAAC3Nza host";

/// An installed system in a folder, with its unit placed.
struct Target {
    folder: tempfile::TempDir,
    server: Server,
    shell: Vec<&'static str>,
    path: String,
}

impl Target {
    /// Renders a profile with these steps, places its unit with `shell`, and prepares a server.
    fn place(
        shell: &[&'static str],
        tool: &str,
        steps: &[(&str, &str)],
        timeout: u64,
        answer: impl Fn(&str, usize) -> Option<Answer> + Send + 'static,
    ) -> Option<Target> {
        let path = tools(tool)?;
        let files: Vec<(String, &str)> = steps
            .iter()
            .map(|(name, text)| (format!("steps/{name}"), *text))
            .collect();
        let files: Vec<(&str, &str)> = files.iter().map(|(n, t)| (n.as_str(), *t)).collect();
        let mut profile = profile(ProfileKind::Preseed, &files);
        profile.handoff = Handoff::Steps {
            dir: "steps".into(),
            timeout: Duration::from_secs(timeout),
        };
        let mut place = place();
        let bundle = render(&system("web01"), &profile, &distro(), &place)
            .expect("rendered")
            .documents["bundle.sh"]
            .clone();
        assert!(bundle.secret);
        let bundle = String::from_utf8(bundle.bytes).expect("text");
        let own: Arc<Mutex<Option<SocketAddrV4>>> = Arc::default();
        let known = Arc::clone(&own);
        let server = Server::start(move |path, _, before| {
            if let Some(answered) = answer(path, before) {
                return answered;
            }
            let address = known.lock().expect("unpoisoned").expect("set below");
            match path {
                p if p.ends_with("/handoff") => {
                    (200, format!("handoff=https://{address}/h/SECRET\n"))
                }
                "/h/SECRET/bundle" => (200, bundle.clone()),
                "/h/SECRET/result" => (204, String::new()),
                _ => (404, String::new()),
            }
        });
        *own.lock().expect("unpoisoned") = Some(server.address);
        place.server = server.address;
        place.secure = server.address;
        place.authority = Some(server.authority().clone());
        let documents = render(&system("web01"), &profile, &distro(), &place)
            .expect("rendered")
            .documents;
        let script = &documents["first-boot.sh"];
        assert!(!script.secret);
        let folder = tempfile::tempdir().expect("a folder");
        let target = folder.path().join("target");
        for dir in ["etc", "usr/bin"] {
            std::fs::create_dir_all(target.join(dir)).expect("a folder");
        }
        std::fs::write(target.join("usr/bin/curl"), "").expect("a file");
        let at = folder.path().join("first-boot.sh");
        std::fs::write(&at, &script.bytes).expect("a file");
        let made = Target {
            folder,
            server,
            shell: shell.to_vec(),
            path,
        };
        let out = made
            .command()
            .arg(&at)
            .arg(&target)
            .env("PATH", &made.path)
            .output()
            .expect("run");
        assert!(out.status.success(), "{out:?}");
        Some(made)
    }

    fn command(&self) -> Command {
        // found by this process's path, not by the one the child is given
        let found = run("which", &[self.shell[0]], "").expect("which").1;
        let mut command = Command::new(found.trim());
        command.args(&self.shell[1..]);
        command
    }

    fn target(&self, path: &str) -> PathBuf {
        self.folder.path().join("target").join(path)
    }

    fn state(&self, path: &str) -> PathBuf {
        self.target("var/lib/farrier").join(path)
    }

    /// What is in memory only.
    fn run(&self, path: &str) -> PathBuf {
        self.folder.path().join("run").join(path)
    }

    /// The unit starts.
    fn boot(&self) -> Output {
        self.unit().output().expect("run")
    }

    fn unit(&self) -> Command {
        let keys = self.folder.path().join("ssh");
        std::fs::create_dir_all(&keys).expect("a folder");
        std::fs::write(keys.join("ssh_host_ed25519_key.pub"), format!("{KEY}\n")).expect("a file");
        let mut command = self.command();
        command
            .arg(self.target("usr/lib/farrier/first-boot"))
            .env("FARRIER_PATH", &self.path)
            .env("FARRIER_STATE", self.state(""))
            .env("FARRIER_RUN", self.run(""))
            .env("FARRIER_TRUST", self.target("usr/lib/farrier/trust"))
            .env("FARRIER_KEYS", keys)
            .env("FARRIER_PAUSE", "1")
            .env("FARRIER_REBOOT_FLAG", self.folder.path().join("flag"))
            .env(
                "FARRIER_REBOOT",
                format!("touch {}", self.folder.path().join("rebooted").display()),
            )
            .env("OUT", self.folder.path().join("out"));
        command
    }

    fn out(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("out")).unwrap_or_default()
    }

    fn results(&self) -> Vec<String> {
        self.server.bodies("/h/SECRET/result")
    }
}

/// A search path with only one of the programs that fetch. None if the machine lacks it.
fn tools(which: &str) -> Option<String> {
    static MAKING: Mutex<()> = Mutex::new(());
    let _alone = MAKING.lock().expect("unpoisoned");
    let all = "/usr/local/bin:/usr/bin:/usr/sbin:/bin:/sbin";
    if which == "curl" {
        return run("curl", &["--version"], "").map(|_| all.to_string());
    }
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("tools-{which}"));
    if !folder.exists() {
        // by its name only when it is whole: whoever is cut off leaves another's run nothing to trip over
        let made = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a folder");
        let link = |from: &str, to: &str| {
            let _ = std::os::unix::fs::symlink(from, made.path().join(to));
        };
        if which == "busybox" {
            let (_, applets, _) = run("busybox", &["--list"], "")?;
            let busybox = run("which", &["busybox"], "")?.1;
            for applet in applets.lines() {
                link(busybox.trim(), applet);
            }
        } else {
            for entry in all
                .split(':')
                .filter_map(|d| std::fs::read_dir(d).ok())
                .flatten()
                .flatten()
            {
                let name = entry.file_name().to_string_lossy().into_owned();
                if name != "curl" {
                    link(&entry.path().to_string_lossy(), &name);
                }
            }
        }
        // another test's may be there by now, and is as good
        let _ = std::fs::rename(made.path(), &folder);
    }
    (which == "busybox" || run("wget", &["--version"], "").is_some())
        .then(|| folder.display().to_string())
}

fn everywhere(test: impl Fn(&[&'static str], &str)) {
    for shell in [&["dash"][..], &["busybox", "sh"], &["bash", "--posix"]] {
        for tool in ["curl", "wget"] {
            if run(shell[0], &[&shell[1..], &["-c", "true"]].concat(), "").is_some() {
                test(shell, tool);
            }
        }
    }
}

#[test]
fn steps_run_once_and_the_marker_goes_after_the_acknowledgement() {
    everywhere(|shell, tool| {
        let steps = [
            ("20-second.sh", "#!/bin/sh\necho two >>\"$OUT\"\n"),
            (
                "10-first",
                "#!/bin/sh -e\necho one >>\"$OUT\"\necho 'it'\"'\"'s $HOME' \"`echo x`\"\ncat notes >>\"$OUT\"",
            ),
            ("notes", "three\n"),
        ];
        let Some(t) = Target::place(shell, tool, &steps, 60, |path, before| {
            match (path, before) {
                ("/h/SECRET/bundle", 0) => Some((503, String::new())),
                ("/h/SECRET/bundle", 1) => Some((0, String::new())),
                ("/h/SECRET/result", 0) => Some((500, "later".into())),
                _ => None,
            }
        }) else {
            return;
        };
        let pending = std::fs::metadata(t.state("pending")).expect("a marker");
        assert_eq!(pending.permissions().mode() & 0o777, 0o600);
        let out = t.boot();
        assert!(out.status.success(), "{shell:?} {tool}: {out:?}");
        assert_eq!(t.out(), "one\nthree\ntwo\n", "{shell:?} {tool}");
        let results = t.results();
        assert_eq!(results.len(), 2, "{shell:?} {tool}");
        assert_eq!(results[0], results[1]);
        let (head, log) = results[0].split_once("\n\n").expect("an empty line");
        let head: Vec<&str> = head.lines().collect();
        assert_eq!(head[..3], ["agent=steps", "code=0", "class=ok"]);
        assert!(head[3].starts_with("seconds="));
        assert_eq!(head[4], format!("hostkey={KEY}"));
        assert!(log.contains("step 10-first\nit's $HOME x\n"), "{log}");
        // the same key both times, and nothing is left
        let keys = t.server.bodies("/h/SECRET/bundle");
        assert_eq!(keys.len(), 3, "{shell:?} {tool}");
        assert!(
            keys[0].starts_with("key=") && keys[0].trim().len() == 36,
            "{keys:?}"
        );
        assert!(keys.iter().all(|k| k.trim() == keys[0].trim()));
        let left: Vec<_> = std::fs::read_dir(t.state(""))
            .expect("a folder")
            .map(|e| e.expect("an entry").file_name())
            .collect();
        assert!(left.is_empty(), "{shell:?} {tool}: {left:?}");
        assert!(!t.run("").exists(), "{shell:?} {tool}");
        let said = String::from_utf8_lossy(&out.stdout).into_owned()
            + &String::from_utf8_lossy(&out.stderr);
        assert!(!said.contains("SECRET"), "{said}");
        // without its marker it does nothing
        assert!(t.boot().status.success());
        assert_eq!(t.results().len(), 2);
    });
}

#[test]
fn a_failed_step_ends_it_and_is_reported() {
    everywhere(|shell, tool| {
        let steps = [
            ("10-bad", "#!/bin/sh\necho broken >&2\nexit 3\n"),
            ("20-never", "#!/bin/sh\necho never >>\"$OUT\"\n"),
        ];
        let Some(t) = Target::place(shell, tool, &steps, 60, |_, _| None) else {
            return;
        };
        assert!(!t.boot().status.success());
        assert_eq!(t.out(), "");
        let result = t.results().pop().expect("a result");
        assert!(
            result.starts_with("agent=steps\ncode=3\nclass=failed\n"),
            "{result}"
        );
        assert!(result.contains("broken\n"), "{result}");
        assert!(!t.state("pending").exists());
    });
}

#[test]
fn a_refusal_is_final() {
    for (tool, status) in [("curl", 404), ("wget", 410)] {
        let steps = [("10-x", "#!/bin/sh\ntrue\n")];
        let Some(t) = Target::place(&["dash"], tool, &steps, 60, move |path, _| {
            path.ends_with("/bundle").then(|| (status, String::new()))
        }) else {
            return;
        };
        let out = t.boot();
        assert!(!out.status.success());
        assert!(!t.state("pending").exists());
        assert!(t.state("refused").exists());
        assert!(
            String::from_utf8_lossy(&out.stdout).contains("refused"),
            "{out:?}"
        );
        assert_eq!(t.server.bodies("/h/SECRET/bundle").len(), 1);
        assert!(t.boot().status.success());
        assert_eq!(t.server.bodies("/h/SECRET/bundle").len(), 1);
    }
}

#[test]
fn a_restart_between_steps_is_reported_and_goes_on_after() {
    everywhere(|shell, tool| {
        let steps = [
            (
                "10-kernel",
                "#!/bin/sh\necho one >>\"$OUT\"\ntouch \"$FARRIER_REBOOT_FLAG\"\n",
            ),
            ("20-rest", "#!/bin/sh\necho two >>\"$OUT\"\n"),
        ];
        let Some(t) = Target::place(shell, tool, &steps, 60, |_, _| None) else {
            return;
        };
        assert!(t.boot().status.success());
        assert_eq!(t.out(), "one\n");
        assert!(
            !t.run("").exists(),
            "what was handed over is gone with the restart"
        );
        assert!(t.folder.path().join("rebooted").exists());
        assert!(t.state("pending").exists());
        assert!(t.results()[0].contains("class=reboot\n"));
        assert!(t.boot().status.success());
        assert_eq!(t.out(), "one\ntwo\n");
        assert!(t.results()[1].contains("class=ok\n"));
        // taken again after the restart, with the same key
        let keys = t.server.bodies("/h/SECRET/bundle");
        assert!(
            keys.len() == 2 && keys[0].trim() == keys[1].trim(),
            "{keys:?}"
        );
        assert!(!t.state("pending").exists());
    });
}

#[test]
fn a_step_that_hangs_is_stopped() {
    everywhere(|shell, tool| {
        let steps = [("10-hang", "#!/bin/sh\necho begun\nsleep 300\n")];
        let Some(t) = Target::place(shell, tool, &steps, 1, |_, _| None) else {
            return;
        };
        assert!(!t.boot().status.success());
        let result = t.results().pop().expect("a result");
        assert!(
            result.contains("class=failed\n"),
            "{shell:?} {tool}: {result}"
        );
        assert!(
            result.contains("begun\n") && result.contains("was stopped"),
            "{result}"
        );
    });
}

#[test]
fn a_result_cut_off_is_sent_again_and_no_step_runs_twice() {
    let steps = [("10-x", "#!/bin/sh\necho one >>\"$OUT\"\n")];
    let Some(t) = Target::place(&["dash"], "curl", &steps, 60, |_, _| None) else {
        return;
    };
    // as after a power cut between writing the result and sending it
    std::fs::write(
        t.state("result"),
        "agent=steps\ncode=0\nclass=ok\nseconds=1\n\nlog\n",
    )
    .expect("a file");
    assert!(t.boot().status.success());
    assert_eq!(t.out(), "");
    assert_eq!(
        t.results(),
        ["agent=steps\ncode=0\nclass=ok\nseconds=1\n\nlog\n"]
    );
}

#[test]
fn a_result_that_a_power_cut_left_empty_is_made_again() {
    let steps = [("10-x", "#!/bin/sh\necho one >>\"$OUT\"\n")];
    let Some(t) = Target::place(&["dash"], "curl", &steps, 60, |_, _| None) else {
        return;
    };
    std::fs::write(t.state("result"), "").expect("a file");
    assert!(t.boot().status.success());
    assert_eq!(t.out(), "one\n");
    let results = t.results();
    assert!(
        results.len() == 1 && results[0].contains("class=ok\n"),
        "{results:?}"
    );
}

#[test]
fn without_a_program_that_fetches_the_unit_is_not_placed() {
    let profile = profile(ProfileKind::Preseed, &[]);
    let rendered = render(&system("web01"), &profile, &distro(), &place()).expect("rendered");
    let script =
        String::from_utf8(rendered.documents["first-boot.sh"].bytes.clone()).expect("text");
    assert!(script.contains(Scope::Report.placeholder()));
    assert!(!script.contains(Scope::Secret.placeholder()));
    let target = tempfile::tempdir().expect("a folder");
    std::fs::create_dir(target.path().join("etc")).expect("a folder");
    let path = target.path().display().to_string();
    let Some((ok, _, err)) = run("dash", &["-s", &path], &script) else {
        return;
    };
    assert!(!ok);
    assert!(err.contains("neither curl nor GNU wget"), "{err}");
    // and a profile without steps has a bundle that does nothing
    let bundle = String::from_utf8(rendered.documents["bundle.sh"].bytes.clone()).expect("text");
    assert!(bundle.contains("agent=none"));
}

/// A server whose certificate is another authority's is told nothing, and the machine says so and
/// goes on asking: the right one may come back.
#[test]
fn a_server_that_is_not_the_pinned_one_is_told_nothing() {
    everywhere(|shell, tool| {
        let steps = [("10-x", "#!/bin/sh\necho one >>\"$OUT\"\n")];
        let Some(t) = Target::place(shell, tool, &steps, 60, |_, _| None) else {
            return;
        };
        let pinned = t.target("usr/lib/farrier/trust/ca.crt");
        let good = std::fs::read(&pinned).expect("a certificate");
        let elsewhere = tempfile::tempdir().expect("a folder");
        let stranger = farrier::vault::Authority::open(elsewhere.path()).expect("made");
        std::fs::write(&pinned, stranger.certificate().as_bytes()).expect("a file");
        // a group of its own: what it waits with must end with it
        let mut unit = t.unit();
        let mut unit = unit
            .stdout(Stdio::piped())
            .process_group(0)
            .spawn()
            .expect("run");
        let said = BufReader::new(unit.stdout.take().expect("a pipe"));
        let line = said
            .lines()
            .map_while(Result::ok)
            .find(|l| l.contains("no acknowledgement"))
            .expect("it says what is wrong");
        let group = nix::unistd::Pid::from_raw(unit.id().cast_signed());
        nix::sys::signal::killpg(group, nix::sys::signal::SIGKILL).expect("killed");
        unit.wait().expect("an end");
        assert!(
            line.contains("pinned authority"),
            "{shell:?} {tool}: {line}"
        );
        assert!(t.server.bodies("/h/SECRET/bundle").is_empty());
        assert!(t.state("pending").exists());
        // without its certificate it does not even ask
        std::fs::remove_file(&pinned).expect("removed");
        let out = t.boot();
        assert!(!out.status.success() && t.state("pending").exists());
        assert!(t.server.bodies("/h/SECRET/bundle").is_empty());
        std::fs::write(&pinned, good).expect("a file");
        assert!(t.boot().status.success(), "{shell:?} {tool}");
        assert_eq!(t.out(), "one\n");
    });
}

/// busybox's wget speaks TLS and checks nothing.
#[test]
fn a_program_that_cannot_check_a_certificate_is_not_used() {
    let Some(busybox) = tools("busybox") else {
        return;
    };
    let steps = [("10-x", "#!/bin/sh\ntrue\n")];
    let Some(mut t) = Target::place(&["dash"], "curl", &steps, 60, |_, _| None) else {
        return;
    };
    t.path = busybox;
    let out = t.boot();
    assert!(!out.status.success());
    let said = String::from_utf8_lossy(&out.stdout).into_owned();
    assert!(said.contains("nothing can check"), "{said}");
    assert!(t.state("pending").exists());
    assert!(t.server.bodies("/h/SECRET/bundle").is_empty());
    // nor in the installer
    let script = t.folder.path().join("first-boot.sh");
    let asked = t.server.paths().len();
    let out = t
        .command()
        .arg(&script)
        .arg(t.target(""))
        .env("PATH", &t.path)
        .output()
        .expect("run");
    assert!(!out.status.success());
    let said = String::from_utf8_lossy(&out.stderr).into_owned();
    assert!(said.contains("nothing can check"), "{said}");
    assert_eq!(t.server.paths().len(), asked);
    // nor in the installed system, where its name is wget
    std::fs::remove_file(t.target("usr/bin/curl")).expect("removed");
    std::os::unix::fs::symlink("/bin/busybox", t.target("usr/bin/wget")).expect("a link");
    let out = t.command().arg(&script).arg(t.target("")).output();
    let said = String::from_utf8_lossy(&out.expect("run").stderr).into_owned();
    assert!(said.contains("neither curl nor GNU wget"), "{said}");
}

#[test]
fn scripts_and_unit_are_sound() {
    let Some(t) = Target::place(
        &["dash"],
        "curl",
        &[("10-x.sh", "#!/bin/sh\ntrue\n")],
        60,
        |_, _| None,
    ) else {
        return;
    };
    let script = t.folder.path().join("first-boot.sh");
    for file in [script, t.target("usr/lib/farrier/first-boot")] {
        lint(&file);
    }
    let unit = t.target("etc/systemd/system/farrier-first-boot.service");
    let link = t.target("etc/systemd/system/multi-user.target.wants/farrier-first-boot.service");
    assert!(link.exists(), "enabled");
    if let Some((ok, out, err)) = run(
        "systemd-analyze",
        &["verify", &unit.display().to_string()],
        "",
    ) {
        assert!(ok && !err.contains("farrier"), "{out}{err}");
    }
}

/// shellcheck, for the strictest reading.
pub(super) fn lint(file: &Path) {
    let name = file.display().to_string();
    if let Some((ok, out, _)) = run(
        "shellcheck",
        &["--shell=sh", "--external-sources", &name],
        "",
    ) {
        assert!(ok, "{out}");
    }
    for shell in [&["dash"][..], &["busybox", "sh"], &["bash"]] {
        if let Some((ok, _, err)) = run(shell[0], &[&shell[1..], &["-n", &name]].concat(), "") {
            assert!(ok, "{shell:?}: {err}");
        }
    }
}
