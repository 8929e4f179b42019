//! Who may read the state: nobody but its owner. The database holds every file of the site, also those
//! that the operator keeps from others, and what installers said.

use std::ffi::OsString;
use std::fs::{self, DirBuilder, File, Permissions};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};

use nix::unistd::{getegid, geteuid};

/// The state directory: all for the owner, and for the group the way through to the control socket,
/// whose own mode says who may open it. The group cannot list what else is there.
const DIRECTORY: u32 = 0o710;
/// The database and what SQLite makes beside it.
const DATABASE: u32 = 0o600;

const SET_GROUP: u32 = 0o2000;
const STICKY: u32 = 0o1000;

/// Makes the state directory, or tightens the one that is there: others get nothing, the group no more
/// than the way through, and the group is the server's, as the control socket's will be. What its
/// owner took away stays away. A directory that is everybody's (`/tmp`) or somebody else's is left as
/// it is, and the log says so.
///
/// # Errors
/// If it cannot be made, or is no directory.
pub fn home(dir: &Path) -> io::Result<()> {
    if let Some(above) = dir.parent() {
        fs::create_dir_all(above)?;
    }
    // not wider for a moment either
    match DirBuilder::new().mode(0o700).create(dir) {
        Ok(()) => {
            let inherited = fs::metadata(dir)?.mode() & SET_GROUP;
            // the umask may be tighter than the socket's group can do with
            return closed(dir, inherited | DIRECTORY).map(drop);
        }
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
        Err(error) => return Err(error),
    }
    let found = fs::metadata(dir)?;
    if !found.is_dir() {
        return Err(ErrorKind::NotADirectory.into());
    }
    let (mode, user, group) = (found.mode() & 0o7777, geteuid(), getegid().as_raw());
    let ours = user.is_root() || user.as_raw() == found.uid();
    if mode & STICKY != 0 || !ours {
        if mode & 0o007 != 0 {
            tracing::warn!(
                "others can look into the state directory `{}`, which is not this server's own; \
                 choose another with `--state`, or run `chmod o= {}`",
                dir.display(),
                dir.display()
            );
        }
        return Ok(());
    }
    let kept = tightened(mode);
    if kept != mode && closed(dir, kept)? {
        let (before, now) = (format!("{mode:04o}"), format!("{kept:04o}"));
        tracing::info!(before, now, "the state directory is closed to others");
    }
    // who is in the group that may open the socket must get to it
    if found.gid() != group
        && kept & SET_GROUP == 0
        && kept & 0o010 != 0
        && let Err(error) = chown(dir, None, Some(group))
    {
        tracing::warn!(%error, "the state directory keeps its group, so that the control socket's group may not reach it");
    }
    Ok(())
}

/// Gives something that is there this mode. Some file systems know no modes, and some users may not change
/// any: that is said, and no reason not to serve.
fn closed(path: &Path, mode: u32) -> io::Result<bool> {
    match fs::set_permissions(path, Permissions::from_mode(mode)) {
        Ok(()) => Ok(true),
        Err(error)
            if matches!(
                error.kind(),
                ErrorKind::PermissionDenied | ErrorKind::Unsupported
            ) =>
        {
            tracing::warn!(%error, "others can read `{}`, and its mode cannot be changed", path.display());
            Ok(false)
        }
        Err(error) => Err(error),
    }
}

/// What is left of a mode; nothing is added.
fn tightened(mode: u32) -> u32 {
    mode & (0o7000 | DIRECTORY)
}

/// Makes an empty database that only its owner may read, or tightens the one that is there.
///
/// It is never opened to do so: closing any descriptor of a file gives up every lock that this process
/// has on it.
pub(super) fn private(database: &Path) -> io::Result<()> {
    // SQLite gives what it makes beside a database the mode of that
    let made = File::options()
        .write(true)
        .create_new(true)
        .mode(DATABASE)
        .open(database);
    match made {
        Err(error) if error.kind() != ErrorKind::AlreadyExists => return Err(error),
        _ => {}
    }
    for end in ["", "-wal", "-shm"] {
        let path = beside(database, end);
        match fs::metadata(&path) {
            Ok(found) if found.mode() & 0o7777 & !DATABASE != 0 => {
                closed(&path, DATABASE)?;
            }
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    Ok(())
}

fn beside(database: &Path, end: &str) -> PathBuf {
    let mut name = OsString::from(database);
    name.push(end);
    PathBuf::from(name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::process::CommandExt;
    use std::process::Command;

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).expect("there").mode() & 0o7777
    }

    fn set(path: &Path, mode: u32) {
        fs::set_permissions(path, Permissions::from_mode(mode)).expect("a mode");
    }

    #[test]
    fn a_state_directory_is_closed_to_others_new_or_old() {
        let dir = tempfile::tempdir().expect("a directory");
        let state = dir.path().join("a/state");
        home(&state).expect("made");
        assert_eq!(mode(&state), 0o710);
        for (before, after) in [
            (0o755, 0o710),
            (0o777, 0o710),
            // what its owner took away is not given back
            (0o700, 0o700),
            (0o2775, 0o2710),
            // everybody's
            (0o1777, 0o1777),
        ] {
            set(&state, before);
            home(&state).expect("there");
            assert_eq!(mode(&state), after, "{before:04o}");
        }
        let file = dir.path().join("file");
        fs::write(&file, "").expect("written");
        assert!(home(&file).is_err(), "no directory");
    }

    #[tokio::test]
    async fn nobody_but_its_owner_reads_a_database_new_or_old() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("farrier.db");
        let all = ["", "-wal", "-shm"].map(|end| beside(&path, end));
        let modes = || all.each_ref().map(|p| mode(p));
        let open = crate::store::open(&path).await.expect("opened");
        assert_eq!(modes(), [0o600; 3]);
        drop(open);
        // as an earlier version left it, killed
        for path in &all {
            fs::File::options()
                .append(true)
                .create(true)
                .open(path)
                .expect("there");
            set(path, 0o644);
        }
        let _open = crate::store::open(&path).await.expect("opened again");
        assert_eq!(modes(), [0o600; 3]);
    }

    /// Asked of the kernel, as two other users.
    #[tokio::test]
    #[expect(clippy::print_stdout, reason = "a test that cannot run says so")]
    async fn the_group_reaches_the_socket_and_nothing_else() {
        if !geteuid().is_root() {
            println!("skipped: other users need root");
            return;
        }
        let dir = tempfile::tempdir().expect("a directory");
        set(dir.path(), 0o755);
        let state = dir.path().join("state");
        // as an earlier version made it
        fs::create_dir(&state).expect("made");
        set(&state, 0o755);
        home(&state).expect("tightened");
        let socket = state.join("control.sock");
        let _listens = std::os::unix::net::UnixListener::bind(&socket).expect("bound");
        set(&socket, 0o660);
        let database = state.join("farrier.db");
        let _open = crate::store::open(&database).await.expect("opened");
        let may = |group: u32, what: &str, path: &Path| {
            let mut test = Command::new("test");
            test.arg(what).arg(path).uid(65534).gid(group);
            test.status().expect("test").success()
        };
        let (group, other) = (getegid().as_raw(), 65534);
        assert!(may(group, "-w", &socket), "the group opens the socket");
        assert!(!may(group, "-r", &state), "the group lists the directory");
        assert!(!may(group, "-r", &database), "the group reads the database");
        assert!(!may(other, "-e", &socket), "others see the socket");
        assert!(!may(other, "-r", &database), "others read the database");
    }
}
