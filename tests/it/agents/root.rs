//! A Debian system with every agent and its server, made once and kept; each user writes to an
//! overlay of its own.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

use farrier::cli::demo::rack::tools::Need;
use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};

/// What makes it.
pub(super) const NEEDS: &[Need] = &[
    Need {
        path: "/usr/bin/mmdebstrap",
        package: "mmdebstrap",
        why: "a system with agents",
    },
    Need {
        path: "/usr/bin/git",
        package: "git",
        why: "a repository to pull",
    },
];

/// What Salt is installed with.
pub(super) const PYTHON: &[Need] = &[Need {
    path: "/usr/lib/python3/dist-packages",
    package: "python3-venv",
    why: "Salt from PyPI",
}];

/// What is in it besides a minimal system.
const PACKAGES: &[&str] = &[
    "puppetserver",
    "puppet-agent",
    "cfengine3",
    "ansible-core",
    "git",
    "curl",
    "ca-certificates",
    "python3-venv",
    "openssh-server",
    "iproute2",
];

/// The system, made if it is not there. One process at a time makes it.
pub(super) fn base() -> PathBuf {
    let names = PACKAGES.join(",");
    let name = format!("agents-{}", &blake3::hash(names.as_bytes()).to_hex()[..12]);
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let root = folder.join(&name);
    let lock = File::create(folder.join(format!("{name}.lock"))).expect("a lock");
    lock.lock().expect("locked");
    if root.is_dir() {
        return root;
    }
    let part = folder.join(format!("{name}.part"));
    if part.exists() {
        fs::remove_dir_all(&part).expect("removed");
    }
    let sources = [
        "/etc/apt/sources.list.d/debian.sources",
        "/etc/apt/sources.list",
    ];
    let sources = sources.into_iter().find(|p| Path::new(p).exists());
    let made = Command::new("mmdebstrap")
        .args(["--mode=root", "--variant=apt", "--quiet"])
        .arg("--dpkgopt=force-unsafe-io")
        .arg("--aptopt=Acquire::Languages \"none\"")
        .arg(format!("--include={names}"))
        .arg("bookworm")
        .arg(&part)
        .args(sources)
        .output()
        .expect("mmdebstrap");
    assert!(
        made.status.success(),
        "{}",
        String::from_utf8_lossy(&made.stderr)
    );
    fs::rename(&part, &root).expect("renamed");
    root
}

/// From here on this thread, and whatever it starts, has mounts of its own: they end with it.
pub(super) fn own_mounts() {
    unshare(CloneFlags::CLONE_NEWNS).expect("a mount namespace");
    let private = MsFlags::MS_REC | MsFlags::MS_PRIVATE;
    mount(None::<&str>, "/", None::<&str>, private, None::<&str>).expect("private mounts");
}

/// A system of its own, over the base.
#[derive(Debug)]
pub(super) struct System {
    root: PathBuf,
}

impl System {
    /// A fresh one below `dir`, with `/proc`, `/sys` and `/dev` in it. Only for a thread with mounts
    /// of its own.
    pub(super) fn new(dir: &Path, name: &str) -> System {
        let at = |part: &str| {
            let path = dir.join(name).join(part);
            fs::create_dir_all(&path).expect("a folder");
            path
        };
        let (upper, work, root) = (at("upper"), at("work"), at("root"));
        let options = format!(
            "lowerdir={},upperdir={},workdir={}",
            base().display(),
            upper.display(),
            work.display()
        );
        let none = MsFlags::empty();
        mount(
            Some("overlay"),
            &root,
            Some("overlay"),
            none,
            Some(options.as_str()),
        )
        .expect("an overlay");
        for folder in ["/proc", "/sys", "/dev"] {
            let bind = MsFlags::MS_BIND | MsFlags::MS_REC;
            let to = root.join(&folder[1..]);
            mount(Some(folder), &to, None::<&str>, bind, None::<&str>).expect("bound");
        }
        System { root }
    }

    /// A path in it.
    pub(super) fn path(&self, path: &str) -> PathBuf {
        self.root.join(path.trim_start_matches('/'))
    }

    /// Makes a folder or file of this host be there too, under the same path.
    pub(super) fn bind(&self, path: &Path) {
        let to = self.path(&path.display().to_string());
        if path.is_dir() {
            fs::create_dir_all(&to).expect("a folder");
        } else {
            fs::create_dir_all(to.parent().expect("a parent")).expect("a folder");
            fs::write(&to, "").expect("a file");
        }
        let bind = MsFlags::MS_BIND | MsFlags::MS_REC;
        mount(Some(path), &to, None::<&str>, bind, None::<&str>).expect("bound");
    }

    /// Writes a file in it.
    pub(super) fn put(&self, path: &str, mode: u32, text: &str) {
        use std::os::unix::fs::PermissionsExt;
        let path = self.path(path);
        fs::create_dir_all(path.parent().expect("a parent")).expect("a folder");
        fs::write(&path, text).expect("written");
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).expect("a mode");
    }

    /// Reads a file in it.
    pub(super) fn read(&self, path: &str) -> String {
        fs::read_to_string(self.path(path)).unwrap_or_default()
    }

    /// The arguments of `chroot` that lead into it.
    pub(super) fn root(&self) -> &Path {
        &self.root
    }

    /// The number of a user or group: the second colon-separated field but one.
    pub(super) fn id(&self, file: &str, name: &str) -> u32 {
        let text = self.read(file);
        let line = text.lines().find(|l| l.split(':').next() == Some(name));
        let number = line.and_then(|l| l.split(':').nth(2)?.parse().ok());
        number.unwrap_or_else(|| panic!("`{name}` in {file}"))
    }
}
