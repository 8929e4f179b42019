//! Files of an installation medium, out of the medium.

use farrier::model::Digest;

use super::*;
use crate::media::Layout;

#[tokio::test]
async fn files_of_a_medium_come_whole_and_in_part_and_nothing_else_does() {
    let packages: String = (0..400_000u32).map(|i| format!("{:x}", i % 16)).collect();
    let layout = Layout::new(&[
        (".treeinfo", "[general]\n"),
        (
            "pool/main/libstdc++6_12.2.0-14_amd64.deb",
            packages.as_str(),
        ),
        ("empty", ""),
    ]);
    let iso = std::fs::read(layout.image(&["-R"])).expect("an image");
    let digest = Digest::of(&iso).short();
    let dir = tempfile::tempdir().expect("a directory");
    let medium = artefact(dir.path(), "rocky-9.4", "media.iso", &iso);
    let door = open_on(Limits::default(), |mut all| {
        all.push(medium.clone());
        Standin::new(all)
    })
    .await;
    door.flag(1);
    door.get(ip(1), &format!("/ipxe/{}", mac(1).dashed())).await;
    let base = format!("/t/{digest}/rocky-9.4/media.iso");

    let info = door.get(ip(1), &format!("{base}/.treeinfo")).await;
    assert_eq!((info.status, info.text().as_str()), (200, "[general]\n"));
    let empty = door.get(ip(1), &format!("{base}//empty")).await;
    assert_eq!(
        (empty.status, empty.header("Content-Length")),
        (200, Some("0"))
    );
    let path = format!("{base}/pool/main/libstdc%2B%2B6_12.2.0-14_amd64.deb");
    let whole = door.get(ip(1), &path).await;
    assert!(whole.status == 200 && whole.text() == packages);
    let etag = whole
        .header("Etag")
        .or(whole.header("ETag"))
        .expect("a tag");
    let ask = |more: &str| format!("GET {path} HTTP/1.1\r\nHost: x\r\n{more}\r\n\r\n");
    let part = door
        .ask(
            ip(1),
            &ask(&format!("Range: bytes=100000-100009\r\nIf-Range: {etag}")),
        )
        .await;
    assert_eq!(part.status, 206);
    assert_eq!(
        part.header("Content-Range"),
        Some("bytes 100000-100009/400000")
    );
    assert_eq!(part.text(), packages[100_000..=100_009]);
    let looked = door
        .ask(ip(1), &format!("HEAD {path} HTTP/1.1\r\nHost: x\r\n\r\n"))
        .await;
    assert_eq!(looked.header("Content-Length"), Some("400000"));
    let iso_itself = door
        .get(ip(1), &format!("/a/{digest}/rocky-9.4/media.iso"))
        .await;
    assert!(iso_itself.body == iso, "and the medium as a whole");

    // the only list there is: what OpenBSD's installer looks for
    let list = door
        .get(ip(1), &format!("{base}/pool/main/index.txt"))
        .await;
    assert_eq!(
        (list.status, list.text().as_str()),
        (
            200,
            "-rw-r--r--  1 0  0  400000 Jan  1 00:00:00 1970 libstdc++6_12.2.0-14_amd64.deb\n"
        )
    );

    let nothing = door.get(ip(1), "/nothing/here").await;
    for path in [
        base.clone(),
        format!("{base}/"),
        format!("{base}/pool"),
        format!("{base}/pool/"),
        format!("{base}/nosuch"),
        format!("{base}/nosuch/index.txt"),
        // no files in it, only a directory
        format!("{base}/pool/index.txt"),
        format!("{base}/../../../etc/passwd"),
        format!("{base}/%2e%2e/x"),
        "/t/000000000000/rocky-9.4/media.iso/.treeinfo".to_string(),
        format!("/t/{digest}/other/media.iso/.treeinfo"),
        format!("/t/{}/debian-12/linux/x", door.kernel.digest.short()),
    ] {
        let got = door.get(ip(1), &path).await;
        assert_eq!((got.status, &got.body), (404, &nothing.body), "{path}");
    }
    let seen: Vec<String> = door
        .waist
        .noted()
        .iter()
        .filter(|e| matches!(e, EventKind::Seen { by, .. } if by == "media"))
        .map(EventKind::detail)
        .collect();
    assert_eq!(seen.len(), 4, "not for a look: {seen:?}");
    assert!(
        seen[2].starts_with("packages (media: libstdc++6"),
        "{seen:?}"
    );
}
