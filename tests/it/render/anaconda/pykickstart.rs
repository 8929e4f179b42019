//! pykickstart, which is Anaconda's own parser of its answers: its validator and what it reads.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use serde_json::Value;

/// What is known to have RHEL 8 to 10 and Fedora 44.
const PACKAGE: &str = "pykickstart==3.78";

/// Prints, for each file that is named after the version, what was read of it as one line of JSON.
const READ: &str = r#"
import json, sys, warnings
from pykickstart.parser import KickstartParser
from pykickstart.version import makeVersion
for path in sys.argv[2:]:
    h = makeVersion(sys.argv[1])
    try:
        with warnings.catch_warnings(record=True) as warned:
            warnings.simplefilter('always')
            KickstartParser(h, errorsAreFatal=True).readKickstart(path)
    except Exception as e:
        print(json.dumps({'error': str(e)}))
        continue
    some = lambda o, *names: {n: getattr(o, n, None) for n in names}
    print(json.dumps({
        'warnings': [str(w.message) for w in warned],
        'lang': h.lang.lang, 'keyboard': h.keyboard.vc_keymap, 'timezone': h.timezone.timezone,
        'utc': h.timezone.isUtc,
        'ntp': list(getattr(h.timezone, 'ntpservers', None) or []) + [s.ntp_server for s in getattr(getattr(h, 'timesource', None), 'dataList', lambda: [])()],
        'rootpw': some(h.rootpw, 'password', 'isCrypted', 'lock'),
        'users': [some(u, 'name', 'groups', 'password', 'isCrypted', 'lock', 'shell') for u in h.user.userList],
        'packages': h.packages.packageList, 'groups': [g.name for g in h.packages.groupList],
        'environment': h.packages.environment, 'excluded': h.packages.excludedList,
        'repositories': [[r.name, r.baseurl] for r in h.repo.repoList],
        'url': h.url.url,
        'only': h.ignoredisk.onlyuse, 'clear': h.clearpart.drives, 'boot': h.bootloader.bootDrive,
        'append': h.bootloader.appendLine,
        'partitions': [some(p, 'mountpoint', 'size', 'grow', 'disk', 'fstype', 'encrypted', 'passphrase', 'luks_version') for p in h.partition.partitions],
        'raids': [some(r, 'mountpoint', 'device', 'level', 'fstype', 'members', 'encrypted') for r in h.raid.raidList],
        'groups_of_volumes': [some(v, 'vgname', 'physvols') for v in h.volgroup.vgList],
        'volumes': [some(v, 'mountpoint', 'vgname', 'name', 'size', 'grow', 'fstype') for v in h.logvol.lvList],
        'network': [some(n, 'device', 'bootProto', 'ip', 'netmask', 'gateway', 'nameserver', 'hostname', 'bondslaves', 'bondopts', 'vlanid', 'interfacename', 'ipv6', 'noipv6', 'noipv4', 'activate') for n in h.network.network],
        'scripts': [[s.type, s.inChroot, s.errorOnFail, s.script] for s in h.scripts],
    }, default=str))
"#;

/// A Python that has it; none, and said loudly, if it cannot be had because there is no network.
fn python() -> Option<&'static Path> {
    static MADE: OnceLock<Option<PathBuf>> = OnceLock::new();
    MADE.get_or_init(|| {
        let base = Path::new(env!("CARGO_TARGET_TMPDIR"));
        let made = base.join("pykickstart-3.78");
        let program = made.join("bin/python");
        if program.exists() {
            return Some(program);
        }
        // made aside and moved, for several tests may want it at once
        let aside = tempfile::tempdir_in(base).expect("a folder");
        let aside = aside.path().join("venv");
        let venv = Command::new("python3")
            .args(["-m", "venv"])
            .arg(&aside)
            .output();
        let venv = venv.expect("python3");
        assert!(
            venv.status.success(),
            "the Debian package python3-venv is needed: {venv:?}"
        );
        let pip = Command::new(aside.join("bin/python"))
            .args([
                "-m",
                "pip",
                "install",
                "--quiet",
                "--disable-pip-version-check",
                PACKAGE,
            ])
            .output()
            .expect("pip");
        if !pip.status.success() {
            crate::skipped!(
                "pykickstart could not be fetched, so no kickstart file was validated: {}",
                String::from_utf8_lossy(&pip.stderr)
            );
            return None;
        }
        // another test was quicker: then its is used
        let _ = std::fs::rename(&aside, &made);
        program.exists().then_some(program)
    })
    .as_deref()
}

/// Anaconda's validator, for one version of its language; warnings count as errors.
pub(super) fn validate(version: &str, files: &[PathBuf]) {
    let Some(python) = python() else {
        return;
    };
    let out = Command::new(python)
        .arg(python.with_file_name("ksvalidator"))
        .args(["-v", version])
        .args(files)
        .output()
        .expect("ksvalidator");
    assert!(
        out.status.success(),
        "{version}: {}{}",
        String::from_utf8_lossy(&out.stdout),
        String::from_utf8_lossy(&out.stderr)
    );
}

/// What its parser makes of each file; none if it is not here.
pub(super) fn read(version: &str, files: &[PathBuf]) -> Option<Vec<Value>> {
    let out = Command::new(python()?)
        .args(["-c", READ, version])
        .args(files)
        .output()
        .expect("pykickstart");
    assert!(out.status.success(), "{out:?}");
    let text = String::from_utf8_lossy(&out.stdout).into_owned();
    let read: Vec<Value> = text
        .lines()
        .map(|line| serde_json::from_str(line).expect("JSON"))
        .collect();
    assert_eq!(read.len(), files.len());
    Some(read)
}
