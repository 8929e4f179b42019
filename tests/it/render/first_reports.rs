//! The first boots that are not the unit's: FreeBSD's, OpenBSD's and ESXi's own scripts, run by the
//! shells and the Python that are here. A power cut loses nothing, a server that is down is asked
//! without end, and what is refused leaves nothing behind.
//!
//! OpenBSD's `nc` speaks TLS and Debian's does not: openssl stands in for it.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use farrier::render::{Place, Rendered, render};

use super::server::Server;
use super::site::{distro_of, run, shipped};
use super::tier3::{machine, text};

const KINDS: [&str; 3] = ["freebsd", "openbsd", "esxi"];

/// Programs that the systems have and this host has not. `sleep` is no wait, and a power cut if one is
/// due.
const STUBS: [(&str, &str); 7] = [
    ("sleep", "[ ! -e \"$CUT\" ] || kill -9 \"$PPID\"\n"),
    ("logger", "echo \"$@\"\n"),
    (
        "nc",
        "exec openssl s_client -quiet -connect \"$6:$7\" -CAfile \"$3\" -verify_return_error\n",
    ),
    ("vim-cmd", ""),
    ("esxcli", ""),
    ("auto-backup.sh", "cp local.sh kept\n"),
    ("python", "exec python3 \"$@\"\n"),
];

/// An installed system: a folder that stands for its root.
struct Installed {
    folder: tempfile::TempDir,
    kind: &'static str,
}

fn rendered(kind: &str, place: &Place) -> Rendered {
    let lines = match kind {
        "openbsd" => "disk = { path = \"/dev/sd0\" }\n",
        "esxi" => "users = { root = { password = \"HASH\" } }\n",
        _ => "",
    };
    let profile = shipped(kind);
    let made = render(&machine(kind, lines), &profile, &distro_of(&profile), place);
    made.expect("rendered")
}

/// What is between two marks.
fn between<'a>(text: &'a str, begin: &str, end: &str) -> &'a str {
    let (_, rest) = text.split_once(begin).expect("a beginning");
    rest.split_once(end).map_or(rest, |(part, _)| part)
}

impl Installed {
    fn at(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn put(&self, name: &str, text: &str, mode: u32) {
        let path = self.at(name);
        fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
        fs::write(&path, text).expect("written");
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).expect("a mode");
    }

    fn new(
        kind: &'static str,
        folder: tempfile::TempDir,
        server: &Server,
        rendered: &Rendered,
    ) -> Installed {
        let installed = Installed { folder, kind };
        for (name, script) in STUBS {
            installed.put(
                &format!("bin/{name}"),
                &format!("#!/bin/sh\n{script}"),
                0o755,
            );
        }
        let key = "ssh-ed25519 AAAA root@web01\n";
        installed.put("ssh/ssh_host_ed25519_key.pub", key, 0o644);
        installed.put("farrier/ca.crt", server.authority(), 0o600);
        let script = match kind {
            "freebsd" => between(&text(rendered, "install.sh"), "<<'END'\n", "\nEND\n").to_string(),
            "openbsd" => {
                let document = &rendered.documents["site78.tgz"];
                let mut archive = tar::Archive::new(&document.bytes[..]);
                let mut entries = archive.entries().expect("a tar");
                let mut entry = entries.next().expect("one").expect("one");
                let mut text = String::new();
                std::io::Read::read_to_string(&mut entry, &mut text).expect("text");
                between(&text, "<<'END'\n", "\nEND\n").to_string()
            }
            _ => between(
                &text(rendered, "ks.cfg"),
                "%firstboot --interpreter=python\n",
                "\n%",
            )
            .to_string(),
        };
        let of = |name: &str| installed.at(name).display().to_string();
        let script = script
            .replace("/var/farrier", &of("farrier"))
            .replace("/etc/rc.local.d/local.sh", &of("local.sh"))
            .replace("/etc/rc.local", &of("rc.local"))
            .replace("/etc/ssh/keys-root", &of("ssh"))
            .replace("/etc/ssh", &of("ssh"))
            .replace("/sbin/auto-backup.sh", &of("bin/auto-backup.sh"))
            // as `sleep` above
            .replace(
                "time.sleep(pause)",
                "import os; os.path.exists(os.environ[\"CUT\"]) and os._exit(9)",
            )
            .replace("start_new_session=True", "close_fds=False");
        installed.put("script", &script, 0o755);
        installed.put("local.sh", "#!/bin/sh\n# its owner's\nexit 0\n", 0o755);
        let started = "own\nsh /var/farrier/first-boot &\n";
        installed.put("rc.local", started, 0o644);
        installed
    }

    /// What starts at a boot, until it has ended. ESXi's own script runs at the first one only.
    fn boot(&self, first: bool) -> Output {
        let path = format!("{}:/usr/sbin:/usr/bin:/sbin:/bin", self.at("bin").display());
        let command = match (self.kind, first) {
            ("esxi", true) => "python script",
            ("esxi", false) => "sh local.sh",
            // the nearest to OpenBSD's own sh: another descendant of pdksh
            ("openbsd", _) => "lksh script",
            _ => "sh script",
        };
        // a pipe's other end is closed when the last of its background is over
        Command::new("/bin/sh")
            .args(["-c", &format!("exec 9>&1; {command}")])
            .current_dir(self.folder.path())
            .env("PATH", path)
            .env("CUT", self.at("cut"))
            .output()
            .expect("sh")
    }

