//! curl at the machine plane: whole files and parts of them, and other machines' names.

use farrier::cli::demo::rack::{Host, Output, Rack, RackError, SERVER, tools};
use farrier::model::Digest;

use super::{Desk, digest, noise, udhcpc};
use crate::rack::can_run;

const NEEDS: [&[tools::Need]; 2] = [tools::NETWORK, tools::CLIENTS];

/// What curl prints behind everything else: status and bytes of the body.
const TOLD: &str = "%{http_code} %{size_download}";

fn curl(host: &Host, words: &[&str]) -> Result<Output, RackError> {
    let mut all = vec!["curl", "--silent", "--show-error"];
    all.extend_from_slice(words);
    host.run(&all)
}

/// The status alone, with the body thrown away.
fn status(host: &Host, url: &str) -> Result<String, RackError> {
    let out = curl(
        host,
        &["--output", "/dev/null", "--write-out", "%{http_code}", url],
    )?;
    assert!(out.ok(), "{url}: {}", out.stderr);
    Ok(out.stdout)
}

#[test]
fn a_kernel_whole_in_parts_and_not_again() -> Result<(), RackError> {
    if !can_run("curl and a kernel", &NEEDS, false) {
        return Ok(());
    }
    let rack = Rack::new()?;
    let host = rack.host("client")?;
    let systems = [("web01", host.mac().to_string(), None)];
    let kernel = noise(3_000_000);
    let desk = Desk::with_kernel(rack, &systems, "", &kernel)?;
    desk.server.must(&["distro", "fetch", "rescue"])?;
    let dir = desk.rack.dir().to_path_buf();
    assert!(udhcpc(&host, &dir, &[])?.0.ok(), "{}", desk.server.tail());
    let wanted = Digest::of(&kernel);
    let url = format!("http://{SERVER}/a/{}/rescue/linux", wanted.short());
    let (file, tag) = (dir.join("linux"), dir.join("tag"));
    let (to, tag) = (file.display().to_string(), tag.display().to_string());

    // whole
    let told = ["--write-out", TOLD];
    let whole = [&["--etag-save", &tag, "--output", &to][..], &told, &[&url]].concat();
    let out = curl(&host, &whole)?;
    assert_eq!(out.stdout, "200 3000000", "{}", out.stderr);
    assert_eq!(digest(&file)?, wanted);
    // not again
    let other = dir.join("again").display().to_string();
    let again = [
        &["--etag-compare", &tag, "--output", &other][..],
        &told,
        &[&url],
    ]
    .concat();
    let out = curl(&host, &again)?;
    assert_eq!(out.stdout, "304 0", "{}", out.stderr);
    // the rest of a transfer that was cut off
    std::fs::write(&file, &kernel[..1_234_567]).map_err(RackError::file(&file))?;
    let resume = [&["--continue-at", "-", "--output", &to][..], &told, &[&url]].concat();
    let out = curl(&host, &resume)?;
    assert_eq!(out.stdout, "206 1765433", "{}", out.stderr);
    assert_eq!(digest(&file)?, wanted);
    // a part from the middle, the end, and beyond it
    let part = |range: &str| -> Result<(String, Vec<u8>), RackError> {
        let words = [&["--range", range, "--output", &to][..], &told, &[&url]].concat();
        let out = curl(&host, &words)?;
        let bytes = std::fs::read(&file).map_err(RackError::file(&file))?;
        Ok((out.stdout, bytes))
    };
    assert_eq!(
        part("1000-1999")?,
        ("206 1000".to_string(), kernel[1000..2000].to_vec())
    );
    let end = kernel[kernel.len() - 7..].to_vec();
    assert_eq!(part("-7")?, ("206 7".to_string(), end));
    assert!(part("3000000-")?.0.starts_with("416 "));
    // HEAD, as firmware reads it: with the names as they are always written
    let out = curl(&host, &["--head", &url])?;
    for line in [
        "HTTP/1.1 200 OK",
        "Content-Length: 3000000",
        "Accept-Ranges: bytes",
        "Content-Type: application/octet-stream",
        &format!("ETag: \"{wanted}\""),
    ] {
        let found = out.stdout.lines().any(|l| l.eq_ignore_ascii_case(line));
        assert!(found, "{line} is not in\n{}", out.stdout);
    }
    assert!(out.stdout.contains("\nContent-Length: "), "{}", out.stdout);
    Ok(())
}

#[test]
fn what_is_another_machines_is_not_found() -> Result<(), RackError> {
    if !can_run("curl and others' names", &NEEDS, false) {
        return Ok(());
    }
    let rack = Rack::new()?;
    let (own, other) = (rack.host("own")?, rack.host("other")?);
    let squatter = rack.host("squatter")?;
    let systems = [
        ("web01", own.mac().to_string(), Some("10.77.0.11")),
        ("web02", other.mac().to_string(), None),
    ];
    let desk = Desk::on(rack, &systems, "")?;
    desk.flag("web01")?;
    let dir = desk.rack.dir().to_path_buf();
    for host in [&own, &other] {
        assert!(udhcpc(host, &dir, &[])?.0.ok(), "{}", desk.server.tail());
    }
    squatter.address("10.77.0.50/24")?;
    let dashed = own.mac().dashed();
    for path in [
        format!("/ipxe/{dashed}"),
        format!("/grub/grub.cfg-01-{dashed}"),
    ] {
        let url = format!("http://{SERVER}{path}");
        for host in [&other, &squatter] {
            assert_eq!(status(host, &url)?, "404", "{path}");
        }
        assert_eq!(status(&own, &url)?, "200", "{path}");
    }
    let script = curl(&own, &[&format!("http://{SERVER}/ipxe/{dashed}")])?.stdout;
    assert!(script.contains("\nkernel "), "{script}");
    // what is nobody's
    for path in [
        "/",
        "/etc/passwd",
        "/a/000000000000/rescue/linux",
        "/loader/no-such.efi",
        "/b/0000/preseed.cfg",
        "/api/status",
        "/mirror/none/x",
    ] {
        assert_eq!(
            status(&own, &format!("http://{SERVER}{path}"))?,
            "404",
            "{path}"
        );
    }
    let out = curl(
        &own,
        &[
            "--path-as-is",
            "--output",
            "/dev/null",
            "--write-out",
            "%{http_code}",
            &format!("http://{SERVER}/loader/../../etc/passwd"),
        ],
    )?;
    assert_eq!(out.stdout, "404");
    Ok(())
}
