//! Canaries: values that would be recognised anywhere are set as secrets, a whole build runs through
//! the real server and the real first-boot unit, and then every byte that is left is searched for
//! them, for the build's tokens and for the unit's key.

use std::fs;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use farrier::boot::{Scope, TokenKey};
use farrier::cli::demo::rack::{Rack, RackError, Server, tools};
use farrier::model::{BuildKey, Phase};
use serde_json::Value;

use super::can_run;
use super::phantom::{Phantom, Told};
use super::site::{PATIENT, phantom};

/// With what a shell would make something of; only the middle is searched for.
const JOIN: &str = "CANARY-JOIN-6b1f0a'\"$(id)` ";
const DATABASE: &str = "CANARY-DATABASE-93c2\\n";
const CORES: [&str; 2] = ["CANARY-JOIN-6b1f0a", "CANARY-DATABASE-93c2"];

/// What may be found nowhere, with a name for each.
struct Secrets(Vec<(String, Vec<u8>)>);

impl Secrets {
    #[track_caller]
    fn not_in(&self, place: &str, bytes: &[u8]) {
        for (what, secret) in &self.0 {
            let found = bytes.windows(secret.len()).position(|w| w == secret);
            if let Some(at) = found {
                let around = &bytes[at.saturating_sub(120)..(at + 120).min(bytes.len())];
                panic!(
                    "{what} is in {place}: ..{}..",
                    String::from_utf8_lossy(around)
                );
            }
        }
    }

    /// Every file below a folder. Returns how many there were.
    #[track_caller]
    fn not_below(&self, folder: &Path) -> usize {
        let mut count = 0;
        let mut todo = vec![folder.to_path_buf()];
        while let Some(path) = todo.pop() {
            self.not_in("a file's name", path.as_os_str().as_encoded_bytes());
            let kind = fs::symlink_metadata(&path).expect("an entry").file_type();
            if kind.is_dir() {
                todo.extend(
                    fs::read_dir(&path)
                        .expect("a folder")
                        .map(|e| e.expect("an entry").path()),
                );
            } else if kind.is_file() {
                self.not_in(
                    &path.display().to_string(),
                    &fs::read(&path).expect("a file"),
                );
                count += 1;
            }
        }
        count
    }

    fn and(&self, what: &str, secret: &str) -> Secrets {
        let mut all = self.0.clone();
        all.push((what.to_string(), secret.as_bytes().to_vec()));
        Secrets(all)
    }
}

/// `farrier secret set NAME`, the value on standard input.
fn set(server: &Server, name: &str, value: &str) {
    let mut command = server.command(&["secret", "set", name]);
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("farrier");
    let mut pipe = child.stdin.take().expect("a pipe");
    pipe.write_all(value.as_bytes()).expect("read by it");
    drop(pipe);
    let done = child.wait_with_output().expect("its end");
    assert!(done.status.success(), "{done:?}");
    let said = [done.stdout, done.stderr].concat();
    Secrets(vec![("the value".into(), value.as_bytes().to_vec())]).not_in("what it said", &said);
}

/// A site whose profile and system refer to a secret each, in a step and in a file beside it.
fn served(rack: &Rack) -> Result<Server, RackError> {
    let settings = phantom(rack, PATIENT, "")?;
    let profile = settings.site.join("profiles/phantom");
    let put = |name: &str, text: &str| fs::write(profile.join(name), text).expect("a file");
    let toml = fs::read_to_string(profile.join("profile.toml")).expect("a profile");
    put(
        "profile.toml",
        &format!("{toml}[vars]\njoin = {{ secret = \"phantom/join\" }}\n"),
    );
    // with the challenge that Puppet's step has, a secret like the others
    put(
        "steps/20-join.sh.j2",
        &format!(
            "#!/bin/sh -e\nprintf %s {{{{ vars.join | sh }}}} | sha256sum | cut -c 1-64 >\"$OUT\"\n\
             sed -n 's/.*\"password\": //p' database.json | sha256sum | cut -c 1-64 >>\"$OUT\"\n\
             printf %s {} | sha256sum | cut -c 1-64 >>\"$OUT\"\n",
            Scope::Enrol.placeholder()
        ),
    );
    put(
        "steps/database.json.j2",
        "{\n\"password\": {{ vars.database }}\n}\n",
    );
    let server = Server::start(rack, settings)?;
    server.must(&["distro", "fetch", "phantom"])?;
    Ok(server)
}

/// Runs the placing script and, once the server heard of the end, the unit, in a scratch root.
struct Disk {
    folder: PathBuf,
}

impl Disk {
    fn new(rack: &Rack) -> Disk {
        let folder = rack.dir().join("disk");
        fs::create_dir_all(folder.join("root/etc")).expect("a folder");
        fs::create_dir_all(folder.join("root/usr/bin")).expect("a folder");
        fs::write(folder.join("root/usr/bin/curl"), "").expect("a file");
        Disk { folder }
    }

    fn root(&self, path: &str) -> PathBuf {
        self.folder.join("root").join(path)
    }

