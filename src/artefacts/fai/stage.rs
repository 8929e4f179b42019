//! A build's working directory: what is done stays over an interruption, what is not is removed.

use std::ffi::{OsStr, OsString};
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, SystemTime};

use tokio::process::Command;

use super::super::error::ArtefactError;
use super::failed;

/// Products older than this are made again: packages move on.
const STALE: Duration = Duration::from_secs(24 * 3600);

/// The file that says what the products were made from.
const RECIPE: &str = "recipe";
/// Everything the commands said.
const LOG: &str = "log";
/// Lines of the log that an error repeats.
const LAST_WORDS: usize = 4;
/// Characters of each.
const WIDEST: usize = 240;

/// The directory. Dropped before [`Stage::clear`], it removes what is half done.
#[derive(Debug)]
pub(super) struct Stage {
    dir: PathBuf,
    proxy: Option<String>,
    cleared: bool,
}

impl Stage {
    /// Opens the directory; products of another recipe or another day are removed.
    pub(super) fn open(
        dir: &Path,
        recipe: &str,
        proxy: Option<String>,
    ) -> Result<Stage, ArtefactError> {
        if dir
            .to_string_lossy()
            .contains(|c: char| !c.is_ascii_graphic() || "'\"\\$`*?[".contains(c))
        {
            return Err(failed(format!(
                "FAI's programs cannot work below `{}`; use a state directory without blanks and quotes in its path",
                dir.display()
            )));
        }
        let stage = Stage {
            dir: dir.to_path_buf(),
            proxy,
            cleared: false,
        };
        let at = stage.path(RECIPE);
        let same = fs::read_to_string(&at).is_ok_and(|before| before == recipe);
        let fresh = fs::metadata(&at).and_then(|m| m.modified()).is_ok_and(|t| {
            SystemTime::now()
                .duration_since(t)
                .is_ok_and(|age| age < STALE)
        });
        if !(same && fresh) {
            remove_all(dir).map_err(ArtefactError::file("empty", dir))?;
        }
        fs::create_dir_all(dir).map_err(ArtefactError::file("create", dir))?;
        if !at.exists() {
            stage.write(RECIPE, recipe)?;
        }
        stage.tidy();
        stage.fresh("tmp")?;
        let log = stage.path(LOG);
        File::create(&log).map_err(ArtefactError::file("create", &log))?;
        Ok(stage)
    }

    /// A path inside.
    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    /// Whether a product is here.
    pub(super) fn has(&self, name: &str) -> bool {
        self.path(name).exists()
    }

    /// An empty directory inside.
    pub(super) fn fresh(&self, name: &str) -> Result<PathBuf, ArtefactError> {
        let path = self.path(name);
        remove_all(&path).map_err(ArtefactError::file("empty", &path))?;
        fs::create_dir_all(&path).map_err(ArtefactError::file("create", &path))?;
        Ok(path)
    }

    /// Writes a file inside.
    pub(super) fn write(&self, name: &str, text: &str) -> Result<PathBuf, ArtefactError> {
        let path = self.path(name);
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent).map_err(ArtefactError::file("create", parent))?;
        }
        fs::write(&path, text).map_err(ArtefactError::file("write", &path))?;
        Ok(path)
    }

    /// A product is whole: it gets its name.
    pub(super) fn keep(&mut self, part: &str, name: &str) -> Result<(), ArtefactError> {
        let (from, to) = (self.path(part), self.path(name));
        fs::rename(&from, &to).map_err(ArtefactError::file("keep", &from))
    }

    /// A step is done.
    pub(super) fn done(&mut self, name: &str) -> Result<(), ArtefactError> {
        self.write(name, "").map(|_| ())
    }

    /// Runs a program in namespaces of its own, its output in the log. Dropping the future ends it
    /// and all it started, and with them everything it mounted.
    pub(super) async fn run(
        &self,
        program: &str,
        args: &[OsString],
        environment: &[(&str, &OsStr)],
    ) -> Result<(), ArtefactError> {
        let path = self.path(LOG);
        let log = File::options()
            .append(true)
            .open(&path)
            .map_err(ArtefactError::file("open", &path))?;
        let both = log
            .try_clone()
            .map_err(ArtefactError::file("open", &path))?;
        let begin = log.metadata().map_or(0, |m| m.len());
        let status = Command::new("unshare")
            .args([
                "--mount",
                "--pid",
                "--fork",
                "--kill-child",
                "--mount-proc",
                program,
            ])
            .args(args)
            .current_dir(&self.dir)
            .env("LC_ALL", "C")
            // it would be handed on into the roots being made, where it does not exist
            .env_remove("TMPDIR")
            .env("DEBIAN_FRONTEND", "noninteractive")
            .envs(self.proxy.iter().map(|p| ("http_proxy", p)))
            .envs(environment.iter().copied())
            .stdin(Stdio::null())
            .stdout(log)
            .stderr(both)
            .kill_on_drop(true)
            .status()
            .await
            .map_err(ArtefactError::file("run", Path::new("unshare")))?;
        if status.success() {
            return Ok(());
        }
        Err(failed(format!(
            "`{program}` ended with {status}: {}; the whole log is `{}`",
            last_words(&after(&path, begin)),
            path.display()
        )))
    }

    /// Everything is made: nothing of the stage is needed any more.
    pub(super) fn clear(mut self) -> Result<(), ArtefactError> {
        self.cleared = true;
        remove_all(&self.dir).map_err(ArtefactError::file("remove", &self.dir))
    }

    /// Removes what is half done.
    pub(super) fn tidy(&self) {
        let mut half = vec!["tmp", "part.tar", "part.tar.zst", "tftp", "fai"];
        if !self.has("base.tar.zst") {
            half.push("debs");
        }
        if !self.has("nfsroot.done") {
            half.push("nfsroot");
        }
        for name in half {
            let path = self.path(name);
            if let Err(error) = remove_all(&path) {
                tracing::warn!(path = %path.display(), %error, "left behind by a build");
            }
        }
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        if !self.cleared {
            self.tidy();
        }
    }
}

