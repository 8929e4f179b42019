//! Where machines reach this server.

use std::net::{Ipv4Addr, SocketAddrV4};

use ipnet::Ipv4Net;

use crate::boot::paths::Urls;
use crate::model::Site;

/// One of this server's addresses on a provisioning interface.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerAddress {
    /// The interface's name.
    pub interface: String,
    /// The address.
    pub ip: Ipv4Addr,
    /// The network it is in.
    pub network: Ipv4Net,
}

/// All addresses that doors are open on.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Places {
    /// In the order of the interfaces.
    pub addresses: Vec<ServerAddress>,
    /// The port the machine plane's HTTP door got.
    pub http_port: u16,
    /// The port the hand-off's HTTPS door got.
    pub https_port: u16,
}

impl Places {
    /// The address under which a client in this network finds the server: the subnet's own
    /// setting, else the address of the interface in that network, else the first address.
    pub fn toward(&self, site: &Site, client: Option<Ipv4Addr>) -> Option<SocketAddrV4> {
        let declared = client
            .and_then(|ip| site.subnet_of(ip))
            .and_then(|s| s.server);
        let near = client
            .and_then(|ip| self.addresses.iter().find(|a| a.network.contains(&ip)))
            .map(|a| a.ip);
        let first = self.addresses.first().map(|a| a.ip);
        let port = if self.http_port == 0 {
            site.server.http_port
        } else {
            self.http_port
        };
        declared
            .or(near)
            .or(first)
            .map(|ip| SocketAddrV4::new(ip, port))
    }

    /// The addresses of one interface, each with its network's prefix length.
    pub fn networks_on(&self, interface: &str) -> impl Iterator<Item = Ipv4Net> {
        self.addresses
            .iter()
            .filter(move |a| a.interface == interface)
            .map(|a| Ipv4Net::new_assert(a.ip, a.network.prefix_len()))
    }

    /// Every address that a machine may reach this server at, in order.
    pub fn all(&self, site: &Site) -> Vec<Ipv4Addr> {
        let own = self.addresses.iter().map(|a| a.ip);
        let named = site.subnets.iter().filter_map(|s| s.server);
        let all: std::collections::BTreeSet<Ipv4Addr> = own.chain(named).collect();
        all.into_iter().collect()
    }

    /// The same address as [`Places::toward`] gives, with the port of the hand-off.
    pub fn secure(&self, site: &Site, server: Ipv4Addr) -> SocketAddrV4 {
        let port = match self.https_port {
            0 => site.server.https_port,
            port => port,
        };
        SocketAddrV4::new(server, port)
    }

    /// URLs as this client reaches them.
    pub fn urls(&self, site: &Site, client: Option<Ipv4Addr>) -> Option<Urls> {
        self.toward(site, client).map(|server| Urls { server })
    }
}
