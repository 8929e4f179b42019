//! The builder `fai`: a kernel, an initrd and a root file system that run Fully Automatic
//! Installation, made on this host from its own Debian mirror by FAI's own `fai-make-nfsroot`.
//!
//! The root carries the finished base system of the machines as FAI's base file, boot loaders
//! included, so that an installation downloads nothing but these three files. The same root, told
//! another action, is the rescue system.
//!
//! ```text
//! work/built-fai/    what this run leaves: vmlinuz, initrd.img, squash.img
//! work/stage-fai/    what an interrupted run has done so far, and its log
//! ```
//!
//! Every command runs in mount and process namespaces of its own: whatever it mounts is gone with
//! it, and whatever it started dies with it, also when the future is dropped. Nothing of the host
//! outside the stage is written.

mod host;
mod stage;

use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use super::error::ArtefactError;
use super::progress::{Report, Step, tell};
use host::Host;
use stage::Stage;

/// The builder's name in declarations.
pub(super) const NAME: &str = "fai";

/// The artefacts it makes.
const KERNEL: &str = "vmlinuz";
const INITRD: &str = "initrd.img";
const ROOT: &str = "squash.img";

/// Steps that are told.
const STEPS: u64 = 5;

/// Packages of the installed system. Both firmwares' boot loaders are unpacked; which package owns
/// the machine's loader is settled in the installation, from [`LOADERS`].
const BASE: &[&str] = &[
    "linux-image-cloud-amd64",
    "initramfs-tools",
    "zstd",
    "grub2-common",
    "grub-pc-bin",
    "grub-efi-amd64-bin",
    "grub-efi-amd64-signed",
    "shim-signed",
    "efibootmgr",
    "openssh-server",
    "curl",
    "ca-certificates",
    "systemd-sysv",
    "systemd-resolved",
    "systemd-timesyncd",
    "dbus",
    "udev",
    "kmod",
    "iproute2",
    "iputils-ping",
    "netbase",
    "less",
    "vim-tiny",
    "procps",
    "e2fsprogs",
    "dosfstools",
    "tzdata",
    "logrotate",
];

/// Packages kept as they are, for the installation to unpack the right one.
const LOADERS: &[&str] = &["grub-pc", "grub-efi-amd64"];

/// What FAI's root begins as.
const SEED: &[&str] = &["udev", "kmod", "zstd", "ca-certificates"];

/// Files that neither system needs. dpkg remembers, so later packages are as lean.
const LEAN: &[&str] = &[
    "path-exclude=/usr/share/doc/*",
    "path-include=/usr/share/doc/*/copyright",
    "path-exclude=/usr/share/man/*",
    "path-exclude=/usr/share/info/*",
    "path-exclude=/usr/share/locale/*",
    "path-exclude=/usr/share/lintian/*",
];

/// GRUB images that only its own packaging uses.
const UNUSED_GRUB: &[&str] = &[
    "path-exclude=/usr/lib/grub/x86_64-efi/monolithic/*",
    "path-exclude=/usr/lib/grub/x86_64-efi-signed/grubnet*",
    "path-exclude=/usr/lib/grub/x86_64-efi-signed/gcd*",
];

/// Drivers that neither an installer nor a rescue system loads.
const UNUSED_DRIVERS: &[&str] = &[
    "sound",
    "drivers/gpu",
    "drivers/media",
    "drivers/net/wireless",
    "drivers/bluetooth",
    "drivers/staging",
    "drivers/iio",
    "arch/x86/kvm",
];

/// Makes the artefacts in `dir`.
///
/// # Errors
/// Something is missing on this host, or a step failed: its last words are in the error, all of
/// them in the stage's log.
pub(super) async fn build(dir: &Path, report: &Report) -> Result<(), ArtefactError> {
    let step = |done| tell(report, NAME, Step::Building, done, Some(STEPS));
    step(0);
    let host = Host::ask().await?;
    let at = dir.with_file_name("stage-fai");
    let mut stage = Stage::open(&at, &recipe(&host), host.proxy.clone())?;
    run(&host, &mut stage, dir, &step).await?;
    stage.clear()
}

