//! Rendering: the face of the room.

use std::collections::BTreeMap;

use crate::model::{Diagnostic, Distro, Document, Firmware, Profile, Subnet, System};

/// Where the machine reaches this server, and what is known of it.
#[derive(Debug, Clone)]
pub struct Place {
    /// This server's address and HTTP port as the machine reaches them.
    pub server: std::net::SocketAddrV4,
    /// The subnet the machine boots in.
    pub subnet: Option<Subnet>,
    /// The address it has or will have.
    pub ip: Option<std::net::Ipv4Addr>,
    /// Its firmware, as far as it was ever seen.
    pub firmware: Option<Firmware>,
    /// The number of the build.
    pub epoch: u32,
}

/// What a build gets.
#[derive(Debug, Clone)]
pub struct Rendered {
    /// Kernel command line.
    pub cmdline: String,
    /// Documents by name.
    pub documents: BTreeMap<String, Document>,
}

/// Renders a system.
///
/// # Errors
/// Always, until the room is furnished.
pub fn render(_: &System, _: &Profile, _: &Distro, _: &Place) -> Result<Rendered, Vec<Diagnostic>> {
    Err(Vec::new())
}

/// The values templates see.
pub fn variables(system: &System, _: &Profile) -> serde_json::Map<String, serde_json::Value> {
    system.vars.clone()
}
