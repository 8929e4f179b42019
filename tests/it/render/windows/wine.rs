//! Wine in a folder of its own, with programs that ask the test what to do.

use std::fs;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// What a stand-in was called with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Call {
    /// Its name, without `.exe`.
    pub(super) program: String,
    pub(super) words: Vec<String>,
}

/// What the stand-ins do but for being called.
#[derive(Default)]
pub(super) struct Plan {
    /// These end with 1.
    pub(super) failing: Vec<&'static str>,
    /// When this one is called, the power goes.
    pub(super) cut_at: Option<&'static str>,
    /// What a program says if one of its words is this.
    pub(super) says: Vec<(&'static str, &'static str)>,
}

/// A Windows, as far as Wine is one. Its drives are folders.
pub(super) struct Wine {
    folder: tempfile::TempDir,
    port: u16,
    calls: Arc<Mutex<Vec<Call>>>,
    plan: Arc<Mutex<Plan>>,
    /// Told when the program is called at which the power is cut.
    cut: Receiver<()>,
}

/// Ends all that runs in it, at once. What Wine starts for itself leaves its group and outlives its
/// server, but has its environment.
fn off(prefix: &Path) {
    let own = format!("WINEPREFIX={}", prefix.display());
    let of = |process: &str| {
        let environment = fs::read(format!("/proc/{process}/environ")).unwrap_or_default();
        environment.split(|b| *b == 0).any(|e| e == own.as_bytes())
    };
    loop {
        let all = fs::read_dir("/proc").expect("processes").flatten();
        let names = all.map(|e| e.file_name().to_string_lossy().into_owned());
        let numbers = names.filter(|n| n.bytes().all(|b| b.is_ascii_digit()));
        let running: Vec<String> = numbers.filter(|n| of(n)).collect();
        if running.is_empty() {
            return;
        }
        // one that has ended meanwhile is all right
        let _ = Command::new("kill").arg("-9").args(running).output();
    }
}

/// Programs of Windows that Wine has, where the test's are wanted.
const STUBS: [&str; 6] = ["dism", "sc", "icacls", "net", "schtasks", "ping"];

fn tool(name: &str) -> Option<PathBuf> {
    let at = Path::new("/usr/lib/wine").join(name);
    if !at.exists() {
        crate::skipped!("Debian's `wine64` is not installed, and no script of Windows was run");
        return None;
    }
    Some(at)
}

