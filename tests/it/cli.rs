//! Whole runs of the command line: exit code, stdout and stderr against `tests/golden/cli/`.
//!
//! Each test has its own copy of `tests/golden/cli/site`. With [`Workplace::serve`] the real waist and
//! the real admin plane run behind it, without the machine plane.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;

use farrier::artefacts::Renew;
use farrier::control::{Control, Options};
use farrier::model::{Event, EventKind, Firmware, Stage, Timestamp};
use farrier::serve::http::api;
use tokio::runtime::Runtime;

mod broken;
mod distros;
mod edits;
mod follow;
mod logs;
mod media;
mod pages;
mod renew;
mod revisions;
mod secrets;
mod selections;

/// A copy of the golden site, and perhaps a server for it.
struct Workplace {
    dir: tempfile::TempDir,
    server: Option<Server>,
}

/// The waist and the admin plane, in this process.
struct Server {
    runtime: Runtime,
    control: Arc<Control>,
    door: Option<api::Door>,
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some(door) = self.door.take() {
            self.runtime.block_on(door.stop());
        }
    }
}

/// How one run ended.
struct Run {
    code: i32,
    stdout: String,
    stderr: String,
}

impl Workplace {
    fn new() -> Workplace {
        let dir = tempfile::tempdir().expect("a directory");
        let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/cli/site");
        copy(&golden, &dir.path().join("site"));
        Workplace { dir, server: None }
    }

    /// With a server, and everything fetched that machines boot.
    fn served() -> Workplace {
        let mut place = Workplace::new();
        place.serve();
        let server = place.server.as_ref().expect("it was started");
        for distro in ["debian-12", "rescue"] {
            let name = distro.parse().expect("a name");
            let fetched = server
                .control
                .fetch(&name, Renew::Missing, Arc::new(|_| {}));
            server.runtime.block_on(fetched).expect("files of the site");
        }
        place
    }

    fn site(&self) -> PathBuf {
        self.dir.path().join("site")
    }

    fn serve(&mut self) {
        self.server = None;
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .expect("a runtime");
        let state = self.site().join(".farrier");
        let options = Options {
            site: self.site(),
            state: state.clone(),
            clock: Arc::new(Timestamp::now),
        };
        let (control, door) = runtime.block_on(async {
            let control = Control::open(options).await.expect("the waist");
            control.load().await.expect("a sound site");
            let listener = api::listen(&state.join("control.sock")).expect("a socket");
            let door = api::start(listener, api::router(control.clone()));
            (control, door)
        });
        self.server = Some(Server {
            runtime,
            control,
            door: Some(door),
        });
    }

    /// Something happens to a machine.
    fn tell(&self, system: &str, kind: EventKind) {
        let server = self.server.as_ref().expect("a server");
        let event = Event {
            system: system.parse().expect("a name"),
            epoch: None,
            kind,
        };
        server
            .runtime
            .block_on(server.control.tell(event))
            .expect("a step of the build");
    }

