//! A machine as configuration management sees it.

use std::net::Ipv4Addr;

use serde::{Deserialize, Serialize};

use super::{MacAddr, Name, Phase};

/// One machine, for inventories and classifiers. No secret is in it: a var that refers to one is
/// left out.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct NodeView {
    /// The name of its entry.
    pub name: Name,
    /// Its full name; agents' servers know it by this.
    pub fqdn: String,
    /// Its address, if it is known.
    pub ip: Option<Ipv4Addr>,
    /// Its first interface.
    pub mac: Option<MacAddr>,
    /// Its profile.
    pub profile: Name,
    /// Its tags.
    pub tags: Vec<String>,
    /// Where its build stands.
    pub phase: Phase,
    /// The environment its profile names.
    pub environment: Option<String>,
    /// Its vars, its profile's merged in.
    pub vars: serde_json::Map<String, serde_json::Value>,
    /// The ssh host keys that its last first boot reported.
    pub host_keys: Vec<String>,
}

/// What a policy says of a request for a certificate.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AutosignView {
    /// Whose it is.
    pub system: Name,
    /// The build whose challenge it had.
    pub build: u32,
}

/// Where a Puppet server reports to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReportUrls {
    /// For `reporturl`, one for each address of this server, over HTTP: for a Puppet server on this
    /// host.
    pub local: Vec<String>,
    /// The same over HTTPS, for one elsewhere that trusts this server's authority.
    pub remote: Vec<String>,
}
