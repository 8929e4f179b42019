//! Ansible for real, pulled and pushed: run once, broken once, its server down at first. And what the
//! agents' tests have in common.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use farrier::cli::demo::rack::{
    Patience, Process, Rack, RackError, Server, ServerSettings, tools, until,
};
use farrier::model::Phase;

use super::root::{NEEDS, System, own_mounts};
use super::target::{Target, story};
use crate::rack::can_run;
use crate::rack::site::{PATIENT, phantom};

pub(super) const SLOW: Patience = Patience::seconds(300);

/// A served site whose profile hands over to an agent. `files` are the profile's.
pub(super) fn served(
    rack: &Rack,
    farrier: &str,
    handoff: &str,
    files: &[(&str, &str)],
    environment: &[(&str, String)],
) -> Result<Server, RackError> {
    let mut settings: ServerSettings = phantom(rack, PATIENT, farrier)?;
    let profile = settings.site.join("profiles/phantom");
    let toml = fs::read_to_string(profile.join("profile.toml")).expect("a profile");
    let toml = toml.replace(
        "agent = \"steps\"\nsteps = \"steps\"\ntimeout = \"1m\"\n",
        handoff,
    );
    fs::write(profile.join("profile.toml"), toml).expect("written");
    fs::remove_dir_all(profile.join("steps")).expect("removed");
    for (name, text) in files {
        let path = profile.join(name);
        fs::create_dir_all(path.parent().expect("a parent")).expect("a folder");
        fs::write(path, text).expect("written");
    }
    let more = environment
        .iter()
        .map(|(n, v)| ((*n).to_string(), v.clone()));
    settings.environment.extend(more);
    let server = Server::start(rack, settings)?;
    server.must(&["distro", "fetch", "phantom"])?;
    Ok(server)
}

pub(super) fn add(server: &Server, machine: &Target) -> Result<(), RackError> {
    let mac = machine.phantom.mac().to_string();
    server.must(&["add", "web01", &mac, "phantom"])?;
    Ok(())
}

/// A build to the end of its first boot.
pub(super) fn built(
    rack: &Rack,
    server: &Server,
    machine: &mut Target,
    number: u32,
    prepare: impl Fn(&System),
) -> Result<Process, RackError> {
    server.must(&["rebuild", "web01", "--yes"])?;
    machine.install(prepare)?;
    machine.first_boot(&rack.dir().join(format!("first-boot-{number}.log")))
}

pub(super) fn until_reason(machine: &Target, words: &str) -> Result<(), RackError> {
    let reason = || machine.disk().read("/run/farrier/reason");
    until(words, SLOW, reason, || {
        Ok(reason().contains(words).then_some(()))
    })
}

pub(super) fn ready(server: &Server, unit: &mut Process, class: &str) -> Result<(), RackError> {
    assert_eq!(unit.wait(SLOW)?, 0, "{}\n{}", unit.tail(), server.tail());
    assert_eq!(server.phase("web01")?, Phase::Ready);
    let story = story(server, "web01")?;
    let told = |e: &String| e.starts_with("agent-reported") && e.contains(class);
    assert!(story.iter().any(told), "{story:#?}");
    Ok(())
}

pub(super) fn failed(server: &Server, reason: &str) -> Result<(), RackError> {
    assert_eq!(server.phase("web01")?, Phase::Failed, "{}", server.tail());
    let why = server.must(&["why", "web01"])?;
    assert!(why.contains(reason), "{why}");
    Ok(())
}

/// A request with the hand-off's own token, as the machine would send it: the key of another.
pub(super) fn stranger(machine: &Target, environment: &str, key: &str) -> Result<u16, RackError> {
    let text = machine
        .disk()
        .read(&format!("/run/farrier/steps/{environment}"));
    let url = text
        .lines()
        .find_map(|l| l.strip_prefix("HANDOFF='")?.strip_suffix('\''))
        .expect("an address")
        .to_string();
    let pinned = machine.disk().read("/usr/lib/farrier/trust/ca.crt");
    machine.phantom.pin(&pinned);
    Ok(machine
        .phantom
        .http(&format!("{url}/enrol"), Some(key))?
        .status)
}

const PLAYBOOK: &str = "- hosts: all\n  gather_facts: false\n  tasks:\n  - name: say so\n    copy:\n      dest: /etc/played\n      content: \"{{ role | default('none') }}\\n\"\n";
const BROKEN: &str =
    "- hosts: all\n  gather_facts: false\n  tasks:\n  - name: break it\n    command: /bin/false\n";

