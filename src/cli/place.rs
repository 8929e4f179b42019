//! Where the site and the state are.

use std::path::{Path, PathBuf};

/// The two directories of a server, resolved as DESIGN section 3 says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// Files people write.
    pub site: PathBuf,
    /// Database, artefacts, control socket.
    pub state: PathBuf,
}

/// Why there is no site.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PlaceError {
    /// A directory was named that is none.
    #[error("`{0}` is not a directory")]
    NotADirectory(PathBuf),
}

/// The site of an installed server.
pub(super) const SYSTEM_SITE: &str = "/etc/farrier";
/// The state of an installed server.
pub(super) const SYSTEM_STATE: &str = "/var/lib/farrier";

impl Place {
    /// `--site` or `$FARRIER_SITE`, else the current directory if it holds `systems.toml`, else
    /// `/etc/farrier`. State: as given, else `/var/lib/farrier` for `/etc/farrier`, else `SITE/.farrier`.
    ///
    /// # Errors
    /// A site was named and is not a directory.
    pub fn resolve(
        site: Option<&Path>,
        state: Option<&Path>,
        current: &Path,
    ) -> Result<Place, PlaceError> {
        let site = match site {
            Some(site) => {
                let site = current.join(site);
                if !site.is_dir() {
                    return Err(PlaceError::NotADirectory(site));
                }
                site
            }
            None if current.join("systems.toml").is_file() => current.to_path_buf(),
            None => PathBuf::from(SYSTEM_SITE),
        };
        let state = match state {
            Some(state) => current.join(state),
            None if site == Path::new(SYSTEM_SITE) => PathBuf::from(SYSTEM_STATE),
            None => site.join(".farrier"),
        };
        Ok(Place { site, state })
    }

    /// The admin plane's unix socket.
    pub fn socket(&self) -> PathBuf {
        self.state.join("control.sock")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_site_wins() {
        let dir = tempfile::tempdir().expect("a directory");
        let here = dir.path();
        let check = |site: Option<&str>, state: Option<&str>, want: (&Path, &Path)| {
            let place =
                Place::resolve(site.map(Path::new), state.map(Path::new), here).expect("a place");
            assert_eq!((place.site.as_path(), place.state.as_path()), want);
        };
        check(
            None,
            None,
            (Path::new(SYSTEM_SITE), Path::new(SYSTEM_STATE)),
        );
        std::fs::write(here.join("systems.toml"), "").expect("written");
        check(None, None, (here, &here.join(".farrier")));
        check(None, Some("/run/x"), (here, Path::new("/run/x")));
        check(
            Some("/etc"),
            None,
            (Path::new("/etc"), Path::new("/etc/.farrier")),
        );
        std::fs::create_dir(here.join("lab")).expect("made");
        check(
            Some("lab"),
            Some("st"),
            (&here.join("lab"), &here.join("st")),
        );
        assert!(Place::resolve(Some(Path::new("none")), None, here).is_err());
    }
}
