//! A site: everything its owner declared, in one immutable value.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

use imbl::{HashMap, OrdMap};
use serde::{Deserialize, Serialize};

use super::{Digest, Distro, MacAddr, Name, Profile, Subnet, System};

/// One loaded and checked revision of a site. Revisions share what they have in common: a copy of a
/// hundred thousand systems costs nothing, and two revisions are compared where they differ.
#[derive(Debug, Clone)]
pub struct Site {
    /// Content address of the files it was loaded from.
    pub revision: Digest,
    /// `[server]`.
    pub server: Server,
    /// `[dhcp] mode`.
    pub dhcp: DhcpMode,
    /// `[[subnet]]`, in the order written.
    pub subnets: Vec<Subnet>,
    /// `[unknown] action`.
    pub unknown: UnknownAction,
    /// `[mirror.NAME]`.
    pub mirrors: BTreeMap<String, Mirror>,
    /// `[freeze]`: nothing may be installed while this holds a reason.
    pub frozen: Option<String>,
    /// `[keep]`.
    pub keep: Keep,
    /// `[agent.NAME]`.
    pub agents: AgentServers,
    /// `profiles/`.
    pub profiles: BTreeMap<Name, Arc<Profile>>,
    /// `boot/`.
    pub distros: BTreeMap<Name, Arc<Distro>>,
    /// `systems.toml` and `systems.d/`.
    pub systems: OrdMap<Name, Arc<System>>,
    /// Which system an interface belongs to.
    pub by_mac: HashMap<MacAddr, Arc<System>>,
    /// Which system an address is reserved for.
    pub by_ip: HashMap<Ipv4Addr, Arc<System>>,
}

/// `[keep]` of `farrier.toml`: how much of the past stays in the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Keep {
    /// Events of the whole site, the newest.
    pub events: u32,
    /// Builds of one system, the newest, with what they pinned and their logs.
    pub builds: u32,
    /// Revisions of the site, the newest; those that a kept build pins stay too.
    pub revisions: u32,
    /// Lines of one build's log, the newest.
    pub log_lines: u32,
    /// MiB of all bundles of logs, the newest.
    pub bundles: u32,
    /// Leases for this long after they ended, so that a machine gets its old address again.
    pub leases: Duration,
}

impl Default for Keep {
    fn default() -> Self {
        Keep {
            events: 1_000_000,
            builds: 20,
            revisions: 500,
            log_lines: 20_000,
            bundles: 1024,
            leases: Duration::from_secs(30 * 24 * 3600),
        }
    }
}

/// `[agent.NAME]` of `farrier.toml`: the servers of configuration agents, as far as they are on this
/// host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AgentServers {
    /// The words of the command that takes a certificate of Puppet's back; `{name}` in one stands for
    /// its name. Empty: that is not Farrier's to do.
    pub puppet_revoke: Vec<String>,
    /// Salt's folder of keys, which has `minions` in it.
    pub salt_pki: String,
    /// CFEngine's folder of keys.
    pub cfengine_keys: String,
}

impl Default for AgentServers {
    fn default() -> Self {
        let revoke = ["puppetserver", "ca", "clean", "--certname", "{name}"];
        AgentServers {
            puppet_revoke: revoke.map(str::to_string).to_vec(),
            salt_pki: "/etc/salt/pki/master".to_string(),
            cfengine_keys: "/var/lib/cfengine3/ppkeys".to_string(),
        }
    }
}

/// `[server]` of `farrier.toml`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Server {
    /// Interfaces to answer on; empty means those that carry an address of a subnet.
    pub interfaces: Vec<String>,
    /// HTTP port of the machine plane.
    pub http_port: u16,
    /// HTTPS port, for the hand-off.
    pub https_port: u16,
    /// TFTP port; only tests move it.
    pub tftp_port: u16,
}

impl Default for Server {
    fn default() -> Self {
        Server {
            interfaces: Vec::new(),
            http_port: 80,
            https_port: 443,
            tftp_port: 69,
        }
    }
}

/// How Farrier takes part in DHCP.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DhcpMode {
    /// Hands out addresses and boot data.
    Full,
    /// Another server hands out addresses; Farrier adds boot data (PXE 2.1, ports 67 and 4011).
    Proxy,
    /// Farrier opens no DHCP socket.
    Off,
}

/// What a machine that no one declared is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum UnknownAction {
    /// Nothing: no answer at all.
    Ignore,
    /// An address from the pool and no boot data.
    Local,
    /// As `local`, and it is listed as discovered.
    Discover,
}

/// A distribution mirror that is cached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mirror {
    /// Base URL; none means this host's own apt sources say.
    pub upstream: Option<String>,
    /// Connect through this unix socket instead of by the URL's host (the Host header stays).
    pub socket: Option<String>,
}

impl Default for Site {
    /// An empty site that answers nobody.
    fn default() -> Self {
        Site {
            revision: Digest([0; 32]),
            server: Server::default(),
            dhcp: DhcpMode::Full,
            subnets: Vec::new(),
            unknown: UnknownAction::Ignore,
            mirrors: BTreeMap::new(),
            frozen: None,
            keep: Keep::default(),
            agents: AgentServers::default(),
            profiles: BTreeMap::new(),
            distros: BTreeMap::new(),
            systems: OrdMap::new(),
            by_mac: HashMap::new(),
            by_ip: HashMap::new(),
        }
    }
}

impl Site {
    /// The system with this name.
    pub fn system(&self, name: &str) -> Option<&Arc<System>> {
        self.systems.get(name)
    }

    /// The subnet that holds this address.
    pub fn subnet_of(&self, ip: Ipv4Addr) -> Option<&Subnet> {
        self.subnets.iter().find(|s| s.network.contains(&ip))
    }

    /// The profile of a system; always present in a checked site.
    pub fn profile_of(&self, system: &System) -> Option<&Arc<Profile>> {
        self.profiles.get(&system.profile)
    }
}
