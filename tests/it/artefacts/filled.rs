//! Declarations that were not filled in, and files that are served inside an archive.

use super::*;

#[tokio::test]
async fn a_placeholder_is_said_plainly_and_nothing_is_asked_for() {
    let state = tempfile::tempdir().expect("a directory");
    let shelf = Shelf::open(state.path());
    let of = |name: &str| {
        (
            name.to_string(),
            url(format!("http://mirror.example/x/{name}"), None),
        )
    };
    let mut distro = distro("esxi", &[]);
    distro.artefacts = [of("linux"), of("b.b00"), of("k.b00")].into();
    let said = refusal(&shelf, &distro).await;
    assert!(
        said.contains("boot/esxi.toml names http://mirror.example/x/b.b00 and 2 more"),
        "{said}"
    );
    assert!(said.contains("its comments say"), "{said}");
}

/// The kernel unpacks it: so does cpio.
#[tokio::test]
async fn a_file_is_served_inside_an_archive() {
    let state = tempfile::tempdir().expect("a directory");
    let shelf = Shelf::open(state.path());
    let iso = state.path().join("x.iso");
    let bytes: Vec<u8> = (0..70_001u32).map(|i| (i * 31) as u8).collect();
    std::fs::write(&iso, &bytes).expect("written");
    let mut distro = distro(
        "proxmox-ve",
        &[("proxmox.iso", file(iso.to_str().expect("text")))],
    );
    let plain = fetch(&shelf, &distro).await.expect("fetched");
    assert_eq!(
        content(&shelf, "proxmox-ve", "proxmox.iso"),
        Some(bytes.clone())
    );
    distro
        .way
        .inside
        .insert("proxmox.iso".into(), "media/proxmox.iso".into());
    let packed = fetch(&shelf, &distro).await.expect("fetched");
    let (before, after) = (
        plain["proxmox.iso"].record(),
        packed["proxmox.iso"].record(),
    );
    assert_eq!(
        before.sha256, after.sha256,
        "the digest is that of the file"
    );
    assert_eq!(after.sha256, sha256(&bytes));
    assert_ne!(before.digest, after.digest, "and what is served is another");
    let archive = content(&shelf, "proxmox-ve", "proxmox.iso").expect("it");
    assert_eq!(archive.len() as u64, after.size);
    let out = tempfile::tempdir().expect("a directory");
    let Some(listed) = cpio(&["-idmv", "--quiet"], &archive, out.path()) else {
        return;
    };
    assert_eq!(
        listed.lines().collect::<Vec<_>>(),
        ["media", "media/proxmox.iso"]
    );
    let unpacked = std::fs::read(out.path().join("media/proxmox.iso")).expect("unpacked");
    assert_eq!(unpacked, bytes);
    // put back out of it, it is fetched again
    distro.way.inside.clear();
    fetch(&shelf, &distro).await.expect("fetched");
    assert_eq!(content(&shelf, "proxmox-ve", "proxmox.iso"), Some(bytes));
}

/// What cpio says of an archive, read in a folder; none if it is not installed, which is said loudly.
pub(crate) fn cpio(arguments: &[&str], archive: &[u8], folder: &Path) -> Option<String> {
    use std::io::{Seek, Write};
    let mut input = tempfile::tempfile().expect("a file");
    input.write_all(archive).expect("written");
    input.rewind().expect("rewound");
    let run = std::process::Command::new("cpio")
        .args(arguments)
        .current_dir(folder)
        .stdin(input)
        .output();
    let Ok(run) = run else {
        crate::skipped!("`cpio` is not installed, and what it would check was not");
        return None;
    };
    let (out, err) = (
        run.stdout,
        String::from_utf8_lossy(&run.stderr).into_owned(),
    );
    assert!(run.status.success(), "{err}");
    // what it lists goes to one or the other, depending on what it does
    Some(String::from_utf8_lossy(&out).into_owned() + &err)
}

/// The paths in a tar.
pub(crate) fn tar(archive: &[u8]) -> String {
    let mut archive = tar::Archive::new(archive);
    let entries = archive.entries().expect("a tar");
    let paths = entries.map(|e| {
        e.expect("an entry")
            .path()
            .expect("a path")
            .display()
            .to_string()
    });
    paths.map(|path| path + "\n").collect()
}
