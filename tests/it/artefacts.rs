//! The shelf against servers that misbehave, crashes, and this host's own apt.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use farrier::artefacts::{ArtefactError, Outcome, Progress, Renew, Shelf, Step, silent};
use farrier::model::{ArtefactSource, Digest, Distro, DistroWay};

pub(crate) mod filled;
mod room;

use crate::rack::can_run;
use crate::upstream::{Act, Script, Upstream, answer, answer_claiming};

fn distro(name: &str, artefacts: &[(&str, ArtefactSource)]) -> Distro {
    Distro {
        name: name.parse().expect("a name"),
        artefacts: artefacts
            .iter()
            .map(|(n, s)| (n.to_string(), s.clone()))
            .collect(),
        kernel: "linux".into(),
        kernel_uefi: None,
        initrds: Vec::new(),
        mirror: None,
        way: DistroWay::default(),
    }
}

fn url(url: String, sha256: Option<&str>) -> ArtefactSource {
    let sha256 = sha256.map(str::to_string);
    ArtefactSource::Url { url, sha256 }
}

fn file(path: &str) -> ArtefactSource {
    let (path, sha256) = (path.to_string(), None);
    ArtefactSource::File { path, sha256 }
}

fn sha256(bytes: &[u8]) -> String {
    use sha2::Digest as _;
    let digest = sha2::Sha256::digest(bytes);
    digest.iter().map(|b| format!("{b:02x}")).collect()
}

async fn fetch(shelf: &Shelf, distro: &Distro) -> Result<BTreeMap<String, Outcome>, ArtefactError> {
    let site = Path::new("/nonexistent");
    shelf.fetch(distro, site, Renew::Missing, &silent()).await
}

async fn refusal(shelf: &Shelf, distro: &Distro) -> String {
    match fetch(shelf, distro).await {
        Ok(got) => panic!("fetched {got:?}"),
        Err(error) => error.to_string(),
    }
}

fn content(shelf: &Shelf, distro: &str, name: &str) -> Option<Vec<u8>> {
    let index = shelf.index();
    let artefact = index.get(distro, name)?;
    let bytes = std::fs::read(&artefact.path).expect("the file is there");
    assert_eq!(artefact.digest, Digest::of(&bytes));
    assert_eq!(artefact.size, bytes.len() as u64);
    Some(bytes)
}

/// Something that is not the same anywhere.
fn noise(length: usize) -> Vec<u8> {
    let mut bytes = vec![0u8; length];
    let mut reader = blake3::Hasher::new().finalize_xof();
    reader.fill(&mut bytes);
    bytes
}

#[tokio::test]
async fn a_download_that_breaks_off_goes_on_where_it_was() {
    let body = noise(300_000);
    let served = body.clone();
    let upstream = Upstream::start(move |asked| {
        let headers = [("ETag", "\"v1\"")];
        match asked.from() {
            None => answer_claiming("200 OK", &headers, served.len(), &served[..100_000]),
            Some(from) => {
                assert_eq!(asked.header("if-range"), Some("\"v1\""));
                let range = format!("bytes {from}-{}/{}", served.len() - 1, served.len());
                let headers = [("ETag", "\"v1\""), ("Content-Range", range.as_str())];
                let rest = &served[from..];
                // breaks off once more on the way
                let sent = rest.len().min(120_000);
                answer_claiming("206 Partial Content", &headers, rest.len(), &rest[..sent])
            }
        }
    })
    .await;
    let state = tempfile::tempdir().expect("a directory");
    let shelf = Shelf::on_host(state.path(), state.path());
    let declared = sha256(&body);
    let wanted = distro(
        "d",
        &[("linux", url(upstream.url("/linux"), Some(&declared)))],
    );
    assert_eq!(shelf.missing(&wanted), ["linux"]);
    let got = fetch(&shelf, &wanted).await.expect("fetched");
    assert!(matches!(&got["linux"], Outcome::Fetched(r) if r.pinned && r.sha256 == declared));
    assert_eq!(content(&shelf, "d", "linux"), Some(body));
    let starts: Vec<Option<usize>> = upstream.asked().iter().map(|a| a.from()).collect();
    assert_eq!(starts, [None, Some(100_000), Some(220_000)]);
    assert!(shelf.missing(&wanted).is_empty());
    // what is there and pinned is not asked for again
    let got = shelf
        .fetch(&wanted, Path::new("/"), Renew::All, &silent())
        .await
        .expect("kept");
    assert!(matches!(&got["linux"], Outcome::Kept(_)));
    assert_eq!(upstream.asked().len(), 3);
}