    /// What a reader of the disk would find of the hand-off.
    fn left(&self) -> Vec<PathBuf> {
        let mut found = Vec::new();
        let mut todo = vec![self.folder.path().to_path_buf()];
        while let Some(path) = todo.pop() {
            if path.is_dir() {
                let entries = fs::read_dir(&path).expect("a folder");
                todo.extend(entries.map(|e| e.expect("an entry").path()));
            } else if path != self.at("script")
                && fs::read(&path).is_ok_and(|b| has(&b, b"/h/secret") || has(&b, b"key="))
            {
                found.push(path);
            }
        }
        found
    }
}

fn has(bytes: &[u8], part: &[u8]) -> bool {
    bytes.windows(part.len()).any(|w| w == part)
}

/// A server that answers the result and everything else by these, and a system installed from it.
/// It is given the last word of the path, how often that was asked before, and the file that makes the
/// next wait a power cut.
fn served(
    kind: &'static str,
    answer: impl Fn(&str, usize, &Path) -> u16 + Send + 'static,
) -> (Server, Installed) {
    let folder = tempfile::tempdir().expect("a folder");
    let cut = folder.path().join("cut");
    let (server, rendered) = Server::handing_off(
        |place| rendered(kind, place),
        move |verb, before| answer(verb, before, &cut),
    );
    let installed = Installed::new(kind, folder, &server, &rendered);
    (server, installed)
}

fn can_run() -> bool {
    ["openssl", "python3", "lksh"]
        .iter()
        .all(|tool| run(tool, &["version"], "").is_some())
}

fn results(server: &Server) -> Vec<String> {
    server.bodies("/h/secret/result")
}

#[test]
fn a_power_cut_loses_nothing_and_a_server_that_is_down_is_asked_without_end() {
    if !can_run() {
        return;
    }
    for kind in KINDS {
        // down for longer than anything was ever tried before, then up
        let (server, installed) = served(kind, |verb, before, cut| match verb {
            "handoff" if before < 2 => 0,
            "bundle" if before < 35 => 503,
            // the power is cut as the first result has no answer
            "result" if before == 0 => {
                fs::write(cut, "").expect("written");
                0
            }
            _ => 200,
        });
        let paths = |verb: &str| server.asked().iter().filter(|v| *v == verb).count();
        let first = installed.boot(true);
        assert_eq!(
            (paths("handoff"), paths("bundle"), paths("result")),
            (3, 36, 1),
            "{kind}: {first:?}"
        );
        assert!(
            !installed.left().is_empty(),
            "{kind}: kept for the next boot"
        );
        fs::remove_file(installed.at("cut")).expect("there");
        let second = installed.boot(false);
        assert_eq!(
            (paths("handoff"), paths("bundle"), paths("result")),
            (3, 36, 2),
            "{kind}: neither asked nor opened again: {second:?}"
        );
        let keys = server.bodies("/h/secret/bundle");
        assert!(
            keys.iter().all(|k| k == &keys[0] && k.len() == 36),
            "{kind}: {keys:?}"
        );
        let results = results(&server);
        assert_eq!(results[0], results[1], "{kind}");
        assert!(
            results[0].starts_with("agent=none code=0 class=ok "),
            "{kind}"
        );
        let tells_keys = results[0].contains("\nhostkey=ssh-ed25519 AAAA root@web01\n");
        assert_eq!(tells_keys, kind != "esxi", "{kind}: {}", results[0]);
        gone(&installed, &second);
    }
}

#[test]
fn what_is_refused_is_not_asked_again_and_leaves_nothing() {
    if !can_run() {
        return;
    }
    for kind in KINDS {
        for (refusing, status) in [("handoff", 404), ("bundle", 410), ("result", 409)] {
            let (server, installed) = served(kind, move |verb, _, _| match verb == refusing {
                true => status,
                false => 200,
            });
            let done = installed.boot(true);
            let asked = server.asked();
            assert_eq!(
                asked.last().map(String::as_str),
                Some(refusing),
                "{kind}: {done:?}"
            );
            assert_eq!(asked.iter().filter(|v| *v == refusing).count(), 1, "{kind}");
            gone(&installed, &done);
        }
    }
}

/// Nothing is left, and what was its owner's is as it was.
fn gone(installed: &Installed, said: &Output) {
    let kind = installed.kind;
    assert_eq!(installed.left(), Vec::<PathBuf>::new(), "{kind}: {said:?}");
    let read = |path: &Path| fs::read_to_string(path).unwrap_or_default();
    match kind {
        "esxi" => {
            let local = read(&installed.at("local.sh"));
            assert_eq!(local, "#!/bin/sh\n# its owner's\nexit 0\n");
            assert_eq!(read(&installed.at("kept")), local, "ESXi keeps it so");
        }
        "openbsd" => assert_eq!(read(&installed.at("rc.local")), "own\n"),
        _ => assert!(!installed.at("rc.local").exists(), "{kind}"),
    }
    if kind != "esxi" {
        assert!(!installed.at("farrier").exists(), "{kind}");
    }
}
