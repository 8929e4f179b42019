//! Kea and dnsmasq as DHCP servers.

use std::fmt::Write as _;
use std::fs;

use anyhow::{Context, Result};
use farrier::cli::demo::rack::Pair;

use crate::peer::{Peer, Port, command, put};
use crate::site::{NETWORK, POOL_FIRST, POOL_LAST, SERVER, ip, mac};

/// Kea with its in-memory lease file, and so many reserved addresses; with none, a pool.
pub(crate) fn kea(pair: &Pair, reserved: u32) -> Result<Peer> {
    let dir = pair.dir().join("kea");
    // Each round begins without leases.
    if dir.exists() {
        fs::remove_dir_all(&dir).context("kea's files")?;
    }
    let mut hosts = String::new();
    for n in 0..reserved {
        let comma = if n == 0 { "" } else { "," };
        // Writing to a string cannot fail.
        let _ = write!(
            hosts,
            "{comma}\n{{\"hw-address\":\"{}\",\"ip-address\":\"{}\"}}",
            mac(n),
            ip(n)
        );
    }
    let leases = dir.join("leases.csv").display().to_string();
    let config = format!(
        r#"{{"Dhcp4": {{
"interfaces-config": {{"interfaces": ["eth0"], "dhcp-socket-type": "udp"}},
"multi-threading": {{"enable-multi-threading": true, "thread-pool-size": 2, "packet-queue-size": 64}},
"lease-database": {{"type": "memfile", "persist": true, "name": "{leases}", "lfc-interval": 0}},
"valid-lifetime": 3600,
"host-reservation-identifiers": ["hw-address"],
"reservations-global": false, "reservations-in-subnet": {in_subnet}, "reservations-out-of-pool": {in_subnet},
"option-data": [{{"name": "routers", "data": "{SERVER}"}}, {{"name": "domain-name-servers", "data": "{SERVER}"}}],
"loggers": [{{"name": "kea-dhcp4", "severity": "ERROR", "output_options": [{{"output": "stderr"}}]}}],
"subnet4": [{{"subnet": "{NETWORK}", "pools": [{{"pool": "{POOL_FIRST} - {POOL_LAST}"}}], "reservations": [{hosts}]}}]
}}}}"#,
        in_subnet = reserved > 0,
    );
    let path = put(&dir, "kea.json", config)?;
    let mut kea = command(pair, &["kea-dhcp4", "-c", &path.display().to_string()]);
    kea.env("KEA_PIDFILE_DIR", &dir);
    kea.env("KEA_LOCKFILE_DIR", "none");
    Peer::start(pair, "kea", &mut kea, Port::Udp(67))
}

/// dnsmasq's command line.
pub(crate) fn dnsmasq_words(leases: &str) -> Vec<String> {
    let text = format!(
        "dnsmasq --conf-file=/dev/null --keep-in-foreground --port=0 --user=root --interface=eth0 --bind-interfaces --log-facility=- --quiet-dhcp --dhcp-authoritative --dhcp-lease-max=100000 --dhcp-leasefile={leases} --dhcp-range={POOL_FIRST},{POOL_LAST},255.252.0.0,1h"
    );
    text.split(' ').map(str::to_string).collect()
}

/// dnsmasq with so many clients in its lease file.
pub(crate) fn dnsmasq(pair: &Pair, clients: u32) -> Result<Peer> {
    let now = jiff::Timestamp::now().as_second();
    let first: std::net::Ipv4Addr = POOL_FIRST.parse().context("an address")?;
    let mut leases = String::new();
    for n in 0..clients {
        let ip = std::net::Ipv4Addr::from(u32::from(first) + n);
        let mac = mac(n);
        // Writing to a string cannot fail.
        let _ = writeln!(leases, "{} {mac} {ip} * 01:{mac}", now + 3600);
    }
    let path = put(pair.dir(), "dnsmasq.leases", leases)?;
    let words = dnsmasq_words(&path.display().to_string());
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    Peer::start(pair, "dnsmasq", &mut command(pair, &words), Port::Udp(67))
}