#[tokio::test]
async fn a_part_of_another_version_is_thrown_away() {
    let asks = Arc::new(AtomicUsize::new(0));
    let count = asks.clone();
    let upstream = Upstream::start(move |asked| match count.fetch_add(1, Ordering::SeqCst) {
        0 => answer_claiming("200 OK", &[("ETag", "\"v1\"")], 9, b"old"),
        _ => {
            // If-Range did not match: the whole new version comes
            assert_eq!(asked.header("if-range"), Some("\"v1\""));
            answer("200 OK", &[("ETag", "\"v2\"")], b"new bytes")
        }
    })
    .await;
    let state = tempfile::tempdir().expect("a directory");
    let shelf = Shelf::on_host(state.path(), state.path());
    let wanted = distro("d", &[("linux", url(upstream.url("/linux"), None))]);
    fetch(&shelf, &wanted).await.expect("fetched");
    assert_eq!(content(&shelf, "d", "linux"), Some(b"new bytes".to_vec()));
}

#[tokio::test]
async fn a_dropped_fetch_is_resumed_by_the_next() {
    let body = noise(50_000);
    let served = body.clone();
    let gate = Arc::new(tokio::sync::Notify::new());
    let closed = gate.clone();
    let upstream = Upstream::start(move |asked| match asked.from() {
        None => {
            let mut script = answer_claiming(
                "200 OK",
                &[("Last-Modified", "Sat, 01 Aug 2026 00:00:00 GMT")],
                served.len(),
                &served[..20_000],
            );
            script.push(Act::Wait(closed.clone()));
            script
        }
        Some(from) => {
            let range = format!("bytes {from}-{}/{}", served.len() - 1, served.len());
            answer(
                "206 Partial Content",
                &[("Content-Range", &range)],
                &served[from..],
            )
        }
    })
    .await;
    let state = tempfile::tempdir().expect("a directory");
    let shelf = Shelf::on_host(state.path(), state.path());
    let wanted = distro("d", &[("linux", url(upstream.url("/linux"), None))]);
    let (told, mut heard) = tokio::sync::watch::channel(0);
    let report: farrier::artefacts::Report = Arc::new(move |p: Progress| {
        if p.step == Step::Downloading {
            assert_eq!(p.total, Some(50_000));
            told.send_replace(p.done);
        }
    });
    let all_came = heard.wait_for(|done| *done == 20_000);
    tokio::select! {
        _ = shelf.fetch(&wanted, Path::new("/"), Renew::Missing, &report) => panic!("it cannot end"),
        came = all_came => { came.expect("told"); }
    }
    assert_eq!(
        content(&shelf, "d", "linux"),
        None,
        "a half file is never shown"
    );
    fetch(&shelf, &wanted).await.expect("fetched");
    assert_eq!(content(&shelf, "d", "linux"), Some(body));
    let starts: Vec<Option<usize>> = upstream.asked().iter().map(|a| a.from()).collect();
    assert_eq!(starts, [None, Some(20_000)]);
}

#[tokio::test]
async fn wrong_bytes_are_refused_and_the_old_ones_stay() {
    let body = Arc::new(Mutex::new(b"one".to_vec()));
    let served = body.clone();
    let upstream =
        Upstream::start(move |_| answer("200 OK", &[], &served.lock().expect("no panic"))).await;
    let state = tempfile::tempdir().expect("a directory");
    let shelf = Shelf::on_host(state.path(), state.path());
    let address = upstream.url("/linux");
    let pinned = |bytes: &[u8]| {
        distro(
            "d",
            &[("linux", url(address.clone(), Some(&sha256(bytes))))],
        )
    };
    let unpinned = distro("d", &[("linux", url(address.clone(), None))]);

    let error = refusal(&shelf, &pinned(b"two")).await;
    assert!(
        error.contains("is declared; the file was not taken"),
        "{error}"
    );
    assert_eq!(content(&shelf, "d", "linux"), None);

    let got = fetch(&shelf, &unpinned)
        .await
        .expect("trusted on first use");
    assert!(!got["linux"].record().pinned);
    *body.lock().expect("no panic") = b"two".to_vec();
    let report = silent();
    let again = shelf.fetch(&unpinned, Path::new("/"), Renew::All, &report);
    let error = again.await.expect_err("changed").to_string();
    let advice = format!("declare `sha256 = \"{}\"`", sha256(b"two"));
    assert!(error.contains(&advice), "{error}");
    assert_eq!(content(&shelf, "d", "linux"), Some(b"one".to_vec()));

    // the advice works, and a build that pinned the old version still finds it
    fetch(&shelf, &pinned(b"two")).await.expect("declared");
    assert_eq!(content(&shelf, "d", "linux"), Some(b"two".to_vec()));
    let index = shelf.index();
    let old = index
        .exact("d", "linux", &Digest::of(b"one").short())
        .expect("kept");
    assert_eq!(std::fs::read(&old.path).expect("there"), b"one");
    assert!(index.exact("d", "linux", "000000000000").is_none());
}