    fn place(&self, machine: &Phantom, script: &str) {
        let done = machine
            .host
            .namespace()
            .command("sh")
            .args(["-c", script, "first-boot.sh"])
            .arg(self.root(""))
            .output()
            .expect("sh");
        assert!(done.status.success(), "{done:?}");
    }

    fn pending(&self, field: &str) -> String {
        let path = self.root("var/lib/farrier/pending");
        let mode = fs::metadata(&path).expect("a marker").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let text = fs::read_to_string(path).expect("a marker");
        let value = text.lines().find_map(|l| l.strip_prefix(field));
        value.expect("a field").to_string()
    }

    fn boot(&self, machine: &Phantom) -> std::process::Output {
        machine
            .host
            .namespace()
            .command("sh")
            .arg(self.root("usr/lib/farrier/first-boot"))
            .env("FARRIER_STATE", self.root("var/lib/farrier"))
            .env("FARRIER_TRUST", self.root("usr/lib/farrier/trust"))
            .env("FARRIER_RUN", self.folder.join("run"))
            .env("FARRIER_REBOOT_FLAG", self.folder.join("flag"))
            .env("FARRIER_KEYS", self.folder.join("none"))
            .env("FARRIER_PAUSE", "1")
            .env("OUT", self.folder.join("out"))
            .output()
            .expect("sh")
    }
}

/// Nothing renders and nothing is flagged while a secret is not set, and it is said where and why.
fn refused_while_unset(server: &Server) {
    let broken = server.show("web01").expect("a system").broken;
    let broken = broken.expect("it cannot be used");
    assert!(
        broken.contains("profiles/phantom/profile.toml:")
            && broken.contains("farrier secret set phantom/join"),
        "{broken}"
    );
    let check = server.farrier(&["check"]).expect("check");
    assert_eq!(check.code, 1, "{}{}", check.stdout, check.stderr);
    assert!(
        check
            .stdout
            .contains("the secret `phantom/join` is not set"),
        "{}",
        check.stdout
    );
    assert!(check.stdout.contains("systems.toml:"), "{}", check.stdout);
    assert_ne!(
        server
            .farrier(&["rebuild", "web01", "--yes"])
            .expect("a refusal")
            .code,
        0
    );
}