    fn command(&self, line: &str) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_farrier"));
        command
            .args(line.split_whitespace())
            .current_dir(self.site())
            .env_clear()
            .env("PATH", "/usr/bin:/bin")
            .env("TZ", "UTC")
            .stdin(Stdio::null());
        command
    }

    fn run(&self, line: &str) -> Run {
        self.run_with(line, "")
    }

    /// Runs it with something on stdin.
    fn run_with(&self, line: &str, stdin: &str) -> Run {
        let mut command = self.command(line);
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        if !stdin.is_empty() {
            command.stdin(Stdio::piped());
        }
        let mut child = command.spawn().expect("the program");
        if let Some(mut pipe) = child.stdin.take() {
            pipe.write_all(stdin.as_bytes()).expect("read by it");
        }
        let output = child.wait_with_output().expect("its end");
        let text = |bytes| String::from_utf8(bytes).expect("text");
        Run {
            code: output.status.code().expect("an exit code"),
            stdout: text(output.stdout),
            stderr: text(output.stderr),
        }
    }

    /// One run as a transcript.
    fn transcript(&self, lines: &[&str]) -> String {
        let mut out = String::new();
        for line in lines {
            let run = self.run(line);
            out.push_str(&format!("$ farrier {line}\n"));
            out.push_str(&self.plain(&run.stdout));
            for line in self.plain(&run.stderr).lines() {
                out.push_str(format!("! {line}").trim_end());
                out.push('\n');
            }
            out.push_str(&format!("[{}]\n\n", run.code));
        }
        out
    }

    /// Without what differs from run to run: the directory, times, spans of time, process ids.
    fn plain(&self, text: &str) -> String {
        let site = self.site().display().to_string();
        let text = text.replace(&site, "SITE");
        let mut out = String::new();
        let mut word = String::new();
        for c in text.chars().chain(['\0']) {
            if c.is_ascii_alphanumeric() || matches!(c, '-' | ':' | '.' | '_') {
                word.push(c);
                continue;
            }
            out.push_str(&blank(&word));
            word.clear();
            if c != '\0' {
                out.push(c);
            }
        }
        let own = format!("process {}", std::process::id());
        out.replace(&own, "process PID")
            .replace(&format!("\"pid\": {}", std::process::id()), "\"pid\": PID")
    }

    fn check(&self, name: &str, lines: &[&str]) {
        let mut settings = insta::Settings::clone_current();
        settings.set_snapshot_path("../golden/cli");
        settings.set_prepend_module_to_snapshot(false);
        settings.set_omit_expression(true);
        settings.bind(|| insta::assert_snapshot!(name, self.transcript(lines)));
    }
}

/// A word without its times.
fn blank(word: &str) -> String {
    let shape: String = word
        .chars()
        .map(|c| if c.is_ascii_digit() { '0' } else { c })
        .collect();
    let bare = word.trim_end_matches([':', '.', ',']);
    let rest = &word[bare.len()..];
    let dated = shape.starts_with("0000-00-00");
    let timed = shape.starts_with("00:00:00") && shape.len() <= 9;
    let span = bare.len() >= 2
        && bare.starts_with(|c: char| c.is_ascii_digit())
        && bare
            .chars()
            .all(|c| c.is_ascii_digit() || "smhd".contains(c))
        && bare.ends_with(['s', 'm', 'h', 'd']);
    if dated || timed {
        format!("TIME{rest}")
    } else if span {
        format!("SPAN{rest}")
    } else {
        word.to_string()
    }
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).expect("a directory");
    for entry in std::fs::read_dir(from).expect("the golden site") {
        let entry = entry.expect("an entry");
        let target = to.join(entry.file_name());
        if entry.file_type().expect("a type").is_dir() {
            copy(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).expect("copied");
        }
    }
}

#[test]
fn files_are_edited_without_a_server() {
    let place = Workplace::new();
    place.check(
        "files",
        &[
            "add web04 5254.0000.0004 debian-12 ip=10.77.0.14 tags=web,rack13 vars.role=web",
            "add web05 52-54-00-00-00-05",
            "add web04 52:54:00:00:00:44",
            "add web06 52:54:00:00:00:01",
            "add web06 52:54:00:00:00:06 debain-12",
            "add web06 ff:ff:ff:ff:ff:ff",
            "set web04 tags+=spare vars.workers=12",
            "set web04 tags+=spare",
            "set web04 colour=red",
            "set nosuch ip=",
            "set web[01-02] protected=true",
            "set web[01-02] protected=true --yes --expect 2",
            "set web04",
            "rm web04",
            "rm web04 --yes",
            "rm web04 --yes",
            "rm db01 --yes",
            "rm -l web --yes",
            "-o json rm -l nosuch --yes",
        ],
    );
    let text = std::fs::read_to_string(place.site().join("systems.toml")).expect("there");
    assert!(
        text.contains("# The lab's first rack."),
        "comments stay:\n{text}"
    );
    assert!(text.contains("# front row"), "comments stay:\n{text}");
    assert!(!text.contains("web04"), "it was removed:\n{text}");
}

#[test]
fn files_are_checked_rendered_and_planned_without_a_server() {
    let place = Workplace::new();
    place.check(
        "check",
        &[
            "check",
            "check -o json",
            "render web01 preseed.cfg",
            "render 52:54:00:00:00:01 cmdline",
            "render web01 -o name",
            "render web01 nosuch",
            "render wbe01",
            "render web01 --profile rescue cmdline",
            "render web01 --diff live",
            "plan",
            "profile ls",
            "profile ls -o name",
        ],
    );
}