#[tokio::test]
async fn servers_that_refuse_are_named_with_the_reason() {
    let upstream = Upstream::start(|asked| match asked.path.as_str() {
        "/file-scheme" => answer("302 Found", &[("Location", "file:///etc/passwd")], b""),
        "/ftp-scheme" => answer("302 Found", &[("Location", "ftp://x/y")], b""),
        "/loop" => answer("302 Found", &[("Location", "/loop")], b""),
        "/moved" => answer("301 Moved", &[("Location", "/here")], b""),
        "/here" => answer("200 OK", &[], b"moved"),
        "/endless" => vec![Act::Send(b"HTTP/1.1 200 OK\r\n\r\nhow long?".to_vec())] as Script,
        "/down" => answer("503 Unavailable", &[], b""),
        _ => answer("404 Not Found", &[], b"<html>"),
    })
    .await;
    let state = tempfile::tempdir().expect("a directory");
    let shelf = Shelf::on_host(state.path(), state.path());
    for (path, expect) in [
        ("/file-scheme", "only http and https are followed"),
        ("/ftp-scheme", "only http and https are followed"),
        ("/loop", "redirects too often"),
        ("/none", "404"),
        ("/endless", "declare `sha256`"),
        ("/down", "503"),
    ] {
        let wanted = distro("d", &[("linux", url(upstream.url(path), None))]);
        let error = refusal(&shelf, &wanted).await;
        assert!(error.contains(expect), "{path}: {error}");
    }
    assert_eq!(upstream.count("/down"), 5, "tried again");
    assert_eq!(upstream.count("/none"), 1, "not tried again");
    for (bad, expect) in [
        ("file:///etc/passwd", "only http and https"),
        ("http://user:secret@host/x", "user or password"),
        ("nonsense", "relative URL"),
    ] {
        let error = refusal(&shelf, &distro("d", &[("linux", url(bad.into(), None))])).await;
        assert!(error.contains(expect), "{bad}: {error}");
        assert!(!error.contains("secret"), "{error}");
    }
    let wanted = distro("d", &[("linux", url(upstream.url("/moved"), None))]);
    let got = fetch(&shelf, &wanted).await.expect("followed");
    assert_eq!(got["linux"].record().origin, upstream.url("/here"));
    assert_eq!(
        std::fs::read_dir(state.path().join("artefacts/d"))
            .expect("listed")
            .count(),
        3
    );
}

#[tokio::test]
async fn kernel_and_initrd_change_together_or_not_at_all() {
    let site = tempfile::tempdir().expect("a directory");
    let shelf = Shelf::on_host(site.path().join("state"), site.path());
    let write =
        |name: &str, text: &str| std::fs::write(site.path().join(name), text).expect("written");
    let wanted = distro("d", &[("initrd", file("i")), ("linux", file("k"))]);
    write("i", "initrd 1");
    write("k", "kernel 1");
    let report = silent();
    let go = || shelf.fetch(&wanted, site.path(), Renew::Missing, &report);
    assert_eq!(go().await.expect("fetched").len(), 2);
    write("i", "initrd 2");
    std::fs::remove_file(site.path().join("k")).expect("removed");
    let error = go().await.expect_err("no kernel").to_string();
    assert!(
        error.starts_with("cannot copy") && error.contains("/k`"),
        "{error}"
    );
    assert_eq!(content(&shelf, "d", "initrd"), Some(b"initrd 1".to_vec()));
    write("k", "kernel 2");
    go().await.expect("fetched");
    assert_eq!(content(&shelf, "d", "initrd"), Some(b"initrd 2".to_vec()));
    assert_eq!(content(&shelf, "d", "linux"), Some(b"kernel 2".to_vec()));
    // two earlier versions stay, what is older goes
    for n in 3..=5 {
        write("k", &format!("kernel {n}"));
        go().await.expect("fetched");
    }
    let index = shelf.index();
    let kept = |n: u32| {
        let digest = Digest::of(format!("kernel {n}").as_bytes()).short();
        index.exact("d", "linux", &digest).is_some()
    };
    assert_eq!([1, 2, 3, 4, 5].map(kept), [false, false, true, true, true]);
    let gone = Digest::of(b"kernel 2").short();
    assert!(!site.path().join("state/artefacts/d").join(gone).exists());
    // except what a build under way pinned: that stays until the build is over
    let pinned = Digest::of(b"kernel 3");
    let keeping = shelf.keeping(BTreeSet::from([pinned]));
    for n in 6..=8 {
        write("k", &format!("kernel {n}"));
        let fetch = keeping.fetch(&wanted, site.path(), Renew::Missing, &report);
        fetch.await.expect("fetched");
    }
    let index = shelf.index();
    let old = index.exact("d", "linux", &pinned.short()).expect("kept");
    assert_eq!(std::fs::read(&old.path).expect("there"), b"kernel 3");
    assert!(
        index
            .exact("d", "linux", &Digest::of(b"kernel 4").short())
            .is_none()
    );
    go().await.expect("nothing new");
    assert!(shelf.index().exact("d", "linux", &pinned.short()).is_none());
}

