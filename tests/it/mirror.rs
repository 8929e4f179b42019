//! The mirror cache against upstreams that misbehave, and as the mirror of a real apt.

mod apt;
mod room;

use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, Ipv4Addr};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use farrier::artefacts::mirror::{Cache, Found, Limits, Missing};
use farrier::artefacts::relay::serve_unix;
use farrier::model::{Digest, Mirror};
use futures_lite::StreamExt;
use tokio::sync::Notify;

use crate::upstream::{Act, Asked, Script, Upstream, answer, answer_claiming};

/// Who asks, where it does not matter who.
pub(crate) const CLIENT: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

/// A cache of one mirror, `m`, that asks again for everything that may change.
fn cache(state: &Path, upstream: &str) -> Cache {
    let eager = Limits {
        head: Duration::ZERO,
        ..Limits::default()
    };
    with_limits(state, upstream, eager)
}

fn with_limits(state: &Path, upstream: &str, limits: Limits) -> Cache {
    let mirror = Mirror {
        upstream: Some(upstream.to_string()),
        socket: None,
    };
    let mirrors = BTreeMap::from([("m".to_string(), mirror)]);
    Cache::open(state, &mirrors, limits).expect("opened")
}

/// All bytes of what was found, or how it broke off.
async fn read(found: Found) -> io::Result<Vec<u8>> {
    match found {
        Found::File { file, size, .. } => {
            let mut bytes = vec![0; size as usize];
            file.read_exact_at(&mut bytes, 0)?;
            Ok(bytes)
        }
        Found::Growing {
            mut bytes, size, ..
        } => {
            let mut all = Vec::new();
            while let Some(piece) = bytes.next().await {
                all.extend(piece?);
            }
            assert!(size.is_none_or(|s| s == all.len() as u64));
            Ok(all)
        }
    }
}

async fn get(cache: &Cache, path: &str) -> Result<Vec<u8>, String> {
    let found = cache
        .get(CLIENT, "m", path, false)
        .await
        .map_err(|e| e.to_string())?;
    read(found).await.map_err(|e| e.to_string())
}

async fn is_cached(cache: &Cache, path: &str) -> bool {
    // a look never starts a transfer, so what is not on disk is not a file
    matches!(
        cache.get(CLIENT, "m", path, true).await,
        Ok(Found::File { .. })
    )
}

fn temporary(state: &Path) -> usize {
    std::fs::read_dir(state.join("mirror/tmp"))
        .expect("listed")
        .count()
}

#[tokio::test]
async fn many_readers_share_one_transfer_and_none_waits_for_its_end() {
    let body: Vec<u8> = (0..3_000_000u32).map(|n| (n % 251) as u8).collect();
    let (first, rest) = body.split_at(1_000_000);
    let gate = Arc::new(Notify::new());
    let script = {
        let mut script = answer_claiming("200 OK", &[("Content-Type", "x/y")], body.len(), first);
        script.extend([Act::Wait(gate.clone()), Act::Send(rest.to_vec())]);
        script
    };
    let upstream = Upstream::start(move |_| script.clone()).await;
    let state = tempfile::tempdir().expect("a directory");
    let cache = cache(state.path(), &upstream.url("/debian"));
    let path = "pool/main/b/big_1.deb";
    let begun = Arc::new(AtomicUsize::new(0));
    let mut readers = tokio::task::JoinSet::new();
    for _ in 0..50 {
        let (cache, begun, gate) = (cache.clone(), begun.clone(), gate.clone());
        readers.spawn(async move {
            let found = cache.get(CLIENT, "m", path, false).await.expect("found");
            let Found::Growing {
                mut bytes,
                size,
                content_type,
                ..
            } = found
            else {
                panic!("it cannot be whole yet");
            };
            assert_eq!(
                (size, content_type.as_deref()),
                (Some(3_000_000), Some("x/y"))
            );
            let mut all = Vec::new();
            while let Some(piece) = bytes.next().await {
                if all.is_empty() && begun.fetch_add(1, Ordering::SeqCst) == 49 {
                    // every reader has bytes in hand: now let the rest come
                    gate.notify_one();
                }
                all.extend(piece.expect("not broken"));
            }
            all
        });
    }
    while let Some(all) = readers.join_next().await {
        assert!(all.expect("read") == body, "bytes differ");
    }
    assert_eq!(upstream.count("/debian/pool/main/b/big_1.deb"), 1);
    cache.rest().await;
    assert!(get(&cache, path).await.expect("kept") == body);
    assert_eq!(upstream.asked().len(), 1);
    assert_eq!(temporary(state.path()), 0);
}

