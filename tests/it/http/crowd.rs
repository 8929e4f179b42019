//! A rack that installs: many machines at the mirror, and boot scripts all the same.

use std::collections::BTreeMap;
use std::sync::Mutex;

use farrier::artefacts::mirror::{self, Admission, Cache};
use farrier::model::Mirror;
use farrier::serve::http::mirror::Finding;
use farrier::serve::http::{Found, Mirrors, Missing};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use tokio::sync::Notify;
use tokio::task::JoinSet;

use super::*;
use crate::upstream::{Act, Asked, Upstream, answer};

/// The real cache behind the door.
struct Behind(Cache);

impl Mirrors for Behind {
    fn find<'a>(
        &'a self,
        client: Ipv4Addr,
        mirror: &'a str,
        path: &'a str,
        head: bool,
    ) -> Finding<'a> {
        Box::pin(async move {
            match self.0.get(client.into(), mirror, path, head).await {
                Ok(mirror::Found::File { file, size, .. }) => Ok(Found::File {
                    file,
                    size,
                    etag: None,
                    last_modified: None,
                    content_type: None,
                }),
                Ok(mirror::Found::Growing { bytes, size, .. }) => Ok(Found::Stream {
                    bytes: Box::pin(bytes),
                    size,
                    last_modified: None,
                    content_type: None,
                }),
                Err(mirror::Missing::NotFound) => Err(Missing::NotFound),
                Err(mirror::Missing::Busy) => Err(Missing::Busy),
                Err(mirror::Missing::Upstream(why)) => Err(Missing::Upstream(why)),
            }
        })
    }
}

/// An upstream that keeps everyone waiting until it is opened; then each path is its own content.
#[derive(Default)]
struct Gate(Mutex<(bool, Vec<Arc<Notify>>)>);

impl Gate {
    fn answer(&self, asked: &Asked) -> Vec<Act> {
        let mut script = answer("200 OK", &[], asked.path.as_bytes());
        let mut gate = self.0.lock().expect("no panic");
        if !gate.0 {
            let turn = Arc::new(Notify::new());
            gate.1.push(turn.clone());
            script.insert(0, Act::Wait(turn));
        }
        script
    }

    fn open(&self) {
        let mut gate = self.0.lock().expect("no panic");
        gate.0 = true;
        gate.1.drain(..).for_each(|turn| turn.notify_one());
    }
}

/// A door with a mirror whose upstream is shut.
async fn shut(admission: Admission) -> (Door, Upstream, Arc<Gate>, Cache, tempfile::TempDir) {
    let gate = Arc::new(Gate::default());
    let answers = gate.clone();
    let upstream = Upstream::start(move |asked| answers.answer(asked)).await;
    let state = tempfile::tempdir().expect("a directory");
    let declared = Mirror {
        upstream: Some(upstream.url("")),
        socket: None,
    };
    let mirrors = BTreeMap::from([("m".to_string(), declared)]);
    let limits = mirror::Limits {
        admission,
        ..mirror::Limits::default()
    };
    let cache = Cache::open(state.path(), &mirrors, limits).expect("opened");
    let behind = Arc::new(Behind(cache.clone()));
    let door = open_with(Limits::default(), Standin::new, behind).await;
    (door, upstream, gate, cache, state)
}

async fn until_asked(upstream: &Upstream, count: usize) {
    let asked = async {
        while upstream.asked().len() < count {
            tokio::task::yield_now().await;
        }
    };
    let in_time = tokio::time::timeout(Duration::from_secs(60), asked).await;
    in_time.unwrap_or_else(|_| panic!("only {} were asked", upstream.asked().len()));
}

fn get(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: x\r\n\r\n")
}