#[tokio::test]
async fn damage_on_disk_is_found_and_never_served() {
    let site = tempfile::tempdir().expect("a directory");
    let shelf = Shelf::on_host(site.path().join("state"), site.path());
    std::fs::write(site.path().join("k"), "kernel").expect("written");
    let wanted = distro("d", &[("linux", file("k"))]);
    let report = silent();
    let fetch = || shelf.fetch(&wanted, site.path(), Renew::Missing, &report);
    fetch().await.expect("fetched");
    assert_eq!(shelf.verify(&report), []);
    let path = shelf.index().get("d", "linux").expect("there").path.clone();
    let spoil = |content: &str| {
        std::fs::remove_file(&path).expect("removed");
        std::fs::write(&path, content).expect("written");
    };
    spoil("kerneL");
    let found = shelf.verify(&report);
    assert!(found[0].reason.contains("was altered"), "{found:?}");
    spoil("ker");
    assert!(
        shelf.index().get("d", "linux").is_none(),
        "a cut file is not served"
    );
    assert_eq!(shelf.missing(&wanted), ["linux"]);
    fetch().await.expect("fetched again");
    assert_eq!(content(&shelf, "d", "linux"), Some(b"kernel".to_vec()));
    // a spoilt record hides its own distro only
    std::fs::write(site.path().join("state/artefacts/d/set.json"), "{").expect("written");
    let other = distro("e", &[("linux", file("k"))]);
    let fetched = shelf
        .fetch(&other, site.path(), Renew::Missing, &report)
        .await;
    fetched.expect("fetched");
    assert!(content(&shelf, "e", "linux").is_some());
    assert!(shelf.index().get("d", "linux").is_none());
}

#[tokio::test]
async fn names_that_no_url_can_carry_are_refused_before_anything_happens() {
    let state = tempfile::tempdir().expect("a directory");
    let shelf = Shelf::on_host(state.path(), state.path());
    for name in ["../x", "a/b", ".hidden", "", "a b", "x%2e"] {
        let error = refusal(&shelf, &distro("d", &[(name, file("k"))])).await;
        assert!(
            error.contains("is no name for an artefact"),
            "{name}: {error}"
        );
    }
    let builder = "../../x".to_string();
    let wanted = distro("d", &[("linux", ArtefactSource::Built { builder })]);
    assert!(refusal(&shelf, &wanted).await.contains("is no name"));
    let builder = "nosuch".to_string();
    let wanted = distro("d", &[("linux", ArtefactSource::Built { builder })]);
    assert!(
        refusal(&shelf, &wanted)
            .await
            .contains("there is no builder `nosuch`")
    );
}

#[tokio::test]
async fn two_fetches_of_one_distro_take_turns() {
    let body = noise(1000);
    let served = body.clone();
    let gate = Arc::new(tokio::sync::Notify::new());
    let closed = gate.clone();
    let upstream = Upstream::start(move |_| {
        let mut script = vec![Act::Wait(closed.clone())];
        script.extend(answer("200 OK", &[], &served));
        script
    })
    .await;
    let state = tempfile::tempdir().expect("a directory");
    let shelf = Shelf::on_host(state.path(), state.path());
    let wanted = distro("d", &[("linux", url(upstream.url("/linux"), None))]);
    let (told, mut heard) = tokio::sync::watch::channel(false);
    let report: farrier::artefacts::Report = Arc::new(move |p: Progress| {
        if p.step == Step::Waiting {
            told.send_replace(true);
        }
    });
    let site = Path::new("/");
    let both = async {
        tokio::join!(
            shelf.fetch(&wanted, site, Renew::Missing, &report),
            shelf.fetch(&wanted, site, Renew::Missing, &report),
        )
    };
    let open = async {
        heard.wait_for(|waits| *waits).await.expect("told");
        gate.notify_one();
    };
    let ((one, two), ()) = tokio::join!(both, open);
    assert!(one.is_ok() && two.is_ok());
    assert_eq!(upstream.asked().len(), 1, "the second found it there");
}