#[test]
fn broken_files_are_refused_with_their_places() {
    let place = Workplace::new();
    let file = place.site().join("systems.toml");
    let text = std::fs::read_to_string(&file).expect("there");
    let broken = text
        .replace("profile = \"debian-12\"", "profile = \"debain-12\"")
        .replace("52:54:00:00:00:02", "52:54:00:00:00:01");
    std::fs::write(&file, &broken).expect("written");
    place.check(
        "broken",
        &[
            "check",
            "check -o json",
            "add web09 52:54:00:00:00:09 debian-12",
            "add web09 52:54:00:00:00:09 debian-12 -o json",
            "render web01",
            "plan",
        ],
    );
    let after = std::fs::read_to_string(&file).expect("there");
    assert_eq!(after, broken, "nothing was written");
}

#[test]
fn usage_is_64_and_no_server_is_7() {
    let place = Workplace::new();
    place.check(
        "usage",
        &[
            "lss",
            "ls --nope",
            "ls --nope -o json",
            "rebuild",
            "boot rescue",
            "why",
            "wait web01 --for redy",
            "wait web01 --timeout soon",
            "render",
            "why web01 --arch x",
            "distro fetch",
            "ls",
            "ls -o json",
            "status",
            "rebuild web01 --yes",
            "add web07 52:54:00:00:00:07 --rebuild",
            "--site /nonexistent ls",
        ],
    );
}

#[test]
fn a_served_site_is_listed_and_edited_live() {
    let place = Workplace::served();
    place.check(
        "served",
        &[
            "ls",
            "ls -o wide",
            "ls -o name -l web",
            "ls -o json web01",
            "ls -o jsonl -l db",
            "ls --phase failed",
            "ls --phase failed -o json",
            "ls web09",
            "show web01",
            "show wbe01",
            "show 5254.0000.0021 -o json",
            "add web04 52:54:00:00:00:04 ip=10.77.0.14",
            "show web04 -o name",
            "add web05 52:54:00:00:00:04",
            "set web04 tags+=spare",
            "set -l web tags+=x",
            "ls web04",
            "rm web04 --yes",
            "ls web04",
            "status -o name",
            "distro ls debian-12 rescue",
            "lease ls -o json",
            "why 52:54:00:00:00:99",
            "why web01 --arch 7",
            "apply",
            "plan",
            "show web01 --origin",
            "show web01 --origin -o json",
            "render web01 -o name",
            "render web01 boot.ipxe",
            "render web01 grub.cfg --arch 7",
            "render web01 pxelinux.cfg",
            "set web01 tags+=x --dry-run",
            "set web01 tags+=x --dry-run --expect 2",
        ],
    );
}

#[test]
fn flags_are_guarded() {
    let place = Workplace::served();
    place.check(
        "flag",
        &[
            "rebuild db01 --yes",
            "rebuild -l nosuch --yes",
            "rebuild web01",
            "rebuild web01 --dry-run",
            "rebuild web[01-03] --yes",
            "rebuild web[01-03] --yes --expect 2",
            "rebuild web01 db01 --yes --expect 2",
            "rebuild web01 --yes --expires 2h --attempts 3",
            "show web01",
            "rebuild web[02-03] --yes --expect 2 -o json",
            "rebuild web02 --yes --expires 900d",
            "boot web01 rescue",
            "ls web01",
            "show web01",
            "wait web01 --timeout 1s",
            "boot web01 debian-12",
            "boot web01 nosuch",
            "cancel web02",
            "cancel web02",
            "cancel web01 web03",
            "cancel web01 web03 --yes --expect 2",
            "events web02 -n 2",
        ],
    );
}

/// `wipe` is pinned as what it is: not as `any`, which would overwrite what other machines use too, and
/// not as the system says later.
#[test]
fn a_build_pins_the_word_to_wipe() {
    let place = Workplace::served();
    let server = place.server.as_ref().expect("a server");
    let pinned = |epoch| {
        let key = farrier::model::BuildKey {
            system: "web01".parse().expect("a name"),
            epoch,
        };
        server.control.snapshot().pinned[&key].clone()
    };
    for (epoch, wipe) in [(1, "true"), (2, "false")] {
        let set = place.run(&format!("set web01 wipe={wipe}"));
        assert_eq!(set.code, 0, "{}", set.stderr);
        let run = place.run("rebuild web01 --yes");
        assert_eq!(run.code, 0, "{}", run.stderr);
        assert_eq!(pinned(epoch).wipe.to_string(), wipe);
        assert_eq!(pinned(epoch).may_destroy, ["blank", "linux"]);
    }
}