async fn run(
    host: &Host,
    stage: &mut Stage,
    dir: &Path,
    step: &(dyn Fn(u64) + Sync),
) -> Result<(), ArtefactError> {
    base(host, stage).await?;
    step(1);
    seed(host, stage).await?;
    step(2);
    nfsroot(stage).await?;
    step(3);
    furnish(stage).await?;
    step(4);
    squash(stage, dir).await?;
    let boot = stage.path("nfsroot/boot");
    copy(&only(&boot, "vmlinuz-")?, &dir.join(KERNEL))?;
    copy(&only(&boot, "initrd.img-")?, &dir.join(INITRD))?;
    step(STEPS);
    Ok(())
}

/// What the products of a stage depend on.
fn recipe(host: &Host) -> String {
    let mut all = vec![host.release.clone(), host.sources.clone()];
    for part in [BASE, LOADERS, SEED, LEAN, UNUSED_GRUB] {
        all.push(part.join(" "));
    }
    all.push(FILES.iter().map(|f| f.text).collect());
    all.push(include_str!("files/NFSROOT").to_string());
    blake3::hash(all.join("\0").as_bytes()).to_hex().to_string()
}

/// The base system of the machines: `base.tar.zst`, and `debs/`.
async fn base(host: &Host, stage: &mut Stage) -> Result<(), ArtefactError> {
    if stage.has("base.tar.zst") {
        return Ok(());
    }
    let debs = stage.fresh("debs")?;
    let tar = stage.path("part.tar");
    let mut args = mmdebstrap(host, stage, BASE)?;
    for option in UNUSED_GRUB {
        args.push(format!("--dpkgopt={option}").into());
    }
    for hook in [
        // a machine's own keys are made in its installation
        r#"rm -f "$1"/etc/ssh/ssh_host_*"#.to_string(),
        r#"mv "$1"/etc/apt/sources.list.d/*.list "$1"/etc/apt/sources.list"#.to_string(),
        format!(
            r#"cd "$FARRIER_DEBS" && APT_CONFIG="$MMDEBSTRAP_APT_CONFIG" apt-get -o APT::Sandbox::User=root download {}"#,
            LOADERS.join(" ")
        ),
    ] {
        args.push(format!("--customize-hook={hook}").into());
    }
    args.extend([host.release.clone().into(), tar.clone().into()]);
    args.push(stage.path("sources.list").into());
    let tmp = stage.path("tmp");
    let environment = [
        ("FARRIER_DEBS", debs.as_os_str()),
        ("TMPDIR", tmp.as_os_str()),
    ];
    stage.run("mmdebstrap", &args, &environment).await?;
    compress(stage, &tar, 12).await?;
    stage.keep("part.tar.zst", "base.tar.zst")
}

/// What FAI's root is made from: `seed.tar.zst`.
async fn seed(host: &Host, stage: &mut Stage) -> Result<(), ArtefactError> {
    if stage.has("seed.tar.zst") {
        return Ok(());
    }
    let conf = stage.write("50-farrier.conf", include_str!("files/dracut.conf"))?;
    let tar = stage.path("part.tar");
    let mut args = mmdebstrap(host, stage, SEED)?;
    let hook =
        r#"install -D -m 644 "$FARRIER_DRACUT" "$1"/usr/lib/dracut/dracut.conf.d/50-farrier.conf"#;
    args.push(format!("--customize-hook={hook}").into());
    args.push("--dpkgopt=force-unsafe-io".into());
    args.extend([host.release.clone().into(), tar.clone().into()]);
    args.push(stage.path("sources.list").into());
    let tmp = stage.path("tmp");
    let environment = [
        ("FARRIER_DRACUT", conf.as_os_str()),
        ("TMPDIR", tmp.as_os_str()),
    ];
    stage.run("mmdebstrap", &args, &environment).await?;
    compress(stage, &tar, 3).await?;
    stage.keep("part.tar.zst", "seed.tar.zst")
}

