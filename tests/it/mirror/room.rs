//! Transfers on a disk that has not room for all of them.

use super::*;
use crate::disk::SmallDisk;
use crate::upstream::chunked;

const MIB: usize = 1 << 20;
/// What stays free of the disk, which has 64 MiB.
const RESERVE: usize = 8 * MIB;

fn limits() -> Limits {
    Limits {
        reserve: RESERVE as u64,
        ..Limits::default()
    }
}

#[tokio::test]
async fn what_others_were_promised_is_not_promised_again() {
    let Some(disk) = SmallDisk::new(64) else {
        return;
    };
    let gate = Arc::new(Notify::new());
    let held = gate.clone();
    let upstream = Upstream::start(move |asked| {
        let mut script = answer_claiming("200 OK", &[], 24 * MIB, &vec![7; MIB]);
        if asked.path != "/pool/c_1.deb" {
            script.push(Act::Wait(held.clone()));
        }
        script.push(Act::Send(vec![7; 23 * MIB]));
        script
    })
    .await;
    let cache = with_limits(disk.path(), &upstream.url(""), limits());
    let mut under_way = Vec::new();
    for path in ["pool/a_1.deb", "pool/b_1.deb"] {
        let found = cache.get(CLIENT, "m", path, false).await.expect(path);
        under_way.push(tokio::spawn(read(found)));
    }
    // 64 MiB have room for three of them, were it not for the 8 that stay free
    let refused = get(&cache, "pool/c_1.deb").await.expect_err("refused");
    assert!(refused.contains("no room"), "{refused}");
    gate.notify_one();
    gate.notify_one();
    for reader in under_way {
        let all = reader.await.expect("read").expect("whole");
        assert_eq!(all.len(), 24 * MIB);
    }
    cache.rest().await;
    assert!(is_cached(&cache, "pool/a_1.deb").await && is_cached(&cache, "pool/b_1.deb").await);
    // what was promised was given back: one of those that were kept makes room
    let third = get(&cache, "pool/c_1.deb").await.expect("room was made");
    assert_eq!(third.len(), 24 * MIB);
    let mut left = 0;
    for path in ["pool/a_1.deb", "pool/b_1.deb"] {
        left += usize::from(is_cached(&cache, path).await);
    }
    assert_eq!(left, 1, "one of the two made room, and not both");
}

#[tokio::test]
async fn what_does_not_say_its_length_ends_before_the_disk_does() {
    let Some(disk) = SmallDisk::new(64) else {
        return;
    };
    let upstream = Upstream::start(|asked| match asked.path.as_str() {
        "/pool/small_1.deb" => chunked(6),
        _ => chunked(100),
    })
    .await;
    let cache = with_limits(disk.path(), &upstream.url(""), limits());
    let small = get(&cache, "pool/small_1.deb").await.expect("whole");
    assert_eq!(small.len(), 6 * MIB);
    let found = cache.get(CLIENT, "m", "pool/endless_1.deb", false).await;
    let Ok(Found::Growing { mut bytes, .. }) = found else {
        panic!("it begins: {found:?}");
    };
    let (mut came, mut least) = (0, u64::MAX);
    let broke = loop {
        match bytes.next().await {
            Some(Ok(piece)) => {
                came += piece.len();
                least = least.min(disk.free());
            }
            Some(Err(error)) => break error,
            None => panic!("it cannot be whole"),
        }
    };
    assert!(came > 8 * MIB, "it had begun: {came} bytes, {broke}");
    assert!(least >= 8, "{least} MiB were left");
    cache.rest().await;
    assert_eq!(temporary(disk.path()), 0);
    assert!(disk.free() > 50, "{} MiB", disk.free());
}

#[tokio::test]
async fn what_can_never_fit_costs_nobody_their_files() {
    let Some(disk) = SmallDisk::new(64) else {
        return;
    };
    let upstream = Upstream::start(|asked| match asked.path.as_str() {
        "/pool/kept_1.deb" => answer("200 OK", &[], &vec![7; 10 * MIB]),
        _ => answer_claiming("200 OK", &[], 100 * MIB, &[7; 100]),
    })
    .await;
    let cache = with_limits(disk.path(), &upstream.url(""), limits());
    assert!(get(&cache, "pool/kept_1.deb").await.is_ok());
    cache.rest().await;
    let refused = get(&cache, "pool/huge_1.deb").await.expect_err("refused");
    assert!(refused.contains("no room"), "{refused}");
    assert!(is_cached(&cache, "pool/kept_1.deb").await);
}
