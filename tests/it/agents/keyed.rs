//! CFEngine and Salt for real, whose servers are given the machine's key beforehand: run once, broken once,
//! their server down at first, a stranger's key refused, and a server with another key not obeyed.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use farrier::cli::demo::rack::{Process, Rack, RackError, tools, until};

use super::others::{SLOW, add, built, failed, ready, served, stranger, until_reason};
use super::root::{NEEDS, PYTHON, System, own_mounts};
use super::target::Target;
use crate::rack::can_run;

const POLICY: &str = "body common control { bundlesequence => { \"main\" }; version => \"1\"; }\n\
body server control { allowconnects => { \"10.77.0.0/24\" }; allowallconnects => { \"10.77.0.0/24\" }; trustkeysfrom => { }; }\n\
bundle server access_rules { access: \"/var/lib/cfengine3/masterfiles\" admit_ips => { \"10.77.0.0/24\" }; }\n";

#[test]
fn cfengine_exchanges_keys_beforehand() -> Result<(), RackError> {
    if !can_run("cfengine", &[tools::NETWORK, tools::LOADERS, NEEDS], false) {
        return Ok(());
    }
    own_mounts();
    let rack = Rack::new()?;
    let hub = System::new(rack.dir(), "hub");
    let work = "/var/lib/cfengine3";
    let keys = hub.path(&format!("{work}/ppkeys"));
    fs::remove_dir_all(&keys).expect("removed");
    fs::create_dir_all(&keys).expect("a folder");
    fs::set_permissions(&keys, fs::Permissions::from_mode(0o700)).expect("a mode");
    let in_hub = |program: &str| {
        let done = Command::new("chroot").arg(hub.root()).arg(program).output();
        let done = done.expect("chroot");
        assert!(done.status.success(), "{done:?}");
    };
    in_hub("cf-key");
    let policy = |main: &str| {
        let text = format!("{POLICY}bundle agent main {{ {main} }}\n");
        fs::remove_dir_all(hub.path(&format!("{work}/masterfiles"))).expect("removed");
        for folder in ["masterfiles", "inputs"] {
            hub.put(&format!("{work}/{folder}/promises.cf"), 0o600, &text);
        }
    };
    policy("files: \"/etc/promised\" create => \"true\";");
    let public = hub.read(&format!("{work}/ppkeys/localhost.pub"));
    let server = served(
        &rack,
        &format!("[agent.cfengine]\nkeys = \"{}\"\n", keys.display()),
        "agent = \"cfengine\"\ntimeout = \"5m\"\n[handoff.cfengine]\nhub = \"10.77.0.1\"\nhub_key = \"hub.pub\"\n",
        &[("hub.pub", &public)],
        &[],
    )?;
    let mut machine = Target::new(&rack, "web01")?;
    add(&server, &machine)?;
    let trusted = || -> Vec<String> {
        let entries = fs::read_dir(&keys).expect("a folder");
        let names = entries.map(|e| {
            e.expect("an entry")
                .file_name()
                .to_string_lossy()
                .into_owned()
        });
        names.filter(|n| n.starts_with("root-")).collect()
    };

    let mut unit = built(&rack, &server, &mut machine, 1, |_| {})?;
    until_reason(&machine, "gave no policy")?;
    let first = trusted();
    assert_eq!(first.len(), 1, "{first:?}");
    assert_eq!(
        stranger(&machine, "cfengine.env", &public)?,
        409,
        "another key"
    );
    let serve = |number: u32| {
        let mut serve = rack.namespace().command("chroot");
        serve.arg(hub.root()).args(["cf-serverd", "--no-fork"]);
        let log = rack.dir().join(format!("cf-serverd-{number}.log"));
        Process::start("cf-serverd", &mut serve, &log, false)
    };
    let mut serverd = serve(1)?;
    ready(&server, &mut unit, "cfengine changed (code 0)")?;
    assert!(machine.disk().path("/etc/promised").exists());

    policy("commands: \"/bin/false\";");
    server.must(&["rebuild", "web01", "--yes"])?;
    until("the old key to go", SLOW, String::new, || {
        Ok(trusted().is_empty().then_some(()))
    })?;
    machine.install(|_| {})?;
    let mut unit = machine.first_boot(&rack.dir().join("first-boot-2.log"))?;
    assert_eq!(unit.wait(SLOW)?, 1, "{}", unit.tail());
    let second = trusted();
    assert!(second.len() == 1 && second != first, "{second:?}");
    failed(&server, "/bin/false")?;

    // at the hub's address answers one with another key: it is told nothing and obeyed in nothing
    policy("files: \"/etc/promised\" create => \"true\";");
    // at its word, or its lock keeps the next from starting
    serverd.terminate();
    serverd.wait(SLOW)?;
    let pair = ["localhost.pub", "localhost.priv"].map(|name| keys.join(name));
    let own = pair.clone().map(|path| fs::read(path).expect("a key"));
    pair.iter().for_each(|p| fs::remove_file(p).expect("gone"));
    in_hub("cf-key");
    let mut impostor = serve(2)?;
    let mut unit = built(&rack, &server, &mut machine, 3, |_| {})?;
    until_reason(&machine, "gave no policy")?;
    until_reason(&machine, "rust")?;
    assert!(!machine.disk().path("/etc/promised").exists());
    impostor.terminate();
    impostor.wait(SLOW)?;
    for (path, bytes) in pair.iter().zip(&own) {
        fs::write(path, bytes).expect("written");
    }
    let _serverd = serve(3)?;
    ready(&server, &mut unit, "cfengine changed (code 0)")?;
    assert!(machine.disk().path("/etc/promised").exists());
    Ok(())
}