/// Makes a commit in a repository and returns its name.
fn commit(repository: &Path, playbook: &str) -> String {
    let git = |arguments: &[&str]| {
        let done = Command::new("git")
            .arg("-C")
            .arg(repository)
            .args(["-c", "user.name=t", "-c", "user.email=t@lab.example"])
            .args(arguments)
            .output()
            .expect("git");
        assert!(done.status.success(), "{done:?}");
        String::from_utf8_lossy(&done.stdout).trim().to_string()
    };
    fs::create_dir_all(repository).expect("a folder");
    if !repository.join(".git").exists() {
        git(&["init", "--quiet"]);
    }
    fs::write(repository.join("local.yml"), playbook).expect("written");
    git(&["add", "-A"]);
    git(&["commit", "--quiet", "-m", "a playbook"]);
    git(&["rev-parse", "HEAD"])
}

#[test]
fn ansible_is_pulled_from_one_commit() -> Result<(), RackError> {
    if !can_run(
        "ansible pull",
        &[tools::NETWORK, tools::LOADERS, NEEDS],
        false,
    ) {
        return Ok(());
    }
    own_mounts();
    let rack = Rack::new()?;
    let repository = rack.dir().join("git/site");
    let (good, bad) = (commit(&repository, PLAYBOOK), commit(&repository, BROKEN));
    let handoff = |commit: &str| {
        format!(
            "agent = \"ansible\"\ntimeout = \"5m\"\n[handoff.ansible]\n\
             repository = \"git://10.77.0.1/site\"\ncommit = \"{commit}\"\n"
        )
    };
    let server = served(&rack, "", &handoff(&good), &[], &[])?;
    let mut machine = Target::new(&rack, "web01")?;
    add(&server, &machine)?;

    let mut unit = built(&rack, &server, &mut machine, 1, |_| {})?;
    until_reason(&machine, "does not answer")?;
    let mut daemon = rack.namespace().command("git");
    daemon
        .args(["daemon", "--export-all", "--reuseaddr"])
        .arg(format!(
            "--base-path={}",
            repository.parent().expect("a parent").display()
        ));
    let log = rack.dir().join("git-daemon.log");
    let _daemon = Process::start("git daemon", &mut daemon, &log, false)?;
    ready(&server, &mut unit, "ansible changed (code 0)")?;
    assert_eq!(machine.disk().read("/etc/played"), "none\n");

    let toml = server.site().join("profiles/phantom/profile.toml");
    let text = fs::read_to_string(&toml).expect("a profile");
    fs::write(&toml, text.replace(&good, &bad)).expect("written");
    server.must(&["apply"])?;
    let mut unit = built(&rack, &server, &mut machine, 2, |_| {})?;
    assert_eq!(unit.wait(SLOW)?, 1, "{}", unit.tail());
    failed(&server, "break it: fatal:")
}

