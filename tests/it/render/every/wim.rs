//! What wimboot puts into the Windows PE image: injected by wimlib, read out again by it.

use std::path::Path;
use std::process::Command;

use super::{all, four};

fn wimlib(words: &[&str]) -> Option<String> {
    let Ok(done) = Command::new("wimlib-imagex").args(words).output() else {
        crate::skipped!("`wimlib-imagex` is not installed, and no image was written");
        return None;
    };
    let said = String::from_utf8_lossy(&done.stdout) + String::from_utf8_lossy(&done.stderr);
    assert!(done.status.success(), "{words:?}: {said}");
    Some(said.into_owned())
}

/// wimboot patches its extra files into \\Windows\\System32 of the image, in memory (its wimpatch.c). Here
/// wimlib does so to an image of the same kind.
#[test]
fn wimlib_reads_what_is_injected() {
    let folder = tempfile::tempdir().expect("a folder");
    let at = |name: &str| folder.path().join(name).display().to_string();
    let system = folder.path().join("pe/Windows/System32");
    std::fs::create_dir_all(&system).expect("a folder");
    for name in ["cmd.exe", "wpeinit.exe", "winload.exe"] {
        std::fs::write(system.join(name), "MZ").expect("a file");
    }
    let ready = all().into_iter().find(|r| r.name == "windows").expect("it");
    for (case, system, ground) in four("windows") {
        let sent = ready.send(&system, &ground).expect("rendered");
        let wim = at(&format!("{case}.wim"));
        if wimlib(&["capture", &at("pe"), &wim, "--compress=none"]).is_none() {
            return;
        }
        let injected: Vec<String> = ready
            .profile
            .delivery
            .modules
            .iter()
            .map(|m| m.name.clone())
            .collect();
        assert_eq!(
            injected,
            [
                "winpeshl.ini",
                "start.cmd",
                "disks.js",
                "boot-order.js",
                "layout.txt"
            ]
        );
        for name in &injected {
            let file = at(name);
            std::fs::write(&file, &sent.documents[name].bytes).expect("a file");
            let command = format!("add '{file}' '/Windows/System32/{name}'");
            wimlib(&["update", &wim, "1", &format!("--command={command}")]);
        }
        wimlib(&["verify", &wim]);
        let out = at(&format!("{case}.out"));
        for name in &injected {
            wimlib(&[
                "extract",
                &wim,
                "1",
                &format!("/Windows/System32/{name}"),
                &format!("--dest-dir={out}"),
            ]);
            let read = std::fs::read(Path::new(&out).join(name)).expect("extracted");
            assert_eq!(read, sent.documents[name].bytes, "{case} {name}");
        }
        // What is started is in the image, whatever the case of its letters.
        let listed = wimlib(&["dir", &wim, "1"])
            .expect("asked above")
            .to_lowercase();
        let text = |name: &str| String::from_utf8_lossy(&sent.documents[name].bytes).into_owned();
        let shell = text("winpeshl.ini");
        let started = shell.lines().last().expect("what it starts");
        let path = started.rsplit(' ').next().expect("a path").to_lowercase();
        let path = path.trim_start_matches("x:").replace('\\', "/");
        assert!(listed.lines().any(|l| l == path), "{path}: {listed}");
        let script = text("start.cmd");
        for name in ["disks.js", "layout.txt"] {
            assert!(script.contains(name), "{script}");
        }
        assert_eq!(
            script.contains("boot-order.js"),
            case.starts_with("uefi"),
            "{case}"
        );
    }
    // and the boot script hands over these, after the files of Windows PE
    let (_, system, ground) = four("windows").into_iter().next().expect("one");
    let sent = ready.send(&system, &ground).expect("rendered");
    let initrds: Vec<&str> = sent.scripts["boot.ipxe"]
        .lines()
        .filter(|l| l.starts_with("initrd "))
        .collect();
    assert_eq!(
        initrds.len(),
        ready.distro.way.modules.len() + 5,
        "{initrds:?}"
    );
}
