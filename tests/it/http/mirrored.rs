//! A mirror's file, asked for as apt does.

use std::io::{Seek, Write};

use farrier::serve::http::mirror::Finding;
use farrier::serve::http::{Found, Mirrors, Missing};

use super::*;

const TIME: &str = "Sat, 01 Aug 2026 00:00:00 GMT";

/// A mirror `m` with one file.
pub(super) struct OneFile;

impl Mirrors for OneFile {
    fn find<'a>(
        &'a self,
        _client: Ipv4Addr,
        mirror: &'a str,
        path: &'a str,
        _head: bool,
    ) -> Finding<'a> {
        Box::pin(async move {
            if (mirror, path) != ("m", "dists/InRelease") {
                return Err(Missing::NotFound);
            }
            let mut file = tempfile::tempfile().expect("a file");
            file.write_all(b"an index").expect("written");
            file.rewind().expect("rewound");
            Ok(Found::File {
                file,
                size: 8,
                etag: Some("\"one\"".to_string()),
                last_modified: Some(TIME.to_string()),
                content_type: None,
            })
        })
    }
}

#[tokio::test]
async fn an_index_that_apt_has_is_not_sent_again() {
    let door = open(Limits::default()).await;
    let ask = async |headers: &str| {
        let head = "GET /mirror/m/dists/InRelease HTTP/1.1\r\nHost: x\r\n";
        door.ask(ip(1), &format!("{head}{headers}\r\n")).await
    };
    let first = ask("").await;
    assert_eq!(
        (first.status, first.body.as_slice()),
        (200, &b"an index"[..])
    );
    let time = first.header("Last-Modified").expect("a time").to_string();
    assert_eq!(time, TIME);

    let again = ask(&format!("If-Modified-Since: {time}\r\n")).await;
    assert_eq!(again.status, 304);
    assert_eq!(again.header("Last-Modified"), Some(TIME));
    assert_eq!(again.header("Content-Length"), None);

    // another version, be it older; and a tag goes before a time (RFC 9110 section 13.2.2)
    let other = "If-Modified-Since: Sun, 02 Aug 2026 00:00:00 GMT\r\n";
    assert_eq!(ask(other).await.status, 200);
    let tagged = format!("If-Modified-Since: {time}\r\nIf-None-Match: \"two\"\r\n");
    assert_eq!(ask(&tagged).await.status, 200);

    // many as these are, they leave the other steps of the conversation in sight
    assert_eq!(door.get(ip(1), "/mirror/m/dists/other").await.status, 404);
    let lines: Vec<String> = door
        .waist
        .seen()
        .into_iter()
        .map(|(_, line)| line)
        .collect();
    assert_eq!(lines, ["GET /mirror/m/dists/other: 404"]);
}
