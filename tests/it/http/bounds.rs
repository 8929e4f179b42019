//! What the door bears: slow, many, malformed, stopping.

use super::*;

#[tokio::test]
async fn slow_and_many_connections_are_bounded() {
    let door = open(Limits {
        connections: 6,
        per_address: 4,
        header: Duration::from_millis(300),
        ..Limits::default()
    })
    .await;
    let mut dribblers = Vec::new();
    for _ in 0..4 {
        let mut stream = door.connect(ip(3)).await;
        stream
            .write_all(b"GET / HTTP/1.1\r\nX-A: ")
            .await
            .expect("sent");
        dribblers.push(stream);
    }
    // The fifth from there is closed at once, and others are served meanwhile.
    let mut fifth = door.connect(ip(3)).await;
    let closed = fifth.read(&mut [0; 1]).await;
    assert!(matches!(closed, Ok(0) | Err(_)), "{closed:?}");
    assert_eq!(door.get(ip(1), "/autoexec.ipxe").await.status, 200);
    for mut stream in dribblers {
        let mut rest = Vec::new();
        let ended = tokio::time::timeout(Duration::from_secs(5), stream.read_to_end(&mut rest));
        let _closed = ended.await.expect("closed in time");
    }
    assert_eq!(door.get(ip(3), "/autoexec.ipxe").await.status, 200);
}

/// A machine that installs, and a report of it as bytes.
fn report(door: &Door, key: &farrier::model::BuildKey, verb: &str) -> String {
    let token = door.waist.token(key, Scope::Report);
    format!("POST /r/{token}/{verb} HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\nhi")
}

/// Until the waist was told this.
async fn told(door: &Door, word: &str) {
    let heard = async {
        while !door.waist.told().contains(&word) {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), heard)
        .await
        .expect("told");
}

#[tokio::test]
async fn whoever_shuts_its_sending_side_is_answered_all_the_same() {
    let door = open(Limits::default()).await;
    let key = door.flag(1);
    door.get(ip(1), &format!("/ipxe/{}", mac(1).dashed())).await;
    for (verb, word) in [
        ("start", "installer-started"),
        ("progress/extract", "progress"),
        ("end", "installer-ended"),
    ] {
        let held = door.waist.commits.lock().await;
        let mut stream = door.connect(ip(1)).await;
        let request = report(&door, &key, verb);
        stream.write_all(request.as_bytes()).await.expect("sent");
        stream.shutdown().await.expect("shut");
        told(&door, word).await;
        // its commit takes a while, and nothing may come before it: no answer, and no end either
        let mut answer = Vec::new();
        let early = tokio::time::timeout(Duration::from_millis(200), stream.read_buf(&mut answer));
        assert!(early.await.is_err(), "{verb}: {answer:?}");
        drop(held);
        let read = stream.read_to_end(&mut answer);
        tokio::time::timeout(Duration::from_secs(10), read)
            .await
            .expect("an end")
            .expect("an answer");
        let text = String::from_utf8_lossy(&answer);
        assert!(text.starts_with("HTTP/1.1 200 "), "{verb}: {text}");
    }
    assert_eq!(door.waist.phase(1), Phase::Installed);
}

#[tokio::test]
async fn whoever_is_gone_leaves_its_place() {
    let door = open(Limits {
        per_address: 1,
        header: Duration::from_millis(300),
        ..Limits::default()
    })
    .await;
    let key = door.flag(1);
    let path = format!("/ipxe/{}", mac(1).dashed());
    // a connection that is refused is closed before it answers
    let served = |request: String| {
        let door = &door;
        async move {
            let again = async {
                loop {
                    let mut stream = door.connect(ip(1)).await;
                    let _may_be_refused = stream.write_all(request.as_bytes()).await;
                    let mut first = [0; 1];
                    if matches!(stream.read(&mut first).await, Ok(1)) {
                        return;
                    }
                }
            };
            tokio::time::timeout(Duration::from_secs(10), again)
                .await
                .expect("a place");
        }
    };
    let get = format!("GET {path} HTTP/1.1\r\nHost: x\r\n\r\n");
    served(get.clone()).await;

    // before its head is whole, with its sending side shut and its ears open
    let mut half = door.connect(ip(1)).await;
    half.write_all(b"GET / HTTP/1.1\r\nX-A: ")
        .await
        .expect("sent");
    half.shutdown().await.expect("shut");
    let mut rest = Vec::new();
    let ended = tokio::time::timeout(Duration::from_secs(5), half.read_to_end(&mut rest));
    let _closed = ended.await.expect("closed in time");
    served(get.clone()).await;

    // while its commit is waited for: until that is over, and no longer
    let held = door.waist.commits.lock().await;
    let mut gone = door.connect(ip(1)).await;
    let start = report(&door, &key, "start");
    gone.write_all(start.as_bytes()).await.expect("sent");
    told(&door, "installer-started").await;
    drop(gone);
    drop(held);
    served(get.clone()).await;

    // in the middle of a transfer that nobody takes any more
    let kernel = format!(
        "GET /a/{}/debian-12/linux HTTP/1.1\r\nHost: x\r\n\r\n",
        door.kernel.digest.short()
    );
    let mut gone = door.connect(ip(1)).await;
    gone.write_all(kernel.as_bytes()).await.expect("sent");
    assert_eq!(gone.read_u8().await.expect("it began"), b'H');
    drop(gone);
    served(get).await;
}

