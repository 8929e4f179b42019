//! A machine that Anaconda runs on, as far as the profile's scripts can tell: disks, interfaces, logs, and
//! a `reboot` that ends the script instead.

use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::{Command, Output};

use farrier::model::{Firmware, Profile, System};
use farrier::render::{CompiledProfile, Place, Rendered};

use crate::render::debian::lay_out;
use crate::render::server::Server;
use crate::render::site::distro_of;

/// The server of a test, and the documents rendered for its address.
pub(in crate::render) fn serving(
    profile: &Profile,
    system: &System,
    answer: impl Fn(&str, &str, usize) -> (u16, String) + Send + 'static,
) -> (Server, Rendered) {
    let render = |at: &Place| {
        let mut at = at.clone();
        at.firmware = Some(Firmware::UEFI);
        let compiled = CompiledProfile::new(profile).expect("a sound profile");
        let rendered = compiled.render(system, &distro_of(profile), &at);
        rendered.expect("rendered")
    };
    Server::of(render, answer)
}

/// The verbs of what was reported, without the logs that go before a failure.
pub(in crate::render) fn reports(server: &Server) -> Vec<String> {
    let mut verbs = server.reports();
    verbs.retain(|verb| verb != "bundle");
    verbs
}

/// A machine of a test.
pub(in crate::render) struct Machine {
    root: tempfile::TempDir,
}

impl Machine {
    /// One with the build's documents in place; none, and said loudly, without the right to mount.
    pub(in crate::render) fn new(rendered: &Rendered, uefi: bool) -> Option<Machine> {
        let done = Command::new("unshare").args(["--mount", "true"]).output();
        if !done.is_ok_and(|d| d.status.success()) {
            crate::skipped!("needs root and unshare; the scripts were not run");
            return None;
        }
        let made = Machine {
            root: tempfile::tempdir().expect("a folder"),
        };
        lay_out(rendered, &made.path("farrier"));
        for folder in ["bin", "dev", "logs", "sys/class/net", "sys/block"] {
            std::fs::create_dir_all(made.path(folder)).expect("a folder");
        }
        if uefi {
            std::fs::create_dir_all(made.path("sys/firmware/efi")).expect("a folder");
        }
        let left = made.path("left");
        for name in ["reboot", "poweroff", "halt"] {
            let text = format!("echo {name} >>'{}'; kill -9 $PPID", left.display());
            made.program(name, &text);
        }
        for name in ["udevadm", "setsid", "dmesg", "ethtool"] {
            made.program(name, "exit 1");
        }
        for (n, mac) in ["01", "02", "03"].iter().enumerate() {
            let link = made.path(&format!("sys/class/net/enp{n}s0"));
            std::fs::create_dir_all(&link).expect("a folder");
            std::fs::write(link.join("address"), format!("52:54:00:00:00:{mac}\n"))
                .expect("a file");
        }
        for disk in ["vda", "vdb"] {
            let at = made.path(&format!("sys/block/{disk}"));
            std::fs::create_dir_all(at.join("device")).expect("a folder");
            std::fs::write(at.join("size"), "83886080\n").expect("a file");
            std::fs::write(at.join("serial"), format!("S-{disk}\n")).expect("a file");
        }
        Some(made)
    }

    pub(in crate::render) fn path(&self, below: &str) -> PathBuf {
        self.root.path().join(below)
    }

    pub(in crate::render) fn text(&self, below: &str) -> String {
        let path = self.path(below);
        std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
    }

    pub(in crate::render) fn write(&self, below: &str, text: &str) {
        let path = self.path(below);
        std::fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
        std::fs::write(&path, text).expect("a file");
    }

    /// Puts a program of ours before the host's.
    pub(in crate::render) fn program(&self, name: &str, text: &str) {
        let path = self.path("bin").join(name);
        std::fs::write(&path, format!("#!/bin/sh\n{text}\n")).expect("a file");
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).expect("a mode");
    }

    /// Runs one of the build's scripts where only its own disks are, and this host cannot be restarted.
    pub(in crate::render) fn run(&self, script: &str) -> Output {
        const INSIDE: &str = "[ ! -e /proc/sysrq-trigger ] || mount --bind /dev/null /proc/sysrq-trigger || exit 9\n\
            for n in null zero urandom; do [ -e dev/$n ] || cp -a /dev/$n dev/ || exit 9; done\n\
            [ -e dev/vda ] || mknod dev/vda b 7 250 || exit 9\n\
            [ -e dev/vdb ] || mknod dev/vdb b 7 251 || exit 9\n\
            mount --bind dev /dev || exit 9\n\
            cd farrier && exec bash ./\"$1\"";
        Command::new("unshare")
            .args([
                "--mount",
                "--propagation",
                "private",
                "bash",
                "-c",
                INSIDE,
                "-",
                script,
            ])
            .current_dir(self.root.path())
            .env_clear()
            .env(
                "PATH",
                format!(
                    "{}:/usr/sbin:/usr/bin:/sbin:/bin",
                    self.path("bin").display()
                ),
            )
            .env("FARRIER_DIR", self.path("farrier"))
            .env("FARRIER_SYS", self.path("sys"))
            .env("FARRIER_LOG_DIR", self.path("logs"))
            .env("FARRIER_TARGET", self.path("target"))
            .env("FARRIER_PAUSE", "0")
            .env("FARRIER_TRIES", "3")
            .env("FARRIER_TICK", "1")
            .output()
            .expect("unshare")
    }

    /// Whether it was left to its firmware.
    pub(in crate::render) fn left(&self) -> bool {
        self.path("left").exists()
    }

    /// The answers as Anaconda reads them after %pre: what is included, in its place.
    pub(in crate::render) fn answers(&self) -> String {
        let mut out = String::new();
        for line in self.text("farrier/ks.cfg").lines() {
            match line.strip_prefix("%include /tmp/") {
                Some(file) => out.push_str(&self.text(file)),
                None => out.push_str(line),
            }
            out.push('\n');
        }
        out
    }
}
