//! The real server and the DHCP clients, relays and servers that others wrote, in racks of their own.

mod beside;
mod clients;
mod doors;
mod hosts;
mod raw;

use std::path::{Path, PathBuf};

use farrier::cli::demo::rack::{Host, Output, Rack, RackError, Server, ServerSettings};

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
    fn new(systems: &[Declared<'_>], more: &str) -> Result<Desk, RackError> {
        let rack = Rack::new()?;
        Desk::on(rack, systems, more)
    }

    fn on(rack: Rack, systems: &[Declared<'_>], more: &str) -> Result<Desk, RackError> {
        let site = rack.dir().join("site");
        write_site(&site, systems, more).map_err(RackError::file(&site))?;
        Desk::serve(rack, site)
    }

    /// A server on a site that is there.
    fn serve(rack: Rack, site: PathBuf) -> Result<Desk, RackError> {
        let settings = ServerSettings {
            program: PathBuf::from(env!("CARGO_BIN_EXE_farrier")),
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

    /// What `farrier status` counts.
    fn counter(&self, name: &str) -> Result<u64, RackError> {
        let text = self.server.must(&["status", "-o", "json"])?;
        let status: farrier::model::view::StatusView =
            serde_json::from_str(&text).expect("a JSON object");
        Ok(status.counters.get(name).copied().unwrap_or(0))
    }
}

/// A small sound site: one live profile, whose kernel is a file of it.
fn write_site(dir: &Path, systems: &[Declared<'_>], more: &str) -> std::io::Result<()> {
    let put = |name: &str, text: &str| {
        let path = dir.join(name);
        if let Some(parent) = path.parent() {
            std::fs::create_dir_all(parent)?;
        }
        std::fs::write(path, text)
    };
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
    put("files/linux", "not really a kernel\n")?;
    put(
        "profiles/rescue/profile.toml",
        "kind = \"live\"\ndistro = \"rescue\"\ncmdline = \"quiet\"\n",
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

/// udhcpc, once: its script writes what it was told into a file, which is returned.
fn udhcpc(host: &Host, dir: &Path, more: &[&str]) -> Result<(Output, String), RackError> {
    use std::os::unix::fs::PermissionsExt;
    let told = dir.join(format!("{}.told", host.namespace().name()));
    let script = dir.join(format!("{}.sh", host.namespace().name()));
    let text = format!(
        "#!/bin/sh\n[ \"$1\" = bound ] || [ \"$1\" = renew ] || exit 0\nenv > {}\n\
         ip addr replace $ip/$mask dev $interface\n",
        told.display()
    );
    std::fs::write(&script, text).map_err(RackError::file(&script))?;
    let mode = std::fs::Permissions::from_mode(0o755);
    std::fs::set_permissions(&script, mode).map_err(RackError::file(&script))?;
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
