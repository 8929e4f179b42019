//! Puppet for real: Puppet Server and agent of Debian 12. A machine becomes ready because a Puppet run
//! succeeded; rebuilt with a broken manifest it fails, and `farrier why` names the first resource.

use std::fs;
use std::process::{Command, Output, Stdio};

use farrier::cli::demo::rack::{Rack, RackError, Server, ServerSettings, tools, until};
use farrier::model::Phase;

use super::puppetserver::{
    BROKEN, CERTNAME, NAME, Puppet, SLOW, declare, handoff, names_what_failed, succeeded,
};
use super::root::{NEEDS, System, own_mounts};
use super::target::{Target, story};
use crate::rack::can_run;
use crate::rack::site::{Deadlines, phantom};

const DEADLINES: Deadlines = Deadlines {
    boot: "10m",
    install: "30m",
    first_boot: "30m",
    configure: "30m",
};

/// Held until the test lets it go: what happens between Puppet's end and the report is looked at.
const HOLD: &str = "#!/bin/sh\nuntil [ -e /run/go ]; do sleep 0.2; done\n";

impl Puppet {
    /// The policy, run as Puppet's server runs it: as its user, with a request on standard input.
    fn policy(&self, certname: &str, pem: &str) -> Output {
        use std::io::Write;
        let mut child = Command::new("chroot")
            .arg("--userspec=puppet:puppet")
            .arg(self.system.root())
            .args(["/etc/puppet/farrier-autosign", certname])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("chroot");
        let mut stdin = child.stdin.take().expect("a pipe");
        stdin.write_all(pem.as_bytes()).expect("read by it");
        drop(stdin);
        child.wait_with_output().expect("its end")
    }

    /// A request that anybody could make, with a key of its own.
    fn request(&self, certname: &str, challenge: &str) -> String {
        let config = format!(
            "[req]\nprompt = no\ndistinguished_name = dn\nattributes = attrs\n[dn]\nCN = {certname}\n\
             [attrs]\nchallengePassword = {challenge}\n"
        );
        self.system.put("/tmp/request.cnf", 0o644, &config);
        let made = Command::new("chroot")
            .arg(self.system.root())
            .args(["openssl", "req", "-new", "-newkey", "rsa:2048", "-nodes"])
            .args(["-keyout", "/dev/null", "-config", "/tmp/request.cnf"])
            .output()
            .expect("openssl");
        assert!(made.status.success(), "{made:?}");
        String::from_utf8_lossy(&made.stdout).into_owned()
    }
}

fn site(rack: &Rack, puppet: &Puppet) -> Result<ServerSettings, RackError> {
    let settings = phantom(rack, DEADLINES, &puppet.farrier_toml())?;
    let profile = settings.site.join("profiles/phantom");
    let toml = fs::read_to_string(profile.join("profile.toml")).expect("a profile");
    let toml = toml.replace(
        "agent = \"steps\"\nsteps = \"steps\"\ntimeout = \"1m\"\n",
        &handoff(),
    );
    assert!(toml.contains("[handoff.puppet]"));
    fs::write(profile.join("profile.toml"), toml).expect("written");
    fs::remove_file(profile.join("steps/10-nothing.sh")).expect("removed");
    fs::write(profile.join("steps/60-hold.sh"), HOLD).expect("written");
    fs::write(profile.join("puppet-ca.pem"), puppet.authority()).expect("written");
    Ok(settings)
}

/// What the machine finds its Puppet server by.
fn names(system: &System, address: &str) {
    let text = format!("127.0.0.1 localhost\n{address} {NAME}\n10.77.0.100 {CERTNAME} web01\n");
    system.put("/etc/hosts", 0o644, &text);
}

#[test]
fn a_machine_is_ready_because_its_puppet_run_succeeded() -> Result<(), RackError> {
    if !can_run("puppet", &[tools::NETWORK, tools::LOADERS, NEEDS], false) {
        return Ok(());
    }
    own_mounts();
    let rack = Rack::new()?;
    let mut puppet = Puppet::prepare(&rack);
    let mut server = Server::start(&rack, site(&rack, &puppet)?)?;
    server.must(&["distro", "fetch", "phantom"])?;
    puppet.belongs_to(&server)?;
    let mut machine = Target::new(&rack, "web01")?;
    declare(&server, machine.phantom.mac(), "phantom")?;

    a_flag_waits_for_the_revocation(&rack, &mut server, &mut puppet, &machine)?;
    the_first_run(&rack, &server, &puppet, &mut machine)?;
    broken(&rack, &server, &puppet, &mut machine)
}

/// Puppet Server is down: the flag is made, it is said what it waits for, the machine boots its own
/// disk; a restart of Farrier forgets nothing; and once Puppet Server is there, the flag is in force.
fn a_flag_waits_for_the_revocation(
    rack: &Rack,
    server: &mut Server,
    puppet: &mut Puppet,
    machine: &Target,
) -> Result<(), RackError> {
    let flagged = server.farrier(&["rebuild", "web01", "--yes"])?;
    assert_eq!(flagged.code, 0, "{}", flagged.stderr);
    assert!(
        flagged.stderr.contains("not told to install yet")
            && flagged.stderr.contains("puppet `web01.lab.example`"),
        "{}",
        flagged.stderr
    );
    let told = machine.phantom.boot()?;
    assert_eq!(told, crate::rack::phantom::Told::OwnDisk);
    let why = server.must(&["why", "web01"])?;
    assert!(why.contains("waits until the old identity"), "{why}");
    let status = server.must(&["status"])?;
    assert!(status.contains("could not be taken back"), "{status}");
    server.kill();
    server.up()?;
    puppet.may_ask(server);
    puppet.start(rack)?;
    puppet.until_up()?;
    until(
        "the flag to be in force",
        SLOW,
        || server.evidence("web01", None),
        || {
            let story = story(server, "web01")?;
            let gone = story.iter().any(|e| e.starts_with("identity-revoked"));
            Ok(gone.then_some(()))
        },
    )
}