#[tokio::test]
async fn what_does_not_end_well_breaks_off_for_readers_and_is_not_kept() {
    let good = b"0123456789".as_slice();
    let hash = {
        use sha2::Digest as _;
        sha2::Sha256::digest(good)
            .iter()
            .map(|b| format!("{b:02x}"))
            .collect::<String>()
    };
    let raw = |text: &str| vec![Act::Send(text.as_bytes().to_vec())] as Script;
    let upstream = Upstream::start(move |asked: &Asked| {
        let path = asked.path.trim_start_matches("/d/");
        match path.rsplit('/').next().unwrap_or_default() {
            "short_1.deb" => answer_claiming("200 OK", &[], 10, b"01234"),
            "chunks-cut_1.deb" => raw("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n01234\r\n"),
            "chunks_1.deb" => raw(
                "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n01234\r\n5\r\n56789\r\n0\r\n\r\n",
            ),
            "frameless_1.deb" => raw("HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n0123456789"),
            name if path.contains("by-hash/") && name.starts_with("00") => {
                answer("200 OK", &[], good)
            }
            _ if path.contains("by-hash/") => raw("HTTP/1.0 200 OK\r\n\r\n0123456789"),
            _ => answer("404 Not Found", &[], b""),
        }
    })
    .await;
    let state = tempfile::tempdir().expect("a directory");
    let cache = cache(state.path(), &upstream.url("/d/"));
    let wrong = format!("dists/x/by-hash/SHA256/{}", "00".repeat(32));
    let right = format!("dists/x/by-hash/SHA256/{hash}");
    for (path, whole, kept) in [
        ("pool/s/short_1.deb", false, false),
        ("pool/c/chunks-cut_1.deb", false, false),
        ("pool/c/chunks_1.deb", true, true),
        ("pool/f/frameless_1.deb", true, false),
        (wrong.as_str(), false, false),
        (right.as_str(), true, true),
    ] {
        let got = get(&cache, path).await;
        assert_eq!(got.is_ok(), whole, "{path}: {got:?}");
        cache.rest().await;
        assert_eq!(get(&cache, path).await.is_ok(), whole, "{path} again");
        let asked = upstream.asked();
        let gets = asked
            .iter()
            .filter(|a| a.method == "GET" && a.path.ends_with(path));
        assert_eq!(gets.count(), if kept { 1 } else { 2 }, "{path}");
    }
    assert_eq!(temporary(state.path()), 0);
}

#[tokio::test]
async fn what_may_change_is_asked_again_and_what_may_not_is_not() {
    let version = Arc::new(AtomicUsize::new(1));
    let served = version.clone();
    let upstream = Upstream::start(move |asked: &Asked| {
        let tag = format!("\"{}\"", served.load(Ordering::SeqCst));
        if asked.header("if-none-match") == Some(&tag) {
            return answer("304 Not Modified", &[("ETag", &tag)], b"");
        }
        let headers = [
            ("ETag", tag.as_str()),
            ("Last-Modified", "Sat, 01 Aug 2026 00:00:00 GMT"),
        ];
        answer("200 OK", &headers, tag.as_bytes())
    })
    .await;
    let state = tempfile::tempdir().expect("a directory");
    let cache = cache(state.path(), &upstream.url(""));
    let (head, index) = ("dists/x/InRelease", "dists/x/main/binary-amd64/Packages.xz");
    let package = "pool/p/p_1.deb";
    let counts = || [head, index, package].map(|p| upstream.count(&format!("/{p}")));
    let all = async |expected: [&str; 3]| {
        for (path, expected) in [head, index, package].into_iter().zip(expected) {
            let got = get(&cache, path).await.expect(path);
            assert_eq!(String::from_utf8_lossy(&got), expected, "{path}");
            cache.rest().await;
        }
    };
    let (one, two) = ("\"1\"", "\"2\"");
    all([one, one, one]).await;
    assert_eq!(counts(), [1, 1, 1]);
    all([one, one, one]).await;
    assert_eq!(counts()[2], 1, "a package is never asked for again");
    assert!(counts()[0] > 1, "the head of the repository is");
    // the head changes: its indices are asked for again, though they are young
    version.store(2, Ordering::SeqCst);
    all([two, two, one]).await;
    let index_asked = counts()[1];
    all([two, two, one]).await;
    assert_eq!(counts()[1], index_asked, "until it changes once more");
    let found = cache.get(CLIENT, "m", package, false).await.expect("kept");
    let Found::File {
        etag,
        last_modified,
        size,
        ..
    } = found
    else {
        panic!("not whole");
    };
    assert_eq!(etag, Some(format!("\"{}\"", Digest::of(one.as_bytes()))));
    assert_eq!(
        last_modified.as_deref(),
        Some("Sat, 01 Aug 2026 00:00:00 GMT")
    );
    assert_eq!(size, 3);
}

