//! The mirror cache as the mirror of a real apt, with this host's own mirror behind it.

use std::collections::BTreeMap;
use std::sync::Mutex;

use farrier::artefacts::mirror::{Cache, Found, Limits, Missing};

use super::{CLIENT, read};
use crate::rack::can_run;

/// A door for a cache, as small as can be.
async fn door(cache: Cache) -> std::net::SocketAddr {
    use axum::body::Body;
    use axum::extract::Request;
    use axum::http::{Method, Response, StatusCode, header::CONTENT_LENGTH};

    let reply = move |request: Request| {
        let cache = cache.clone();
        async move {
            let (path, head) = (request.uri().path(), request.method() == Method::HEAD);
            let (name, path) = path
                .trim_start_matches("/mirror/")
                .split_once('/')
                .unwrap_or_default();
            let response = Response::builder();
            let response = match cache.get(CLIENT, name, path, head).await {
                Ok(Found::File { file, size, .. }) => {
                    let file = tokio::fs::File::from_std(file);
                    let bytes =
                        futures_lite::stream::unfold((file, size), |(mut file, left)| async move {
                            use tokio::io::AsyncReadExt;
                            let mut piece = vec![0; left.min(1 << 18) as usize];
                            if piece.is_empty() {
                                return None;
                            }
                            let read = file.read_exact(&mut piece).await;
                            let left = left - piece.len() as u64;
                            Some((read.map(|_| bytes::Bytes::from(piece)), (file, left)))
                        });
                    response
                        .header(CONTENT_LENGTH, size)
                        .body(Body::from_stream(bytes))
                }
                Ok(Found::Growing { bytes, size, .. }) => match size {
                    Some(size) => response
                        .header(CONTENT_LENGTH, size)
                        .body(Body::from_stream(bytes)),
                    None => response.body(Body::from_stream(bytes)),
                },
                Err(Missing::NotFound) => {
                    response.status(StatusCode::NOT_FOUND).body(Body::empty())
                }
                Err(error) => response
                    .status(StatusCode::BAD_GATEWAY)
                    .body(error.to_string().into()),
            };
            response.expect("a response")
        }
    };
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0")
        .await
        .expect("a port");
    let address = listener.local_addr().expect("its address");
    let app = axum::Router::new().fallback(reply);
    tokio::spawn(async move { axum::serve(listener, app).await });
    address
}

/// apt with its own root and nothing of the host's but its keys.
struct Apt {
    root: tempfile::TempDir,
}

impl Apt {
    fn new(mirror: &str) -> Apt {
        let root = tempfile::tempdir().expect("a directory");
        for dir in [
            "etc/apt.conf.d",
            "etc/preferences.d",
            "lists/partial",
            "cache/archives/partial",
            "dl",
        ] {
            std::fs::create_dir_all(root.path().join(dir)).expect("made");
        }
        std::fs::write(root.path().join("status"), "").expect("written");
        let source = format!(
            "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] {mirror} bookworm main\n"
        );
        std::fs::write(root.path().join("etc/sources.list"), source).expect("written");
        Apt { root }
    }

    async fn run(&self, arguments: &[&str]) -> String {
        let root = self.root.path().display();
        let output = tokio::process::Command::new("apt-get")
            .args(arguments)
            .current_dir(self.root.path().join("dl"))
            .env("LC_ALL", "C")
            .env("APT_CONFIG", "/dev/null")
            .args([
                "-o",
                &format!("Dir::Etc={root}/etc"),
                "-o",
                "Dir::Etc::sourcelist=sources.list",
            ])
            .args([
                "-o",
                "Dir::Etc::sourceparts=/dev/null",
                "-o",
                "APT::Sandbox::User=root",
            ])
            .args(["-o", &format!("Dir::State::lists={root}/lists")])
            .args(["-o", &format!("Dir::State::status={root}/status")])
            .args(["-o", &format!("Dir::Cache={root}/cache")])
            .output()
            .await
            .expect("apt runs");
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let wrong = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{arguments:?}: {text}{wrong}");
        assert!(!wrong.contains("E: "), "{wrong}");
        text
    }