/// Salt as PyPI has it, in a folder that is kept.
fn salt() -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let venv = folder.join("salt-3008");
    let lock = fs::File::create(folder.join("salt-3008.lock")).expect("a lock");
    lock.lock().expect("locked");
    if !venv.join("made").exists() {
        if venv.exists() {
            fs::remove_dir_all(&venv).expect("removed");
        }
        let python = ["/usr/bin/python3", "-m", "venv"];
        let run = |words: &[&str], more: &[&Path]| {
            let done = Command::new(words[0]).args(&words[1..]).args(more).output();
            let done = done.expect("python");
            assert!(
                done.status.success(),
                "{}",
                String::from_utf8_lossy(&done.stderr)
            );
        };
        run(&python, &[&venv]);
        let pip = venv.join("bin/pip").display().to_string();
        run(&[&pip, "install", "--quiet", "salt>=3008,<3009"], &[]);
        fs::write(venv.join("made"), "").expect("written");
    }
    venv
}

#[test]
fn salt_accepts_a_minions_key_beforehand() -> Result<(), RackError> {
    if !can_run(
        "salt",
        &[tools::NETWORK, tools::LOADERS, NEEDS, PYTHON],
        true,
    ) {
        return Ok(());
    }
    let venv = salt();
    own_mounts();
    let rack = Rack::new()?;
    let master = rack.dir().join("salt");
    let state = |text: &str| {
        fs::create_dir_all(master.join("srv")).expect("a folder");
        fs::write(master.join("srv/top.sls"), "base: {'*': [web]}\n").expect("written");
        fs::write(master.join("srv/web.sls"), text).expect("written");
    };
    state("/etc/salted:\n  file.managed:\n    - contents: hello\n");
    fs::create_dir_all(master.join("etc")).expect("a folder");
    let at = master.display();
    let config = format!(
        "root_dir: {at}\nuser: root\npki_dir: {at}/pki\nfile_roots: {{base: [{at}/srv]}}\nworker_threads: 2\n"
    );
    fs::write(master.join("etc/master"), &config).expect("written");
    let start = |number: u32| {
        let mut command = rack
            .namespace()
            .command(&venv.join("bin/salt-master").display().to_string());
        command.args(["-c", &master.join("etc").display().to_string()]);
        let log = rack.dir().join(format!("salt-master-{number}.log"));
        Process::start("the Salt master", &mut command, &log, false)
    };
    let public = master.join("pki/master.pub");
    {
        let first = start(1)?;
        until(
            "the master's key",
            SLOW,
            || first.tail(),
            || Ok(public.exists().then_some(())),
        )?;
        first.terminate();
        let mut first = first;
        first.wait(SLOW)?;
    }
    let public = fs::read_to_string(public).expect("a key");
    let server = served(
        &rack,
        &format!("[agent.salt]\npki = \"{at}/pki\"\n"),
        "agent = \"salt\"\ntimeout = \"8m\"\n[handoff.salt]\nmaster = \"10.77.0.1\"\nmaster_key = \"master.pub\"\n",
        &[("master.pub", &public)],
        &[],
    )?;
    let mut machine = Target::new(&rack, "web01")?;
    add(&server, &machine)?;
    let prepare = |system: &System| {
        system.bind(&venv);
        let link = format!("#!/bin/sh\nexec {}/bin/salt-call \"$@\"\n", venv.display());
        system.put("/usr/local/bin/salt-call", 0o755, &link);
    };
    let accepted = master.join("pki/minions/web01.lab.example");

    let mut unit = built(&rack, &server, &mut machine, 1, prepare)?;
    until_reason(&machine, "does not answer")?;
    let first = fs::read_to_string(&accepted).expect("it is accepted beforehand");
    assert_eq!(stranger(&machine, "salt.env", &public)?, 409, "another key");
    assert_eq!(
        fs::read_to_string(&accepted).ok().as_deref(),
        Some(first.as_str())
    );
    let running = start(2)?;
    ready(&server, &mut unit, "salt changed (code 0)")?;
    assert_eq!(machine.disk().read("/etc/salted"), "hello\n");

    state("break it:\n  cmd.run:\n    - name: /bin/false\n");
    server.must(&["rebuild", "web01", "--yes"])?;
    until("the old key to go", SLOW, String::new, || {
        Ok((!accepted.exists()).then_some(()))
    })?;
    machine.install(prepare)?;
    let mut unit = machine.first_boot(&rack.dir().join("first-boot-2.log"))?;
    assert_eq!(unit.wait(SLOW)?, 1, "{}", unit.tail());
    failed(&server, "break it: Command \"/bin/false\" run")?;
    assert_ne!(fs::read_to_string(&accepted).expect("another key"), first);
    let mut running = running;
    running.terminate();
    running.wait(SLOW)?;

    // at the master's address answers one with another key: nothing of it is applied
    state("/etc/salted:\n  file.managed:\n    - contents: hello\n");
    let another = format!(
        "root_dir: {at}/impostor\nuser: root\npki_dir: {at}/impostor/pki\nauto_accept: true\n\
         file_roots: {{base: [{at}/srv]}}\nworker_threads: 2\n"
    );
    fs::write(master.join("etc/master"), another).expect("written");
    let mut impostor = start(3)?;
    let its = || fs::read_to_string(master.join("impostor/pki/master.pub")).unwrap_or_default();
    until(
        "the impostor's key",
        SLOW,
        || impostor.tail(),
        || Ok((!its().is_empty()).then_some(())),
    )?;
    assert_ne!(its(), public);
    let mut unit = built(&rack, &server, &mut machine, 3, prepare)?;
    until_reason(&machine, "The master key has changed")?;
    assert!(!machine.disk().path("/etc/salted").exists());
    // at its word, or its workers keep the port
    impostor.terminate();
    impostor.wait(SLOW)?;
    fs::write(master.join("etc/master"), &config).expect("written");
    let _running = start(4)?;
    ready(&server, &mut unit, "salt changed (code 0)")?;
    assert_eq!(machine.disk().read("/etc/salted"), "hello\n");
    Ok(())
}