#[test]
fn nothing_secret_is_left_anywhere() -> Result<(), RackError> {
    if !can_run("canaries", &[tools::NETWORK, tools::LOADERS], false) {
        return Ok(());
    }
    let rack = Rack::new()?;
    let mut server = served(&rack)?;
    let machine = Phantom::new(&rack, "web01")?;
    server.must(&["add", "web01", &machine.mac().to_string(), "phantom"])?;
    server.must(&["set", "web01", "vars.database={ secret = \"db/web01\" }"])?;
    refused_while_unset(&server);
    set(&server, "phantom/join", &format!("{JOIN}\n"));
    set(&server, "db/web01", DATABASE);
    assert_eq!(server.show("web01")?.broken, None, "looked at again");
    assert_eq!(server.farrier(&["check"])?.code, 0);
    let kept = server.farrier(&["secret", "rm", "db/web01"])?;
    assert_eq!(kept.code, 4, "{}", kept.stderr);

    server.must(&["rebuild", "web01", "--yes"])?;
    let told = machine.boot()?;
    let Told::Script(boot) = told else {
        panic!("not told to install: {told:?}");
    };
    machine.fetch_kernel(&boot)?;
    let installer = machine.installer(&boot)?;
    let answers = machine.http(installer.answers(), None)?;
    let script = machine.first_boot_script(&installer)?;
    machine.must_report(&installer, "disks", &machine.disks())?;
    let disk = Disk::new(&rack);
    disk.place(&machine, &script);
    machine.must_report(&installer, "end", "")?;

    // what may be nowhere, from here on
    let bytes = fs::read(server.state().join("token.key")).expect("a key");
    let key = TokenKey::new(bytes.try_into().expect("32 bytes"));
    let build = BuildKey {
        system: "web01".parse().expect("a name"),
        epoch: 1,
    };
    let token = |scope| key.token(&build, scope).reveal().to_string();
    let (handoff, own) = (disk.pending("handoff="), disk.pending("key="));
    assert!(handoff.starts_with("https://") && handoff.ends_with(&token(Scope::Secret)));
    let values = Secrets(
        CORES
            .iter()
            .map(|core| ((*core).to_string(), core.as_bytes().to_vec()))
            .collect(),
    )
    .and("the secret token", &token(Scope::Secret))
    .and("the enrolment token", &token(Scope::Enrol))
    .and("the unit's key", &own);
    let all = values
        .and("the read token", &token(Scope::Read))
        .and("the report token", &token(Scope::Report));
    // the search itself finds what is there
    assert!(answers.text().contains(&token(Scope::Report)));
    for (place, text) in [
        ("the boot script", boot.as_bytes()),
        ("an answer", &answers.body),
        ("first-boot.sh", script.as_bytes()),
    ] {
        values.not_in(place, text);
    }

    let booted = disk.boot(&machine);
    assert!(booted.status.success(), "{booted:?}\n{}", server.tail());
    assert_eq!(server.phase("web01")?, Phase::Ready);
    let out = fs::read_to_string(disk.folder.join("out")).expect("the step's output");
    let digest = |text: &str| {
        let mut hasher = <sha2::Sha256 as sha2::Digest>::new();
        sha2::Digest::update(&mut hasher, text.as_bytes());
        let bytes = sha2::Digest::finalize(hasher);
        bytes.iter().map(|b| format!("{b:02x}")).collect::<String>()
    };
    let quoted = serde_json::to_string(DATABASE.trim_end()).expect("JSON");
    let wanted = [
        digest(JOIN),
        digest(&format!("{quoted}\n")),
        digest(&token(Scope::Enrol)),
    ];
    assert_eq!(
        out.lines().collect::<Vec<_>>(),
        wanted,
        "the step had the very values"
    );
    all.not_in(
        "what the unit said",
        &[booted.stdout, booted.stderr].concat(),
    );
    assert!(!disk.folder.join("run").exists());
    all.not_below(&disk.folder);

    // a second redemption is refused, and is an alarm wherever someone looks
    let reply = redeemed_again(&machine, &handoff, &rack)?;
    assert_eq!(reply, 410);
    let alarm = "its hand-off was already redeemed";
    for verb in [
        &["status"][..],
        &["doctor"],
        &["why", "web01"],
        &["show", "web01"],
    ] {
        let said = server.farrier(verb)?.stdout;
        assert!(said.contains(alarm), "{verb:?}: {said}");
    }

    for verb in [
        &["render", "web01"][..],
        &["render", "web01", "-o", "json"],
        &["show", "web01", "-o", "json"],
        &["show", "web01", "--origin"],
        &["why", "web01", "-o", "json"],
        &["events", "-o", "json"],
        &["secret", "ls", "-o", "json"],
        &["ls", "-o", "json"],
        &["logs", "web01"],
        &["logs", "web01", "-o", "json"],
        &["inventory", "--list"],
        &["puppet", "enc", "web01.lab.example"],
        &["revision", "ls", "-o", "json"],
        &["profile", "ls", "-o", "json"],
        &["distro", "ls", "-o", "json"],
        &["lease", "ls", "-o", "json"],
        &["discovered", "ls", "-o", "json"],
        &["status", "-o", "json"],
        &["plan"],
        &["check", "-o", "json"],
    ] {
        let said = server.farrier(verb)?;
        all.not_in(&verb.join(" "), said.stdout.as_bytes());
        all.not_in(&verb.join(" "), said.stderr.as_bytes());
    }
    let rendered = server.must(&["render", "web01", "bundle.sh"])?;
    assert!(
        rendered.contains("FARRIER-SECRET(sh,phantom/join)"),
        "{rendered}"
    );
    all.not_in("the log", server.log().as_bytes());
    assert!(server.log().contains("/h/../bundle"), "the log tells of it");
    let listed = server.must(&["secret", "ls"])?;
    assert!(
        listed.contains("phantom/join") && listed.contains("web01"),
        "{listed}"
    );

    server.stop()?;
    let database = server.state().join("farrier.db");
    let mode = |name: &str| {
        let found = fs::metadata(server.state().join(name)).expect("there");
        found.permissions().mode() & 0o777
    };
    assert_eq!(
        [mode("secrets.key"), mode("ca.key"), mode("token.key")],
        [0o600; 3]
    );
    assert!(all.not_below(server.state()) > 5);
    assert!(
        all.not_below(rack.dir()) > 20,
        "site, logs and the installed disk too"
    );
    all.not_in("what is packed in the database", &unpacked(&database));
    Ok(())
}

/// Someone at the machine's own address, with another key.
fn redeemed_again(machine: &Phantom, handoff: &str, rack: &Rack) -> Result<u16, RackError> {
    let pinned = rack.dir().join("disk/root/usr/lib/farrier/trust/ca.crt");
    machine.pin(&fs::read_to_string(pinned).expect("a certificate"));
    let key = Some("key=fedcba9876543210fedcba9876543210\n");
    Ok(machine.http(&format!("{handoff}/bundle"), key)?.status)
}

/// What the database holds compressed.
fn unpacked(database: &Path) -> Vec<u8> {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    runtime.block_on(async {
        let (store, _writer) = farrier::store::open(database).await.expect("opened");
        let known = store.known().await.expect("known");
        assert_eq!(known.pins.len(), 1);
        let mut all = serde_json::to_vec(&known.pins[0].1).expect("JSON");
        let revisions = store.history(1000).await.expect("a history");
        for revision in &revisions {
            let kept: Value = serde_json::from_str(&revision.manifest).expect("JSON");
            for file in kept["files"].as_object().expect("files").values() {
                let digest = file["digest"].as_str().expect("a digest");
                all.extend(store.blob(digest).await.expect("read").expect("kept"));
            }
        }
        let site = b"[system.web01]";
        assert!(
            all.windows(site.len()).any(|w| w == site),
            "the site's files"
        );
        all
    })
}
