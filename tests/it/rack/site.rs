//! Sites for scenarios: written into the rack's directory, served by the real program.

use std::fs;
use std::path::Path;

use farrier::cli::demo::rack::{Rack, RackError, Server, ServerSettings};
use farrier::cli::demo::workshop;

/// How long each phase of a phantom's build may last: long enough for a busy host, or as short as a
/// test of deadlines wants.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Deadlines {
    pub(crate) boot: &'static str,
    pub(crate) install: &'static str,
    pub(crate) first_boot: &'static str,
    pub(crate) configure: &'static str,
}

/// Nothing ends by itself.
pub(crate) const PATIENT: Deadlines = Deadlines {
    boot: "10m",
    install: "10m",
    first_boot: "10m",
    configure: "10m",
};

const FARRIER: &str = r#"
[server]
interfaces = ["br0"]
[dhcp]
mode = "full"
[[subnet]]
network = "10.77.0.0/24"
router  = "10.77.0.1"
dns     = ["10.77.0.1"]
domain  = "lab.example"
pool    = ["10.77.0.100-10.77.0.199"]
lease   = "1h"
"#;

const DISTRO: &str = r#"
kernel  = "linux"
initrds = ["initrd.gz"]
[artefact.linux]
file = "boot/phantom/linux"
[artefact."initrd.gz"]
file = "boot/phantom/initrd.gz"
"#;

/// A site with one profile, `phantom`, whose kernel is a text: everything but the machine is real.
pub(crate) fn phantom(
    rack: &Rack,
    deadlines: Deadlines,
    more: &str,
) -> Result<ServerSettings, RackError> {
    let site = rack.dir().join("site");
    let put = |path: &str, text: &str| {
        let path = site.join(path);
        if let Some(dir) = path.parent() {
            fs::create_dir_all(dir).map_err(RackError::file(dir))?;
        }
        fs::write(&path, text).map_err(RackError::file(&path))
    };
    let Deadlines {
        boot,
        install,
        first_boot,
        configure,
    } = deadlines;
    put("farrier.toml", &format!("{FARRIER}{more}"))?;
    put("systems.toml", "# machines\n")?;
    put("boot/phantom.toml", DISTRO)?;
    put("boot/phantom/linux", "a kernel\n")?;
    put("boot/phantom/initrd.gz", "an initrd\n")?;
    put(
        "profiles/phantom/profile.toml",
        &format!(
            "kind = \"preseed\"
distro = \"phantom\"
cmdline = \"answers={{{{ url.answer_base }}}}/answers.txt\"
[answers]
\"answers.txt\" = \"answers.txt.j2\"
[deadline]
boot = \"{boot}\"
install = \"{install}\"
first_boot = \"{first_boot}\"
configure = \"{configure}\"
[handoff]
agent = \"steps\"
steps = \"steps\"
timeout = \"1m\"
"
        ),
    )?;
    put(
        "profiles/phantom/answers.txt.j2",
        "report={{ url.report }}\nname={{ system.name }}\n",
    )?;
    put("profiles/phantom/steps/10-nothing.sh", "#!/bin/sh\ntrue\n")?;
    Ok(settings(rack, &site))
}

/// The repository's own example: its profiles and distros, with the rack's network.
pub(crate) fn example(rack: &Rack) -> Result<ServerSettings, RackError> {
    let site = rack.dir().join("site");
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    for folder in ["profiles", "boot"] {
        copy(&root.join(folder), &site.join(folder))?;
    }
    let put = |name: &str, text: &str| {
        let path = site.join(name);
        fs::write(&path, text).map_err(RackError::file(&path))
    };
    put("farrier.toml", FARRIER)?;
    put("systems.toml", "# machines\n")?;
    Ok(settings(rack, &site))
}

fn copy(from: &Path, to: &Path) -> Result<(), RackError> {
    fs::create_dir_all(to).map_err(RackError::file(to))?;
    for entry in fs::read_dir(from).map_err(RackError::file(from))? {
        let entry = entry.map_err(RackError::file(from))?;
        let (source, target) = (entry.path(), to.join(entry.file_name()));
        if source.is_dir() {
            copy(&source, &target)?;
        } else {
            // Executable bits are copied too.
            fs::copy(&source, &target).map_err(RackError::file(&source))?;
        }
    }
    Ok(())
}

/// Writes a file of a site.
pub(crate) fn put(settings: &ServerSettings, name: &str, text: &str) -> Result<(), RackError> {
    let path = settings.site.join(name);
    if let Some(dir) = path.parent() {
        fs::create_dir_all(dir).map_err(RackError::file(dir))?;
    }
    fs::write(&path, text).map_err(RackError::file(&path))
}

/// The program under test, on this site.
pub(crate) fn settings(rack: &Rack, site: &Path) -> ServerSettings {
    ServerSettings {
        program: env!("CARGO_BIN_EXE_farrier").into(),
        site: site.to_path_buf(),
        state: rack.dir().join("state"),
        environment: vec![("FARRIER_LOG".into(), "debug,hyper=info".into())],
    }
}

/// A served phantom site: the server is up and its artefacts are there.
pub(crate) fn serve_phantom(rack: &Rack, deadlines: Deadlines) -> Result<Server, RackError> {
    let server = Server::start(rack, phantom(rack, deadlines, "")?)?;
    server.must(&["distro", "fetch", "phantom"])?;
    Ok(server)
}

/// Fetches what these distros need, outside of the rack and once on this host, into a server's state.
pub(crate) fn fetched(settings: &ServerSettings, distros: &[&str]) -> Result<(), RackError> {
    workshop::fetch(
        &settings.program,
        &settings.site,
        &settings.state,
        distros,
        |server, distros| {
            for distro in distros {
                server.must(&["distro", "fetch", distro])?;
            }
            Ok(())
        },
    )
}
