//! Boot artefacts for racks: fetched once on this host, outside of any rack, and kept.
//!
//! A rack has no way out, so its server cannot download anything. A second server without any door
//! but its control socket does it, on the same `boot/`, through the ordinary command line. What it
//! fetched is kept, because FAI's boot tree takes minutes to make, and hard-linked into the state of
//! each rack's server.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use super::rack::{RackError, Server, ServerSettings};

/// Where fetched artefacts are kept: `$FARRIER_RACK_CACHE`, else below `/var/cache`.
pub fn cache() -> PathBuf {
    std::env::var_os("FARRIER_RACK_CACHE")
        .map_or_else(|| PathBuf::from("/var/cache/farrier-rack"), PathBuf::from)
}

/// Fetches what these distros of the site need, unless it is there, and links it into `state`. Each
/// command is handed to `run` before the next, so that a demo can show it and a test can be quiet.
///
/// # Errors
/// The cache cannot be written, or something cannot be fetched.
pub fn fetch(
    program: &Path,
    site: &Path,
    state: &Path,
    distros: &[&str],
    run: impl FnOnce(&Server, &[&str]) -> Result<(), RackError>,
) -> Result<(), RackError> {
    let cache = cache();
    fs::create_dir_all(&cache).map_err(RackError::file(&cache))?;
    let lock = cache.join("lock");
    let file = File::create(&lock).map_err(RackError::file(&lock))?;
    // Held until the end: two tests that want the same tree make it once.
    file.lock().map_err(RackError::file(&lock))?;

    let workshop = cache.join("site");
    if workshop.exists() {
        fs::remove_dir_all(&workshop).map_err(RackError::file(&workshop))?;
    }
    for folder in ["boot", "profiles"] {
        link(&site.join(folder), &workshop.join(folder))?;
    }
    let put = |name: &str, text: &str| {
        let path = workshop.join(name);
        fs::write(&path, text).map_err(RackError::file(&path))
    };
    put("farrier.toml", "[dhcp]\nmode = \"off\"\n")?;
    put("systems.toml", "")?;
    let kept = cache.join("state");
    forget(&kept)?;
    let server = Server::start_outside(
        &cache,
        ServerSettings {
            program: program.to_path_buf(),
            site: workshop,
            state: kept.clone(),
            environment: Vec::new(),
        },
    )?;
    run(&server, distros)?;
    drop(server);
    link(&kept.join("artefacts"), &state.join("artefacts"))
}

/// Leaves the files that were fetched and nothing else. What an earlier server remembered there, of
/// another version perhaps, is nothing that this one must be able to read.
fn forget(state: &Path) -> Result<(), RackError> {
    let entries = match fs::read_dir(state) {
        Ok(entries) => entries,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(e) => return Err(RackError::file(state)(e)),
    };
    for entry in entries {
        let entry = entry.map_err(RackError::file(state))?;
        let path = entry.path();
        if !path.is_dir() {
            fs::remove_file(&path).map_err(RackError::file(&path))?;
        }
    }
    Ok(())
}

/// The same tree, each file linked (or copied, where that is not possible).
fn link(from: &Path, to: &Path) -> Result<(), RackError> {
    let failed = |path: &Path| RackError::file(path);
    fs::create_dir_all(to).map_err(failed(to))?;
    for entry in fs::read_dir(from).map_err(failed(from))? {
        let entry = entry.map_err(failed(from))?;
        let (source, target) = (entry.path(), to.join(entry.file_name()));
        if source.is_dir() {
            link(&source, &target)?;
            continue;
        }
        match fs::hard_link(&source, &target) {
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {}
            Err(_) => {
                fs::copy(&source, &target).map_err(failed(&source))?;
            }
            Ok(()) => {}
        }
    }
    Ok(())
}