/// The example site's own distros, as `boot/` declares them.
fn shipped(package: &str, artefacts: &[(&str, &str)]) -> Distro {
    let deb = |path: &str| ArtefactSource::Deb {
        package: package.to_string(),
        path: path.to_string(),
    };
    let all: Vec<(&str, ArtefactSource)> = artefacts.iter().map(|(n, p)| (*n, deb(p))).collect();
    distro("shipped", &all)
}

#[tokio::test]
#[expect(clippy::print_stdout, reason = "its measurements are read")]
async fn this_hosts_apt_brings_an_installer_a_memory_test_and_the_loaders() {
    if !can_run("136 MB of packages by this host's apt", &[], true) {
        return;
    }
    let state = tempfile::tempdir().expect("a directory");
    // nothing is installed below this root, so every loader must be fetched
    let shelf = Shelf::on_host(state.path(), state.path().join("bare"));
    let last = Arc::new(Mutex::new(BTreeMap::new()));
    let seen = last.clone();
    let report: farrier::artefacts::Report = Arc::new(move |p: Progress| {
        let key = (p.artefact, format!("{:?}", p.step));
        seen.lock()
            .expect("no panic")
            .insert(key, (p.done, p.total));
    });
    let site = Path::new("/");
    let images = "usr/lib/debian-installer/images/12/amd64/text/debian-installer/amd64";
    let (linux, initrd) = (format!("{images}/linux"), format!("/{images}/initrd.gz"));
    let package = "debian-installer-12-netboot-amd64";
    let installer = shipped(package, &[("linux", &linux), ("initrd.gz", &initrd)]);
    let got = shelf.fetch(&installer, site, Renew::Missing, &report).await;
    for (name, outcome) in got.expect("fetched") {
        let record = outcome.record();
        println!(
            "{name}: {} bytes, {}, from {}",
            record.size, record.digest, record.origin
        );
        assert!(record.pinned && record.size > 5_000_000, "{name}");
    }
    let kernel = content(&shelf, "shipped", "linux").expect("there");
    assert_eq!(&kernel[0x202..0x206], b"HdrS", "a Linux kernel");
    for (key, (done, total)) in last.lock().expect("no panic").iter() {
        assert!(done <= &total.unwrap_or(u64::MAX), "{key:?}");
    }
    // asked again, apt says it is current: nothing is downloaded
    let before = std::time::Instant::now();
    let again = shelf.fetch(&installer, site, Renew::All, &report).await;
    assert!(
        again
            .expect("kept")
            .values()
            .all(|o| matches!(o, Outcome::Kept(_)))
    );
    println!("asked apt again: {:?}", before.elapsed());

    let memtest = ["memtest86+x64.bin", "memtest86+x64.efi"].map(|n| (n, format!("boot/{n}")));
    let memtest: Vec<(&str, &str)> = memtest.iter().map(|(n, p)| (*n, p.as_str())).collect();
    let memtest = shipped("memtest86+", &memtest);
    let got = shelf.fetch(&memtest, site, Renew::Missing, &report).await;
    assert_eq!(got.expect("fetched").len(), 2);

    shelf
        .fetch_loaders(Renew::Missing, &report)
        .await
        .expect("fetched");
    let index = shelf.index();
    for state in shelf.loaders() {
        println!("{}: {:?}", state.name, state.origin);
        let loader = index.loader(state.name);
        assert_eq!(
            loader.is_some(),
            !state.name.contains("arm64"),
            "{}",
            state.name
        );
        let Some(loader) = loader else { continue };
        let bytes = loader.bytes.as_deref().expect("in memory");
        if state.name.ends_with(".efi") {
            assert_eq!(&bytes[..2], b"MZ", "{}", state.name);
        }
    }
    let before = std::time::Instant::now();
    assert!(shelf.index().iter().count() >= 7);
    println!("index: {:?}", before.elapsed());
    assert_eq!(shelf.verify(&report), []);

    let unknown = shipped("farrier-no-such-package", &[("linux", "x")]);
    let error = refusal(&shelf, &unknown).await;
    assert!(
        error.contains("apt knows no package") && error.contains("apt-get update"),
        "{error}"
    );
    let moved = shipped("memtest86+", &[("linux", "usr/lib/memtest86+x64.bin")]);
    let error = refusal(&shelf, &moved).await;
    assert!(
        error.ends_with("; it has `boot/memtest86+x64.bin`"),
        "{error}"
    );
}