    fn files(&self) -> Vec<(String, u64)> {
        let list = std::fs::read_dir(self.root.path().join("dl")).expect("listed");
        list.map(|e| {
            let e = e.expect("an entry");
            (
                e.file_name().to_string_lossy().into_owned(),
                e.metadata().expect("there").len(),
            )
        })
        .collect()
    }
}

#[tokio::test(flavor = "multi_thread")]
#[expect(clippy::print_stdout, reason = "its measurements are read")]
async fn a_real_apt_installs_from_it() {
    if !can_run("apt behind the cache of this host's mirror", &[], true) {
        return;
    }
    let state = tempfile::tempdir().expect("a directory");
    let cache = Cache::open(state.path(), &BTreeMap::new(), Limits::default()).expect("opened");
    println!("upstream: {:?}", cache.upstream("debian"));
    let address = door(cache).await;
    let mirror = format!("http://{address}/mirror/debian");
    let took = Mutex::new(Vec::new());
    let timed = async |apt: &Apt, arguments: &[&str]| {
        let begun = std::time::Instant::now();
        let said = apt.run(arguments).await;
        took.lock()
            .expect("no panic")
            .push((arguments.join(" "), begun.elapsed()));
        said
    };
    let download = ["download", "memtest86+", "ipxe", "g++-12"];
    for round in ["cold", "warm"] {
        println!("{round}:");
        let apt = Apt::new(&mirror);
        println!("{}", timed(&apt, &["update"]).await);
        timed(&apt, &download).await;
        println!("{:?}", apt.files());
        assert_eq!(apt.files().len(), 3);
    }
    // six at once, from nothing: each file comes once
    let state = tempfile::tempdir().expect("a directory");
    let cache = Cache::open(state.path(), &BTreeMap::new(), Limits::default()).expect("opened");
    let mirror = format!("http://{}/mirror/debian", door(cache.clone()).await);
    let begun = std::time::Instant::now();
    let mut rack = tokio::task::JoinSet::new();
    for _ in 0..6 {
        let mirror = mirror.clone();
        rack.spawn(async move {
            let apt = Apt::new(&mirror);
            apt.run(&["update"]).await;
            apt.run(&download).await;
            assert_eq!(apt.files().len(), 3);
            apt.files().iter().map(|(_, size)| size).sum::<u64>()
        });
    }
    let mut received = 0;
    while let Some(ended) = rack.join_next().await {
        received += ended.expect("installed");
    }
    let taken = cache.counts();
    println!(
        "six at once: {:?}, {received} bytes of packages, {taken:?}",
        begun.elapsed()
    );
    assert!(taken.taken < 30_000_000, "each file once");
    println!("{:#?}", took.lock().expect("no panic"));

    // how fast a large file passes, cold (limited by upstream) and kept
    let uris = tokio::process::Command::new("apt-get")
        .args([
            "download",
            "--print-uris",
            "debian-installer-12-netboot-amd64",
        ])
        .output()
        .await
        .expect("apt runs");
    let uris = String::from_utf8_lossy(&uris.stdout).into_owned();
    let path = uris
        .split('\'')
        .nth(1)
        .and_then(|u| u.split_once("/pool/"))
        .expect("a URI")
        .1;
    for round in ["cold", "kept"] {
        let begun = std::time::Instant::now();
        let found = cache
            .get(CLIENT, "debian", &format!("pool/{path}"), false)
            .await
            .expect("found");
        let length = read(found).await.expect("whole").len();
        let speed = length as f64 / 1e6 / begun.elapsed().as_secs_f64();
        println!("{round}: {length} bytes at {speed:.0} MB/s");
        cache.rest().await;
    }
}