/// The server cannot be reached at first; wrong challenges are refused meanwhile; the run succeeds; a
/// challenge that was used is refused; the machine is ready.
fn the_first_run(
    rack: &Rack,
    server: &Server,
    puppet: &Puppet,
    machine: &mut Target,
) -> Result<(), RackError> {
    // an address where nobody is
    machine.install(|system| names(system, "10.77.0.250"))?;
    let log = rack.dir().join("first-boot-1.log");
    let mut unit = machine.first_boot(&log)?;
    server.wait_phase("web01", &[Phase::Configuring], SLOW, None)?;
    let environment = || machine.disk().read("/run/farrier/steps/puppet.env");
    let reason = || machine.disk().read("/run/farrier/reason");
    until("the unit to miss the server", SLOW, reason, || {
        Ok(reason().contains("does not answer").then_some(()))
    })?;
    let value = environment();
    let challenge = value
        .lines()
        .find_map(|l| l.strip_prefix("CHALLENGE='")?.strip_suffix('\''))
        .expect("a challenge");
    let refused = |certname: &str, challenge: &str, why: &str| {
        let said = puppet.policy(certname, &puppet.request(certname, challenge));
        let text = String::from_utf8_lossy(&said.stderr).into_owned();
        assert_eq!(said.status.code(), Some(4), "{text}");
        assert!(text.contains(why), "{text}");
        assert!(!text.contains(challenge), "{text}");
    };
    refused(CERTNAME, &"0".repeat(40), "of no machine");
    refused("db01.lab.example", challenge, "another machine's");
    let no_request = puppet.policy(CERTNAME, "nothing");
    assert_eq!(no_request.status.code(), Some(4));

    names(machine.disk(), "10.77.0.1");
    until(
        "the certificate",
        SLOW,
        || unit.tail(),
        || Ok(puppet.signed(CERTNAME).then_some(())),
    )?;
    let said = || fs::read_to_string(&log).unwrap_or_default();
    until("Puppet's end", SLOW, said, || {
        let over = fs::read_to_string(machine.disk().path("/var/lib/farrier/done"));
        let over = over.unwrap_or_default().contains("50-puppet");
        match unit.ended()? {
            Some(code) if !over => panic!("the unit ended with {code}: {}", unit.tail()),
            _ => Ok(over.then_some(())),
        }
    })?;
    refused(CERTNAME, challenge, "was used already");
    for verb in [&["status"][..], &["why", "web01"]] {
        let said = server.must(verb)?;
        assert!(said.contains("its challenge was used already"), "{said}");
    }
    machine.disk().put("/run/go", 0o644, "");
    assert_eq!(unit.wait(SLOW)?, 0, "{}", unit.tail());
    assert_eq!(server.phase("web01")?, Phase::Ready);

    // the classes came from the classifier, the name from the certificate
    let motd = machine.disk().read("/etc/motd");
    assert!(
        motd.starts_with("the motd of ") && motd.contains(CERTNAME),
        "{motd}"
    );
    let refusal = "enrolment-refused puppet `web01.lab.example`: its challenge is of no machine";
    let story = succeeded(server)?;
    assert!(story.iter().any(|e| e.contains(refusal)), "{story:#?}");
    // nothing of the challenge is left on the disk, and no key that could be taken for another
    assert!(
        !machine
            .disk()
            .path("/etc/puppet/csr_attributes.yaml")
            .exists()
    );
    assert!(!server.log().contains(challenge));
    Ok(())
}

/// Rebuilt with a manifest that fails: the old certificate goes first, and it is said which resource
/// failed first.
fn broken(
    rack: &Rack,
    server: &Server,
    puppet: &Puppet,
    machine: &mut Target,
) -> Result<(), RackError> {
    assert!(puppet.signed(CERTNAME));
    let before = puppet.serial();
    puppet.manifest(BROKEN);
    server.must(&["rebuild", "web01", "--yes"])?;
    puppet.taken_back(server, 2, &before)?;
    machine.install(|system| names(system, "10.77.0.1"))?;
    let log = rack.dir().join("first-boot-2.log");
    let mut unit = machine.first_boot(&log)?;
    assert_eq!(unit.wait(SLOW)?, 1, "{}", unit.tail());
    names_what_failed(server)?;
    assert_ne!(puppet.serial(), before, "another certificate");
    // what the disk keeps of it: no bundle, no challenge
    assert!(!machine.disk().path("/run/farrier").exists());
    assert!(
        !machine
            .disk()
            .path("/etc/puppet/csr_attributes.yaml")
            .exists()
    );
    Ok(())
}
