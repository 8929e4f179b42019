//! A distro is fetched again in mid-build.

use farrier::model::{ArtefactRef, Digest, PlannedFile};

use super::*;

/// What was current before the kernel of [`Door`].
pub(super) const KERNEL: &[u8] = b"an older kernel";

#[tokio::test]
async fn a_build_gets_the_kernel_it_pinned_though_a_newer_one_is_here() {
    let door = open(Limits::default()).await;
    let pinned = PlannedFile {
        id: ArtefactRef {
            distro: "debian-12".into(),
            name: "linux".into(),
        },
        digest: Digest::of(KERNEL),
        size: KERNEL.len() as u64,
    };
    door.waist.flag(1, pinned, Vec::new());
    let script = door.get(ip(1), &format!("/ipxe/{}", mac(1).dashed())).await;
    let script = script.text();
    let line = script.lines().find(|l| l.starts_with("kernel "));
    let url = line.and_then(|l| l.split(' ').find(|w| w.starts_with("http://")));
    let path = url.and_then(|u| u.splitn(4, '/').nth(3)).expect("a path");
    let got = door.get(ip(1), &format!("/{path}")).await;
    assert_eq!((got.status, got.body.as_slice()), (200, KERNEL));
    // the current one is there as well
    let path = format!("/a/{}/debian-12/linux", door.kernel.digest.short());
    assert_eq!(door.get(ip(1), &path).await.status, 200);
}