impl Wine {
    /// None, said aloud, where there is no Wine or nothing that makes programs for it.
    pub(super) fn new() -> Option<Wine> {
        tool("wine64")?;
        let folder = tempfile::tempdir().expect("a folder");
        let stub = folder.path().join("stub.exe");
        let source = folder.path().join("stub.c");
        fs::write(&source, include_str!("stub.c")).expect("written");
        let made = Command::new("x86_64-w64-mingw32-gcc")
            .args(["-O1", "-Wall", "-Wextra", "-Werror", "-o"])
            .args([&stub, &source])
            .arg("-lws2_32")
            .output();
        let Ok(made) = made else {
            crate::skipped!(
                "`x86_64-w64-mingw32-gcc` is not installed, and no script of Windows was run"
            );
            return None;
        };
        assert!(
            made.status.success(),
            "{}",
            String::from_utf8_lossy(&made.stderr)
        );
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let (called, cut) = channel();
        let wine = Wine {
            port: listener.local_addr().expect("an address").port(),
            folder,
            calls: Arc::default(),
            plan: Arc::default(),
            cut,
        };
        let (calls, plan) = (Arc::clone(&wine.calls), Arc::clone(&wine.plan));
        let drives = wine.path("");
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                // a caller that is gone is what a power cut leaves
                let _ = answer(stream, &drives, &called, &calls, &plan);
            }
        });
        let (made, said) = wine.run(&["wineboot", "--init"]);
        assert!(made, "{said}");
        // its registry is written when its server ends, and a power cut would lose it
        let server = tool("wineserver64").expect("beside Wine");
        let ended = Command::new(server)
            .arg("--wait")
            .env("WINEPREFIX", wine.prefix())
            .status();
        assert!(ended.expect("Wine's server").success());
        for program in STUBS {
            wine.stub(&format!("c:/windows/system32/{program}.exe"));
        }
        Some(wine)
    }

    fn prefix(&self) -> PathBuf {
        self.folder.path().join("prefix")
    }

    /// `c:/Farrier/key.txt`, as a path of this host.
    pub(super) fn path(&self, of: &str) -> PathBuf {
        self.prefix().join("dosdevices").join(of)
    }

    /// Another drive, empty.
    pub(super) fn drive(&self, letter: char) {
        let folder = self.folder.path().join(letter.to_string());
        if folder.exists() {
            fs::remove_dir_all(&folder).expect("removed");
        }
        fs::create_dir(&folder).expect("a folder");
        let link = self.path(&format!("{letter}:"));
        if !link.exists() {
            std::os::unix::fs::symlink(&folder, link).expect("a link");
        }
    }

    pub(super) fn put(&self, path: &str, bytes: &[u8]) {
        let path = self.path(path);
        fs::create_dir_all(path.parent().expect("a folder")).expect("folders");
        fs::write(path, bytes).expect("written");
    }

    /// None if it is not there.
    pub(super) fn read(&self, path: &str) -> Option<Vec<u8>> {
        fs::read(self.path(path)).ok()
    }

    /// A stand-in at this path.
    pub(super) fn stub(&self, path: &str) {
        let stub = fs::read(self.folder.path().join("stub.exe")).expect("made above");
        self.put(path, &stub);
    }

    /// curl.exe at this path: the one that is given, or a stand-in.
    pub(super) fn curl(&self, path: &str) {
        match std::env::var_os("FARRIER_TEST_CURL") {
            Some(real) => self.put(path, &fs::read(real).expect("a curl.exe")),
            None => self.stub(path),
        }
    }

    pub(super) fn plan(&self, plan: Plan) {
        *self.plan.lock().expect("unpoisoned") = plan;
    }

    /// What was called since this was asked last, but for curl.
    pub(super) fn calls(&self) -> Vec<Call> {
        let mut calls = std::mem::take(&mut *self.calls.lock().expect("unpoisoned"));
        calls.retain(|c| c.program != "curl");
        calls
    }

    /// How Windows PE says that it was started: 1 by BIOS, 2 by UEFI.
    pub(super) fn started_by(&self, firmware: &str) {
        let key = "HKLM\\System\\CurrentControlSet\\Control";
        let words = [
            "reg",
            "add",
            key,
            "/v",
            "PEFirmwareType",
            "/t",
            "REG_DWORD",
            "/d",
            firmware,
            "/f",
        ];
        let (ok, said) = self.run(&words);
        assert!(ok, "{said}");
    }

    /// A script, until it is over or the power is cut; what it said.
    pub(super) fn script(&self, words: &[&str]) -> String {
        let mut all = vec!["cmd.exe", "/c"];
        all.extend(words);
        self.run(&all).1
    }

    /// Whether it succeeded, and what it said: into a file, for what Wine starts for itself keeps hold of
    /// a pipe.
    fn run(&self, words: &[&str]) -> (bool, String) {
        let said = self.folder.path().join("said");
        let file = fs::File::create(&said).expect("a file");
        let other = file.try_clone().expect("a file");
        let mut command = self.command(words);
        let mut running = command.stdout(file).stderr(other).spawn().expect("Wine");
        if self.plan.lock().expect("unpoisoned").cut_at.is_some() {
            let called = self.cut.recv_timeout(Duration::from_secs(120));
            off(&self.prefix());
            called.expect("the program at which the power is cut was not called");
        }
        let ended = running.wait().expect("an end");
        let said = fs::read(said).expect("what it said");
        (ended.success(), String::from_utf8_lossy(&said).into_owned())
    }

    fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(tool("wine64").expect("looked for above"));
        command
            .args(words)
            .current_dir(self.folder.path())
            .env("WINEPREFIX", self.prefix())
            .env("WINEDEBUG", "-all")
            // neither asks for a download nor writes menus; and a stand-in is not what it stands for
            .env(
                "WINEDLLOVERRIDES",
                format!(
                    "mscoree,mshtml=;winemenubuilder.exe=d;{}=n",
                    STUBS.join(".exe,") + ".exe"
                ),
            )
            .env("HOME", self.folder.path())
            .env("FARRIER_STUBS", self.port.to_string())
            .env_remove("DISPLAY");
        command
    }
}

