//! `farrier distro fetch`: what is here already, newer versions, and the boot loaders.

use super::Workplace;
use crate::upstream::{Upstream, answer};

/// A server that has a kernel by every name, for as long as the runtime lives.
fn kernels() -> (tokio::runtime::Runtime, Upstream) {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .expect("a runtime");
    let upstream = runtime.block_on(Upstream::start(|_| answer("200 OK", &[], b"a kernel")));
    (runtime, upstream)
}

#[test]
fn a_distro_that_is_here_is_fetched_again_only_if_told_so() {
    let (_runtime, upstream) = kernels();
    let served = [false, true];
    for (path, serves) in ["/offline", "/served"].into_iter().zip(served) {
        let mut place = Workplace::new();
        let declared = format!(
            "kernel = \"linux\"\n[artefact.linux]\nurl = \"{}\"\n",
            upstream.url(path)
        );
        std::fs::write(place.site().join("boot/far.toml"), declared).expect("written");
        if serves {
            place.serve();
        }
        let fetch = |words: &str| {
            let run = place.run(&format!("distro fetch far {words} -o name"));
            assert_eq!(
                (run.code, run.stdout.as_str()),
                (0, "far\n"),
                "{}",
                run.stderr
            );
            upstream.count(path)
        };
        assert_eq!(fetch(""), 1);
        assert_eq!(fetch(""), 1, "it is here");
        assert_eq!(fetch("--renew"), 2, "asked again");
    }
}

#[test]
fn a_host_that_knows_no_certificate_authority_fetches_by_plain_http() {
    let (_runtime, upstream) = kernels();
    let place = Workplace::new();
    let declared = format!(
        "kernel = \"linux\"\n[artefact.linux]\nurl = \"{}\"\n",
        upstream.url("/linux")
    );
    std::fs::write(place.site().join("boot/far.toml"), declared).expect("written");
    let fetched = place
        .command("distro fetch far -o name")
        .env("SSL_CERT_FILE", "/nonexistent")
        .env("SSL_CERT_DIR", "/nonexistent")
        .output()
        .expect("the program");
    let said = String::from_utf8_lossy(&fetched.stderr);
    assert!(fetched.status.success(), "{said}");
    assert_eq!(fetched.stdout, b"far\n", "{said}");
}

#[test]
fn the_boot_loaders_are_fetched_by_their_name() {
    let place = Workplace::served();
    let run = place.run("distro fetch loaders -o json");
    assert_eq!(run.code, 0, "{}", run.stderr);
    let views: Vec<farrier::model::view::DistroView> =
        serde_json::from_str(&run.stdout).expect("a list");
    assert_eq!(views[0].name, "loaders");
    assert_eq!(views[0].missing, Vec::<String>::new());
    assert!(views[0].size > 0);
}