/// A machine with an ssh server, whose host key it reports; what this server runs against it decides.
#[test]
fn ansible_is_pushed_after_the_first_boot_and_only_to_the_machine_itself() -> Result<(), RackError>
{
    if !can_run(
        "ansible push",
        &[tools::NETWORK, tools::LOADERS, NEEDS],
        false,
    ) {
        return Ok(());
    }
    own_mounts();
    let rack = Rack::new()?;
    let control = System::new(rack.dir(), "control");
    let shared = rack.dir().join("shared");
    fs::create_dir_all(&shared).expect("a folder");
    control.bind(&shared);
    let state = rack.dir().join("state");
    fs::create_dir_all(&state).expect("a folder");
    control.bind(&state);
    let bin = rack.dir().join("bin");
    fs::create_dir_all(&bin).expect("a folder");
    // Ansible is not on this host but in a system of its own
    let wrapper = bin.join("ansible-playbook");
    let text = format!(
        "#!/bin/sh\nexec chroot {} /usr/bin/ansible-playbook \"$@\"\n",
        control.root().display()
    );
    fs::write(&wrapper, text).expect("written");
    fs::set_permissions(&wrapper, fs::Permissions::from_mode(0o755)).expect("a mode");
    let made = Command::new("chroot")
        .arg(control.root())
        .args([
            "ssh-keygen",
            "-q",
            "-t",
            "ed25519",
            "-N",
            "",
            "-f",
            "/root/key",
        ])
        .output()
        .expect("chroot");
    assert!(made.status.success(), "{made:?}");
    let public = control.read("/root/key.pub");
    let playbook = shared.join("site.yml");
    fs::write(&playbook, PLAYBOOK).expect("written");
    let path = format!(
        "{}:{}",
        bin.display(),
        std::env::var("PATH").unwrap_or_default()
    );
    let handoff = format!(
        "agent = \"ansible\"\nsteps = \"steps\"\ntimeout = \"5m\"\n[handoff.ansible]\n\
         push = \"{}\"\nkey = \"/root/key\"\n",
        playbook.display()
    );
    let sshd = "#!/bin/sh -e\n[ ! -e /etc/ssh/silent ] || exit 0\nmkdir -p /run/sshd\n[ ! -e /etc/ssh/other ] || set -- -h /etc/ssh/other\n/usr/sbin/sshd \"$@\"\n";
    let server = served(
        &rack,
        "",
        &handoff,
        &[("steps/10-sshd.sh", sshd)],
        &[("PATH", path)],
    )?;
    let mut machine = Target::new(&rack, "web01")?;
    add(&server, &machine)?;
    server.must(&["set", "web01", "vars.role=web"])?;
    let keygen = |system: &System, arguments: &[&str]| {
        let mut command = Command::new("chroot");
        command.arg(system.root()).arg("ssh-keygen").args(arguments);
        let made = command.output().expect("chroot");
        assert!(made.status.success(), "{made:?}");
    };
    let authorised = |system: &System| {
        system.put("/root/.ssh/authorized_keys", 0o600, &public);
        // each installation has host keys of its own
        for kind in ["rsa", "ecdsa", "ed25519"] {
            for end in ["", ".pub"] {
                let key = system.path(&format!("/etc/ssh/ssh_host_{kind}_key{end}"));
                fs::remove_file(key).expect("a package's key");
            }
        }
        keygen(system, &["-A"]);
    };

    let mut unit = built(&rack, &server, &mut machine, 1, authorised)?;
    assert_eq!(unit.wait(SLOW)?, 0, "{}", unit.tail());
    server.wait_phase("web01", &[Phase::Ready, Phase::Failed], SLOW, None)?;
    assert_eq!(
        server.phase("web01")?,
        Phase::Ready,
        "{:#?}",
        story(&server, "web01")?
    );
    assert_eq!(machine.disk().read("/etc/played"), "web\n");
    let told = story(&server, "web01")?;
    assert!(told.iter().any(|e| e.starts_with("push-due")), "{told:#?}");
    let seen = inventory_as_ansible_reads_it(&control, &server);
    for part in [
        "@phase_ready:",
        "@profile_phantom:",
        "|--web01",
        "{role = web}",
    ] {
        assert!(seen.contains(part), "no `{part}`: {seen}");
    }

    fs::write(&playbook, BROKEN).expect("written");
    let mut unit = built(&rack, &server, &mut machine, 2, authorised)?;
    assert_eq!(unit.wait(SLOW)?, 0, "{}", unit.tail());
    server.wait_phase("web01", &[Phase::Failed], SLOW, None)?;
    failed(&server, "break it: fatal:")?;

    // something else answers at its address: nothing is run against it
    fs::write(&playbook, PLAYBOOK).expect("written");
    let mut unit = built(&rack, &server, &mut machine, 3, |system| {
        authorised(system);
        keygen(
            system,
            &["-q", "-t", "ed25519", "-N", "", "-f", "/etc/ssh/other"],
        );
    })?;
    assert_eq!(unit.wait(SLOW)?, 0, "{}", unit.tail());
    server.wait_event("web01", "the refusal", SLOW, None, |e| {
        e.build == Some(3) && e.kind == "progress" && e.detail.contains("another host key")
    })?;
    assert_eq!(server.phase("web01")?, Phase::Configuring);
    assert_eq!(machine.disk().read("/etc/played"), "");

    // nothing answers there, until something does
    server.must(&["cancel", "web01", "--yes"])?;
    let mut unit = built(&rack, &server, &mut machine, 4, |system| {
        authorised(system);
        system.put("/etc/ssh/silent", 0o644, "");
    })?;
    assert_eq!(unit.wait(SLOW)?, 0, "{}", unit.tail());
    server.wait_event("web01", "a try in vain", SLOW, None, |e| {
        let said = e.kind == "progress" && e.detail.contains("Connection refused");
        e.build == Some(4) && said
    })?;
    let sshd = "mkdir -p /run/sshd && exec /usr/sbin/sshd";
    let started = machine.command("/bin/sh").args(["-c", sshd]).status();
    assert!(started.is_ok_and(|s| s.success()));
    server.wait_phase("web01", &[Phase::Ready], SLOW, None)?;
    assert_eq!(machine.disk().read("/etc/played"), "web\n");
    Ok(())
}

/// `farrier inventory` as the executable file that Ansible is given.
fn inventory_as_ansible_reads_it(control: &System, server: &Server) -> String {
    let program = env!("CARGO_BIN_EXE_farrier");
    control.bind(Path::new(program));
    control.bind(server.site());
    let script = format!(
        "#!/bin/sh\nexec {program} --site {} --state {} inventory \"$@\"\n",
        server.site().display(),
        server.state().display()
    );
    control.put("/usr/local/bin/farrier-inventory", 0o755, &script);
    let done = Command::new("chroot")
        .arg(control.root())
        .args([
            "ansible-inventory",
            "--inventory",
            "/usr/local/bin/farrier-inventory",
        ])
        .args(["--graph", "--vars"])
        .env("LC_ALL", "C.UTF-8")
        .output()
        .expect("chroot");
    assert!(done.status.success(), "{done:?}");
    String::from_utf8_lossy(&done.stdout).into_owned()
}