/// The arguments that both systems share.
fn mmdebstrap(
    host: &Host,
    stage: &Stage,
    packages: &[&str],
) -> Result<Vec<OsString>, ArtefactError> {
    stage.write("sources.list", &host.sources)?;
    let mut args: Vec<OsString> = vec![
        "--mode=root".into(),
        "--variant=minbase".into(),
        "--hook-dir=/usr/share/mmdebstrap/hooks/merged-usr".into(),
        "--aptopt=Acquire::Languages \"none\"".into(),
        format!("--include=usr-is-merged,{}", packages.join(",")).into(),
    ];
    args.extend(LEAN.iter().map(|o| format!("--dpkgopt={o}").into()));
    Ok(args)
}

async fn compress(stage: &Stage, tar: &Path, level: u8) -> Result<(), ArtefactError> {
    let args: [OsString; 6] = [
        "-q".into(),
        format!("-{level}").into(),
        "-T0".into(),
        "--rm".into(),
        "-f".into(),
        tar.into(),
    ];
    stage.run("zstd", &args, &[]).await
}

/// FAI's root as FAI makes it: `nfsroot/`.
async fn nfsroot(stage: &mut Stage) -> Result<(), ArtefactError> {
    if stage.has("nfsroot.done") {
        return Ok(());
    }
    let root = stage.fresh("nfsroot")?;
    let tftp = stage.fresh("tftp")?;
    let conf = stage.fresh("fai")?;
    let apt = conf.join("apt/apt.conf.d");
    fs::create_dir_all(&apt).map_err(ArtefactError::file("create", &apt))?;
    stage.write(
        "fai/apt/apt.conf.d/99farrier",
        include_str!("files/apt.conf"),
    )?;
    stage.write("fai/NFSROOT", include_str!("files/NFSROOT"))?;
    stage.write("fai/fai.conf", "LOGUSER=\n")?;
    let settings = format!(
        "FAI_ROOTPW='*'\nNFSROOT={}\nTFTPROOT={}\nNFSROOT_HOOKS=\nFAI_CONFIGDIR={}\n",
        root.display(),
        tftp.display(),
        conf.display(),
    );
    stage.write("fai/nfsroot.conf", &settings)?;
    // its log has a fixed place
    let script = r#"mount -t tmpfs tmpfs /var/log && mkdir /var/log/fai &&
        exec fai-make-nfsroot -v -g -z -f -C "$0" -B "$1""#;
    let args: [OsString; 4] = [
        "-c".into(),
        script.into(),
        conf.into(),
        stage.path("seed.tar.zst").into(),
    ];
    stage.run("sh", &args, &[]).await?;
    stage.done("nfsroot.done")
}

/// A file of ours in FAI's root.
struct Ours {
    path: &'static str,
    mode: u32,
    text: &'static str,
}

const FILES: &[Ours] = &[
    Ours {
        path: "etc/fai/fai.conf",
        mode: 0o644,
        text: include_str!("files/fai.conf"),
    },
    Ours {
        path: "etc/modprobe.d/farrier.conf",
        mode: 0o644,
        text: include_str!("files/modprobe.conf"),
    },
    Ours {
        path: "etc/ssh/sshd_config.d/farrier.conf",
        mode: 0o644,
        text: include_str!("files/sshd.conf"),
    },
    Ours {
        path: "etc/init.d/fai-abort",
        mode: 0o755,
        text: include_str!("files/fai-abort"),
    },
];