#[tokio::test]
async fn a_crowded_door_leaves_room_for_those_who_have_no_connection_yet() {
    let door = open(Limits {
        connections: 8,
        per_address: 8,
        crowded: 1,
        ..Limits::default()
    })
    .await;
    let mut held = Vec::new();
    for n in 0..8 {
        let mut stream = door.connect(ip(3)).await;
        let request = b"GET /autoexec.ipxe HTTP/1.1\r\nHost: x\r\n\r\n";
        // a connection that is refused is closed before it answers
        let sent = stream.write_all(request).await;
        let mut first = [0; 1];
        let answered = sent.is_ok() && matches!(stream.read(&mut first).await, Ok(1));
        assert_eq!(answered, n < 4, "connection {n}");
        held.push(stream);
    }
    for n in [1, 2, 4, 5] {
        let from = ip(n);
        let mut stream = door.connect(from).await;
        let got = exchange(
            &mut stream,
            "GET /autoexec.ipxe HTTP/1.1\r\nHost: x\r\n\r\n",
        )
        .await;
        assert_eq!(got.status, 200, "{from}");
        held.push(stream);
    }
}

#[tokio::test]
async fn malformed_requests_are_refused_and_the_door_stays_open() {
    let door = open(Limits::default()).await;
    for request in [
        "POST /r/x/end HTTP/1.1\r\nTransfer-Encoding: identity\r\n\r\n".to_string(),
        "POST /r/x/end HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nxx".to_string(),
        "\u{16}\u{3}\u{1}\r\n\r\n".to_string(),
        format!("GET /{} HTTP/1.1\r\n\r\n", "a".repeat(1_000_000)),
        format!("GET / HTTP/1.1\r\n{}\r\n", "X: y\r\n".repeat(10_000)),
    ] {
        let mut stream = door.connect(ip(4)).await;
        let _may_be_cut_off = stream.write_all(request.as_bytes()).await;
        let mut answer = Vec::new();
        let read = tokio::time::timeout(Duration::from_secs(10), stream.read_to_end(&mut answer));
        let _reset_or_not = read.await.expect("closed");
        let text = String::from_utf8_lossy(&answer);
        let start = request.get(..40).unwrap_or(&request);
        assert!(
            text.is_empty() || text.starts_with("HTTP/1.1 4"),
            "{start:?}: {text}"
        );
    }
    assert_eq!(door.get(ip(1), "/autoexec.ipxe").await.status, 200);
}

#[tokio::test]
async fn stopping_lets_a_transfer_finish() {
    let door = open(Limits::default()).await;
    let path = format!("/a/{}/debian-12/linux", door.kernel.digest.short());
    let mut stream = door.connect(ip(1)).await;
    let request = format!("GET {path} HTTP/1.1\r\nHost: x\r\n\r\n");
    stream.write_all(request.as_bytes()).await.expect("sent");
    let first = stream.read_u8().await.expect("it began");
    assert_eq!(first, b'H');
    let address = door.address;
    let stopping = tokio::spawn(door.running.stop());
    let mut rest = Vec::new();
    stream.read_to_end(&mut rest).await.expect("the rest");
    assert!(rest.len() > 3_000_000);
    stopping.await.expect("stopped");
    assert!(TcpStream::connect(address).await.is_err(), "closed");
    let _unused = name(1);
}

#[tokio::test]
async fn a_machine_that_sends_much_and_slowly_keeps_nobody_else_waiting() {
    let door = open(Limits::default()).await;
    let (slow, other) = (door.flag(1), door.flag(2));
    for last in [1, 2] {
        door.get(ip(last), &format!("/ipxe/{}", mac(last).dashed()))
            .await;
    }
    // as many as there are places for large bodies, and more
    let mut held = Vec::new();
    let token = door.waist.token(&slow, Scope::Report);
    for n in 0..9 {
        let mut stream = door.connect(ip(1)).await;
        let head = format!(
            "POST /r/{token}/bundle HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 1000000\r\n\r\n"
        );
        stream.write_all(head.as_bytes()).await.expect("sent");
        // the first is being read: the door asks for its body
        if n == 0 {
            assert_eq!(stream.read_u8().await.expect("go on"), b'H');
        }
        held.push(stream);
    }
    let token = door.waist.token(&other, Scope::Report);
    let body = "x".repeat(1_000_000);
    let path = format!("/r/{token}/bundle");
    let sent = door.post(ip(2), &path, &body);
    let got = tokio::time::timeout(Duration::from_secs(20), sent).await;
    assert_eq!(got.expect("its own place").status, 200);
    drop(held);
}