/// A server that finds another one on its state directory touches nothing of it.
#[test]
fn a_second_server_does_not_open_the_database() {
    let place = Workplace::new();
    let state = place.site().join(".farrier");
    std::fs::create_dir_all(&state).expect("a directory");
    let lock = std::fs::File::create(state.join("server.lock")).expect("a file");
    lock.lock().expect("the first server's");
    let run = place.run("serve");
    assert_eq!(run.code, 4, "{}", run.stderr);
    assert!(run.stderr.contains("another server uses"), "{}", run.stderr);
    let left: Vec<_> = std::fs::read_dir(&state)
        .expect("a directory")
        .map(|e| e.expect("an entry").file_name())
        .collect();
    assert_eq!(left, ["server.lock"]);
}

#[test]
fn names_come_from_stdin() {
    let place = Workplace::served();
    let run = place.run_with("ls -o name -", "web02 # the second\n52:54:00:00:00:01\n");
    assert_eq!((run.code, run.stdout.as_str()), (0, "web01\nweb02\n"));
}

#[test]
fn waiting_ends_as_the_build_ends() {
    let place = Workplace::served();
    place.check(
        "wait",
        &[
            "wait web01 --for ready --timeout 1s",
            "rebuild web01 --yes -o name",
            "wait web01 --for armed",
            "wait web01 --timeout 1s",
            "wait web01 --timeout 1s -o json",
        ],
    );
    let waiting = place
        .command("wait web01 --for ready --timeout 60s -o name")
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program");
    place.tell(
        "web01",
        EventKind::BootBegan {
            mac: "52:54:00:00:00:01".parse().expect("a MAC"),
            firmware: Firmware::UEFI,
            uuid: None,
        },
    );
    place.tell("web01", EventKind::ScriptServed);
    place.tell(
        "web01",
        EventKind::InstallerFailed {
            stage: Stage::clean("partition"),
            detail: "no disk".to_string(),
        },
    );
    let ended = waiting.wait_with_output().expect("its end");
    assert_eq!(ended.status.code(), Some(1), "it failed");
    let said = String::from_utf8(ended.stderr).expect("text");
    assert!(said.contains("`web01` is failed and not ready"), "{said}");
    place.check(
        "wait-failed",
        &["ls web01", "why web01", "status", "events web01"],
    );
}

#[test]
fn events_are_followed_as_they_happen() {
    let place = Workplace::served();
    assert_eq!(place.run("rebuild web01 --yes").code, 0);
    let watching = place
        .command("watch web01 --until failed --timeout 60s -o json")
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program");
    // The goal may be met before the watcher looks; then it prints nothing and still ends.
    place.tell("web01", EventKind::ScriptServed);
    place.tell(
        "web01",
        EventKind::InstallerFailed {
            stage: Stage::clean("partition"),
            detail: "no disk".to_string(),
        },
    );
    let ended = watching.wait_with_output().expect("its end");
    assert_eq!(ended.status.code(), Some(0));
    for line in String::from_utf8(ended.stdout).expect("text").lines() {
        let event: serde_json::Value = serde_json::from_str(line).expect("one event a line");
        assert_eq!(event["system"], "web01");
    }
}

#[test]
fn a_server_that_went_away_is_exit_7() {
    let mut place = Workplace::new();
    place.serve();
    assert_eq!(place.run("status").code, 0);
    place.server = None;
    assert!(place.site().join(".farrier/control.sock").exists());
    assert_eq!(place.run("status").code, 7, "the socket is stale");
    let run = place.run("add web09 52:54:00:00:00:09");
    assert_eq!(run.code, 0, "the files can be edited:\n{}", run.stderr);
    place.serve();
    assert_eq!(place.run("show web09 -o name").stdout, "web09\n");
}
