//! Other computers of the rack: a namespace and a cable.

use std::fs;
use std::net::Ipv4Addr;
use std::path::Path;
use std::process::Command;

use super::process::{Output, run};
use super::{Machine, Namespace, RackError};
use crate::model::MacAddr;

/// A computer without firmware: network clients, relays and other servers run in it.
#[derive(Debug)]
pub struct Host {
    namespace: Namespace,
    mac: MacAddr,
}

/// The interface of a host that is plugged into the rack.
const INTERFACE: &str = "eth0";
/// The switch behind a host that routes to a network of its own.
const BEHIND: &str = "br1";

impl Host {
    pub(super) fn plug(
        name: &str,
        rack: &Namespace,
        bridge: &str,
        port: u32,
    ) -> Result<Host, RackError> {
        let namespace = Namespace::new(name)?;
        let mac = MacAddr([0x52, 0x54, 0, 0x48, (port >> 8) as u8, port as u8]);
        rack.cable(
            bridge,
            &format!("host{port}"),
            &namespace,
            INTERFACE,
            &mac.to_string(),
        )?;
        Ok(Host { namespace, mac })
    }

    /// Its hardware address.
    pub fn mac(&self) -> MacAddr {
        self.mac
    }

    /// Its interface.
    pub fn interface(&self) -> &str {
        INTERFACE
    }

    /// Its namespace.
    pub fn namespace(&self) -> &Namespace {
        &self.namespace
    }

    /// Gives it an address by hand, such as `10.77.0.50/24`.
    ///
    /// # Errors
    /// That is no address.
    pub fn address(&self, address: &str) -> Result<(), RackError> {
        self.namespace
            .ip(&["addr", "replace", address, "dev", INTERFACE])?;
        Ok(())
    }

    /// Takes every IPv4 address off again.
    ///
    /// # Errors
    /// The interface is gone.
    pub fn no_address(&self) -> Result<(), RackError> {
        self.namespace
            .ip(&["-4", "addr", "flush", "dev", INTERFACE])?;
        Ok(())
    }

    /// Runs a command in it to its end, whatever that is.
    ///
    /// # Errors
    /// It cannot be started.
    pub fn run(&self, words: &[&str]) -> Result<Output, RackError> {
        let (program, arguments) = words.split_first().unwrap_or((&"true", &[]));
        run(self.namespace.command(program).args(arguments))
    }

    /// Makes it a router with a network of its own behind it: `inner` (such as `10.77.1.1/24`) is its
    /// address there. The rack's server is told the way.
    ///
    /// # Errors
    /// The network cannot be set up.
    pub fn route(
        &self,
        rack: &Namespace,
        outer: Ipv4Addr,
        inner: &str,
        network: &str,
    ) -> Result<(), RackError> {
        self.address(&format!("{outer}/24"))?;
        self.namespace.bridge(BEHIND, inner)?;
        let forward = Path::new("/proc/sys/net/ipv4/ip_forward");
        self.namespace
            .inside(|| fs::write(forward, "1"))?
            .map_err(RackError::file(forward))?;
        rack.ip(&["route", "replace", network, "via", &outer.to_string()])?;
        Ok(())
    }

    /// The switch behind it, after [`Host::route`].
    pub fn behind(&self) -> &str {
        BEHIND
    }

    /// A computer on the network behind it.
    ///
    /// # Errors
    /// It cannot be plugged in.
    pub fn host(&self, name: &str, port: u32) -> Result<Host, RackError> {
        Host::plug(name, &self.namespace, BEHIND, port + 0x100)
    }

    /// A machine on the network behind it, with its files in `dir`.
    pub fn machine(&self, name: &str, dir: &Path, port: u32) -> Machine {
        Machine::new(name, dir, self.namespace.name(), BEHIND, port + 0x100)
    }

    /// Its IPv4 address, if it has one.
    ///
    /// # Errors
    /// `ip` fails.
    pub fn ip(&self) -> Result<Option<Ipv4Addr>, RackError> {
        let out = run(Command::new("ip").args([
            "-n",
            self.namespace.name(),
            "-4",
            "-o",
            "addr",
            "show",
            "dev",
            INTERFACE,
        ]))?;
        let mut after = out.stdout.split_whitespace().skip_while(|w| *w != "inet");
        let address = after.nth(1).and_then(|w| w.split('/').next());
        Ok(address.and_then(|a| a.parse().ok()))
    }
}
