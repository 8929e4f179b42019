//! A machine whose installer is a phantom and whose installed system is real.

use std::path::Path;
use std::process::Command;

use farrier::cli::demo::rack::{Patience, Process, Rack, RackError, Server, until};

use super::root::System;
use crate::rack::phantom::Phantom;

/// A machine and what is on its disk now.
pub(super) struct Target {
    pub(super) phantom: Phantom,
    dir: std::path::PathBuf,
    installs: u32,
    pub(super) system: Option<System>,
}

impl Target {
    pub(super) fn new(rack: &Rack, name: &str) -> Result<Target, RackError> {
        Ok(Target {
            phantom: Phantom::new(rack, name)?,
            dir: rack.dir().join(format!("disk-{name}")),
            installs: 0,
            system: None,
        })
    }

    /// From power-on to the installer's end: a fresh system is on the disk, with its first-boot unit.
    pub(super) fn install(&mut self, prepare: impl Fn(&System)) -> Result<(), RackError> {
        self.power_off()?;
        let installer = self.phantom.start_installer()?;
        let disks = self.phantom.disks();
        self.phantom.must_report(&installer, "disks", &disks)?;
        self.installs += 1;
        let system = System::new(&self.dir, &format!("install-{}", self.installs));
        prepare(&system);
        let script = self.phantom.first_boot_script(&installer)?;
        let placed = self
            .phantom
            .host
            .namespace()
            .command("sh")
            .args(["-c", &script, "first-boot.sh"])
            .arg(system.root())
            .output()
            .expect("sh");
        assert!(placed.status.success(), "{placed:?}");
        self.phantom.must_report(&installer, "end", "")?;
        self.system = Some(system);
        Ok(())
    }

    /// Ends all that runs on it.
    fn power_off(&self) -> Result<(), RackError> {
        let name = self.phantom.host.namespace().name();
        let pids = Command::new("ip").args(["netns", "pids", name]).output();
        let pids = String::from_utf8_lossy(&pids.expect("ip").stdout).into_owned();
        for pid in pids.split_whitespace().filter_map(|p| p.parse().ok()) {
            let pid = nix::unistd::Pid::from_raw(pid);
            let _ended_meanwhile = nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGKILL);
        }
        until(
            "power to be off",
            Patience::seconds(20),
            || pids.clone(),
            || {
                let left = Command::new("ip").args(["netns", "pids", name]).output();
                Ok(left.expect("ip").stdout.is_empty().then_some(()))
            },
        )
    }

    pub(super) fn disk(&self) -> &System {
        self.system.as_ref().expect("it is installed")
    }

    /// A command in the installed system.
    pub(super) fn command(&self, program: &str) -> Command {
        let mut command = self.phantom.host.namespace().command("chroot");
        command.arg(self.disk().root()).arg(program);
        command
    }

    /// The first boot: the unit itself, as systemd would start it.
    pub(super) fn first_boot(&self, log: &Path) -> Result<Process, RackError> {
        let mut command = self.command("/bin/sh");
        command
            .arg("/usr/lib/farrier/first-boot")
            .env_clear()
            .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
            .env("FARRIER_PAUSE", "2");
        Process::start("the first-boot unit", &mut command, log, false)
    }
}

/// Everything recorded of a system, a line each.
pub(super) fn story(server: &Server, system: &str) -> Result<Vec<String>, RackError> {
    let events = server.events(system)?;
    Ok(events
        .iter()
        .map(|e| format!("{} {}", e.kind, e.detail))
        .collect())
}
