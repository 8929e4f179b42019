//! The demo's site: the repository's own profiles and distros, carried in the program.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use include_dir::{Dir, DirEntry, include_dir};

use crate::model::Refusal;

static PROFILES: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/profiles");
static BOOT: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/boot");

/// One network, which only the rack has; an install takes nothing from outside.
const SETTINGS: &str = "\
[[subnet]]
network = \"10.77.0.0/24\"
router  = \"10.77.0.1\"
dns     = [\"10.77.0.1\"]
domain  = \"demo.example\"
pool    = [\"10.77.0.100-10.77.0.199\"]

[mirror.debian]
";

/// Writes a site for one rack: one subnet, no machine yet.
///
/// # Errors
/// If it cannot be written.
pub(super) fn write(site: &Path) -> Result<(), Refusal> {
    tree(&PROFILES, &site.join("profiles"))?;
    tree(&BOOT, &site.join("boot"))?;
    put(&site.join("farrier.toml"), SETTINGS.as_bytes(), false)?;
    put(
        &site.join("systems.toml"),
        b"# The machines of the demo.\n",
        false,
    )
}

fn tree(dir: &Dir<'_>, to: &Path) -> Result<(), Refusal> {
    for entry in dir.entries() {
        let name = entry.path().file_name().unwrap_or_default();
        match entry {
            DirEntry::Dir(sub) => tree(sub, &to.join(name))?,
            DirEntry::File(file) => {
                // What is carried in a program has no mode; scripts begin as scripts do.
                let sourced = entry.path().extension().is_some_and(|e| e == "sh");
                let runs = sourced || file.contents().starts_with(b"#!");
                put(&to.join(name), file.contents(), runs)?;
            }
        }
    }
    Ok(())
}

fn put(path: &Path, bytes: &[u8], runs: bool) -> Result<(), Refusal> {
    let failed = |e: std::io::Error| Refusal::failed(format!("`{}`: {e}", path.display()));
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).map_err(failed)?;
    }
    fs::write(path, bytes).map_err(failed)?;
    let mode = if runs { 0o755 } else { 0o644 };
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).map_err(failed)
}