impl Drop for Wine {
    fn drop(&mut self) {
        off(&self.prefix());
    }
}

fn answer(
    mut stream: TcpStream,
    drives: &Path,
    called: &Sender<()>,
    calls: &Mutex<Vec<Call>>,
    plan: &Mutex<Plan>,
) -> std::io::Result<()> {
    let mut text = Vec::new();
    stream.read_to_end(&mut text)?;
    let text = String::from_utf8_lossy(&text).into_owned();
    let mut words = text
        .strip_suffix('\0')
        .unwrap_or(&text)
        .split('\0')
        .map(str::to_string);
    let (path, folder) = (
        words.next().unwrap_or_default(),
        words.next().unwrap_or_default(),
    );
    let file = path
        .rsplit(['\\', '/'])
        .next()
        .unwrap_or_default()
        .to_lowercase();
    let call = Call {
        program: file.trim_end_matches(".exe").to_string(),
        words: words.collect(),
    };
    calls.lock().expect("unpoisoned").push(call.clone());
    let (failing, cut, says) = {
        let plan = plan.lock().expect("unpoisoned");
        let name = call.program.as_str();
        let says = plan.says.iter();
        let says = says.filter(|(word, _)| call.words.iter().any(|w| w == word));
        (
            plan.failing.contains(&name),
            plan.cut_at == Some(name),
            says.map(|(_, text)| *text).next(),
        )
    };
    if cut {
        // it waits for its answer until it is ended
        std::mem::forget(stream);
        called.send(()).map_err(std::io::Error::other)?;
        return Ok(());
    }
    let (code, said) = match call.program.as_str() {
        "curl" => curl(&call.words, &folder, drives),
        name => (
            i32::from(failing),
            match says {
                Some(text) => text.as_bytes().to_vec(),
                None => format!("{name} says so\r\n").into_bytes(),
            },
        ),
    };
    stream.write_all(format!("{code}\n").as_bytes())?;
    stream.write_all(&said)
}

/// This host's curl, called with this host's paths.
fn curl(words: &[String], folder: &str, drives: &Path) -> (i32, Vec<u8>) {
    let here = |path: &str| match (path, path.as_bytes().get(1)) {
        ("nul", _) => "/dev/null".to_string(),
        (_, Some(b':')) => local(path, drives),
        _ => local(&format!("{folder}\\{path}"), drives),
    };
    let mut asked = Vec::new();
    let mut file = false;
    for word in words {
        asked.push(match word.strip_prefix('@') {
            Some(name) => format!("@{}", here(name)),
            None if file => here(word),
            None => word.clone(),
        });
        file = ["--output", "--cacert", "--config"].contains(&word.as_str());
    }
    let done = Command::new("curl").args(asked).output().expect("curl");
    (done.status.code().unwrap_or(1), done.stdout)
}

/// A path of that system as one of this host: the letter of the drive is small there.
fn local(path: &str, drives: &Path) -> String {
    let (drive, rest) = path.split_at(1);
    format!(
        "{}/{}{}",
        drives.display(),
        drive.to_lowercase(),
        rest.replace('\\', "/")
    )
}
