//! FreeBSD's own client: its `post()` by a real `nc`, and its first boot by a real `openssl`, as the
//! profile renders them, against the real doors.
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Output;

use farrier::boot::token::fill;

use super::*;
use crate::render::tier3;

/// The script that runs in mfsBSD, for this server and this build.
fn script(door: &Door, key: &farrier::model::BuildKey) -> String {
    let v4 = |address: SocketAddr| match address {
        SocketAddr::V4(address) => address,
        SocketAddr::V6(_) => unreachable!("bound to IPv4"),
    };
    let rendered = tier3::freebsd(
        v4(door.address),
        v4(door.secure.address()),
        door.secure.authority(),
    );
    let filled = fill(rendered.as_bytes(), &door.waist.key, key, false);
    String::from_utf8(filled.to_vec()).expect("text")
}

/// Runs it with a shell. What FreeBSD has and this host has not is in `bin`.
async fn shell(folder: &Path, script: String) -> Output {
    let folder = folder.to_path_buf();
    let run = move || {
        let bin = folder.join("bin");
        std::fs::create_dir_all(&bin).expect("a folder");
        // `sleep`: an answer that was missed is asked for again, which must not be needed
        for (name, script) in [
            ("logger", "echo \"$@\"".to_string()),
            ("sleep", format!("echo \"$@\" >>{}/slept", folder.display())),
        ] {
            let path = bin.join(name);
            std::fs::write(&path, format!("#!/bin/sh\n{script}\n")).expect("written");
            std::fs::set_permissions(&path, PermissionsExt::from_mode(0o755)).expect("a mode");
        }
        let file = folder.join("script");
        std::fs::write(&file, script).expect("written");
        std::process::Command::new("/bin/sh")
            .arg(&file)
            .env(
                "PATH",
                format!("{}:/usr/sbin:/usr/bin:/sbin:/bin", bin.display()),
            )
            .output()
            .expect("sh")
    };
    tokio::task::spawn_blocking(run).await.expect("an end")
}

/// Whether this host's `nc` is the BSDs'.
fn has_nc() -> bool {
    let help = std::process::Command::new("nc").arg("-h").output();
    let found = help.is_ok_and(|o| String::from_utf8_lossy(&o.stderr).contains("OpenBSD netcat"));
    if !found {
        crate::skipped!("no OpenBSD netcat is installed, and FreeBSD's client was not run");
    }
    found
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn its_reports_are_heard_and_its_first_boot_is() {
    if !has_nc() {
        return;
    }
    let door = open(Limits::default()).await;
    let key = door.flag(1);
    door.get(ip(1), &format!("/ipxe/{}", mac(1).dashed())).await;
    // it asks from where this host's own routes say
    door.waist.lend(Ipv4Addr::LOCALHOST, mac(1));
    let folder = tempfile::tempdir().expect("a folder");
    let at = |name: &str| folder.path().join(name).display().to_string();
    let whole = script(&door, &key).replace("/tmp/farrier", &at("run"));
    assert!(whole.contains(&at("run")));

    let (client, rest) = whole.split_once("\n# fail STAGE").expect("its functions");
    let reports = r#"
echo freebsd >"$dir/start"
post start "$dir/start" || exit 11
printf 'path=/dev/ada0 size=64000000000 serial=S1 model=M wwn= bus=sata removable=0 contents=blank\n' >"$dir/disks"
post disks "$dir/disks" || exit 12
sed -n 's,^disk=/dev/\([a-z]*[0-9]*\).*,\1,p' "$dir/answer"
post progress/extract "$dir/start" || exit 13
post end "$dir/start" || exit 14
post nonsense "$dir/start" && exit 15
echo "$status"
"#;
    let done = shell(folder.path(), format!("{client}{reports}")).await;
    let said = String::from_utf8_lossy(&done.stdout).into_owned();
    assert!(done.status.success(), "{done:?}\n{:?}", door.waist.seen());
    assert_eq!(said, "ada0\n404\n", "{done:?}");
    assert_eq!(door.waist.phase(1), Phase::Installed);

    let (_, first) = rest.split_once("<<'END'\n").expect("a first boot");
    let (first, _) = first.split_once("\nEND\n").expect("its end");
    for name in ["farrier", "ssh"] {
        std::fs::create_dir(folder.path().join(name)).expect("a folder");
    }
    std::fs::write(at("farrier/ca.crt"), door.secure.authority().as_bytes()).expect("written");
    std::fs::write(
        at("ssh/ssh_host_ed25519_key.pub"),
        "ssh-ed25519 AAAA root@web01\n",
    )
    .expect("written");
    std::fs::write(at("rc.local"), "started\n").expect("written");
    let first = first
        .replace("/var/farrier", &at("farrier"))
        .replace("/etc/rc.local", &at("rc.local"))
        .replace("/etc/ssh", &at("ssh"));
    let done = shell(folder.path(), first).await;
    assert!(done.status.success(), "{done:?}\n{:?}", door.waist.seen());
    let build = door.waist.build(1).expect("a build");
    assert_eq!((build.phase, build.alarm), (Phase::Ready, None));
    assert_eq!(build.host_keys, ["ssh-ed25519 AAAA root@web01"]);
    for gone in ["farrier", "rc.local", "slept"] {
        assert!(!folder.path().join(gone).exists(), "{gone}");
    }
}