/// Puts our files and the base into FAI's root, and takes out what it does not need.
async fn furnish(stage: &mut Stage) -> Result<(), ArtefactError> {
    if stage.has("furnished") {
        return Ok(());
    }
    let root = stage.path("nfsroot");
    for ours in FILES {
        let at = root.join(ours.path);
        stage.write(&format!("nfsroot/{}", ours.path), ours.text)?;
        fs::set_permissions(&at, fs::Permissions::from_mode(ours.mode))
            .map_err(ArtefactError::file("change the mode of", &at))?;
    }
    let ssh = root.join("etc/ssh");
    for key in listed(&ssh)? {
        if starts(&key, "ssh_host_") {
            fs::remove_file(&key).map_err(ArtefactError::file("remove", &key))?;
        }
    }
    let modules = only(&root.join("usr/lib/modules"), "")?;
    for driver in UNUSED_DRIVERS {
        remove(&modules.join("kernel").join(driver))?;
    }
    for path in [
        "var/lib/apt/lists",
        "var/cache/apt",
        "usr/lib/PXELINUX",
        "usr/lib/syslinux",
        "usr/lib/SYSLINUX.EFI",
        "var/tmp/debs",
    ] {
        remove(&root.join(path))?;
    }
    for path in [
        "var/lib/apt/lists/partial",
        "var/cache/apt/archives/partial",
        "var/tmp/debs",
    ] {
        let at = root.join(path);
        fs::create_dir_all(&at).map_err(ArtefactError::file("create", &at))?;
    }
    copy(
        &stage.path("base.tar.zst"),
        &root.join("var/tmp/base.tar.zst"),
    )?;
    for deb in listed(&stage.path("debs"))? {
        if let Some(name) = deb.file_name() {
            copy(&deb, &root.join("var/tmp/debs").join(name))?;
        }
    }
    let version = modules.file_name().map(OsString::from).unwrap_or_default();
    stage
        .run("chroot", &[root.into(), "depmod".into(), version], &[])
        .await?;
    stage.done("furnished")
}

async fn squash(stage: &Stage, dir: &Path) -> Result<(), ArtefactError> {
    let mut args: Vec<OsString> = vec![stage.path("nfsroot").into(), dir.join(ROOT).into()];
    let rest = "-comp zstd -Xcompression-level 12 -noappend -no-progress -e boot";
    args.extend(rest.split(' ').map(OsString::from));
    stage.run("mksquashfs", &args, &[]).await
}

fn copy(from: &Path, to: &Path) -> Result<(), ArtefactError> {
    fs::copy(from, to).map_err(ArtefactError::file("copy", from))?;
    fs::set_permissions(to, fs::Permissions::from_mode(0o644))
        .map_err(ArtefactError::file("change the mode of", to))
}

fn remove(path: &Path) -> Result<(), ArtefactError> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(ArtefactError::file("remove", path)(error))
        }
        _ => Ok(()),
    }
}

fn listed(dir: &Path) -> Result<Vec<PathBuf>, ArtefactError> {
    let entries = fs::read_dir(dir).map_err(ArtefactError::file("read", dir))?;
    let mut paths: Vec<PathBuf> = entries.filter_map(|e| Some(e.ok()?.path())).collect();
    paths.sort();
    Ok(paths)
}

fn starts(path: &Path, prefix: &str) -> bool {
    path.file_name()
        .is_some_and(|n| n.to_string_lossy().starts_with(prefix))
}

/// The one entry with this prefix.
fn only(dir: &Path, prefix: &str) -> Result<PathBuf, ArtefactError> {
    let mut found = listed(dir)?;
    found.retain(|p| starts(p, prefix));
    match found.as_slice() {
        [one] => Ok(one.clone()),
        all => Err(failed(format!(
            "`{}` holds {} entries named `{prefix}*` where one was expected",
            dir.display(),
            all.len()
        ))),
    }
}

fn failed(reason: impl Into<String>) -> ArtefactError {
    ArtefactError::Builder {
        builder: NAME.to_string(),
        reason: reason.into(),
    }
}