#[tokio::test]
async fn four_hundred_machines_at_the_mirror_leave_room_for_boot_scripts() {
    // both ends of each connection are in this process
    let (_, most) = getrlimit(Resource::RLIMIT_NOFILE).expect("a limit");
    setrlimit(Resource::RLIMIT_NOFILE, most, most).expect("raised");
    let (door, upstream, gate, cache, _state) = shut(Admission::default()).await;
    door.flag(1);
    let mut waiting = Vec::new();
    let hog = Ipv4Addr::new(127, 2, 0, 1);
    for n in 0..64 {
        let mut stream = door.connect(hog).await;
        let path = format!("/pool/hog_{n}.deb");
        stream
            .write_all(get(&format!("/mirror/m{path}")).as_bytes())
            .await
            .expect("sent");
        waiting.push((path, stream));
    }
    until_asked(&upstream, 8).await;
    for n in 0..400u16 {
        let from = Ipv4Addr::new(127, 1, (n / 200) as u8, (n % 200) as u8 + 1);
        let mut stream = door.connect(from).await;
        let path = format!("/pool/own_{n}.deb");
        stream
            .write_all(get(&format!("/mirror/m{path}")).as_bytes())
            .await
            .expect("sent");
        waiting.push((path, stream));
    }
    until_asked(&upstream, 32).await;
    // nothing at all comes from upstream, 432 requests wait, and a machine that boots does not
    let path = format!("/ipxe/{}", mac(1).dashed());
    let script = door.get(ip(1), &path);
    let script = tokio::time::timeout(Duration::from_secs(20), script).await;
    let script = script.expect("answered while the mirror waits").text();
    assert!(script.contains("kernel --name linux "), "{script}");
    let kernel = format!("/a/{}/debian-12/linux", door.kernel.digest.short());
    assert_eq!(door.get(ip(1), &kernel).await.body.len(), 3_000_000);
    assert_eq!(upstream.asked().len(), 32, "no more at once");
    let of_hog = |asked: &[Asked]| asked.iter().filter(|a| a.path.contains("hog")).count();
    assert_eq!(of_hog(&upstream.asked()), 8, "a quarter is the most of one");

    gate.open();
    let mut readers = JoinSet::new();
    for (path, mut stream) in waiting {
        readers.spawn(async move {
            // the request was sent long ago
            let got = exchange(&mut stream, "").await;
            assert_eq!((got.status, got.text()), (200, path));
        });
    }
    while let Some(read) = readers.join_next().await {
        read.expect("each gets its own file");
    }
    cache.rest().await;
    let asked = upstream.asked();
    assert_eq!(asked.len(), 464);
    let last = asked.iter().rposition(|a| a.path.contains("own"));
    let behind = of_hog(&asked[last.expect("asked")..]);
    assert!(behind >= 48, "only {behind} of the hog's came last");
    assert_eq!(cache.counts().refused, 0);
}

#[tokio::test]
async fn when_too_many_wait_the_next_is_told_to_come_again() {
    let (door, upstream, gate, cache, _state) = shut(Admission {
        transfers: 1,
        of_one: 1,
        waiting: 1,
        waiting_of_one: 1,
    })
    .await;
    let mut waiting = Vec::new();
    for n in 1..=2 {
        let mut stream = door.connect(ip(n)).await;
        let path = format!("/mirror/m/pool/p_{n}.deb");
        stream.write_all(get(&path).as_bytes()).await.expect("sent");
        waiting.push(stream);
        if n == 1 {
            until_asked(&upstream, 1).await;
        }
    }
    let queued = async {
        while cache.waiting() == 0 {
            tokio::task::yield_now().await;
        }
    };
    let in_time = tokio::time::timeout(Duration::from_secs(20), queued).await;
    in_time.expect("the second waits");
    let refused = door.get(ip(3), "/mirror/m/pool/p_3.deb").await;
    assert_eq!(refused.status, 503, "{}", refused.text());
    assert_eq!(refused.header("Retry-After"), Some("5"));
    let head = "HEAD /mirror/m/pool/p_4.deb HTTP/1.1\r\nHost: x\r\n\r\n";
    assert_eq!(
        door.ask(ip(4), head).await.status,
        503,
        "a look waits as well"
    );
    assert_eq!(cache.counts().refused, 2);
    gate.open();
    for stream in &mut waiting {
        assert_eq!(exchange(stream, "").await.status, 200);
    }
    cache.rest().await;
    let again = door.get(ip(3), "/mirror/m/pool/p_3.deb").await;
    assert_eq!(
        (again.status, again.text().as_str()),
        (200, "/pool/p_3.deb")
    );
}