#[tokio::test]
async fn with_upstream_down_old_copies_are_served_and_the_rest_is_an_error() {
    let up = Arc::new(AtomicBool::new(true));
    let alive = up.clone();
    let upstream = Upstream::start(move |asked: &Asked| match asked.path.as_str() {
        "/none" => answer("404 Not Found", &[], b"<html>"),
        _ if alive.load(Ordering::SeqCst) => answer("200 OK", &[], b"fine"),
        _ => answer("500 Internal Server Error", &[], b"oops"),
    })
    .await;
    let state = tempfile::tempdir().expect("a directory");
    let base = upstream.url("");
    let cache = cache(state.path(), &base);
    let (head, package) = ("dists/x/Release", "pool/p/p_1.deb");
    for path in [head, package] {
        assert_eq!(get(&cache, path).await.expect(path), b"fine");
        cache.rest().await;
    }
    for n in 1..=2 {
        assert_eq!(
            cache
                .get(CLIENT, "m", "none", false)
                .await
                .expect_err("nothing to serve"),
            Missing::NotFound
        );
        assert_eq!(upstream.count("/none"), n, "a 404 is not remembered");
    }
    up.store(false, Ordering::SeqCst);
    assert_eq!(get(&cache, head).await.expect("stale"), b"fine");
    assert_eq!(get(&cache, package).await.expect("kept"), b"fine");
    assert!(is_cached(&cache, head).await, "its head is served too");
    let look = cache.get(CLIENT, "m", "pool/q/q_1.deb", true).await;
    let missing = look.expect_err("nothing to serve");
    assert!(matches!(missing, Missing::Upstream(_)), "{missing}");
    let error = get(&cache, "pool/q/q_1.deb")
        .await
        .expect_err("nothing to serve");
    assert!(
        error.contains("could not be asked") && error.contains("500"),
        "{error}"
    );
    // another life of the server, with nothing there to ask any more
    drop(upstream);
    let cache = self::cache(state.path(), &base);
    assert_eq!(get(&cache, package).await.expect("kept"), b"fine");
    assert_eq!(get(&cache, head).await.expect("stale"), b"fine");
    let error = get(&cache, "pool/q/q_1.deb")
        .await
        .expect_err("nothing to serve");
    assert!(error.contains("cannot connect"), "{error}");
}

#[tokio::test]
async fn a_removed_file_goes_and_a_cut_answer_does_not_spoil_the_old_one() {
    let step = Arc::new(AtomicUsize::new(0));
    let now = step.clone();
    let upstream = Upstream::start(move |_| match now.load(Ordering::SeqCst) {
        0 => answer("200 OK", &[], b"old"),
        1 => answer_claiming("200 OK", &[], 100, b"new, but cut"),
        2 => answer("404 Not Found", &[], b""),
        _ => answer("403 Forbidden", &[], b""),
    })
    .await;
    let state = tempfile::tempdir().expect("a directory");
    let cache = cache(state.path(), &upstream.url(""));
    let path = "dists/x/InRelease";
    assert_eq!(get(&cache, path).await.expect("fetched"), b"old");
    cache.rest().await;
    step.store(1, Ordering::SeqCst);
    get(&cache, path).await.expect_err("cut");
    step.store(3, Ordering::SeqCst);
    assert_eq!(get(&cache, path).await.expect("the old one"), b"old");
    assert!(is_cached(&cache, path).await, "and its head");
    step.store(2, Ordering::SeqCst);
    assert_eq!(
        cache
            .get(CLIENT, "m", path, false)
            .await
            .expect_err("nothing to serve"),
        Missing::NotFound
    );
    assert!(!is_cached(&cache, path).await);
}

