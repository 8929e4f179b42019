//! Puppet Server of Debian 12, with Farrier for its policy and its classifier, and what is said of runs
//! against it.

use std::fs;
use std::os::unix::fs::chown;
use std::path::Path;
use std::process::Command;

use farrier::cli::demo::rack::{Patience, Process, Rack, RackError, Server, until};
use farrier::model::{MacAddr, Phase};

use super::root::System;
use super::target::story;

/// What machines find it by, and what its certificate says.
pub(super) const NAME: &str = "puppet.lab.example";
/// What it knows the machine `web01` by.
pub(super) const CERTNAME: &str = "web01.lab.example";
/// Where its authority is.
pub(super) const CA: &str = "/etc/puppet/puppetserver/ca";

/// A busy host's JVM takes its time.
pub(super) const SLOW: Patience = Patience::seconds(600);

/// What the classifier has the machine do.
pub(super) const GOOD: &str = r#"
class role($motd) {
  file { '/etc/motd': content => "${motd} of ${facts['networking']['fqdn']}, ${trusted['certname']}\n" }
}
node default {}
"#;

/// The same with three resources, of which the first to fail is `Exec[break it]`.
pub(super) const BROKEN: &str = r#"
class role($motd) {
  exec { 'break it': command => '/bin/false' }
  file { '/etc/motd': content => $motd, require => Exec['break it'] }
  file { '/nonexistent/folder/file': content => 'x' }
}
node default {}
"#;

/// Puppet Server in a system of its own.
pub(super) struct Puppet {
    pub(super) system: System,
    jvm: Option<Process>,
}

impl Puppet {
    pub(super) fn prepare(rack: &Rack) -> Puppet {
        let system = System::new(rack.dir(), "puppetserver");
        system.put(
            "/etc/hosts",
            0o644,
            &format!("127.0.0.1 localhost {NAME}\n"),
        );
        let puppet = Puppet { system, jvm: None };
        puppet.configure("");
        puppet.manifest(GOOD);
        puppet.system.put(
            "/etc/puppet/puppetserver/conf.d/puppetserver.conf",
            0o644,
            &puppet
                .system
                .read("/etc/puppet/puppetserver/conf.d/puppetserver.conf")
                .replace("#max-active-instances: 1", "max-active-instances: 1"),
        );
        let made = Command::new("chroot")
            .arg(puppet.system.root())
            .args(["puppetserver", "ca", "setup"])
            .output()
            .expect("chroot");
        assert!(made.status.success(), "{made:?}");
        // as its unit's RuntimeDirectory
        fs::create_dir_all(puppet.system.path("/run/puppetserver")).expect("a folder");
        let owned = Command::new("chroot")
            .arg(puppet.system.root())
            .args([
                "chown",
                "-R",
                "puppet:puppet",
                "/etc/puppet",
                "/var/lib/puppet",
            ])
            .arg("/run/puppetserver")
            .status();
        assert!(owned.expect("chroot").success());
        puppet
    }

    pub(super) fn configure(&self, more: &str) {
        self.system.put(
            "/etc/puppet/puppet.conf",
            0o644,
            &format!("[main]\nserver = {NAME}\n[server]\ncertname = {NAME}\ndns_alt_names = {NAME}\n{more}"),
        );
    }

    pub(super) fn manifest(&self, text: &str) {
        let path = "/etc/puppet/code/environments/production/manifests/site.pp";
        self.system.put(path, 0o644, text);
    }

    /// Farrier is its policy and its classifier, and is told of each run.
    pub(super) fn belongs_to(&self, server: &Server) -> Result<(), RackError> {
        let reports = server.must(&["puppet", "report-url"])?;
        self.configure(&format!(
            "autosign = /etc/puppet/farrier-autosign\nnode_terminus = exec\n\
             external_nodes = /etc/puppet/farrier-enc\nreports = http\nreporturl = {}\n",
            reports.trim()
        ));
        self.ask_farrier(server);
        Ok(())
    }

    pub(super) fn ask_farrier(&self, server: &Server) {
        let program = env!("CARGO_BIN_EXE_farrier");
        self.system.bind(Path::new(program));
        self.system.bind(server.site());
        self.system.bind(server.state());
        for verb in ["autosign", "enc"] {
            self.system.put(
                &format!("/etc/puppet/farrier-{verb}"),
                0o755,
                &format!(
                    "#!/bin/sh\nexec {program} --site {} --state {} puppet {verb} \"$1\"\n",
                    server.site().display(),
                    server.state().display()
                ),
            );
        }
        self.may_ask(server);
    }

    /// As an operator does with a group: Puppet's user may open the control socket, which is another one
    /// after a restart, and gets through its directory to it.
    pub(super) fn may_ask(&self, server: &Server) {
        let socket = server.state().join("control.sock");
        let group = self.system.id("/etc/group", "puppet");
        for path in [server.state(), &socket] {
            chown(path, None, Some(group)).expect("its group");
        }
    }

    pub(super) fn start(&mut self, rack: &Rack) -> Result<(), RackError> {
        let mut command = rack.namespace().command("chroot");
        command
            .arg("--userspec=puppet:puppet")
            .arg(self.system.root())
            .args([
                "/usr/bin/java",
                "-Xms128m",
                "-Xmx512m",
                "-XX:TieredStopAtLevel=1",
            ])
            .arg("-Djruby.logger.class=com.puppetlabs.jruby_utils.jruby.Slf4jLogger")
            .args(["-Dlogappender=STDOUT", "-Djruby.lib=/usr/share/jruby/lib"])
            .args(["-jar", "/usr/share/puppetserver/puppetserver.jar"])
            .args(["--config", "/etc/puppet/puppetserver/conf.d"])
            .args(["--bootstrap-config", "/etc/puppet/puppetserver/services.d"])
            .env("HOME", "/var/lib/puppetserver");
        let log = rack.dir().join("puppetserver.log");
        self.jvm = Some(Process::start("Puppet Server", &mut command, &log, false)?);
        Ok(())
    }

