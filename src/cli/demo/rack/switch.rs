//! The rack itself: a switch, the server's address on it, and room for machines and hosts.

use std::fs;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use super::advert::Advertiser;
use super::{Host, Machine, Namespace, RackError, cleanup};

/// The server's address in every rack.
pub const SERVER: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 1);
/// The rack's network.
pub const SUBNET: &str = "10.77.0.0/24";
/// The interface of the server that machines are plugged into.
const BRIDGE: &str = "br0";

/// A private network with a place for a server in it.
#[derive(Debug)]
pub struct Rack {
    // Fields are dropped in this order: the router stops before its namespace goes.
    _advertiser: Advertiser,
    namespace: Namespace,
    dir: PathBuf,
    ports: AtomicU32,
}

impl Rack {
    /// Builds one.
    ///
    /// # Errors
    /// This is not root, or a tool of [`super::tools`] is missing.
    pub fn new() -> Result<Rack, RackError> {
        let namespace = Namespace::new("")?;
        let dir = cleanup::base().join(namespace.name());
        cleanup::keep_directory(&dir);
        fs::create_dir_all(&dir).map_err(RackError::file(&dir))?;
        namespace.bridge(BRIDGE, &format!("{SERVER}/24"))?;
        Ok(Rack {
            _advertiser: Advertiser::start(&namespace, BRIDGE)?,
            namespace,
            dir,
            ports: AtomicU32::new(0),
        })
    }

    /// The server's interface.
    pub fn interface(&self) -> &str {
        BRIDGE
    }

    /// The namespace that the server and the machines live in.
    pub fn namespace(&self) -> &Namespace {
        &self.namespace
    }

    /// Where disks, logs and other files of this rack are.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// A new machine of 2 GiB with a blank disk, BIOS firmware and a hardware address of its own; see
    /// [`Machine`] for what can be chosen. It is off.
    pub fn machine(&self, name: &str) -> Machine {
        let port = self.next();
        Machine::new(name, &self.dir, self.namespace.name(), BRIDGE, port)
    }

    /// Another computer on the same switch, without an address.
    ///
    /// # Errors
    /// It cannot be plugged in.
    pub fn host(&self, name: &str) -> Result<Host, RackError> {
        let port = self.next();
        Host::plug(name, &self.namespace, BRIDGE, port)
    }

    /// Leaves [`Rack::dir`] behind when the rack goes, for a person to look into.
    pub fn keep_files(&self) {
        // The marker tells later racks that this is no leftover.
        let _ = fs::write(self.dir.join("keep"), "");
        cleanup::leave_directory(&self.dir);
    }

    fn next(&self) -> u32 {
        self.ports.fetch_add(1, Ordering::Relaxed)
    }
}

impl Drop for Rack {
    fn drop(&mut self) {
        if !self.dir.join("keep").exists() {
            cleanup::drop_directory(&self.dir);
        }
    }
}
