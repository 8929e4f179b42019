//! One network namespace and what is plugged together inside it.

use std::fs::File;
use std::process::Command;

use super::RackError;
use super::cleanup;
use super::process::{Output, must};

/// A network namespace; dropping it ends every process inside and removes it.
#[derive(Debug)]
pub struct Namespace {
    name: String,
}

impl Namespace {
    /// Makes one with a unique name, its loopback up. `label` is for people who list namespaces.
    ///
    /// # Errors
    /// This is not root, or the kernel has no namespaces.
    pub fn new(label: &str) -> Result<Namespace, RackError> {
        let mut name = cleanup::unique();
        if !label.is_empty() {
            name = format!("{name}-{label}");
        }
        cleanup::keep_namespace(&name);
        let namespace = Namespace { name };
        must(Command::new("ip").args(["netns", "add", &namespace.name]))?;
        namespace.ip(&["link", "set", "lo", "up"])?;
        Ok(namespace)
    }

    /// Its name, for `ip netns exec`.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// A command that will run inside. What is started is the program itself: its process number is
    /// the child's.
    pub fn command(&self, program: &str) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.name, program]);
        command
    }

    /// `ip` with these arguments, inside.
    ///
    /// # Errors
    /// It fails.
    pub fn ip(&self, arguments: &[&str]) -> Result<Output, RackError> {
        must(Command::new("ip").args(["-n", &self.name]).args(arguments))
    }

    /// Runs something on a thread of its own that is inside: sockets it opens belong there for ever.
    ///
    /// # Errors
    /// The namespace cannot be entered.
    pub fn inside<T: Send>(&self, work: impl FnOnce() -> T + Send) -> Result<T, RackError> {
        let path = std::path::PathBuf::from(format!("/run/netns/{}", self.name));
        let file = File::open(&path).map_err(RackError::file(&path))?;
        std::thread::scope(|scope| {
            let thread = scope.spawn(|| {
                nix::sched::setns(&file, nix::sched::CloneFlags::CLONE_NEWNET)
                    .map_err(|e| RackError::file(&path)(e.into()))?;
                Ok(work())
            });
            match thread.join() {
                Ok(result) => result,
                Err(panic) => std::panic::resume_unwind(panic),
            }
        })
    }

    /// A switch with an address of its own.
    pub(super) fn bridge(&self, name: &str, address: &str) -> Result<(), RackError> {
        self.ip(&["link", "add", name, "type", "bridge"])?;
        self.ip(&["addr", "add", address, "dev", name])?;
        self.ip(&["link", "set", name, "up"])?;
        Ok(())
    }

    /// A cable from a switch here to a new interface there, which is up and has no address.
    pub(super) fn cable(
        &self,
        bridge: &str,
        port: &str,
        other: &Namespace,
        interface: &str,
        mac: &str,
    ) -> Result<(), RackError> {
        self.ip(&[
            "link",
            "add",
            port,
            "type",
            "veth",
            "peer",
            "name",
            interface,
            "address",
            mac,
            "netns",
            &other.name,
        ])?;
        self.ip(&["link", "set", port, "master", bridge, "up"])?;
        other.ip(&["link", "set", interface, "up"])?;
        Ok(())
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        cleanup::drop_namespace(&self.name);
    }
}