    pub(super) fn until_up(&mut self) -> Result<(), RackError> {
        let jvm = self.jvm.as_mut().expect("it was started");
        let log = jvm.log().to_path_buf();
        let said = || fs::read_to_string(&log).unwrap_or_default();
        until("Puppet Server", SLOW, said, || {
            if let Some(code) = jvm.ended()? {
                panic!("Puppet Server ended with {code}: {}", jvm.tail());
            }
            let up = jvm.said().contains("is now ready to handle requests");
            Ok(up.then_some(()))
        })
    }

    /// Whether there is a certificate of this name that was signed and not taken back.
    pub(super) fn signed(&self, certname: &str) -> bool {
        self.system
            .path(&format!("{CA}/signed/{certname}.pem"))
            .exists()
    }

    /// The serial number of the machine's certificate, as OpenSSL prints it.
    pub(super) fn serial(&self) -> String {
        let file = format!("{CA}/signed/{CERTNAME}.pem");
        let said = self.openssl(&["x509", "-noout", "-serial", "-in", &file]);
        said.trim().trim_start_matches("serial=").to_string()
    }

    /// Until the identity of the build before this one is gone: no certificate, and its number in the list
    /// of those that are no longer good.
    pub(super) fn taken_back(
        &self,
        server: &Server,
        build: u32,
        serial: &str,
    ) -> Result<(), RackError> {
        until(
            "the revocation",
            SLOW,
            || server.evidence("web01", None),
            || Ok((!self.signed(CERTNAME)).then_some(())),
        )?;
        server.wait_event("web01", "the revocation", SLOW, None, |e| {
            e.build == Some(build) && e.kind == "identity-revoked"
        })?;
        let list = format!("{CA}/ca_crl.pem");
        let said = self.openssl(&["crl", "-noout", "-text", "-in", &list]);
        let number = format!("Serial Number: {serial}");
        assert!(said.lines().any(|l| l.trim() == number), "{number}: {said}");
        Ok(())
    }

    fn openssl(&self, words: &[&str]) -> String {
        let done = Command::new("chroot")
            .arg(self.system.root())
            .arg("openssl")
            .args(words)
            .output()
            .expect("chroot");
        assert!(done.status.success(), "{done:?}");
        String::from_utf8_lossy(&done.stdout).into_owned()
    }

    /// What is in `farrier.toml` of it: how a certificate is taken back.
    pub(super) fn farrier_toml(&self) -> String {
        format!(
            "[agent.puppet]\nrevoke = [\"chroot\", \"{}\", \"puppetserver\", \"ca\", \"clean\", \
             \"--certname\", \"{{name}}\"]\n",
            self.system.root().display()
        )
    }

    /// Its authority's certificate, for a profile.
    pub(super) fn authority(&self) -> String {
        self.system.read(&format!("{CA}/ca_crt.pem"))
    }
}

/// What a profile says of it; its authority is in `puppet-ca.pem`, its steps in `steps`.
pub(super) fn handoff() -> String {
    format!(
        "agent = \"puppet\"\nsteps = \"steps\"\ntimeout = \"25m\"\n[handoff.puppet]\n\
         server = \"{NAME}\"\nca = \"puppet-ca.pem\"\nenvironment = \"production\"\n"
    )
}

/// The machine, and what the classifier says of it.
pub(super) fn declare(server: &Server, mac: MacAddr, profile: &str) -> Result<(), RackError> {
    server.must(&["add", "web01", &mac.to_string(), profile])?;
    server.must(&[
        "set",
        "web01",
        "vars.puppet.classes.role.motd=the motd",
        "tags=web",
    ])?;
    Ok(())
}

/// A run that succeeded, as the machine and the server told it.
pub(super) fn succeeded(server: &Server) -> Result<Vec<String>, RackError> {
    let story = story(server, "web01")?;
    for what in [
        "enrolled as puppet `web01.lab.example`",
        "run-reported puppet `web01.lab.example` changed",
        "agent-reported puppet changed (code 2)",
    ] {
        assert!(
            story.iter().any(|e| e.contains(what)),
            "no `{what}`: {story:#?}"
        );
    }
    Ok(story)
}

/// The build failed while it configured, and it is said which resource was the first to fail: by the
/// machine, by Puppet Server's report, and by `farrier why`.
pub(super) fn names_what_failed(server: &Server) -> Result<(), RackError> {
    let build = server.show("web01")?.build.expect("a build");
    assert_eq!(
        (build.phase, build.stage.as_deref()),
        (Phase::Failed, Some("configure")),
        "{}",
        server.evidence("web01", None)
    );
    let reason = build.reason.unwrap_or_default();
    assert!(
        reason.contains("Exec[break it]/returns") && reason.contains("'/bin/false' returned 1"),
        "{reason}"
    );
    let why = server.must(&["why", "web01"])?;
    assert!(why.contains("Exec[break it]"), "{why}");
    let story = story(server, "web01")?;
    let reported = story.iter().rfind(|e| e.starts_with("run-reported"));
    let reported = reported.expect("the server's own report");
    assert!(
        reported.contains("failed: Exec[break it]: change from 'notrun' to ['0'] failed"),
        "{reported}"
    );
    let told = |code: &str| format!("agent-reported puppet failed (code {code})");
    let told = [told("6"), told("4")];
    assert!(
        story.iter().any(|e| told.iter().any(|t| e.contains(t))),
        "{story:#?}"
    );
    Ok(())
}