#[tokio::test]
async fn redirects_stay_within_http_and_listings_are_not_shown() {
    let upstream = Upstream::start(|asked: &Asked| {
        let to = |location: &str| answer("302 Found", &[("Location", location)], b"");
        match asked.path.as_str() {
            "/pool/moved_1.deb" => to("/elsewhere/moved_1.deb"),
            "/elsewhere/moved_1.deb" => answer("200 OK", &[], b"moved"),
            "/dists" => to("/dists/"),
            "/dists/" => answer("200 OK", &[], b"<a href=secret>"),
            "/pool/file_1.deb" => to("file:///etc/passwd"),
            "/pool/loop_1.deb" => to("/pool/loop_1.deb"),
            _ => answer("404 Not Found", &[], b""),
        }
    })
    .await;
    let state = tempfile::tempdir().expect("a directory");
    let cache = cache(state.path(), &upstream.url(""));
    assert_eq!(
        get(&cache, "pool/moved_1.deb").await.expect("followed"),
        b"moved"
    );
    for path in ["dists", "pool/file_1.deb"] {
        let missing = cache
            .get(CLIENT, "m", path, false)
            .await
            .expect_err("nothing to serve");
        assert_eq!(missing, Missing::NotFound, "{path}");
    }
    assert!(get(&cache, "pool/loop_1.deb").await.is_err());
    assert_eq!(upstream.count("/dists/"), 0, "not even asked for");
    let asked = upstream.asked().len();
    for path in ["../x", "a/%2e%2e/x", "dists/", "", "a//b", "a?x=1", "a%00"] {
        let missing = cache
            .get(CLIENT, "m", path, false)
            .await
            .expect_err("nothing to serve");
        assert_eq!(missing, Missing::NotFound, "{path}");
    }
    assert_eq!(upstream.asked().len(), asked, "tricks stay here");
    assert_eq!(
        cache
            .get(CLIENT, "nosuch", "x", false)
            .await
            .expect_err("nothing to serve"),
        Missing::NotFound
    );
}

#[tokio::test]
async fn a_mirror_behind_a_socket_hears_its_own_name() {
    let upstream = Upstream::start(|_| answer("200 OK", &[], b"through")).await;
    let state = tempfile::tempdir().expect("a directory");
    let socket = state.path().join("relay");
    let relay = serve_unix(&socket, upstream.address.to_string()).expect("listens");
    let mirror = Mirror {
        upstream: Some("http://mirror.example/debian".into()),
        socket: Some(socket.display().to_string()),
    };
    let mirrors = BTreeMap::from([("m".to_string(), mirror)]);
    let cache = Cache::open(state.path(), &mirrors, Limits::default()).expect("opened");
    assert_eq!(
        get(&cache, "pool/p_1.deb").await.expect("found"),
        b"through"
    );
    let asked = upstream.asked().remove(0);
    assert_eq!(asked.header("host"), Some("mirror.example"));
    assert_eq!(asked.path, "/debian/pool/p_1.deb");
    drop(relay);
    let error = get(&cache, "pool/q_1.deb")
        .await
        .expect_err("nothing to serve");
    assert!(error.contains("cannot connect"), "{error}");
}

#[tokio::test]
async fn the_cache_stays_within_its_budget() {
    let upstream = Upstream::start(|_| answer("200 OK", &[], &[7; 10_000])).await;
    let state = tempfile::tempdir().expect("a directory");
    let small = Limits {
        budget: 55_000,
        ..Limits::default()
    };
    let cache = with_limits(state.path(), &upstream.url(""), small);
    for n in 0..20 {
        let path = format!("pool/p_{n}.deb");
        assert_eq!(get(&cache, &path).await.expect("fetched").len(), 10_000);
        cache.rest().await;
    }
    let mut kept = 0;
    for n in 0..20 {
        kept += usize::from(is_cached(&cache, &format!("pool/p_{n}.deb")).await);
    }
    assert!((3..=5).contains(&kept), "{kept}");
    let none = Limits {
        reserve: u64::MAX,
        ..Limits::default()
    };
    let cache = with_limits(state.path(), &upstream.url(""), none);
    let error = get(&cache, "pool/new_1.deb")
        .await
        .expect_err("nothing to serve");
    assert!(error.contains("no room"), "{error}");
}

#[tokio::test]
async fn a_new_declaration_is_live_and_an_unusable_one_says_why() {
    let one = Upstream::start(|_| answer("200 OK", &[], b"one")).await;
    let two = Upstream::start(|_| answer("200 OK", &[], b"two")).await;
    let state = tempfile::tempdir().expect("a directory");
    let cache = cache(state.path(), &one.url(""));
    assert_eq!(get(&cache, "pool/p_1.deb").await.expect("found"), b"one");
    let declare = |upstream: Option<String>| {
        let socket = None;
        cache.declare(&BTreeMap::from([(
            "m".to_string(),
            Mirror { upstream, socket },
        )]));
    };
    declare(Some(two.url("")));
    assert_eq!(get(&cache, "pool/p_1.deb").await.expect("found"), b"two");
    assert_eq!(cache.upstream("m"), Some(two.url("")));
    for (bad, expect) in [
        (Some("ftp://x/y"), "http or https"),
        (Some("nonsense"), "is no URL"),
        (None, "set `upstream` under `[mirror.m]`"),
    ] {
        declare(bad.map(str::to_string));
        let error = get(&cache, "pool/p_1.deb")
            .await
            .expect_err("nothing to serve");
        assert!(error.contains(expect), "{error}");
    }
}
