//! The real server and the clients, relays and servers that others wrote, in racks of their own.

mod beside;
mod delivery;
mod dhcp;
mod elsewhere;
mod firmware;
mod hosts;
mod http;
mod obstacles;
mod pair;
pub(crate) mod raw;
mod relay;
mod states;
mod tftp;

use std::path::{Path, PathBuf};

use farrier::cli::demo::rack::{
    Host, Namespace, Output, Patience, Process, Rack, RackError, Server, ServerSettings, until,
};
use farrier::model::Digest;
use raw::{Asker, Message};

/// A rack with a server on a site of its own.
struct Desk {
    // Dropped in this order: the server before its rack.
    server: Server,
    rack: Rack,
}

/// Names the systems of a test: `name`, hardware address, address if one is reserved.
type Declared<'a> = (&'a str, String, Option<&'a str>);

impl Desk {
    /// A server whose site has these systems, and more in `farrier.toml`.
    fn on(rack: Rack, systems: &[Declared<'_>], more: &str) -> Result<Desk, RackError> {
        Desk::with_kernel(rack, systems, more, b"not really a kernel\n")
    }

    /// The same, with this as the kernel of its one profile.
    fn with_kernel(
        rack: Rack,
        systems: &[Declared<'_>],
        more: &str,
        kernel: &[u8],
    ) -> Result<Desk, RackError> {
        let site = rack.dir().join("site");
        write_site(&site, systems, more, kernel).map_err(RackError::file(&site))?;
        let program = PathBuf::from(env!("CARGO_BIN_EXE_farrier"));
        Desk::serve(rack, site, program)
    }

    /// A server whose process may not do these things, in setpriv's words: `net_admin`, `net_raw`.
    fn without(rack: Rack, systems: &[Declared<'_>], rights: &[&str]) -> Result<Desk, RackError> {
        use std::os::unix::fs::PermissionsExt;
        let site = rack.dir().join("site");
        write_site(&site, systems, "", b"not really a kernel\n").map_err(RackError::file(&site))?;
        let program = rack.dir().join("farrier");
        let taken: Vec<String> = rights.iter().map(|right| format!("-{right}")).collect();
        let text = format!(
            "#!/bin/sh\nexec setpriv --bounding-set={} {} \"$@\"\n",
            taken.join(","),
            env!("CARGO_BIN_EXE_farrier")
        );
        std::fs::write(&program, text).map_err(RackError::file(&program))?;
        let mode = std::fs::Permissions::from_mode(0o755);
        std::fs::set_permissions(&program, mode).map_err(RackError::file(&program))?;
        Desk::serve(rack, site, program)
    }

    fn serve(rack: Rack, site: PathBuf, program: PathBuf) -> Result<Desk, RackError> {
        let settings = ServerSettings {
            program,
            site,
            state: rack.dir().join("state"),
            environment: vec![("FARRIER_LOG".to_string(), "debug".to_string())],
        };
        let server = Server::start(&rack, settings)?;
        Ok(Desk { server, rack })
    }

    /// The leases as `farrier lease ls` prints them.
    fn leases(&self) -> Result<Vec<farrier::model::view::LeaseView>, RackError> {
        let text = self.server.must(&["lease", "ls", "-o", "json"])?;
        Ok(serde_json::from_str(&text).expect("a JSON list"))
    }

    /// Fetches the kernel and flags a system for it.
    fn flag(&self, system: &str) -> Result<(), RackError> {
        self.server.must(&["distro", "fetch", "rescue"])?;
        self.server.must(&["boot", system, "rescue", "--yes"])?;
        Ok(())
    }

    /// Writes this in the place of `quiet` into the command line of the profile, and waits until the next
    /// build of web01 would have what it becomes.
    fn edit(&self, text: &str, becomes: &str) -> Result<(), RackError> {
        let profile = self.server.site().join("profiles/rescue/profile.toml");
        let before = std::fs::read_to_string(&profile).map_err(RackError::file(&profile))?;
        let after = before.replace("quiet", text);
        std::fs::write(&profile, after).map_err(RackError::file(&profile))?;
        until(
            "the edit",
            Patience::seconds(20),
            || self.server.tail(),
            || {
                let asked = ["render", "web01", "cmdline", "--next"];
                let next = self.server.farrier(&asked)?;
                Ok(next.stdout.contains(becomes).then_some(()))
            },
        )
    }

    /// Asserts that a message is heard and not answered. The server counts what it is silent about,
    /// so that a silence is seen, and not waited for.
    #[track_caller]
    fn stays_silent(&self, asker: &Asker, message: &Message) -> Result<(), RackError> {
        let silent = self.counter("dhcp.silent")?;
        let replied = self.counter("dhcp.replied")?;
        let number = asker.send(message);
        until(
            "the server's silence",
            Patience::seconds(20),
            || format!("{message:?}\n{}", self.server.tail()),
            || Ok((self.counter("dhcp.silent")? > silent).then_some(())),
        )?;
        let heard = asker.listen(number, std::time::Duration::from_millis(1), 1);
        assert_eq!(heard, [], "{message:?}");
        assert_eq!(self.counter("dhcp.replied")?, replied, "{message:?}");
        Ok(())
    }

    /// What `farrier status` counts.
    fn counter(&self, name: &str) -> Result<u64, RackError> {
        let text = self.server.must(&["status", "-o", "json"])?;
        let status: farrier::model::view::StatusView =
            serde_json::from_str(&text).expect("a JSON object");
        Ok(status.counters.get(name).copied().unwrap_or(0))
    }
}

/// A small sound site: one live profile, whose kernel is a file of it.
fn write_site(
    dir: &Path,
    systems: &[Declared<'_>],
    more: &str,
    kernel: &[u8],
) -> std::io::Result<()> {
    let write = |name: &str, bytes: &[u8]| {
        let path = dir.join(name);
        if let Some(parent) = path.parent() {
            std::fs::create_dir_all(parent)?;
        }
        std::fs::write(path, bytes)
    };
    let put = |name: &str, text: &str| write(name, text.as_bytes());
    put(
        "farrier.toml",
        &format!(
            "[server]\ninterfaces = [\"br0\"]\n\
             [[subnet]]\nnetwork = \"10.77.0.0/24\"\nrouter = \"10.77.0.1\"\n\
             domain = \"lab.example\"\npool = [\"10.77.0.100-10.77.0.103\"]\nlease = \"1h\"\n{more}"
        ),
    )?;
    put(
        "boot/rescue.toml",
        "kernel = \"linux\"\n[artefact.linux]\nfile = \"files/linux\"\n",
    )?;
    write("files/linux", kernel)?;
    put(
        "profiles/rescue/profile.toml",
        "kind = \"live\"\ndistro = \"rescue\"\ncmdline = \"quiet from={{ server.address }}\"\n",
    )?;
    let mut text = "[defaults]\nprofile = \"rescue\"\n".to_string();
    for (name, mac, ip) in systems {
        text.push_str(&format!("[system.{name}]\nmac = \"{mac}\"\n"));
        if let Some(ip) = ip {
            text.push_str(&format!("ip = \"{ip}\"\n"));
        }
    }
    put("systems.toml", &text)
}

/// A dnsmasq that hands out addresses, in the namespace of a host or of the rack.
pub(crate) fn dnsmasq(rack: &Rack, at: &Namespace, way: &str) -> Result<Process, RackError> {
    let mut dnsmasq = at.command("dnsmasq");
    dnsmasq.args([
        "--no-daemon",
        "--conf-file=/dev/null",
        "--port=0",
        "--log-dhcp",
    ]);
    dnsmasq.args(["--dhcp-range=10.77.0.200,10.77.0.210,1h", "--no-ping", way]);
    dnsmasq.arg(format!("--dhcp-leasefile={}/leases", rack.dir().display()));
    let log = rack.dir().join("dnsmasq.log");
    let dnsmasq = Process::start("dnsmasq", &mut dnsmasq, &log, false)?;
    // said when its sockets are open
    until(
        "dnsmasq",
        Patience::seconds(20),
        || dnsmasq.said(),
        || Ok(dnsmasq.said().contains("DHCP, IP range").then_some(())),
    )?;
    Ok(dnsmasq)
}

/// What udhcpc runs: it takes the address, and writes what it was told beside itself.
fn script(host: &Host, dir: &Path) -> Result<PathBuf, RackError> {
    use std::os::unix::fs::PermissionsExt;
    let script = dir.join(format!("{}.sh", host.namespace().name()));
    let text = "#!/bin/sh\n[ \"$1\" = bound ] || [ \"$1\" = renew ] || exit 0\nenv > $0.told\n\
                ip addr replace $ip/$mask dev $interface\n";
    std::fs::write(&script, text).map_err(RackError::file(&script))?;
    let mode = std::fs::Permissions::from_mode(0o755);
    std::fs::set_permissions(&script, mode).map_err(RackError::file(&script))?;
    Ok(script)
}

/// udhcpc, once; returns what it said, and what it was told as its script wrote it down.
fn udhcpc(host: &Host, dir: &Path, more: &[&str]) -> Result<(Output, String), RackError> {
    let script = script(host, dir)?;
    let told = script.with_extension("sh.told");
    // It may be the second run of this host.
    let _ = std::fs::remove_file(&told);
    let script = script.display().to_string();
    let mut words = vec![
        "udhcpc",
        "-f",
        "-n",
        "-q",
        "-t",
        "5",
        "-T",
        "2",
        "-i",
        host.interface(),
        "-s",
        &script,
    ];
    words.extend_from_slice(more);
    let out = host.run(&words)?;
    let told = std::fs::read_to_string(&told).unwrap_or_default();
    Ok((out, told))
}

/// The value of a line `NAME=value`.
fn value<'a>(told: &'a str, name: &str) -> Option<&'a str> {
    told.lines()
        .find_map(|l| l.strip_prefix(name)?.strip_prefix('='))
        .map(|v| v.trim_matches('\''))
}

/// A file's digest, for two files to be compared without printing them.
fn digest(path: &Path) -> Result<Digest, RackError> {
    Ok(Digest::of(
        &std::fs::read(path).map_err(RackError::file(path))?,
    ))
}

/// So many bytes that no two places of have the same block.
fn noise(length: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut out = Vec::with_capacity(length + 8);
    while out.len() < length {
        // xorshift64 (Marsaglia, 2003)
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        out.extend_from_slice(&state.to_le_bytes());
    }
    out.truncate(length);
    out
}
