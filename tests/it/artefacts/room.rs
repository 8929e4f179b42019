//! A disk that has not room for what is fetched: said before it is full, for the database is on it.

use super::*;
use crate::disk::SmallDisk;
use crate::upstream::chunked;

const MIB: usize = 1 << 20;

fn no_room(outcome: Result<BTreeMap<String, Outcome>, ArtefactError>) -> ArtefactError {
    match outcome {
        Err(error @ ArtefactError::NoRoom { .. }) => error,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn what_does_not_fit_is_refused_when_its_length_is_known() {
    let Some(disk) = SmallDisk::new(96) else {
        return;
    };
    let upstream =
        Upstream::start(|_| answer_claiming("200 OK", &[], 60 * MIB, &vec![7; 60 * MIB])).await;
    let shelf = Shelf::on_host(disk.path(), disk.path());
    let wanted = distro("d", &[("linux", url(upstream.url("/linux"), None))]);
    let said = no_room(fetch(&shelf, &wanted).await).to_string();
    assert!(said.contains("60 MiB"), "{said}");
    assert!(disk.free() > 90, "{} MiB are left", disk.free());
    assert_eq!(upstream.asked().len(), 1, "another try would not help");
}

#[tokio::test]
async fn what_does_not_say_its_length_is_given_up_before_the_disk_is_full() {
    let Some(disk) = SmallDisk::new(128) else {
        return;
    };
    let upstream = Upstream::start(|_| chunked(200)).await;
    let shelf = Shelf::on_host(disk.path(), disk.path());
    let wanted = distro("d", &[("linux", url(upstream.url("/linux"), None))]);
    no_room(fetch(&shelf, &wanted).await);
    let left = disk.free();
    assert!((60..112).contains(&left), "{left} MiB are left");
}

#[tokio::test]
async fn an_archive_for_a_ram_disk_needs_room_beside_its_file() {
    let Some(disk) = SmallDisk::new(128) else {
        return;
    };
    let from = tempfile::tempdir().expect("a directory");
    let path = from.path().join("proxmox.iso");
    std::fs::write(&path, vec![7; 40 * MIB]).expect("written");
    let mut wanted = distro(
        "d",
        &[("linux", file(path.to_str().expect("a plain path")))],
    );
    let inside = ("linux".to_string(), "proxmox.iso".to_string());
    wanted.way.inside.extend([inside]);
    let shelf = Shelf::on_host(disk.path(), disk.path());
    no_room(fetch(&shelf, &wanted).await);
    assert!(disk.free() > 80, "{} MiB are left", disk.free());
}
