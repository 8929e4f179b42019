//! Where a request came in, and which subnet its client is on.

use std::net::Ipv4Addr;

use ipnet::Ipv4Net;

use super::request::Request;
use crate::model::{DhcpMode, Door, Site, Subnet};

/// One of this server's interfaces, as a request sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// The interface's name.
    pub interface: String,
    /// Its addresses with their networks; never empty. The first is used where none fits better.
    pub networks: Vec<Ipv4Net>,
    /// Every address of this host: none is ever given out.
    pub own: Vec<Ipv4Addr>,
    /// Full, proxy or off.
    pub mode: DhcpMode,
    /// Port 67 or port 4011.
    pub door: Door,
    /// The port that boot scripts are fetched from.
    pub http_port: u16,
    /// The boot loaders that are on this server: no other is advertised.
    pub loaders: Vec<&'static str>,
}

impl Place {
    /// The subnets that a request's client may be on. A relay, or an address the client already
    /// has elsewhere, names one; a client on this wire may be on any that the interface has an
    /// address in.
    pub fn subnets<'a>(
        &'a self,
        request: &Request<'_>,
        site: &'a Site,
    ) -> impl Iterator<Item = &'a Subnet> {
        let says = request.relay_says;
        let named = match request.giaddr {
            Some(relay) => Some(says.link.or(request.subnet_selection).unwrap_or(relay)),
            None => request.ciaddr.filter(|ip| !self.here(*ip)),
        };
        site.subnets.iter().filter(move |subnet| match named {
            Some(ip) => subnet.network.contains(&ip),
            None => self
                .networks
                .iter()
                .any(|n| subnet.network.contains(&n.addr())),
        })
    }

    /// Whether an address is on this interface's own wire.
    pub fn here(&self, ip: Ipv4Addr) -> bool {
        self.networks.iter().any(|n| n.contains(&ip))
    }

    /// This server's address as the clients of a subnet reach it.
    pub fn server(&self, subnet: Option<&Subnet>) -> Ipv4Addr {
        let declared = subnet.and_then(|s| s.server);
        let inside = || {
            let network = subnet?.network;
            let found = self.networks.iter().find(|n| network.contains(&n.addr()))?;
            Some(found.addr())
        };
        declared
            .or_else(inside)
            .or_else(|| self.networks.first().map(Ipv4Net::addr))
            .unwrap_or(Ipv4Addr::UNSPECIFIED)
    }

    /// Whether a server identifier means this server.
    pub fn is_me(&self, id: Ipv4Addr, request: &Request<'_>, site: &Site) -> bool {
        self.own.contains(&id)
            || request.relay_says.server == Some(id)
            || site.subnets.iter().any(|s| s.server == Some(id))
    }
}