/// Removes a file or a tree. A killed command may still be dying in it, so this tries for a while.
fn remove_all(path: &Path) -> std::io::Result<()> {
    let mut tries = 0;
    loop {
        let removed = match fs::symlink_metadata(path) {
            Ok(meta) if meta.is_dir() => fs::remove_dir_all(path),
            Ok(_) => fs::remove_file(path),
            Err(error) => Err(error),
        };
        match removed {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound && !path.exists() => {
                return Ok(());
            }
            Err(error) if tries >= 20 => return Err(error),
            Err(_) => {
                tries += 1;
                std::thread::sleep(Duration::from_millis(50));
            }
            Ok(()) => return Ok(()),
        }
    }
}

/// What a log says from a byte on.
fn after(path: &Path, begin: u64) -> String {
    let bytes = fs::read(path).unwrap_or_default();
    let begin = usize::try_from(begin).unwrap_or(usize::MAX);
    String::from_utf8_lossy(bytes.get(begin..).unwrap_or_default()).into_owned()
}

/// What a failed command said last, errors before anything else.
fn last_words(log: &str) -> String {
    let lines: Vec<&str> = log
        .lines()
        .map(str::trim)
        .filter(|l| !l.is_empty())
        .collect();
    let errors: Vec<&str> = lines
        .iter()
        .copied()
        .filter(|l| l.starts_with("E: ") || l.starts_with("ERROR") || l.contains("error:"))
        .collect();
    let told = if errors.is_empty() { &lines } else { &errors };
    let from = told.len().saturating_sub(LAST_WORDS);
    match told.get(from..) {
        Some(last) if !last.is_empty() => {
            let short: Vec<String> = last
                .iter()
                .map(|l| l.chars().take(WIDEST).collect())
                .collect();
            short.join("; ")
        }
        _ => "it said nothing".to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn done_steps_survive_and_half_done_ones_do_not() {
        let home = tempfile::tempdir().expect("a directory");
        let dir = home.path().join("stage");
        {
            let mut stage = Stage::open(&dir, "one", None).expect("opens");
            stage.write("part.tar.zst", "x").expect("writes");
            stage.fresh("debs").expect("makes");
            stage.write("debs/a.deb", "x").expect("writes");
            stage.keep("part.tar.zst", "base.tar.zst").expect("keeps");
            stage.write("nfsroot/half", "x").expect("writes");
        }
        let stage = Stage::open(&dir, "one", None).expect("opens");
        assert!(stage.has("base.tar.zst") && stage.has("debs/a.deb"));
        assert!(!stage.has("nfsroot"));
        drop(stage);
        let stage = Stage::open(&dir, "two", None).expect("opens");
        assert!(!stage.has("base.tar.zst"), "another recipe begins anew");
        stage.clear().expect("clears");
        assert!(!dir.exists());
    }

    #[test]
    fn errors_are_the_last_words() {
        assert_eq!(last_words("a\nE: broken\nb\n"), "E: broken");
        assert_eq!(last_words("a\n\nb\n"), "a; b");
        assert_eq!(last_words(""), "it said nothing");
    }
}
