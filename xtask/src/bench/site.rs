//! Sites of any size, as an operator would write them.

use std::fmt::Write as _;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};

use anyhow::Result;
use farrier::cli::demo::rack::Pair;

use crate::peer::put;

/// The server's address.
pub(crate) const SERVER: &str = "10.77.0.1";
/// The same with its prefix: the network is large enough for 100,000 reservations.
pub(crate) const SERVER_NET: &str = "10.77.0.1/14";
/// The address that loads it, with its prefix.
pub(crate) const CLIENT_NET: &str = "10.77.0.2/14";
/// The network of both.
pub(crate) const NETWORK: &str = "10.76.0.0/14";
/// The first of 60,000 addresses for machines that nobody declared.
pub(crate) const POOL_FIRST: &str = "10.79.0.10";
/// The last.
pub(crate) const POOL_LAST: &str = "10.79.234.255";

/// A site with one profile and so many systems.
#[derive(Debug, Clone, Default)]
pub(crate) struct Site {
    /// Systems, each with one hardware address and one reserved address; see [`mac`] and [`ip`].
    pub(crate) systems: u32,
    /// Unknown machines get an address of the pool.
    pub(crate) pool: bool,
    /// Another server leases, and the systems have no address of their own, so that one client behind
    /// a router ([`behind_a_router`]) may ask for all their scripts.
    pub(crate) dhcp_off: bool,
    /// Served as `/a/DIGEST/bench/big`.
    pub(crate) artefact: Option<Vec<u8>>,
}

/// The hardware address of the nth system: what perfdhcp makes of `-b mac=00:0c:01:00:00:00`.
pub(crate) fn mac(n: u32) -> String {
    let [a, b, c, d] = n.to_be_bytes();
    format!("00:0c:{:02x}:{b:02x}:{c:02x}:{d:02x}", 1 + a)
}

/// The reserved address of the nth system.
pub(crate) fn ip(n: u32) -> Ipv4Addr {
    Ipv4Addr::from(u32::from(Ipv4Addr::new(10, 77, 1, 0)) + n)
}

/// Moves the client behind a router: it speaks from an address that the server has a route to and no
/// neighbour at.
pub(crate) fn behind_a_router(pair: &Pair) -> Result<()> {
    let (address, router) = ("10.90.0.2", "10.77.0.2");
    let client = pair.client();
    client.ip(&["link", "set", "lo", "up"])?;
    client.ip(&["addr", "add", address, "dev", "lo"])?;
    client.ip(&["route", "replace", NETWORK, "dev", "eth0", "src", address])?;
    let server = pair.server();
    server.ip(&["route", "add", address, "via", router])?;
    Ok(())
}

impl Site {
    /// Writes its files.
    pub(crate) fn write(&self, dir: &Path) -> Result<PathBuf> {
        let mode = if self.dhcp_off { "off" } else { "full" };
        let unknown = if self.pool { "local" } else { "ignore" };
        put(
            dir,
            "farrier.toml",
            format!(
                "[server]\ninterfaces = [\"eth0\"]\n[dhcp]\nmode = \"{mode}\"\n[[subnet]]\nnetwork = \"{NETWORK}\"\nrouter = \"{SERVER}\"\ndns = [\"{SERVER}\"]\npool = [\"{POOL_FIRST}-{POOL_LAST}\"]\nlease = \"1h\"\n[unknown]\naction = \"{unknown}\"\n"
            ),
        )?;
        put(dir, "systems.toml", self.systems())?;
        let (artefact, kernel) = match &self.artefact {
            Some(bytes) => (bytes.as_slice(), "big"),
            None => (&b"a kernel\n"[..], "linux"),
        };
        put(dir, &format!("files/{kernel}"), artefact)?;
        put(
            dir,
            "boot/bench.toml",
            format!("kernel = \"{kernel}\"\n[artefact.{kernel}]\nfile = \"files/{kernel}\"\n"),
        )?;
        put(
            dir,
            "profiles/bench/profile.toml",
            "kind = \"preseed\"\ndistro = \"bench\"\ncmdline = \"url={{ url.answer_base }}/preseed.cfg hostname={{ system.hostname }}\"\n[answers]\n\"preseed.cfg\" = \"preseed.cfg.j2\"\n",
        )?;
        put(
            dir,
            "profiles/bench/preseed.cfg.j2",
            "d-i netcfg/hostname string {{ system.hostname }}\nd-i bench/role string {{ vars.role }}\n",
        )?;
        Ok(dir.to_path_buf())
    }

    fn systems(&self) -> String {
        let mut text = String::from("[defaults]\nprofile = \"bench\"\n");
        for n in 0..self.systems {
            // Writing to a string cannot fail.
            let ip = match self.dhcp_off {
                true => String::new(),
                false => format!("ip = \"{}\"\n", ip(n)),
            };
            let _ = write!(
                text,
                "\n[system.node{n:06}]\nmac = \"{}\"\n{ip}tags = [\"rack{}\"]\nvars = {{ role = \"compute\" }}\n",
                mac(n),
                n / 40
            );
        }
        text
    }
}
