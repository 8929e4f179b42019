//! A server on a small site, and hosts without an address that ask it.

use std::path::{Path, PathBuf};
use std::time::Duration;

use farrier::cli::demo::rack::{Host, Patience, Rack, RackError, Server, ServerSettings, until};
use farrier::model::MacAddr;
use farrier::model::view::StatusView;

use crate::clients::raw::{Asker, DISCOVER, Message, OFFER};

/// A rack with a server on a site of its own.
pub(crate) struct Desk {
    // Dropped in this order: the server before its rack.
    pub(crate) server: Server,
    pub(crate) rack: Rack,
}

/// The systems of a test: name, hardware address, reserved address.
pub(crate) type Declared<'a> = (&'a str, MacAddr, &'a str);

impl Desk {
    /// A server whose site has these systems, and more in `farrier.toml`.
    pub(crate) fn new(rack: Rack, systems: &[Declared<'_>], more: &str) -> Result<Desk, RackError> {
        let site = write_site(&rack, systems, more)?;
        Desk::serve(rack, site, |_| {})
    }

    /// A server on a site that is there.
    pub(crate) fn serve(
        rack: Rack,
        site: PathBuf,
        change: impl FnOnce(&mut ServerSettings),
    ) -> Result<Desk, RackError> {
        let mut settings = ServerSettings {
            program: PathBuf::from(env!("CARGO_BIN_EXE_farrier")),
            site,
            state: rack.dir().join("state"),
            environment: vec![("FARRIER_LOG".to_string(), "debug".to_string())],
        };
        change(&mut settings);
        let server = Server::start(&rack, settings)?;
        Ok(Desk { server, rack })
    }

    /// What `farrier status` says.
    pub(crate) fn status(&self) -> Result<StatusView, RackError> {
        let text = self.server.must(&["status", "-o", "json"])?;
        Ok(serde_json::from_str(&text).expect("a JSON object"))
    }

    /// Whether a door is open whose words begin so.
    pub(crate) fn has(&self, start: &str) -> Result<bool, RackError> {
        Ok(has(&self.status()?.doors, start))
    }

    /// Waits until the open doors are as `wanted` says.
    pub(crate) fn doors(
        &self,
        what: &str,
        wanted: impl Fn(&[String]) -> bool,
    ) -> Result<(), RackError> {
        let evidence = || {
            let doors = self.status().map(|s| (s.doors, s.attention));
            format!("{doors:?}{}", self.server.tail())
        };
        until(what, Patience::seconds(60), evidence, || {
            Ok(wanted(&self.status()?.doors).then_some(()))
        })
    }

    /// Waits until a DISCOVER from this host is answered.
    pub(crate) fn answered(&self, host: &Host) -> Result<(), RackError> {
        let asker = Asker::everyone(host)?;
        until(
            "an OFFER",
            Patience::seconds(60),
            || self.server.tail(),
            || {
                let number = asker.send(&Message::new(DISCOVER, host.mac()));
                let heard = asker.listen(number, Duration::from_millis(500), 1);
                Ok(heard.iter().any(|said| said.kind == OFFER).then_some(()))
            },
        )
    }

    /// Changes a file of the site.
    pub(crate) fn edit(
        &self,
        file: &str,
        change: impl Fn(&str) -> String,
    ) -> Result<(), RackError> {
        let path = self.server.site().join(file);
        let text = std::fs::read_to_string(&path).map_err(RackError::file(&path))?;
        std::fs::write(&path, change(&text)).map_err(RackError::file(&path))
    }
}

/// Whether one of these begins so.
pub(crate) fn has(doors: &[String], start: &str) -> bool {
    doors.iter().any(|d| d.starts_with(start))
}

/// A small sound site: one live profile, whose kernel is a file of it.
pub(crate) fn write_site(
    rack: &Rack,
    systems: &[Declared<'_>],
    more: &str,
) -> Result<PathBuf, RackError> {
    let site = rack.dir().join("site");
    let put = |name: &str, text: &str| {
        let path = site.join(name);
        let dir = path.parent().unwrap_or(Path::new("."));
        std::fs::create_dir_all(dir)
            .and_then(|()| std::fs::write(&path, text))
            .map_err(RackError::file(&path))
    };
    put(
        "farrier.toml",
        &format!(
            "[server]\ninterfaces = [\"br0\"]\n[[subnet]]\nnetwork = \"10.77.0.0/24\"\n\
             router = \"10.77.0.1\"\npool = [\"10.77.0.100-10.77.0.103\"]\n{more}"
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
        text.push_str(&format!(
            "[system.{name}]\nmac = \"{mac}\"\nip = \"{ip}\"\n"
        ));
    }
    put("systems.toml", &text)?;
    Ok(site)
}
